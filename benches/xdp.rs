//! What the program in the kernel costs for a packet, without any driver: the kernel runs it again and again on one
//! frame. `cargo bench --bench xdp`, as root on Linux.
//!
//! A run works upon what the run before left, so routes are made that lead in a circle: what leaves as a datagram to
//! the peer comes in as one of a peer, and what then leaves as ChannelData is what came in first. A figure is the mean
//! of the two ways, then, or of two ways from relay to relay.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../tests/xdp/frame.rs"]
mod frame;
#[path = "../tests/xdp/net.rs"]
mod net;
#[path = "../tests/server/space.rs"]
mod space;

use frame::Frame;
use hairpin::dataplane::xdp::{Fate, Kernel, Mode};
use hairpin::turn::{Path, RelayId, Route, Transport};
use hairpin::wire::channel;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Routes in the tables; a circle needs two, or four with two relays.
const ROUTES: u32 = 10_000;
/// Hops fall by one with each run.
const RUNS: u32 = 250;
const CALLS: usize = 2001;
/// Bytes in a second that no run can use up.
const PLENTY: u64 = 1 << 40;
const SIZES: [usize; 3] = [64, 200, 1200];

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` runs this too, and wants no measurement.
        return;
    }
    if let Some(what) = net::lack() {
        println!("needs {what}");
        return;
    }
    println!("{ROUTES} routes, {RUNS} runs, median of {CALLS}: nanoseconds per packet");
    table("in the driver, or right behind it", Mode::Native);
    table("where the stack begins", Mode::Tc);
}

fn table(title: &str, mode: Mode) {
    println!("\n{title}\n{:24} {:>8} {:>8} {:>8}", "client, peer", SIZES[0], SIZES[1], SIZES[2]);
    for (client, peer) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
        row(&format!("IPv{client}, IPv{peer}"), mode, 0, |number| turned(number, client, peer).to_vec());
    }
    for (client, relay) in [(4, 4), (4, 6), (6, 6)] {
        row(&format!("IPv{client}, by IPv{relay} relays"), mode, 0, |number| inward(number, client, relay).to_vec());
    }
    row("IPv4, IPv4, limited", mode, PLENTY, |number| turned(number, 4, 4).to_vec());
    row("IPv4, by IPv4, limited", mode, PLENTY, |number| inward(number, 4, 4).to_vec());
}

/// One kind of circle: every size, with tables of its own.
fn row(title: &str, mode: Mode, bandwidth: u64, circle: impl Fn(u32) -> Vec<Route> + Send) {
    let times = net::with_limited_kernel(mode, false, bandwidth, |kernel| {
        net::be_own_gateway();
        let size = circle(0).len() as u32;
        let circles: Vec<Vec<Route>> = (0..ROUTES / size).map(circle).collect();
        circles.iter().flatten().for_each(|route| kernel.add(route));
        SIZES.map(|size| median(&kernel, &circles, size))
    });
    println!("{title:24} {:8.1} {:8.1} {:8.1}", times[0], times[1], times[2]);
}

/// The median cost of a packet, each call on another circle.
fn median(kernel: &Kernel, circles: &[Vec<Route>], size: usize) -> f64 {
    let mut times: Vec<f64> = (0..CALLS).map(|call| cost(kernel, &circles[call % circles.len()][0], size)).collect();
    times.sort_by(f64::total_cmp);
    times[CALLS / 2]
}

/// Nanoseconds per packet of one call.
fn cost(kernel: &Kernel, route: &Route, size: usize) -> f64 {
    let payload = [&channel::header(route.channel, size)[..], &vec![7; size]].concat();
    let frame = Frame { hops: 255, ..Frame::new(route.path.client, route.path.server, payload) };
    let (fate, out, time) = kernel.try_frame(&frame.bytes(), RUNS).unwrap();
    let carried = 255 - u32::from(frame::read(&out).expect("a frame leaves").hops);
    // The first of each route may be the one now and then that goes by user space for the neighbour's sake.
    assert!(fate == Fate::Sent && carried + 4 >= RUNS, "every run carries it, and the last one too");
    time
}

/// A client's channel to a peer, and the route that the peer's end would make of what reaches it.
fn turned(number: u32, client: u8, peer: u8) -> [Route; 2] {
    let (client, server) = (at(client, 1, number, 40000), at(client, 2, number, 3478));
    let (local, peer) = (at(peer, 3, number, 50000), at(peer, 4, number, 50001));
    [route((client, server), (local, peer), 0x4000, false), route((server, client), (peer, local), 0x4000, false)]
}

/// Two clients with relays here, and the routes that lead back: what leaves for the second comes in from it.
fn inward(number: u32, client: u8, relay: u8) -> [Route; 4] {
    let (one, server, other) =
        (at(client, 1, number, 40000), at(client, 2, number, 3478), at(client, 3, number, 41000));
    let (near, far) = (at(relay, 4, number, 50000), at(relay, 5, number, 50001));
    let (back, forth) = (at(relay, 6, number, 50000), at(relay, 7, number, 50001));
    [
        route((one, server), (near, far), 0x4000, true),
        route((other, server), (far, near), 0x4001, true),
        route((server, other), (back, forth), 0x4001, true),
        route((server, one), (forth, back), 0x4000, true),
    ]
}

fn route(
    (client, server): (SocketAddr, SocketAddr),
    (local, peer): (SocketAddr, SocketAddr),
    channel: u16,
    inward: bool,
) -> Route {
    let path = Path { client, server, transport: Transport::Udp, link: 0 };
    Route { path, channel, relay: RelayId(0), local, peer, wire: peer, inward }
}

/// One of the addresses of a kind.
fn at(family: u8, kind: u8, number: u32, port: u16) -> SocketAddr {
    let ip = match family {
        4 => IpAddr::V4(Ipv4Addr::from_bits(0xc000_0000 | u32::from(kind) << 16 | number)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(kind) << 64 | u128::from(number))),
    };
    SocketAddr::new(ip, port)
}
