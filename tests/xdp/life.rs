//! Routes come and go, and what they carried is counted.

use crate::corpus::pattern;
use crate::frame::Frame;
use crate::net::{self, requires};
use crate::scene::{Done, Scene};
use hairpin::dataplane::xdp::{Count, Fate, Kernel, Left, Mode, ROUTES, Status};
use hairpin::turn::{Path, RelayId, Route, Transport};
use hairpin::wire::channel;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

/// ChannelData of a client for a peer.
fn up(scene: &Scene, client: &str, peer: &str, len: usize) -> Vec<u8> {
    let number = scene.route(client, peer).unwrap().channel;
    let payload = [&channel::header(number, len)[..], &pattern(len)].concat();
    Frame::new(scene.socket(client), scene.listener(client), payload).bytes()
}

/// A datagram of a peer for a client.
fn down(scene: &Scene, peer: &str, client: &str, len: usize) -> Vec<u8> {
    Frame::new(scene.socket(peer), scene.relay(client, peer), pattern(len)).bytes()
}

fn is_carried(scene: &mut Scene, frame: &[u8]) -> bool {
    scene.judge("a frame", frame) != Done::Passed
}

/// Tells the program what the core has told since the last time.
fn follow(scene: &mut Scene, known: &[Route]) {
    known.iter().filter(|route| !scene.world.routes.contains(route)).for_each(|route| scene.kernel.remove(route));
    scene.world.routes.iter().filter(|route| !known.contains(route)).for_each(|route| scene.kernel.add(route));
}

#[test]
fn a_route_that_is_removed_carries_nothing_and_comes_back() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |mut scene| {
        let route = scene.route("alice", "peer4").unwrap();
        let frames = [up(&scene, "alice", "peer4", 9), down(&scene, "peer4", "alice", 9)];
        let others = [up(&scene, "alice", "peer6", 9), down(&scene, "peer4", "carol", 9)];
        let before = scene.kernel.status();
        for _ in 0..2 {
            assert!(frames.iter().chain(&others).all(|frame| is_carried(&mut scene, frame)));
            scene.kernel.remove(&route);
            let left = scene.kernel.status().left;
            assert!(frames.iter().all(|frame| !is_carried(&mut scene, frame)));
            assert_eq!(scene.kernel.status().left, left, "it is as if there had never been a route");
            assert!(others.iter().all(|frame| is_carried(&mut scene, frame)));
            assert_eq!(scene.kernel.status().channels, before.channels - 1);
            // What is not there cannot be removed again.
            scene.kernel.remove(&route);
            assert_eq!(scene.kernel.status().channels, before.channels - 1);
            scene.kernel.add(&route);
            assert_eq!(scene.kernel.status().channels, before.channels);
        }
    });
}

/// What one sends the other is carried as long as both have a channel for it, in whatever order they come and go.
#[test]
fn a_channel_between_two_clients_needs_that_of_the_other() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |mut scene| {
        let routes = [("alice", "bob.4"), ("bob", "alice.4")].map(|(from, to)| scene.route(from, to).unwrap());
        let frames = [up(&scene, "alice", "bob.4", 9), up(&scene, "bob", "alice.4", 9)];
        for (first, second) in [(0, 1), (1, 0)] {
            scene.kernel.remove(&routes[first]);
            let left = scene.kernel.status().left;
            assert!(frames.iter().all(|frame| !is_carried(&mut scene, frame)));
            let now = scene.kernel.status().left;
            assert_eq!(now[Left::Inward as usize], left[Left::Inward as usize] + 1, "the other leads nowhere");
            scene.kernel.remove(&routes[second]);
            assert!(frames.iter().all(|frame| !is_carried(&mut scene, frame)));
            assert_eq!(scene.kernel.status().left, now, "it is as if there had never been a route");
            scene.kernel.add(&routes[first]);
            assert!(frames.iter().all(|frame| !is_carried(&mut scene, frame)));
            scene.kernel.add(&routes[second]);
            assert!(frames.iter().all(|frame| is_carried(&mut scene, frame)));
        }
    });
}

