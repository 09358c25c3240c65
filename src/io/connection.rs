//! One client on a stream: what has come, what waits to go, and how long it may take.

use super::commons::Commons;
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::session::{Buffers, Received, Session};
use crate::turn::{Path, Time};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long an unfinished frame, a first byte or a TLS handshake may take, however many bytes trickle in.
const UNFINISHED: Duration = Duration::from_secs(10);
/// How long a connection without an allocation may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// How long what is owed to a client that has stopped sending may take to leave.
const LINGER: Duration = Duration::from_secs(5);
/// How long a client may take nothing of what waits for it.
const STALLED: Duration = Duration::from_secs(60);

/// A stream client.
pub(crate) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) session: Session,
    pub(super) path: Path,
    /// Channel numbers up to 0x7FFE are allowed.
    pub(super) legacy: bool,
    /// The core knows which server it has named, if any.
    pub(super) introduced: bool,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// It stands in a list of those to be written to.
    pub(super) dirty: bool,
    /// When it was written to last.
    pub(super) written: Time,
    /// It asks and does not take the answers.
    pub(super) overrun: bool,
    /// Its socket is full, and is watched for room.
    pub(super) blocked: bool,
    /// When its timer comes that counts.
    pub(super) armed: Time,
    /// When it began, or when its TLS handshake did.
    begun: Time,
    /// It has said something that the core has taken.
    heard: Option<Time>,
    /// Since when it has taken nothing of what waits.
    stalled: Option<Time>,
    /// Since when it is only written to.
    closing: Option<Time>,
    pub(super) place: Place,
}

/// What there is to do about a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing until then.
    Later(Time),
    /// It has had its time.
    Over,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(super) fn new(socket: TcpStream, session: Session, path: Path, legacy: bool, place: Place, now: Time) -> Self {
        Self {
            socket,
            session,
            path,
            legacy,
            introduced: false,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            dirty: false,
            written: Time::default(),
            overrun: false,
            blocked: false,
            armed: now,
            begun: now,
            heard: None,
            stalled: None,
            closing: None,
            place,
        }
    }

    /// Reads what the client has sent. A client that is only written to is not read from.
    pub(super) fn read(&mut self, buffers: &mut Buffers, now: Time) -> io::Result<Received> {
        let received = self.session.read(&mut self.socket, buffers)?;
        if received.count > 0 {
            self.heard = Some(now);
        }
        Ok(received)
    }

    /// The time of a TLS handshake begins: false if its source has had enough of them.
    pub(super) fn begin_handshake(&mut self, now: Time) -> bool {
        self.begun = now;
        self.place.admit_handshake(now)
    }

    /// Writes what waits; true if that was everything.
    pub(super) fn write(&mut self, now: Time) -> io::Result<bool> {
        let before = self.outgoing.waiting().len();
        let done = self.session.write(&mut self.socket, &mut self.outgoing)?;
        let stalled = self.stalled.filter(|_| self.outgoing.waiting().len() == before);
        self.stalled = (!done).then(|| stalled.unwrap_or(now));
        Ok(done)
    }

    /// From now on it is only written to.
    pub(super) fn begin_closing(&mut self, now: Time) {
        self.closing.get_or_insert(now);
    }

    /// It is only written to.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// How long it may go on as it is; with an allocation it may be silent.
    pub(super) fn due(&self, now: Time, has_allocation: bool) -> Due {
        let deadline = self.deadline(now, has_allocation);
        if deadline <= now { Due::Over } else { Due::Later(deadline) }
    }

    fn deadline(&self, now: Time, has_allocation: bool) -> Time {
        if let Some(since) = self.closing {
            return since.after(LINGER);
        }
        let frame = self.incoming.since().map(|since| since.after(UNFINISHED));
        let stalled = self.stalled.map(|since| since.after(STALLED));
        let silent = match (self.heard, has_allocation) {
            (_, true) => now.after(IDLE),
            (Some(heard), false) => heard.after(IDLE),
            // Where the first byte or a handshake is awaited, there is less patience than between two messages.
            (None, false) if self.session.is_established() => self.begun.after(IDLE),
            (None, false) => self.begun.after(UNFINISHED),
        };
        frame.into_iter().chain(stalled).fold(silent, Time::min)
    }
}

/// A connection's place among all connections.
pub(super) struct Place {
    commons: Arc<Commons>,
    /// Whose it is, once that is known.
    source: Option<IpAddr>,
}

impl Place {
    /// Takes one, if there is one.
    pub(super) fn take(commons: &Arc<Commons>) -> Option<Self> {
        commons.connect().ok()?;
        Some(Self { commons: Arc::clone(commons), source: None })
    }

    /// It is that of a client of this address, if it may have one more.
    pub(super) fn attribute(&mut self, source: IpAddr) -> bool {
        if self.commons.attribute(source).is_err() {
            return false;
        }
        self.source = Some(source);
        true
    }

    /// Counts a TLS handshake of its client; false if that one has had enough.
    pub(super) fn admit_handshake(&self, now: Time) -> bool {
        self.source.is_some_and(|source| self.commons.admit_handshake(source, now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.commons.disconnect(self.source);
    }
}
