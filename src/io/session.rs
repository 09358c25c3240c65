//! What the bytes of a stream are on the wire: themselves, or TLS.

use super::outgoing::Outgoing;
use super::proxy::Awaited;
use super::stream::StreamListener;
use super::tls::{Acceptor, Greeting};
use crate::wire::proxy;
use rustls::ServerConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// The first byte of a TLS handshake record.
const HANDSHAKE: u8 = 0x16;
/// Bytes that are read from a socket at a time.
const CHUNK: usize = 32 * 1024;
/// Bytes that may become readable at a time: what was read, and what an unfinished record held. A proxy's header is
/// looked at here as well.
const CLEAR: usize = larger(CHUNK + 17 * 1024, proxy::LONGEST);

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// One stream's way to the wire.
pub(super) enum Session {
    /// A proxy's header comes first.
    Proxied(Awaited),
    /// The first byte will tell.
    Undecided(Arc<Acceptor>),
    /// In clear.
    Plain,
    /// The client's hello is not whole yet.
    Greeting(Box<Greeting>),
    /// TLS, perhaps still shaking hands.
    Tls(Box<ServerConnection>),
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// So many bytes stand in the buffer; none if nothing was there, or only the session's own.
    pub(super) count: usize,
    /// The client will send no more.
    pub(super) end: bool,
}

/// Space to read into, shared by all streams of a worker.
pub(super) struct Buffers {
    wire: Vec<u8>,
    clear: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { wire: vec![0; CHUNK], clear: vec![0; CLEAR] }
    }
}

impl Buffers {
    /// None, in the place of those that are in use.
    pub(super) fn none() -> Self {
        Self { wire: Vec::new(), clear: Vec::new() }
    }

    /// What the last read has brought.
    pub(super) fn clear(&self, count: usize) -> &[u8] {
        &self.clear[..count]
    }

    /// Room to look at what has come.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.clear
    }
}

impl Session {
    /// How a connection to this listener begins, after a proxy's header if there is one.
    pub(super) fn of(kind: &StreamListener) -> Self {
        match &kind.tls {
            None => Self::Plain,
            Some(acceptor) if kind.tcp => Self::Undecided(Arc::clone(acceptor)),
            Some(acceptor) => Self::Greeting(Box::new(Greeting::new(Arc::clone(acceptor)))),
        }
    }

    /// Decides by the first byte, where that is open; none while it has not come.
    pub(super) fn decide(&mut self, socket: &TcpStream) -> io::Result<Option<bool>> {
        let Self::Undecided(acceptor) = self else { return Ok(Some(!matches!(self, Self::Plain))) };
        let mut first = [0];
        match socket.peek(&mut first) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) if first[0] == HANDSHAKE => {
                *self = Self::Greeting(Box::new(Greeting::new(Arc::clone(acceptor))));
                Ok(Some(true))
            }
            Ok(_) => {
                *self = Self::Plain;
                Ok(Some(false))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads what the client has sent, as far as one system call brings it.
    pub(super) fn read(&mut self, socket: &mut TcpStream, buffers: &mut Buffers) -> io::Result<Received> {
        let into = if matches!(self, Self::Plain) { &mut buffers.clear[..CHUNK] } else { &mut buffers.wire[..] };
        let count = match socket.read(into) {
            Ok(0) => return Ok(Received { count: 0, end: true }),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Received::default());
            }
            Err(error) => return Err(error),
        };
        if matches!(self, Self::Plain) {
            return Ok(Received { count, end: false });
        }
        let result = self.decrypt(&buffers.wire[..count], &mut buffers.clear, socket);
        if let (Err(_), Self::Tls(tls)) = (&result, self) {
            // The alert that says why; a client that does not take it will not miss it.
            _ = tls.write_tls(socket);
        }
        result
    }

    /// Takes bytes of the wire; what they mean stands in `clear`.
    fn decrypt(&mut self, mut wire: &[u8], clear: &mut [u8], socket: &mut TcpStream) -> io::Result<Received> {
        let mut received = Received::default();
        while !wire.is_empty() && !received.end {
            match self {
                Self::Greeting(greeting) => {
                    if let Some(tls) = greeting.hear(&mut wire, socket)? {
                        *self = Self::Tls(Box::new(tls));
                    }
                }
                Self::Tls(tls) => decrypt(tls, &mut wire, clear, &mut received)?,
                Self::Proxied(_) | Self::Undecided(_) | Self::Plain => break,
            }
        }
        // A client may say more in one breath with its hello than the hello.
        if let (Self::Tls(tls), true) = (self, received.count == 0 && !received.end) {
            decrypt(tls, &mut &[][..], clear, &mut received)?;
        }
        Ok(received)
    }

    /// Writes what waits, as far as the socket takes it; true if that was everything.
    pub(super) fn write(&mut self, socket: &mut TcpStream, outgoing: &mut Outgoing) -> io::Result<bool> {
        loop {
            if let Self::Tls(tls) = self {
                while tls.wants_write() {
                    if !is_done(tls.write_tls(socket))? {
                        return Ok(false);
                    }
                }
            }
            if outgoing.waiting().is_empty() {
                return Ok(true);
            }
            let result = match self {
                Self::Tls(tls) => tls.writer().write(outgoing.waiting()),
                _ => socket.write(outgoing.waiting()),
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => outgoing.wrote(count),
                Err(error) => {
                    if !is_done(Err(error))? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Messages can come now: nothing is awaited that must come before them.
    pub(super) fn is_established(&self) -> bool {
        match self {
            Self::Proxied(_) | Self::Undecided(_) | Self::Greeting(_) => false,
            Self::Plain => true,
            Self::Tls(tls) => !tls.is_handshaking(),
        }
    }

    /// The client has said in its TLS handshake that it speaks STUN.
    pub(super) fn is_for_stun(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.alpn_protocol().is_some())
    }

    /// The server that the client has named in its TLS handshake.
    pub(super) fn server_name(&self) -> Option<&str> {
        if let Self::Tls(tls) = self { tls.server_name() } else { None }
    }

    /// Something waits that is the session's own: a handshake's message, an alert.
    pub(super) fn wants_write(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.wants_write())
    }

    /// Says goodbye. The client may have gone already; then there is nobody to say it to.
    pub(super) fn close(&mut self, socket: &mut TcpStream) {
        if let Self::Tls(tls) = self {
            tls.send_close_notify();
            _ = tls.write_tls(socket);
        }
        _ = socket.shutdown(Shutdown::Write);
    }
}

/// Takes some bytes of the wire and everything that they make readable.
fn decrypt(tls: &mut ServerConnection, wire: &mut &[u8], clear: &mut [u8], so_far: &mut Received) -> io::Result<()> {
    // Nothing is taken after a goodbye.
    so_far.end = !wire.is_empty() && tls.read_tls(wire)? == 0;
    tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    loop {
        match tls.reader().read(&mut clear[so_far.count..]) {
            Ok(0) => {
                so_far.end = true;
                return Ok(());
            }
            Ok(more) => so_far.count += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether a write went on; it did not where the socket is full.
fn is_done(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}
