//! The server's own cost of a packet, whatever the load generator is able to: the server is stopped while its queues
//! fill, and timed while it empties them. `cargo bench --bench drain`, as root on Linux (the queues must be large).
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../tests/server/client.rs"]
mod client;
#[path = "../tests/server/harness.rs"]
mod harness;
#[path = "../tests/server/space.rs"]
mod space;

use client::Client;
use harness::{Server, Setup};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const CLIENTS: usize = 100;
const PACKETS: usize = 90_000;
const SIZE: usize = 200;
const ROUNDS: usize = 9;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` runs this too, and wants no measurement.
        return;
    }
    println!("{PACKETS} packets of {SIZE} B, {CLIENTS} clients, {ROUNDS} rounds: microseconds per packet");
    println!("{:8} {:>10} {:>8} {:>8} {:>8}", "workers", "direction", "min", "median", "max");
    for workers in [1, 2] {
        for up in [true, false] {
            let mut times: Vec<f64> = Scene::new(workers).measure(up).to_vec();
            times.sort_by(f64::total_cmp);
            let (way, middle) = (if up { "up" } else { "down" }, times[ROUNDS / 2]);
            println!("{workers:8} {way:>10} {:8.2} {middle:8.2} {:8.2}", times[0], times[ROUNDS - 1]);
        }
    }
}

/// A server, its clients and a peer that all of them have a channel to.
struct Scene {
    server: Server,
    clients: Vec<(Client, SocketAddr)>,
    peer: UdpSocket,
}

impl Scene {
    fn new(workers: u32) -> Self {
        let buffer = "\"64MiB\"";
        let setup = Setup::new().set("workers", &workers.to_string()).set("limits.socket-buffer", buffer);
        let server = setup.set("log.level", "\"warn\"").start();
        let peer = harness::peer();
        let clients = (0..CLIENTS).map(|_| {
            let mut client = server.alice();
            let relayed = client.allocate();
            client.bind(0x4000, peer.local_addr().unwrap());
            (client, relayed)
        });
        Self { clients: clients.collect(), peer, server }
    }

    /// Microseconds per packet, of each round.
    fn measure(&mut self, up: bool) -> [f64; ROUNDS] {
        let receivers: Vec<&UdpSocket> =
            if up { vec![&self.peer] } else { self.clients.iter().map(|(client, _)| client.socket()).collect() };
        // What finds no room is counted by the kernel, at no cost to anybody.
        receivers.iter().for_each(|socket| socket2::SockRef::from(*socket).set_recv_buffer_size(1).unwrap());
        let ports: Vec<u16> = receivers.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        // The first round gives every peer its socket.
        self.round(up, &ports);
        std::array::from_fn(|_| self.round(up, &ports))
    }

    /// Fills the queues of the server while it rests, and times how long it takes to empty them.
    fn round(&mut self, up: bool, ports: &[u16]) -> f64 {
        self.server.signal("STOP");
        std::thread::sleep(Duration::from_millis(20));
        let before = drops(ports);
        for packet in 0..PACKETS {
            let (client, relayed) = &mut self.clients[packet % CLIENTS];
            if up {
                client.send_channel(0x4000, &[7; SIZE]);
            } else {
                self.peer.send_to(&[7; SIZE], *relayed).unwrap();
            }
        }
        self.server.signal("CONT");
        let begun = Instant::now();
        let (mut count, mut last) = (0, begun);
        while last.elapsed() < Duration::from_millis(100) {
            std::thread::sleep(Duration::from_millis(4));
            let now = drops(ports) - before;
            if now > count {
                (count, last) = (now, Instant::now());
            }
        }
        assert!(count > PACKETS as u64 * 9 / 10, "{count} have come: the queues are too small; run it as root");
        (last - begun).as_secs_f64() * 1e6 / count as f64
    }
}

/// Datagrams that reached the sockets on these ports and found no room.
fn drops(ports: &[u16]) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = rows.filter(|row| {
        let port = row[1].rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        port.is_some_and(|port| ports.contains(&port)) && row[2].ends_with(":0000")
    });
    ours.map(|row| row.last().unwrap().parse::<u64>().unwrap()).sum()
}
