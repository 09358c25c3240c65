//! The core alone: packets, events and time in; what came of them out. No sockets, no waiting.

use hairpin::auth::key::{Algorithm, Key, user_hash};
use hairpin::auth::nonce::{BitOrder, Features, Nonces};
use hairpin::auth::peers::{Policy, Rules};
use hairpin::auth::{Credentials, Secret};
use hairpin::turn::limits::Ledger;
use hairpin::turn::{
    Action, Addresses, Claim, ConnectionId, Event, Icmp, Now, OpenError, Options, Path, Protocol, Reason, RelayId,
    Server, Setup, Time, Token, Transport, Verdict,
};
use hairpin::wire::address::{self, Family};
use hairpin::wire::{Class, Message, Method, Writer, attribute, channel};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// More 5-tuples than any test looks at.
const MANY: usize = 16;

pub const REALM: &str = "example.org";
pub const SERVER: &str = "203.0.113.5:3478";
pub const SERVER6: &str = "[2001:4860:1::5]:3478";
pub const ALICE: &str = "192.0.2.1:40000";
pub const PEER: &str = "198.18.5.9:5000";

/// A socket address from text.
pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The path of a UDP client to the IPv4 listener.
pub fn udp(client: &str) -> Path {
    let client = addr(client);
    let server = addr(if client.is_ipv4() { SERVER } else { SERVER6 });
    Path { client, server, transport: Transport::Udp, link: 0 }
}

/// The path of a TCP client; `link` is its connection.
pub fn tcp(client: &str, link: u32) -> Path {
    Path { transport: Transport::Tcp, link, ..udp(client) }
}

/// The path of a DTLS client; `link` is its session.
pub fn dtls(client: &str, link: u32) -> Path {
    Path { transport: Transport::Dtls, link, ..udp(client) }
}

/// What came out of the core for one input, besides the actions that the harness carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A message to a client: an answer, or one that came later.
    Client(Path, Vec<u8>),
    /// A payload to a peer, and whether DF must be set.
    Peer(RelayId, SocketAddr, Vec<u8>, bool),
    /// Dropped.
    Drop(Reason),
}

/// A core with a world around it that the test turns by hand.
pub struct World {
    pub server: Server,
    /// What the server is made of, to make another.
    pub setup: Setup,
    pub now: Now,
    pub ledger: Ledger,
    /// Open relay sockets and where they are bound.
    pub sockets: BTreeMap<RelayId, SocketAddr>,
    pub deposits: HashMap<Token, (hairpin::auth::Owner, SocketAddr)>,
    /// Addresses that somebody else has.
    pub taken: HashSet<SocketAddr>,
    /// No socket can be opened at all.
    pub exhausted: bool,
    /// Routes that a fast path knows.
    pub routes: HashSet<hairpin::turn::Route>,
    /// Permissions that it knows.
    pub permissions: HashSet<hairpin::turn::Permission>,
    /// What clients may claim from other 5-tuples.
    pub claims: HashSet<Claim>,
    /// The first 5-tuples that allocations have left.
    pub left: Vec<Path>,
    /// Where the last allocation that moved is.
    pub followed: Option<Path>,
    /// What each relay was opened for.
    pub protocols: HashMap<RelayId, Protocol>,
    /// Connections to peers.
    pub connections: HashMap<ConnectionId, SocketAddr>,
    /// Those that are bound: to which 5-tuple, and how fast they may be.
    pub bound: HashMap<ConnectionId, (Path, u64)>,
    serial: u64,
}

/// Builds a [`World`].
pub struct Build {
    pub options: Options,
    pub rules: Rules,
    pub credentials: Credentials,
    /// Other realms.
    pub realms: Vec<hairpin::turn::realm::Realm>,
    pub nonce_lifetime: Duration,
    pub order: BitOrder,
}

