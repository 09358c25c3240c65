//! Quotas, rates and caps: each has an answer of its own, and nothing is counted that has ended.

use crate::acts::*;
use crate::craft::allocate;
use crate::harness::*;
use hairpin::turn::limits::{Bucket, Quotas, Sources};
use hairpin::turn::{Action, Options, Reason, Time, Verdict};
use hairpin::wire::{Class, Method, attribute};

/// Quotas by user, source address and in all.
fn quotas(user: u32, source: u32, total: u32) -> impl FnOnce(&mut Options) {
    move |options| options.quotas = Quotas { user, source, total }
}

/// TURN-030.
#[test]
fn a_user_has_so_many_allocations_wherever_it_comes_from() {
    let mut world = patient_with(quotas(2, 0, 0));
    let places = [udp(ALICE), udp(BOB), tcp(CAROL, 1), udp(ALICE6)];
    let alices = places.map(|path| world.login(path, "alice", "secret"));
    for alice in &alices[..2] {
        world.allocate(alice);
    }
    for alice in &alices[2..] {
        alice.assert_refused(&alice.allocate(&mut world, |_| {}), 486);
    }
    let bob = world.login(udp("192.0.2.9:40000"), "bob", "hunter2");
    world.allocate(&bob);
    world.assert_holds(3, 3);
}

/// TURN-030, SEC-38: by its end, by the end of its time, by the end of its connection.
#[test]
fn the_quota_is_free_again_however_an_allocation_ended() {
    let mut world = patient_with(quotas(1, 0, 0));
    let alice = world.alice();
    let other = alice.at(&mut world, tcp(BOB, 1));
    let full = |world: &mut World, client: &Client| client.assert_refused(&client.allocate(world, |_| {}), 486);
    world.allocate(&alice);
    full(&mut world, &other);
    alice.refresh(&mut world, Some(0));
    world.allocate(&other);
    full(&mut world, &alice);
    world.close(&other);
    world.allocate(&alice);
    full(&mut world, &other);
    world.seconds(599);
    full(&mut world, &other);
    world.seconds(2);
    world.allocate(&other);
    world.assert_holds(1, 1);
}

/// SEC-38: what waits is sent before a relay is closed, and with it the answer that the allocation has ended; another worker
/// may be asked for the next one while this one still closes.
#[test]
fn the_quota_is_free_before_a_relay_is_closed() {
    let mut world = patient();
    let alice = world.alice();
    world.allocate(&alice);
    let id = world.transaction();
    let request = alice.message(&id, Method::REFRESH, |w| _ = w.number(attribute::LIFETIME, 0));
    let verdict = world.server.handle_client(world.now, alice.path, &request, &mut Vec::new());
    assert!(matches!(verdict, Verdict::Reply));
    let actions: Vec<Action> = std::iter::from_fn(|| world.server.poll()).collect();
    let place = |is_it: fn(&Action) -> bool| actions.iter().position(is_it).unwrap();
    let released = place(|action| matches!(action, Action::Release { .. }));
    assert!(released < place(|action| matches!(action, Action::CloseRelay { .. })), "{actions:?}");
}

/// TURN-030, TURN-007: charged once, however often it is asked for, and not at all if it fails.
#[test]
fn failures_and_repetitions_cost_no_quota() {
    let mut world = patient_with(quotas(1, 0, 0));
    let alice = world.alice();
    for _ in 0..5 {
        world.exhausted = true;
        alice.assert_refused(&alice.allocate(&mut world, |_| {}), 508);
        world.exhausted = false;
        alice.assert_refused(&alice.redeem(&mut world, &[0xEE; 8]), 508);
        alice.assert_refused(&alice.allocate(&mut world, |w| _ = w.attribute(attribute::EVEN_PORT, &[])), 400);
        world.assert_empty();
    }
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    for _ in 0..5 {
        assert_eq!(world.ask(alice.path, &request).code(), None);
    }
    alice.assert_refused(&alice.allocate(&mut world, |_| {}), 437);
    alice.refresh(&mut world, Some(0));
    world.assert_empty();
    world.allocate(&alice);
}

