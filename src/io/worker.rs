//! One worker: wait, read a batch, ask, act, send a batch.
//!
//! A worker is one thread. It owns a pair of UDP sockets for each listener, the connections that it
//! accepted, one [`Server`] and the relay sockets of its allocations. Both directions of a flow meet here,
//! so nothing is locked or queued for a packet.

mod dtls;
mod proxy;
mod roaming;
mod streams;
mod tcp;

use super::clock;
use super::commons::{Commons, Deposit};
use super::dtls::{Brought, Parts, Sessions, is_dtls};
use super::joint::Told;
use super::mail::{Mail, MailBox};
use super::outbox::{Address, Outbox};
use super::proxy::{Guests, Proxies, is_guest};
use super::relay::{Exit, Relays};
use super::source::Source;
use super::stream::Streams;
use super::sys::{self, Datagram, Epoll, Events, Inbox, Ready};
use super::tcp::TcpRelays;
use super::udp::{self, ListenerPair, SocketOptions};
use super::{ListenAddress, Sockets};
use crate::dataplane::xdp::Kernel;
use crate::turn::{
    Action, ConnectionId, Event, Head, Notice, Now, OpenError, Owner, Path, Protocol, Reason, RelayId, Server, Time,
    Token, Transport, Verdict,
};
use roaming::Roamers;
pub(crate) use roaming::Roaming;
use std::io;
use std::net::{SocketAddr, UdpSocket};
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
/// Errors read from one relay socket before the others have their turn.
const ERRORS: usize = 16;
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
            place: commons.enter(Arc::clone(&mail)),
            mail,
            door,
            roamers: Roamers::default(),
            commons,
            epoll,
            events: Events::new(EVENTS),
            listeners,
            guests: Guests::default(),
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
        self.commons.publish(self.place, self.server.counters());
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
        self.commons.publish(self.place, self.server.counters());
        if self.server.poll_timeout().is_some_and(|due| due <= self.now.time) {
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.tend_sessions();
        self.streams.resume();
        self.tcp.resume();
        while let Some(index) = self.next_idle() {
            self.end_stream(index);
        }
    }

    /// The next stream client whose time is over, and who has no allocation.
    fn next_idle(&mut self) -> Option<u32> {
        let (server, roamers) = (&self.server, &self.roamers);
        self.streams.next_over(self.now.time, |path| server.has_allocation(path) || roamers.home(path).is_some())
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

    /// Decides about a datagram, or each of those that came joined.
    fn take(&mut self, source: Source, datagram: &Datagram) {
        match source {
            Source::Relay(index) | Source::Twin(index) => {
                for part in datagram.segments() {
                    self.take_from_peer(RelayId(index), datagram, part);
                    self.drain();
                }
            }
            Source::Control(index) | Source::Media(index) => {
                let listener = &self.listeners[index as usize];
                let Some(path) = client_path(listener, index, datagram) else { return };
                if listener.proxies.is_some() {
                    return self.take_from_proxy(path, datagram);
                }
                let (plain, dtls) = (listener.plain, listener.dtls);
                for part in datagram.segments() {
                    if dtls && is_dtls(self.inbox.part(part.0, part.1)) {
                        self.take_record(path, part);
                    } else if plain {
                        self.take_from_client(path, datagram, part);
                    } else {
                        self.server.count_drop(Reason::UnknownProtocol);
                    }
                    self.drain();
                }
            }
            _ => {}
        }
    }

    /// Decides about a client's datagram.
    fn take_from_client(&mut self, path: Path, datagram: &Datagram, (start, len): (usize, usize)) {
        let packet = self.inbox.part(start, len);
        if let Some(home) = self.roamers.home(&path) {
            return self.hand_home(home, path, packet.to_vec());
        }
        match self.server.handle_client(self.now, path, packet, &mut self.reply) {
            Verdict::ToPeer { relay, peer, body, dont_fragment } => {
                if dont_fragment {
                    let Some(socket) = self.relays.socket(relay) else { return };
                    send_whole(&mut self.server, &mut self.outbox, &self.inbox, socket, (peer, datagram.tos), body);
                } else if let Some(exit) = exit(&mut self.relays, (relay, peer), || {
                    send_all(&mut self.server, &mut self.outbox, &self.inbox);
                }) {
                    self.outbox.push_received(peer_address(exit, peer, datagram.tos), Head::EMPTY, &self.inbox, body);
                }
            }
            Verdict::Reply => self.answer(path),
            Verdict::Drop(reason) => tracing::trace!(from = %path.client, reason = reason.label(), "dropped"),
            Verdict::Elsewhere(claim) => {
                let packet = packet.to_vec();
                self.ask_elsewhere(path, claim, packet);
            }
            Verdict::ToClient { .. } | Verdict::Done => {}
        }
    }

    /// Decides about a peer's datagram.
    fn take_from_peer(&mut self, relay: RelayId, datagram: &Datagram, (start, len): (usize, usize)) {
        let packet = self.inbox.part(start, len);
        match self.server.handle_peer(self.now, relay, datagram.from, packet) {
            Verdict::ToClient { path, head, body } if path.transport == Transport::Udp => {
                let Some(address) = client_address(&self.listeners, &self.guests, &path, datagram.tos) else { return };
                self.outbox.push_received(address, head, &self.inbox, body);
            }
            Verdict::ToClient { path, head, body } if path.transport == Transport::Dtls => {
                for part in [head.as_bytes(), body, &[0; 3][..head.pad()]] {
                    self.reply.extend_from_slice(part);
                }
                self.say_reply(path, datagram.tos);
            }
            Verdict::ToClient { path, head, body } => {
                if !self.streams.push_data(&path, &head, body, self.now.time) {
                    self.server.count_drop(Reason::SlowClient);
                }
            }
            Verdict::Drop(reason) => tracing::trace!(from = %datagram.from, reason = reason.label(), "dropped"),
            Verdict::ToPeer { .. } | Verdict::Reply | Verdict::Elsewhere(_) | Verdict::Done => {}
        }
    }

    /// Sends the reply buffer to a client.
    fn answer(&mut self, path: Path) {
        let reply = std::mem::take(&mut self.reply);
        self.send(path, &reply);
        self.reply = reply;
        self.reply.clear();
    }

    /// Sends a message to a client.
    fn send(&mut self, path: Path, message: &[u8]) {
        match path.transport {
            Transport::Udp => {
                if let Some(address) = client_address(&self.listeners, &self.guests, &path, 0) {
                    self.outbox.push_copy(address, Head::EMPTY, message);
                }
            }
            Transport::Dtls => self.say(path, message, 0),
            Transport::Tcp | Transport::Tls => self.streams.push_message(&path, message),
        }
    }

    /// Sends a message to a client from the listener at this address, if there is one.
    fn send_from(&mut self, path: Path, message: &[u8]) {
        if let Some(link) = self.listeners.iter().position(|listener| listener.addr == path.server) {
            self.send(Path { link: link as u32, ..path }, message);
        }
    }

    /// Tells the core of the ICMP errors that a relay socket met.
    fn read_errors(&mut self, socket: RawFd, relay: RelayId) {
        for _ in 0..ERRORS {
            match sys::take_error(socket) {
                None => return clear_error(socket),
                Some(None) => {}
                Some(Some((peer, icmp))) => {
                    self.server.handle_event(self.now, Event::Icmp { relay, peer, icmp });
                    self.drain();
                }
            }
        }
    }

    /// Carries out what the core asks for.
    fn drain(&mut self) {
        while let Some(action) = self.server.poll() {
            if self.can_act(&action) {
                self.act(action);
            }
        }
        self.send_after();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Charge { ticket, owner, source } => {
                let granted = self.commons.ledger().charge(&owner, source);
                self.server.handle_event(self.now, Event::Charged { ticket, granted });
            }
            Action::Release { owner, source } => self.commons.ledger().release(&owner, source),
            Action::OpenRelay { ticket, relay, addr, protocol } => {
                let result = match protocol {
                    Protocol::Udp => self.open_relay(relay, addr),
                    Protocol::Tcp => self.listen(relay, addr),
                };
                self.server.handle_event(self.now, Event::RelayOpened { ticket, result });
            }
            Action::CloseRelay { relay } if self.tcp.close(relay) => {}
            Action::CloseRelay { relay } => drop(self.close_relay(relay)),
            Action::Connect { connection, relay, to } => self.connect(connection, relay, to),
            Action::CloseConnection { connection } => self.tcp.remove(connection),
            Action::Pace { connection, rate } => self.tcp.pace(connection, rate),
            Action::Bind { connection, path } => self.bind(connection, path),
            Action::Deposit { relay, token, owner } => {
                if let Some(socket) = self.close_relay(relay) {
                    self.deposit(token, owner, socket);
                }
            }
            Action::Withdraw { ticket, relay, token, owner } => {
                let addr = self.withdraw(relay, &token, &owner);
                self.server.handle_event(self.now, Event::Withdrawn { ticket, addr });
            }
            Action::Forget { token } => self.commons.forget(&token),
            Action::Send { path, message } => self.send(path, &message),
            Action::SendFrom { path, message } => self.send_from(path, &message),
            Action::AddClaim { claim } => self.commons.add_claim(claim, self.place),
            Action::RemoveClaim { claim } => self.commons.remove_claim(claim),
            Action::Leave { path } => self.leave(&path),
            Action::Tell(notice) => {
                tell(&notice);
                self.note_move(&notice);
            }
            Action::AddRoute(route) => self.kernel(|kernel| kernel.add(&route)),
            Action::RemoveRoute(route) => self.kernel(|kernel| kernel.remove(&route)),
            Action::AddPermission(permission) => self.kernel(|kernel| kernel.permit(&permission)),
            Action::RemovePermission(permission) => self.kernel(|kernel| kernel.forbid(&permission)),
        }
    }

    /// Takes what other workers have sent.
    fn take_mail(&mut self) {
        for letter in self.mail.take(&self.door) {
            match letter {
                Mail::Roaming(roaming) => self.take_roaming(roaming),
                Mail::Stream { client, ended } => self.take_stream(*client, ended),
            }
            self.drain();
            self.turn(false);
        }
    }

    /// Tells the kernel path something, if there is one.
    fn kernel(&self, tell: impl FnOnce(&Kernel)) {
        if let Some(kernel) = self.commons.kernel() {
            tell(kernel);
        }
    }

    fn open_relay(&mut self, relay: RelayId, addr: SocketAddr) -> Result<(), OpenError> {
        self.relays.open(relay, addr).map_err(|error| open_error(addr, &error))
    }

    /// Takes a socket out of its place. What waits to leave by it goes first.
    fn close_relay(&mut self, relay: RelayId) -> Option<UdpSocket> {
        send_all(&mut self.server, &mut self.outbox, &self.inbox);
        self.relays.close(relay)
    }

    /// Takes a socket that was kept for its owner, if it is there.
    fn withdraw(&mut self, relay: RelayId, token: &Token, owner: &Owner) -> Option<SocketAddr> {
        let Deposit { socket, addr, .. } = self.commons.withdraw(token, owner)?;
        self.relays.adopt(relay, socket).ok()?;
        Some(addr)
    }

    fn deposit(&self, token: Token, owner: Owner, socket: UdpSocket) {
        if let Ok(addr) = socket.local_addr() {
            self.commons.deposit(token, Deposit { owner, socket, addr });
        }
    }
}

