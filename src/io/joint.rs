//! A client's connection and a peer's that are one (RFC 6062 §5.4): bytes, as they are, until both have ended.
//!
//! Where both are plain TCP the kernel passes the bytes on; under TLS they are copied, a read at a time. Either way a
//! direction takes nothing more while its receiver takes nothing: what waits is what one read has brought.
//!
//! Of two that speak, one may fail while its last words are still on their way. They are delivered, and what comes for the
//! one that has failed is read and thrown away meanwhile: a socket that is closed with something unread in it takes with
//! it what it had still to send.

use super::connection::Connection;
use super::session::{Buffers, Session};
use super::sys::{Epoll, Interest, Pipe, unsent};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// Reads of one direction before others have their turn.
const TURNS: usize = 8;
/// Bytes below which a read is not worth another one at once.
const LITTLE: usize = 8 * 1024;
/// Pipes that are kept for whoever needs one next.
const KEPT: usize = 16;

/// What all joints of a worker use.
#[derive(Default)]
pub(super) struct Tools {
    pub(super) buffers: Buffers,
    pipes: Vec<Pipe>,
}

impl Tools {
    fn pipe(&mut self) -> io::Result<Pipe> {
        self.pipes.pop().map_or_else(Pipe::new, Ok)
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.pipes.len() < KEPT {
            self.pipes.push(pipe);
        }
    }
}

/// The two connections.
pub(super) struct Joint {
    client: Connection,
    peer: TcpStream,
    up: Direction,
    down: Direction,
    /// What was read of the client and is not written yet.
    rest: Vec<u8>,
    /// How each is watched: that of the client, that of the peer.
    watched: [Interest; 2],
    /// One has failed when nothing was on its way to the other.
    broken: bool,
}

/// Which of the two sockets has something to read, as far as was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) client: bool,
    pub(super) peer: bool,
}

/// One direction.
#[derive(Default)]
struct Direction {
    /// A pipe and the bytes in it.
    held: Option<(Pipe, usize)>,
    /// No more will come.
    ended: bool,
    /// The receiver has been told so.
    closed: bool,
    /// The receiver takes nothing now.
    blocked: bool,
    /// The receiver has failed: what comes is thrown away.
    lost: bool,
    /// The last read has brought so little that there is hardly more to read; if there is, that will be told.
    short: bool,
    /// Bytes passed on since somebody asked.
    passed: u64,
}

impl Joint {
    /// Makes one of two; what the client has sent already goes first. `ended`: it will send no more.
    pub(super) fn new(mut client: Connection, peer: TcpStream, ended: bool) -> Self {
        let rest = client.incoming.take_rest();
        let up = Direction { ended, ..Direction::default() };
        Self { client, peer, up, down: Direction::default(), rest, watched: [Interest::None; 2], broken: false }
    }

    /// Passes on what there is, both ways unless it is told of one alone. True if nothing is left to do.
    pub(super) fn pass(&mut self, tools: &mut Tools, told: Told) -> bool {
        let alike = told.client == told.peer;
        if alike || told.client || self.up.is_due() {
            self.up.blocked = !self.pass_up(tools, told.client);
        }
        if alike || told.peer || self.down.is_due() {
            self.down.blocked = !self.pass_down(tools, told.peer);
        }
        self.broken || self.is_over()
    }

    /// Both have ended, or one has failed and the other has got everything.
    fn is_over(&self) -> bool {
        let (up, down) = (&self.up, &self.down);
        let all_is_down = || up.lost && down.closed && unsent(&self.client.socket) == 0;
        let all_is_up = || down.lost && up.closed && unsent(&self.peer) == 0;
        up.closed && down.closed || all_is_down() || all_is_up()
    }

    /// Bytes passed on since this was last asked: to the peer, to the client.
    pub(super) fn passed(&mut self) -> [u64; 2] {
        [&mut self.up, &mut self.down].map(|direction| std::mem::take(&mut direction.passed))
    }

    /// From the client to the peer; false if the peer takes nothing now.
    fn pass_up(&mut self, tools: &mut Tools, told: bool) -> bool {
        for turn in 0..TURNS {
            if !self.flush_up(tools) {
                return false;
            }
            if self.up.ended || std::mem::take(&mut self.up.short) || !self.take_up(tools, told && turn == 0) {
                return true;
            }
        }
        self.flush_up(tools)
    }

