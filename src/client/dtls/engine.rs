//! DTLS 1.2 by OpenSSL.

use crate::client::is_full;
use crate::wire::alpn;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode, SslVersion};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::path::Path;

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
    builder.set_alpn_protos(alpn::LIST)?;
    if let Some(file) = roots {
        builder.set_ca_file(file)?;
        builder.set_verify(SslVerifyMode::PEER);
    }
    Ok(builder.build())
}

/// A socket as OpenSSL sees it: a datagram for each read and write.
pub(crate) struct Wire {
    /// A connected socket.
    pub socket: UdpSocket,
    /// The kernel had no room for the last datagram, which is lost then as others are on their way.
    pub lost: bool,
}

impl Wire {
    /// A socket on which nothing was lost yet.
    pub(crate) fn new(socket: UdpSocket) -> Self {
        Self { socket, lost: false }
    }
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
