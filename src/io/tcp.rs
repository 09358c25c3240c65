//! TCP relays (RFC 6062): the sockets that listen for peers, and the connections to them.

use super::connection::Connection;
use super::joint::{Joint, Told, Tools};
use super::source::Source;
use super::sys::{Epoll, Interest, pending_error, set_option};
use super::udp::SocketOptions;
use crate::turn::{ConnectionId, RelayId};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;

/// Peers that wait to be accepted at one relay.
const QUEUE: libc::c_int = 64;

/// The TCP relays of a worker.
pub(super) struct TcpRelays {
    epoll: Rc<Epoll>,
    options: SocketOptions,
    listeners: HashMap<RelayId, TcpListener>,
    /// Those that could not accept, and are not watched for a moment.
    paused: Vec<RelayId>,
    connections: HashMap<ConnectionId, Stage>,
    tools: Tools,
}

/// How far a connection to a peer is.
enum Stage {
    /// The peer has not answered.
    Connecting(TcpStream),
    /// A client is to come. What the peer sends waits in the kernel, as much as fits there. Each direction may then take
    /// so many bytes per second.
    Waiting(TcpStream, Option<u64>),
    /// A client has come.
    Bound(Box<Joint>),
}

/// What there is to tell of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The peer has been reached, or not.
    Connected(bool),
    /// So many bytes were passed on: to the peer, to the client.
    Passed([u64; 2]),
    /// It has ended, after so many more.
    Ended([u64; 2]),
}

impl TcpRelays {
    /// None yet; those to come are watched by this set.
    pub(super) fn new(epoll: Rc<Epoll>, options: SocketOptions) -> Self {
        let (listeners, paused, connections, tools) = Default::default();
        Self { epoll, options, listeners, paused, connections, tools }
    }

    /// Listens at a relayed address.
    pub(super) fn listen(&mut self, relay: RelayId, addr: SocketAddr) -> io::Result<()> {
        let socket = self.socket(addr)?;
        socket.bind(&SockAddr::from(addr))?;
        // The port was free of others. From now on connections from it may stand beside those that come to it.
        socket.set_reuse_address(true)?;
        socket.listen(QUEUE)?;
        let listener = TcpListener::from(socket);
        self.epoll.add(&listener, Source::Peers(relay.0).token())?;
        self.listeners.insert(relay, listener);
        Ok(())
    }

    /// Listens no more; false if it is no relay of these.
    pub(super) fn close(&mut self, relay: RelayId) -> bool {
        self.listeners.remove(&relay).is_some()
    }

