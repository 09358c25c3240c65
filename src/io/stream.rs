//! TCP and TLS clients: read, write, and what happens to those who are slow. How they begin is in `accept`.
//!
//! A connection is a few buffers and times, not a task: it is looked at when its socket is ready, when something has
//! been put out for it, and when its time is up. All of it happens on the worker's own thread.

mod accept;

use super::commons::Commons;
use super::connection::{Connection, Due};
use super::incoming::Incoming;
use super::proxy::Proxies;
use super::session::{Buffers, Received};
use super::source::Source;
use super::sys::{Epoll, Interest};
use super::tls::Acceptor;
use crate::turn::{Head, Path, Time, Timers};
use accept::decide;
use slab::Slab;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

/// Reads of unfinished TLS handshakes in a turn: each may cost a signature, a millisecond in which nothing else is done.
const HANDSHAKES: u32 = 8;

/// A listening address for streams.
#[derive(Clone)]
pub struct StreamListener {
    /// Plain TCP is served.
    pub tcp: bool,
    /// TLS is served.
    pub tls: Option<Arc<Acceptor>>,
    /// Channel numbers up to 0x7FFE are allowed.
    pub legacy: bool,
    /// The proxies whose header comes first; if there are some, clients come by them and no other way.
    pub proxies: Option<Proxies>,
}

/// The connections of a worker and where they come from.
pub(super) struct Streams {
    epoll: Rc<Epoll>,
    commons: Arc<Commons>,
    listeners: Vec<Listener>,
    connections: Slab<Connection>,
    timers: Timers<(u32, Time)>,
    due: Vec<(u32, Time)>,
    /// Those to be written to at once, and those whose frames gather until the next millisecond.
    dirty: Vec<u32>,
    held: Vec<u32>,
    /// Reads of unfinished handshakes that are left in this turn.
    handshakes: u32,
    buffers: Buffers,
}

struct Listener {
    socket: TcpListener,
    kind: StreamListener,
    /// It could not accept, and is not watched for a moment.
    paused: bool,
}

/// What has become of a connection that was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It goes on.
    Open,
    /// Everything owed to it is written, and nothing more will come.
    Closed,
    /// Writing has failed.
    Broken,
}

impl Streams {
    /// Watches these listeners.
    pub(super) fn new(
        epoll: Rc<Epoll>,
        commons: Arc<Commons>,
        listeners: Vec<(TcpListener, StreamListener)>,
        now: Time,
    ) -> io::Result<Self> {
        for ((socket, _), index) in listeners.iter().zip(0..) {
            epoll.add(socket, Source::Accept(index).token())?;
        }
        Ok(Self {
            epoll,
            commons,
            listeners: listeners.into_iter().map(|(socket, kind)| Listener { socket, kind, paused: false }).collect(),
            connections: Slab::new(),
            timers: Timers::new(now),
            due: Vec::new(),
            dirty: Vec::new(),
            held: Vec::new(),
            handshakes: HANDSHAKES,
            buffers: Buffers::default(),
        })
    }

