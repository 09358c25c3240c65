//! EVEN-PORT and RESERVATION-TOKEN (RFC 8656 §7.2, §18.7, §18.10).

use crate::acts::*;
use crate::harness::*;
use hairpin::wire::address::Family;
use hairpin::wire::{Method, attribute};
use std::collections::HashSet;
use std::net::SocketAddr;

/// The address after this one.
fn next(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port() + 1)
}

/// TURN-015, SEC-44.
#[test]
fn an_even_port_alone_reserves_nothing() {
    let mut world = world_with(|options| options.ports = 50_000..=50_009);
    for round in 0..50 {
        let alice = world.alice();
        let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0]));
        assert_eq!(answer.relayed().port() % 2, 0, "round {round}");
        assert_eq!(answer.get(attribute::RESERVATION_TOKEN), None);
        world.assert_holds(1, 1);
        assert!(world.deposits.is_empty());
        alice.refresh(&mut world, Some(0));
        world.assert_empty();
    }
    // All odd siblings are still to be had, all at once.
    let odd: HashSet<u16> = (1..=10)
        .map(|host| {
            let client = world.login(udp(&format!("192.0.2.{host}:40000")), "alice", "secret");
            world.allocate(&client).port()
        })
        .collect();
    assert_eq!(odd.len(), 10);
}

/// TURN-016.
#[test]
fn a_pair_reserves_the_next_port_for_thirty_seconds() {
    let mut world = world();
    let alice = world.alice();
    let (relayed, token) = alice.allocate_pair(&mut world);
    assert_eq!(relayed.port() % 2, 0);
    assert_eq!(token.len(), 8);
    let (_, reserved) = world.deposits.values().next().unwrap();
    assert_eq!(*reserved, next(relayed), "on the same address");
    world.assert_holds(1, 1);
    world.seconds(30);
    assert_eq!(world.deposits.len(), 1, "thirty seconds at least");
    world.seconds(1);
    assert!(world.deposits.is_empty(), "and not much longer");
    world.assert_holds(1, 1);
}

/// TURN-017: whatever it is in which the second 5-tuple differs.
#[test]
fn a_token_gives_the_reserved_port_once() {
    let other_server = hairpin::turn::Path { server: addr("203.0.113.6:3478"), ..udp(ALICE) };
    for path in [udp(BOB), udp("192.0.2.1:40001"), tcp(ALICE, 1), other_server] {
        let mut world = world();
        let alice = world.alice();
        let (relayed, token) = alice.allocate_pair(&mut world);
        let second = alice.at(&mut world, path);
        let answer = second.redeem(&mut world, &token);
        second.assert_granted(&answer);
        assert_eq!(answer.relayed(), next(relayed));
        assert_eq!(answer.get(attribute::RESERVATION_TOKEN), None);
        world.assert_holds(2, 2);
        let third = alice.at(&mut world, udp(CAROL));
        third.assert_refused(&third.redeem(&mut world, &token), 508);
        world.assert_holds(2, 2);
        // The socket works, and does not end with the reservation.
        world.seconds(40);
        second.assert_granted(&second.permit(&mut world, &[PEER]));
        assert_eq!(data(&world.peer(PEER, next(relayed), b"rtcp")).1, b"rtcp");
        for client in [&alice, &second] {
            client.refresh(&mut world, Some(0));
        }
        world.assert_empty();
    }
}

/// TURN-018.
#[test]
fn an_unknown_token_and_an_expired_one_are_refused() {
    let mut world = world();
    let alice = world.alice();
    let (_, token) = alice.allocate_pair(&mut world);
    let second = alice.at(&mut world, udp(BOB));
    second.assert_refused(&second.redeem(&mut world, &[0xEE; 8]), 508);
    world.assert_holds(1, 1);
    world.seconds(31);
    second.assert_refused(&second.redeem(&mut world, &token), 508);
    world.assert_holds(1, 1);
}

/// TURN-019: in either order.
#[test]
fn a_token_says_all_about_the_port_and_nothing_may_say_more() {
    let others: [(u16, &[u8]); 4] = [
        (attribute::EVEN_PORT, &[0]),
        (attribute::EVEN_PORT, &[0x80]),
        (attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]),
        (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
    ];
    let mut world = world();
    let alice = world.alice();
    let (_, token) = alice.allocate_pair(&mut world);
    let second = alice.at(&mut world, udp(BOB));
    for (code, value) in others {
        let after = second.allocate(&mut world, |w| {
            w.attribute(attribute::RESERVATION_TOKEN, &token).attribute(code, value);
        });
        second.assert_refused(&after, 400);
        let before = second.allocate(&mut world, |w| {
            w.attribute(code, value).attribute(attribute::RESERVATION_TOKEN, &token);
        });
        second.assert_refused(&before, 400);
    }
    second.assert_granted(&second.redeem(&mut world, &token));
}