    /// The next peer that has connected to a relay.
    pub(super) fn accept(&mut self, relay: RelayId) -> Option<(TcpStream, SocketAddr)> {
        match self.listeners.get(&relay)?.accept() {
            Ok((socket, peer)) => {
                socket.set_nonblocking(true).and_then(|()| socket.set_nodelay(true)).ok()?;
                Some((socket, peer))
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => None,
            Err(error) => {
                self.pause(relay, &error);
                None
            }
        }
    }

    /// Stops watching a relay for a moment: descriptors have run out, most likely.
    fn pause(&mut self, relay: RelayId, error: &io::Error) {
        tracing::warn!(%error, "TCP relay: cannot accept");
        if self.listeners.get(&relay).is_some_and(|listener| self.epoll.remove(listener).is_ok()) {
            self.paused.push(relay);
        }
    }

    /// Watches again what could not accept.
    pub(super) fn resume(&mut self) {
        let Self { epoll, listeners, paused, .. } = self;
        paused.retain(|relay| {
            let watch = |listener| epoll.add(listener, Source::Peers(relay.0).token()).is_err();
            listeners.get(relay).is_some_and(watch)
        });
    }

    /// A connection waits for a client.
    pub(super) fn wait(&mut self, connection: ConnectionId, socket: TcpStream) {
        self.connections.insert(connection, Stage::Waiting(socket, None));
    }

    /// Begins to connect to a peer, from the address and the port of the relay. For the moment of binding both sockets
    /// must allow that, and no longer: another program of the same user could join them.
    pub(super) fn connect(&mut self, connection: ConnectionId, relay: RelayId, to: SocketAddr) -> io::Result<()> {
        let listener = self.listeners.get(&relay).ok_or(ErrorKind::AddrNotAvailable)?;
        let from = listener.local_addr()?;
        let (socket, shared) = (self.socket(from)?, SockRef::from(listener));
        shared.set_reuse_port(true)?;
        socket.set_reuse_port(true)?;
        socket.set_reuse_address(true)?;
        let bound = socket.bind(&SockAddr::from(from));
        shared.set_reuse_port(false)?;
        bound?;
        match socket.connect(&SockAddr::from(to)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        self.epoll.add_for(&socket, Source::Peer(connection.0).token(), Interest::Write)?;
        self.connections.insert(connection, Stage::Connecting(socket));
        Ok(())
    }

    /// Makes the connection one with that of a client, of which `ended` says that it will send no more.
    pub(super) fn bind(&mut self, connection: ConnectionId, client: Connection, ended: bool) -> Option<News> {
        match self.connections.remove(&connection)? {
            Stage::Waiting(peer, rate) => {
                let joint = Box::new(Joint::new(client, peer, ended));
                rate.into_iter().for_each(|rate| joint.pace(rate));
                self.connections.insert(connection, Stage::Bound(joint));
                self.serve(connection, Told::default())
            }
            stage => {
                self.connections.insert(connection, stage);
                None
            }
        }
    }

    /// Limits each direction of a connection to so many bytes per second, now or once it is bound.
    pub(super) fn pace(&mut self, connection: ConnectionId, rate: u64) {
        match self.connections.get_mut(&connection) {
            Some(Stage::Bound(joint)) => joint.pace(rate),
            Some(Stage::Waiting(_, waits)) => *waits = Some(rate),
            Some(Stage::Connecting(_)) | None => {}
        }
    }

    /// Closes a connection, and that of its client.
    pub(super) fn remove(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// Goes on with a connection of which a socket has something to tell.
    pub(super) fn serve(&mut self, connection: ConnectionId, told: Told) -> Option<News> {
        match self.connections.remove(&connection)? {
            Stage::Connecting(socket) => Some(News::Connected(self.reached(connection, socket))),
            Stage::Bound(joint) => Some(self.pass(connection, joint, told)),
            waiting @ Stage::Waiting(..) => {
                self.connections.insert(connection, waiting);
                None
            }
        }
    }

    /// Whether a peer has been reached. What it sends is not looked at before a client has come.
    fn reached(&mut self, connection: ConnectionId, socket: TcpStream) -> bool {
        let good = pending_error(socket.as_raw_fd()).is_ok_and(|error| error == 0);
        let reached = good && self.epoll.remove(&socket).is_ok();
        if reached {
            self.wait(connection, socket);
        }
        reached
    }

    fn pass(&mut self, connection: ConnectionId, mut joint: Box<Joint>, told: Told) -> News {
        let over = joint.pass(&mut self.tools, told);
        let passed = joint.passed();
        let tokens = [Source::Data(connection.0).token(), Source::Peer(connection.0).token()];
        if over || joint.watch(&self.epoll, tokens).is_err() {
            return News::Ended(passed);
        }
        self.connections.insert(connection, Stage::Bound(joint));
        News::Passed(passed)
    }

    /// A socket of an address's family.
    fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if let Some(device) = &self.options.device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        Ok(socket)
    }
}

/// Limits what a socket sends to so many bytes per second. A kernel that cannot, does not.
pub(super) fn pace(socket: &TcpStream, rate: u64) {
    let rate = u32::try_from(rate).unwrap_or(u32::MAX);
    _ = set_option(socket, libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate.cast_signed());
}
