//! ChannelBind and ChannelData (RFC 8656 §12).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Reason;
use hairpin::wire::address::encode_xor;
use hairpin::wire::{Method, attribute};
use std::net::SocketAddr;
use std::time::Duration;

const PEER_OTHER_PORT: &str = "198.18.5.9:6000";
const PEER2: &str = "198.18.5.10:5000";

/// Alice with an allocation that lasts an hour.
fn allocated() -> (World, Client, SocketAddr) {
    allocated_in(patient())
}

fn allocated_in(mut world: World) -> (World, Client, SocketAddr) {
    let alice = world.alice();
    let relayed = alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 3600)).relayed();
    (world, alice, relayed)
}

/// TURN-100, TURN-112 (D-11).
#[test]
fn a_channel_lasts_ten_minutes_and_the_permission_that_comes_with_it_five() {
    let (mut world, alice, relayed) = allocated();
    let answer = alice.bind(&mut world, 0x4000, PEER);
    alice.assert_granted(&answer);
    assert_eq!(answer.bytes[..2], [0x01, 0x09]);
    assert!(answer.codes().is_empty());
    world.pass(Duration::from_millis(299_999));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
    assert_eq!(data(&world.peer(PEER_OTHER_PORT, relayed, b"x")).0, addr(PEER_OTHER_PORT));
    world.pass(Duration::from_millis(1));
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&world.peer(PEER_OTHER_PORT, relayed, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x");
    world.pass(Duration::from_millis(299_999));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x");
    world.pass(Duration::from_millis(1));
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
}

/// TURN-112: a permission by another way brings the answers back.
#[test]
fn a_channel_without_permission_carries_answers_again_once_there_is_one() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(301);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
    // The channel ends first now; then the permission lets the same peer in as Data.
    world.seconds(299);
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).0, addr(PEER));
}

/// TURN-101.
#[test]
fn a_channel_needs_a_number_and_a_peer() {
    let (mut world, alice, _) = allocated();
    let bind = |world: &mut World, number: Option<&[u8]>, peer: Option<&[u8]>| {
        alice.request(world, Method::CHANNEL_BIND, |w| {
            if let Some(number) = number {
                w.attribute(attribute::CHANNEL_NUMBER, number);
            }
            if let Some(peer) = peer {
                w.attribute(attribute::XOR_PEER_ADDRESS, peer);
            }
        })
    };
    let peer = encode_xor(addr(PEER), &[0; 12]);
    let number: &[u8] = &[0x40, 0, 0, 0];
    let requests = [
        (None, None),
        (None, Some(peer.as_bytes())),
        (Some(number), None),
        (Some(&number[..2]), Some(peer.as_bytes())),
        (Some(number), Some(&peer.as_bytes()[..4])),
    ];
    for (number, peer) in requests {
        alice.assert_refused(&bind(&mut world, number, peer), 400);
    }
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
}

/// TURN-102 (D-16).
#[test]
fn channel_numbers_are_those_of_rfc_8656() {
    let (mut world, alice, _) = allocated();
    for number in [0x0000, 0x3FFF, 0x5000, 0x7FFE, 0x7FFF, 0xFFFF] {
        alice.assert_refused(&alice.bind(&mut world, number, PEER), 400);
    }
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_granted(&alice.bind(&mut world, 0x4FFF, PEER2));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4FFF, b"x")).0, addr(PEER2));
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x5000, b"x")), Reason::UnknownProtocol);
}

/// TURN-118 (D-16).
#[test]
fn the_numbers_of_rfc_5766_are_taken_where_that_is_configured() {
    let (mut world, alice, relayed) = allocated_in(patient_with(|options| options.legacy_channels = true));
    for (number, peer) in [(0x5000, PEER), (0x7FFE, PEER2)] {
        alice.assert_granted(&alice.bind(&mut world, number, peer));
        assert_eq!(to_peer(&alice.channel_data(&mut world, number, b"x")).0, addr(peer));
        assert_eq!(to_client(&world.peer(peer, relayed, b"x"))[..2], number.to_be_bytes());
    }
    for number in [0x3FFF, 0x7FFF] {
        alice.assert_refused(&alice.bind(&mut world, number, PEER_OTHER_PORT), 400);
    }
}

/// TURN-103.
#[test]
fn a_number_in_use_is_not_given_to_another_peer() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    for other in [PEER2, PEER_OTHER_PORT] {
        alice.assert_refused(&alice.bind(&mut world, 0x4000, other), 400);
    }
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).0, addr(PEER));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
}

/// TURN-104.
#[test]
fn a_peer_with_a_channel_is_not_given_another() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_refused(&alice.bind(&mut world, 0x4001, PEER), 400);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4001, b"x")), Reason::NoChannel);
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
    // Another port of it is another peer.
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER_OTHER_PORT));
    assert_eq!(to_client(&world.peer(PEER_OTHER_PORT, relayed, b"x")), b"\x40\x01\x00\x01x");
}

/// TURN-105.
#[test]
fn binding_the_same_pair_again_restarts_both_times() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(290);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(299);
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
    world.seconds(1);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    world.seconds(299);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x");
    world.seconds(1);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
}

