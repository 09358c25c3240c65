//! How a client reaches the server: a datagram socket, bare or under DTLS, or a stream. None of them ever waits.

use super::dtls::Sealed;
use super::filter;
use super::plan::Plan;
use super::stream::Stream;
use crate::client::is_full;
use crate::client::target::any;
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
    /// The same under DTLS.
    Sealed(Box<Sealed>),
    /// A connection.
    Stream(Box<Stream>),
}

impl Link {
    /// Opens a socket of its own. A connection may still be in the making when this returns.
    pub(super) fn open(plan: &Plan) -> io::Result<Self> {
        if plan.options.target.transport.is_stream() {
            return Ok(Self::Stream(Box::new(Stream::open(plan.server, plan.tls.as_ref())?)));
        }
        let socket = connected_socket(plan.server)?;
        if let Some(settings) = &plan.dtls {
            // No filter sees what a record holds, so all of them are read.
            return Ok(Self::Sealed(Box::new(Sealed::open(socket, settings)?)));
        }
        filter::sample_messages(&socket)?;
        Ok(Self::Datagram(socket))
    }

    /// Sends one datagram; false if the kernel has no room for it. A stream takes none.
    pub(super) fn send_datagram(&mut self, packet: &[u8]) -> io::Result<bool> {
        match self {
            Self::Datagram(socket) => match socket.send(packet) {
                Err(error) if is_full(&error) => Ok(false),
                other => other.map(|_| true),
            },
            Self::Sealed(sealed) => sealed.send(packet),
            Self::Stream(_) => Ok(false),
        }
    }

    /// Sends one message, or keeps it until the connection or the session takes it.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            // What the kernel has no room for is as good as lost, and will be sent again.
            Self::Datagram(_) | Self::Sealed(_) => self.send_datagram(message).map(drop),
            Self::Stream(stream) => {
                stream.push(message);
                stream.flush()
            }
        }
    }

    /// Writes what a connection did not take before, and what a handshake is to send again.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) if stream.is_behind() => return stream.flush(),
            Self::Sealed(sealed) => sealed.retransmit(),
            Self::Stream(_) | Self::Datagram(_) => {}
        }
        Ok(())
    }

    /// Takes the next message that has come, if there is one; says how long it is.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Datagram(socket) => match socket.recv(into) {
                Ok(len) => Ok(Some(len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            },
            Self::Sealed(sealed) => sealed.receive(into),
            Self::Stream(stream) => stream.receive(into),
        }
    }

    /// Takes the next message that a connection has read already, of which epoll knows nothing.
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Datagram(_) | Self::Sealed(_) => Ok(None),
            Self::Stream(stream) => stream.take(into),
        }
    }

    /// What is sent may be lost, so it is sent again.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self, Self::Datagram(_) | Self::Sealed(_))
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Datagram(socket) => socket.as_raw_fd(),
            Self::Sealed(sealed) => sealed.as_raw_fd(),
            Self::Stream(stream) => stream.as_raw_fd(),
        }
    }
}

/// Opens a UDP socket that sends to one address alone.
fn connected_socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = datagram_socket(SocketAddr::new(any(to), 0))?;
    socket.connect(to)?;
    Ok(socket)
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