    /// Reads what the kernel does not pass on though it is there: it stops before urgent data, of which reading makes
    /// nothing. False if nothing has come.
    fn skip_up(&mut self, tools: &mut Tools) -> io::Result<bool> {
        if matches!(self.client.session, Session::Tls(_)) {
            return Ok(false);
        }
        let room = tools.buffers.room();
        match unless_full((&self.client.socket).read(room))? {
            None => return Ok(false),
            Some(0) => self.up.ended = true,
            Some(count) => self.rest.extend_from_slice(&room[..count]),
        }
        Ok(true)
    }

    /// Writes to the peer what waits for it, and that no more will come; true if that was everything.
    fn flush_up(&mut self, tools: &mut Tools) -> bool {
        if !self.up.lost {
            match self.write_up(tools) {
                Ok(done) => return done,
                Err(_) => self.lose_peer(),
            }
        }
        self.up.closed = self.up.ended;
        true
    }

    fn write_up(&mut self, tools: &mut Tools) -> io::Result<bool> {
        let done = self.write_rest()? && self.up.drain(&self.peer, tools)?;
        if done && self.up.ends() {
            self.broken |= self.down.lost && unsent(&self.peer) == 0;
            shut(&self.peer)?;
        }
        Ok(done)
    }

    /// Takes what the client has sent; false if that is nothing. A client that has failed takes nothing either.
    fn take_up(&mut self, tools: &mut Tools, told: bool) -> bool {
        self.read_up(tools, told).unwrap_or_else(|_| {
            self.up.ended = true;
            self.down.lose();
            true
        })
    }

    fn read_up(&mut self, tools: &mut Tools, told: bool) -> io::Result<bool> {
        match &self.client.session {
            Session::Tls(_) => self.read_client(tools),
            _ if self.up.lost => self.up.discard(&self.client.socket, tools),
            _ => Ok(self.up.fill(&self.client.socket, tools)? || (told && self.skip_up(tools)?)),
        }
    }

    /// The peer takes no more.
    fn lose_peer(&mut self) {
        self.rest.clear();
        self.up.lose();
    }

    /// Writes to the peer what was read of the client; true if that was everything.
    fn write_rest(&mut self) -> io::Result<bool> {
        while !self.rest.is_empty() {
            let Some(count) = unless_full((&self.peer).write(&self.rest))? else { return Ok(false) };
            self.rest.drain(..count);
            self.up.passed += count as u64;
        }
        Ok(true)
    }

    /// Reads of a client under TLS; false if nothing has come.
    fn read_client(&mut self, tools: &mut Tools) -> io::Result<bool> {
        let received = self.client.session.read(&mut self.client.socket, &mut tools.buffers)?;
        if !self.up.lost {
            self.rest.extend_from_slice(tools.buffers.clear(received.count));
        }
        self.up.ended = received.end;
        Ok(received.count > 0 || received.end)
    }

    /// From the peer to the client; false if the client takes nothing now.
    fn pass_down(&mut self, tools: &mut Tools, told: bool) -> bool {
        for turn in 0..TURNS {
            if !self.flush_down(tools) {
                return false;
            }
            if self.down.ended || std::mem::take(&mut self.down.short) || !self.take_down(tools, told && turn == 0) {
                return true;
            }
        }
        self.flush_down(tools)
    }

    /// Writes to the client what waits for it, what is owed to it first, and that no more will come; true if that was
    /// everything.
    fn flush_down(&mut self, tools: &mut Tools) -> bool {
        if !self.down.lost {
            match self.write_down(tools) {
                Ok(done) => return done,
                Err(_) => self.down.lose(),
            }
        }
        self.down.closed = self.down.ended;
        true
    }

    fn write_down(&mut self, tools: &mut Tools) -> io::Result<bool> {
        let Connection { session, socket, outgoing, .. } = &mut self.client;
        let done = session.write(socket, outgoing)? && self.down.drain(socket, tools)?;
        if done && self.down.ends() {
            self.broken |= self.up.lost && unsent(socket) == 0;
            session.close(socket);
        }
        Ok(done)
    }

    /// Takes what the peer has sent; false if that is nothing. A peer that has failed takes nothing either.
    fn take_down(&mut self, tools: &mut Tools, told: bool) -> bool {
        self.read_down(tools, told).unwrap_or_else(|_| {
            self.down.ended = true;
            self.lose_peer();
            true
        })
    }

