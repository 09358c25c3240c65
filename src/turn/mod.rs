//! DECISIONS: packets, events and time in; packets and actions out.
//!
//! [`Server`] is one worker's TURN server. It owns no socket, reads no clock and takes no lock, so a test
//! can turn ten minutes by hand and a restart can carry its state across. The rule of its use: feed one
//! input, act on the verdict, drain [`Server::poll`], then feed the next.
//!
//! Read [`types`] for the vocabulary and [`exchange`] for what goes in and out, then this file, `proof` (who sent a
//! request), then the file of the RFC section that you are after: `binding`, `allocate`, `refresh`, `permission`, `channel`, `relay`.

mod allocate;
mod binding;
mod channel;
mod connect;
pub mod discovery;
pub mod exchange;
mod expire;
mod lease;
pub mod limits;
mod migrant;
mod mobility;
mod opening;
mod options;
mod permission;
mod ports;
mod proof;
mod random;
pub mod realm;
pub mod redirect;
mod refresh;
mod relay;
pub mod reply;
mod request;
mod session;
mod small;
mod table;
pub mod ticket;
mod timers;
pub mod types;

pub use exchange::{Action, Claim, Event, Icmp, Notice, OpenError, Permission, Route, Ticket, Verdict};
pub use migrant::Migrant;
pub use options::{Addresses, DefaultFamily, Options};
pub use session::{Count, Page, Session, SessionId, Whom};
pub(crate) use timers::Timers;
pub use types::{ConnectionId, Counters, Head, Now, Owner, Path, Protocol, Reason, RelayId, Time, Token, Transport};

use crate::auth::Credentials;
use crate::auth::check::algorithm_list;
use crate::auth::key::Key;
use crate::auth::nonce::Nonces;
use crate::auth::peers::Policy;
use crate::auth::token::Tokens;
use crate::wire::{Class, Kind, Message, Method};
use connect::PeerConnection;
use limits::Sources;
use opening::Opening;
use ports::Ports;
use random::Random;
use realm::{Domain, Realm, RealmId};
use redirect::Turns;
use relay::{TO_CLIENT, TO_PEER};
use reply::{Answer, Challenge, Refusal};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use table::{Id, Table};
use ticket::Tickets;

/// What a server is made of, shared by all workers.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Choices and limits.
    pub options: Arc<Options>,
    /// Who is known in the default realm.
    pub credentials: Arc<Credentials>,
    /// Makes and judges nonces of the default realm.
    pub nonces: Arc<Nonces>,
    /// Which peers may be reached from the default realm.
    pub policy: Arc<Policy>,
    /// Seals mobility tickets.
    pub tickets: Arc<Tickets>,
    /// The other realms.
    pub realms: Arc<[Realm]>,
}

/// A TURN server: every decision of one worker.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    /// The realms, the default one first.
    domains: Vec<Domain>,
    /// The realms of connections and sessions whose clients have named a server of one.
    named: HashMap<Path, RealmId>,
    algorithms: Vec<u8>,
    table: Table,
    openings: Slab<Opening>,
    /// Connections to peers (RFC 6062), by their numbers.
    connections: HashMap<ConnectionId, PeerConnection, foldhash::quality::RandomState>,
    deposits: HashMap<Token, SocketAddr>,
    ports: Ports,
    timers: Timers<Due>,
    sources: Sources,
    random: Random,
    turns: Turns,
    /// No other server is to be asked.
    alone: bool,
    /// Of the last mobility ticket.
    sequence: u64,
    actions: VecDeque<Action>,
    counters: Counters,
    keys: Vec<Key>,
    due: Vec<Due>,
    scratch: Vec<u8>,
}

/// The largest request of somebody without an allocation: room for the longest name, realm and nonce.
const STRANGERS: usize = 2048;

/// What a timer is about.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// Something of this allocation ends; the time tells an old entry from the one that counts.
    Allocation(Id, Time),
    /// A reservation ends.
    Token(Token),
    /// A connection to a peer has taken too long.
    Connection(ConnectionId, Time),
}

/// What becomes of a request that is not refused.
enum Outcome {
    /// The answer stands in the reply buffer.
    Replied,
    /// The answer comes as an action.
    Later,
    /// There is none.
    Silent(Reason),
    /// Whoever has what this is about is to answer.
    Elsewhere(Claim),
}

