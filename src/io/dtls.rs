//! DTLS clients (RFC 7350) on the UDP listeners: sessions, their number and their time.
//!
//! The engine does no I/O: a datagram goes in, messages and datagrams come out. It keeps nothing of a client that has not
//! sent back the cookie that it was sent; of one that has, no more than so many beginnings, and not for longer than ten
//! seconds, until its handshake is over.
//!
//! [`Sessions`] is told the time and given its [`Engine`]: a test turns a minute by hand, with an engine that has no keys.

#[cfg(feature = "dtls")]
mod engine;
#[cfg(not(feature = "dtls"))]
mod none;

#[cfg(feature = "dtls")]
pub use engine::Acceptor;
#[cfg(not(feature = "dtls"))]
pub use none::Acceptor;

use super::commons::Commons;
use super::connection::Place;
use crate::turn::{Path, Time, Timers};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Whether this build serves DTLS.
pub const SERVED: bool = cfg!(feature = "dtls");

/// Handshakes of a worker that may be unfinished.
const HALF_OPEN: usize = 1000;
/// Datagrams that a handshake may take: those of its two flights, in fragments, lost and sent again. What comes early of
/// the next epoch is kept meanwhile.
const DATAGRAMS: u32 = 48;
/// How long a handshake may take.
const UNFINISHED: Duration = Duration::from_secs(10);
/// How long a session without an allocation may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// Byte strings one after another, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Parts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parts {
    /// Adds one.
    pub fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.ends.push(self.bytes.len());
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// What a datagram has brought.
#[derive(Debug, Default)]
pub struct Brought {
    /// What is to be sent to the client.
    pub wire: Parts,
    /// What the client has said, message by message.
    pub messages: Parts,
    /// The server that the client has named in a handshake that is over now.
    pub name: Option<String>,
    /// The session is over.
    pub over: bool,
    /// Another has taken its place.
    pub renewed: bool,
}

impl Brought {
    /// Nothing.
    pub fn clear(&mut self) {
        self.wire.clear();
        self.messages.clear();
        (self.over, self.renewed, self.name) = (false, false, None);
    }
}

/// What begins sessions.
pub trait Engine {
    /// Takes a hello from a client without a session; a session once the client has shown that it is where it says.
    fn meet(&mut self, path: &Path, datagram: &[u8], wire: &mut Parts) -> Option<Box<dyn Session>>;
}

/// One client's session.
pub trait Session {
    /// Takes a datagram.
    fn hear(&mut self, datagram: &[u8], brought: &mut Brought);

    /// Seals a message into a record of its own.
    fn say(&mut self, message: &[u8], wire: &mut Parts);

    /// Says goodbye.
    fn close(&mut self, wire: &mut Parts);

    /// Sends again what is due.
    fn retransmit(&mut self, wire: &mut Parts);

    /// The handshake is over.
    fn is_established(&self) -> bool;
}

/// The sessions of a worker.
pub struct Sessions {
    engine: Box<dyn Engine>,
    commons: Arc<Commons>,
    all: HashMap<Path, Client, foldhash::quality::RandomState>,
    /// Those whose handshake is not over; each once.
    half_open: Vec<Path>,
    /// When to look at a client; the time at which it began tells it from others of its 5-tuple.
    timers: Timers<(Path, Time)>,
    due: Vec<(Path, Time)>,
}

/// A client with a session.
struct Client {
    session: Handshake,
    /// What is to replace it, once its own handshake is over.
    next: Option<Handshake>,
    begun: Time,
    heard: Time,
    /// Its place among all connections.
    _place: Place,
}

/// A session that is beginning, or has begun.
struct Handshake {
    session: Box<dyn Session>,
    begun: Time,
    /// Datagrams that it may still take before its handshake is over.
    left: u32,
}

impl Sessions {
    /// None yet.
    pub fn new(engine: Box<dyn Engine>, commons: Arc<Commons>, now: Time) -> Self {
        let (all, half_open, due) = Default::default();
        Self { engine, commons, all, half_open, timers: Timers::new(now), due }
    }

    /// Takes a datagram; false if it belongs to nothing.
    pub fn hear(&mut self, path: Path, datagram: &[u8], now: Time, brought: &mut Brought) -> bool {
        let established = self.all.get(&path).map(|client| client.session.is_over());
        match established {
            None if is_hello(datagram) => self.meet(path, datagram, now, brought),
            None => return false,
            // A client that has forgotten its session begins anew from the same port (RFC 6347 §4.2.8).
            Some(true) if is_hello(datagram) => self.meet_again(path, datagram, now, brought),
            Some(_) => self.go_on(&path, datagram, now, brought),
        }
        if brought.over {
            self.all.remove(&path);
        }
        if established == Some(false) && self.all.get_mut(&path).is_none_or(|client| client.half_open().is_none()) {
            self.half_open.retain(|other| *other != path);
        }
        true
    }

    /// The hello of a client without a session.
    fn meet(&mut self, path: Path, datagram: &[u8], now: Time, brought: &mut Brought) {
        let Some(session) = self.engine.meet(&path, datagram, &mut brought.wire) else { return };
        let Some(place) = self.admit(&path, now) else { return };
        let session = Handshake::begin(session, now, brought);
        if brought.over {
            return;
        }
        self.list(path);
        self.all.insert(path, Client { session, next: None, begun: now, heard: now, _place: place });
        self.timers.set(now.after(UNFINISHED), (path, now));
    }

