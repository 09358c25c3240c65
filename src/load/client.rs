//! One client: what it asks of the server, and what it learns from the answers.
//!
//! Allocate and ChannelBind (or CreatePermission), later Refresh and ChannelBind again, at last Refresh with a
//! lifetime of zero: each of these is an errand. Where connections are relayed it is Allocate, Connect, ConnectionBind on
//! a connection of its own, and a greeting that the peer sends back. Answers are believed without their integrity being
//! checked.

use super::link::Link;
use super::options::Relayed;
use super::plan::Plan;
use super::trouble::{Trouble, What};
use crate::auth::key::{Algorithm, Key};
use crate::wire::{Class, Message, Method, Writer, address, attribute, channel, value};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The channel of every client: each has an allocation of its own.
pub(super) const CHANNEL: u16 = 0x4000;
/// How long an answer is waited for before a request is sent again.
const RETRANSMIT: Duration = Duration::from_millis(500);
/// How often a request is sent.
const TRIES: u8 = 8;
/// How often a nonce may turn out stale in one errand.
const STALE: u8 = 4;
/// REQUESTED-TRANSPORT: UDP, and TCP.
const UDP: u32 = 17 << 24;
const TCP: u32 = 6 << 24;

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Binding: is anybody there?
    Binding,
    /// Allocate, then [`Request::Admit`] or [`Request::Connect`].
    Allocate,
    /// ChannelBind, or CreatePermission where there are no channels.
    Admit,
    /// Connect to the peer, then [`Request::Bind`].
    Connect,
    /// ConnectionBind, then [`Request::Greet`].
    Bind,
    /// The first bytes to the peer, which sends them back: no request, but an answer is waited for all the same.
    Greet,
    /// Refresh, then [`Request::Admit`] again; a connection needs no permission any more.
    Refresh,
    /// Refresh with a lifetime of zero.
    Delete,
}

impl Request {
    /// What is asked next.
    fn next(self, relayed: Relayed) -> Option<Self> {
        match (self, relayed) {
            (Self::Allocate, Relayed::Tcp) => Some(Self::Connect),
            (Self::Allocate | Self::Refresh, Relayed::Udp) => Some(Self::Admit),
            (Self::Connect, _) => Some(Self::Bind),
            (Self::Bind, _) => Some(Self::Greet),
            _ => None,
        }
    }

    /// It goes by the connection that is to become the peer's.
    fn is_on_data(self) -> bool {
        matches!(self, Self::Bind | Self::Greet)
    }
}

/// A request that waits for its answer.
struct Waiting {
    request: Request,
    id: [u8; 12],
    bytes: Vec<u8>,
    sent: Instant,
    tries: u8,
}

/// What a client knows of the server's authentication.
#[derive(Default)]
struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    key: Option<Key>,
    /// How often this errand was challenged or told that a nonce is stale.
    count: u8,
}

/// A client.
pub(super) struct Client {
    /// How it reaches the server.
    pub link: Link,
    /// Where connections are relayed: that which leads to the peer.
    pub data: Option<Link>,
    /// Where peers send to; none without an allocation that all is well with.
    pub relayed: Option<SocketAddr>,
    /// The server may hold an allocation, so there is something to delete.
    pub allocated: bool,
    /// How the last errand went; none while it is under way.
    pub outcome: Option<Result<(), Trouble>>,
    /// When the errand began.
    pub began: Instant,
    /// The socket's drop counter at the beginning of a step.
    pub drops: u32,
    /// Frames wait to be written.
    pub is_behind: bool,
    /// How often it has taken another socket.
    pub sockets: u8,
    /// Its place, by which the peer knows it.
    number: u32,
    waiting: Option<Waiting>,
    /// The number of a connection to the peer for which there is no way yet.
    connection: Option<u32>,
    challenge: Challenge,
}

impl Client {
    /// A client that has asked nothing yet. Its number is its place.
    pub(super) fn new(link: Link, number: usize) -> Self {
        let (challenge, began) = (Challenge::default(), Instant::now());
        Self {
            link,
            number: number as u32,
            data: None,
            relayed: None,
            allocated: false,
            outcome: Some(Ok(())),
            began,
            drops: 0,
            is_behind: false,
            sockets: 0,
            waiting: None,
            connection: None,
            challenge,
        }
    }

    /// Sets out on an errand.
    pub(super) fn begin(&mut self, request: Request, plan: &Plan, peer: SocketAddr) {
        (self.outcome, self.began, self.challenge.count) = (None, Instant::now(), 0);
        self.ask(request, plan, peer);
    }

