//! Clients of RFC 3489: Binding over UDP without the magic cookie, where it is switched on.

use crate::craft::*;
use crate::harness::*;
use hairpin::turn::{Path, Reason, Transport};
use hairpin::wire::stream::{Frame, next};
use hairpin::wire::{Class, Method, Writer, attribute};

/// The first four bytes are where the cookie would be.
const ID: [u8; 16] = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x1E, 0x1F];

/// A world that serves RFC 3489, with everything on that an answer could carry.
fn classic() -> World {
    world_with(|options| {
        options.classic = true;
        options.software = Some("hairpin".to_owned());
        options.fingerprint = true;
        options.reasons = true;
        options.mapped_address = true;
    })
}

/// A message with a 16-byte id.
fn request(method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::classic(&mut out, method, Class::Request, &ID));
    out
}

/// What comes back for a datagram.
fn answer(world: &mut World, packet: &[u8]) -> Vec<u8> {
    match &world.client(udp("192.0.2.1:32853"), packet)[..] {
        [Out::Client(path, bytes)] if *path == udp("192.0.2.1:32853") => bytes.clone(),
        other => panic!("one answer to the sender, not {other:?}"),
    }
}

/// The answer to a plain Binding request: MAPPED-ADDRESS 192.0.2.1:32853 in clear and nothing else.
fn mapped() -> Vec<u8> {
    [&[0x01, 0x01, 0x00, 0x0C], &ID[..], &[0, 1, 0, 8, 0, 1, 0x80, 0x55, 192, 0, 2, 1]].concat()
}

/// A 420 with this list.
fn refused(list: &[u8]) -> Vec<u8> {
    let len = 8 + 4 + list.len() as u8;
    [&[0x01, 0x11, 0, len], &ID[..], &[0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, list.len() as u8], list].concat()
}

/// CLASSIC-001, CLASSIC-002.
#[test]
fn a_client_without_the_cookie_is_told_its_address_in_clear_and_nothing_that_needs_padding() {
    assert_eq!(answer(&mut classic(), &request(Method::BINDING, |_| {})), mapped());
}

/// CLASSIC-001.
#[test]
fn an_ipv6_client_without_the_cookie_is_told_its_address_in_clear() {
    let path = udp("[2001:db8::1]:32853");
    let out = classic().client(path, &request(Method::BINDING, |_| {}));
    let address = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let wanted = [&[0x01, 0x01, 0, 24], &ID[..], &[0, 1, 0, 20, 0, 2, 0x80, 0x55], &address].concat();
    assert_eq!(to_client(&out), wanted);
}

/// CLASSIC-003.
#[test]
fn a_response_address_is_refused_to_the_sender() {
    let packet = request(Method::BINDING, |w| {
        w.address(0x0002, addr("198.51.100.9:53"));
    });
    assert_eq!(answer(&mut classic(), &packet), refused(&[0, 2, 0, 2]));
}

/// CLASSIC-004.
#[test]
fn a_change_request_is_refused_by_a_server_with_one_address() {
    for change in [0, 2, 4, 6] {
        let packet = request(Method::BINDING, |w| {
            w.number(0x0003, change);
        });
        assert_eq!(answer(&mut classic(), &packet), refused(&[0, 3, 0, 3]));
    }
}

/// CLASSIC-005.
#[test]
fn the_list_of_unknown_attributes_repeats_its_last_to_fill_four_bytes() {
    let lists: [(&[u16], &[u8]); 3] = [
        (&[0x7F01], &[0x7F, 1, 0x7F, 1]),
        (&[0x7F01, 0x7F02], &[0x7F, 1, 0x7F, 2]),
        (&[0x7F01, 0x7F02, 0x7F03], &[0x7F, 1, 0x7F, 2, 0x7F, 3, 0x7F, 3]),
    ];
    for (sent, listed) in lists {
        let packet = request(Method::BINDING, |w| {
            for code in sent {
                w.attribute(*code, b"abc");
            }
        });
        assert_eq!(answer(&mut classic(), &packet), refused(listed));
    }
}

