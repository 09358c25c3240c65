//! Which protocol a datagram is of, and what becomes of ChannelData (RFC 7983, RFC 8656 §12).

use crate::craft::*;
use crate::harness::*;
use hairpin::turn::{Path, Reason, Transport};
use hairpin::wire::{Kind, Method, Writer, attribute};

/// DEMUX-001, DEMUX-002, DEMUX-003, DEMUX-004, DEMUX-005.
#[test]
fn the_first_byte_alone_tells_the_protocol() {
    for first in 0..=255 {
        let wanted = match first {
            0..=3 => Kind::Stun,
            20..=63 => Kind::Dtls,
            64..=79 => Kind::Channel,
            80..=127 => Kind::LegacyChannel,
            _ => Kind::Other,
        };
        assert_eq!(Kind::of(first), wanted, "{first}");
    }
}

/// DEMUX-001.
#[test]
fn types_that_begin_with_2_and_3_are_stun_too() {
    let mut world = world();
    for kind in [0x0200_u16, 0x0210, 0x0300, 0x0310] {
        let mut packet = binding(&mut world);
        packet[..2].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::NotServed, "{kind:#06x} is read");
        packet.truncate(19);
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed, "{kind:#06x} is read");
    }
}

/// DEMUX-002, DEMUX-003.
#[test]
fn channel_data_is_relayed_from_0x4000_to_0x4fff() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for (number, peer) in [(0x4000, PEER), (0x4FFF, "198.18.5.9:5001")] {
        assert_eq!(alice.bind(&mut world, number, peer).code(), None);
        assert_eq!(to_peer(&alice.channel_data(&mut world, number, b"x")), (addr(peer), &b"x"[..]));
    }
    for number in [0x5000, 0x5001, 0x6000, 0x7FFE, 0x7FFF] {
        let out = alice.channel_data(&mut world, number, b"x");
        assert_eq!(dropped(&out), Reason::UnknownProtocol, "{number:#06x}");
    }
}

/// DEMUX-003.
#[test]
fn channels_of_rfc_5766_work_where_they_are_switched_on() {
    let mut world = world_with(|options| options.legacy_channels = true);
    let alice = world.alice();
    world.allocate(&alice);
    for (number, peer) in [(0x5000, PEER), (0x7FFE, "198.18.5.9:5001")] {
        assert_eq!(alice.bind(&mut world, number, peer).code(), None);
        assert_eq!(to_peer(&alice.channel_data(&mut world, number, b"x")), (addr(peer), &b"x"[..]));
    }
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x7FFF, b"x")), Reason::NoChannel);
}

/// DEMUX-004, DEMUX-005, DEMUX-011, AMP-004, SEC-32.
#[test]
fn whatever_is_neither_stun_nor_channel_data_is_met_with_silence() {
    let mut world = world();
    let request = binding(&mut world);
    for first in (4..=63).chain(80..=255) {
        for len in [1, 4, 13, 20, 200] {
            let mut packet = vec![0xA5; len];
            packet[0] = first;
            assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::UnknownProtocol, "{first:#04x}");
        }
        let mut packet = request.clone();
        packet[0] = first;
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::UnknownProtocol, "{first:#04x}");
    }
}

/// DEMUX-006.
#[test]
fn a_datagram_shorter_than_its_header_is_met_with_silence() {
    let mut world = world();
    let request = binding(&mut world);
    assert_eq!(silence(&mut world, udp(ALICE), &[]), Reason::UnknownProtocol);
    for len in 1..20 {
        assert_eq!(silence(&mut world, udp(ALICE), &request[..len]), Reason::Malformed, "{len} bytes");
        assert_eq!(silence(&mut world, udp(ALICE), &vec![0; len]), Reason::Malformed, "{len} zeros");
    }
    for len in 1..4 {
        assert_eq!(silence(&mut world, udp(ALICE), &vec![0x40; len]), Reason::Malformed, "{len} of a channel");
    }
}