impl Default for Build {
    /// IPv4 and IPv6 relays; users alice:secret and bob:hunter2; the secret "north"; peers in 198.18.0.0/15
    /// and documentation ranges are allowed, as tests have no others.
    fn default() -> Self {
        let mut credentials = Credentials::new(REALM, [7; 32]);
        credentials.add_user("alice", &Secret::Password("secret".to_owned())).unwrap();
        credentials.add_user("bob", &Secret::Password("hunter2".to_owned())).unwrap();
        credentials.add_secret("north");
        let local = vec![addr(SERVER).ip(), addr(SERVER6).ip()];
        let open = ["198.18.0.0/15", "198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24", "2001:db8::/32"];
        Self {
            options: Options {
                addresses: Addresses { local: local.clone(), ..Addresses::default() },
                ..Options::default()
            },
            rules: Rules {
                allow: open.iter().map(|r| r.parse().unwrap()).collect(),
                own_listeners: vec![addr(SERVER), addr(SERVER6)],
                relays: local,
                relay_ports: Some(49152..=65535),
                ..Rules::default()
            },
            credentials,
            realms: Vec::new(),
            nonce_lifetime: Duration::from_secs(600),
            order: BitOrder::Both,
        }
    }
}

impl Build {
    pub fn build(self) -> World {
        let features =
            Features { password_algorithms: self.options.algorithms.clone(), anonymity: true, order: self.order };
        let nonces = Nonces::new([9; 32], REALM, self.nonce_lifetime, &features);
        let ledger = Ledger::new(self.options.quotas);
        let setup = Setup {
            options: Arc::new(self.options),
            credentials: Arc::new(self.credentials),
            nonces: Arc::new(nonces),
            policy: Arc::new(Policy::new(&self.rules)),
            realms: self.realms.into(),
            tickets: Arc::new(hairpin::turn::ticket::Tickets::new([11; 32])),
        };
        let now = Now { time: Time(1_000_000), wall: 1_700_000_000 };
        World {
            server: Server::new(setup.clone(), [3; 32], now),
            setup,
            now,
            ledger,
            sockets: BTreeMap::new(),
            deposits: HashMap::new(),
            taken: HashSet::new(),
            exhausted: false,
            routes: HashSet::new(),
            permissions: HashSet::new(),
            claims: HashSet::new(),
            left: Vec::new(),
            followed: None,
            protocols: HashMap::new(),
            connections: HashMap::new(),
            bound: HashMap::new(),
            serial: 0,
        }
    }
}

/// The default world.
pub fn world() -> World {
    Build::default().build()
}

/// A world with other options.
pub fn world_with(change: impl FnOnce(&mut Options)) -> World {
    let mut build = Build::default();
    change(&mut build.options);
    build.build()
}

impl World {
    /// Turns the clocks and lets the core end what has ended, second by second as a worker would.
    pub fn pass(&mut self, span: Duration) -> Vec<Out> {
        let end = self.now.time.after(span);
        let mut out = Vec::new();
        while self.now.time < end {
            let step = self.now.time.until(end).min(Duration::from_millis(250));
            self.now.time = self.now.time.after(step);
            self.now.wall = 1_700_000_000 + (self.now.time.0 - 1_000_000) / 1000;
            if self.server.poll_timeout().is_some_and(|due| due <= self.now.time) {
                self.server.handle_timeout(self.now);
                out.extend(self.drain());
            }
        }
        out
    }

    /// Turns the clocks by whole seconds.
    pub fn seconds(&mut self, seconds: u64) -> Vec<Out> {
        self.pass(Duration::from_secs(seconds))
    }

    /// A client sends a datagram or a frame. Everything that comes out, in order.
    pub fn client(&mut self, path: Path, packet: &[u8]) -> Vec<Out> {
        let mut reply = vec![0xA5; 3];
        let verdict = match self.server.handle_client(self.now, path, packet, &mut reply) {
            Verdict::Elsewhere(claim) => {
                assert!(!self.claims.contains(&claim), "it is here");
                self.server.handle_stray(self.now, path, packet, &mut reply)
            }
            verdict => verdict,
        };
        let first = outcome(path, verdict, &reply[3..]);
        let mut out: Vec<Out> = first.into_iter().collect();
        out.extend(self.drain());
        out
    }

