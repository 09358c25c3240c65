//! 5-tuples: which packets belong to which allocation, and what happens when one goes away (RFC 8656 §5, §6).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::{Action, Event, Path, Reason, Transport, Verdict};
use hairpin::wire::{Method, attribute};

/// TURN-121, DEMUX-007, FRAME-014.
#[test]
fn whatever_differs_in_a_5_tuple_makes_it_another() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let others = [
        udp("192.0.2.1:40001"),
        udp(BOB),
        Path { server: addr("203.0.113.6:3478"), ..udp(ALICE) },
        Path { server: addr("203.0.113.5:3479"), ..udp(ALICE) },
        tcp(ALICE, 0),
        Path { transport: Transport::Tls, ..tcp(ALICE, 0) },
        dtls(ALICE, 0),
    ];
    for path in others {
        let same = alice.at(&mut world, path);
        same.assert_refused(&same.refresh(&mut world, None), 437);
        same.assert_refused(&same.permit(&mut world, &[PEER]), 437);
        same.assert_refused(&same.bind(&mut world, 0x4000, PEER), 437);
        assert_eq!(dropped(&same.send(&mut world, PEER, b"x")), Reason::NoAllocation);
        assert_eq!(dropped(&same.channel_data(&mut world, 0x4000, b"x")), Reason::NoAllocation);
    }
    world.assert_holds(1, 1);
}

/// TURN-038, SEC-38.
#[test]
fn an_allocation_ends_with_the_connection_that_made_it() {
    let mut world = world_with(|options| options.routes = true);
    let alice = world.login(tcp(ALICE, 7), "alice", "secret");
    let (relayed, _) = alice.allocate_pair(&mut world);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(world.close(&alice), []);
    world.assert_empty();
    assert!(world.relay_at(relayed).is_none());
    // The same news again, or of a connection that had nothing, is no news.
    assert_eq!(world.close(&alice), []);
    world.assert_empty();
}

/// TURN-039.
#[test]
fn a_new_connection_from_the_same_port_starts_clean() {
    let mut world = world();
    let first = world.login(tcp(ALICE, 7), "alice", "secret");
    world.allocate(&first);
    world.close(&first);
    for link in [7, 8] {
        let again = world.login(tcp(ALICE, link), "alice", "secret");
        again.assert_refused(&again.refresh(&mut world, None), 437);
        world.allocate(&again);
        world.assert_holds(1, 1);
        world.close(&again);
    }
    // Before the end of the old one is known, too: another connection is another place.
    let old = world.login(tcp(ALICE, 7), "alice", "secret");
    world.allocate(&old);
    let new = world.login(tcp(ALICE, 8), "alice", "secret");
    world.allocate(&new);
    world.close(&old);
    world.assert_holds(1, 1);
    new.assert_granted(&new.refresh(&mut world, None));
}

/// TURN-038, FRAME-014: a client that leaves while its sockets are being opened leaves nothing, at whatever
/// moment it goes.
#[test]
fn a_client_that_leaves_early_leaves_nothing() {
    for moment in 0..4 {
        let mut world = world();
        let alice = world.login(tcp(ALICE, 7), "alice", "secret");
        let id = world.transaction();
        let request = alice.message(&id, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::EVEN_PORT, &[0x80]);
        });
        let verdict = world.server.handle_client(world.now, alice.path, &request, &mut Vec::new());
        assert!(matches!(verdict, Verdict::Done));
        for step in 0.. {
            if step == moment {
                world.server.handle_event(world.now, Event::Closed { path: alice.path });
            }
            match world.server.poll() {
                Some(Action::Charge { ticket, owner, source }) => {
                    let granted = world.ledger.charge(&owner, source);
                    world.server.handle_event(world.now, Event::Charged { ticket, granted });
                }
                Some(Action::OpenRelay { ticket, relay, addr, .. }) => {
                    world.sockets.insert(relay, addr);
                    world.server.handle_event(world.now, Event::RelayOpened { ticket, result: Ok(()) });
                }
                Some(Action::Release { owner, source }) => world.ledger.release(&owner, source),
                Some(Action::CloseRelay { relay }) => assert!(world.sockets.remove(&relay).is_some()),
                Some(Action::Deposit { relay, token, owner }) => {
                    let at = world.sockets.remove(&relay).unwrap();
                    world.deposits.insert(token, (owner, at));
                }
                Some(Action::Forget { token }) => assert!(world.deposits.remove(&token).is_some()),
                Some(Action::Send { .. } | Action::SendFrom { .. } | Action::Leave { .. } | Action::Tell(_)) => {}
                Some(other) => panic!("{other:?}"),
                None if step > moment => break,
                None => {}
            }
        }
        world.assert_empty();
    }
}

/// TURN-120.
#[test]
fn after_a_restart_old_clients_are_told_that_they_have_nothing() {
    let mut world = patient();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.restart();
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"x")), Reason::NoAllocation);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoAllocation);
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER), 437);
    assert!(world.relay_at(relayed).is_none());
    world.allocate(&alice);
    world.assert_holds(1, 1);
}

/// TURN-120: a nonce of the process before is not believed, and a new one comes with the refusal.
#[test]
fn after_a_restart_with_another_key_a_client_gets_a_new_nonce_first() {
    let mut world = patient();
    let mut alice = world.alice();
    world.allocate(&alice);
    alice.nonce[20] ^= 1;
    let stale = alice.refresh(&mut world, None);
    assert_eq!(stale.code(), Some(438));
    world.restart();
    alice.nonce = stale.get(attribute::NONCE).unwrap();
    alice.assert_refused(&alice.refresh(&mut world, None), 437);
}

/// TURN-124, SEC-14.
#[test]
fn two_clients_of_one_server_meet_relay_to_relay() {
    let mut world = world();
    let (alice, bob) = (world.alice(), world.bob());
    let (of_alice, of_bob) = (world.allocate(&alice), world.allocate(&bob));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, &of_bob.to_string()));
    let out = alice.channel_data(&mut world, 0x4000, b"hello");
    let (to, body) = to_peer(&out);
    // What leaves alice's relay arrives at bob's; without his permission it ends there.
    assert_eq!(dropped(&world.peer(&of_alice.to_string(), to, body)), Reason::NoPermission);
    bob.assert_granted(&bob.permit(&mut world, &[&of_alice.to_string()]));
    let arrived = world.peer(&of_alice.to_string(), to, body);
    assert_eq!(data(&arrived), (of_alice, b"hello".to_vec()));
    assert!(matches!(arrived[..], [Out::Client(path, _)] if path == bob.path));
    let back = bob.send(&mut world, &of_alice.to_string(), b"hi");
    let (to, body) = to_peer(&back);
    assert_eq!(to_client(&world.peer(&of_bob.to_string(), to, body)), b"\x40\x00\x00\x02hi");
}
