//! Mobility (RFC 8016) on real sockets: a client changes its address and transport while media flows.

use crate::client::Client;
use crate::harness::*;
use hairpin::wire::{Method, attribute};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// How many clients roam between two workers: that all of them stay with theirs is one chance in a million.
const CROWD: usize = 20;

/// Allocates with a ticket; the relayed address and the ticket.
fn mobile(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let answer = client.allocate_with(|w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    assert_eq!(answer.code(), None, "Allocate succeeds");
    (answer.xor(attribute::XOR_RELAYED_ADDRESS), answer.get(attribute::MOBILITY_TICKET).expect("a ticket"))
}

/// Shows a ticket: the next one, or the code of the refusal.
fn show(client: &mut Client, ticket: &[u8]) -> Result<Vec<u8>, u16> {
    let answer = client.request(Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, ticket));
    answer.code().map_or_else(|| Ok(answer.get(attribute::MOBILITY_TICKET).expect("a new ticket")), Err)
}

/// A payload each way by the client's channel.
fn flows(client: &mut Client, peer: &UdpSocket, relayed: SocketAddr) {
    client.send_channel(0x4000, b"up");
    assert_eq!(receive(peer), (b"up".to_vec(), relayed));
    peer.send_to(b"down", relayed).unwrap();
    assert_eq!(client.data(), (b"down".to_vec(), None));
}

/// MICE-004, MICE-009, MICE-010, MICE-016.
#[test]
fn a_client_roams_from_address_to_address_and_to_tcp_without_losing_a_packet() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "1").start();
    let peer = peer();
    let mut client = Client::udp(server.addr).named(ALICE);
    let (relayed, mut ticket) = mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    flows(&mut client, &peer, relayed);
    let elsewhere = Client::udp_from(IpAddr::V4(own_address()), server.addr);
    for next in [elsewhere, Client::tcp(server.addr), Client::udp(server.addr)] {
        let mut next = next.named(ALICE);
        ticket = show(&mut next, &ticket).expect("the worker is the same");
        flows(&mut client, &peer, relayed);
        peer.send_to(b"before", relayed).unwrap();
        assert_eq!(client.data().0, b"before", "the old 5-tuple is good until the new one is used");
        flows(&mut next, &peer, relayed);
        assert_eq!(client.refresh(600), Some(437));
        client = next;
    }
    assert_eq!(client.refresh(0), None);
}

/// MICE-019: a connection that ends leaves the allocation to its ticket.
#[test]
fn a_client_comes_back_after_its_connection_has_ended() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "1").start();
    let peer = peer();
    let mut client = Client::tcp(server.addr).named(ALICE);
    let (relayed, ticket) = mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    flows(&mut client, &peer, relayed);
    drop(client);
    let mut back = Client::udp(server.addr).named(ALICE);
    show(&mut back, &ticket).expect("the worker is the same");
    flows(&mut back, &peer, relayed);
}

/// MICE-006: a client that lands on another worker is told so, and loses nothing that it has.
#[test]
fn a_client_that_lands_on_another_worker_keeps_its_old_5_tuple() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "2").start();
    let peer = peer();
    let refused = (0..CROWD).filter(|_| {
        let mut client = Client::udp(server.addr).named(ALICE);
        let (relayed, ticket) = mobile(&mut client);
        client.bind(0x4000, peer.local_addr().unwrap());
        let mut next = Client::udp(server.addr).named(ALICE);
        let shown = show(&mut next, &ticket);
        flows(&mut client, &peer, relayed);
        match shown {
            Ok(_) => flows(&mut next, &peer, relayed),
            Err(code) => assert_eq!(code, 437),
        }
        shown.is_err()
    });
    let refused = refused.count();
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        assert!((1..CROWD).contains(&refused), "{refused} of {CROWD}");
    }
}
