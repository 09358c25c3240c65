//! Refresh, and how allocations end (RFC 8656 §6, §8).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Reason;
use hairpin::wire::address::Family;
use hairpin::wire::{Class, Method, attribute};
use std::time::Duration;

/// TURN-036, TURN-060, TURN-110.
#[test]
fn an_allocation_ends_after_ten_minutes_however_much_it_relays() {
    let mut world = patient();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    for second in 0..600 {
        if second % 200 == 0 {
            alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        }
        assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"up")).1, b"up", "at {second} s");
        assert_eq!(to_client(&world.peer(PEER, relayed, b"down")).len(), 8, "at {second} s");
        world.seconds(1);
    }
    // Ended, whether or not it has been cleared away.
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"up")), Reason::NoAllocation);
    if world.relay_at(relayed).is_some() {
        assert_eq!(dropped(&world.peer(PEER, relayed, b"down")), Reason::NoAllocation);
        assert_eq!(world.icmp(relayed, PEER, 3, 3, 0), []);
    }
    world.seconds(1);
    world.assert_empty();
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
}

/// TURN-036: to the millisecond, wherever in a second the allocation was made.
#[test]
fn an_allocation_lives_until_its_last_millisecond() {
    for offset in [0, 1, 499, 999] {
        let mut world = patient();
        world.pass(Duration::from_millis(offset));
        let alice = world.alice();
        world.allocate(&alice);
        world.pass(Duration::from_millis(400_000));
        alice.assert_granted(&alice.permit(&mut world, &[PEER]));
        world.pass(Duration::from_millis(199_999));
        assert_eq!(to_peer(&alice.send(&mut world, PEER, b"still")).1, b"still");
        world.pass(Duration::from_millis(1));
        assert_eq!(dropped(&alice.send(&mut world, PEER, b"late")), Reason::NoAllocation);
        alice.assert_refused(&alice.refresh(&mut world, Some(600)), 437);
        world.assert_empty();
    }
}

/// TURN-036, TURN-039: what has ended is no obstacle, though nobody has cleared it away yet.
#[test]
fn a_client_whose_allocation_has_just_ended_can_allocate_again() {
    let mut world = patient();
    let alice = world.alice();
    let first = world.allocate(&alice);
    world.now.time = world.now.time.after(Duration::from_secs(600));
    let second = world.allocate(&alice);
    assert_ne!(first, second);
    world.assert_holds(1, 1);
    world.seconds(2);
    world.assert_holds(1, 1);
    world.seconds(599);
    world.assert_empty();
}

/// TURN-037, SEC-49.
#[test]
fn a_port_rests_for_five_minutes_after_use() {
    let mut world = patient_with(|options| options.ports = 50_000..=50_099);
    let alice = world.alice();
    let first = world.allocate(&alice);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    alice.refresh(&mut world, Some(0));
    for _ in 0..99 {
        assert_ne!(world.allocate(&alice), first);
        alice.refresh(&mut world, Some(0));
    }
    // All the others rest too, so the one that rested longest is given out; its permissions are gone.
    assert_eq!(world.allocate(&alice), first, "rather an early end of its rest than a refusal");
    assert_eq!(dropped(&world.peer(PEER, first, b"for the last owner")), Reason::NoPermission);
}

/// TURN-037: after the rest any port may come again.
#[test]
fn a_port_that_has_rested_is_given_out_again() {
    let mut world = patient_with(|options| options.ports = 50_000..=50_001);
    let alice = world.alice();
    let first = world.allocate(&alice);
    alice.refresh(&mut world, Some(0));
    world.seconds(300);
    let bob = world.bob();
    let both = [world.allocate(&alice), world.allocate(&bob)];
    assert!(both.contains(&first));
}

/// TURN-041.
#[test]
fn a_refresh_sets_the_time_that_is_left() {
    let mut world = patient();
    let alice = world.alice();
    world.allocate(&alice);
    for (asked, granted) in [(None, 600), (Some(1), 600), (Some(1200), 1200), (Some(1_000_000), 3600)] {
        let answer = alice.refresh(&mut world, asked);
        alice.assert_granted(&answer);
        assert_eq!(answer.bytes[..2], [0x01, 0x04]);
        assert_eq!(answer.lifetime(), Some(granted), "LIFETIME {asked:?}");
    }
    world.seconds(3599);
    world.assert_holds(1, 1);
    world.seconds(2);
    world.assert_empty();
}

/// TURN-041.
#[test]
fn a_refresh_can_shorten_what_is_left() {
    let mut world = patient();
    let alice = world.alice();
    alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 3600));
    assert_eq!(alice.refresh(&mut world, None).lifetime(), Some(600));
    world.seconds(599);
    world.assert_holds(1, 1);
    world.seconds(2);
    world.assert_empty();
}

