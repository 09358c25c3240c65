//! Whatever clients, peers and time do in whatever order: nothing panics, nothing leaks, every answer parses.

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::limits::Quotas;
use hairpin::turn::{Event, Path};
use hairpin::wire::{ChannelData, Class, Message, Method, Writer, attribute};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::time::Duration;

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A client makes a request of this method with these attributes, with credentials or without.
    Request { client: usize, method: Method, attributes: Vec<Part>, proved: bool },
    /// A client sends its last request again, perhaps with a bit flipped.
    Again { client: usize, flip: Option<u16> },
    /// A client sends an indication.
    Send { client: usize, attributes: Vec<Part> },
    /// A client sends ChannelData.
    ChannelData { client: usize, number: u16, len: usize },
    /// Anybody sends anything.
    Junk { client: usize, bytes: Vec<u8> },
    /// A peer sends to the socket in this place.
    Peer { peer: usize, socket: usize, len: usize },
    /// An ICMP error comes back.
    Icmp { peer: usize, socket: usize, kind: u8, code: u8 },
    /// A connection ends.
    Close { client: usize },
    /// Time passes, in milliseconds; the core may be looked after late.
    Pass { span: u64, late: bool },
    /// No socket can be opened, or any again.
    Exhausted(bool),
    /// Somebody takes a port, or gives it back.
    Taken { port: u16 },
}

/// An attribute, often a sensible one.
#[derive(Clone, Debug)]
enum Part {
    Peer(usize),
    /// The last token that anybody was given.
    Token,
    Other(u16, Vec<u8>),
}

const PEERS: [&str; 7] =
    [PEER, "198.18.5.9:6000", "198.18.5.10:5000", PEER6, "127.0.0.1:80", "198.18.5.9:0", "203.0.113.5:50001"];

fn part() -> impl Strategy<Value = Part> {
    let other = |code, values: Vec<Vec<u8>>| prop::sample::select(values).prop_map(move |v| Part::Other(code, v));
    let families: Vec<Vec<u8>> = (0..4).map(|family| vec![family, 0, 0, 0]).collect();
    let lifetimes = [0, 1, 700, 3600, u32::MAX].map(|s| s.to_be_bytes().to_vec()).to_vec();
    let numbers = [0x3FFF_u16, 0x4000, 0x4001, 0x4002, 0x5000].map(|n| vec![(n >> 8) as u8, n as u8, 0, 0]).to_vec();
    prop_oneof![
        8 => (0..PEERS.len()).prop_map(Part::Peer),
        2 => Just(Part::Token),
        6 => other(attribute::CHANNEL_NUMBER, numbers),
        4 => other(attribute::LIFETIME, lifetimes),
        2 => other(attribute::EVEN_PORT, vec![vec![0], vec![0x80]]),
        2 => other(attribute::ADDITIONAL_ADDRESS_FAMILY, families.clone()),
        2 => other(attribute::REQUESTED_ADDRESS_FAMILY, families),
        2 => other(attribute::DATA, vec![vec![], vec![1; 5], vec![2; 1200]]),
        1 => other(attribute::DONT_FRAGMENT, vec![vec![]]),
        1 => (any::<u16>(), prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(code, value)| Part::Other(code, value)),
    ]
}

/// A request as clients make it: what it needs, and sometimes more.
fn request() -> impl Strategy<Value = (Method, Vec<Part>)> {
    let number =
        (0x4000..0x4003_u16).prop_map(|n| Part::Other(attribute::CHANNEL_NUMBER, vec![(n >> 8) as u8, n as u8, 0, 0]));
    let peer = || (0..PEERS.len()).prop_map(Part::Peer);
    let one = |part: Part| vec![part];
    prop_oneof![
        4 => Just((Method::ALLOCATE, Vec::new())),
        2 => Just((Method::ALLOCATE, one(Part::Other(attribute::ADDITIONAL_ADDRESS_FAMILY, vec![2, 0, 0, 0])))),
        2 => Just((Method::ALLOCATE, one(Part::Other(attribute::EVEN_PORT, vec![0x80])))),
        2 => Just((Method::ALLOCATE, one(Part::Token))),
        2 => Just((Method::REFRESH, Vec::new())),
        1 => Just((Method::REFRESH, one(Part::Other(attribute::LIFETIME, vec![0; 4])))),
        6 => prop::collection::vec(peer().boxed(), 1..3).prop_map(|peers| (Method::CREATE_PERMISSION, peers)),
        6 => (number, peer()).prop_map(|(number, peer)| (Method::CHANNEL_BIND, vec![number, peer])),
        4 => (prop::sample::select(METHODS), prop::collection::vec(part().boxed(), 0..4)),
    ]
}

const METHODS: &[Method] = &[
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::BINDING,
    Method(0x00B),
];