    /// A peer sends a datagram to a relayed address (as the client was told it, or as it is bound).
    pub fn peer(&mut self, from: &str, to: SocketAddr, body: &[u8]) -> Vec<Out> {
        let Some(relay) = self.relay_at(to) else { return Vec::new() };
        let verdict = self.server.handle_peer(self.now, relay, addr(from), body);
        let first = outcome(udp(ALICE), verdict, &[]);
        let mut out: Vec<Out> = first.into_iter().collect();
        out.extend(self.drain());
        out
    }

    /// The socket at an address; a public address stands for any with its port.
    pub fn relay_at(&self, to: SocketAddr) -> Option<RelayId> {
        let exact = self.sockets.iter().find(|(_, at)| **at == to);
        let by_port = || self.sockets.iter().find(|(_, at)| at.port() == to.port() && at.is_ipv4() == to.is_ipv4());
        exact.or_else(by_port).map(|(id, _)| *id)
    }

    /// The world tells something.
    pub fn event(&mut self, event: Event) -> Vec<Out> {
        self.server.handle_event(self.now, event);
        self.drain()
    }

    /// An ICMP error comes back for a datagram from this relayed address.
    pub fn icmp(&mut self, relayed: SocketAddr, peer: &str, kind: u8, code: u8, mtu: u32) -> Vec<Out> {
        let relay = self.relay_at(relayed).unwrap();
        self.event(Event::Icmp { relay, peer: addr(peer), icmp: Icmp { kind, code, mtu } })
    }

    /// Carries out what the core asks for, as a worker does.
    fn drain(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        while let Some(action) = self.server.poll() {
            match action {
                Action::Charge { ticket, owner, source } => {
                    let granted = self.ledger.charge(&owner, source);
                    self.server.handle_event(self.now, Event::Charged { ticket, granted });
                }
                Action::Release { owner, source } => self.ledger.release(&owner, source),
                Action::OpenRelay { ticket, relay, addr, protocol } => {
                    let result = self.open(relay, addr);
                    self.protocols.insert(relay, protocol);
                    self.server.handle_event(self.now, Event::RelayOpened { ticket, result });
                }
                Action::CloseRelay { relay } => {
                    assert!(self.sockets.remove(&relay).is_some(), "a socket is closed once");
                }
                Action::Deposit { relay, token, owner } => {
                    let at = self.sockets.remove(&relay).expect("what is deposited was open");
                    self.deposits.insert(token, (owner, at));
                }
                Action::Withdraw { ticket, relay, token, owner } => {
                    let mine = self.deposits.get(&token).is_some_and(|(of, _)| *of == owner);
                    let addr = mine.then(|| self.deposits.remove(&token).unwrap().1);
                    if let Some(at) = addr {
                        self.sockets.insert(relay, at);
                    }
                    self.server.handle_event(self.now, Event::Withdrawn { ticket, addr });
                }
                Action::Forget { token } => drop(self.deposits.remove(&token)),
                Action::Send { path, message } | Action::SendFrom { path, message } => {
                    out.push(Out::Client(path, message))
                }
                Action::Tell(_) => {}
                Action::AddClaim { claim } => assert!(self.claims.insert(claim), "what is claimed is here once"),
                Action::RemoveClaim { claim } => assert!(self.claims.remove(&claim), "it was here"),
                Action::Connect { connection, relay, to } => {
                    assert!(self.sockets.contains_key(&relay), "it comes from a relay");
                    assert!(self.connections.insert(connection, to).is_none(), "a number is of one connection");
                }
                Action::CloseConnection { connection } => {
                    assert!(self.connections.remove(&connection).is_some(), "a connection is closed once");
                    self.bound.remove(&connection);
                }
                Action::Bind { connection, path } => {
                    assert!(self.connections.contains_key(&connection), "the peer is there");
                    assert!(self.bound.insert(connection, (path, 0)).is_none(), "a connection is bound once");
                }
                Action::Pace { connection, rate } => {
                    if let Some((_, paced)) = self.bound.get_mut(&connection) {
                        *paced = rate;
                    }
                }
                Action::Follow { path } => self.followed = Some(path),
                Action::Leave { path } => {
                    assert!(!self.server.has_allocation(&path), "a 5-tuple is left once it is free");
                    if self.left.len() < MANY {
                        self.left.push(path);
                    }
                }
                Action::AddRoute(route) => assert!(self.routes.insert(route), "a route is added once"),
                Action::AddPermission(new) => assert!(self.permissions.insert(new), "a permission is added once"),
                Action::RemovePermission(old) => assert!(self.permissions.remove(&old), "a known one is removed"),
                Action::RemoveRoute(route) => assert!(self.routes.remove(&route), "a known route is removed"),
            }
        }
        out
    }