/// Sends what waits; the datagrams stay in the inbox.
fn send_all(server: &mut Server, outbox: &mut Outbox, inbox: &Inbox) {
    if outbox.len() > 0 {
        outbox.flush(inbox, &mut |reason| server.count_drop(reason));
    }
}

/// Sends one datagram with DF: a property of the socket, so what waits goes first and it goes alone.
fn send_whole(
    server: &mut Server,
    outbox: &mut Outbox,
    inbox: &Inbox,
    socket: &UdpSocket,
    (peer, tos): (SocketAddr, u8),
    body: &[u8],
) {
    send_all(server, outbox, inbox);
    let address = peer_address(Exit { socket: socket.as_raw_fd(), connected: false }, peer, tos);
    for on in [true, false] {
        if udp::set_dont_fragment(socket, peer.ip(), on).is_err() {
            server.count_drop(Reason::SendFailed);
        }
        if on {
            outbox.push_copy(address, Head::EMPTY, body);
            send_all(server, outbox, inbox);
        }
    }
}

/// What a datagram to a peer leaves by. A peer that has earned a socket of its own gets it, after a flush.
fn exit(relays: &mut Relays, (relay, peer): (RelayId, SocketAddr), flush: impl FnOnce()) -> Option<Exit> {
    if relays.count(relay, peer) {
        flush();
        relays.favour(relay, peer);
    }
    relays.exit(relay, peer)
}

