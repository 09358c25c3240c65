//! How a client reaches the server: a datagram socket or a stream, neither of which ever waits.

use super::filter;
use super::plan::Plan;
use super::stream::Stream;
use super::target::{Transport, any};
use crate::io::sys::set_option;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

/// Bytes that a socket may hold of what was sampled; the system may allow less.
const BUFFER: libc::c_int = 4 << 20;

/// A way to the server.
pub(super) enum Link {
    /// A connected UDP socket.
    Datagram(UdpSocket),
    /// A connection.
    Stream(Box<Stream>),
}

impl Link {
    /// Opens a socket of its own. A connection may still be in the making when this returns.
    pub(super) fn open(plan: &Plan) -> io::Result<Self> {
        if plan.options.target.transport != Transport::Udp {
            return Ok(Self::Stream(Box::new(Stream::open(plan.server, plan.tls.as_ref())?)));
        }
        let socket = datagram_socket(SocketAddr::new(any(plan.server), 0))?;
        socket.connect(plan.server)?;
        filter::sample_messages(&socket)?;
        Ok(Self::Datagram(socket))
    }

    /// Sends one message, or keeps it until the connection takes it.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => match socket.send(message) {
                // It is as good as lost, and will be sent again.
                Err(error) if is_full(&error) => Ok(()),
                other => other.map(drop),
            },
            Self::Stream(stream) => {
                stream.push(message);
                stream.flush()
            }
        }
    }

    /// Writes what a connection did not take before.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) if stream.is_behind() => stream.flush(),
            Self::Stream(_) | Self::Datagram(_) => Ok(()),
        }
    }

    /// Takes the next message that has come, if there is one; says how long it is.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Datagram(socket) => match socket.recv(into) {
                Ok(len) => Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            },
            Self::Stream(stream) => stream.receive(into),
        }
    }

    /// Takes the next message that a connection has read already, of which epoll knows nothing.
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Datagram(_) => Ok(None),
            Self::Stream(stream) => stream.take(into),
        }
    }

    /// What is sent may be lost, so it is sent again.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self, Self::Datagram(_))
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Datagram(socket) => socket.as_raw_fd(),
            Self::Stream(stream) => stream.as_raw_fd(),
        }
    }
}

/// The kernel has no room for more at the moment.
pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Opens a UDP socket with large buffers that never waits.
pub(super) fn datagram_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(true)?;
    for name in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        set_option(&socket, libc::SOL_SOCKET, name, BUFFER)?;
    }
    Ok(socket)
}