/// TURN-030, SEC-37.
#[test]
fn a_source_address_and_the_server_have_quotas_too() {
    let mut world = patient_with(quotas(0, 1, 2));
    let alice = world.alice();
    world.allocate(&alice);
    let neighbour = world.login(udp("192.0.2.1:40001"), "bob", "hunter2");
    neighbour.assert_refused(&neighbour.allocate(&mut world, |_| {}), 486);
    let bob = world.bob();
    world.allocate(&bob);
    let carol = world.login(udp(CAROL), "alice", "secret");
    carol.assert_refused(&carol.allocate(&mut world, |_| {}), 486);
    world.seconds(601);
    world.assert_empty();
}

/// TURN-055, SEC-37.
#[test]
fn an_allocation_has_so_many_permissions_and_no_more() {
    let mut world = patient_with(|options| options.permissions = 3);
    let alice = world.alice();
    world.allocate(&alice);
    let peer = |host: u8| format!("198.18.0.{host}:1");
    alice.assert_granted(&alice.permit(&mut world, &[&peer(1), &peer(2)]));
    alice.assert_refused(&alice.permit(&mut world, &[&peer(3), &peer(4)]), 508);
    assert_eq!(dropped(&alice.send(&mut world, &peer(3), b"x")), Reason::NoPermission, "all or none");
    alice.assert_granted(&alice.permit(&mut world, &[&peer(3), &peer(3), &peer(1)]));
    alice.assert_refused(&alice.permit(&mut world, &[&peer(4)]), 508);
    alice.assert_refused(&alice.bind(&mut world, 0x4000, &peer(4)), 508);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, &peer(3)));
    alice.assert_granted(&alice.permit(&mut world, &[&peer(1), &peer(2), &peer(3)]));
    world.seconds(301);
    alice.assert_granted(&alice.permit(&mut world, &[&peer(4), &peer(5), &peer(6)]));
}

/// TURN-055: one request cannot hold more peers than the cap, however large the request.
#[test]
fn a_request_with_a_thousand_peers_is_refused_whole() {
    let mut world = patient();
    let alice = world.login(tcp(ALICE, 1), "alice", "secret");
    world.allocate(&alice);
    let peers: Vec<String> = (0..1000).map(|n| format!("198.18.{}.{}:1", n / 250, n % 250 + 1)).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    alice.assert_refused(&alice.permit(&mut world, &peers), 508);
    alice.assert_granted(&alice.permit(&mut world, &peers[..512]));
    alice.assert_refused(&alice.permit(&mut world, &peers[512..513]), 508);
}

/// TURN-081, AMP-008.
#[test]
fn data_beyond_the_bandwidth_is_dropped_and_requests_are_still_served() {
    let mut world = patient_with(|options| options.bandwidth = 10_000);
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let body = [0; 1000];
    let up = |world: &mut World| {
        (0..100).filter(|_| matches!(alice.channel_data(world, 0x4000, &body)[..], [Out::Peer(..)])).count()
    };
    assert_eq!(up(&mut world), 10);
    assert_eq!(dropped(&alice.send(&mut world, PEER, &body)), Reason::Bandwidth);
    // The other direction has its own measure, and other clients theirs.
    let down = (0..100).filter(|_| matches!(world.peer(PEER, relayed, &body)[..], [Out::Client(..)])).count();
    assert_eq!(down, 10);
    assert_eq!(dropped(&world.peer(PEER, relayed, &body)), Reason::Bandwidth);
    let bob = world.bob();
    world.allocate(&bob);
    bob.assert_granted(&bob.permit(&mut world, &[PEER]));
    assert_eq!(to_peer(&bob.send(&mut world, PEER, &body)).1.len(), 1000);
    // Requests are no data.
    alice.assert_granted(&alice.refresh(&mut world, Some(600)));
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.seconds(1);
    assert_eq!(up(&mut world), 10);
}

