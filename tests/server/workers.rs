//! Several workers look like one server.

use crate::client::{Client, Heard};
use crate::harness::*;
use hairpin::wire::attribute;

/// Many clients, whichever worker each of them meets.
#[test]
fn every_client_is_served_whichever_worker_it_meets() {
    let server = Setup::new().set("workers", "2").start();
    let peer = peer();
    let clients = (0..40).map(|n| if n % 4 == 0 { server.alice_by_tcp() } else { server.alice() });
    let mut clients: Vec<(Client, _)> = clients
        .map(|mut client| {
            let relayed = client.allocate();
            client.bind(0x4000, peer.local_addr().unwrap());
            (client, relayed)
        })
        .collect();
    for (n, (client, relayed)) in (0_u8..).zip(&mut clients) {
        client.send_channel(0x4000, &[n]);
        assert_eq!(receive(&peer), (vec![n], *relayed));
        peer.send_to(&[n, n], *relayed).unwrap();
        assert_eq!(client.hear(), Heard::Channel(0x4000, vec![n, n]));
    }
    for (client, _) in &mut clients {
        assert_eq!(client.refresh(0), None);
    }
}

/// TURN-124: the relays of two workers are peers of each other.
#[test]
fn allocations_of_different_workers_reach_each_other() {
    let server = Setup::new().set("workers", "2").start();
    let mut first = server.alice();
    let at_first = first.allocate();
    for n in 0..8 {
        let mut second = server.alice();
        let at_second = second.allocate();
        first.bind(0x4000 + n, at_second);
        second.permit(at_first);
        first.send_channel(0x4000 + n, b"hello");
        assert_eq!(second.data(), (b"hello".to_vec(), Some(at_first)));
    }
}

/// TURN-016, TURN-018, SEC-29: a port that one worker reserved is handed out by whichever worker is shown the token, to
/// its user alone and once.
#[test]
fn a_reservation_is_good_at_every_worker() {
    let server = Setup::new().set("workers", "2").start();
    // A client that is dropped leaves its port to a later one, and its allocation with it.
    let mut kept = Vec::new();
    for _ in 0..12 {
        let mut holder = server.alice();
        let answer = holder.allocate_with(|w| {
            w.attribute(attribute::EVEN_PORT, &[0x80]);
        });
        assert_eq!(answer.code(), None);
        let token = answer.get(attribute::RESERVATION_TOKEN).expect("a token");
        let even = answer.xor(attribute::XOR_RELAYED_ADDRESS);
        assert_eq!(even.port() % 2, 0);
        let show = |client: &mut Client| {
            client.allocate_with(|w| {
                w.attribute(attribute::RESERVATION_TOKEN, &token);
            })
        };
        assert_eq!(show(&mut server.alice().named(BOB)).code(), Some(508), "somebody else's");
        let mut next = server.alice();
        let answer = show(&mut next);
        assert_eq!(answer.code(), None);
        let odd = answer.xor(attribute::XOR_RELAYED_ADDRESS);
        assert_eq!((odd.ip(), odd.port()), (even.ip(), even.port() + 1));
        assert_eq!(show(&mut server.alice()).code(), Some(508), "shown twice");
        let peer = peer();
        next.permit(peer.local_addr().unwrap());
        peer.send_to(b"to the reserved port", odd).unwrap();
        assert_eq!(next.data().0, b"to the reserved port");
        next.send(peer.local_addr().unwrap(), b"from it");
        assert_eq!(receive(&peer), (b"from it".to_vec(), odd));
        kept.extend([holder, next]);
    }
}

/// SEC-37, SEC-38: the quota of a user counts over all workers, and is given back once.
#[test]
fn a_quota_counts_over_all_workers() {
    let server = Setup::new().set("workers", "2").set("limits.user-allocations", "5").start();
    for _ in 0..2 {
        let mut clients: Vec<Client> = (0..20).map(|_| server.alice()).collect();
        let results: Vec<_> = clients.iter_mut().map(Client::try_allocate).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        assert!(results.iter().all(|result| result.is_ok() || *result == Err(486)));
        assert!(Client::udp(server.addr).named(BOB).try_allocate().is_ok(), "another user has another quota");
        for (client, _) in clients.iter_mut().zip(&results).filter(|(_, result)| result.is_ok()) {
            assert_eq!(client.refresh(0), None);
        }
    }
}

/// TURN-033, SEC-37: every port of a small range is found, each by one client.
#[test]
fn a_range_of_four_ports_is_good_for_four_allocations() {
    let server = Setup::new().set("workers", "2").set("relay.min-port", "50000").set("relay.max-port", "50003").start();
    let mut clients: Vec<Client> = (0..16).map(|_| server.alice()).collect();
    let results: Vec<_> = clients.iter_mut().map(Client::try_allocate).collect();
    let mut ports: Vec<u16> = results.iter().flatten().map(std::net::SocketAddr::port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [50000, 50001, 50002, 50003]);
    assert!(results.iter().all(|result| result.is_ok() || *result == Err(508)));
}

/// A worker that looks for packets without sleep relays, keeps time and stops like any other.
#[test]
fn a_worker_that_polls_serves_and_stops() {
    let mut server = Setup::new().set("busy-poll", "200").start();
    for mut client in [server.alice(), server.alice_by_tcp()] {
        let peer = peer();
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        client.send_channel(0x4000, b"up");
        assert_eq!(receive(&peer), (b"up".to_vec(), relayed));
        peer.send_to(b"down", relayed).unwrap();
        assert_eq!(client.data().0, b"down");
    }
    server.signal("TERM");
    assert!(server.wait().success());
}