    fn open(&mut self, relay: RelayId, at: SocketAddr) -> Result<(), OpenError> {
        let bound = self.sockets.values().chain(self.deposits.values().map(|(_, at)| at)).any(|a| *a == at);
        if self.exhausted {
            return Err(OpenError::Exhausted);
        }
        if bound || self.taken.contains(&at) {
            return Err(OpenError::InUse);
        }
        assert!(self.sockets.insert(relay, at).is_none(), "a place is free when a socket is opened there");
        Ok(())
    }

    /// A fresh transaction id.
    pub fn transaction(&mut self) -> [u8; 12] {
        self.serial += 1;
        let mut id = [0x42; 12];
        id[4..].copy_from_slice(&self.serial.to_be_bytes());
        id
    }

    /// Sends a request and returns the answer to it; there must be exactly one output, a message.
    pub fn ask(&mut self, path: Path, request: &[u8]) -> Answer {
        let mut out = self.client(path, request);
        assert_eq!(out.len(), 1, "one answer to one request: {out:?}");
        let Out::Client(to, bytes) = out.remove(0) else { panic!("an answer, not {out:?}") };
        assert_eq!(to, path, "the answer goes where the request came from");
        let answer = Answer { bytes };
        assert_eq!(answer.message().transaction(), request[8..20], "the answer echoes the transaction id");
        answer
    }

    /// The client asks without credentials and learns realm and nonce.
    pub fn login(&mut self, path: Path, user: &str, password: &str) -> Client {
        self.login_from(path, None, user, password)
    }

    /// The same, with this ORIGIN.
    pub fn login_from(&mut self, path: Path, origin: Option<&str>, user: &str, password: &str) -> Client {
        let id = self.transaction();
        let mut bare = Vec::new();
        let mut writer = Writer::new(&mut bare, Method::ALLOCATE, Class::Request, &id);
        writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        if let Some(origin) = origin {
            writer.attribute(attribute::ORIGIN, origin.as_bytes());
        }
        let challenge = self.ask(path, &bare);
        assert_eq!(challenge.code(), Some(401));
        let nonce = challenge.get(attribute::NONCE).unwrap();
        let realm = String::from_utf8(challenge.get(attribute::REALM).unwrap()).unwrap();
        Client { path, user: user.to_owned(), password: password.to_owned(), realm, nonce, style: Style::Md5 }
    }

    /// Alice on her usual address, logged in.
    pub fn alice(&mut self) -> Client {
        self.login(udp(ALICE), "alice", "secret")
    }

    /// Makes an allocation; returns the relayed address.
    pub fn allocate(&mut self, client: &Client) -> SocketAddr {
        let answer = client.request(self, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        });
        assert_eq!(answer.code(), None, "Allocate succeeds");
        answer.xor(attribute::XOR_RELAYED_ADDRESS)[0]
    }
}

