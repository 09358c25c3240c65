//! What operators see of allocations, and how they end them.

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::{Count, Event, Protocol, Session, Transport, Whom};
use hairpin::wire::attribute;
use std::time::Duration;

/// All allocations of those who are meant, page by page.
fn sessions(world: &World, whom: &Whom, most: usize) -> Vec<Session> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let page = world.server.sessions(world.now.time, whom, place, most);
        assert!(page.sessions.len() <= most);
        all.extend(page.sessions);
        from = page.next;
    }
    all
}

/// One user's, whatever the realm.
fn user(name: &str) -> Whom {
    Whom::User { name: name.to_owned(), realm: None }
}

#[test]
fn a_session_says_whose_it_is_and_what_it_has() {
    let mut world = patient_with(|options| options.routes = true);
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.permit(&mut world, &["198.18.5.10:0"]));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(100);
    let [session] = &sessions(&world, &Whom::All, 10)[..] else { panic!("one session") };
    assert_eq!((session.path, &*session.owner.name, &*session.owner.realm), (alice.path, "alice", REALM));
    assert_eq!(session.relayed.iter().flatten().copied().collect::<Vec<_>>(), [relayed]);
    assert_eq!((session.protocol, session.permissions, session.channels), (Protocol::Udp, 2, 1));
    assert_eq!((session.age, session.left), (Duration::from_secs(100), Duration::from_secs(500)));
    // What has ended is not there any more, swept or not.
    world.now.time = world.now.time.after(Duration::from_secs(201));
    assert_eq!(sessions(&world, &Whom::All, 10)[0].permissions, 0);
    world.seconds(400);
    assert!(sessions(&world, &Whom::All, 10).is_empty());
}

/// What a packet was relayed by is counted once, and what is dropped is not.
#[test]
fn packets_and_bytes_are_counted_each_way() {
    let mut world = patient();
    let (alice, bob) = (world.alice(), world.bob());
    let relayed = world.allocate(&alice);
    world.allocate(&bob);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.channel_data(&mut world, 0x4000, b"four");
    alice.send(&mut world, PEER, b"three");
    alice.channel_data(&mut world, 0x4001, b"nobody's");
    world.peer(PEER, relayed, b"down");
    world.peer("198.18.5.10:1", relayed, b"not permitted");
    let counts = |whom: &str| sessions(&world, &user(whom), 10)[0].counts;
    assert_eq!(counts("alice"), [Count { packets: 2, bytes: 9 }, Count { packets: 1, bytes: 4 }]);
    assert_eq!(counts("bob"), [Count::default(); 2]);
    let all = world.server.counters();
    assert_eq!((all.to_peer_packets, all.to_peer_bytes, all.to_client_packets, all.to_client_bytes), (2, 9, 1, 4));
}

#[test]
fn sessions_are_found_by_client_by_user_and_by_realm() {
    let mut world = patient();
    let (alice, bob) = (world.alice(), world.bob());
    let second = world.login(udp("192.0.2.77:7"), "alice", "secret");
    [&alice, &bob, &second].iter().for_each(|client| _ = world.allocate(client));
    let found = |whom: &Whom| sessions(&world, whom, 10).iter().map(|one| one.path).collect::<Vec<_>>();
    assert_eq!(found(&Whom::All), [alice.path, bob.path, second.path]);
    assert_eq!(found(&user("alice")), [alice.path, second.path]);
    assert_eq!(found(&Whom::Client(second.path.client)), [second.path]);
    assert!(found(&Whom::Client(addr("192.0.2.77:8"))).is_empty() && found(&user("carol")).is_empty());
    let in_realm = |realm: &str| Whom::User { name: "bob".to_owned(), realm: Some(realm.to_owned()) };
    assert_eq!(found(&in_realm(REALM)), [bob.path]);
    assert!(found(&in_realm("elsewhere")).is_empty());
}

