//! ICMP errors that come back to a relayed address (RFC 8656 §11.5, §18.13).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::{Event, Icmp, Reason, RelayId};
use std::net::SocketAddr;

/// A dual allocation with permissions for both usual peers.
fn permitted() -> (World, Client, SocketAddr, SocketAddr) {
    let mut world = patient();
    let alice = world.alice();
    let (four, six) = alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    (world, alice, four, six)
}

/// TURN-090, TURN-095.
#[test]
fn errors_that_tell_of_a_peer_are_relayed() {
    let (mut world, alice, four, six) = permitted();
    for (kind, code) in [(3, 0), (3, 1), (3, 3), (3, 13), (11, 0), (11, 1)] {
        let (peer, value) = icmp_data(&world.icmp(four, PEER, kind, code, 0));
        assert_eq!((peer, &value[..]), (addr(PEER), &[0, 0, kind, code, 0, 0, 0, 0][..]));
        world.seconds(1);
    }
    for (kind, code) in [(1, 0), (1, 4), (2, 0), (3, 0)] {
        let (peer, value) = icmp_data(&world.icmp(six, PEER6, kind, code, 0));
        assert_eq!((peer, &value[..]), (addr(PEER6), &[0, 0, kind, code, 0, 0, 0, 0][..]));
        world.seconds(1);
    }
    // The socket lives on: an error is news, not an end.
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"x")).1, b"x");
    assert_eq!(data(&world.peer(PEER, four, b"x")).1, b"x");
    world.assert_holds(1, 2);
}

/// TURN-091: where the datagram went decides; which router complained is not even told.
#[test]
fn the_peer_is_whom_the_datagram_went_to() {
    let (mut world, _, four, _) = permitted();
    assert_eq!(icmp_data(&world.icmp(four, PEER, 3, 1, 0)).0, addr(PEER));
    assert_eq!(world.icmp(four, "198.18.5.254:5000", 3, 1, 0), []);
}

/// TURN-092.
#[test]
fn other_errors_are_not_relayed() {
    let (mut world, _, four, six) = permitted();
    for kind in (0..=255).filter(|kind| ![3, 11].contains(kind)) {
        assert_eq!(world.icmp(four, PEER, kind, 0, 0), [], "type {kind}");
    }
    for kind in (0..=255).filter(|kind| ![1, 2, 3].contains(kind)) {
        assert_eq!(world.icmp(six, PEER6, kind, 0, 0), [], "type {kind}");
    }
    let drops = world.server.counters().drops[Reason::Icmp as usize];
    assert_eq!(drops, 254 + 253, "and each is counted");
}

/// TURN-092.
#[test]
fn without_permission_or_socket_an_error_is_not_relayed() {
    let (mut world, alice, four, _) = permitted();
    let icmp = Icmp { kind: 3, code: 3, mtu: 0 };
    assert_eq!(world.icmp(four, "198.18.5.10:5000", 3, 3, 0), []);
    assert_eq!(world.event(Event::Icmp { relay: RelayId(777), peer: addr(PEER), icmp }), []);
    let relay = world.relay_at(four).unwrap();
    alice.refresh(&mut world, Some(0));
    assert_eq!(world.event(Event::Icmp { relay, peer: addr(PEER), icmp }), []);
}

/// TURN-092, TURN-056.
#[test]
fn an_error_that_comes_after_the_permission_has_ended_is_not_relayed() {
    let (mut world, _, four, _) = permitted();
    world.seconds(299);
    assert_eq!(icmp_data(&world.icmp(four, PEER, 3, 3, 0)).0, addr(PEER));
    world.seconds(1);
    assert_eq!(world.icmp(four, PEER, 3, 3, 0), []);
}

/// TURN-092, TURN-036: a permission may seem to outlive its allocation for the moment until it is swept.
#[test]
fn an_error_that_comes_after_the_allocation_has_ended_is_not_relayed() {
    let (mut world, alice, four, _) = permitted();
    let relay = world.relay_at(four).unwrap();
    world.seconds(500);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.now.time = world.now.time.after(std::time::Duration::from_secs(100));
    let icmp = Icmp { kind: 3, code: 3, mtu: 0 };
    assert_eq!(world.event(Event::Icmp { relay, peer: addr(PEER), icmp }), []);
}

/// TURN-093, TURN-111.
#[test]
fn an_error_comes_as_a_data_indication_even_where_there_is_a_channel() {
    let (mut world, alice, four, _) = permitted();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_client(&world.peer(PEER, four, b"x")), b"\x40\x00\x00\x01x");
    assert_eq!(icmp_data(&world.icmp(four, PEER, 3, 3, 0)).1, [0, 0, 3, 3, 0, 0, 0, 0]);
}

/// TURN-094.
#[test]
fn the_port_is_told_if_it_is_known() {
    let (mut world, _, four, _) = permitted();
    assert_eq!(icmp_data(&world.icmp(four, "198.18.5.9:7777", 3, 3, 0)).0, addr("198.18.5.9:7777"));
    assert_eq!(icmp_data(&world.icmp(four, "198.18.5.9:0", 3, 3, 0)).0, addr("198.18.5.9:0"));
}

/// TURN-095 (D-06).
#[test]
fn the_mtu_is_told_where_the_error_is_about_it() {
    let (mut world, _, four, six) = permitted();
    assert_eq!(icmp_data(&world.icmp(four, PEER, 3, 4, 1400)).1, [0, 0, 3, 4, 0, 0, 0x05, 0x78]);
    assert_eq!(icmp_data(&world.icmp(six, PEER6, 2, 0, 1280)).1, [0, 0, 2, 0, 0, 0, 0x05, 0x00]);
    for (relayed, peer, kind, code) in [(four, PEER, 3, 3), (four, PEER, 11, 0), (six, PEER6, 1, 4), (six, PEER6, 2, 1)]
    {
        let value = icmp_data(&world.icmp(relayed, peer, kind, code, 0xFFFF_FFFF)).1;
        assert_eq!(value, [0, 0, kind, code, 0, 0, 0, 0]);
    }
}

/// TURN-096.
#[test]
fn a_flood_of_errors_is_cut_to_ten_each_second_and_allocation() {
    let (mut world, _, four, _) = permitted();
    let bob = world.bob();
    let other = world.allocate(&bob);
    bob.assert_granted(&bob.permit(&mut world, &[PEER]));
    let flood = |world: &mut World| (0..1000).filter(|_| !world.icmp(four, PEER, 3, 3, 0).is_empty()).count();
    assert_eq!(flood(&mut world), 10);
    assert_eq!(icmp_data(&world.icmp(other, PEER, 3, 3, 0)).0, addr(PEER), "bob has a rate of his own");
    assert_eq!(data(&world.peer(PEER, four, b"x")).1, b"x", "data has nothing to do with it");
    world.seconds(1);
    assert_eq!(flood(&mut world), 10);
}