/// TURN-081: NEW-BANDWIDTH of coturn's clients, in units of 128 bytes per second. A client may have less than its realm
/// gives, never more; whoever asks for nothing or writes it wrong has what there is.
#[test]
fn a_client_may_ask_for_less_bandwidth() {
    let asked = |limit: u64, value: &[u8]| {
        let mut world = patient_with(|options| {
            options.bandwidth = limit;
            options.routes = true;
        });
        let alice = world.alice();
        let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
            allocate(w);
            w.attribute(attribute::NEW_BANDWIDTH, value);
        });
        assert_eq!(answer.code(), None);
        let told = answer.get(attribute::NEW_BANDWIDTH).map(|told| u32::from_be_bytes(told.try_into().unwrap()));
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        let passes = |world: &mut World| matches!(alice.channel_data(world, 0x4000, &[0; 128])[..], [Out::Peer(..)]);
        let passed = (0..1000).take_while(|_| passes(&mut world)).count();
        (told, passed, world.routes.len())
    };
    let units = |units: u32| units.to_be_bytes();
    assert_eq!(asked(12_800, &units(10)), (Some(10), 10, 0), "no fast path lets more through");
    assert_eq!(asked(12_800, &units(100)), (Some(100), 100, 1));
    assert_eq!(asked(12_800, &units(5000)), (Some(100), 100, 1));
    assert_eq!(asked(12_800, &units(u32::MAX)), (Some(100), 100, 1));
    for nothing in [&units(0)[..], &[], &[1], &[1; 8]] {
        assert_eq!(asked(12_800, nothing), (Some(100), 100, 1), "{nothing:?}");
    }
    assert_eq!(asked(0, &units(10)), (Some(10), 10, 0));
    assert_eq!(asked(0, &units(0)), (None, 1000, 1));
}

/// TURN-081.
#[test]
fn over_a_minute_the_bandwidth_is_what_was_said() {
    let mut bucket = Bucket::new(1_000, Time(0));
    let passed: usize = (0..60_000_u64).filter(|at| bucket.take(10, 1_000, Time(*at))).count() * 10;
    assert!((60_000..=61_010).contains(&passed), "{passed} bytes in sixty seconds and one burst");
}

/// AMP-002, SEC-31: the table of sources never grows, and a second gives back what a second allows.
#[test]
fn a_source_is_answered_at_its_rate() {
    let mut sources = Sources::new(10);
    let source = addr(ALICE).ip();
    let answered = |sources: &mut Sources, at: u64| (0..100).filter(|_| sources.admit(source, Time(at))).count();
    assert_eq!(answered(&mut sources, 5_000), 20, "a burst of two seconds");
    assert_eq!(answered(&mut sources, 5_000), 0);
    assert_eq!(answered(&mut sources, 6_000), 10);
    assert_eq!(answered(&mut sources, 60_000), 20);
    let mut unlimited = Sources::new(0);
    assert_eq!(answered(&mut unlimited, 5_000), 100);
}

/// TURN-123, SEC-39, SEC-42: in a thousandth of the length; `tests/memory.rs` measures the whole.
#[test]
fn allocations_that_come_and_go_leave_nothing() {
    let mut world = patient_with(|options| options.routes = true);
    let alice = world.alice();
    for round in 0..100 {
        match round % 3 {
            0 => _ = world.allocate(&alice),
            1 => _ = alice.allocate_pair(&mut world),
            _ => _ = alice.allocate_dual(&mut world),
        }
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        alice.refresh(&mut world, Some(0));
        world.assert_empty();
    }
    world.seconds(3_601);
    assert_eq!(world.server.poll_timeout(), None, "no timer is left");
}

/// SEC-37: caps of nothing close the door, they do not open it.
#[test]
fn no_room_is_no_room() {
    let mut world = patient_with(|options| (options.permissions, options.channels) = (0, 0));
    let alice = world.alice();
    world.allocate(&alice);
    alice.assert_refused(&alice.permit(&mut world, &[PEER]), 508);
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER), 508);
}

/// SEC-36: nothing but proved requests makes anything.
#[test]
fn what_proves_nothing_makes_nothing() {
    let mut world = world();
    let methods = [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
    for method in methods {
        for client in 1..200 {
            let request = world.bare(method, Class::Request, |w| {
                w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
            });
            let path = udp(&format!("192.0.2.{client}:40000"));
            assert_eq!(world.ask(path, &request).code(), Some(401));
        }
    }
    world.assert_empty();
    assert_eq!(world.server.poll_timeout(), None, "not even a timer");
}
