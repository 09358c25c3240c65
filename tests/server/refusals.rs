//! What the system refuses to send is counted by its reason, and what follows is sent.

use crate::client::Client;
use crate::harness::*;
use crate::space::Space;
use std::net::{SocketAddr, UdpSocket};

/// A server in a network of its own that says of every drop why, a client beside it and a peer behind a cable.
struct Scene {
    near: Space,
    _far: Space,
    server: Server,
    client: Client,
    peer: UdpSocket,
    at: SocketAddr,
}

impl Scene {
    fn new(buffer: &str) -> Self {
        let (near, far) = Space::pair();
        near.address("192.0.2.1/24");
        far.address("192.0.2.100/24");
        let setup = Setup::at("192.0.2.1".parse().unwrap())
            .set("peers.allow", "[\"192.0.2.100\", \"198.51.100.9\"]")
            .set("limits.socket-buffer", buffer)
            .set("log.level", "\"trace\"");
        let server = setup.start_in(Some(&near));
        let peer = far.run(|| peer_at("192.0.2.100".parse().unwrap()));
        let mut client = near.run(|| Client::udp(server.addr)).named(ALICE);
        let at = peer.local_addr().unwrap();
        client.allocate();
        client.bind(0x4000, at);
        Self { near, _far: far, server, client, peer, at }
    }

    fn send(&mut self, body: &[u8]) {
        self.client.send_channel(0x4000, body);
    }

    /// A reason is written down.
    fn tells(&self, reason: &str) {
        eventually(reason, || self.has_told(reason).then_some(()));
    }

    fn has_told(&self, reason: &str) -> bool {
        self.server.err.text().contains(&format!("reason=\"{reason}\""))
    }

    /// Data gets through, sooner or later.
    fn recovers(&mut self) {
        self.peer.set_nonblocking(true).unwrap();
        eventually("data gets through", || {
            self.client.send_channel(0x4000, b"after");
            let mut buffer = [0; 2000];
            let mut last = None;
            while let Ok(len) = self.peer.recv(&mut buffer) {
                last = Some(buffer[..len].to_vec());
            }
            last.filter(|body| body == b"after")
        });
    }
}

/// A full socket buffer (`EAGAIN`) and a full queue of the device (`ENOBUFS`).
#[test]
fn a_full_buffer_and_a_full_queue_are_told_apart() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    for (buffer, limit, reason) in [("\"16KiB\"", 10_000_000, "buffer_full"), ("\"1MiB\"", 3000, "queue_full")] {
        let mut scene = Scene::new(buffer);
        scene.near.tool("tc", &format!("qdisc add dev eth0 root tbf rate 64kbit burst 3000 limit {limit}"));
        eventually(reason, || {
            scene.send(&[1; 1200]);
            scene.has_told(reason).then_some(())
        });
        scene.near.tool("tc", "qdisc del dev eth0 root");
        scene.recovers();
    }
}

/// A firewall of the host (`EPERM`).
#[test]
fn what_a_firewall_forbids_is_told() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let mut scene = Scene::new("0");
    scene.near.tool("nft", "add table inet wall");
    scene.near.tool("nft", "add chain inet wall out { type filter hook output priority 0 ; }");
    scene.near.tool("nft", "add rule inet wall out ip daddr 192.0.2.100 drop");
    scene.send(b"forbidden");
    scene.tells("forbidden");
    scene.near.tool("nft", "delete table inet wall");
    scene.recovers();
}

/// A datagram that must not be fragmented (`EMSGSIZE`), and a peer to whom no way leads (`ENETUNREACH`).
#[test]
fn what_does_not_fit_and_what_cannot_be_reached_is_told() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let mut scene = Scene::new("0");
    let large = scene.client.send_indication(scene.at, &[1; 1480], true);
    scene.client.send_raw(&large);
    scene.tells("path_mtu");
    let nowhere = "198.51.100.9:9".parse().unwrap();
    scene.client.permit(nowhere);
    scene.client.send(nowhere, b"nobody");
    scene.tells("no_route");
    scene.recovers();
}