/// TURN-106.
#[test]
fn a_number_and_a_peer_are_free_again_when_the_channel_has_ended() {
    // At once, before the sweep, and after it.
    for late in [0, 1000] {
        let (mut world, alice, relayed) = allocated();
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER2));
        world.now.time = world.now.time.after(Duration::from_secs(600));
        world.pass(Duration::from_millis(late));
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER2));
        alice.assert_granted(&alice.bind(&mut world, 0x4002, PEER));
        assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).0, addr(PEER2));
        assert_eq!(dropped(&alice.channel_data(&mut world, 0x4001, b"x")), Reason::NoChannel);
        assert_eq!(to_client(&world.peer(PEER2, relayed, b"x")), b"\x40\x00\x00\x01x");
        assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x02\x00\x01x");
        world.seconds(299);
        assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x02\x00\x01x", "the sweep spares the new ones");
    }
}

/// TURN-107, TURN-054, TURN-055.
#[test]
fn a_channel_is_refused_for_family_rules_room_and_lack_of_an_allocation() {
    let (mut world, alice, _) = allocated_in(patient_with(|options| options.channels = 2));
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER6), 443);
    alice.assert_refused(&alice.bind(&mut world, 0x4000, "127.0.0.1:80"), 403);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER2));
    alice.assert_refused(&alice.bind(&mut world, 0x4002, PEER_OTHER_PORT), 508);
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER2));
    let bob = world.bob();
    bob.assert_refused(&bob.bind(&mut world, 0x4000, PEER), 437);
    bob.assert_refused(&bob.bind(&mut world, 0xFFFF, PEER), 437);
}

/// TURN-107: a channel that has ended leaves room.
#[test]
fn a_full_allocation_has_room_again_when_a_channel_has_ended() {
    let (mut world, alice, _) = allocated_in(patient_with(|options| options.channels = 1));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(599);
    alice.assert_refused(&alice.bind(&mut world, 0x4001, PEER2), 508);
    world.seconds(2);
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER2));
}

/// TURN-108, DEMUX-010.
#[test]
fn channel_data_on_an_unbound_number_meets_silence() {
    let (mut world, alice, _) = allocated();
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
    let bob = world.bob();
    assert_eq!(dropped(&bob.channel_data(&mut world, 0x4000, b"x")), Reason::NoAllocation);
}

/// TURN-109.
#[test]
fn empty_channel_data_is_an_empty_datagram() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"")), (addr(PEER), &b""[..]));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"")), b"\x40\x00\x00\x00");
}

/// FRAME-019, FRAME-020: padding after the announced length is not relayed, a longer announcement nothing at all.
#[test]
fn channel_data_is_as_long_as_it_says() {
    let (mut world, alice, _) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_peer(&world.client(alice.path, b"\x40\x00\x00\x02hi\xa5\xa5")).1, b"hi");
    for short in [&b"\x40\x00\x00\x03hi"[..], b"\x40\x00\x00", b"\x40", b"\x40\x00\xff\xffhi"] {
        assert_eq!(dropped(&world.client(alice.path, short)), Reason::Malformed);
    }
}

/// TURN-110.
#[test]
fn channel_data_refreshes_no_channel() {
    let (mut world, alice, _) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    for second in 0..600 {
        assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x", "at {second} s");
        world.seconds(1);
    }
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
}

/// TURN-111.
#[test]
fn while_there_is_a_channel_its_peer_is_heard_on_it() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).0, addr(PEER));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    for len in [0, 1, 1200] {
        assert_eq!(to_client(&world.peer(PEER, relayed, &vec![1; len])).len(), 4 + len);
    }
}

/// TURN-113.
#[test]
fn the_same_number_means_different_peers_to_different_clients() {
    let (mut world, alice, _) = allocated();
    let bob = world.bob();
    world.allocate(&bob);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    bob.assert_granted(&bob.bind(&mut world, 0x4000, PEER2));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).0, addr(PEER));
    assert_eq!(to_peer(&bob.channel_data(&mut world, 0x4000, b"x")).0, addr(PEER2));
    bob.refresh(&mut world, Some(0));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).0, addr(PEER));
}

/// TURN-115.
#[test]
fn channel_data_that_overtakes_its_bind_is_dropped_and_what_follows_is_relayed() {
    let (mut world, alice, _) = allocated();
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"early")), Reason::NoChannel);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"on time")).1, b"on time");
}

/// TURN-116.
#[test]
fn no_channel_leads_to_port_zero() {
    let (mut world, alice, _) = allocated();
    alice.assert_refused(&alice.bind(&mut world, 0x4000, "198.18.5.9:0"), 400);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
}

/// TURN-117.
#[test]
fn a_refused_bind_permits_nothing() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER2), 400);
    alice.assert_refused(&alice.bind(&mut world, 0x5000, PEER2), 400);
    assert_eq!(dropped(&world.peer(PEER2, relayed, b"x")), Reason::NoPermission);
    world.seconds(299);
    // Refused now, this must not prolong what the first one permitted.
    alice.assert_refused(&alice.bind(&mut world, 0x4001, PEER), 400);
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER_OTHER_PORT), 400);
    world.seconds(1);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
}
