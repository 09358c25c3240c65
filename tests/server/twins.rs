//! A relay that sends much to one peer gives that peer a socket of its own. Nobody may notice.

use crate::client::{Client, Heard};
use crate::harness::*;
use crate::space::divide;
use hairpin::wire::address::Family;
use hairpin::wire::channel;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

/// More datagrams in a row than it takes.
const ROW: u16 = 600;
/// How many are sent before they are received.
const FLIGHT: usize = 50;

/// Sends a row of datagrams to a peer by its channel; all come, in order, from the relayed address.
fn row(client: &mut Client, number: u16, peer: &UdpSocket, relayed: SocketAddr) {
    let bodies: Vec<[u8; 2]> = (0..ROW).map(u16::to_be_bytes).collect();
    for flight in bodies.chunks(FLIGHT) {
        for body in flight {
            client.send_channel(number, body);
        }
        for body in flight {
            assert_eq!(receive(peer), (body.to_vec(), relayed));
        }
    }
}

/// How the kernel writes an address in its tables.
fn written(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => {
            let words = ip.octets();
            words.chunks(4).map(|w| format!("{:08X}", u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))).collect()
        }
    };
    format!("{ip}:{:04X}", addr.port())
}

/// There is a socket on `local` that is connected to `peer`.
fn is_connected(local: SocketAddr, peer: SocketAddr) -> bool {
    let table = if local.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    let pair = format!("{} {}", written(local), written(peer));
    std::fs::read_to_string(table).unwrap().contains(&pair)
}

fn families() -> [(IpAddr, fn() -> UdpSocket); 2] {
    [(IpAddr::V4(own_address()), peer), (IpAddr::V6(Ipv6Addr::LOCALHOST), || peer_at(IpAddr::V6(Ipv6Addr::LOCALHOST)))]
}

/// What the favoured peer sends comes to the client, and so does what others send; then another is favoured.
#[test]
fn a_favoured_peer_costs_the_others_nothing() {
    for (ip, peer) in families() {
        let server = Setup::at(ip).start();
        for mut client in [server.alice(), server.alice_by_tcp()] {
            let peers = [peer(), peer()];
            let relayed = client.allocate_family(Family::of(ip));
            for (number, peer) in [0x4000, 0x4001].into_iter().zip(&peers) {
                client.bind(number, peer.local_addr().unwrap());
            }
            for favoured in [0, 1, 0] {
                row(&mut client, 0x4000 + favoured, &peers[usize::from(favoured)], relayed);
                assert!(is_connected(relayed, peers[usize::from(favoured)].local_addr().unwrap()));
                for (number, peer) in [0x4000, 0x4001].into_iter().zip(&peers) {
                    peer.send_to(b"down", relayed).unwrap();
                    assert_eq!(client.hear(), Heard::Channel(number, b"down".to_vec()));
                    client.send_channel(number, b"up");
                    assert_eq!(receive(peer), (b"up".to_vec(), relayed));
                }
            }
            assert_eq!(client.refresh(0), None);
            eventually("both sockets are closed", || UdpSocket::bind(relayed).ok());
        }
    }
}

/// What has been put out for one peer never goes to another that is favoured in the same moment.
#[test]
fn rows_to_several_peers_in_one_breath_reach_each_its_own() {
    let server = Setup::new().set("workers", "1").start();
    let (mut client, peers) = (server.alice(), [peer(), peer()]);
    client.allocate();
    for (number, peer) in [0x4000, 0x4001].into_iter().zip(&peers) {
        client.bind(number, peer.local_addr().unwrap());
    }
    let frame = |number: u16, index: u16| {
        let body = [number.to_be_bytes(), index.to_be_bytes()].concat();
        [&channel::header(number, body.len())[..], &body].concat()
    };
    // While the server rests, all of it gathers in its queue, in few runs; then it is read at once.
    server.signal("STOP");
    divide(client.socket(), 8);
    for _ in 0..2 {
        for number in [0x4000, 0x4001] {
            let frames: Vec<Vec<u8>> = (0..ROW).map(|index| frame(number, index)).collect();
            frames.chunks(FLIGHT).for_each(|flight| client.send_raw(&flight.concat()));
        }
    }
    std::thread::scope(|scope| {
        let readers = [0x4000_u16, 0x4001].into_iter().zip(&peers).map(|(number, peer)| {
            // Read while it comes: what nobody reads the kernel loses, and most of what strays with it.
            scope.spawn(move || {
                let all = std::iter::from_fn(|| Some(receive(peer).0).filter(|body| body != b"end"));
                all.inspect(|body| assert_eq!(body[..2], number.to_be_bytes(), "another's")).count()
            })
        });
        let readers: Vec<_> = readers.collect();
        server.signal("CONT");
        eventually("both hear the end", || {
            [0x4000, 0x4001].into_iter().for_each(|number| client.send_channel(number, b"end"));
            readers.iter().all(|reader| reader.is_finished()).then_some(())
        });
        for reader in readers {
            let count = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            assert!(count > usize::from(ROW) / 4, "{count} have come");
        }
    });
}

/// SEC-01: a port that two of the server's sockets share is shared with nobody else.
#[test]
fn the_port_of_a_relay_cannot_be_joined() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice(), peer());
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    row(&mut client, 0x4000, &peer, relayed);
    for join in [Socket::set_reuse_address, Socket::set_reuse_port] {
        let thief = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        join(&thief, true).unwrap();
        assert_eq!(thief.bind(&SockAddr::from(relayed)).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}

/// TURN-090: a favoured peer that goes is told of like any other.
#[test]
fn a_client_is_told_that_its_favoured_peer_has_gone() {
    let server = Setup::new().start();
    let (mut client, gone) = (server.alice(), peer());
    let (relayed, at) = (client.allocate(), gone.local_addr().unwrap());
    client.bind(0x4000, at);
    row(&mut client, 0x4000, &gone, relayed);
    drop(gone);
    client.send_channel(0x4000, b"is there anybody?");
    let Heard::Message(told) = client.hear() else { panic!("an indication") };
    assert_eq!(told.xor(hairpin::wire::attribute::XOR_PEER_ADDRESS), at);
    assert!(told.get(hairpin::wire::attribute::ICMP).is_some());
    let back = UdpSocket::bind(at).unwrap();
    back.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_channel(0x4000, b"welcome");
    assert_eq!(receive(&back), (b"welcome".to_vec(), relayed));
}