    /// Sends a request.
    fn ask(&mut self, request: Request, plan: &Plan, peer: SocketAddr) {
        let id = transaction();
        let bytes = self.write(request, &id, plan, peer);
        self.waiting = Some(Waiting { request, id, bytes, sent: Instant::now(), tries: 0 });
        self.transmit();
    }

    /// Sends the request that waits, for the first time or again.
    fn transmit(&mut self) {
        let Some(waiting) = &mut self.waiting else { return };
        (waiting.sent, waiting.tries) = (Instant::now(), waiting.tries + 1);
        let link = self.data.as_mut().filter(|_| waiting.request.is_on_data()).unwrap_or(&mut self.link);
        if let Err(error) = link.send(&waiting.bytes) {
            self.break_off(&error);
        }
    }

    /// The server has reached the peer, and what leads there is to be opened.
    pub(super) fn wants_data(&self) -> bool {
        self.connection.is_some() && self.data.is_none()
    }

    /// What packets go by.
    pub(super) fn media(&mut self) -> &mut Link {
        self.data.as_mut().unwrap_or(&mut self.link)
    }

    /// The connection that leads to the peer is over.
    pub(super) fn lose_data(&mut self, error: &std::io::Error) {
        self.data = None;
        if self.waiting.as_ref().is_some_and(|waiting| waiting.request.is_on_data()) {
            self.break_off(error);
        }
    }

