//! The same allocations for the program and for the core, and the judge between the two.

use crate::acts::{ALICE6, BOB, PEER6};
use crate::frame::{self, Datagram, Frame, GATEWAY, HOST, Sum};
use crate::harness::*;
use crate::net;
use hairpin::dataplane::xdp::{Fate, Kernel, Left, Mode};
use hairpin::turn::{Path, Route, Transport};
use hairpin::wire::{ChannelData, Class, Message, Method, Writer, address, attribute};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Clients of both families, by name: address, user, password.
pub const CLIENTS: [(&str, &str, [&str; 2]); 4] = [
    ("alice", ALICE, ["alice", "secret"]),
    ("bob", BOB, ["bob", "hunter2"]),
    ("carol", ALICE6, ["alice", "secret"]),
    ("dave", "[2001:db8::2]:41000", ["bob", "hunter2"]),
];

/// Peers by name. Every client has a channel to each of them.
pub const PEERS: [(&str, &str); 7] = [
    ("peer4", PEER),
    ("peer6", PEER6),
    // A port as relays have, at another host.
    ("high4", "198.18.5.9:50000"),
    // On this link, but nobody has asked for its Ethernet address.
    ("mute4", "203.0.113.77:5000"),
    ("nowhere4", "198.51.100.9:5000"),
    ("nowhere6", "[2001:db8:dead::9]:5000"),
    // By an interface without the program.
    ("elsewhere4", "198.51.100.200:5000"),
];

/// The relay whose client has no channel to `alice.4`.
pub const ONE_WAY: &str = "dave.4";

/// The program in a network, and the core that decided what it carries.
pub struct Scene {
    pub kernel: Kernel,
    pub world: World,
    /// Sockets by name: clients, peers, and relays as `alice.4`.
    pub names: BTreeMap<String, SocketAddr>,
}

/// What the program did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It leaves as the core would have it leave, with so many bytes of payload.
    Carried(usize),
    /// It goes on, untouched.
    Passed,
}

impl Scene {
    /// Does something in a network of its own.
    pub fn play<T: Send>(mode: Mode, work: impl FnOnce(Self) -> T + Send) -> T {
        Self::play_as(mode, 49152..=65535, &[], work)
    }

    /// The same where relays have ports of this range: those of the clients, in their order, these ones.
    pub fn play_as<T: Send>(
        mode: Mode,
        ports: RangeInclusive<u16>,
        relays: &[[SocketAddr; 2]],
        work: impl FnOnce(Self) -> T + Send,
    ) -> T {
        net::with_kernel(mode, false, |kernel| {
            let (world, names) = world(ports, relays);
            world.routes.iter().for_each(|route| kernel.add(route));
            work(Self { kernel, world, names })
        })
    }

    /// Tells the program of every permission, too.
    pub fn permit(&self) {
        self.world.permissions.iter().for_each(|permission| self.kernel.permit(permission));
    }

    /// The socket of a name, or written out.
    pub fn socket(&self, name: &str) -> SocketAddr {
        self.names.get(name).copied().unwrap_or_else(|| name.parse().unwrap_or_else(|_| panic!("{name} is nobody")))
    }

    /// The server's address for a client.
    pub fn listener(&self, client: &str) -> SocketAddr {
        path(self.socket(client)).server
    }

    /// A client's relay for a peer.
    pub fn relay(&self, client: &str, peer: &str) -> SocketAddr {
        let family = if self.socket(peer).is_ipv4() { 4 } else { 6 };
        self.socket(&format!("{client}.{family}"))
    }

    /// The route between a client and a peer.
    pub fn route(&self, client: &str, peer: &str) -> Option<Route> {
        let (client, peer) = (self.socket(client), self.socket(peer));
        self.world.routes.iter().find(|route| route.path.client == client && route.peer == peer).copied()
    }

    /// What the core makes of a datagram: where from and where to it leaves, and what is in it.
    pub fn core(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
    ) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let out = if self.world.sockets.values().any(|at| *at == to) {
            self.world.peer(&from.to_string(), to, payload)
        } else if [addr(SERVER), addr(SERVER6)].contains(&to) {
            self.world.client(Path { server: to, ..path(from) }, payload)
        } else {
            return None;
        };
        match &out[..] {
            [Out::Client(path, bytes)] => Some((path.server, path.client, bytes.clone())),
            [Out::Peer(relay, peer, body, false)] => {
                let local = self.world.sockets[relay];
                let is_inward = self.world.sockets.values().any(|at| at == peer);
                if is_inward { self.core(local, *peer, body) } else { Some((local, *peer, body.clone())) }
            }
            _ => None,
        }
    }

    /// Runs the program on a frame; again, if it was the one now and then that goes by user space for the neighbour's sake.
    fn run(&self, input: &[u8]) -> (Fate, Vec<u8>) {
        if self.kernel.mode() == Mode::Tc && frame::is_stub(input) {
            // The kernel refuses to try it.
            return (Fate::Passed, input.to_vec());
        }
        let neighbour = |kernel: &Kernel| kernel.status().left[Left::Neighbour as usize];
        let before = neighbour(&self.kernel);
        let (fate, output, _) = self.kernel.try_frame(input, 1).unwrap();
        if neighbour(&self.kernel) == before { (fate, output) } else { self.run(input) }
    }

    /// Runs the program on a frame and holds it to the core: what leaves is what the core says, byte by byte, and what
    /// does not leave has not changed.
    pub fn judge(&mut self, name: &str, input: &[u8]) -> Done {
        let (fate, output) = self.run(input);
        match fate {
            Fate::Passed => {
                assert_eq!(hex(&output), hex(input), "{name}: what is passed on is untouched");
                Done::Passed
            }
            Fate::Sent => {
                let datagram =
                    frame::read(input).unwrap_or_else(|| panic!("{name}: no host would read {}", hex(input)));
                let out = self.core(datagram.from, datagram.to, &datagram.payload);
                let (from, to, payload) =
                    out.unwrap_or_else(|| panic!("{name}: the core would not relay {datagram:?}"));
                let is_client = [addr(SERVER), addr(SERVER6)].contains(&from);
                let len = body(&payload, is_client).len();
                let out = (from, to, if is_client { retold(payload, &output) } else { payload });
                assert_eq!(hex(&output), hex(&leaving(&datagram, out, &output)), "{name}: {}", hex(input));
                Done::Carried(len)
            }
            Fate::Dropped => panic!("{name}: dropped: {}", hex(input)),
        }
    }
}

