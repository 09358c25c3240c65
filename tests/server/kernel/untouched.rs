//! Whatever is not of a route is as if there were no program.

use super::media::Media;
use super::scene::{Counts, HOST, LEFT, RIGHT, Scene};
use crate::client::{Client, Heard};
use crate::harness::*;
use std::io::{Read, Write};
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

/// An answer of a name server (RFC 1035 §4.1): www.example.org is 198.18.5.9.
const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x07example\x03org\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x12\x05\x09";

/// Ports as relays have, of which none is one.
fn ports_of_others(relayed: SocketAddr) -> impl Iterator<Item = u16> {
    [49152, 50123, 57005, 65535].into_iter().filter(move |port| *port != relayed.port())
}

/// Another service answers, and its caller hears, whatever either says.
fn talks(service: &UdpSocket, caller: &UdpSocket, text: &[u8]) {
    let (here, there) = (service.local_addr().unwrap(), caller.local_addr().unwrap());
    caller.send_to(text, here).unwrap();
    assert_eq!(hears(service), (text.to_vec(), there));
    service.send_to(text, there).unwrap();
    assert_eq!(hears(caller), (text.to_vec(), here));
}

/// Other services, on ports as relays have, and what they ask of others: while a route stands, even of those whom it is for.
#[test]
fn other_programs_of_the_host_notice_nothing() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    for mode in ["native", "generic", "tc"] {
        let scene = Scene::new();
        let server = scene.start(mode);
        let mut media = Media::start(scene.client(&server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])));
        media.flows_by_kernel(&server);
        for (host, (left, right)) in HOST.into_iter().zip(LEFT.into_iter().zip(RIGHT)) {
            // The client's own host and the peer's are name servers, too.
            let others = [scene.left.run(|| socket((left, 53))), scene.right.run(|| socket((right, 53)))];
            for port in ports_of_others(media.relayed) {
                let service = scene.host.run(|| socket((host, port)));
                for other in &others {
                    for text in [ANSWER, b"a question", &[0x40, 0, 0, 4, 1, 2, 3, 4], b""] {
                        talks(&service, other, text);
                        talks(other, &service, text);
                    }
                }
            }
            let listener = scene.host.run(|| TcpListener::bind((host, 50123)).unwrap());
            let mut stream = scene.left.run(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (mut served, _) = listener.accept().unwrap();
            stream.write_all(ANSWER).unwrap();
            served.read_exact(&mut [0; ANSWER.len()]).unwrap();
        }
        // The program has seen media and nothing else.
        let (sent, counts) = (media.lost_nothing() as u64, Counts::of(&server));
        assert!(counts.to_peer + counts.to_client > sent / 2 && counts.seen() <= sent, "{counts:?} of {sent}");
    }
}

/// The same ports at another address of the host are somebody else's, and those at other hosts, to which this one may be
/// the way; a client's port alone makes no client.
#[test]
fn what_looks_like_a_route_is_none() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    scene.host.ip("addr add 192.0.2.77/25 dev left0");
    scene.left.ip("addr add 192.0.2.178/25 dev left1");
    scene.host.tool("sysctl", "-q -w net.ipv4.ip_forward=1");
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
    // By this host to the peer's, and to the client's.
    let services = [
        scene.right.run(|| socket((RIGHT[0], server.addr.port()))),
        scene.left.run(|| socket((LEFT[0], relayed.port()))),
    ];
    client.socket().send_to(&frame, services[0].local_addr().unwrap()).unwrap();
    assert_eq!(hears(&services[0]), (frame.to_vec(), client.local()));
    peer.send_to(b"to another host", services[1].local_addr().unwrap()).unwrap();
    assert_eq!(hears(&services[1]), (b"to another host".to_vec(), peer.local_addr().unwrap()));
    // The client's port at another address, and the peer's.
    let port = client.local().port();
    let stranger = scene.left.run(|| socket(([192, 0, 2, 178], port)));
    stranger.send_to(&frame, server.addr).unwrap();
    client.hears_nothing();
    let gained = Counts::of(&server).since(&before);
    assert_eq!((gained.to_peer, gained.to_client), (0, 0), "{gained:?}");

    client.send_channel(0x4000, b"still");
    assert_eq!(receive(&peer), (b"still".to_vec(), relayed));
    peer.send_to(b"here", relayed).unwrap();
    assert_eq!(client.hear_data(), Heard::Channel(0x4000, b"here".to_vec()));
}