/// A run of datagrams that the stack has joined has one header for all: user space takes it apart.
#[test]
fn what_is_joined_is_left_to_user_space() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Tc, |scene| {
        let joined = |kernel: &Kernel| kernel.status().left[Left::Joined as usize];
        for frame in [up(&scene, "alice", "peer4", 600), down(&scene, "peer6", "carol", 600)] {
            let before = joined(&scene.kernel);
            assert_eq!(scene.kernel.try_joined(&frame, 200).unwrap(), (Fate::Passed, frame));
            assert_eq!(joined(&scene.kernel), before + 1);
        }
    });
}

/// What a driver has put before a packet takes the room of longer headers: such a packet goes on as it came.
#[test]
fn without_room_for_longer_headers_a_packet_is_left() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |scene| {
        let lacking = |kernel: &Kernel| kernel.status().left[Left::HeadRoom as usize];
        let (longer, shorter) = (down(&scene, "peer4", "alice", 9), up(&scene, "alice", "peer4", 9));
        assert_eq!(scene.kernel.try_cramped(&longer, 216).unwrap(), (Fate::Passed, longer.clone()));
        assert_eq!(lacking(&scene.kernel), 1);
        for (frame, before) in [(&shorter, 216), (&longer, 152)] {
            assert_eq!(scene.kernel.try_cramped(frame, before).unwrap().0, Fate::Sent);
        }
        assert_eq!(lacking(&scene.kernel), 1);
    });
}

/// TURN-112: a permission lasts 300 s, and a peer without one is not heard.
#[test]
fn what_has_ended_in_the_core_has_ended_in_the_program() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |mut scene| {
        let known: Vec<Route> = scene.world.routes.iter().copied().collect();
        let frames =
            [up(&scene, "alice", "peer4", 9), down(&scene, "peer4", "alice", 9), up(&scene, "alice", "bob.4", 9)];
        scene.world.seconds(299);
        follow(&mut scene, &known);
        assert!(frames.iter().all(|frame| is_carried(&mut scene, frame)));
        scene.world.seconds(2);
        assert!(scene.world.routes.is_empty());
        follow(&mut scene, &known);
        assert!(frames.iter().all(|frame| !is_carried(&mut scene, frame)));
        let status = scene.kernel.status();
        assert_eq!((status.channels, status.sessions, status.refused), (0, 0, 0));
    });
}

#[test]
fn packets_and_bytes_are_counted_for_all_and_for_each_allocation() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |mut scene| {
        let frames = [
            up(&scene, "alice", "peer4", 100),
            up(&scene, "alice", "peer6", 20),
            up(&scene, "carol", "peer4", 7),
            up(&scene, "alice", "bob.4", 1000),
            down(&scene, "peer4", "alice", 3),
            down(&scene, "peer6", "alice", 0),
            down(&scene, "peer6", "dave", 50),
            // Left to user space, and counted there.
            up(&scene, "alice", "mute4", 11),
        ];
        frames.iter().for_each(|frame| _ = scene.judge("a frame", frame));
        let count = |packets, bytes| Count { packets, bytes };
        let expected = [
            ("alice", [count(3, 1120), count(2, 3)]),
            ("bob", [count(0, 0), count(1, 1000)]),
            ("carol", [count(1, 7), count(0, 0)]),
            ("dave", [count(0, 0), count(1, 50)]),
        ];
        for (client, counts) in expected {
            let path = scene.route(client, "peer4").unwrap().path;
            assert_eq!(scene.kernel.session(&path), Some(counts), "{client}");
        }
        let status = scene.kernel.status();
        assert_eq!((status.to_peer, status.to_client), (count(4, 1127), count(4, 1053)));
        assert_eq!((status.sessions, status.channels as usize), (4, scene.world.routes.len()));
    });
}

/// The counts of an allocation last as long as it has routes; the next one on the same 5-tuple begins at zero.
#[test]
fn the_counts_of_an_allocation_end_with_its_last_route() {
    if !requires(net::lack()) {
        return;
    }
    Scene::play(Mode::Generic, |mut scene| {
        let frame = up(&scene, "alice", "peer4", 100);
        let (first, path) = (scene.route("alice", "peer4").unwrap(), scene.route("alice", "peer4").unwrap().path);
        let others: Vec<Route> =
            scene.world.routes.iter().filter(|route| route.path == path && **route != first).copied().collect();
        assert!(is_carried(&mut scene, &frame));
        let counted = scene.kernel.session(&path);
        others.iter().for_each(|route| scene.kernel.remove(route));
        assert_eq!(scene.kernel.session(&path), counted);
        scene.kernel.remove(&first);
        assert_eq!(scene.kernel.session(&path), None);
        scene.kernel.add(&first);
        assert_eq!(scene.kernel.session(&path), Some([Count::default(); 2]));
        assert_eq!(scene.kernel.status().to_peer.packets, 1, "the sum of all does not fall");
    });
}

