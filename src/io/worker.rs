//! One worker: wait, read a batch, ask, act, send a batch.
//!
//! A worker is one thread. It owns a pair of UDP sockets for each listener, the connections that it
//! accepted, one [`Server`] and the relay sockets of its allocations. Both directions of a flow meet here,
//! so nothing is locked or queued for a packet.
//!
//! Here is the loop. `take` decides about datagrams, `send` sends, `act` carries out what the core asks for; the other
//! files say what is different for some clients: those of streams, under DTLS, by a proxy, those that roam from worker to
//! worker, and those of TCP relays.

mod act;
mod control;
mod dtls;
mod proxy;
mod roaming;
mod send;
mod streams;
mod take;
mod tcp;

use super::clock;
use super::commons::Commons;
use super::dtls::{Brought, Parts, Sessions};
use super::joint::Told;
use super::mail::{Mail, MailBox};
use super::outbox::Outbox;
use super::proxy::{Guests, Proxies};
use super::relay::Relays;
use super::source::Source;
use super::stream::Streams;
use super::sys::{Epoll, Events, Inbox, Ready};
use super::tcp::TcpRelays;
use super::udp::{ListenerPair, SocketOptions};
use super::{ListenAddress, Sockets};
use crate::turn::{ConnectionId, Now, Path, RelayId, Server, Time};
pub(crate) use control::Control;
use roaming::Roamers;
pub(crate) use roaming::Roaming;
use send::send_all;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tcp::Turning;

/// Datagrams that are held before they must be sent.
const SLOTS: usize = 512;
/// Datagrams read from a listener's socket at a time.
const LISTENER_BATCH: usize = 64;
/// Datagrams read from a relay socket at a time.
const RELAY_BATCH: usize = 32;
/// Batches read from one socket before the others have their turn.
const LISTENER_TURNS: usize = 8;
/// How often a worker looks whether something has ended.
const TICK: Duration = Duration::from_millis(250);
/// How long frames of a stream that was just written to gather.
const GATHER: Duration = Duration::from_millis(1);
/// Sockets that are told ready at once.
const EVENTS: usize = 256;

/// A UDP listener as one worker has it.
#[derive(Debug)]
pub(crate) struct Listener {
    addr: SocketAddr,
    sockets: ListenerPair,
    /// The proxies by which clients come, if they come so and no other way.
    proxies: Option<Proxies>,
    /// Plain datagrams are served.
    plain: bool,
    /// DTLS is.
    dtls: bool,
}

impl Listener {
    /// A listener at this address, with its sockets.
    pub(super) fn new(address: &ListenAddress, sockets: ListenerPair) -> Self {
        Self { addr: address.addr, sockets, proxies: address.proxies.clone(), plain: address.udp, dtls: address.dtls }
    }
}

/// Everything that one thread owns.
pub(crate) struct Worker {
    server: Server,
    commons: Arc<Commons>,
    /// The place of this worker there.
    place: usize,
    /// What other workers have for this one, and where it is told of it.
    mail: Arc<MailBox>,
    door: UnixStream,
    /// Clients that roam between this worker and others.
    roamers: Roamers,
    epoll: Rc<Epoll>,
    events: Events,
    listeners: Vec<Listener>,
    /// Clients that come by a proxy over UDP, and the one that is being served.
    guests: Guests,
    guest: Option<Path>,
    /// Clients under DTLS, if they are served, and room for what they say.
    dtls: Option<Sessions>,
    brought: Brought,
    sealed: Parts,
    relays: Relays,
    tcp: TcpRelays,
    /// What the connection of the client that is being served is to become.
    turning: Option<(Path, Turning)>,
    streams: Streams,
    inbox: Inbox,
    used: usize,
    outbox: Outbox,
    reply: Vec<u8>,
    now: Now,
    busy_poll: Duration,
    /// When to look next whether something has ended.
    tick: Time,
    /// The other end of the owner's line is closed.
    stopped: bool,
}

impl Worker {
    /// A worker with these sockets, which ends when the other end of `owner` is closed.
    pub(crate) fn new(
        server: Server,
        commons: Arc<Commons>,
        options: SocketOptions,
        sockets: Sockets,
        owner: &UnixStream,
    ) -> io::Result<Self> {
        let (epoll, now) = (Rc::new(Epoll::new()?), clock::now());
        epoll.add(owner, Source::Owner.token())?;
        let dtls = commons.dtls().map(|acceptor| Sessions::new(acceptor.engine(), Arc::clone(&commons), now.time));
        let (mail, door) = MailBox::new()?;
        epoll.add(&door, Source::Mail.token())?;
        let mail = Arc::new(mail);
        let place = commons.enter(Arc::clone(&mail));
        let listeners = sockets.udp;
        for (listener, index) in listeners.iter().zip(0..) {
            epoll.add(&listener.sockets.control, Source::Control(index).token())?;
            epoll.add(&listener.sockets.media, Source::Media(index).token())?;
        }
        Ok(Self {
            server,
            busy_poll: options.busy_poll,
            tcp: TcpRelays::new(Rc::clone(&epoll), options.clone()),
            turning: None,
            relays: Relays::new(Rc::clone(&epoll), options),
            streams: Streams::new(Rc::clone(&epoll), Arc::clone(&commons), sockets.streams, now.time)?,
            place,
            mail,
            door,
            roamers: Roamers::default(),
            commons,
            epoll,
            events: Events::new(EVENTS),
            listeners,
            guests: Guests::of(place),
            guest: None,
            dtls,
            brought: Brought::default(),
            sealed: Parts::default(),
            inbox: Inbox::new(SLOTS),
            used: 0,
            outbox: Outbox::new(),
            reply: Vec::new(),
            now,
            tick: now.time,
            stopped: false,
        })
    }

