//! ICMP errors: told to the client whose datagram met them, survived by the relay, limited.

use crate::client::{Answer, Client, Heard};
use crate::harness::*;
use crate::space::Space;
use hairpin::wire::address::Family;
use hairpin::wire::{Method, attribute};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

/// The Data indication with ICMP that comes next: from where, and its value.
fn icmp(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    match client.hear() {
        Heard::Message(told) => icmp_of(&told),
        other => panic!("a Data indication, not {other:?}"),
    }
}

fn icmp_of(told: &Answer) -> (SocketAddr, Vec<u8>) {
    assert_eq!(told.message().method(), Method::DATA);
    assert_eq!(told.get(attribute::DATA), None, "ICMP comes without data");
    (told.xor(attribute::XOR_PEER_ADDRESS), told.get(attribute::ICMP).expect("ICMP"))
}

/// TURN-090, TURN-093, TURN-094, TURN-095: a closed port of a peer, for both families, also where there is a channel.
/// The relay goes on.
#[test]
fn a_client_is_told_that_a_port_of_its_peer_is_closed_and_its_relay_survives() {
    let cases = [
        (IpAddr::V4(own_address()), IpAddr::V4(own_address()), [0, 0, 3, 3, 0, 0, 0, 0]),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), [0, 0, 1, 4, 0, 0, 0, 0]),
    ];
    for (ip, peer_ip, value) in cases {
        let server = Setup::at(ip).start();
        let closed = peer_at(peer_ip).local_addr().unwrap();
        for mut client in [server.alice(), server.alice_by_tcp()] {
            let relayed = client.allocate_family(Family::of(ip));
            client.permit(closed);
            client.send(closed, b"is there anybody?");
            assert_eq!(icmp(&mut client), (closed, value.to_vec()));
            client.bind(0x4000, closed);
            client.send_channel(0x4000, b"is there anybody?");
            assert_eq!(icmp(&mut client), (closed, value.to_vec()));

            let peer = peer_at(peer_ip);
            let at = peer.local_addr().unwrap();
            for round in 0..3 {
                // The error of the first is still under way when the second is sent.
                client.send_channel(0x4000, b"nobody");
                client.send(at, &[round]);
                assert_eq!(receive(&peer), (vec![round], relayed));
            }
            for _ in 0..3 {
                assert_eq!(icmp(&mut client).0, closed);
            }
            peer.send_to(b"still here", relayed).unwrap();
            assert_eq!(client.data(), (b"still here".to_vec(), Some(at)));
            assert_eq!(client.refresh(0), None);
        }
    }
}

/// TURN-096.
#[test]
fn a_flood_of_errors_is_told_in_part_and_stops_nothing() {
    let server = Setup::new().start();
    let closed = peer().local_addr().unwrap();
    let (mut client, peer) = (server.alice(), peer());
    let relayed = client.allocate();
    client.bind(0x4000, closed);
    client.permit(peer.local_addr().unwrap());
    let begun = Instant::now();
    for round in 0..50_u8 {
        for _ in 0..20 {
            client.send_channel(0x4000, b"nobody");
        }
        client.send(peer.local_addr().unwrap(), &[round]);
        assert_eq!(receive(&peer), (vec![round], relayed));
    }
    peer.send_to(b"the end", relayed).unwrap();
    let mut told = 0;
    loop {
        match client.hear() {
            Heard::Message(data) if data.get(attribute::DATA).is_some() => break,
            Heard::Message(error) => {
                assert_eq!(icmp_of(&error).0, closed);
                told += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let limit = 10 + 10 * (begun.elapsed().as_secs() + 1);
    assert!(told >= 1 && told <= limit, "{told} of 1000 errors told");
}

/// An ICMP error about a datagram from `relayed` to `peer`.
fn error(kind: u8, code: u8, rest: [u8; 4], protocol: u8, relayed: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (relayed.ip(), peer.ip()) else { panic!("IPv4 alone") };
    let mut packet = vec![kind, code, 0, 0];
    packet.extend(rest);
    packet.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 60, protocol, 0, 0]);
    packet.extend(from.octets().into_iter().chain(to.octets()));
    packet.extend(relayed.port().to_be_bytes().into_iter().chain(peer.port().to_be_bytes()));
    packet.extend([0, 20, 0, 0]);
    let words = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    packet[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

/// TURN-090, TURN-091, TURN-092, TURN-095: a router on the way says what it says; the peer of the datagram counts, not
/// the router.
#[test]
fn errors_of_routers_are_told_if_they_are_of_the_kinds_that_help() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("192.0.2.1/24");
    far.address("192.0.2.100/24");
    far.address("192.0.2.99/24");
    let setup = Setup::at("192.0.2.1".parse().unwrap()).set("peers.allow", "[\"192.0.2.100\", \"192.0.2.101\"]");
    let server = setup.start_in(Some(&near));
    let (client, peer, router) = far.run(|| {
        let router = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        router.bind(&SockAddr::from(SocketAddr::from(([192, 0, 2, 99], 0)))).unwrap();
        (Client::udp(server.addr), peer_at("192.0.2.100".parse().unwrap()), router)
    });
    let (mut client, at) = (client.named(ALICE), peer.local_addr().unwrap());
    let relayed = client.allocate();
    client.permit(at);
    let stranger = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 101), at.port()));
    const UDP: u8 = 17;
    const TCP: u8 = 6;
    let mtu = [0, 0, 0x05, 0x00];
    let cases = [
        ("time exceeded", error(11, 0, [0; 4], UDP, relayed, at), Some([0, 0, 11, 0, 0, 0, 0, 0])),
        ("host unreachable", error(3, 1, [0; 4], UDP, relayed, at), Some([0, 0, 3, 1, 0, 0, 0, 0])),
        ("forbidden by a filter", error(3, 13, [0; 4], UDP, relayed, at), Some([0, 0, 3, 13, 0, 0, 0, 0])),
        ("too big", error(3, 4, mtu, UDP, relayed, at), Some([0, 0, 3, 4, 0, 0, 5, 0])),
        ("parameter problem", error(12, 0, [0; 4], UDP, relayed, at), None),
        ("source quench", error(4, 0, [0; 4], UDP, relayed, at), None),
        ("redirect", error(5, 1, [192, 0, 2, 99], UDP, relayed, at), None),
        ("about TCP", error(3, 3, [0; 4], TCP, relayed, at), None),
        ("about a peer without permission", error(3, 3, [0; 4], UDP, relayed, stranger), None),
        ("about another port", error(3, 3, [0; 4], UDP, SocketAddr::new(relayed.ip(), 9), at), None),
    ];
    for (what, packet, told) in cases {
        router.send_to(&packet, &SockAddr::from(SocketAddr::new(relayed.ip(), 0))).unwrap();
        // What a peer sends afterwards comes afterwards.
        peer.send_to(what.as_bytes(), relayed).unwrap();
        if let Some(value) = told {
            assert_eq!(icmp(&mut client), (at, value.to_vec()), "{what}");
        }
        assert_eq!(client.data(), (what.as_bytes().to_vec(), Some(at)), "{what}");
    }
}
