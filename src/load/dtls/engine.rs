//! DTLS 1.2 by OpenSSL.

use crate::io::sys::dtls;
use crate::load::link::is_full;
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, Ssl, SslContext, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::x509::X509VerifyResult;
use std::io::{self, ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// ALPN's list of the protocols of RFC 7443.
const PROTOCOLS: &[u8] = b"\x09stun.turn\x12stun.nat-discovery";

/// Whom sessions trust, and whom they ask for.
pub(crate) struct Settings {
    context: SslContext,
    host: String,
}

impl Settings {
    /// Without a file of roots, everybody is trusted. The certificate must name `host` otherwise.
    pub(crate) fn new(roots: Option<&Path>, host: &str) -> Result<Self, String> {
        let context = context(roots).map_err(|error| match roots {
            Some(file) => format!("{}: {error}: --ca takes a PEM file of roots", file.display()),
            None => error.to_string(),
        })?;
        Ok(Self { context, host: host.to_owned() })
    }

    /// A session that is still to begin.
    pub(crate) fn session(&self) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        match self.host.parse() {
            Ok(ip) => ssl.param_mut().set_ip(ip)?,
            Err(_) => {
                ssl.set_hostname(&self.host)?;
                ssl.param_mut().set_host(&self.host)?;
            }
        }
        Ok(ssl)
    }
}

/// What all sessions have in common.
fn context(roots: Option<&Path>) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::dtls_client())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_alpn_protos(PROTOCOLS)?;
    if let Some(file) = roots {
        builder.set_ca_file(file)?;
        builder.set_verify(SslVerifyMode::PEER);
    }
    Ok(builder.build())
}

/// A session, perhaps still shaking hands.
pub(crate) struct Sealed {
    stream: SslStream<Wire>,
    /// The handshake is over.
    done: bool,
    /// What is to be sent then: the last message that was to go.
    waiting: Vec<u8>,
}

impl Sealed {
    /// Begins a session on a connected socket that never waits.
    pub(crate) fn open(socket: UdpSocket, settings: &Settings) -> io::Result<Self> {
        let stream = SslStream::new(settings.session()?, Wire { socket, lost: false })?;
        let mut sealed = Self { stream, done: false, waiting: Vec::new() };
        sealed.shake()?;
        Ok(sealed)
    }

    /// Goes on with the handshake as far as that is possible; true if it is over.
    fn shake(&mut self) -> io::Result<bool> {
        if !self.done {
            match self.stream.connect() {
                Ok(()) => self.done = true,
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(false),
                Err(error) => return Err(self.failed(error)),
            }
            let waiting = std::mem::take(&mut self.waiting);
            if !waiting.is_empty() {
                self.send(&waiting)?;
            }
        }
        Ok(true)
    }

    /// Sends a message, or keeps it until the handshake is over; false if the kernel has no room for it.
    pub(crate) fn send(&mut self, message: &[u8]) -> io::Result<bool> {
        if !self.shake()? {
            message.clone_into(&mut self.waiting);
            return Ok(true);
        }
        self.stream.get_mut().lost = false;
        self.stream.ssl_write(message).map_err(|error| self.failed(error))?;
        Ok(!self.stream.get_ref().lost)
    }

    /// Takes the next message that has come, if there is one; says how long it is.
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.shake()? {
            return Ok(None);
        }
        match self.stream.ssl_read(into) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(None),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Sends the last flight of the handshake again, if its time has come.
    pub(crate) fn retransmit(&mut self) {
        if !self.done {
            dtls::retransmit(self.stream.ssl());
        }
    }

    /// What a session failed of: the certificate, if that is it.
    fn failed(&self, error: ssl::Error) -> io::Error {
        // The next call of this thread would take what is left of them for its own.
        drop(ErrorStack::get());
        let verified = self.stream.ssl().verify_result();
        match error.into_io_error() {
            Ok(error) => error,
            Err(_) if verified != X509VerifyResult::OK => {
                io::Error::new(ErrorKind::InvalidData, verified.error_string())
            }
            Err(error) => io::Error::new(ErrorKind::InvalidData, error),
        }
    }
}

impl Drop for Sealed {
    /// Says goodbye, so that the server keeps nothing.
    fn drop(&mut self) {
        if self.done {
            _ = self.stream.shutdown();
            drop(ErrorStack::get());
        }
    }
}

impl AsRawFd for Sealed {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.get_ref().socket.as_raw_fd()
    }
}

/// A socket as OpenSSL sees it: a datagram for each read and write.
struct Wire {
    socket: UdpSocket,
    /// The kernel had no room for the last datagram, which is lost then as others are on their way.
    lost: bool,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(into)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        match self.socket.send(datagram) {
            Err(error) if is_full(&error) => {
                self.lost = true;
                Ok(datagram.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
