//! Any calls on the core, in any order: it answers with messages that can be read, and when all has ended
//! nothing is left of it.

#[path = "../../tests/protocol/harness.rs"]
#[allow(clippy::unwrap_used, dead_code, unreachable_pub)]
mod harness;

use arbitrary::{Arbitrary, Unstructured};
use hairpin::turn::{Event, Path, Transport};
use hairpin::wire::{Class, Message, Method, Writer, address, attribute as a, channel};
use harness::{ALICE, Answer, Build, Client, Out, PEER, Style, World, addr, tcp, udp};
use std::net::SocketAddr;
use std::time::Duration;

/// At most so many calls in one run.
const CALLS: usize = 64;
/// Who calls: three UDP clients, a stream, and one on IPv6.
const CLIENTS: usize = 5;
/// Addresses that peers have, or clients ask for: allowed, denied, of both families.
const PEERS: [&str; 8] = [
    PEER,
    "198.18.5.9:5001",
    "198.18.5.10:0",
    "127.0.0.1:80",
    "[2001:db8::9]:5000",
    "[::ffff:198.18.5.9]:5000",
    "[::1]:80",
    "203.0.113.5:49152",
];

/// One call on the core, or something that happens in the world around it.
#[derive(Arbitrary, Debug)]
enum Call<'a> {
    /// A request, with credentials or without.
    Request { client: u8, method: Asked, with: Proof, attributes: Vec<Attribute<'a>> },
    /// A Send indication.
    Send { client: u8, peer: u8, body: &'a [u8], attributes: Vec<Attribute<'a>> },
    /// ChannelData.
    Data { client: u8, number: Number, body: &'a [u8] },
    /// Any bytes from a client.
    Raw { client: u8, bytes: &'a [u8] },
    /// The last request of a client once more.
    Again { client: u8 },
    /// A datagram from a peer.
    Peer { relay: u8, peer: u8, body: &'a [u8] },
    /// An ICMP error.
    Icmp { relay: u8, peer: u8, kind: u8, code: u8, mtu: u32 },
    /// The connection of a client ends.
    Closed { client: u8 },
    /// Time passes.
    Pass { seconds: u8 },
    /// Time has passed while the worker slept.
    Sleep { seconds: u16 },
    /// Sockets run out, or can be had again.
    Exhausted { all: bool },
    /// Somebody else takes ports, or gives them back.
    Taken { odd: bool, all: bool },
}

/// The method of a request.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Asked {
    Binding,
    Allocate,
    Refresh,
    CreatePermission,
    ChannelBind,
    Other(u16),
}

/// A channel number: one of a few, or any.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Few(u8),
    Any(u16),
}

impl Number {
    fn value(self) -> u16 {
        match self {
            Self::Few(number) => 0x4000 | u16::from(number % 6),
            Self::Any(number) => number,
        }
    }
}

/// How a request is proved.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Proof {
    None,
    Right(Kind),
    WrongPassword(Kind),
    OtherUser(Kind),
    OtherNonce(Kind),
}

/// Which key and which HMAC.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Md5,
    Sha256,
    Anonymous,
    Sha256KeySha1Mac,
    Md5KeySha256Mac,
}

/// An attribute of a request: the usual ones, and any.
#[derive(Arbitrary, Debug)]
enum Attribute<'a> {
    Udp,
    Transport(u8),
    Lifetime(u32),
    Family(u8),
    Additional(u8),
    EvenPort(u8),
    Token([u8; 8]),
    KnownToken,
    Channel(Number),
    Peer(u8),
    Other(SocketAddrBytes),
    DontFragment,
    Fingerprint,
    Any(u16, &'a [u8]),
}

/// An address attribute of whatever bytes.
type SocketAddrBytes = [u8; 8];

/// Runs the calls that these bytes stand for.
pub(crate) fn check(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut stage = Stage::new(input.arbitrary().unwrap_or_default());
    for call in input.arbitrary_iter::<Call<'_>>().into_iter().flatten().take(CALLS) {
        let Ok(call) = call else { break };
        stage.call(call);
    }
    stage.end();
}

