//! A connection, TCP or TLS: frames in and out, as far as the kernel is willing.

use crate::client::is_full;
use crate::wire::stream::{Frame, next};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// Bytes that may wait for a server that does not read. Beyond, packets are left out, and count as lost.
const BACKLOG: usize = 64 << 10;
/// Bytes that the kernel may hold: enough for a busy link, not so many that seconds of packets queue up.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// Whom TLS connections trust, and whom they ask for.
#[derive(Clone)]
pub(super) struct Tls {
    /// The settings of every connection.
    pub config: Arc<ClientConfig>,
    /// Whom the certificate must name.
    pub name: ServerName<'static>,
}

/// A connection.
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    input: Vec<u8>,
    /// How much of the input has been taken.
    taken: usize,
    output: Vec<u8>,
}

impl Stream {
    /// Begins to connect.
    pub(super) fn open(server: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        match socket.connect(&SockAddr::from(server)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let connect = |tls: &Tls| ClientConnection::new(Arc::clone(&tls.config), tls.name.clone()).map(Box::new);
        let tls = tls.map(connect).transpose().map_err(io::Error::other)?;
        Ok(Self { socket: socket.into(), tls, input: Vec::new(), taken: 0, output: Vec::new() })
    }

    /// What somebody else has connected.
    pub(super) fn accepted(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, tls: None, input: Vec::new(), taken: 0, output: Vec::new() })
    }

    /// Keeps a frame until [`Stream::flush`]; false if too much waits already.
    pub(super) fn push(&mut self, frame: &[u8]) -> bool {
        let room = self.output.len() < BACKLOG;
        if room {
            self.output.extend_from_slice(frame);
        }
        room
    }

    /// Writes what the kernel takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let written = match &mut self.tls {
            None => write_some(&mut self.socket, &self.output)?,
            Some(tls) => {
                let written =
                    if tls.wants_write() && !tls.is_handshaking() { 0 } else { tls.writer().write(&self.output)? };
                send_records(tls, &mut self.socket)?;
                written
            }
        };
        self.output.drain(..written);
        Ok(())
    }

    /// Something waits to be written.
    pub(super) fn is_behind(&self) -> bool {
        !self.output.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Takes the next frame; says how long it is.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if let Some(len) = self.take(into)? {
            return Ok(Some(len));
        }
        if self.read()? { self.take(into) } else { Ok(None) }
    }

    /// Takes a frame that has been read as a whole. Padding is skipped with it, so it waits for that too.
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let rest = &self.input[self.taken..];
        match next(rest, true) {
            Frame::Complete { len, pad } if rest.len() >= len + pad => {
                let kept = len.min(into.len());
                into[..kept].copy_from_slice(&rest[..kept]);
                self.taken += len + pad;
                Ok(Some(kept))
            }
            Frame::Complete { .. } | Frame::Incomplete { .. } => Ok(None),
            Frame::Invalid => Err(io::Error::new(ErrorKind::InvalidData, "what comes is neither STUN nor ChannelData")),
        }
    }

    /// Reads what has come; false if nothing has.
    fn read(&mut self) -> io::Result<bool> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let before = self.input.len();
        let mut wire = [0; READ];
        match self.socket.read(&mut wire) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.decrypt(&wire[..len])?,
            Err(error) if is_waiting(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(self.input.len() > before)
    }

    /// Appends to the input what the bytes of the connection say.
    fn decrypt(&mut self, mut wire: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.input.extend_from_slice(wire);
            return Ok(());
        };
        while !wire.is_empty() {
            tls.read_tls(&mut wire)?;
            let result = tls.process_new_packets();
            // Also what a handshake has to say, and the alert that tells the server why it failed.
            send_records(tls, &mut self.socket)?;
            result.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            match tls.reader().read_to_end(&mut self.input) {
                Err(error) if !is_waiting(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Writes as much as the kernel takes.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if is_waiting(&error) => Ok(0),
        other => other,
    }
}

/// Writes the records that are ready.
fn send_records(tls: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Err(error) if is_waiting(&error) => return Ok(()),
            other => other.map(drop)?,
        }
    }
    Ok(())
}

/// Nothing is wrong: the kernel is full, nothing has come, or the connection is still being made.
fn is_waiting(error: &io::Error) -> bool {
    is_full(error) || matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::Interrupted)
}