    /// The hello of a client with a session, which stays what it is until another has taken its place.
    fn meet_again(&mut self, path: Path, datagram: &[u8], now: Time, brought: &mut Brought) {
        let Some(session) = self.engine.meet(&path, datagram, &mut brought.wire) else { return };
        if self.admit(&path, now).is_none() {
            return;
        }
        let next = Handshake::begin(session, now, brought);
        let Some(client) = self.all.get_mut(&path).filter(|_| !std::mem::take(&mut brought.over)) else { return };
        client.next = Some(next);
        self.list(path);
    }

    /// A client has a handshake that is not over. It may be listed already: for another that has just been.
    fn list(&mut self, path: Path) {
        if !self.half_open.contains(&path) {
            self.half_open.push(path);
        }
    }

    /// A datagram of a client with a session. One of the first epoch may belong to what is to replace it.
    fn go_on(&mut self, path: &Path, datagram: &[u8], now: Time, brought: &mut Brought) {
        let Some(client) = self.all.get_mut(path) else { return };
        client.session.hear(datagram, brought);
        if !brought.messages.is_empty() || !client.session.is_over() {
            client.heard = now;
            return;
        }
        let Some(mut next) = client.next.take().filter(|_| !brought.over) else { return };
        next.hear(datagram, brought);
        if next.is_over() {
            (client.session, client.heard, brought.renewed) = (next, now, true);
        } else if !std::mem::take(&mut brought.over) {
            client.next = Some(next);
        }
    }

    /// A place for one more handshake, if there is one.
    fn admit(&self, path: &Path, now: Time) -> Option<Place> {
        let of_source = self.half_open.iter().filter(|other| other.client.ip() == path.client.ip()).count();
        if self.half_open.len() >= HALF_OPEN || !self.commons.may_be_unfinished(of_source) {
            return None;
        }
        let mut place = Place::take(&self.commons)?;
        (place.attribute(path.client.ip()) && place.admit_handshake(now)).then_some(place)
    }

    /// A client has a session.
    pub fn has(&self, path: &Path) -> bool {
        self.all.contains_key(path)
    }

    /// Seals a message for a client; false if it has no session.
    pub fn say(&mut self, path: &Path, message: &[u8], wire: &mut Parts) -> bool {
        let Some(client) = self.all.get_mut(path) else { return false };
        client.session.session.say(message, wire);
        true
    }

    /// Goes on with handshakes, whose last flight may be lost, and gives up those to replace others that take too long.
    pub fn retransmit(&mut self, now: Time, mut send: impl FnMut(&Path, &Parts)) {
        let all = &mut self.all;
        let mut wire = Parts::default();
        self.half_open.retain(|path| {
            let Some(client) = all.get_mut(path) else { return false };
            client.next = client.next.take().filter(|next| next.begun.after(UNFINISHED) > now);
            let Some(half_open) = client.half_open() else { return false };
            half_open.session.retransmit(&mut wire);
            send(path, &wire);
            wire.clear();
            true
        });
    }

    /// The next client whose time is up, after its goodbye.
    pub fn next_over(&mut self, now: Time, wire: &mut Parts, has_allocation: impl Fn(&Path) -> bool) -> Option<Path> {
        if self.due.is_empty() {
            self.timers.take(now, &mut self.due);
        }
        while let Some((path, begun)) = self.due.pop() {
            let Some(client) = self.all.get_mut(&path).filter(|client| client.begun == begun) else { continue };
            let deadline = client.deadline(now, has_allocation(&path));
            if deadline <= now {
                self.close(&path, wire);
                return Some(path);
            }
            self.timers.set(deadline, (path, begun));
        }
        None
    }

    /// Ends a client's session, with a goodbye; false if it has none.
    pub fn close(&mut self, path: &Path, wire: &mut Parts) -> bool {
        let Some(mut client) = self.all.remove(path) else { return false };
        client.session.session.close(wire);
        true
    }
}

impl Client {
    /// What of its sessions is still beginning.
    fn half_open(&mut self) -> Option<&mut Handshake> {
        self.next.as_mut().or(Some(&mut self.session)).filter(|session| !session.is_over())
    }

    /// How long it may go on as it is.
    fn deadline(&self, now: Time, has_allocation: bool) -> Time {
        match (self.session.is_over(), has_allocation) {
            (false, _) => self.begun.after(UNFINISHED),
            (true, true) => now.after(IDLE),
            (true, false) => self.heard.after(IDLE),
        }
    }
}

impl Handshake {
    /// Takes the hello that waits in a session.
    fn begin(session: Box<dyn Session>, begun: Time, brought: &mut Brought) -> Self {
        let mut handshake = Self { session, begun, left: DATAGRAMS };
        handshake.session.hear(&[], brought);
        handshake
    }

    /// The session has begun.
    fn is_over(&self) -> bool {
        self.session.is_established()
    }

    /// Takes a datagram; too many before the end of the handshake are the end of it.
    fn hear(&mut self, datagram: &[u8], brought: &mut Brought) {
        if !self.is_over() {
            let Some(left) = self.left.checked_sub(1) else { return brought.over = true };
            self.left = left;
        }
        self.session.hear(datagram, brought);
    }
}

/// Whether a datagram is of DTLS: its first byte is the type of a record (RFC 7983).
pub(super) fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..=63).contains(first))
}

/// Whether a datagram begins with a ClientHello in clear, or with the first part of one: a handshake record of the first
/// epoch (RFC 6347 §4.1, §4.2.2).
fn is_hello(datagram: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let record = matches!(datagram, [HANDSHAKE, 0xFE, _, 0, 0, ..]);
    // The header of the record has 13 bytes; then type, length, number and place of the part.
    record && matches!(datagram.get(13..22), Some([CLIENT_HELLO, _, _, _, _, _, 0, 0, 0]))
}