/// A stream is no business of the program.
#[test]
fn a_route_of_a_connection_is_not_taken() {
    if !requires(net::lack()) {
        return;
    }
    net::with_kernel(Mode::Generic, false, |kernel| {
        for transport in [Transport::Tcp, Transport::Tls, Transport::Dtls] {
            let route = route(0);
            let route = Route { path: Path { transport, ..route.path }, ..route };
            kernel.add(&route);
            kernel.remove(&route);
        }
        assert_eq!(kernel.status(), Status::default());
    });
}

/// One of many routes; 16 belong to an allocation.
fn route(number: u32) -> Route {
    let v4 = |ip: u32, port| SocketAddr::from((Ipv4Addr::from_bits(ip), port));
    let (allocation, channel) = (number / 16, 0x4000 + (number % 16) as u16);
    let server = v4(0xcb00_7105, 3478);
    let path = Path { client: v4(0x0a00_0000 + allocation, 40000), server, transport: Transport::Udp, link: 0 };
    let local = v4(0xcb00_7105, 49152 + allocation as u16);
    let peer = v4(0xc612_0000 + number % 16, 5000);
    Route { path, channel, relay: RelayId(allocation), local, peer, wire: peer, inward: false }
}

/// ChannelData on a route.
fn on(route: &Route) -> Vec<u8> {
    Frame::new(route.path.client, route.path.server, channel::header(route.channel, 0).to_vec()).bytes()
}

/// Who lets relays have every port has listeners among them.
#[test]
fn a_listener_may_stand_among_the_ports_of_relays() {
    if !requires(net::lack()) {
        return;
    }
    net::with_kernel(Mode::Generic, false, |kernel| {
        let mut route = route(0);
        route.path.server.set_port(*net::PORTS.start() + 5);
        kernel.add(&route);
        let down = Frame::new(route.wire, route.local, pattern(9)).bytes();
        assert!([on(&route), down].iter().all(|frame| kernel.try_frame(frame, 1).unwrap().0 != Fate::Passed));
        assert_eq!((kernel.status().to_peer.packets, kernel.status().to_client.packets), (1, 1));
    });
}

/// Nothing else says where a peer's datagrams come to.
#[test]
fn the_first_and_the_last_port_of_relays_are_theirs() {
    if !requires(net::lack()) {
        return;
    }
    net::with_kernel(Mode::Generic, false, |kernel| {
        for port in [*net::PORTS.start(), *net::PORTS.end()] {
            let mut route = route(0);
            route.local.set_port(port);
            route.path.server.set_port(net::PORTS.start() - 1);
            kernel.add(&route);
            for frame in [on(&route), Frame::new(route.wire, route.local, pattern(9)).bytes()] {
                assert_ne!(kernel.try_frame(&frame, 1).unwrap().0, Fate::Passed, "port {port}");
            }
            kernel.remove(&route);
        }
    });
}

