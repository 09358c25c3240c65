//! The kernel path: established channels are relayed where packets come in, and whatever else comes is treated as if
//! there were none.
//!
//! Every test says by the server's own counters which way packets took. Read [`scene`] first, then [`media`].

mod changes;
mod faults;
mod limits;
mod media;
mod scene;
mod untouched;

use crate::client::{Client, Heard};
use crate::flight::{body, exchange};
use crate::harness::*;
use hairpin::wire::address::Family;
use scene::{Counts, HOST, LEFT, RIGHT, Scene};
use std::net::{SocketAddr, UdpSocket};

/// Datagrams of one measurement, each way.
const MANY: u32 = 1000;
/// A client and its peer send each other everything, and all but the first of it goes by the kernel.
fn talk(server: &Server, client: &mut Client, peer: &UdpSocket, family: Family) {
    let relayed = client.allocate_family(family);
    client.bind(0x4000, peer.local_addr().unwrap());
    // The first ones find the neighbours.
    client.send_channel(0x4000, b"first");
    assert_eq!(receive(peer), (b"first".to_vec(), relayed));
    peer.send_to(b"first", relayed).unwrap();
    assert_eq!(client.hear_data(), Heard::Channel(0x4000, b"first".to_vec()));

    let before = Counts::of(server);
    exchange(MANY, client, peer, relayed);
    let gained = Counts::of(server).since(&before);
    let most = u64::from(MANY) * 99 / 100;
    assert!(gained.to_peer > most && gained.to_client > most, "{gained:?}");
    client.hears_nothing();
    peer.set_nonblocking(true).unwrap();
    assert!(peer.recv(&mut [0; 1]).is_err(), "nothing comes twice");
    assert_eq!(client.refresh(0), None);
}

/// Clients and peers of both families, the peers on the client's side and on the other.
fn everybody_talks(mode: &str) {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let server = scene.start(mode);
    server.err.wait_for(&format!("kernel path: on mode={mode} interfaces=\"left0 right0\""));
    for to in HOST {
        for (space, peers) in [(&scene.left, LEFT), (&scene.right, RIGHT)] {
            for at in peers {
                let mut client = scene.client(&server, to);
                let peer = space.run(|| peer_at(at));
                talk(&server, &mut client, &peer, Family::of(at));
            }
        }
    }
    assert_eq!(Counts::of(&server).channels, 0, "every route has gone with its allocation");
}

#[test]
fn in_the_driver_everybody_talks_to_everybody() {
    everybody_talks("native");
}

#[test]
fn behind_the_driver_everybody_talks_to_everybody() {
    everybody_talks("generic");
}

#[test]
fn where_the_stack_begins_everybody_talks_to_everybody() {
    everybody_talks("tc");
}

/// The peer is another client of the same server: one packet crosses both relays at once.
#[test]
fn two_clients_of_one_server_talk_through_both_relays() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    let (left, right) = (&scene.left, &scene.right);
    for (mode, far) in [("native", left), ("native", right), ("generic", right), ("tc", left), ("tc", right)] {
        let server = scene.start(mode);
        for (one, other) in [(HOST[0], HOST[0]), (HOST[1], HOST[0]), (HOST[1], HOST[1])] {
            let mut clients = [scene.client(&server, one), far.run(|| scene.client_here(&server, other))];
            let relayed: Vec<SocketAddr> = clients.iter_mut().map(|c| c.allocate_family(Family::of(other))).collect();
            clients[0].bind(0x4000, relayed[1]);
            clients[1].bind(0x4001, relayed[0]);
            let before = Counts::of(&server);
            let [first, second] = &mut clients;
            both_hear(first, 0x4000, second, 0x4001);
            let gained = Counts::of(&server).since(&before);
            let most = u64::from(MANY) * 2 * 99 / 100;
            assert!(gained.to_peer > most && gained.to_client > most, "{gained:?}");
        }
    }
}

/// Two clients send each other everything.
fn both_hear(first: &mut Client, to_second: u16, second: &mut Client, to_first: u16) {
    for number in 0..MANY {
        let body = body(number);
        first.send_channel(to_second, &body);
        assert_eq!(second.hear_data(), Heard::Channel(to_first, body.clone()));
        second.send_channel(to_first, &body);
        assert_eq!(first.hear_data(), Heard::Channel(to_second, body));
    }
}

/// What comes with a checksum that the sender's card was to complete is user space's, and comes through.
#[test]
fn what_has_no_checksum_yet_goes_by_user_space() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    for mode in ["native", "generic", "tc"] {
        let scene = Scene::new();
        scene.left.tool("ethtool", "-K left1 tx on");
        scene.right.tool("ethtool", "-K right1 tx on");
        let server = scene.start(mode);
        let (mut client, peer) = (scene.client(&server, HOST[0]), scene.right.run(|| peer_at(RIGHT[0])));
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        for number in 0..100 {
            client.send_channel(0x4000, &body(number));
            assert_eq!(receive(&peer), (body(number), relayed));
            peer.send_to(&body(number), relayed).unwrap();
            assert_eq!(client.hear_data(), Heard::Channel(0x4000, body(number)));
        }
        let counts = Counts::of(&server);
        assert_eq!((counts.to_peer, counts.to_client, counts.left("checksum")), (0, 0, 200), "{counts:?}");
    }
}

/// What comes in fragments is put together, and goes by user space, in fragments: of both families, both ways.
#[test]
fn what_comes_in_fragments_goes_by_user_space() {
    if !requires(&name(), Scene::NEEDS) {
        return;
    }
    let scene = Scene::new();
    for mode in ["native", "generic", "tc"] {
        let server = scene.start(mode);
        for (to, at) in HOST.into_iter().flat_map(|to| RIGHT.map(|at| (to, at))) {
            let (mut client, peer) = (scene.client(&server, to), scene.right.run(|| peer_at(at)));
            let relayed = client.allocate_family(Family::of(at));
            client.bind(0x4000, peer.local_addr().unwrap());
            let before = Counts::of(&server);
            for size in [1500, 3000, 9000] {
                let body = vec![size as u8; size];
                client.send_channel(0x4000, &body);
                assert_eq!(receive(&peer), (body.clone(), relayed));
                peer.send_to(&body, relayed).unwrap();
                assert_eq!(client.hear_data(), Heard::Channel(0x4000, body));
            }
            let gained = Counts::of(&server).since(&before);
            assert_eq!(gained.seen(), 0, "{gained:?}");
        }
    }
}
