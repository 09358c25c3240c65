//! Relay sockets: one for each relayed address, and a connected twin for the peer that it mostly sends to.
//!
//! The kernel finds the route of every datagram that leaves by an unconnected socket, chooses its identification
//! by a hash and reads its address from user space; a connected socket has all that ready. But a connected socket
//! receives from its one peer alone. So a relay that has sent a row of datagrams to one peer gets a second socket on
//! the same port, connected to that peer: what that peer sends arrives there, all else at the first socket as before.

use super::source::Source;
use super::sys::{Epoll, descriptor_limit};
use super::udp::{self, SocketOptions};
use crate::turn::RelayId;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

/// Datagrams to one peer in a row that make it worth a socket of its own: ten seconds of audio, two of video. Opening it
/// costs what two hundred datagrams by it save.
const ROW: u32 = 512;

/// The relay sockets of a worker, by their places in the core's table.
pub(crate) struct Relays {
    places: Vec<Option<Relay>>,
    epoll: Rc<Epoll>,
    options: SocketOptions,
    /// The highest descriptor that a twin may have.
    ceiling: u64,
}

/// A relay socket with its twin.
#[derive(Debug)]
pub(crate) struct Relay {
    socket: UdpSocket,
    twin: Option<Twin>,
    /// The peer of the last datagrams, and how many they were.
    row: Option<(SocketAddr, u32)>,
    /// The kernel may join what the socket receives.
    joins: bool,
}

/// A connected socket on the port of a relay socket.
#[derive(Debug)]
struct Twin {
    socket: UdpSocket,
    /// None while no peer may be served: the last attempt to connect has failed.
    peer: Option<SocketAddr>,
}

/// What a datagram leaves by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    /// The socket.
    pub socket: RawFd,
    /// It is connected to the peer.
    pub connected: bool,
}

impl Relays {
    /// No sockets yet; those to come are watched by this set.
    pub(crate) fn new(epoll: Rc<Epoll>, options: SocketOptions) -> Self {
        // What makes flows cheaper must not cost others their relay.
        let ceiling = descriptor_limit().unwrap_or(0) / 2;
        Self { places: Vec::new(), epoll, options, ceiling }
    }

    /// Binds a socket.
    pub(crate) fn open(&mut self, relay: RelayId, addr: SocketAddr) -> io::Result<()> {
        let socket = udp::relay(addr, &self.options)?;
        self.adopt(relay, socket)
    }

    /// Puts a bound socket into its place.
    pub(crate) fn adopt(&mut self, relay: RelayId, socket: UdpSocket) -> io::Result<()> {
        self.take_in(relay, Relay { socket, twin: None, row: None, joins: false })
    }