/// CLASSIC-006.
#[test]
fn a_shared_secret_request_is_met_with_silence_on_every_transport() {
    let shared_secret = Method(0x002);
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let (mut world, path) = (classic(), Path { transport, ..udp(ALICE) });
        assert_eq!(silence(&mut world, path, &request(shared_secret, |_| {})), Reason::Malformed);
        let modern = message(&mut world, shared_secret, Class::Request, |_| {});
        assert_eq!(silence(&mut world, path, &modern), Reason::NotServed);
    }
}

/// CLASSIC-007.
#[test]
fn credentials_of_a_classic_client_are_ignored() {
    let packet = request(Method::BINDING, |w| {
        w.attribute(attribute::USERNAME, b"nobody at all").sha1(b"no key of ours");
    });
    assert_eq!(answer(&mut classic(), &packet), mapped());
}

/// CLASSIC-008: whether classic clients are served over UDP or not.
#[test]
fn a_request_without_the_cookie_is_refused_over_dtls() {
    for mut world in [classic(), world()] {
        let alice = dtls(ALICE, 1);
        for method in SERVED {
            let out = world.client(alice, &request(method, |_| {}));
            let refused = [&[0x01, 0x10 | method.0 as u8, 0, 8], &ID[..], &[0, 9, 0, 4, 0, 0, 5, 0]].concat();
            assert_eq!(out, [Out::Client(alice, refused)], "{method:?}");
        }
        let mut indication = Vec::new();
        Writer::classic(&mut indication, Method::BINDING, Class::Indication, &ID);
        assert_eq!(silence(&mut world, alice, &indication), Reason::Malformed);
    }
}

/// CLASSIC-009.
#[test]
fn a_stream_without_the_cookie_cannot_be_followed() {
    let packet = request(Method::BINDING, |_| {});
    assert_eq!(next(&packet, false), Frame::Invalid);
    for transport in [Transport::Tcp, Transport::Tls] {
        let path = Path { transport, ..udp(ALICE) };
        assert_eq!(silence(&mut classic(), path, &packet), Reason::Malformed);
    }
}

/// CLASSIC-010.
#[test]
fn turn_has_no_classic_mode() {
    let mut world = classic();
    let alice = world.alice();
    for method in turn_methods() {
        let packet = request(method, |w| {
            allocate(w);
            alice.protect(w);
        });
        assert_eq!(silence(&mut world, alice.path, &packet), Reason::Malformed);
    }
    world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    let mut send = Vec::new();
    Writer::classic(&mut send, Method::SEND, Class::Indication, &ID)
        .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER))
        .attribute(attribute::DATA, b"x");
    assert_eq!(silence(&mut world, alice.path, &send), Reason::Malformed);
}

/// CLASSIC-011.
#[test]
fn the_switch_for_classic_clients_is_not_felt_by_others() {
    let packet = request(Method::BINDING, |_| {});
    let mut off = world();
    assert_eq!(silence(&mut off, udp(ALICE), &packet), Reason::Malformed);
    let mut on = world_with(|options| options.classic = true);
    to_client(&on.client(udp(ALICE), &packet));
    let modern = binding(&mut off);
    assert_eq!(off.client(udp(ALICE), &modern), on.client(udp(ALICE), &modern));
}

/// CLASSIC-012.
#[test]
fn what_only_begins_like_a_classic_message_is_met_with_silence() {
    let mut world = classic();
    for kind in [[0, 1], [0, 0], [1, 1]] {
        for len in [20, 33, 172] {
            let mut packet = vec![0x5A; len];
            packet[..2].copy_from_slice(&kind);
            packet[2..4].copy_from_slice(&[0x12, 0x34]);
            assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed);
        }
    }
}

/// CLASSIC-001, STUN-012.
#[test]
fn classic_responses_and_indications_are_met_with_silence() {
    let mut world = classic();
    for kind in [0x0011_u16, 0x0101, 0x0111] {
        let mut packet = request(Method::BINDING, |_| {});
        packet[..2].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed);
    }
}

/// AMP-005.
#[test]
fn classic_requests_from_an_impossible_source_are_met_with_silence() {
    for source in ["192.0.2.1:0", "224.0.0.1:5000", "255.255.255.255:5000", "0.0.0.0:5000", SERVER] {
        let out = classic().client(udp(source), &request(Method::BINDING, |_| {}));
        assert_eq!(dropped(&out), Reason::BadSource, "{source}");
    }
}
