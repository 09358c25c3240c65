//! A server between two routers, and what its kernel path says of itself.

use crate::client::Client;
use crate::harness::*;
use crate::space::Space;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

/// Where clients and peers come to.
pub const HOST: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))];
/// Addresses in the network to the left, where clients are.
pub const LEFT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 130)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 1, 0, 0, 0, 2))];
/// Addresses in the network to the right.
pub const RIGHT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 130)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 1, 0, 0, 0, 2))];
/// The host's next hop to the right.
pub const NEXT_HOP: &str = "198.51.100.126";
/// The server's port: in a network of its own every port is free.
pub const PORT: u16 = 3478;

/// Five networks in a row. Clients are to the left, peers to the left and to the right, and neither is a neighbour of the
/// host:
///
/// ```text
/// left                 router                 host                 router               right
///      left1 ──── far0        near ──── left0    right0 ──── near        far ──── right1
/// ```
#[derive(Debug)]
pub struct Scene {
    pub host: Space,
    pub left: Space,
    pub right: Space,
    /// Those to the left and to the right.
    pub routers: [Space; 2],
    /// The programs at the far ends of cables, which make these poll.
    polls: Vec<OwnedFd>,
}

impl Scene {
    /// What a test in it needs.
    pub const NEEDS: &[Need] = &[Need::Spaces, Need::Ethtool];

    pub fn new() -> Self {
        let [host, left, right] = [(); 3].map(|()| Space::new());
        let routers = [(); 2].map(|()| Space::new());
        let polls = [
            connect(&host, &routers[0], &left, "left", ("192.0.2", "2001:db8:1")),
            connect(&host, &routers[1], &right, "right", ("198.51.100", "2001:db8:2")),
        ];
        Self { host, left, right, routers, polls: polls.into_iter().flatten().collect() }
    }

    /// The far ends lose what a native program sends.
    pub fn stop_polling(&mut self) {
        self.polls.clear();
    }

    /// Takes an interface of the host down.
    pub fn take_down(&self, name: &str) {
        self.host.ip(&format!("link set {name} down"));
    }

    /// Brings it up, with all that it loses by going down.
    pub fn bring_up(&self, name: &str) {
        self.host.ip(&format!("link set {name} up"));
        let (v4, v6) = if name == "left0" { ("192.0.2", "2001:db8:1") } else { ("198.51.100", "2001:db8:2") };
        self.host.address_on(name, &format!("{v6}::1/64"));
        lead(&self.host, (v4, v6));
    }

    /// Lets the cable of an interface of the host carry packets of so many bytes and no more.
    pub fn narrow(&self, name: &str, mtu: u32) {
        self.host.ip(&format!("link set {name} mtu {mtu}"));
        self.routers[usize::from(name != "left0")].ip(&format!("link set near mtu {mtu}"));
    }

    /// The program of an interface of the host, in the driver, behind it or where the stack begins, by its number.
    pub fn program(&self, name: &str) -> Option<u32> {
        let links = self.host.tool("ip", &format!("-j link show {name}"));
        let links: serde_json::Value = serde_json::from_str(&links).unwrap();
        let of_driver = links[0]["xdp"]["prog"]["id"].as_u64().map(|id| id as u32);
        of_driver.or_else(|| self.host.program_of_stack(name))
    }

    /// A configuration with this kernel path, on both interfaces.
    pub fn setup(mode: &str) -> Setup {
        let all = |ips: &[IpAddr]| format!("{:?}", ips.iter().map(ToString::to_string).collect::<Vec<_>>());
        Setup::at(HOST[0])
            .set("listen.addresses", &all(&HOST))
            .set("peers.allow", &all(&[LEFT, RIGHT].concat()))
            .set("kernel-path", &quoted(mode))
            .set("kernel-interfaces", "[\"left0\", \"right0\"]")
    }

    /// A server with this kernel path.
    pub fn start(&self, mode: &str) -> Server {
        Self::setup(mode).start_on(PORT, &self.host, &[])
    }

    /// A client of alice to the left.
    pub fn client(&self, server: &Server, to: IpAddr) -> Client {
        self.left.run(|| self.client_here(server, to))
    }