/// DEMUX-007.
#[test]
fn plain_datagrams_do_not_reach_the_allocation_of_a_protected_transport() {
    for transport in [Transport::Tls, Transport::Dtls] {
        let mut world = world();
        let path = Path { transport, ..udp(ALICE) };
        let alice = world.login(path, "alice", "secret");
        world.allocate(&alice);
        alice.permit(&mut world, &[PEER]);
        let plain = world.login(udp(ALICE), "alice", "secret");
        let answer = plain.refresh(&mut world, Some(0));
        assert_eq!(answer.code(), Some(437));
        assert!(is_protected(&answer, &plain));
        assert_eq!(dropped(&plain.send(&mut world, PEER, b"x")), Reason::NoAllocation);
        assert!(world.server.has_allocation(&path), "what {transport:?} protects stands");
        assert_eq!(to_peer(&alice.send(&mut world, PEER, b"x")).1, b"x");
    }
}

/// A message to a DTLS client fits one record, or it is not sent: records are not joined again.
#[test]
fn what_fits_no_record_is_not_sent_over_dtls() {
    let mut world = world();
    let alice = world.login(dtls(ALICE, 1), "alice", "secret");
    let relayed = world.allocate(&alice);
    alice.bind(&mut world, 0x4000, PEER);
    let longest = (1 << 14) - 4;
    assert_eq!(to_client(&world.peer(PEER, relayed, &vec![7; longest])).len(), 1 << 14);
    assert_eq!(dropped(&world.peer(PEER, relayed, &vec![7; longest + 1])), Reason::TooBig);
}

/// A message that was cut in two is no message over DTLS, whichever half comes, and the halves are not joined.
#[test]
fn halves_of_a_message_are_not_joined_over_dtls() {
    let mut world = world();
    let request = binding(&mut world);
    for at in [1, 4, 8, 19] {
        let (first, second) = request.split_at(at);
        silence(&mut world, dtls(ALICE, 1), first);
        silence(&mut world, dtls(ALICE, 1), second);
    }
    assert_eq!(world.ask(dtls(ALICE, 1), &request).xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE)]);
}

/// DEMUX-009.
#[test]
fn what_looks_like_a_protocol_is_opaque_when_a_peer_sends_it() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    let request = binding(&mut world);
    let hello = [0x16, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0];
    for packet in [&request[..], &hello, b"\x40\x00\x00\x05hello"] {
        let out = world.peer(PEER, relayed, packet);
        let data = Answer { bytes: to_client(&out).to_vec() };
        assert_eq!(data.message().method(), Method::DATA);
        assert_eq!(data.get(attribute::DATA).unwrap(), packet);
    }
}

/// DEMUX-010.
#[test]
fn channel_data_without_an_allocation_leaves_no_trace() {
    let mut world = world();
    for port in 1..100 {
        let path = udp(&format!("192.0.2.7:{port}"));
        assert_eq!(silence(&mut world, path, b"\x40\x00\x00\x05hello"), Reason::NoAllocation);
    }
}

/// FRAME-004, FRAME-021.
#[test]
fn channel_data_is_padded_on_a_stream_and_nowhere_else() {
    for (path, padded) in [(udp(ALICE), false), (dtls(ALICE, 1), false), (tcp(ALICE, 1), true)] {
        let mut world = world();
        let alice = world.login(path, "alice", "secret");
        let relayed = world.allocate(&alice);
        alice.bind(&mut world, 0x4000, PEER);
        for len in 0..=9 {
            let body = vec![0xA5; len];
            let mut wanted = [&[0x40, 0, 0, len as u8], &body[..]].concat();
            if padded {
                wanted.resize(wanted.len().next_multiple_of(4), 0);
            }
            assert_eq!(to_client(&world.peer(PEER, relayed, &body)), wanted, "{path:?}");
        }
    }
}