    fn read_down(&mut self, tools: &mut Tools, told: bool) -> io::Result<bool> {
        match &self.client.session {
            _ if self.down.lost => self.down.discard(&self.peer, tools),
            Session::Tls(_) => self.read_peer(tools),
            _ => Ok(self.down.fill(&self.peer, tools)? || (told && self.read_peer(tools)?)),
        }
    }

    /// Reads of a peer, for a client under TLS or past urgent data; false if nothing has come.
    fn read_peer(&mut self, tools: &mut Tools) -> io::Result<bool> {
        let room = tools.buffers.room();
        match unless_full((&self.peer).read(room))? {
            None => return Ok(false),
            Some(0) => self.down.ended = true,
            Some(count) => {
                self.client.outgoing.push_bytes(&room[..count]);
                self.down.passed += count as u64;
            }
        }
        Ok(true)
    }

    /// Has both watched for what can be done now, and no more: what nobody would read is told again and again.
    pub(super) fn watch(&mut self, epoll: &Epoll, tokens: [u64; 2]) -> io::Result<()> {
        let wanted = [interest(&self.up, &self.down), interest(&self.down, &self.up)];
        let sockets = [&self.client.socket, &self.peer];
        for (((socket, token), want), is) in sockets.into_iter().zip(tokens).zip(wanted).zip(&mut self.watched) {
            match (*is, want) {
                (is, want) if is == want => {}
                (Interest::None, _) => epoll.add_for(socket, token, want)?,
                (_, Interest::None) => epoll.remove(socket)?,
                _ => epoll.change(socket, token, want)?,
            }
            *is = want;
        }
        Ok(())
    }

    /// Limits each direction to so many bytes per second.
    pub(super) fn pace(&self, rate: u64) {
        for socket in [&self.client.socket, &self.peer] {
            super::tcp::pace(socket, rate);
        }
    }
}

impl Direction {
    /// There is something to do whatever has come: the receiver may take something again, or it has failed.
    fn is_due(&self) -> bool {
        self.blocked || self.lost
    }

    /// It has ended, and the receiver is to be told so now.
    fn ends(&mut self) -> bool {
        self.ended && !std::mem::replace(&mut self.closed, true)
    }

    /// The receiver has failed. What was on its way there is no more.
    fn lose(&mut self) {
        (self.lost, self.blocked, self.held) = (true, false, None);
        self.closed = self.ended;
    }

    /// Takes what has come, for nobody; false if nothing has.
    fn discard(&mut self, mut from: &TcpStream, tools: &mut Tools) -> io::Result<bool> {
        let count = unless_full(from.read(tools.buffers.room()))?;
        self.ended = count == Some(0);
        Ok(count.is_some())
    }

    /// Takes what has come into a pipe; false if nothing has.
    fn fill(&mut self, from: &TcpStream, tools: &mut Tools) -> io::Result<bool> {
        let pipe = tools.pipe()?;
        match unless_full(pipe.fill(from)) {
            Ok(Some(count)) if count > 0 => (self.held, self.short) = (Some((pipe, count)), count < LITTLE),
            Ok(None) => {
                tools.give_back(pipe);
                return Ok(false);
            }
            Ok(Some(_)) => {
                tools.give_back(pipe);
                self.ended = true;
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Empties the pipe, if there is one; false if the receiver takes no more of it.
    fn drain(&mut self, to: &TcpStream, tools: &mut Tools) -> io::Result<bool> {
        while let Some((pipe, count)) = &mut self.held {
            let Some(sent) = unless_full(pipe.drain(to, *count))? else { return Ok(false) };
            *count -= sent;
            self.passed += sent as u64;
            if *count == 0 {
                let held = self.held.take();
                held.into_iter().for_each(|(pipe, _)| tools.give_back(pipe));
            }
        }
        Ok(true)
    }
}

/// What one of the two is watched for: that it sends, in the one direction, and that it takes, in the other.
fn interest(from: &Direction, to: &Direction) -> Interest {
    match (!from.ended && !from.blocked, to.blocked) {
        (true, true) => Interest::Both,
        (true, false) => Interest::Read,
        (false, true) => Interest::Write,
        (false, false) => Interest::None,
    }
}

/// Tells a peer that no more will come. One that has gone need not be told.
fn shut(socket: &TcpStream) -> io::Result<()> {
    match socket.shutdown(Shutdown::Write) {
        Err(error) if error.kind() != ErrorKind::NotConnected => Err(error),
        _ => Ok(()),
    }
}

/// What a call has done; none if it would have to wait.
fn unless_full(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
