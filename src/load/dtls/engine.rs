//! DTLS 1.2 by OpenSSL.

use crate::client::dtls::{Settings, Wire};
use crate::io::sys::dtls;
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, SslStream};
use openssl::x509::X509VerifyResult;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

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
        let stream = SslStream::new(settings.session()?, Wire::new(socket))?;
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