impl Server {
    /// A server without allocations. The seed is for ports, tokens and transaction ids: 32 secret bytes,
    /// others for each worker.
    #[must_use]
    pub fn new(setup: Setup, seed: [u8; 32], now: Now) -> Self {
        let options = &setup.options;
        let mut random = Random::new(seed);
        Self {
            alone: false,
            domains: Domain::all(&setup),
            named: HashMap::new(),
            sequence: u64::from_ne_bytes(random.bytes()),
            algorithms: algorithm_list(&options.algorithms),
            table: Table::default(),
            openings: Slab::new(),
            connections: HashMap::default(),
            deposits: HashMap::new(),
            ports: Ports::new(options.ports.clone()),
            timers: Timers::new(now.time),
            sources: Sources::new(options.unauthenticated),
            random,
            turns: Turns::default(),
            actions: VecDeque::new(),
            counters: Counters::default(),
            keys: Vec::new(),
            due: Vec::new(),
            scratch: Vec::new(),
            setup,
        }
    }

    /// Takes a datagram or a frame of a client. An answer is appended to `reply`.
    pub fn handle_client<'p>(&mut self, now: Now, path: Path, packet: &'p [u8], reply: &mut Vec<u8>) -> Verdict<'p> {
        let verdict = match packet.first().map(|first| Kind::of(*first)) {
            Some(Kind::Channel) => self.channel_data(now.time, path, packet),
            Some(Kind::LegacyChannel) if self.setup.options.legacy_channels => {
                self.channel_data(now.time, path, packet)
            }
            Some(Kind::Stun) => self.stun(now, path, packet, reply),
            _ => Verdict::Drop(Reason::UnknownProtocol),
        };
        self.count(verdict)
    }

    /// Takes a datagram or a frame of which [`Verdict::Elsewhere`] was said, and nobody has that allocation.
    pub fn handle_stray<'p>(&mut self, now: Now, path: Path, packet: &'p [u8], reply: &mut Vec<u8>) -> Verdict<'p> {
        self.alone = true;
        let verdict = self.handle_client(now, path, packet, reply);
        self.alone = false;
        verdict
    }

    /// Takes a datagram that a peer sent to a relay socket.
    pub fn handle_peer<'p>(&mut self, now: Now, relay: RelayId, peer: SocketAddr, packet: &'p [u8]) -> Verdict<'p> {
        let verdict = self.peer_data(now.time, relay, peer, packet);
        self.count(verdict)
    }

    /// Takes news.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Charged { ticket, granted } => self.charged(now.time, ticket, granted),
            Event::RelayOpened { ticket, result } => self.relay_opened(now.time, ticket, result),
            Event::Withdrawn { ticket, addr } => self.withdrawn(now.time, ticket, addr),
            Event::Connected { connection, reached } => self.connected(now.time, connection, reached),
            Event::Disconnected { connection } => self.forget_connection(connection),
            Event::Named { path, name } => self.named(path, &name),
            Event::Closed { path } => self.closed(now.time, &path),
            Event::Disconnect { session } => self.disconnect(now.time, session),
            Event::Icmp { relay, peer, icmp } => self.icmp(now.time, relay, peer, icmp),
        }
    }

    /// Ends what has ended.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.take(now.time, &mut due);
        for what in due.drain(..) {
            match what {
                Due::Allocation(id, at) => self.sweep(now.time, id, at),
                Due::Token(token) => self.forget(now.time, token),
                Due::Connection(number, at) => self.connection_due(number, at),
            }
        }
        self.due = due;
    }

    /// The next action to carry out.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Server::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// A packet was dropped outside the core, after its verdict.
    pub fn count_drop(&mut self, reason: Reason) {
        self.counters.drop(reason);
    }

    /// So many bytes of a connection were passed on outside the core: to the peer, to the client.
    pub fn count_stream(&mut self, connection: ConnectionId, [to_peer, to_client]: [u64; 2]) {
        self.counters.to_peer_bytes += to_peer;
        self.counters.to_client_bytes += to_client;
        if let Some(counts) = self.counts_of(connection) {
            counts[TO_PEER].bytes += to_peer;
            counts[TO_CLIENT].bytes += to_client;
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The client of this path holds an allocation.
    #[must_use]
    pub fn has_allocation(&self, path: &Path) -> bool {
        self.table.at_path(path).is_some()
    }

    /// The client of this path holds an allocation, or is about to.
    #[must_use]
    pub fn is_taken(&self, path: &Path) -> bool {
        self.has_allocation(path) || self.is_opening(path)
    }

    /// How many allocations there are.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// How many allocations clients of each transport have, in the order of [`Transport::ALL`].
    #[must_use]
    pub fn allocations_by_transport(&self) -> [usize; Transport::ALL.len()] {
        self.table.transports()
    }

    /// How many relay sockets are open or being opened.
    #[must_use]
    pub fn relays(&self) -> usize {
        self.table.relays()
    }

    /// Counts what became of a packet.
    fn count<'p>(&mut self, verdict: Verdict<'p>) -> Verdict<'p> {
        let counters = &mut self.counters;
        match &verdict {
            Verdict::Drop(reason) => counters.drop(*reason),
            Verdict::ToPeer { body, .. } => {
                counters.to_peer_packets += 1;
                counters.to_peer_bytes += body.len() as u64;
            }
            Verdict::ToClient { body, .. } => {
                counters.to_client_packets += 1;
                counters.to_client_bytes += body.len() as u64;
            }
            Verdict::Done | Verdict::Reply | Verdict::Elsewhere(_) => {}
        }
        verdict
    }

    /// A STUN message: a request to answer, or a Send indication; nothing else is for a server.
    fn stun<'p>(&mut self, now: Now, path: Path, packet: &'p [u8], reply: &mut Vec<u8>) -> Verdict<'p> {
        let Ok(message) = Message::parse_any(packet) else { return Verdict::Drop(Reason::Malformed) };
        if !message.has_cookie() {
            return self.classic(now, path, &message, reply);
        }
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => self.send(now.time, path, &message),
            (Class::Request, _) if !self.plausible(&path) => Verdict::Drop(Reason::BadSource),
            (Class::Request, _) if packet.len() > STRANGERS && !self.has_allocation(&path) => {
                Verdict::Drop(Reason::Oversize)
            }
            (Class::Request, _) if self.exhausted(now, &path) => Verdict::Drop(Reason::SourceRate),
            (Class::Request, method) => self.request(now, path, method, &message, reply),
            _ => Verdict::Drop(Reason::NotServed),
        }
    }

    /// A request: to the handler of its method, then to its answer.
    fn request<'p>(&mut self, now: Now, path: Path, method: Method, m: &Message<'_>, out: &mut Vec<u8>) -> Verdict<'p> {
        let options = &self.setup.options;
        let served = if method == Method::BINDING { options.stun } else { options.turn };
        if !served {
            return Verdict::Drop(Reason::NotServed);
        }
        let mut answer = Answer::to(m, path, self.realm_of(m, &path));
        let outcome = match method {
            Method::BINDING => self.binding(now, m, &mut answer, out),
            Method::ALLOCATE => self.allocate(now, m, &mut answer, out),
            Method::REFRESH => self.refresh(now, m, &mut answer, out),
            Method::CREATE_PERMISSION => self.create_permission(now, m, &mut answer, out),
            Method::CONNECT => self.connect(now, m, &mut answer),
            Method::CONNECTION_BIND => self.connection_bind(now, m, &mut answer, out),
            Method::CHANNEL_BIND => self.channel_bind(now, m, &mut answer, out),
            _ => Ok(Outcome::Silent(Reason::NotServed)),
        };
        match outcome {
            Ok(Outcome::Replied) => {
                self.counters.successes += 1;
                Verdict::Reply
            }
            Ok(Outcome::Later) => Verdict::Done,
            Ok(Outcome::Silent(reason)) => Verdict::Drop(reason),
            Ok(Outcome::Elsewhere(claim)) => Verdict::Elsewhere(claim),
            Err(refusal) => self.refuse(now, &answer, &refusal, out),
        }
    }

    /// Refuses a request. What proved nothing is answered only within its source's rate.
    fn refuse<'p>(&mut self, now: Now, answer: &Answer, refusal: &Refusal, out: &mut Vec<u8>) -> Verdict<'p> {
        if answer.proof.is_none() && !self.sources.admit(answer.path.client.ip(), now.time) {
            return Verdict::Drop(Reason::SourceRate);
        }
        self.counters.errors += 1;
        let Realm { credentials, nonces, .. } = &self.domain(answer.realm).realm;
        let nonce = refusal.challenges().then(|| nonces.write(now.wall, answer.path.client));
        let challenge = nonce.as_ref().map(|nonce| Challenge {
            realm: credentials.realm(),
            nonce,
            algorithms: &self.algorithms,
            third_party: credentials.tokens().map(Tokens::server),
        });
        answer.refuse(&self.setup.options, out, refusal, challenge);
        Verdict::Reply
    }

    /// A stranger whose source has used up its rate: then nothing is even looked at, for keys cost more than
    /// datagrams.
    fn exhausted(&self, now: Now, path: &Path) -> bool {
        self.sources.exhausted(path.client.ip(), now.time) && !self.has_allocation(path)
    }

    /// A source that a client can have: an answer to any other would hit somebody who did not ask.
    fn plausible(&self, path: &Path) -> bool {
        let ip = path.client.ip();
        let nobody = ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
        path.client.port() != 0 && !nobody && !self.setup.policy.is_own_listener(path.client)
    }
}