/// FRAME-005, SEC-47.
#[test]
fn padding_that_the_server_writes_is_zero() {
    let mut world = world_with(|options| options.software = Some("hairpin".to_owned()));
    for style in [Style::Md5, Style::Sha256] {
        let alice = world.alice().with(style);
        let bare = ask(&mut world, alice.path, Method::ALLOCATE, allocate);
        let answers = [bare, alice.request(&mut world, Method::ALLOCATE, allocate), alice.refresh(&mut world, Some(0))];
        for answer in answers {
            for (code, _, pad) in attributes(&answer.bytes) {
                assert!(pad.iter().all(|byte| *byte == 0), "{code:#06x}");
            }
        }
    }
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    for len in 1..8 {
        let out = world.peer(PEER, relayed, &vec![0xA5; len]);
        let (_, value, pad) = attributes(to_client(&out)).pop().unwrap();
        assert_eq!((value, pad), (vec![0xA5; len], vec![0; len.wrapping_neg() & 3]));
    }
}

/// FRAME-006.
#[test]
fn padding_that_a_client_fills_is_hashed_as_it_came_and_otherwise_ignored() {
    let mut world = world();
    let alice = world.alice();
    let mut request = message(&mut world, Method::ALLOCATE, hairpin::wire::Class::Request, allocate);
    append(&mut request, attribute::USERNAME, b"alice", b' ');
    append(&mut request, attribute::REALM, REALM.as_bytes(), 0xFF);
    append(&mut request, attribute::NONCE, &alice.nonce, b'x');
    let mac = hairpin::wire::integrity::sha1(&request, request.len(), alice.key().as_bytes());
    append(&mut request, attribute::MESSAGE_INTEGRITY, &mac, 0);
    let crc = hairpin::wire::integrity::fingerprint(&request, request.len());
    append(&mut request, attribute::FINGERPRINT, &crc.to_be_bytes(), 0);
    assert_eq!(world.ask(alice.path, &request).code(), None);

    alice.bind(&mut world, 0x4000, PEER);
    let out = world.client(alice.path, b"\x40\x00\x00\x05hello\xff\xff\xff");
    assert_eq!(to_peer(&out), (addr(PEER), &b"hello"[..]));
}

/// FRAME-017, FRAME-018.
#[test]
fn a_datagram_is_one_message_and_no_byte_more_or_less() {
    let mut world = world();
    let request = message(&mut world, Method::BINDING, hairpin::wire::Class::Request, |w| {
        w.attribute(attribute::SOFTWARE, b"test");
    });
    for len in 20..request.len() {
        assert_eq!(silence(&mut world, udp(ALICE), &request[..len]), Reason::Malformed, "cut at {len}");
    }
    for tail in 1..9 {
        let long = [&request[..], &vec![0; tail]].concat();
        assert_eq!(silence(&mut world, udp(ALICE), &long), Reason::Malformed, "{tail} bytes too many");
    }
}

/// FRAME-019, FRAME-020.
#[test]
fn channel_data_on_udp_may_have_a_tail_but_no_hole() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    alice.bind(&mut world, 0x4000, PEER);
    for tail in 0..=5 {
        let packet = [&b"\x40\x00\x00\x05hello"[..], &vec![0xA5; tail]].concat();
        assert_eq!(to_peer(&world.client(alice.path, &packet)), (addr(PEER), &b"hello"[..]));
    }
    for len in [6_u16, 7, 0x8000, 0xFFFF] {
        let packet = [&[0x40, 0], &len.to_be_bytes()[..], b"hello"].concat();
        assert_eq!(silence(&mut world, alice.path, &packet), Reason::Malformed, "{len}");
    }
}

/// DEMUX-006, SEC-41.
#[test]
fn a_message_cut_anywhere_is_met_with_silence() {
    let mut world = world();
    let alice = world.alice().with(Style::Sha256);
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w: &mut Writer<'_>| {
        allocate(w);
        w.number(attribute::LIFETIME, 1200);
    });
    for len in 1..request.len() {
        assert_eq!(silence(&mut world, alice.path, &request[..len]), Reason::Malformed, "cut at {len}");
    }
    assert_eq!(world.ask(alice.path, &request).code(), None, "and whole it is served");
}
