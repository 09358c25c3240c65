//! Allocations with an IPv4 and an IPv6 relayed address (RFC 8656 §7.2, §8).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Reason;
use hairpin::wire::address::Family;
use hairpin::wire::{Method, attribute};
use std::net::SocketAddr;

/// A dual request, as an answer.
fn ask(alice: &Client, world: &mut World) -> Answer {
    alice.allocate(world, |w| family_is(w, attribute::ADDITIONAL_ADDRESS_FAMILY, Family::V6))
}

/// TURN-025.
#[test]
fn both_families_come_with_one_lifetime_and_one_charge() {
    let mut world = world();
    let alice = world.alice();
    let answer = ask(&alice, &mut world);
    alice.assert_granted(&answer);
    let relayed = answer.xor(attribute::XOR_RELAYED_ADDRESS);
    assert_eq!(relayed.iter().map(SocketAddr::is_ipv4).collect::<Vec<_>>(), [true, false]);
    assert_eq!(answer.codes().iter().filter(|code| **code == attribute::LIFETIME).count(), 1);
    assert_eq!(answer.get(attribute::ADDRESS_ERROR_CODE), None);
    world.assert_holds(1, 2);
    world.seconds(601);
    world.assert_empty();
}

/// TURN-025.
#[test]
fn the_additional_family_can_only_be_ipv6() {
    let mut world = world();
    let alice = world.alice();
    for code in [0, 1, 3] {
        let answer = alice.allocate(&mut world, |w| {
            w.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[code, 0, 0, 0]);
        });
        alice.assert_refused(&answer, 400);
    }
    world.assert_empty();
}

/// TURN-026.
#[test]
fn a_dual_request_may_want_even_ports_but_no_reservation() {
    let mut world = world();
    let alice = world.alice();
    let with = |world: &mut World, even: u8| {
        alice.allocate(world, |w| {
            family_is(w, attribute::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
            w.attribute(attribute::EVEN_PORT, &[even]);
        })
    };
    let reserved = with(&mut world, 0x80);
    alice.assert_refused(&reserved, 400);
    world.assert_empty();
    let even = with(&mut world, 0);
    alice.assert_granted(&even);
    assert!(even.xor(attribute::XOR_RELAYED_ADDRESS).iter().all(|at| at.port() % 2 == 0));
    world.assert_holds(1, 2);
}

/// TURN-027.
#[test]
fn a_family_that_is_not_offered_is_told_beside_the_other() {
    let mut world = world_with(|options| options.addresses.local.retain(std::net::IpAddr::is_ipv4));
    let alice = world.alice();
    let answer = ask(&alice, &mut world);
    alice.assert_granted(&answer);
    assert!(answer.relayed().is_ipv4());
    assert_eq!(answer.get(attribute::ADDRESS_ERROR_CODE).unwrap(), [2, 0, 4, 40]);
    let mut world = world_with(|options| options.addresses.local.retain(std::net::IpAddr::is_ipv6));
    let alice = world.alice();
    let answer = ask(&alice, &mut world);
    assert!(answer.relayed().is_ipv6());
    assert_eq!(answer.get(attribute::ADDRESS_ERROR_CODE).unwrap(), [1, 0, 4, 40]);
    world.assert_holds(1, 1);
}

/// TURN-027: a shortage is another thing than a lack.
#[test]
fn a_family_that_has_run_out_is_told_beside_the_other() {
    for (short, told) in [(SERVER6, [2, 0, 5, 8]), (SERVER, [1, 0, 5, 8])] {
        let mut world = world_with(|options| options.ports = 50_000..=50_001);
        world.taken = [50_000, 50_001].map(|port| SocketAddr::new(addr(short).ip(), port)).into();
        let alice = world.alice();
        let answer = ask(&alice, &mut world);
        alice.assert_granted(&answer);
        assert_ne!(answer.relayed().ip(), addr(short).ip());
        assert_eq!(answer.get(attribute::ADDRESS_ERROR_CODE).unwrap(), told);
        world.assert_holds(1, 1);
        alice.refresh(&mut world, Some(0));
        world.assert_empty();
    }
}

/// TURN-007, TURN-027.
#[test]
fn a_retransmitted_dual_request_hears_again_what_could_not_be_had() {
    let mut world = world_with(|options| options.addresses.local.retain(std::net::IpAddr::is_ipv4));
    let alice = world.alice();
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
        family_is(w, attribute::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
    });
    let first = world.ask(alice.path, &request);
    let again = world.ask(alice.path, &request);
    assert_eq!(again.codes(), first.codes());
    assert_eq!(again.get(attribute::ADDRESS_ERROR_CODE).unwrap(), [2, 0, 4, 40]);
}

/// TURN-028.
#[test]
fn a_dual_request_is_refused_when_neither_family_can_be_had() {
    let mut world = world();
    let alice = world.alice();
    world.exhausted = true;
    let answer = ask(&alice, &mut world);
    alice.assert_refused(&answer, 508);
    assert_eq!(answer.get(attribute::ADDRESS_ERROR_CODE), None);
    world.assert_empty();
    let mut world = world_with(|options| options.addresses.local.clear());
    let alice = world.alice();
    alice.assert_refused(&ask(&alice, &mut world), 440);
    world.assert_empty();
}

