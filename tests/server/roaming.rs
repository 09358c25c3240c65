//! Mobility (RFC 8016) on real sockets: a client changes its address and transport while media flows.

use crate::client::{Client, Heard};
use crate::harness::*;
use crate::space::Space;
use hairpin::wire::{Method, attribute};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How many clients roam between two workers: that all of them stay with theirs is less than one chance in a million.
pub const CROWD: usize = 20;

/// Allocates with a ticket; the relayed address and the ticket.
pub fn mobile(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let answer = client.allocate_with(|w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
    assert_eq!(answer.code(), None, "Allocate succeeds");
    (answer.xor(attribute::XOR_RELAYED_ADDRESS), answer.get(attribute::MOBILITY_TICKET).expect("a ticket"))
}

/// Shows a ticket: the next one, or the code of the refusal.
pub fn show(client: &mut Client, ticket: &[u8]) -> Result<Vec<u8>, u16> {
    let answer = client.request(Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, ticket));
    answer.code().map_or_else(|| Ok(answer.get(attribute::MOBILITY_TICKET).expect("a new ticket")), Err)
}

/// A payload each way by the client's channel.
pub fn flows(client: &mut Client, peer: &UdpSocket, relayed: SocketAddr) {
    client.send_channel(0x4000, b"up");
    assert_eq!(receive(peer), (b"up".to_vec(), relayed));
    peer.send_to(b"down", relayed).unwrap();
    assert_eq!(client.data(), (b"down".to_vec(), None));
}

/// MICE-004, MICE-009, MICE-010, MICE-016.
#[test]
fn a_client_roams_from_address_to_address_and_to_tcp_without_losing_a_packet() {
    let server = Setup::new().set("protocol.mobility", "true").start();
    let peer = peer();
    let mut client = Client::udp(server.addr).named(ALICE);
    let (relayed, mut ticket) = mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    flows(&mut client, &peer, relayed);
    let elsewhere = Client::udp_from(IpAddr::V4(own_address()), server.addr);
    for next in [elsewhere, Client::tcp(server.addr), Client::udp(server.addr)] {
        let mut next = next.named(ALICE);
        ticket = show(&mut next, &ticket).expect("the next ticket");
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
    let server = Setup::new().set("protocol.mobility", "true").start();
    let peer = peer();
    let mut client = Client::tcp(server.addr).named(ALICE);
    let (relayed, ticket) = mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    flows(&mut client, &peer, relayed);
    drop(client);
    let mut back = Client::udp(server.addr).named(ALICE);
    show(&mut back, &ticket).expect("the next ticket");
    flows(&mut back, &peer, relayed);
}

/// MICE-004, MICE-009, MICE-010, MICE-016: wherever a client lands, nothing is lost in either direction, and all of it
/// goes on: the channel, the ticket, the end.
#[test]
fn clients_roam_from_worker_to_worker_without_losing_a_packet() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "2").start();
    let peer = peer();
    for _ in 0..CROWD {
        let mut client = Client::udp(server.addr).named(ALICE);
        let (relayed, mut ticket) = mobile(&mut client);
        client.bind(0x4000, peer.local_addr().unwrap());
        for mut next in [Client::udp(server.addr), Client::tcp(server.addr), Client::udp(server.addr)] {
            next = next.named(ALICE);
            ticket = show(&mut next, &ticket).expect("the ticket is good everywhere");
            flows(&mut client, &peer, relayed);
            passes_over(&mut client, &mut next, &peer, relayed);
            flows(&mut next, &peer, relayed);
            assert_eq!(next.refresh(600), None);
            assert_eq!(client.refresh(600), Some(437));
            client = next;
        }
        assert_eq!(client.refresh(0), None);
    }
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        server.err.wait_for("allocation came from another worker");
    }
}

