//! A way to the server on which one waits.

use super::certificate;
use super::fault::Fault;
use crate::client::target::{Transport, any};
use crate::io::clock;
use crate::wire::stream::{Frame, next};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a message may take to leave.
const WRITING: Duration = Duration::from_secs(10);
/// The shortest wait that sockets know.
const SHORTEST: Duration = Duration::from_millis(1);

/// A way to the server.
pub(super) enum Link {
    /// A connected UDP socket.
    Datagram(UdpSocket),
    /// A connection, and what has been read of it.
    Plain(TcpStream, Vec<u8>),
    /// The same within TLS.
    Secure(Box<StreamOwned<ClientConnection, Timed>>, Vec<u8>),
    /// Datagrams within DTLS.
    #[cfg_attr(not(feature = "dtls"), expect(dead_code, reason = "there is none in this build"))]
    Records(Box<dyn Records>),
}

/// Messages that are sealed one by one.
pub(super) trait Records {
    /// The address on this side.
    fn local(&self) -> io::Result<SocketAddr>;
    /// What was agreed on in the handshake.
    fn agreed(&self) -> String;
    /// Sends a message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;
    /// Waits for the next message; none if it does not come in time.
    fn receive(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>>;
}

impl Link {
    /// Opens a socket; a connection is made when this returns, but TLS is yet to come.
    pub(super) fn open(transport: Transport, server: SocketAddr, timeout: Duration) -> io::Result<Self> {
        if matches!(transport, Transport::Udp | Transport::Dtls) {
            let socket = UdpSocket::bind((any(server), 0))?;
            socket.connect(server)?;
            return Ok(Self::Datagram(socket));
        }
        let stream = TcpStream::connect_timeout(&server, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self::Plain(stream, Vec::new()))
    }

    /// Goes through the handshake.
    pub(super) fn secure(self, config: Arc<ClientConfig>, host: &str, timeout: Duration) -> Result<Self, Fault> {
        let Self::Plain(stream, _) = self else { return Ok(self) };
        let mut stream = Timed { stream, until: Instant::now() + timeout };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| Fault::Tls(error.to_string()))?;
        let mut tls = ClientConnection::new(config, name).map_err(|error| Fault::Tls(error.to_string()))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).map_err(|error| Fault::tls(&error))?;
        }
        Ok(Self::Secure(Box::new(StreamOwned::new(tls, stream)), Vec::new()))
    }

    /// What came of the handshake: version, application protocol and what the server showed of itself.
    pub(super) fn agreed(&self) -> String {
        let tls = match self {
            Self::Secure(tls, _) => tls,
            Self::Records(records) => return records.agreed(),
            Self::Datagram(_) | Self::Plain(..) => return String::new(),
        };
        let version = tls.conn.protocol_version().map_or_else(String::new, |version| format!("{version:?}"));
        let alpn = tls.conn.alpn_protocol().map_or("none".into(), String::from_utf8_lossy);
        let leaf = tls.conn.peer_certificates().and_then(|chain| chain.first());
        let shown = leaf.map_or_else(String::new, |leaf| certificate::shown(leaf, clock::now().wall));
        format!("{}, ALPN {alpn}{shown}", version.replace('_', "."))
    }

    /// The address on this side.
    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Datagram(socket) => socket.local_addr(),
            Self::Plain(stream, _) => stream.local_addr(),
            Self::Secure(tls, _) => tls.sock.stream.local_addr(),
            Self::Records(records) => records.local(),
        }
    }

    /// What is sent may be lost.
    pub(super) fn is_datagram(&self) -> bool {
        matches!(self, Self::Datagram(_) | Self::Records(_))
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Datagram(socket) => socket.send(message).map(drop),
            Self::Records(records) => records.send(message),
            Self::Plain(stream, _) => stream.write_all(message),
            Self::Secure(tls, _) => {
                tls.sock.until = Instant::now() + WRITING;
                tls.write_all(message).and_then(|()| tls.flush())
            }
        }
    }

    /// Waits for the next message; none if it does not come in time.
    pub(super) fn receive(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Self::Plain(_, input) | Self::Secure(_, input) = self
                && let Some(frame) = take(input)?
            {
                return Ok(Some(frame));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            if let Some(datagram) = self.read(left.max(SHORTEST))? {
                return Ok(Some(datagram));
            }
        }
    }

    /// Reads once: a datagram, or something that is added to the input.
    fn read(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = [0; 4096];
        let result = match self {
            Self::Records(records) => return records.receive(wait),
            Self::Datagram(socket) => {
                socket.set_read_timeout(Some(wait))?;
                return late(socket.recv(&mut bytes)).map(|len| len.map(|len| bytes[..len].to_vec()));
            }
            Self::Plain(stream, _) => stream.set_read_timeout(Some(wait)).and_then(|()| stream.read(&mut bytes)),
            Self::Secure(tls, _) => {
                tls.sock.until = Instant::now() + wait;
                tls.read(&mut bytes)
            }
        };
        match (late(result)?, self) {
            (Some(0), _) => Err(ErrorKind::UnexpectedEof.into()),
            (Some(len), Self::Plain(_, input) | Self::Secure(_, input)) => {
                input.extend_from_slice(&bytes[..len]);
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// A connection of which nothing takes longer than it may, though the other side trickles: rustls reads on until it has a
/// whole record.
pub(super) struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Timed {
    /// The time that is left, if there is any.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left.max(SHORTEST))) }
    }
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Takes a whole message from the front of what was read.
fn take(input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    match next(input, true) {
        Frame::Complete { len, pad } if input.len() >= len + pad => {
            let frame = input[..len].to_vec();
            input.drain(..len + pad);
            Ok(Some(frame))
        }
        Frame::Complete { .. } | Frame::Incomplete { .. } => Ok(None),
        Frame::Invalid => Err(ErrorKind::InvalidData.into()),
    }
}

/// Makes a wait that was in vain none.
fn late(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(len) => Ok(Some(len)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}
