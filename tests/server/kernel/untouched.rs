//! Whatever is not of a route is as if there were no program.

use super::scene::{Counts, HOST, LEFT, RIGHT, Scene};
use crate::client::{Client, Heard};
use crate::harness::*;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// A socket of another program in a network.
fn socket(at: impl Into<SocketAddr>) -> UdpSocket {
    let socket = UdpSocket::bind(at.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn hears(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2000];
    let (len, from) = socket.recv_from(&mut buffer).expect("a datagram comes");
    (buffer[..len].to_vec(), from)
}

/// Other services, on ports as relays have, and what they ask of others.
#[test]
fn other_programs_of_the_host_notice_nothing() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    for mode in ["native", "generic", "tc"] {
        let server = scene.start(mode);
        for (host, left) in HOST.into_iter().zip(LEFT) {
            let service = scene.host.run(|| socket((host, 50123)));
            let caller = scene.left.run(|| socket((left, 53)));
            for text in [&b"a question"[..], &[0x40, 0, 0, 4, 1, 2, 3, 4], b""] {
                caller.send_to(text, service.local_addr().unwrap()).unwrap();
                assert_eq!(hears(&service), (text.to_vec(), caller.local_addr().unwrap()));
                service.send_to(text, caller.local_addr().unwrap()).unwrap();
                assert_eq!(hears(&caller), (text.to_vec(), service.local_addr().unwrap()));
            }
            let listener = scene.host.run(|| TcpListener::bind((host, 50123)).unwrap());
            scene.left.run(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        }
        let counts = Counts::of(&server);
        assert_eq!((counts.to_peer, counts.to_client), (0, 0), "{counts:?}");
    }
}

/// The same ports at another address of the host are somebody else's, and a client's port alone makes no client.
#[test]
fn what_looks_like_a_route_is_none() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    scene.host.ip("addr add 192.0.2.77/25 dev left0");
    scene.left.ip("addr add 192.0.2.178/25 dev left1");
    let server = scene.start("native");
    let mut client = scene.left.run(|| Client::udp_from(LEFT[0], server.addr)).named(ALICE);
    let peer = scene.right.run(|| peer_at(RIGHT[0]));
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"first");
    receive(&peer);

    let before = Counts::of(&server);
    let other: IpAddr = [192, 0, 2, 77].into();
    let services = scene.host.run(|| [socket((other, server.addr.port())), socket((other, relayed.port()))]);
    let frame = [0x40, 0, 0, 1, 7];
    client.socket().send_to(&frame, (other, server.addr.port())).unwrap();
    assert_eq!(hears(&services[0]).0, frame);
    peer.send_to(b"to somebody else", (other, relayed.port())).unwrap();
    assert_eq!(hears(&services[1]).0, b"to somebody else");
    // The client's port at another address, and the peer's.
    let port = client.local().port();
    let stranger = scene.left.run(|| socket(([192, 0, 2, 178], port)));
    stranger.send_to(&frame, server.addr).unwrap();
    let gained = Counts::of(&server).since(&before);
    assert_eq!((gained.to_peer, gained.to_client), (0, 0), "{gained:?}");

    client.send_channel(0x4000, b"still");
    assert_eq!(receive(&peer), (b"still".to_vec(), relayed));
    peer.send_to(b"here", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"here".to_vec()));
}