    /// Serves until the owner says that it is enough.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.stopped {
            let begun = self.now.time;
            let ready = self.wait()?;
            self.now = clock::now();
            self.serve_all(ready);
            if self.tick <= self.now.time {
                self.tick();
            }
            self.flush_datagrams();
            if begun < self.now.time {
                self.streams.release();
            }
            self.flush_streams();
        }
        self.commons.publish(self.place, &self.server);
        Ok(())
    }

    /// Waits for something to do; at first without sleep, where that is wanted.
    fn wait(&mut self) -> io::Result<usize> {
        let begun = (!self.busy_poll.is_zero()).then(Instant::now);
        while begun.is_some_and(|begun| begun.elapsed() < self.busy_poll) {
            let ready = self.epoll.wait(&mut self.events, Duration::ZERO)?;
            if ready > 0 {
                return Ok(ready);
            }
        }
        let patience = self.patience();
        self.epoll.wait(&mut self.events, patience)
    }

    /// How long to wait for something to do: a millisecond while frames gather for a stream.
    fn patience(&self) -> Duration {
        let tick = self.now.time.until(self.tick);
        if self.streams.holds() { tick.min(GATHER) } else { tick }
    }

    /// Serves what is ready. TURN requests first: what keeps a call alive must not wait for what a call carries.
    fn serve_all(&mut self, ready: usize) {
        self.streams.begin_turn();
        for control in [true, false] {
            for index in 0..ready {
                let event = self.events.at(index);
                let source = Source::of(event.token);
                if matches!(source, Source::Control(_)) == control {
                    self.serve(source, event);
                }
            }
        }
    }

    /// Ends what has ended.
    fn tick(&mut self) {
        self.tick = self.now.time.after(TICK);
        self.commons.publish(self.place, &self.server);
        if self.server.poll_timeout().is_some_and(|due| due <= self.now.time) {
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.tend_sessions();
        self.tend_guests();
        self.streams.resume();
        self.tcp.resume();
        while let Some(index) = self.next_idle() {
            self.end_stream(index);
        }
    }

    /// The next stream client whose time is over, and who has no allocation.
    fn next_idle(&mut self) -> Option<u32> {
        self.streams.next_over(self.now.time, |path| self.roamers.lives_on(&self.server, path))
    }

    /// Sends the datagrams that wait, and frees their buffers.
    fn flush_datagrams(&mut self) {
        send_all(&mut self.server, &mut self.outbox, &self.inbox);
        self.used = 0;
    }

    /// Reads one ready socket.
    fn serve(&mut self, source: Source, event: Ready) {
        match source {
            Source::Accept(index) => return self.streams.accept(index, self.now.time),
            Source::Stream(index) => return self.serve_stream(index, event),
            Source::Peers(relay) => return self.accept_peers(RelayId(relay)),
            Source::Peer(number) => {
                return self.serve_connection(ConnectionId(number), Told { client: false, peer: event.readable });
            }
            Source::Data(number) => {
                return self.serve_connection(ConnectionId(number), Told { client: event.readable, peer: false });
            }
            Source::Mail => return self.take_mail(),
            Source::Owner => return self.stopped = true,
            _ => {}
        }
        let Some((socket, batch, turns)) = self.socket(source) else { return };
        if let (Source::Relay(index) | Source::Twin(index), true) = (source, event.failed) {
            self.read_errors(socket, RelayId(index));
        }
        for _ in 0..turns {
            if !event.readable || !self.read(source, socket, batch) {
                return;
            }
        }
    }

    /// A source's descriptor, and how much may be read from it at a time.
    fn socket(&self, source: Source) -> Option<(RawFd, usize, usize)> {
        let listener = |index: u32| self.listeners.get(index as usize);
        match source {
            Source::Control(at) => Some((listener(at)?.sockets.control.as_raw_fd(), LISTENER_BATCH, LISTENER_TURNS)),
            Source::Media(at) => Some((listener(at)?.sockets.media.as_raw_fd(), LISTENER_BATCH, LISTENER_TURNS)),
            Source::Relay(at) => Some((self.relays.socket(RelayId(at))?.as_raw_fd(), RELAY_BATCH, 1)),
            Source::Twin(at) => Some((self.relays.twin(RelayId(at))?.as_raw_fd(), RELAY_BATCH, 1)),
            _ => None,
        }
    }

    /// Reads a batch; true if there may be more.
    fn read(&mut self, source: Source, socket: RawFd, batch: usize) -> bool {
        if self.inbox.slots() - self.used < batch {
            self.flush_datagrams();
        }
        // An error here is that of an earlier datagram's ICMP, or that there is nothing: both mean later.
        let Ok(count) = self.inbox.receive(socket, self.used, batch) else { return false };
        for slot in self.used..self.used + count {
            if let Some(datagram) = self.inbox.datagram(slot) {
                self.take(source, &datagram);
            }
        }
        self.used += count;
        if let (Source::Relay(index), true) = (source, count > 1) {
            self.relays.join(RelayId(index));
        }
        count == batch
    }

    /// Takes what other workers have sent.
    fn take_mail(&mut self) {
        for letter in self.mail.take(&self.door) {
            match letter {
                Mail::Roaming(roaming) => self.take_roaming(roaming),
                Mail::Control(letter) => self.take_control(letter),
                Mail::Stream { client, ended } => self.take_stream(*client, ended),
            }
            self.drain();
            self.turn(false);
        }
    }
}