fn op() -> impl Strategy<Value = Op> {
    // The last client has the wrong password.
    let client = prop_oneof![19 => 0..4_usize, 1 => Just(4_usize)].boxed();
    let (peer, socket) = (0..PEERS.len(), 0..4_usize);
    let send = (0..PEERS.len(), prop::collection::vec(part().boxed(), 0..2)).prop_map(|(peer, mut parts)| {
        parts.extend([Part::Peer(peer), Part::Other(attribute::DATA, vec![3; 7])]);
        parts
    });
    let spans = vec![1, 250, 999, 1_000, 10_000, 30_000, 100_000, 299_999, 300_000, 600_000];
    prop_oneof![
        20 => (client.clone(), request(), prop::bool::weighted(0.95))
            .prop_map(|(client, (method, attributes), proved)| Op::Request { client, method, attributes, proved }),
        2 => (client.clone(), any::<Option<u16>>()).prop_map(|(client, flip)| Op::Again { client, flip }),
        4 => (client.clone(), send).prop_map(|(client, attributes)| Op::Send { client, attributes }),
        6 => (client.clone(), 0x4000..0x4003_u16, 0..2000_usize)
            .prop_map(|(client, number, len)| Op::ChannelData { client, number, len }),
        1 => (client.clone(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(client, bytes)| Op::Junk { client, bytes }),
        8 => (peer.clone(), socket.clone(), prop::sample::select(vec![0, 1, 1200, 65_507]))
            .prop_map(|(peer, socket, len)| Op::Peer { peer, socket, len }),
        2 => (peer, socket, 0..12_u8, 0..5_u8)
            .prop_map(|(peer, socket, kind, code)| Op::Icmp { peer, socket, kind, code }),
        1 => client.prop_map(|client| Op::Close { client }),
        3 => (prop::sample::select(spans), any::<bool>()).prop_map(|(span, late)| Op::Pass { span, late }),
        1 => prop::bool::weighted(0.2).prop_map(Op::Exhausted),
        1 => (50_000..50_012_u16).prop_map(|port| Op::Taken { port }),
    ]
}

/// Some clients in a small world.
struct Play {
    world: World,
    clients: Vec<Client>,
    /// The last request of each.
    last: Vec<Vec<u8>>,
    token: Vec<u8>,
}

impl Play {
    fn new() -> Self {
        let mut world = world_with(|options| {
            options.ports = 50_000..=50_011;
            options.quotas = Quotas { user: 3, source: 2, total: 4 };
            (options.permissions, options.channels) = (3, 2);
            options.bandwidth = 100_000;
            options.routes = true;
        });
        let (issued, password) = hairpin::auth::rest::mint("north", "ann", world.now.wall + 700, ':');
        let paths = [udp(ALICE), udp(BOB), tcp(CAROL, 1), udp(ALICE6), tcp("192.0.2.1:40001", 2)];
        let users =
            [("alice", "secret"), ("bob", "hunter2"), ("alice", "secret"), (&*issued, &*password), ("bob", "?")];
        let clients = paths.iter().zip(users).map(|(path, (user, password))| world.login(*path, user, password));
        let clients: Vec<Client> = clients.collect();
        // Most of what can go wrong begins with an allocation.
        for client in &clients[..3] {
            world.allocate(client);
        }
        let last = vec![Vec::new(); clients.len()];
        Self { world, clients, last, token: vec![0; 8] }
    }

    /// Lets it happen and looks at what comes out.
    fn act(&mut self, op: &Op) {
        let out = match op {
            Op::Request { client, method, attributes, proved } => {
                let out = self.ask(*client, *method, attributes, *proved);
                // A client whose nonce was too old has learned a new one and asks again.
                match &out[..] {
                    [Out::Client(path, bytes)] if Answer { bytes: bytes.clone() }.code() == Some(438) => {
                        self.learn(path, &Answer { bytes: bytes.clone() });
                        self.ask(*client, *method, attributes, *proved)
                    }
                    _ => out,
                }
            }
            Op::Again { client, flip } => {
                let mut packet = self.last[*client].clone();
                if let Some(flip) = flip.filter(|_| !packet.is_empty()) {
                    let at = usize::from(flip >> 3) % packet.len();
                    packet[at] ^= 1 << (flip & 7);
                }
                self.world.client(self.clients[*client].path, &packet)
            }
            Op::Send { client, attributes } => {
                let token = self.token.clone();
                let packet = self.world.bare(Method::SEND, Class::Indication, |w| write(w, attributes, &token));
                self.world.client(self.clients[*client].path, &packet)
            }
            Op::ChannelData { client, number, len } => {
                self.clients[*client].clone().channel_data(&mut self.world, *number, &vec![0x5A; *len])
            }
            Op::Junk { client, bytes } => self.world.client(self.clients[*client].path, bytes),
            Op::Peer { peer, socket, len } => match self.socket(*socket) {
                Some(at) => self.world.peer(PEERS[*peer], at, &vec![0x5A; *len]),
                None => Vec::new(),
            },
            Op::Icmp { peer, socket, kind, code } => match self.socket(*socket) {
                Some(at) => self.world.icmp(at, PEERS[*peer], *kind, *code, 1280),
                None => Vec::new(),
            },
            Op::Close { client } => self.world.event(Event::Closed { path: self.clients[*client].path }),
            Op::Pass { span, late: false } => self.world.pass(Duration::from_millis(*span)),
            Op::Pass { span, late: true } => {
                self.world.now.time = self.world.now.time.after(Duration::from_millis(*span));
                self.world.now.wall += span / 1000;
                Vec::new()
            }
            Op::Exhausted(exhausted) => {
                self.world.exhausted = *exhausted;
                Vec::new()
            }
            Op::Taken { port } => {
                let at = std::net::SocketAddr::new(addr(SERVER).ip(), *port);
                if !self.world.taken.remove(&at) {
                    self.world.taken.insert(at);
                }
                Vec::new()
            }
        };
        assert!(out.len() <= 1, "{op:?} makes at most one packet: {out:?}");
        out.iter().for_each(|one| self.look_at(one));
        self.look_round();
    }

    /// A client asks.
    fn ask(&mut self, client: usize, method: Method, attributes: &[Part], proved: bool) -> Vec<Out> {
        let packet = self.request(client, method, attributes, proved);
        self.last[client].clone_from(&packet);
        self.world.client(self.clients[client].path, &packet)
    }

    /// A request as a client writes it.
    fn request(&mut self, client: usize, method: Method, attributes: &[Part], proved: bool) -> Vec<u8> {
        let (token, client) = (self.token.clone(), &self.clients[client]);
        let id = self.world.transaction();
        let fill = |w: &mut Writer<'_>| {
            if method == Method::ALLOCATE {
                w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
            }
            write(w, attributes, &token);
        };
        if proved { client.message(&id, method, fill) } else { self.world.bare(method, Class::Request, fill) }
    }

    /// Where one of the open sockets is bound.
    fn socket(&self, place: usize) -> Option<std::net::SocketAddr> {
        let count = self.world.sockets.len();
        self.world.sockets.values().nth(place % count.max(1)).copied()
    }

    /// What goes out is well formed and goes where it may.
    fn look_at(&mut self, out: &Out) {
        match out {
            Out::Client(path, bytes) if bytes[0] >= 0x40 => {
                let data = ChannelData::parse(bytes).expect("the server writes what it can read");
                assert!(self.is_client(path) && bytes.len() - data.body.len() - 4 < 4);
            }
            Out::Client(path, bytes) => {
                let answer = Answer { bytes: bytes.clone() };
                assert!(self.is_client(path));
                if answer.message().class() != Class::Indication {
                    self.learn(path, &answer);
                }
            }
            Out::Peer(relay, peer, _, _) => {
                assert!(self.world.sockets.contains_key(relay));
                assert!(self.world.setup.policy.reaches(*peer).is_ok(), "{peer} may be reached");
            }
            Out::Drop(_) => {}
        }
    }

    fn is_client(&self, path: &Path) -> bool {
        self.clients.iter().any(|client| client.path == *path)
    }

    /// Clients learn nonces and tokens from answers, as they do.
    fn learn(&mut self, path: &Path, answer: &Answer) {
        let message = Message::parse(&answer.bytes).unwrap();
        if let Some(token) = message.attribute(attribute::RESERVATION_TOKEN) {
            self.token = token.to_vec();
        }
        if let (Some(_), Some(nonce)) = (answer.code(), answer.get(attribute::NONCE)) {
            let asker = self.clients.iter_mut().find(|client| client.path == *path);
            asker.expect("an answer goes to a client").nonce = nonce;
        }
    }

    /// Books and world agree.
    fn look_round(&self) {
        let (world, server) = (&self.world, &self.world.server);
        assert_eq!(world.ledger.total() as usize, server.allocations(), "what exists is charged");
        assert_eq!(world.sockets.len(), server.relays(), "what is open has an owner");
        assert!(world.sockets.len() <= 2 * server.allocations());
        assert!(world.deposits.len() <= server.allocations(), "a reservation has a maker");
        assert!(world.routes.iter().all(|route| world.sockets.contains_key(&route.relay)));
        assert!(server.allocations() <= 4 && world.routes.len() <= 4 * 2, "limits hold");
    }
}

/// Writes these attributes.
fn write(writer: &mut Writer<'_>, attributes: &[Part], token: &[u8]) {
    for part in attributes {
        match part {
            Part::Peer(peer) => writer.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEERS[*peer])),
            Part::Token => writer.attribute(attribute::RESERVATION_TOKEN, token),
            Part::Other(code, value) => writer.attribute(*code, value),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(8656),
        ..ProptestConfig::default()
    })]

    /// AMP-003, TURN-123, SEC-36, SEC-37, SEC-38, SEC-39.
    #[test]
    fn nothing_leaks_whatever_happens(ops in prop::collection::vec(op(), 1..150)) {
        let mut play = Play::new();
        for op in &ops {
            play.act(op);
        }
        // An hour later everything has ended by itself.
        play.world.seconds(3_602);
        play.world.assert_empty();
        prop_assert_eq!(play.world.server.poll_timeout(), None);
    }
}