/// The core, those who call it, and what they said last.
struct Stage {
    world: World,
    clients: [Client; CLIENTS],
    last: [Vec<u8>; CLIENTS],
}

impl Stage {
    /// Everybody has a nonce; the first client and the stream have an allocation, a channel and a permission.
    fn new(switches: u8) -> Self {
        let on = |bit: u8| switches >> bit & 1 == 1;
        let mut build = Build::default();
        build.options.routes = on(0);
        build.options.legacy_channels = on(1);
        build.options.classic = on(2);
        build.options.binding_auth = on(3);
        build.options.software = on(4).then(|| "hairpin".to_owned());
        build.options.bandwidth = if on(5) { 1000 } else { 0 };
        build.options.quotas.user = if on(6) { 2 } else { 0 };
        build.options.ports = if on(7) { 50_000..=50_003 } else { 49_152..=65_535 };
        (build.options.permissions, build.options.channels) = (4, 4);
        let mut world = build.build();
        let paths = [udp(ALICE), udp("192.0.2.1:40001"), udp("192.0.2.2:40000"), tcp("192.0.2.3:40000", 1)];
        let [first, second, third, stream] = paths.map(|path| world.login(path, "alice", "secret"));
        let fifth = world.login(udp("[2001:db8::77]:40000"), "bob", "hunter2");
        for client in [&first, &stream] {
            world.allocate(client);
            client.bind(&mut world, 0x4000, PEERS[0]);
            client.permit(&mut world, &[PEERS[2]]);
        }
        Self { world, clients: [first, second, third, stream, fifth], last: Default::default() }
    }

    fn call(&mut self, call: Call<'_>) {
        match call {
            Call::Request { client, method, with, attributes } => {
                let client = usize::from(client) % CLIENTS;
                let request = self.request(client, method, with, &attributes);
                self.last[client] = request;
                self.again(client);
            }
            Call::Send { client, peer, body, attributes } => self.send(client, peer, body, &attributes),
            Call::Data { client, number, body } => {
                let body = &body[..body.len().min(0xFFFF)];
                let packet = [&channel::header(number.value(), body.len())[..], body].concat();
                self.packet(usize::from(client) % CLIENTS, &packet);
            }
            Call::Raw { client, bytes } => self.packet(usize::from(client) % CLIENTS, bytes),
            Call::Again { client } => self.again(usize::from(client) % CLIENTS),
            Call::Peer { relay, peer, body } => {
                let Some(at) = self.relay(relay) else { return };
                let out = self.world.peer(PEERS[usize::from(peer) % PEERS.len()], at, body);
                self.judge(&out);
            }
            Call::Icmp { relay, peer, kind, code, mtu } => {
                let Some(at) = self.relay(relay) else { return };
                let out = self.world.icmp(at, PEERS[usize::from(peer) % PEERS.len()], kind, code, mtu);
                self.judge(&out);
            }
            Call::Closed { client } => {
                let path = self.path(usize::from(client) % CLIENTS);
                let out = self.world.event(Event::Closed { path });
                self.judge(&out);
                assert!(!self.world.server.has_allocation(&path));
            }
            Call::Pass { seconds } => {
                let out = self.world.seconds(u64::from(seconds));
                self.judge(&out);
            }
            Call::Sleep { seconds } => self.sleep(u64::from(seconds) % 1000),
            Call::Exhausted { all } => self.world.exhausted = all,
            Call::Taken { odd, all } => {
                let ports = (50_000..=50_003).filter(|port| all || (port % 2 == 1) == odd);
                let ip = addr(harness::SERVER).ip();
                self.world.taken = ports.map(|port| SocketAddr::new(ip, port)).collect();
            }
        }
        let (server, world) = (&self.world.server, &self.world);
        assert_eq!(server.relays(), world.sockets.len(), "every place is a socket");
        assert_eq!(world.ledger.total() as usize, server.allocations(), "what is charged is there");
    }

    /// The clocks jump, and only then the core is told.
    fn sleep(&mut self, seconds: u64) {
        self.world.now.time = self.world.now.time.after(Duration::from_secs(seconds));
        let out = self.world.pass(Duration::from_millis(1));
        self.judge(&out);
    }