/// What a verdict means to the outside.
fn outcome(path: Path, verdict: Verdict<'_>, reply: &[u8]) -> Option<Out> {
    match verdict {
        Verdict::Done => None,
        Verdict::Elsewhere(_) => panic!("no other server was asked"),
        Verdict::Drop(reason) => Some(Out::Drop(reason)),
        Verdict::Reply => Some(Out::Client(path, reply.to_vec())),
        Verdict::ToPeer { relay, peer, body, dont_fragment } => {
            Some(Out::Peer(relay, peer, body.to_vec(), dont_fragment))
        }
        Verdict::ToClient { path, head, body } => {
            let pad = vec![0; head.pad()];
            Some(Out::Client(path, [head.as_bytes(), body, &pad].concat()))
        }
    }
}

/// How a client protects its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// RFC 5389: MD5 key, MESSAGE-INTEGRITY.
    Md5,
    /// RFC 8489: PASSWORD-ALGORITHMS, SHA-256 key, MESSAGE-INTEGRITY-SHA256.
    Sha256,
    /// The same, with USERHASH for USERNAME.
    Anonymous,
    /// Both password attributes, SHA-256 key, but MESSAGE-INTEGRITY.
    Sha256KeySha1Mac,
    /// No password attributes, MD5 key, but MESSAGE-INTEGRITY-SHA256.
    Md5KeySha256Mac,
}

/// A client that knows its credentials.
#[derive(Clone, Debug)]
pub struct Client {
    pub path: Path,
    pub user: String,
    pub password: String,
    pub realm: String,
    pub nonce: Vec<u8>,
    pub style: Style,
}

impl Client {
    /// Another way to protect requests.
    pub fn with(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The same client on another 5-tuple. (A nonce is bound to the address: log in again to use it.)
    pub fn key(&self) -> Key {
        let algorithm = match self.style {
            Style::Md5 | Style::Md5KeySha256Mac => Algorithm::Md5,
            Style::Sha256 | Style::Anonymous | Style::Sha256KeySha1Mac => Algorithm::Sha256,
        };
        Key::long_term(algorithm, &self.user, &self.realm, &self.password).unwrap()
    }

    /// A request with credentials; `fill` adds the attributes of the method, which stand first.
    pub fn message(&self, id: &[u8; 12], method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, method, Class::Request, id);
        fill(&mut writer);
        self.protect(&mut writer);
        out
    }

    /// Appends credentials and integrity.
    pub fn protect(&self, writer: &mut Writer<'_>) {
        match self.style {
            Style::Anonymous => writer.attribute(attribute::USERHASH, &user_hash(&self.user, &self.realm)),
            _ => writer.attribute(attribute::USERNAME, self.user.as_bytes()),
        };
        writer.attribute(attribute::REALM, self.realm.as_bytes()).attribute(attribute::NONCE, &self.nonce);
        if !matches!(self.style, Style::Md5 | Style::Md5KeySha256Mac) {
            writer.attribute(attribute::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
            writer.attribute(attribute::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
        }
        match self.style {
            Style::Md5 | Style::Sha256KeySha1Mac => writer.sha1(self.key().as_bytes()),
            _ => writer.sha256(self.key().as_bytes()),
        };
    }

    /// Sends a request with credentials and returns the answer.
    pub fn request(&self, world: &mut World, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Answer {
        let id = world.transaction();
        let request = self.message(&id, method, fill);
        world.ask(self.path, &request)
    }

    /// CreatePermission for these peers.
    pub fn permit(&self, world: &mut World, peers: &[&str]) -> Answer {
        self.request(world, Method::CREATE_PERMISSION, |w| {
            for peer in peers {
                w.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
            }
        })
    }

    /// ChannelBind.
    pub fn bind(&self, world: &mut World, number: u16, peer: &str) -> Answer {
        self.request(world, Method::CHANNEL_BIND, |w| {
            w.attribute(attribute::CHANNEL_NUMBER, &[(number >> 8) as u8, number as u8, 0, 0]);
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer));
        })
    }

    /// Refresh with or without LIFETIME.
    pub fn refresh(&self, world: &mut World, lifetime: Option<u32>) -> Answer {
        self.request(world, Method::REFRESH, |w| {
            if let Some(lifetime) = lifetime {
                w.number(attribute::LIFETIME, lifetime);
            }
        })
    }

    /// Sends ChannelData; returns what comes out.
    pub fn channel_data(&self, world: &mut World, number: u16, body: &[u8]) -> Vec<Out> {
        let packet = [&channel::header(number, body.len())[..], body].concat();
        world.client(self.path, &packet)
    }

    /// Sends a Send indication; returns what comes out.
    pub fn send(&self, world: &mut World, peer: &str, body: &[u8]) -> Vec<Out> {
        let id = world.transaction();
        let mut out = Vec::new();
        Writer::new(&mut out, Method::SEND, Class::Indication, &id)
            .xor_address(attribute::XOR_PEER_ADDRESS, addr(peer))
            .attribute(attribute::DATA, body);
        world.client(self.path, &out)
    }
}

/// A STUN message from the server.
#[derive(Clone, Debug)]
pub struct Answer {
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("the server writes what it can read")
    }