/// TURN-046.
#[test]
fn one_family_can_be_given_back_while_the_other_stays() {
    let mut world = world_with(|options| options.routes = true);
    let alice = world.alice();
    let (four, six) = alice.allocate_dual(&mut world);
    for (number, peer) in [(0x4000, PEER), (0x4001, PEER6)] {
        alice.assert_granted(&alice.bind(&mut world, number, peer));
    }
    assert_eq!(world.routes.len(), 2);
    let answer = alice.refresh_family(&mut world, Family::V6, 0);
    alice.assert_granted(&answer);
    assert_eq!(answer.lifetime(), Some(0));
    world.assert_holds(1, 1);
    assert_eq!(world.routes.len(), 1);
    assert!(world.relay_at(six).is_none(), "closed at once");
    // Gone with its permissions and channels.
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4001, b"up")), Reason::NoChannel);
    assert_eq!(dropped(&alice.send(&mut world, PEER6, b"up")), Reason::NoPermission);
    alice.assert_refused(&alice.permit(&mut world, &[PEER6]), 443);
    alice.assert_refused(&alice.bind(&mut world, 0x4002, PEER6), 443);
    alice.assert_refused(&alice.refresh_family(&mut world, Family::V6, 600), 443);
    // The other side does not notice.
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"up")).1, b"up");
    assert_eq!(to_client(&world.peer(PEER, four, b"down")), b"\x40\x00\x00\x04down");
    alice.assert_granted(&alice.refresh_family(&mut world, Family::V4, 0));
    world.assert_empty();
}

/// TURN-046: the first one can go too.
#[test]
fn ipv4_can_be_given_back_while_ipv6_stays() {
    let mut world = world();
    let alice = world.alice();
    let (_, six) = alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    alice.assert_granted(&alice.refresh_family(&mut world, Family::V4, 0));
    world.assert_holds(1, 1);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"up")), Reason::NoPermission);
    assert_eq!(to_peer(&alice.send(&mut world, PEER6, b"up")).1, b"up");
    assert_eq!(data(&world.peer(PEER6, six, b"down")).0, addr(PEER6));
    world.seconds(601);
    world.assert_empty();
}

/// TURN-046: a family may be kept for longer than the other.
#[test]
fn each_family_has_a_lifetime_of_its_own() {
    let mut world = patient();
    let alice = world.alice();
    alice.allocate_dual(&mut world);
    world.seconds(300);
    assert_eq!(alice.refresh_family(&mut world, Family::V6, 600).lifetime(), Some(600));
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    world.seconds(299);
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"up")).1, b"up");
    world.seconds(2);
    world.assert_holds(1, 1);
    alice.assert_refused(&alice.permit(&mut world, &[PEER]), 443);
    alice.assert_granted(&alice.permit(&mut world, &[PEER6]));
    world.seconds(298);
    assert_eq!(to_peer(&alice.send(&mut world, PEER6, b"up")).1, b"up");
    world.seconds(2);
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
    world.seconds(1);
    world.assert_empty();
}

/// TURN-047.
#[test]
fn a_refresh_that_names_no_family_is_about_both() {
    let mut world = patient();
    let alice = world.alice();
    alice.allocate_dual(&mut world);
    world.seconds(500);
    assert_eq!(alice.refresh(&mut world, None).lifetime(), Some(600));
    world.seconds(599);
    world.assert_holds(1, 2);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    let gone = alice.refresh(&mut world, Some(0));
    alice.assert_granted(&gone);
    assert_eq!(gone.lifetime(), Some(0));
    world.assert_empty();
}

/// TURN-053, XLAT-012.
#[test]
fn permissions_of_both_families_may_stand_in_one_request() {
    let mut world = world();
    let alice = world.alice();
    let (four, six) = alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    assert_eq!(data(&world.peer(PEER, four, b"4")), (addr(PEER), b"4".to_vec()));
    assert_eq!(data(&world.peer(PEER6, six, b"6")), (addr(PEER6), b"6".to_vec()));
}

/// TURN-114.
#[test]
fn channels_of_both_families_share_their_numbers_and_leave_from_their_own_address() {
    let mut world = world();
    let alice = world.alice();
    let (four, six) = alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER6), 400);
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER6));
    for (number, peer, from) in [(0x4000, PEER, four), (0x4001, PEER6, six)] {
        let out = alice.channel_data(&mut world, number, b"up");
        let [Out::Peer(relay, to, body, _)] = &out[..] else { panic!("{out:?}") };
        assert_eq!((world.sockets[relay], *to, &body[..]), (from, addr(peer), &b"up"[..]));
        assert_eq!(to_client(&world.peer(peer, from, b"x"))[..2], u16::to_be_bytes(number));
    }
}