/// How to send to a peer.
fn peer_address(Exit { socket, connected }: Exit, peer: SocketAddr, tos: u8) -> Address {
    Address { socket, to: peer, connected, source: None, tos }
}

/// Clears the error that a socket would report for ever if its entry in the queue was lost for want of room.
fn clear_error(socket: RawFd) {
    // Whatever it was, the queue has told all that there is to tell.
    _ = sys::pending_error(socket);
}

/// The path of a client's datagram; none if a wildcard socket was not told where it came to.
fn client_path(listener: &Listener, index: u32, datagram: &Datagram) -> Option<Path> {
    let server = if listener.addr.ip().is_unspecified() {
        SocketAddr::new(datagram.to?, listener.addr.port())
    } else {
        listener.addr
    };
    Some(Path { client: datagram.from, server, transport: Transport::Udp, link: index })
}

/// How to send to a client: from the address that it used (RFC 8489 §6.3.1.2), by the proxy through which it came.
/// None if that has been forgotten.
fn client_address(listeners: &[Listener], guests: &Guests, path: &Path, tos: u8) -> Option<Address> {
    let (link, to) = if is_guest(path) { guests.way(path)? } else { (path.link, path.client) };
    let listener = &listeners[link as usize];
    let source = listener.addr.ip().is_unspecified().then_some(path.server.ip());
    Some(Address { socket: listener.sockets.media.as_raw_fd(), to, connected: false, source, tos })
}

