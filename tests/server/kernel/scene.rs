//! A server between two cables, and what its kernel path says of itself.

use crate::client::Client;
use crate::harness::*;
use crate::space::Space;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Where clients and peers come to.
pub const HOST: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))];
/// Addresses in the network to the left, where clients are.
pub const LEFT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2))];
/// Addresses in the network to the right.
pub const RIGHT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2))];
/// The server's port: in a network of its own every port is free.
pub const PORT: u16 = 3478;

/// Three networks: `left1` is at the other end of the host's `left0`, and `right1` of `right0`.
#[derive(Debug)]
pub struct Scene {
    pub host: Space,
    pub left: Space,
    pub right: Space,
    /// What makes the far ends poll.
    polls: Vec<OwnedFd>,
}

impl Scene {
    /// What a test in it needs.
    pub const NEEDS: &[Need] = &[Need::Spaces, Need::Ethtool];

    pub fn new() -> Self {
        let (host, left, right) = (Space::new(), Space::new(), Space::new());
        let polls = vec![
            connect(&host, &left, "left", ("192.0.2", "2001:db8:1:")),
            connect(&host, &right, "right", ("198.51.100", "2001:db8:2:")),
        ];
        Self { host, left, right, polls }
    }

    /// The far ends lose what a native program sends.
    pub fn stop_polling(&mut self) {
        self.polls.clear();
    }

    /// Whether an interface of the host has a program.
    pub fn has_program(&self, name: &str) -> bool {
        self.host.tool("ip", &format!("link show {name}")).contains("xdp")
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

/// Lays a cable that is like one of copper: it carries whole checksums, and both ends poll.
fn connect(host: &Space, other: &Space, name: &str, (v4, v6): (&str, &str)) -> OwnedFd {
    let (near, far) = (format!("{name}0"), format!("{name}1"));
    host.cable(&near, other, &far);
    for (space, name, number) in [(host, &near, 1), (other, &far, 2)] {
        space.address_on(name, &format!("{v4}.{number}/24"));
        space.address_on(name, &format!("{v6}:{number}/64"));
    }
    for gateway in [format!("{v4}.1"), format!("{v6}:1")] {
        other.ip(&format!("route add default via {gateway}"));
    }
    other.tool("ethtool", &format!("-K {far} tx off"));
    other.pass_all(&far)
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

    /// Packets that were left to user space for this reason.
    pub fn left(&self, why: &str) -> u64 {
        self.left.get(why).copied().unwrap_or(0)
    }
}
