//! Mobility (RFC 8016): an allocation follows its client to another 5-tuple.

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::{Path, Reason, Transport};
use hairpin::wire::{Method, attribute};
use std::time::Duration;

/// Where Alice goes.
const NEW: &str = "192.0.2.77:45000";

/// A world where allocations may move.
fn roaming() -> World {
    patient_with(|options| {
        options.mobility = true;
        options.routes = true;
    })
}

/// Allocates and asks for a ticket.
fn mobile(world: &mut World, client: &Client) -> (std::net::SocketAddr, Vec<u8>) {
    let answer = client.allocate(world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    client.assert_granted(&answer);
    (answer.relayed(), answer.get(attribute::MOBILITY_TICKET).unwrap())
}

/// Refresh with a ticket.
fn show(world: &mut World, client: &Client, ticket: &[u8], lifetime: u32) -> Answer {
    client.request(world, Method::REFRESH, |w| {
        w.number(attribute::LIFETIME, lifetime).attribute(attribute::MOBILITY_TICKET, ticket);
    })
}

/// Where a peer's datagram goes, and as what.
fn down(world: &mut World, relayed: std::net::SocketAddr) -> (Path, Vec<u8>) {
    match &world.peer(PEER, relayed, b"down")[..] {
        [Out::Client(path, bytes)] => (*path, bytes.clone()),
        other => panic!("one message to a client, not {other:?}"),
    }
}

/// MICE-001, MICE-014.
#[test]
fn a_client_that_asks_gets_a_ticket() {
    let mut world = roaming();
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    assert!(!answer.get(attribute::MOBILITY_TICKET).unwrap().is_empty());
    assert!(answer.bytes.len() < 548);
    let bob = world.bob();
    assert_eq!(bob.allocate(&mut world, |_| {}).get(attribute::MOBILITY_TICKET), None, "who does not ask gets none");
}

/// MICE-002, MICE-008, MICE-023.
#[test]
fn where_mobility_is_off_it_is_refused() {
    let mut world = patient();
    let alice = world.alice();
    for value in [&[][..], &[1, 2, 3]] {
        alice.assert_refused(&alice.allocate(&mut world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, value)), 405);
    }
    world.allocate(&alice);
    alice.assert_refused(&show(&mut world, &alice, &[1, 2, 3], 600), 405);
    world.assert_holds(1, 1);
}

/// MICE-003.
#[test]
fn an_allocate_request_cannot_bring_a_ticket() {
    let mut world = roaming();
    let alice = world.alice();
    alice.assert_refused(&alice.allocate(&mut world, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[7; 52])), 400);
    world.assert_empty();
}

/// MICE-004, MICE-009, MICE-010: both 5-tuples are good until the new one is used; routes follow.
#[test]
fn an_allocation_moves_once_the_new_5_tuple_is_used() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let moved = alice.at(&mut world, udp(NEW));
    let answer = show(&mut world, &moved, &ticket, 900);
    moved.assert_granted(&answer);
    assert_eq!(answer.lifetime(), Some(900));
    let second = answer.get(attribute::MOBILITY_TICKET).unwrap();
    assert_ne!(second, ticket);

    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"up")).1, b"up");
    assert_eq!(down(&mut world, relayed).0, alice.path);
    assert!(world.routes.iter().all(|route| route.path == alice.path));
    assert_eq!(world.followed, None);

    assert_eq!(to_peer(&moved.channel_data(&mut world, 0x4000, b"up")).1, b"up", "the first packet is relayed");
    assert_eq!(down(&mut world, relayed).0, moved.path);
    assert_eq!(world.followed, Some(moved.path), "another worker may be the one that hears it");
    assert_eq!(world.routes.len(), 1);
    assert!(world.routes.iter().all(|route| route.path == moved.path));
    assert!(world.permissions.iter().all(|permission| permission.path == moved.path));
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation);
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
    let third = alice.at(&mut world, udp(CAROL));
    third.assert_refused(&show(&mut world, &third, &ticket, 600), 400);
    moved.assert_granted(&moved.refresh(&mut world, Some(0)));
    world.assert_empty();
}