/// Thousands are shown in parts, so that packets need not wait; every one is shown once.
#[test]
fn many_sessions_come_in_pages() {
    let mut world = patient();
    for n in 0..2500_u32 {
        let path = udp(&format!("192.0.{}.{}:{}", n % 200, n / 200 % 200 + 1, 1000 + n));
        let client = world.login(path, "alice", "secret");
        world.allocate(&client);
    }
    for most in [usize::MAX, 100, 1] {
        let page = world.server.sessions(world.now.time, &Whom::All, 0, most);
        assert_eq!(page.sessions.len(), most.min(1000));
        let mut clients: Vec<_> = sessions(&world, &Whom::All, most).iter().map(|one| one.path.client).collect();
        assert_eq!(clients.len(), 2500);
        clients.sort_unstable();
        clients.dedup();
        assert_eq!(clients.len(), 2500);
    }
}

/// As if the client had sent a Refresh with a lifetime of zero, and nobody else is touched.
#[test]
fn a_session_that_is_ended_leaves_nothing() {
    let mut world = patient_with(|options| options.routes = true);
    let (alice, bob) = (world.alice(), world.bob());
    alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let theirs = world.allocate(&bob);
    bob.assert_granted(&bob.permit(&mut world, &[PEER]));
    let id = sessions(&world, &user("alice"), 10)[0].id;
    world.event(Event::Disconnect { session: id });
    world.assert_holds(1, 1);
    assert!(world.routes.is_empty() && world.permissions.len() == 1);
    alice.assert_refused(&alice.refresh(&mut world, Some(600)), 437);
    assert_eq!(data(&world.peer(PEER, theirs, b"still there")).1, b"still there");
    world.allocate(&alice);
    world.assert_holds(2, 2);
    let ids: Vec<_> = sessions(&world, &Whom::All, 10).iter().map(|one| one.id).collect();
    for session in ids.into_iter().chain([id]) {
        world.event(Event::Disconnect { session });
    }
    world.assert_empty();
}

/// Who has lost its connection and may come back with a ticket is ended, too.
#[test]
fn a_client_that_is_away_is_found_and_ended() {
    let mut world = patient_with(|options| options.mobility = true);
    let alice = world.login(tcp(ALICE, 3), "alice", "secret");
    alice.assert_granted(&alice.allocate(&mut world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[])));
    world.close(&alice);
    world.assert_holds(1, 1);
    let [session] = &sessions(&world, &Whom::Client(alice.path.client), 10)[..] else { panic!("one session") };
    world.event(Event::Disconnect { session: session.id });
    world.assert_empty();
}

/// The transports of clients are counted where they are.
#[test]
fn allocations_are_counted_by_transport() {
    let mut world = patient_with(|options| options.mobility = true);
    let alice = world.login(tcp(ALICE, 3), "alice", "secret");
    let bob = world.bob();
    let ticket = alice.allocate(&mut world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    let ticket = ticket.get(attribute::MOBILITY_TICKET).unwrap();
    world.allocate(&bob);
    let count = |world: &World| {
        Transport::ALL
            .iter()
            .zip(world.server.allocations_by_transport())
            .map(|(t, n)| (t.label(), n))
            .collect::<Vec<_>>()
    };
    assert_eq!(count(&world), [("udp", 1), ("tcp", 1), ("tls", 0), ("dtls", 0)]);
    let new = alice.at(&mut world, udp("192.0.2.77:45000"));
    let shown = new
        .request(&mut world, hairpin::wire::Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket));
    new.assert_granted(&shown);
    new.assert_granted(&new.permit(&mut world, &[PEER]));
    new.send(&mut world, PEER, b"moves it");
    assert_eq!(count(&world), [("udp", 2), ("tcp", 0), ("tls", 0), ("dtls", 0)]);
    new.refresh(&mut world, Some(0));
    bob.refresh(&mut world, Some(0));
    assert_eq!(world.server.allocations_by_transport(), [0; 4]);
}