/// A second's worth at once and no more, each direction and each allocation for itself; what is too much is dropped.
#[test]
fn an_allocation_sends_no_more_than_it_may() {
    if !requires(net::lack()) {
        return;
    }
    net::with_limited_kernel(Mode::Generic, false, 100_000, |kernel| {
        let (one, other) = (route(0), route(16));
        assert_ne!(one.path, other.path);
        [&one, &other].into_iter().for_each(|route| kernel.add(route));
        let up = |route: &Route| {
            let payload = [&channel::header(route.channel, 1000)[..], &pattern(1000)].concat();
            Frame::new(route.path.client, route.path.server, payload).bytes()
        };
        let down = |route: &Route| Frame::new(route.wire, route.local, pattern(1000)).bytes();
        for frame in [up(&one), down(&one), up(&other)] {
            let before = kernel.status();
            let begun = Instant::now();
            let fates: Vec<Fate> = (0..300).map(|_| kernel.try_frame(&frame, 1).unwrap().0).collect();
            // Meanwhile another may come for each hundredth of a second.
            let most = 101 + (begun.elapsed().as_secs_f64() * 100.0) as u64;
            let dropped = fates.iter().filter(|fate| **fate == Fate::Dropped).count() as u64;
            let status = kernel.status();
            let sent = status.to_peer.packets + status.to_client.packets;
            let sent = sent - before.to_peer.packets - before.to_client.packets;
            assert!((100..=most).contains(&sent), "{sent} of 300, {most} at most");
            assert_eq!((dropped, status.bandwidth - before.bandwidth), (300 - sent, 300 - sent));
        }
    });
}

/// What no wire leads to is user space's: this host itself, its links' own addresses, groups.
#[test]
fn what_no_wire_leads_to_is_not_carried() {
    if !requires(net::lack()) {
        return;
    }
    net::with_kernel(Mode::Generic, false, |kernel| {
        let good = route(0);
        let addresses =
            net::OWN.into_iter().chain(["127.0.0.1", "169.254.1.1", "fe80::1", "ff0e::1", "239.1.1.1", "::1"]);
        for ip in addresses.map(|ip| ip.parse::<IpAddr>().unwrap()) {
            let mut client = good;
            client.path.client.set_ip(ip);
            let peer = SocketAddr::new(ip, 5000);
            let peer = Route { peer, wire: peer, ..good };
            for route in [client, peer] {
                kernel.add(&route);
                kernel.permit(&route.permission());
                assert_eq!((kernel.status().channels, kernel.status().permissions), (0, 0), "{ip}");
                kernel.remove(&route);
                kernel.forbid(&route.permission());
            }
        }
        // A relay of this server is reached inside.
        let peer = SocketAddr::new(net::OWN[0].parse().unwrap(), 50000);
        kernel.add(&Route { peer, wire: peer, inward: true, ..good });
        assert_eq!(kernel.status().channels, 1);
    });
}

/// Bytes that the kernel has charged for the tables of a path, each as large as any of its kind in this process: other tests
/// have theirs.
fn memory_of_maps() -> u64 {
    let mut largest = HashMap::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let (Some(kind), Some(bytes)) = (field("map_type:").zip(field("max_entries:")), field("memlock:")) else {
            continue;
        };
        let most = largest.entry(kind).or_default();
        *most = bytes.max(*most);
    }
    largest.into_values().sum()
}

#[test]
fn a_full_table_refuses_routes_and_takes_them_again() {
    if !requires(net::lack()) {
        return;
    }
    net::with_kernel(Mode::Generic, false, |kernel| {
        let leaves = |kernel: &Kernel, route: &Route| kernel.try_frame(&on(route), 1).unwrap().0 != Fate::Passed;
        (0..ROUTES).for_each(|number| kernel.add(&route(number)));
        let status = kernel.status();
        assert_eq!((status.channels, status.sessions, status.refused), (ROUTES, ROUTES as usize / 16, 0));
        (0..ROUTES).for_each(|number| kernel.permit(&route(number).permission()));
        assert_eq!((kernel.status().permissions, kernel.status().refused), (ROUTES, 0));
        let memory = memory_of_maps();
        assert!((8 << 20..64 << 20).contains(&memory), "{memory} bytes");
        let last = route(ROUTES);
        kernel.add(&last);
        assert_eq!((kernel.status().channels, kernel.status().refused), (ROUTES, 1));
        assert_eq!(kernel.session(&last.path), None);
        assert!(!leaves(&kernel, &last) && leaves(&kernel, &route(0)) && leaves(&kernel, &route(ROUTES - 1)));
        // What found no place is removed without harm to others.
        kernel.remove(&last);
        assert_eq!(kernel.status().channels, ROUTES);
        kernel.remove(&route(0));
        kernel.add(&last);
        assert!(leaves(&kernel, &last) && !leaves(&kernel, &route(0)));
        assert_eq!((kernel.status().channels, kernel.status().refused), (ROUTES, 1));
    });
}
