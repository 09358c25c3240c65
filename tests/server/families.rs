//! Payloads of every size between clients and peers of both families.

use crate::client::Client;
use crate::harness::*;
use crate::space::Space;
use hairpin::wire::address::Family;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Nothing, a byte, what a call sends, what does not fit a packet, and what hardly fits a datagram.
const SIZES: [usize; 5] = [0, 1, 1200, 3000, 65_000];

/// Relays each size both ways, as data and by channel.
fn relays_all_sizes(mut client: Client, peer: &UdpSocket) {
    let at = peer.local_addr().unwrap();
    let relayed = client.allocate_family(Family::of(at.ip()));
    client.permit(at);
    for by_channel in [false, true] {
        if by_channel {
            client.bind(0x4ABC, at);
        }
        for size in SIZES {
            let body: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
            match by_channel {
                true => client.send_channel(0x4ABC, &body),
                false => client.send(at, &body),
            }
            assert!(receive(peer) == (body.clone(), relayed), "{size} bytes to {at}");
            peer.send_to(&body, relayed).unwrap();
            let from = (!by_channel).then_some(at);
            assert!(client.data() == (body, from), "{size} bytes from {at}");
        }
    }
}

/// XLAT-008, XLAT-010, XLAT-012, TURN-070, TURN-073, TURN-077, TURN-109: on loopback.
#[test]
fn any_payload_goes_between_any_families() {
    let (v4, v6) = (IpAddr::V4(own_address()), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]));
    let server = Setup::at(v4).set("listen.addresses", &format!("[\"{v4}\", \"{v6}\"]")).start();
    for client_ip in [v4, v6] {
        let addr = SocketAddr::new(client_ip, server.addr.port());
        for peer_ip in [IpAddr::V4(own_address()), v6] {
            let peer = peer_at(peer_ip);
            relays_all_sizes(Client::udp(addr).named(ALICE), &peer);
            relays_all_sizes(Client::tcp(addr).named(ALICE), &peer);
        }
    }
}

/// XLAT-008, XLAT-010: on a network that carries 1500 bytes, so that the larger ones come and go in fragments.
#[test]
fn payloads_larger_than_a_packet_are_put_together_and_taken_apart() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    for (space, addresses) in
        [(&near, ["192.0.2.1/24", "2001:db8::1/64"]), (&far, ["192.0.2.100/24", "2001:db8::100/64"])]
    {
        addresses.iter().for_each(|address| space.address(address));
    }
    let server = Setup::at("192.0.2.1".parse().unwrap())
        .set("listen.addresses", r#"["192.0.2.1", "2001:db8::1"]"#)
        .set("peers.allow", r#"["192.0.2.0/24", "2001:db8::/64"]"#)
        .start_in(Some(&near));
    for ip in ["192.0.2.1", "2001:db8::1"] {
        let addr = SocketAddr::new(ip.parse().unwrap(), server.addr.port());
        for peer_ip in ["192.0.2.100", "2001:db8::100"] {
            let (udp, tcp, peer) =
                far.run(|| (Client::udp(addr), Client::tcp(addr), peer_at(peer_ip.parse().unwrap())));
            relays_all_sizes(udp.named(ALICE), &peer);
            relays_all_sizes(tcp.named(ALICE), &peer);
        }
    }
}