/// TURN-041, TURN-122: refreshed again and again, an allocation lives on; left alone, it ends once.
#[test]
fn an_allocation_lives_as_long_as_it_is_refreshed() {
    let mut world = patient();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    for _ in 0..20 {
        world.seconds(590);
        assert_eq!(alice.refresh(&mut world, Some(600)).lifetime(), Some(600));
    }
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(PEER, relayed, b"down")).1, b"down");
    world.seconds(601);
    world.assert_empty();
}

/// TURN-042.
#[test]
fn a_refresh_with_zero_ends_the_allocation_at_once() {
    let mut world = world_with(|options| options.routes = true);
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let answer = alice.refresh(&mut world, Some(0));
    alice.assert_granted(&answer);
    assert_eq!(answer.lifetime(), Some(0));
    world.assert_empty();
    assert!(world.relay_at(relayed).is_none());
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation);
    world.allocate(&alice);
    world.assert_holds(1, 1);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"up")), Reason::NoPermission);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"up")), Reason::NoChannel);
}

/// TURN-043, SEC-21.
#[test]
fn a_retransmitted_end_is_answered_and_ends_nothing_else() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let id = world.transaction();
    let request = alice.message(&id, Method::REFRESH, |w| _ = w.number(attribute::LIFETIME, 0));
    alice.assert_granted(&world.ask(alice.path, &request));
    alice.assert_refused(&world.ask(alice.path, &request), 437);
    world.assert_empty();
}

/// TURN-044.
#[test]
fn a_refresh_without_allocation_is_refused() {
    let mut world = world();
    let alice = world.alice();
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
    alice.assert_refused(&alice.refresh(&mut world, Some(0)), 437);
    let request = world.bare(Method::REFRESH, Class::Request, |_| {});
    let answer = world.ask(alice.path, &request);
    assert_eq!(answer.code(), Some(401));
    assert!(answer.is_bare());
    assert!(answer.get(attribute::NONCE).is_some() && answer.get(attribute::REALM).is_some());
}

/// TURN-045.
#[test]
fn a_family_that_the_allocation_lacks_cannot_be_refreshed() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for lifetime in [600, 0] {
        alice.assert_refused(&alice.refresh_family(&mut world, Family::V6, lifetime), 443);
    }
    let answer = alice.request(&mut world, Method::REFRESH, |w| {
        w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0]);
    });
    alice.assert_refused(&answer, 443);
    world.assert_holds(1, 1);
    alice.assert_granted(&alice.refresh_family(&mut world, Family::V4, 0));
    world.assert_empty();
}

/// TURN-048.
#[test]
fn a_refresh_does_not_refresh_permissions_or_channels() {
    let mut world = patient();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(299);
    alice.assert_granted(&alice.refresh(&mut world, Some(3600)));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")).len(), 5);
    world.seconds(1);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    world.seconds(299);
    alice.assert_granted(&alice.refresh(&mut world, Some(3600)));
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x");
    world.seconds(1);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
    world.assert_holds(1, 1);
}

/// TURN-122.
#[test]
fn everything_ends_with_the_allocation() {
    let mut world = patient_with(|options| options.routes = true);
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[0x80]));
    let relayed = answer.relayed();
    world.seconds(590);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, "198.18.5.10:1"]));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(world.routes.len(), 1);
    world.seconds(11);
    world.assert_empty();
    // A new allocation inherits nothing, not even at the same port.
    let again = world.allocate(&alice);
    assert_ne!(again, relayed);
    assert_eq!(dropped(&world.peer(PEER, again, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoChannel);
}

/// AUTH-040, AUTH-043, SEC-21.
#[test]
fn nobody_but_its_maker_can_end_an_allocation() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let bob = world.login(udp(ALICE), "bob", "hunter2");
    bob.assert_refused(&bob.refresh(&mut world, Some(0)), 441);
    bob.assert_refused(&bob.permit(&mut world, &[PEER]), 441);
    bob.assert_refused(&bob.bind(&mut world, 0x4000, PEER), 441);
    let request = world.bare(Method::REFRESH, Class::Request, |w| _ = w.number(attribute::LIFETIME, 0));
    assert_eq!(world.ask(alice.path, &request).code(), Some(401));
    world.assert_holds(1, 1);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
}

/// SEC-24, AUTH-028.
#[test]
fn a_lifetime_smuggled_in_behind_the_integrity_ends_nothing() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let id = world.transaction();
    let mut request = alice.message(&id, Method::REFRESH, |_| {});
    request.extend_from_slice(&[0, 0x0D, 0, 4, 0, 0, 0, 0]);
    let len = u16::try_from(request.len() - 20).unwrap();
    request[2..4].copy_from_slice(&len.to_be_bytes());
    assert_eq!(world.ask(alice.path, &request).lifetime(), Some(600));
    world.assert_holds(1, 1);
}