    /// Writes what the connections did not take before.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        self.link.flush()?;
        self.data.as_mut().map_or(Ok(()), Link::flush)
    }

    /// Goes on with a connection that leads to the peer.
    pub(super) fn bind(&mut self, data: Link, plan: &Plan, peer: SocketAddr) {
        self.data = Some(data);
        self.ask(Request::Bind, plan, peer);
    }

    /// Takes what is no answer: perhaps the peer greets back.
    pub(super) fn hear(&mut self) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.request == Request::Greet) {
            self.end(Ok(()));
        }
    }

    /// Writes a request.
    fn write(&self, request: Request, id: &[u8; 12], plan: &Plan, peer: SocketAddr) -> Vec<u8> {
        if request == Request::Greet {
            let greeting = [self.number.to_be_bytes().as_slice(), &plan.secret].concat();
            return [channel::header(CHANNEL, greeting.len()).as_slice(), &greeting].concat();
        }
        let mut out = Vec::with_capacity(256);
        let indications = plan.options.indications;
        let mut writer = Writer::new(&mut out, method(request, indications), Class::Request, id);
        match request {
            Request::Binding | Request::Refresh | Request::Greet => {}
            Request::Allocate => {
                let protocol = if plan.options.relayed == Relayed::Tcp { TCP } else { UDP };
                writer.number(attribute::REQUESTED_TRANSPORT, protocol);
                if let Some(family) = plan.family() {
                    writer.number(attribute::REQUESTED_ADDRESS_FAMILY, (family as u32) << 24);
                }
            }
            Request::Admit => {
                if !indications {
                    writer.number(attribute::CHANNEL_NUMBER, u32::from(CHANNEL) << 16);
                }
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
            }
            Request::Connect => {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
            }
            Request::Bind => {
                writer.number(attribute::CONNECTION_ID, self.connection.unwrap_or_default());
            }
            Request::Delete => {
                writer.number(attribute::LIFETIME, 0);
            }
        }
        if let Some(key) = self.challenge.key.as_ref().filter(|_| request != Request::Binding) {
            writer.attribute(attribute::USERNAME, plan.user.0.as_bytes());
            writer.attribute(attribute::REALM, &self.challenge.realm);
            writer.attribute(attribute::NONCE, &self.challenge.nonce);
            writer.sha1(key.as_bytes());
        }
        out
    }

    /// Takes a message; if it is the answer, the errand goes on.
    pub(super) fn handle(&mut self, bytes: &[u8], plan: &Plan, peer: SocketAddr) {
        let (Some(waiting), Ok(message)) = (&self.waiting, Message::parse(bytes)) else { return };
        let request = waiting.request;
        if message.transaction() != waiting.id {
            return;
        }
        match message.class() {
            Class::Success => self.succeed(request, &message, plan, peer),
            Class::Error => self.refuse(request, &message, plan, peer),
            Class::Request | Class::Indication => {}
        }
    }

    /// Takes a success.
    fn succeed(&mut self, request: Request, message: &Message<'_>, plan: &Plan, peer: SocketAddr) {
        self.allocated = (self.allocated || request == Request::Allocate) && request != Request::Delete;
        if request == Request::Allocate {
            let value = message.attribute(attribute::XOR_RELAYED_ADDRESS);
            self.relayed = value.and_then(|value| address::decode_xor(value, &message.transaction()));
            if self.relayed.is_none() {
                return self.end(Err(Trouble { request, what: What::NoRelay }));
            }
        }
        match request.next(plan.options.relayed) {
            Some(Request::Bind) => self.connect(message),
            Some(next) => self.ask(next, plan, peer),
            None => self.end(Ok(())),
        }
    }

    /// The server has reached the peer.
    fn connect(&mut self, message: &Message<'_>) {
        self.waiting = None;
        self.connection = message.attribute(attribute::CONNECTION_ID).and_then(value::connection_id);
        if self.connection.is_none() {
            self.end(Err(Trouble { request: Request::Connect, what: What::NoConnection }));
        }
    }

    /// Takes an error: a challenge is met, anything else ends the errand.
    fn refuse(&mut self, request: Request, message: &Message<'_>, plan: &Plan, peer: SocketAddr) {
        let code = message.attribute(attribute::ERROR_CODE).and_then(value::error_code).unwrap_or(0);
        let first = code == 401 && self.challenge.count == 0;
        if first || (code == 438 && self.challenge.count < STALE) {
            self.challenge.count += 1;
            return match self.learn(message, plan) {
                Ok(()) => self.ask(request, plan, peer),
                Err(what) => self.end(Err(Trouble { request, what })),
            };
        }
        // What is gone already need not be deleted.
        let gone = request == Request::Delete && code == 437;
        self.allocated &= !gone;
        self.end(if gone { Ok(()) } else { Err(Trouble { request, what: What::Refused(code) }) });
    }

    /// Takes realm and nonce from a challenge.
    fn learn(&mut self, message: &Message<'_>, plan: &Plan) -> Result<(), What> {
        let value = |code| message.attribute(code).ok_or(What::NoChallenge);
        self.challenge.nonce = value(attribute::NONCE)?.to_vec();
        let realm = value(attribute::REALM)?;
        if self.challenge.key.is_none() || self.challenge.realm != realm {
            let text = std::str::from_utf8(realm).map_err(|_| What::NoChallenge)?;
            let key = Key::long_term(Algorithm::Md5, &plan.user.0, text, &plan.user.1);
            self.challenge.key = Some(key.map_err(|error| What::BadText(error.to_string()))?);
            self.challenge.realm = realm.to_vec();
        }
        Ok(())
    }

    /// An answer is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Looks at the time: sends again, or gives up.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(waiting) = &mut self.waiting else { return };
        if now.saturating_duration_since(waiting.sent) < RETRANSMIT {
            return;
        }
        let request = waiting.request;
        if waiting.tries >= TRIES {
            self.end(Err(Trouble { request, what: What::Silence }));
        } else if self.link.is_datagram() {
            self.transmit();
        } else {
            // A connection loses nothing; it only takes its time.
            (waiting.sent, waiting.tries) = (now, waiting.tries + 1);
        }
    }

    /// Ends the errand because the way to the server is broken; the first reason is the one to tell.
    pub(super) fn break_off(&mut self, error: &std::io::Error) {
        // An allocation ends with its connection.
        self.allocated &= self.link.is_datagram();
        let Some(waiting) = &self.waiting else { return };
        let request = waiting.request;
        self.end(Err(Trouble { request, what: What::Broken(error.kind(), error.to_string()) }));
    }

    /// Ends the errand.
    fn end(&mut self, outcome: Result<(), Trouble>) {
        (self.waiting, self.outcome) = (None, Some(outcome));
    }
}

/// The method of a request.
fn method(request: Request, indications: bool) -> Method {
    match request {
        Request::Binding => Method::BINDING,
        Request::Allocate => Method::ALLOCATE,
        Request::Admit if indications => Method::CREATE_PERMISSION,
        Request::Admit => Method::CHANNEL_BIND,
        Request::Connect => Method::CONNECT,
        Request::Bind | Request::Greet => Method::CONNECTION_BIND,
        Request::Refresh | Request::Delete => Method::REFRESH,
    }
}

/// A transaction id. Its first byte lets the answer through every filter, its second is that of no tag.
fn transaction() -> [u8; 12] {
    let mut id = [super::traffic::SAMPLED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Each state has keys of its own.
    id[4..].copy_from_slice(&RandomState::new().hash_one(0_u8).to_be_bytes());
    id
}