    /// Reads what a client has sent; what it was stands in the buffer. None if there is no such client to read from,
    /// or if it must wait for the next turn. `ended` if it will send no more than what is there.
    pub(super) fn read(&mut self, index: u32, ended: bool, now: Time) -> Option<io::Result<Received>> {
        let connection = self.connections.get_mut(index as usize).filter(|c| !c.is_closing())?;
        if !connection.session.is_established() {
            self.handshakes = self.handshakes.checked_sub(1)?;
        }
        match decide(connection, &mut self.buffers, ended, now) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Err(error)),
        }
        let result = connection.read(&mut self.buffers, now);
        if connection.session.wants_write() {
            self.mark(index);
        }
        Some(result)
    }

    /// The server that a client has named, when it says its first message.
    pub(super) fn introduce(&mut self, index: u32) -> Option<(Path, String)> {
        let connection = self.connections.get_mut(index as usize)?;
        if std::mem::replace(&mut connection.introduced, true) {
            return None;
        }
        Some((connection.path, connection.session.server_name()?.to_owned()))
    }

    /// Takes a client's unfinished frame and the buffer, to cut frames from; they come back by [`Streams::put_back`].
    pub(super) fn take(&mut self, index: u32) -> Option<(Path, bool, Incoming, Buffers)> {
        let connection = self.connections.get_mut(index as usize)?;
        let mut incoming = std::mem::take(&mut connection.incoming);
        if connection.session.is_for_stun() {
            incoming.expect_stun();
        }
        Some((connection.path, connection.legacy, incoming, std::mem::replace(&mut self.buffers, Buffers::none())))
    }

    /// Gives back what [`Streams::take`] took.
    pub(super) fn put_back(&mut self, index: u32, incoming: Incoming, buffers: Buffers, now: Time) {
        self.buffers = buffers;
        if let Some(connection) = self.connections.get_mut(index as usize) {
            connection.incoming = incoming;
        }
        self.arm(index, now);
    }

    /// Puts out a frame of data; false if too much waits already, or nobody is there. A client that has been written
    /// to in this millisecond waits for the next: frames that come in a row, as those of a picture do, leave in one
    /// write and one TLS record.
    pub(super) fn push_data(&mut self, path: &Path, head: &Head, body: &[u8], now: Time) -> bool {
        let index = path.link;
        let Some(connection) = self.of(path) else { return false };
        if !connection.outgoing.push_data(head, body) {
            return false;
        }
        if !std::mem::replace(&mut connection.dirty, true) {
            if connection.written == now { self.held.push(index) } else { self.dirty.push(index) }
        }
        true
    }

    /// Puts out an answer. A client that asks and asks and takes none is ended at the next write, and not now: the
    /// rest of what it has sent must still find its connection, and no other in its place.
    pub(super) fn push_message(&mut self, path: &Path, message: &[u8]) {
        if let Some(connection) = self.of(path) {
            connection.overrun |= !connection.outgoing.push_message(message);
            self.mark(path.link);
        }
    }

    /// The connection of a path is here.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.connections.get(path.link as usize).is_some_and(|connection| connection.path == *path)
    }

    /// The connection of a path. Another may have its place by now.
    fn of(&mut self, path: &Path) -> Option<&mut Connection> {
        self.connections.get_mut(path.link as usize).filter(|connection| connection.path == *path)
    }

    /// A socket has room again.
    pub(super) fn unblock(&mut self, index: u32) {
        self.mark(index);
    }

    /// Frames of some connections gather.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// A turn of the worker begins.
    pub(super) fn begin_turn(&mut self) {
        self.handshakes = HANDSHAKES;
    }

    /// A millisecond has passed: what has gathered is to be written.
    pub(super) fn release(&mut self) {
        self.dirty.append(&mut self.held);
    }

    /// The next connection that is to be written to.
    pub(super) fn next_dirty(&mut self) -> Option<u32> {
        self.dirty.pop()
    }

    /// A file may be read for this client, as often as its source may shake hands.
    pub(super) fn may_read_file(&self, path: &Path, now: Time) -> bool {
        let connection = self.connections.get(path.link as usize).filter(|connection| connection.path == *path);
        connection.is_some_and(|connection| connection.place.admit_handshake(now))
    }

    /// Writes what waits for a client.
    pub(super) fn write(&mut self, index: u32, now: Time) -> Written {
        let Some(connection) = self.connections.get_mut(index as usize) else { return Written::Open };
        (connection.dirty, connection.written) = (false, now);
        if connection.overrun {
            return Written::Broken;
        }
        let Ok(done) = connection.write(now) else { return Written::Broken };
        if done && connection.is_closing() {
            connection.session.close(&mut connection.socket);
            return Written::Closed;
        }
        if connection.blocked == done {
            let interest = match (done, connection.is_closing()) {
                (true, _) => Interest::Read,
                (false, false) => Interest::Both,
                // What is not read would be told again and again.
                (false, true) => Interest::Write,
            };
            if self.epoll.change(&connection.socket, Source::Stream(index).token(), interest).is_err() {
                return Written::Broken;
            }
            connection.blocked = !done;
        }
        if !done {
            self.arm(index, now);
        }
        Written::Open
    }

    /// From now on a client is only written to, for a moment. Its path, if the core must be told.
    pub(super) fn begin_closing(&mut self, index: u32, now: Time) -> Option<Path> {
        let connection = self.connections.get_mut(index as usize).filter(|c| !c.is_closing())?;
        connection.begin_closing(now);
        // Its end would be told again and again.
        let interest = if connection.blocked { Interest::Write } else { Interest::None };
        _ = self.epoll.change(&connection.socket, Source::Stream(index).token(), interest);
        let path = connection.path;
        self.mark(index);
        self.set_timer(index, now, false);
        Some(path)
    }

    /// Takes a connection out, to become something else.
    pub(super) fn detach(&mut self, path: &Path) -> Option<Connection> {
        self.of(path)?;
        let connection = self.connections.try_remove(path.link as usize)?;
        _ = self.epoll.remove(&connection.socket);
        Some(connection)
    }

    /// Takes in a connection that another worker has detached; its place.
    pub(super) fn take_in(&mut self, mut connection: Connection, now: Time) -> io::Result<u32> {
        let entry = self.connections.vacant_entry();
        let index = entry.key() as u32;
        connection.path.link = index;
        // Nothing was told of it here, and it is watched for reading alone.
        (connection.introduced, connection.blocked) = (false, false);
        self.epoll.add(&connection.socket, Source::Stream(index).token())?;
        entry.insert(connection);
        self.set_timer(index, now, false);
        self.mark(index);
        Ok(index)
    }

    /// Ends a connection. Its path, if the core must be told.
    pub(super) fn remove(&mut self, index: u32) -> Option<Path> {
        let connection = self.connections.try_remove(index as usize)?;
        (!connection.is_closing()).then_some(connection.path)
    }

    /// A connection whose time is up; the others are asked again when theirs may be.
    pub(super) fn next_over(&mut self, now: Time, has_allocation: impl Fn(&Path) -> bool) -> Option<u32> {
        if self.due.is_empty() {
            self.timers.take(now, &mut self.due);
        }
        while let Some((index, armed)) = self.due.pop() {
            let Some(connection) = self.connections.get_mut(index as usize) else { continue };
            if connection.armed != armed {
                continue;
            }
            let path = connection.path;
            match connection.due(now, has_allocation(&path)) {
                Due::Over => return Some(index),
                Due::Later(_) => self.set_timer(index, now, has_allocation(&path)),
            }
        }
        None
    }

    /// Has a connection looked at when its time may be up, if that is sooner than it would be.
    fn arm(&mut self, index: u32, now: Time) {
        let Some(connection) = self.connections.get_mut(index as usize) else { return };
        // Whether there is an allocation only makes it later, and is asked when the time has come.
        if matches!(connection.due(now, false), Due::Later(at) if at < connection.armed) {
            self.set_timer(index, now, false);
        }
    }

    /// Has a connection looked at when its time may be up, whatever was set before.
    fn set_timer(&mut self, index: u32, now: Time, has_allocation: bool) {
        let Some(connection) = self.connections.get_mut(index as usize) else { return };
        if let Due::Later(at) = connection.due(now, has_allocation) {
            connection.armed = at;
            self.timers.set(at, (index, at));
        }
    }

    /// Has a connection written to before the worker waits. One whose frames gather is written to twice, which harms
    /// nobody.
    fn mark(&mut self, index: u32) {
        if let Some(connection) = self.connections.get_mut(index as usize) {
            connection.dirty = true;
            self.dirty.push(index);
        }
    }
}
