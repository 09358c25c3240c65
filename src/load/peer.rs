//! Peers: the built-in one of each thread, and the echo on another machine.

use super::ends::Ends;
use super::filter;
use super::link::datagram_socket;
use super::options::{Peer, Relayed};
use super::plan::Plan;
use super::source::Source;
use super::traffic::{DOWN, Tag, UP, WAY_AT};
use crate::io::sys::{Courier, Datagram, Epoll, Events, Inbox, Parcel, drops, set_option};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes that may wait for a peer.
const BUFFER: libc::c_int = 16 << 20;
/// Datagrams that an echo takes at once.
const SLOTS: usize = 64;

/// The built-in peer of a thread, as what is relayed asks for.
pub(super) enum BuiltIn {
    /// There is none, for the peer is on another machine.
    Absent,
    /// One socket for all clients.
    Datagrams {
        /// The socket.
        socket: UdpSocket,
        /// Its drop counter when it was last looked at.
        drops: u32,
    },
    /// The ends of the connections that the server has made.
    Connections(Ends),
}

impl BuiltIn {
    /// Opens what the plan asks for, for so many clients; says whom they talk to.
    pub(super) fn open(plan: &Plan, clients: usize) -> io::Result<(Self, SocketAddr)> {
        match (plan.options.peer, plan.options.relayed) {
            (Peer::Remote(addr), _) => Ok((Self::Absent, addr)),
            (Peer::BuiltIn(_), Relayed::Udp) => {
                let socket = sampled_socket(plan.peer)?;
                let addr = socket.local_addr()?;
                Ok((Self::Datagrams { socket, drops: 0 }, addr))
            }
            (Peer::BuiltIn(_), Relayed::Tcp) => {
                let (ends, addr) = Ends::listen(plan.peer, clients, plan.secret)?;
                Ok((Self::Connections(ends), addr))
            }
        }
    }

    /// Has it told when datagrams or connections come.
    pub(super) fn watch(&self, epoll: &Epoll) -> io::Result<()> {
        match self {
            Self::Absent => Ok(()),
            Self::Datagrams { socket, .. } => epoll.add(socket, Source::Peer.token()),
            Self::Connections(ends) => epoll.add(&ends.listener, Source::Peer.token()),
        }
    }

    /// How many packets the socket has only counted since this was last asked.
    pub(super) fn uncounted(&mut self) -> io::Result<u64> {
        let Self::Datagrams { socket, drops: before } = self else { return Ok(0) };
        let after = drops(socket)?;
        Ok(u64::from(after.wrapping_sub(std::mem::replace(before, after))))
    }

    /// The ends of connections, where there are some.
    pub(super) fn ends(&mut self) -> Option<&mut Ends> {
        if let Self::Connections(ends) = self { Some(ends) } else { None }
    }

    /// Connections are relayed.
    pub(super) fn has_connections(&self) -> bool {
        matches!(self, Self::Connections(_))
    }

    /// Something waits to be written.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Connections(ends) if ends.are_behind())
    }
}

/// Opens a socket that reads what is sampled, and only counts the rest.
fn sampled_socket(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = datagram_socket(SocketAddr::new(ip, 0))?;
    enlarge(&socket);
    filter::sample_payloads(&socket)?;
    Ok(socket)
}

/// Asks for a large receive buffer. Beyond the system's limit that is a right of few, and not needed by all.
fn enlarge(socket: &impl AsRawFd) {
    _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER);
}

/// A peer for another machine's measurement.
pub(super) struct Echo {
    /// One for each thread, all at one address.
    pub sockets: Vec<UdpSocket>,
    /// Packets that could not be sent.
    unsent: AtomicU64,
}

impl Echo {
    /// Opens the sockets.
    pub(super) fn open(addr: SocketAddr, threads: usize) -> io::Result<Self> {
        let first = echo_socket(addr)?;
        let addr = first.local_addr()?;
        let more = (1..threads).map(|_| echo_socket(addr));
        let sockets: io::Result<_> = std::iter::once(Ok(first)).chain(more).collect();
        Ok(Self { sockets: sockets?, unsent: AtomicU64::new(0) })
    }

    /// Sends back what comes to a socket, until the process ends.
    ///
    /// Only packets of a measurement that are on their way up are sent back, and they are marked as on their way
    /// down: two echoes never talk to each other.
    pub(super) fn run(&self, index: usize) -> io::Result<()> {
        let (mut inbox, mut courier, epoll) = (Inbox::new(SLOTS), Courier::new(SLOTS), Epoll::new()?);
        let (socket, mut events) = (&self.sockets[index], Events::new(1));
        epoll.add(socket, 0)?;
        loop {
            match inbox.receive(socket.as_raw_fd(), 0, SLOTS) {
                Ok(count) => {
                    let lost = send_back(socket, &inbox, count, &mut courier)?;
                    self.unsent.fetch_add(lost, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    _ = epoll.wait(&mut events, Duration::from_secs(1))?
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says on standard error, once a second, how many packets were lost, if there are more of them: whoever measures
    /// takes them for the server's.
    pub(super) fn watch(&self) -> io::Result<()> {
        let mut told = 0;
        loop {
            thread::sleep(Duration::from_secs(1));
            let lost = self.lost()?;
            if lost > told {
                eprintln!(
                    "echo: {lost} packets could not be sent back so far: this machine is the limit, not the server"
                );
            }
            told = lost;
        }
    }

    /// Packets that were not sent back: no room to send them, or none to receive them.
    fn lost(&self) -> io::Result<u64> {
        let dropped: io::Result<u64> = self.sockets.iter().map(|socket| drops(socket).map(u64::from)).sum();
        Ok(dropped? + self.unsent.load(Ordering::Relaxed))
    }
}

/// Opens a socket of an echo. The kernel joins datagrams that it receives, so that fewer calls are needed.
fn echo_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    enlarge(&socket);
    // An old kernel does not join datagrams; then they come one by one.
    _ = set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1);
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket.into())
}

/// Sends back a batch; says how many packets are lost, as the kernel has no room for them.
fn send_back(socket: &UdpSocket, inbox: &Inbox, count: usize, courier: &mut Courier) -> io::Result<u64> {
    let datagrams = (0..count).filter_map(|slot| inbox.datagram(slot)).filter(|datagram| is_ours(inbox, *datagram));
    let datagrams: Vec<Datagram> = datagrams.collect();
    let parcels = datagrams.iter().map(|datagram| {
        let mut sizes = datagram.segments().map(|(_, len)| len as u16);
        let segment = sizes.next().filter(|_| sizes.next().is_some());
        let parts = datagram.segments().flat_map(|(start, len)| turned(inbox.part(start, len)));
        Parcel { to: datagram.from, connected: false, source: None, tos: 0, segment, parts }
    });
    let taken = match courier.send(socket.as_raw_fd(), parcels) {
        Ok(taken) => taken,
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Err(error),
        // One address that cannot be reached must not end it for the others.
        Err(_) => 0,
    };
    Ok(datagrams[taken..].iter().map(|datagram| datagram.segments().count() as u64).sum())
}

/// Whether all that the kernel has joined are packets on their way up.
fn is_ours(inbox: &Inbox, datagram: Datagram) -> bool {
    let tag = |(start, len)| Tag::of_payload(inbox.part(start, len));
    datagram.segments().all(|segment| tag(segment).is_some_and(|tag| tag.way == UP))
}

/// A payload with its way turned round.
fn turned(payload: &[u8]) -> [&[u8]; 3] {
    [&payload[..WAY_AT], &[DOWN], &payload[WAY_AT + 1..]]
}