/// MICE-009, MICE-010: a Send indication moves it too.
#[test]
fn a_send_indication_moves_an_allocation() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    let moved = alice.at(&mut world, udp(NEW));
    moved.assert_granted(&show(&mut world, &moved, &ticket, 600));
    assert_eq!(down(&mut world, relayed).0, alice.path);
    assert_eq!(to_peer(&moved.send(&mut world, PEER, b"up")).1, b"up");
    assert_eq!(down(&mut world, relayed).0, moved.path);
}

/// MICE-005, MICE-022.
#[test]
fn a_ticket_is_for_another_5_tuple() {
    let mut world = roaming();
    let (alice, bob) = (world.alice(), world.bob());
    let (_, ticket) = mobile(&mut world, &alice);
    alice.assert_refused(&show(&mut world, &alice, &ticket, 600), 400);
    world.allocate(&bob);
    bob.assert_refused(&show(&mut world, &bob, &[], 600), 400);
}

/// MICE-006, MICE-013: every altered bit and every cut is noticed, and no ticket is like another.
#[test]
fn a_forged_ticket_is_worth_nothing() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    let moved = alice.at(&mut world, udp(NEW));
    for bit in 0..ticket.len() * 8 {
        let mut forged = ticket.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        moved.assert_refused(&show(&mut world, &moved, &forged, 600), 400);
    }
    for len in 0..ticket.len() {
        moved.assert_refused(&show(&mut world, &moved, &ticket[..len], 600), 400);
    }
    let bob = world.bob();
    let (_, other) = mobile(&mut world, &bob);
    let alike = ticket.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(alike < 10, "{alike} bytes alike");
    alice.refresh(&mut world, Some(0));
    moved.assert_refused(&show(&mut world, &moved, &ticket, 600), 437);
}

/// MICE-006: another server of the process, as another worker is, knows the ticket but not the allocation.
#[test]
fn a_ticket_of_another_worker_is_refused_as_a_mismatch() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    world.restart();
    mobile(&mut world, &alice);
    let moved = alice.at(&mut world, udp(NEW));
    moved.assert_refused(&show(&mut world, &moved, &ticket, 600), 437);
    world.assert_holds(1, 1);
}

/// MICE-004: another worker has all of it, and its tickets go on.
#[test]
fn an_allocation_is_the_same_with_another_worker() {
    let mut world = roaming();
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| {
        w.attribute(attribute::MOBILITY_TICKET, &[]).attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    });
    let ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    let relayed = answer.xor(attribute::XOR_RELAYED_ADDRESS)[0];
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(200);
    let moved = alice.at(&mut world, udp(NEW));
    let answer = show(&mut world, &moved, &ticket, 600);
    assert!(world.server.extract(&moved.path).is_none(), "it has not moved yet");
    assert!(world.server.extract(&alice.path).is_none(), "it is about to move");
    moved.channel_data(&mut world, 0x4000, b"up");
    let (routes, permissions) = (world.routes.len(), world.permissions.len());
    world.migrate(&moved.path);
    world.assert_holds(1, 2);
    assert_eq!((world.routes.len(), world.permissions.len()), (routes, permissions));
    assert_eq!(to_peer(&moved.channel_data(&mut world, 0x4000, b"up")).1, b"up");
    assert_eq!(down(&mut world, relayed).0, moved.path);

    let third = alice.at(&mut world, udp(CAROL));
    third.assert_refused(&show(&mut world, &third, &ticket, 600), 400);
    let ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    third.assert_granted(&show(&mut world, &third, &ticket, 600));
    third.channel_data(&mut world, 0x4000, b"up");
    world.seconds(101);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"late")), Reason::NoPermission, "its times are what they were");
    world.seconds(500);
    world.assert_empty();
}

