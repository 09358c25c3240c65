//! Send and Data indications (RFC 8656 §11), and what translation does to them (§13 to §16).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Reason;
use hairpin::wire::address::Family;
use hairpin::wire::{Class, Method, attribute};
use std::net::SocketAddr;

/// A peer that never gets a permission.
const STRANGER: &str = "198.18.5.66:5000";

/// A client on this path with an allocation and a permission for the usual peer.
fn permitted(path: hairpin::turn::Path) -> (World, Client, SocketAddr) {
    let mut world = patient();
    let alice = world.login(path, "alice", "secret");
    let relayed = alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 3600)).relayed();
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    (world, alice, relayed)
}

/// TURN-070.
#[test]
fn what_is_sent_arrives_exactly_and_from_the_relayed_address() {
    let (mut world, alice, relayed) = permitted(tcp(ALICE, 1));
    for len in [1, 3, 1_200, 65_000] {
        let body: Vec<u8> = (0..len).map(|i: u32| i as u8).collect();
        let out = alice.send(&mut world, PEER, &body);
        let [Out::Peer(relay, to, sent, dont_fragment)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(world.sockets[relay], relayed);
        assert_eq!((*to, sent.len(), *dont_fragment), (addr(PEER), body.len(), false));
        assert!(*sent == body, "{len} bytes, none of them padding");
    }
}

/// TURN-071.
#[test]
fn without_permission_a_send_meets_silence_and_changes_nothing() {
    let (mut world, alice, relayed) = permitted(udp(ALICE));
    assert_eq!(dropped(&alice.send(&mut world, STRANGER, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&world.peer(STRANGER, relayed, b"x")), Reason::NoPermission, "none was made by it");
    world.seconds(300);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
    let bob = world.bob();
    assert_eq!(dropped(&bob.send(&mut world, PEER, b"x")), Reason::NoAllocation);
}

/// TURN-072.
#[test]
fn a_send_that_lacks_what_it_needs_meets_silence() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    let no_peer = alice.indicate(&mut world, |w| _ = w.attribute(attribute::DATA, b"x"));
    assert_eq!(dropped(&no_peer), Reason::BadIndication);
    let no_data = alice.indicate(&mut world, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)));
    assert_eq!(dropped(&no_data), Reason::BadIndication);
    for value in [&[][..], &[0, 1], &[0, 1, 0, 0, 1, 2, 3], &[0, 2, 0, 0, 1, 2, 3, 4], &[0, 9, 0, 0, 1, 2, 3, 4]] {
        let out = alice.indicate(&mut world, |w| {
            w.attribute(attribute::XOR_PEER_ADDRESS, value).attribute(attribute::DATA, b"x");
        });
        assert_eq!(dropped(&out), Reason::BadIndication);
    }
    assert_eq!(dropped(&alice.send(&mut world, "198.18.5.9:0", b"x")), Reason::Denied);
}

/// TURN-073.
#[test]
fn an_empty_send_is_an_empty_datagram() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"")), (addr(PEER), &b""[..]));
}

/// TURN-074, XLAT-005, XLAT-006.
#[test]
fn fragments_are_forbidden_for_the_one_datagram_that_asks_for_it() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    let with = |world: &mut World| {
        alice.indicate(world, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
            w.attribute(attribute::DONT_FRAGMENT, &[]).attribute(attribute::DATA, b"x");
        })
    };
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert!(!forbids_fragments(&alice.send(&mut world, PEER, b"x")));
    assert!(forbids_fragments(&with(&mut world)));
    assert!(!forbids_fragments(&alice.send(&mut world, PEER, b"x")));
    assert!(!forbids_fragments(&alice.channel_data(&mut world, 0x4000, b"x")));
}

/// XLAT-007 (D-08): where a leg is IPv6, a datagram client's DONT-FRAGMENT means nothing; a stream client's does.
#[test]
fn with_an_ipv6_leg_dont_fragment_is_ignored_and_the_data_relayed() {
    let ways = [
        (udp(ALICE), PEER, true),
        (udp(ALICE), PEER6, false),
        (udp(ALICE6), PEER, false),
        (udp(ALICE6), PEER6, false),
        (tcp(ALICE, 1), PEER, true),
        (tcp(ALICE, 1), PEER6, true),
        (tcp(ALICE6, 1), PEER, true),
    ];
    for (path, peer, expected) in ways {
        let mut world = world();
        let alice = world.login(path, "alice", "secret");
        alice.allocate_dual(&mut world);
        alice.assert_granted(&alice.permit(&mut world, &[peer]));
        let out = alice.indicate(&mut world, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
            w.attribute(attribute::DONT_FRAGMENT, &[]).attribute(attribute::DATA, b"x");
        });
        assert_eq!(to_peer(&out), (addr(peer), &b"x"[..]));
        assert_eq!(forbids_fragments(&out), expected, "{path:?} to {peer}");
    }
}