    /// The error code; none for success.
    pub fn code(&self) -> Option<u16> {
        let message = self.message();
        match message.class() {
            Class::Success => None,
            Class::Error => {
                let value = self.get(attribute::ERROR_CODE).expect("an error has a code");
                assert_eq!(value[..2], [0, 0], "reserved bits are zero");
                Some(u16::from(value[2]) * 100 + u16::from(value[3]))
            }
            other => panic!("{other:?} is no answer"),
        }
    }

    /// An attribute's value.
    pub fn get(&self, code: u16) -> Option<Vec<u8>> {
        self.message().attribute(code).map(<[u8]>::to_vec)
    }

    /// Every XOR address with this code.
    pub fn xor(&self, code: u16) -> Vec<SocketAddr> {
        let message = self.message();
        let id = message.transaction();
        let values = message.attributes().filter(|(c, _)| *c == code);
        values.map(|(_, value)| address::decode_xor(value, &id).unwrap()).collect()
    }

    /// LIFETIME.
    pub fn lifetime(&self) -> Option<u32> {
        self.get(attribute::LIFETIME).map(|v| u32::from_be_bytes(v.try_into().unwrap()))
    }

    /// It carries the right MESSAGE-INTEGRITY of this key, and no other integrity.
    pub fn is_protected_by_sha1(&self, key: &Key) -> bool {
        let message = self.message();
        let right = |(at, value)| hairpin::wire::integrity::check_sha1(message.bytes(), at, value, key.as_bytes());
        message.sha256().is_none() && message.sha1().is_some_and(right)
    }

    /// It carries the right MESSAGE-INTEGRITY-SHA256 of this key, and no other integrity.
    pub fn is_protected_by_sha256(&self, key: &Key) -> bool {
        let message = self.message();
        let right = |(at, value)| hairpin::wire::integrity::check_sha256(message.bytes(), at, value, key.as_bytes());
        message.sha1().is_none() && message.sha256().is_some_and(right)
    }

    /// It carries no integrity at all.
    pub fn is_bare(&self) -> bool {
        self.message().sha1().is_none() && self.message().sha256().is_none()
    }
}

/// The one message to a client among these outputs.
pub fn to_client(out: &[Out]) -> &[u8] {
    match out {
        [Out::Client(_, bytes)] => bytes,
        other => panic!("one message to a client, not {other:?}"),
    }
}

/// The one payload to a peer among these outputs.
pub fn to_peer(out: &[Out]) -> (SocketAddr, &[u8]) {
    match out {
        [Out::Peer(_, peer, body, _)] => (*peer, body),
        other => panic!("one payload to a peer, not {other:?}"),
    }
}

/// The packet was dropped for this reason and nothing else came out.
pub fn dropped(out: &[Out]) -> Reason {
    match out {
        [Out::Drop(reason)] => *reason,
        other => panic!("one drop, not {other:?}"),
    }
}

/// The family of an address, for attributes that name one.
pub fn family(ip: IpAddr) -> u8 {
    Family::of(ip) as u8
}