    fn path(&self, client: usize) -> Path {
        self.clients[client].path
    }

    /// One of the open relay sockets.
    fn relay(&self, which: u8) -> Option<SocketAddr> {
        let sockets = &self.world.sockets;
        sockets.values().nth(usize::from(which) % sockets.len().max(1)).copied()
    }

    fn again(&mut self, client: usize) {
        let request = self.last[client].clone();
        self.packet(client, &request);
    }

    fn packet(&mut self, client: usize, packet: &[u8]) {
        let out = self.world.client(self.path(client), packet);
        assert!(out.len() <= 1, "one in, at most one out: {out:?}");
        self.judge(&out);
    }

    fn send(&mut self, client: u8, peer: u8, body: &[u8], attributes: &[Attribute<'_>]) {
        let (id, token, mut out) = (self.world.transaction(), self.token(), Vec::new());
        let mut writer = Writer::new(&mut out, Method::SEND, Class::Indication, &id);
        writer.xor_address(a::XOR_PEER_ADDRESS, addr(PEERS[usize::from(peer) % PEERS.len()]));
        writer.attribute(a::DATA, body);
        put(&mut writer, attributes, token);
        self.packet(usize::from(client) % CLIENTS, &out);
    }

    /// A token that stands for a reservation, if there is one.
    fn token(&self) -> [u8; 8] {
        self.world.deposits.keys().min().copied().unwrap_or_default()
    }

    fn request(&mut self, client: usize, method: Asked, with: Proof, attributes: &[Attribute<'_>]) -> Vec<u8> {
        let method = match method {
            Asked::Binding => Method::BINDING,
            Asked::Allocate => Method::ALLOCATE,
            Asked::Refresh => Method::REFRESH,
            Asked::CreatePermission => Method::CREATE_PERMISSION,
            Asked::ChannelBind => Method::CHANNEL_BIND,
            Asked::Other(number) => Method(number & 0xFFF),
        };
        let (id, token, mut out) = (self.world.transaction(), self.token(), Vec::new());
        let mut writer = Writer::new(&mut out, method, Class::Request, &id);
        put(&mut writer, attributes, token);
        if let Some(client) = self.claims(client, with) {
            client.protect(&mut writer);
        }
        out
    }

    /// Who the client says it is.
    fn claims(&self, client: usize, with: Proof) -> Option<Client> {
        let client = self.clients[client].clone();
        let (kind, claims) = match with {
            Proof::None => return None,
            Proof::Right(kind) => (kind, client),
            Proof::WrongPassword(kind) => (kind, Client { password: "guess".to_owned(), ..client }),
            Proof::OtherUser(kind) if client.user == "bob" => {
                (kind, Client { user: "alice".to_owned(), password: "secret".to_owned(), ..client })
            }
            Proof::OtherUser(kind) => {
                (kind, Client { user: "bob".to_owned(), password: "hunter2".to_owned(), ..client })
            }
            Proof::OtherNonce(kind) => (kind, Client { nonce: self.clients[1].nonce.clone(), ..client }),
        };
        Some(claims.with(match kind {
            Kind::Md5 => Style::Md5,
            Kind::Sha256 => Style::Sha256,
            Kind::Anonymous => Style::Anonymous,
            Kind::Sha256KeySha1Mac => Style::Sha256KeySha1Mac,
            Kind::Md5KeySha256Mac => Style::Md5KeySha256Mac,
        }))
    }

    /// What came out is well formed, and goes to somebody who may have it. A new nonce is taken up.
    fn judge(&mut self, out: &[Out]) {
        for one in out {
            match one {
                Out::Client(path, bytes) => self.judge_message(path, bytes),
                Out::Peer(relay, peer, ..) => {
                    let from = self.world.sockets.get(relay).expect("data leaves from an open socket");
                    assert_eq!(from.is_ipv4(), peer.is_ipv4(), "of the peer's family");
                    assert!(peer.port() != 0 && !peer.ip().is_loopback(), "to a peer that is allowed");
                }
                Out::Drop(_) => {}
            }
        }
    }

    fn judge_message(&mut self, path: &Path, bytes: &[u8]) {
        if matches!(bytes.first(), Some(0x40..=0x7F)) {
            let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
            let pad = if path.transport.is_stream() { len.wrapping_neg() & 3 } else { 0 };
            assert_eq!(bytes.len(), 4 + len + pad);
            assert!(bytes[4 + len..].iter().all(|byte| *byte == 0));
            return;
        }
        let Ok(message) = Message::parse_any(bytes) else { panic!("what is sent can be read: {bytes:02x?}") };
        assert!(matches!(message.class(), Class::Success | Class::Error) || message.method() == Method::DATA);
        if !message.has_cookie() {
            return;
        }
        let answer = Answer { bytes: bytes.to_vec() };
        if let Some(nonce) = answer.get(a::NONCE) {
            assert!(answer.is_bare() && matches!(answer.code(), Some(401 | 438)));
            assert!(answer.get(a::REALM).is_some() && answer.get(a::PASSWORD_ALGORITHMS).is_some());
            for client in self.clients.iter_mut().filter(|client| client.path == *path) {
                client.nonce.clone_from(&nonce);
            }
        }
        for (code, value) in message.attributes() {
            if matches!(code, a::XOR_MAPPED_ADDRESS | a::XOR_PEER_ADDRESS | a::XOR_RELAYED_ADDRESS) {
                assert!(address::decode_xor(value, &message.transaction()).is_some());
            }
        }
    }

    /// Streams close and time runs out: nothing may be left.
    fn end(mut self) {
        for client in 0..CLIENTS {
            let path = self.path(client);
            if path.transport != Transport::Udp {
                self.world.event(Event::Closed { path });
            }
        }
        // The longest lifetime, a rest of the second in which it ends, and what a first look finds.
        for seconds in [3601, 1, 1] {
            self.sleep(seconds);
        }
        let world = &self.world;
        assert_eq!((world.server.allocations(), world.server.relays()), (0, 0), "every allocation has ended");
        assert!(world.sockets.is_empty() && world.deposits.is_empty(), "every socket is closed");
        assert!(world.routes.is_empty(), "no fast path is left");
        assert_eq!(world.ledger.total(), 0, "nobody is charged");
    }
}

/// Writes attributes, as long as the message fits its length field.
fn put(writer: &mut Writer<'_>, attributes: &[Attribute<'_>], token: [u8; 8]) {
    for attribute in attributes.iter().take(32) {
        match attribute {
            Attribute::Udp => writer.attribute(a::REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
            Attribute::Transport(protocol) => writer.attribute(a::REQUESTED_TRANSPORT, &[*protocol, 0, 0, 0]),
            Attribute::Lifetime(seconds) => writer.number(a::LIFETIME, *seconds),
            Attribute::Family(family) => writer.attribute(a::REQUESTED_ADDRESS_FAMILY, &[family % 4, 0, 0, 0]),
            Attribute::Additional(family) => writer.attribute(a::ADDITIONAL_ADDRESS_FAMILY, &[family % 4, 0, 0, 0]),
            Attribute::EvenPort(bits) => writer.attribute(a::EVEN_PORT, &[*bits]),
            Attribute::Token(token) => writer.attribute(a::RESERVATION_TOKEN, token),
            Attribute::KnownToken => writer.attribute(a::RESERVATION_TOKEN, &token),
            Attribute::Channel(number) => writer.number(a::CHANNEL_NUMBER, u32::from(number.value()) << 16),
            Attribute::Peer(peer) => {
                writer.xor_address(a::XOR_PEER_ADDRESS, addr(PEERS[usize::from(*peer) % PEERS.len()]))
            }
            Attribute::Other(bytes) => writer.attribute(a::XOR_PEER_ADDRESS, bytes),
            Attribute::DontFragment => writer.attribute(a::DONT_FRAGMENT, &[]),
            Attribute::Fingerprint => writer.fingerprint(),
            Attribute::Any(code, value) => writer.attribute(*code, &value[..value.len().min(1000)]),
        };
    }
}
