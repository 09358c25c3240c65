//! DTLS as a client: a handshake that one waits for, then messages.

use super::certificate;
use super::fault::Fault;
use super::link::Records;
use crate::client::dtls::{Settings, Wire};
use crate::io::clock;
use crate::io::sys::dtls;
use openssl::ssl::{ErrorCode, HandshakeError, MidHandshakeSslStream, SslStream};
use openssl::x509::X509VerifyResult;
use rustls_pki_types::CertificateDer;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a handshake looks whether something is to be sent again.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of the largest record in clear.
const RECORD: usize = 17 * 1024;
/// What OpenSSL calls a certificate for another host, an expired one, and those of nobody who is known.
const HOSTNAME_MISMATCH: i32 = 62;
const ADDRESS_MISMATCH: i32 = 64;
const EXPIRED: i32 = 10;
const UNKNOWN: [i32; 4] = [18, 19, 20, 21];

/// Goes through the handshake on a connected socket. Without roots any certificate is good.
pub(super) fn shake(
    socket: UdpSocket,
    host: &str,
    roots: Option<&Path>,
    timeout: Duration,
) -> Result<Box<dyn Records>, Fault> {
    let failed = |error: &dyn std::fmt::Display| Fault::Tls(error.to_string());
    let settings = Settings::new(roots, host).map_err(|error| failed(&error))?;
    let ssl = settings.session().map_err(|error| failed(&error))?;
    socket.set_read_timeout(Some(LOOK))?;
    let until = Instant::now() + timeout;
    let mut result = ssl.connect(Wire::new(socket));
    loop {
        match result {
            Ok(stream) => return Ok(Box::new(Sealed(stream))),
            Err(HandshakeError::WouldBlock(_)) if Instant::now() >= until => return Err(Fault::Silent),
            Err(HandshakeError::WouldBlock(begun)) => {
                dtls::retransmit(begun.ssl());
                result = begun.handshake();
            }
            Err(HandshakeError::Failure(begun)) => return Err(fault(&begun)),
            Err(HandshakeError::SetupFailure(error)) => return Err(failed(&error)),
        }
    }
}

/// What a handshake failed of.
fn fault(begun: &MidHandshakeSslStream<Wire>) -> Fault {
    if let Some(error) = begun.error().io_error() {
        return Fault::from(io::Error::new(error.kind(), error.to_string()));
    }
    match begun.ssl().verify_result().as_raw() {
        code if code == X509VerifyResult::OK.as_raw() => Fault::Tls(begun.error().to_string()),
        HOSTNAME_MISMATCH | ADDRESS_MISMATCH => Fault::WrongName("for another host".to_owned()),
        EXPIRED => Fault::Expired,
        code if UNKNOWN.contains(&code) => Fault::UnknownIssuer,
        _ => Fault::Tls(begun.ssl().verify_result().to_string()),
    }
}

/// A session after its handshake.
struct Sealed(SslStream<Wire>);

impl Records for Sealed {
    fn local(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().socket.local_addr()
    }

    fn agreed(&self) -> String {
        let ssl = self.0.ssl();
        let alpn = ssl.selected_alpn_protocol().map_or("none".into(), String::from_utf8_lossy);
        let leaf = ssl.peer_certificate().and_then(|leaf| leaf.to_der().ok());
        let shown = leaf.map(|leaf| certificate::shown(&CertificateDer::from(leaf), clock::now().wall));
        format!("{}, ALPN {alpn}{}", ssl.version_str(), shown.unwrap_or_default())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.ssl_write(message).map(drop).map_err(io::Error::other)
    }

    fn receive(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        self.0.get_ref().socket.set_read_timeout(Some(wait))?;
        let mut record = vec![0; RECORD];
        match self.0.ssl_read(&mut record) {
            Ok(count) => {
                record.truncate(count);
                Ok(Some(record))
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(None),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error.into_io_error().unwrap_or_else(io::Error::other)),
        }
    }
}