/// XLAT-008, XLAT-012, TURN-063.
#[test]
fn data_crosses_between_families_unchanged() {
    for (client, peer, family) in
        [(ALICE, PEER, Family::V4), (ALICE, PEER6, Family::V6), (ALICE6, PEER, Family::V4), (ALICE6, PEER6, Family::V6)]
    {
        let mut world = world();
        let alice = world.login(udp(client), "alice", "secret");
        let answer = alice.allocate(&mut world, |w| family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, family));
        let relayed = answer.relayed();
        alice.assert_granted(&alice.permit(&mut world, &[peer]));
        let body: Vec<u8> = (0..=255).collect();
        assert_eq!(to_peer(&alice.send(&mut world, peer, &body)), (addr(peer), &body[..]));
        assert_eq!(data(&world.peer(peer, relayed, &body)), (addr(peer), body.clone()));
        alice.assert_granted(&alice.bind(&mut world, 0x4000, peer));
        assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, &body)).1, body);
        assert_eq!(to_client(&world.peer(peer, relayed, &body))[4..], body);
    }
}

/// XLAT-010: the core has no buffer of its own that could be too small.
#[test]
fn a_large_datagram_comes_through_whole() {
    let (mut world, alice, relayed) = permitted(udp(ALICE));
    let body = vec![0x5A; 3_000];
    assert_eq!(data(&world.peer(PEER, relayed, &body)).1, body);
    assert_eq!(to_peer(&alice.send(&mut world, PEER, &body)).1, body);
}

/// TURN-075.
#[test]
fn a_send_with_an_attribute_that_must_be_understood_and_is_not_meets_silence() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    let with = |world: &mut World, code: u16| {
        alice.indicate(world, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
            w.attribute(attribute::DATA, b"x").attribute(code, &[0; 4]);
        })
    };
    assert_eq!(dropped(&with(&mut world, 0x7F01)), Reason::BadIndication);
    assert_eq!(to_peer(&with(&mut world, 0xFF01)).1, b"x", "one that need not be understood is ignored");
}

/// TURN-076, SEC-01: a permission names no port, so each Send is judged by the rules again.
#[test]
fn a_send_is_judged_by_the_rules_though_it_has_a_permission() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    let listener = addr(SERVER);
    alice.assert_granted(&alice.permit(&mut world, &[&format!("{}:0", listener.ip())]));
    assert_eq!(dropped(&alice.send(&mut world, SERVER, b"x")), Reason::Denied);
    let relay_port = format!("{}:50000", listener.ip());
    assert_eq!(to_peer(&alice.send(&mut world, &relay_port, b"x")).1, b"x");
}

/// AUTH-044.
#[test]
fn integrity_on_a_send_means_nothing() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    for key in [&b"right or not"[..], alice.key().as_bytes()] {
        let out = alice.indicate(&mut world, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x").sha1(key);
        });
        assert_eq!(to_peer(&out).1, b"x");
    }
}

/// TURN-077, FRAME-005.
#[test]
fn what_a_peer_sends_comes_as_a_data_indication() {
    for path in [udp(ALICE), tcp(ALICE, 1)] {
        let (mut world, _, relayed) = permitted(path);
        for len in [0, 1, 2, 3, 4, 5] {
            let body = vec![0x5A; len];
            let out = world.peer(PEER, relayed, &body);
            assert_eq!(data(&out), (addr(PEER), body));
            let bytes = to_client(&out);
            assert_eq!(bytes[..2], [0x00, 0x17]);
            assert!(bytes[36 + len..].iter().all(|byte| *byte == 0), "padding is zero");
            assert!(matches!(out[..], [Out::Client(to, _)] if to == path));
        }
    }
}

/// TURN-077: each indication has an id of its own.
#[test]
fn no_two_data_indications_share_a_transaction_id() {
    let (mut world, _, relayed) = permitted(udp(ALICE));
    let mut id = || Answer { bytes: to_client(&world.peer(PEER, relayed, b"x")).to_vec() }.message().transaction();
    let ids: std::collections::HashSet<_> = (0..1000).map(|_| id()).collect();
    assert_eq!(ids.len(), 1000);
}

/// TURN-078.
#[test]
fn a_channel_is_for_one_port_and_other_ports_come_as_data_indications() {
    let (mut world, alice, relayed) = permitted(udp(ALICE));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"p")), b"\x40\x00\x00\x01p");
    assert_eq!(data(&world.peer("198.18.5.9:6000", relayed, b"q")), (addr("198.18.5.9:6000"), b"q".to_vec()));
}

