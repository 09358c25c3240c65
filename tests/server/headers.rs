//! What stands in the IP headers of what is relayed.

use crate::client::{Client, Heard};
use crate::harness::*;
use crate::space::{Space, receive_tos, set_tos, tell_tos};
use hairpin::wire::address::Family;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Expedited forwarding, and "the sender understands ECN".
const MARK: u8 = 0xB8 | 0x02;
/// Another class, and "congestion was met".
const OTHER_MARK: u8 = 0x88 | 0x03;

/// XLAT-001, XLAT-002: for both families, by Send and Data and by channel.
#[test]
fn the_class_and_congestion_marks_of_a_datagram_are_copied() {
    for ip in [IpAddr::V4(own_address()), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let server = Setup::at(ip).start();
        let peer = peer_at(if ip.is_ipv4() { IpAddr::V4(own_address()) } else { ip });
        let at = peer.local_addr().unwrap();
        let mut client = server.alice();
        let relayed = client.allocate_family(Family::of(ip));
        client.permit(at);
        for by_channel in [false, true] {
            if by_channel {
                client.bind(0x4000, at);
            }
            for (sends, receives) in [(client.socket(), &peer), (&peer, client.socket())] {
                set_tos(sends, 0);
                tell_tos(receives);
            }
            for mark in [MARK, 0, OTHER_MARK] {
                set_tos(client.socket(), mark);
                match by_channel {
                    true => client.send_channel(0x4000, b"up"),
                    false => client.send(at, b"up"),
                }
                assert_eq!(receive_tos(&peer), (b"up".to_vec(), mark));
                set_tos(&peer, mark);
                peer.send_to(b"down", relayed).unwrap();
                assert_eq!(receive_tos(client.socket()).1, mark);
            }
            set_tos(client.socket(), 0);
        }
    }
}

/// XLAT-003, XLAT-004: a connection has marks of its own, which no datagram inherits, and the other way round.
#[test]
fn the_marks_of_a_connection_are_not_those_of_datagrams() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice_by_tcp(), peer());
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    tell_tos(&peer);
    client.send_channel(0x4000, b"up");
    assert_eq!(receive_tos(&peer), (b"up".to_vec(), 0));
    set_tos(&peer, MARK);
    peer.send_to(b"down", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"down".to_vec()));
}

/// Sees the IP packets of one family that come into a network.
struct Capture(Socket);

impl Capture {
    fn new(space: &Space, ethertype: libc::c_int) -> Self {
        let protocol = Protocol::from(i32::from((ethertype as u16).to_be()));
        let socket = space.run(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next packet that ends so.
    fn ending_with(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let mut buffer = [0; 2000];
            let len = self.0.read(&mut buffer).expect("a packet comes");
            if buffer[..len].ends_with(end) {
                return buffer[..len].to_vec();
            }
        }
    }
}

/// An IPv4 packet must not be fragmented.
fn is_whole(packet: &[u8]) -> bool {
    packet[6] & 0x40 != 0
}

/// XLAT-005, XLAT-006, TURN-074: DF is set where DONT-FRAGMENT asks for it, for that datagram alone, and nowhere else.
#[test]
fn only_a_send_that_forbids_fragments_goes_out_with_df() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("192.0.2.1/24");
    far.address("192.0.2.100/24");
    let setup = Setup::at("192.0.2.1".parse().unwrap()).set("peers.allow", "[\"192.0.2.100\"]");
    let server = setup.start_in(Some(&near));
    let mut capture = Capture::new(&far, libc::ETH_P_IP);
    let (udp, tcp, peer) =
        far.run(|| (Client::udp(server.addr), Client::tcp(server.addr), peer_at("192.0.2.100".parse().unwrap())));
    let at = peer.local_addr().unwrap();
    for mut client in [udp.named(ALICE), tcp.named(ALICE)] {
        let is_udp = client.is_udp();
        let relayed = client.allocate();
        client.bind(0x4000, at);
        for (dont_fragment, body) in [(false, b"before.."), (true, b"whole..."), (false, b"after...")] {
            let indication = client.send_indication(at, body, dont_fragment);
            client.send_raw(&indication);
            assert_eq!(is_whole(&capture.ending_with(body)), dont_fragment);
            assert_eq!(receive(&peer).0, body);
        }
        client.send_channel(0x4000, b"channel.");
        assert!(!is_whole(&capture.ending_with(b"channel.")));
        assert_eq!(receive(&peer).0, b"channel.");
        // What does not fit is dropped; what follows is not.
        let large = client.send_indication(at, &[1; 1480], true);
        client.send_raw(&large);
        client.send_channel(0x4000, &[2; 1480]);
        assert_eq!(receive(&peer).0, [2; 1480]);
        if is_udp {
            peer.send_to(b"to the client", relayed).unwrap();
            assert!(!is_whole(&capture.ending_with(b"to the client")));
            assert_eq!(client.hear(), Heard::Channel(0x4000, b"to the client".to_vec()));
        }
    }
}

/// XLAT-007, XLAT-011.
#[test]
fn datagrams_on_ipv6_have_a_checksum_and_a_udp_client_cannot_forbid_their_fragments() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("2001:db8::1/64");
    far.address("2001:db8::100/64");
    let setup = Setup::at("2001:db8::1".parse().unwrap()).set("peers.allow", "[\"2001:db8::100\"]");
    let server = setup.start_in(Some(&near));
    let mut capture = Capture::new(&far, libc::ETH_P_IPV6);
    let (client, peer) = far.run(|| (Client::udp(server.addr), peer_at("2001:db8::100".parse().unwrap())));
    let (mut client, at) = (client.named(ALICE), peer.local_addr().unwrap());
    client.allocate_family(Family::V6);
    client.permit(at);
    client.send(at, b"checked.");
    let packet = capture.ending_with(b"checked.");
    assert_eq!(packet[6], 17, "UDP follows");
    assert_ne!(packet[46..48], [0, 0]);
    assert_eq!(receive(&peer).0, b"checked.");
    let large = client.send_indication(at, &[3; 3000], true);
    client.send_raw(&large);
    assert_eq!(receive(&peer), (vec![3; 3000], SocketAddr::new(server.addr.ip(), receive_port(&packet))));
}

/// The source port of a UDP packet on IPv6.
fn receive_port(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[40], packet[41]])
}