/// MICE-018: a connection that ends before it is used is left, and so is each that another takes the place of.
#[test]
fn what_an_allocation_does_not_move_to_is_left() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    let first = alice.at(&mut world, tcp("192.0.2.77:45000", 3));
    let answer = show(&mut world, &first, &ticket, 600);
    world.close(&first);
    assert_eq!(world.left, [first.path]);
    let second = alice.at(&mut world, udp(NEW));
    let answer = show(&mut world, &second, &answer.get(attribute::MOBILITY_TICKET).unwrap(), 600);
    let third = alice.at(&mut world, udp(CAROL));
    third.assert_granted(&show(&mut world, &third, &answer.get(attribute::MOBILITY_TICKET).unwrap(), 600));
    assert_eq!(world.left, [first.path, second.path]);
}

/// MICE-007.
#[test]
fn a_ticket_is_good_for_its_user_alone() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let bob = world.bob();
    bob.assert_refused(&show(&mut world, &bob, &ticket, 0), 441);
    assert_eq!(dropped(&bob.channel_data(&mut world, 0x4000, b"mine")), Reason::NoAllocation);
    assert_eq!(down(&mut world, relayed).0, alice.path);
}

/// MICE-011.
#[test]
fn a_retransmitted_hand_over_is_answered_alike() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    let moved = alice.at(&mut world, udp(NEW));
    let id = world.transaction();
    let request = moved.message(&id, Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket));
    let first = world.ask(moved.path, &request);
    world.seconds(29);
    assert_eq!(world.ask(moved.path, &request).bytes, first.bytes);
    moved.assert_refused(&show(&mut world, &moved, &ticket, 600), 400);
    world.seconds(30);
    assert_eq!(world.ask(moved.path, &request).code(), Some(400));
}

/// MICE-012.
#[test]
fn data_alone_moves_nothing() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, _) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let moved = alice.at(&mut world, udp(NEW));
    assert_eq!(dropped(&moved.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation);
    assert_eq!(dropped(&moved.send(&mut world, PEER, b"up")), Reason::NoAllocation);
    assert_eq!(down(&mut world, relayed).0, alice.path);
}

/// MICE-015.
#[test]
fn without_credentials_mobility_needs_a_secret_connection() {
    let mut world = patient_with(|options| (options.mobility, options.anonymous) = (true, true));
    let ask = |world: &mut World, path| {
        let request = world.bare(Method::ALLOCATE, hairpin::wire::Class::Request, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::MOBILITY_TICKET, &[]);
        });
        world.ask(path, &request).code()
    };
    assert_eq!(ask(&mut world, udp(ALICE)), Some(405));
    assert_eq!(ask(&mut world, tcp(ALICE, 3)), Some(405));
    assert_eq!(ask(&mut world, Path { transport: Transport::Tls, ..tcp(ALICE, 4) }), None);
}

/// MICE-016: framing follows the transport: the body of five bytes is padded on the stream alone.
#[test]
fn an_allocation_moves_across_transports_and_families() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, mut ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    for (path, len) in [(tcp(NEW, 5), 12), (udp(ALICE6), 9), (Path { transport: Transport::Tls, ..tcp(NEW, 6) }, 12)] {
        let moved = alice.at(&mut world, path);
        let answer = show(&mut world, &moved, &ticket, 600);
        moved.assert_granted(&answer);
        ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
        assert_eq!(to_peer(&moved.channel_data(&mut world, 0x4000, b"upper")).1, b"upper");
        let Out::Client(to, bytes) = world.peer(PEER, relayed, b"lower").remove(0) else { panic!("to the client") };
        assert_eq!((to, bytes.len()), (path, len));
    }
}

/// MICE-017.
#[test]
fn a_stale_nonce_does_not_use_up_a_ticket() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    let hasty = Client { path: udp(NEW), ..alice.clone() };
    let answer = show(&mut world, &hasty, &ticket, 600);
    assert_eq!(answer.code(), Some(438));
    let moved = Client { nonce: answer.get(attribute::NONCE).unwrap(), ..hasty };
    moved.assert_granted(&show(&mut world, &moved, &ticket, 600));
}