/// Media in both directions while the client begins to use its next 5-tuple.
pub fn passes_over(client: &mut Client, next: &mut Client, peer: &UdpSocket, relayed: SocketAddr) {
    const MANY: u8 = 50;
    let large = |number: u8| [&[number][..], &[0xEE; 1100]].concat();
    for number in 0..MANY {
        peer.send_to(&large(number), relayed).unwrap();
        next.send_channel(0x4000, &large(number));
    }
    let mut up: Vec<u8> = (0..MANY).map(|_| receive(peer).0[0]).collect();
    up.sort_unstable();
    assert!(up.into_iter().eq(0..MANY), "everything reaches the peer, once");
    let mut down = Vec::new();
    eventually("everything to reach the client", || {
        for at in [&mut *client, &mut *next] {
            while let Some(Heard::Channel(_, body)) = at.hear_within(Duration::from_millis(1)) {
                down.push(body[0]);
            }
        }
        (down.len() >= usize::from(MANY)).then_some(())
    });
    down.sort_unstable();
    assert!(down.into_iter().eq(0..MANY), "everything reaches the client, once");
}

/// MICE-016, MICE-018: the client's host changes its address, as a telephone does that leaves the house; the old one goes.
#[test]
fn a_host_changes_its_address_while_media_flows() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (home, far) = Space::pair();
    far.address("10.1.0.1/24");
    // Each alone, so that none goes with another; the last is the peer's.
    let address = |last: u8| IpAddr::from([10, 1, 0, last]);
    [2, 9].into_iter().for_each(|last| home.address(&format!("{}/32", address(last))));
    home.ip("route add 10.1.0.0/24 dev eth0");
    let setup = Setup::at(address(1)).set("protocol.mobility", "true").set("workers", "2");
    let server = setup.set("peers.allow", "[\"10.1.0.9\"]").start_in(Some(&far));
    let client = |last| home.run(|| Client::udp_from(address(last), server.addr).named(ALICE));
    let peer = home.run(|| UdpSocket::bind((address(9), 0)).unwrap());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut before = client(2);
    let (relayed, mut ticket) = mobile(&mut before);
    before.bind(0x4000, peer.local_addr().unwrap());
    for last in 3..8 {
        home.address(&format!("{}/32", address(last)));
        let mut next = client(last);
        ticket = show(&mut next, &ticket).expect("the ticket is good everywhere");
        passes_over(&mut before, &mut next, &peer, relayed);
        home.ip(&format!("address del {}/32 dev eth0", address(last - 1)));
        flows(&mut next, &peer, relayed);
        before = next;
    }
    assert_eq!(before.refresh(0), None);
}

/// MICE-016, MICE-019: the old connection ends before the new one has said anything; what the peers send finds the new one,
/// on whatever worker that is.
#[test]
fn a_client_that_only_listens_is_found() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "2").start();
    let peer = peer();
    for _ in 0..CROWD {
        let mut client = Client::tcp(server.addr).named(ALICE);
        let (relayed, ticket) = mobile(&mut client);
        client.permit(peer.local_addr().unwrap());
        let mut next = Client::tcp(server.addr).named(ALICE);
        show(&mut next, &ticket).expect("the next ticket");
        drop(client);
        eventually("the peer to be heard", || {
            peer.send_to(b"down", relayed).unwrap();
            next.hear_within(Duration::from_millis(50))
        });
    }
}

/// MICE-006, MICE-018: what another worker expects of a 5-tuple ends with the client's next one, or with its connection.
#[test]
fn a_5_tuple_that_a_client_never_used_is_forgotten_everywhere() {
    let server = Setup::new().set("protocol.mobility", "true").set("workers", "2").start();
    let peer = peer();
    let mut client = Client::udp(server.addr).named(ALICE);
    let (relayed, mut ticket) = mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    for round in 0..CROWD {
        let mut next = if round % 2 == 0 { Client::udp(server.addr) } else { Client::tcp(server.addr) }.named(ALICE);
        ticket = show(&mut next, &ticket).expect("the ticket is good everywhere");
        let mut other = Client::udp(server.addr).named(ALICE);
        ticket = show(&mut other, &ticket).expect("the ticket is good everywhere");
        // The first of the two has nothing any more, and may allocate.
        assert_eq!(next.refresh(600), Some(437));
        assert!(next.try_allocate().is_ok());
        flows(&mut client, &peer, relayed);
    }
}