/// What is relayed of what leaves the server.
pub fn body(payload: &[u8], to_client: bool) -> Vec<u8> {
    match Message::parse(payload) {
        _ if !to_client => payload.to_vec(),
        Ok(message) => message.attribute(attribute::DATA).unwrap().to_vec(),
        Err(_) => ChannelData::parse(payload).unwrap().body.to_vec(),
    }
}

/// A Data indication of the core with the transaction id of the program's: any is good, but the peer's address depends
/// on it.
fn retold(payload: Vec<u8>, output: &[u8]) -> Vec<u8> {
    let Ok(message) = Message::parse(&payload) else { return payload };
    let leaves = frame::read(output).expect("what leaves can be read").payload;
    let id = leaves[8..20].try_into().unwrap();
    let peer = message.attribute(attribute::XOR_PEER_ADDRESS).unwrap();
    let peer = address::decode_xor(peer, &message.transaction()).unwrap();
    let mut out = Vec::new();
    Writer::new(&mut out, Method::DATA, Class::Indication, &id)
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, message.attribute(attribute::DATA).unwrap());
    out
}

/// The frame that carries what the core says. The identification is any.
fn leaving(datagram: &Datagram, (from, to, payload): (SocketAddr, SocketAddr, Vec<u8>), output: &[u8]) -> Vec<u8> {
    assert!(datagram.sum != Sum::Zero || to.is_ipv4(), "IPv6 needs a checksum: {datagram:?}");
    Frame {
        target: GATEWAY,
        source: HOST,
        tos: datagram.tos,
        hops: datagram.hops - 1,
        id: u16::from_be_bytes([output[18], output[19]]),
        // As routers do: whoever it is for finds out.
        udp_sum: datagram.sum,
        ..Frame::new(from, to, payload)
    }
    .bytes()
}

/// How a client reaches the server.
fn path(client: SocketAddr) -> Path {
    let server = addr(if client.is_ipv4() { SERVER } else { SERVER6 });
    Path { client, server, transport: Transport::Udp, link: 0 }
}

/// A core that tells of routes, with allocations of both families for every client, and channels to every peer and
/// between all relays but one.
fn world(ports: RangeInclusive<u16>, relays: &[[SocketAddr; 2]]) -> (World, BTreeMap<String, SocketAddr>) {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    let all: Vec<SocketAddr> =
        ports.clone().flat_map(|port| [SERVER, SERVER6].map(|at| SocketAddr::new(addr(at).ip(), port))).collect();
    build.options.ports = ports;
    build.options.routes = true;
    build.options.addresses.own = build.options.addresses.local.clone();
    let mut world = build.build();
    let mut names: BTreeMap<_, _> = PEERS.iter().map(|(name, at)| ((*name).to_owned(), addr(at))).collect();
    let mut clients = Vec::new();
    for (number, (name, at, [user, password])) in CLIENTS.into_iter().enumerate() {
        if let Some(own) = relays.get(number) {
            world.taken = all.iter().filter(|at| !own.contains(at)).copied().collect();
        }
        let client = world.login(path(addr(at)), user, password);
        let (four, six) = client.allocate_dual(&mut world);
        names.insert(name.to_owned(), addr(at));
        names.insert(format!("{name}.4"), four);
        names.insert(format!("{name}.6"), six);
        clients.push((name, client));
    }
    for (name, client) in &clients {
        for (number, at) in channels(&names, name) {
            client.assert_granted(&client.bind(&mut world, number, &at.to_string()));
        }
    }
    (world, names)
}

/// The channels of a client: to every peer, and to every relay but one.
pub fn channels(names: &BTreeMap<String, SocketAddr>, client: &str) -> Vec<(u16, SocketAddr)> {
    let is_client = |other: &str| CLIENTS.iter().any(|(client, ..)| *client == other);
    let is_missing = |other: &str| ONE_WAY.starts_with(client) && other == "alice.4";
    let targets = names.iter().filter(|(other, _)| !is_client(other) && !is_missing(other));
    (0x4000..).zip(targets).map(|(number, (_, at))| (number, *at)).collect()
}

/// Bytes to compare and to copy.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