/// MICE-018.
#[test]
fn only_the_last_of_many_hand_overs_is_pending() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, mut ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let roams: Vec<Client> =
        (0..10).map(|n| alice.at(&mut world, udp(&format!("192.0.2.77:{}", 45_000 + n)))).collect();
    for moved in &roams {
        let answer = show(&mut world, moved, &ticket, 600);
        moved.assert_granted(&answer);
        ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    }
    for moved in &roams[..9] {
        assert_eq!(dropped(&moved.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation);
    }
    assert_eq!(down(&mut world, relayed).0, alice.path);
    to_peer(&roams[9].channel_data(&mut world, 0x4000, b"up"));
    assert_eq!(down(&mut world, relayed).0, roams[9].path);
    world.assert_holds(1, 1);
}

/// MICE-019: it waits for its client, is charged, and moves as soon as the client shows its ticket.
#[test]
fn an_allocation_with_a_ticket_outlives_its_connection() {
    let mut world = roaming();
    let alice = world.login(tcp(ALICE, 3), "alice", "secret");
    let (relayed, ticket) = mobile(&mut world, &alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.close(&alice);
    world.assert_holds(1, 1);
    assert!(world.routes.is_empty() && world.permissions.is_empty());
    assert_eq!(dropped(&world.peer(PEER, relayed, b"down")), Reason::NoClient);
    assert_eq!(world.icmp(relayed, PEER, 3, 3, 0), []);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"up")), Reason::NoAllocation, "whoever has it now");
    let moved = alice.at(&mut world, udp(NEW));
    moved.assert_granted(&show(&mut world, &moved, &ticket, 600));
    assert_eq!(down(&mut world, relayed).0, moved.path);
    assert_eq!(world.routes.len(), 1);
    world.seconds(601);
    world.assert_empty();
}

/// MICE-019: without a client it ends with its time, and leaves alone what has its 5-tuple now.
#[test]
fn an_allocation_that_nobody_fetches_ends_with_its_time() {
    let mut world = roaming();
    let alice = world.login(tcp(ALICE, 3), "alice", "secret");
    mobile(&mut world, &alice);
    world.close(&alice);
    world.seconds(300);
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.assert_holds(2, 2);
    world.pass(Duration::from_secs(301));
    world.assert_holds(1, 1);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(down(&mut world, relayed).0, alice.path);
}

/// MICE-009: the end of either connection leaves the other.
#[test]
fn the_end_of_a_connection_decides_a_hand_over() {
    for old_ends in [true, false] {
        let mut world = roaming();
        let alice = world.login(tcp(ALICE, 3), "alice", "secret");
        let (relayed, ticket) = mobile(&mut world, &alice);
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        let moved = alice.at(&mut world, tcp(NEW, 4));
        moved.assert_granted(&show(&mut world, &moved, &ticket, 600));
        let (gone, there) = if old_ends { (&alice, &moved) } else { (&moved, &alice) };
        world.close(gone);
        assert_eq!(down(&mut world, relayed).0, there.path);
        assert_eq!(to_peer(&there.channel_data(&mut world, 0x4000, b"up")).1, b"up");
        world.assert_holds(1, 1);
        there.refresh(&mut world, Some(0));
        world.assert_empty();
    }
}

/// MICE-020.
#[test]
fn a_ticket_can_end_an_allocation() {
    let mut world = roaming();
    let alice = world.alice();
    let (_, ticket) = mobile(&mut world, &alice);
    let moved = alice.at(&mut world, udp(NEW));
    let answer = show(&mut world, &moved, &ticket, 0);
    moved.assert_granted(&answer);
    assert_eq!((answer.lifetime(), answer.get(attribute::MOBILITY_TICKET)), (Some(0), None));
    world.assert_empty();
}

/// MICE-021.
#[test]
fn a_5_tuple_with_an_allocation_takes_no_other() {
    let mut world = roaming();
    let alice = world.alice();
    let (relayed, ticket) = mobile(&mut world, &alice);
    let moved = alice.at(&mut world, udp(NEW));
    world.allocate(&moved);
    moved.assert_refused(&show(&mut world, &moved, &ticket, 600), 437);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(down(&mut world, relayed).0, alice.path);
    world.assert_holds(2, 2);
}