/// TURN-020.
#[test]
fn a_token_of_another_length_is_refused() {
    let mut world = world();
    let alice = world.alice();
    for len in [0, 4, 7, 9, 16] {
        let answer = alice.redeem(&mut world, &vec![0xEE; len]);
        alice.assert_refused(&answer, 400);
    }
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0x80, 0, 0, 0]));
    alice.assert_refused(&answer, 400);
    world.assert_empty();
}

/// TURN-020, SEC-29, SEC-51.
#[test]
fn a_token_is_random_and_good_only_for_the_user_who_got_it() {
    let mut world = world();
    let alice = world.alice();
    let (relayed, token) = alice.allocate_pair(&mut world);
    let bob = world.bob();
    bob.assert_refused(&bob.redeem(&mut world, &token), 508);
    assert!(!token.windows(2).any(|two| two == (relayed.port() + 1).to_be_bytes()));
    let second = alice.at(&mut world, udp(CAROL));
    second.assert_granted(&second.redeem(&mut world, &token));
    let third = alice.at(&mut world, udp("192.0.2.4:40000"));
    assert_ne!(third.allocate_pair(&mut world).1, token);
}

/// TURN-021.
#[test]
fn without_a_free_pair_the_request_is_refused() {
    let mut world = world_with(|options| options.ports = 50_001..=50_008);
    // Every even port has an odd neighbour above it that somebody else holds.
    world.taken = [3, 5, 7].map(|port| SocketAddr::new(addr(SERVER).ip(), 50_000 + port)).into();
    let alice = world.alice();
    let pair = |world: &mut World| alice.allocate(world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0x80]));
    let answer = pair(&mut world);
    alice.assert_refused(&answer, 508);
    world.assert_empty();
    // A single even port is still to be had, and a pair as soon as its second half is free.
    world.taken.remove(&SocketAddr::new(addr(SERVER).ip(), 50_005));
    let answer = pair(&mut world);
    assert_eq!(answer.relayed().port(), 50_004);
    world.assert_holds(1, 1);
}

/// TURN-021, TURN-037: ports that rest are better than none, whatever kind is wanted.
#[test]
fn a_pair_is_made_of_resting_ports_when_no_others_are_left() {
    let mut world = world_with(|options| options.ports = 50_001..=50_005);
    let (alice, bob) = (world.alice(), world.bob());
    let mut seen = HashSet::new();
    for _ in 0..10 {
        seen.insert(alice.allocate_pair(&mut world).0.port());
        let even = bob.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0]));
        assert_eq!(even.relayed().port() % 2, 0);
        assert_ne!(even.relayed(), world.deposits.values().next().unwrap().1);
        alice.refresh(&mut world, Some(0));
        bob.refresh(&mut world, Some(0));
        world.assert_empty();
    }
    assert!(seen.is_subset(&[50_002, 50_004].into()), "{seen:?}");
}

/// TURN-021: the last port of a range has no successor, not even when it is the last of all.
#[test]
fn the_end_of_the_range_is_no_half_of_a_pair() {
    let mut world = world_with(|options| options.ports = 65_534..=65_535);
    let alice = world.alice();
    assert_eq!(alice.allocate_pair(&mut world).0.port(), 65_534);
    let mut world = world_with(|options| options.ports = 50_000..=50_000);
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0x80]));
    alice.assert_refused(&answer, 508);
    assert_eq!(alice.allocate(&mut world, |_| {}).relayed().port(), 50_000);
}

/// TURN-122, SEC-39, SEC-44.
#[test]
fn a_reservation_ends_with_the_allocation_that_made_it() {
    let mut world = world();
    let alice = world.alice();
    let (_, token) = alice.allocate_pair(&mut world);
    alice.refresh(&mut world, Some(0));
    world.assert_empty();
    alice.assert_refused(&alice.redeem(&mut world, &token), 508);
    world.assert_empty();
}

/// TURN-016, TURN-022: a pair of the other family.
#[test]
fn a_pair_can_be_had_of_ipv6() {
    let mut world = world();
    let alice = world.alice();
    let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::EVEN_PORT, &[0x80]);
        family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, Family::V6);
    });
    assert!(answer.relayed().is_ipv6());
    let token = answer.get(attribute::RESERVATION_TOKEN).unwrap();
    let second = alice.at(&mut world, udp(BOB));
    assert_eq!(second.redeem(&mut world, &token).relayed(), next(answer.relayed()));
}