/// TURN-079, TURN-111.
#[test]
fn a_send_to_a_peer_with_a_channel_is_relayed_and_answered_on_the_channel() {
    let (mut world, alice, relayed) = permitted(udp(ALICE));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"ask")), (addr(PEER), &b"ask"[..]));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"answer")), b"\x40\x00\x00\x06answer");
}

/// TURN-080.
#[test]
fn what_does_not_fit_a_datagram_with_its_head_is_dropped() {
    // 65507 bytes are the most that UDP carries over IPv4, 65527 over IPv6.
    let fits = |client: &str, peer: &str, channel: bool, len: usize| {
        let mut world = world();
        let alice = world.login(udp(client), "alice", "secret");
        let (four, six) = alice.allocate_dual(&mut world);
        alice.assert_granted(&alice.permit(&mut world, &[peer]));
        if channel {
            alice.assert_granted(&alice.bind(&mut world, 0x4000, peer));
        }
        let relayed = if addr(peer).is_ipv4() { four } else { six };
        match &world.peer(peer, relayed, &vec![0; len])[..] {
            [Out::Client(_, bytes)] => bytes.len() <= if addr(client).is_ipv4() { 65_507 } else { 65_527 },
            [Out::Drop(Reason::TooBig)] => false,
            other => panic!("{other:?}"),
        }
    };
    // A Data indication costs 36 bytes for an IPv4 peer, 48 for IPv6, and padding.
    assert!(fits(ALICE, PEER, false, 65_468) && !fits(ALICE, PEER, false, 65_472));
    assert!(fits(ALICE, PEER6, false, 65_456) && !fits(ALICE, PEER6, false, 65_460));
    assert!(fits(ALICE6, PEER, false, 65_488) && !fits(ALICE6, PEER, false, 65_492));
    assert!(fits(ALICE, PEER, true, 65_503) && !fits(ALICE, PEER, true, 65_504));
    assert!(!fits(ALICE, PEER, false, 65_507) && !fits(ALICE6, PEER6, false, 65_527));
}

/// TURN-080: the other way, a stream client can announce more than a datagram holds.
#[test]
fn what_does_not_fit_a_datagram_to_the_peer_is_dropped() {
    let (mut world, alice, _) = permitted(tcp(ALICE, 1));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let body = vec![0; 65_508];
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, &body)), Reason::TooBig);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, &body[1..])).1.len(), 65_507);
}

/// TURN-077, FRAME-004: on a stream the frame is padded, its length is not.
#[test]
fn channel_data_is_padded_for_stream_clients_only() {
    for (path, pads) in [(tcp(ALICE, 1), true), (udp(ALICE), false)] {
        let (mut world, alice, relayed) = permitted(path);
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        for len in 0..6_usize {
            let bytes = to_client(&world.peer(PEER, relayed, &vec![0x5A; len])).to_vec();
            let padding = if pads { len.wrapping_neg() & 3 } else { 0 };
            assert_eq!(bytes.len(), 4 + len + padding);
            assert_eq!(bytes[..4], [0x40, 0x00, 0x00, len as u8]);
            assert!(bytes[4 + len..].iter().all(|byte| *byte == 0));
        }
    }
}

/// DEMUX-009: whatever a peer sends is data.
#[test]
fn what_looks_like_a_request_is_data_when_a_peer_sends_it() {
    let (mut world, _, relayed) = permitted(udp(ALICE));
    let binding = world.bare(Method::BINDING, Class::Request, |_| {});
    let look_alikes: [&[u8]; 3] = [&binding, b"\x16\xfe\xfd\x00\x00", b"\x40\x00\x00\x01x"];
    for body in look_alikes {
        assert_eq!(data(&world.peer(PEER, relayed, body)).1, body);
    }
}

/// STUN-011, STUN-012: what a server is never sent is not answered.
#[test]
fn requests_and_responses_of_send_and_data_meet_silence() {
    let (mut world, alice, _) = permitted(udp(ALICE));
    for method in [Method::SEND, Method::DATA] {
        for class in [Class::Request, Class::Success, Class::Error] {
            let packet = world.bare(method, class, |w| {
                w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x");
            });
            assert_eq!(dropped(&world.client(alice.path, &packet)), Reason::NotServed);
        }
    }
    let data = world.bare(Method::DATA, Class::Indication, |w| _ = w.attribute(attribute::DATA, b"x"));
    assert_eq!(dropped(&world.client(alice.path, &data)), Reason::NotServed);
}