    /// A client of alice in the thread's network.
    pub fn client_here(&self, server: &Server, to: IpAddr) -> Client {
        Client::udp(SocketAddr::new(to, server.addr.port())).named(ALICE)
    }
}

/// Lays cables from the host to a router and from there to others. They are like those of copper: they carry whole
/// checksums, and their far ends poll.
fn connect(host: &Space, router: &Space, other: &Space, name: &str, (v4, v6): (&str, &str)) -> [OwnedFd; 2] {
    let (near, far) = (format!("{name}0"), format!("{name}1"));
    // Who doubts its own addresses asks for no neighbour in the first second.
    for space in [host, router] {
        space.tool("sysctl", "-q -w net.ipv6.conf.default.accept_dad=0");
    }
    host.cable(&near, router, "near");
    router.cable("far", other, &far);
    let places = [
        (host, &*near, "1/25", "::1"),
        (router, "near", "126/25", "::fe"),
        (router, "far", "129/25", ":1::1"),
        (other, &*far, "130/25", ":1::2"),
    ];
    for (space, name, host4, host6) in places {
        space.address_on(name, &format!("{v4}.{host4}"));
        space.address_on(name, &format!("{v6}{host6}/64"));
    }
    router.tool("sysctl", "-q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    lead(host, (v4, v6));
    // A server asks neighbours that its host knows, to see how the driver treats what they send.
    let socket = host.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    socket.send_to(&[], format!("{v4}.126:9")).unwrap();
    for (space, v4, v6) in
        [(router, format!("{v4}.1"), format!("{v6}::1")), (other, format!("{v4}.129"), format!("{v6}:1::1"))]
    {
        space.ip(&format!("route add default via {v4}"));
        space.ip(&format!("route add default via {v6}"));
    }
    other.tool("ethtool", &format!("-K {far} tx off"));
    [router.pass_all("near"), other.pass_all(&far)]
}

/// Tells the host that a network is behind its router.
fn lead(host: &Space, (v4, v6): (&str, &str)) {
    host.ip(&format!("route add {v4}.128/25 via {v4}.126"));
    host.ip(&format!("route add {v6}:1::/64 via {v6}::fe"));
}

/// What the kernel path has done and holds.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub channels: u64,
    pub to_peer: u64,
    pub to_client: u64,
    left: HashMap<String, u64>,
}

impl Counts {
    /// Asks a server.
    pub fn of(server: &Server) -> Self {
        const STATUS: &str = "kernel path: status";
        let known = server.err.text().matches(STATUS).count();
        server.signal("USR1");
        let line = eventually("the server tells how it stands", || {
            server.err.text().lines().filter(|line| line.contains(STATUS)).nth(known).map(str::to_owned)
        });
        Self::read(&line)
    }

    fn read(line: &str) -> Self {
        let number = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {line}"));
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let (_, left) = line.split_once(" left=\"").unwrap_or_else(|| panic!("left in {line}"));
        let pairs = left.split_once('"').unwrap().0.split_whitespace().filter_map(|pair| pair.split_once('='));
        Self {
            channels: number("channels"),
            to_peer: number("to_peer_packets"),
            to_client: number("to_client_packets"),
            left: pairs.map(|(why, packets)| (why.to_owned(), packets.parse().unwrap())).collect(),
        }
    }

    /// What has come since, and the routes that stand now.
    pub fn since(&self, before: &Self) -> Self {
        let left = self.left.iter().map(|(why, packets)| (why.clone(), packets - before.left(why)));
        Self {
            channels: self.channels,
            to_peer: self.to_peer - before.to_peer,
            to_client: self.to_client - before.to_client,
            left: left.collect(),
        }
    }

    /// Packets of routes: those that were carried, and those that were left.
    pub fn seen(&self) -> u64 {
        self.to_peer + self.to_client + self.left.values().sum::<u64>()
    }

    /// Packets that were left to user space for this reason.
    pub fn left(&self, why: &str) -> u64 {
        self.left.get(why).copied().unwrap_or(0)
    }
}