/// Logs what has become of an allocation. Addresses and names stand at debug and below.
fn tell(notice: &Notice) {
    match notice {
        Notice::Made { path, owner, relayed: [v4, v6] } => {
            let (v4, v6) = (v4.map(tracing::field::display), v6.map(tracing::field::display));
            tracing::debug!(client = %path.client, transport = ?path.transport, user = %owner.name, realm = %owner.realm, v4, v6, "allocation made");
        }
        Notice::Moved { from, to, owner } => {
            tracing::debug!(from = %from.client, client = %to.client, transport = ?to.transport, user = %owner.name, realm = %owner.realm, "allocation moved");
        }
        Notice::Ended { path, owner } => {
            tracing::debug!(client = %path.client, transport = ?path.transport, user = %owner.name, realm = %owner.realm, "allocation ended");
        }
    }
}

/// What a failed bind means for the core.
fn open_error(addr: SocketAddr, error: &io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE | libc::EACCES) => OpenError::InUse,
        Some(libc::EADDRNOTAVAIL) => {
            tracing::warn!(%error, "relay: the relay address is not this host's; see relay.addresses");
            tracing::debug!(%addr, "relay: could not bind");
            OpenError::Unavailable
        }
        _ => {
            tracing::warn!(%error, "relay: no socket to be had");
            OpenError::Exhausted
        }
    }
}