    fn put(&mut self, relay: RelayId, new: Relay) {
        let index = relay.0 as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index] = Some(new);
    }

    /// Takes a socket out of its place; its twin is closed. What waits to leave by them must have gone, for their
    /// numbers may soon be other sockets'.
    pub(crate) fn close(&mut self, relay: RelayId) -> Option<UdpSocket> {
        let Relay { socket, .. } = self.places.get_mut(relay.0 as usize)?.take()?;
        // A socket that is kept for a reservation lives on, so closing alone would not take it out of the set.
        _ = self.epoll.remove(&socket);
        Some(socket)
    }

    /// Takes a socket and its twin out of their place, with all that waits in them. What waits to leave by them must
    /// have gone.
    pub(crate) fn take(&mut self, relay: RelayId) -> Option<Relay> {
        let found = self.places.get_mut(relay.0 as usize)?.take()?;
        for socket in found.sockets() {
            _ = self.epoll.remove(socket);
        }
        Some(found)
    }

    /// Puts what another worker has taken out into its place here.
    pub(crate) fn take_in(&mut self, relay: RelayId, new: Relay) -> io::Result<()> {
        self.epoll.add(&new.socket, Source::Relay(relay.0).token())?;
        if let Some(twin) = &new.twin {
            self.epoll.add(&twin.socket, Source::Twin(relay.0).token())?;
        }
        self.put(relay, new);
        Ok(())
    }

    /// The socket that receives from anybody.
    pub(crate) fn socket(&self, relay: RelayId) -> Option<&UdpSocket> {
        self.get(relay).map(|relay| &relay.socket)
    }

    /// The socket that receives from one peer, if there is one.
    pub(crate) fn twin(&self, relay: RelayId) -> Option<&UdpSocket> {
        self.get(relay)?.twin.as_ref().map(|twin| &twin.socket)
    }

    /// Datagrams come in runs: the kernel may join them. Most relays never see one, and asking is dear.
    pub(crate) fn join(&mut self, relay: RelayId) {
        let may_join = self.options.join;
        if let Some(relay) = self.get_mut(relay).filter(|relay| may_join && !relay.joins) {
            udp::join(&relay.socket);
            relay.joins = true;
        }
    }

    /// What a datagram to this peer leaves by.
    pub(crate) fn exit(&self, relay: RelayId, peer: SocketAddr) -> Option<Exit> {
        self.get(relay).map(|relay| relay.exit(peer))
    }

    /// Counts a datagram to a peer; true if a long row of them has earned the peer a socket of its own.
    pub(crate) fn count(&mut self, relay: RelayId, peer: SocketAddr) -> bool {
        self.get_mut(relay).is_some_and(|relay| relay.count(peer))
    }

    /// Gives a peer a socket of its own, if the system lets. What waits to leave by the one of another peer must
    /// have gone, or it would go to this one.
    pub(crate) fn favour(&mut self, relay: RelayId, peer: SocketAddr) {
        let Self { places, epoll, options, ceiling } = self;
        let Some(Some(found)) = places.get_mut(relay.0 as usize) else { return };
        let opened = found.favour(peer, options);
        if let (Ok(true), Some(twin)) = (opened, &found.twin)
            && (twin.socket.as_raw_fd() as u64 > *ceiling
                || epoll.add(&twin.socket, Source::Twin(relay.0).token()).is_err())
        {
            // Descriptors are scarce, or nobody would hear what the peer sends to it.
            found.twin = None;
        }
    }

    fn get_mut(&mut self, relay: RelayId) -> Option<&mut Relay> {
        self.places.get_mut(relay.0 as usize)?.as_mut()
    }

    fn get(&self, relay: RelayId) -> Option<&Relay> {
        self.places.get(relay.0 as usize)?.as_ref()
    }
}

impl Relay {
    fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [&self.socket].into_iter().chain(self.twin.as_ref().map(|twin| &twin.socket))
    }

    /// What a datagram to this peer leaves by.
    fn exit(&self, peer: SocketAddr) -> Exit {
        match &self.twin {
            Some(twin) if twin.peer == Some(peer) => Exit { socket: twin.socket.as_raw_fd(), connected: true },
            _ => Exit { socket: self.socket.as_raw_fd(), connected: false },
        }
    }

    /// Counts a datagram to a peer without a socket of its own; true if it has earned one now.
    fn count(&mut self, peer: SocketAddr) -> bool {
        if self.exit(peer).connected {
            return false;
        }
        let row = self.row.filter(|(last, _)| *last == peer).map_or(1, |(_, row)| row + 1);
        self.row = (row < ROW).then_some((peer, row));
        row == ROW
    }

    /// Connects the twin to this peer; true if it was opened for that.
    fn favour(&mut self, peer: SocketAddr, options: &SocketOptions) -> io::Result<bool> {
        if let Some(twin) = &mut self.twin {
            twin.peer = None;
            twin.socket.connect(peer)?;
            twin.peer = Some(peer);
            return Ok(false);
        }
        let socket = udp::twin(&self.socket, options)?;
        socket.connect(peer)?;
        self.twin = Some(Twin { socket, peer: Some(peer) });
        Ok(true)
    }
}
