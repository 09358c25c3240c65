//! The options, with every name looked up and every default filled in.

use super::ends::Secret;
use super::options::{Credentials, Options, Peer, Trust, Workload};
use super::stream::Tls;
use crate::auth::rest;
use crate::client::target::Transport;
use crate::client::{dtls, tls};
use crate::io::clock;
use crate::wire::address::Family;
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long time-limited credentials are good: no measurement takes longer.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// Packets whose latency is measured, in a second and on one thread, if there are as many: enough for a
/// percentile of 99.9, few enough to cost nothing.
pub(super) const SAMPLES: f64 = 20_000.0;

/// What is done, in every detail.
pub(super) struct Plan {
    /// What was asked for.
    pub options: Options,
    /// The server's address.
    pub server: SocketAddr,
    /// Name and password of the clients.
    pub user: (String, String),
    /// Where the built-in peers are, if there are any.
    pub peer: IpAddr,
    /// What clients show the built-in peers.
    pub secret: Secret,
    /// For TLS: whom to trust.
    pub tls: Option<Tls>,
    /// For DTLS: the same.
    pub dtls: Option<dtls::Settings>,
    /// How many threads there are.
    pub threads: usize,
}

impl Plan {
    /// Looks up and fills in.
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let server = resolve(&options.target.host, options.target.port)?;
        let peer = peer(&options, server)?;
        let over = |transport| (options.target.transport == transport).then_some(&options);
        let tls = over(Transport::Tls).map(tls).transpose()?;
        let dtls = over(Transport::Dtls).map(dtls).transpose()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.unwrap_or(cores.saturating_sub(1)).clamp(1, options.clients);
        let (user, secret) = (user(options.credentials.as_ref()), secret()?);
        Ok(Self { server, user, peer, secret, tls, dtls, threads, options })
    }

    /// How often each packet is relayed.
    pub(super) fn crossings(&self) -> u64 {
        if self.is_echoed() { 2 } else { 1 }
    }

    /// A remote peer sends everything back.
    pub(super) fn is_echoed(&self) -> bool {
        matches!(self.options.peer, Peer::Remote(_)) && self.options.workload == Workload::Relay
    }

    /// The family that Allocate asks for. An old server may not know the attribute, so IPv4 goes unsaid.
    pub(super) fn family(&self) -> Option<Family> {
        let peer = match self.options.peer {
            Peer::Remote(addr) => addr.ip(),
            Peer::BuiltIn(_) => self.peer,
        };
        self.options.family.or(Some(Family::of(peer)).filter(|family| *family == Family::V6))
    }
}

/// The first address of a name.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.next();
    found.ok_or_else(|| format!("{host}: this name has no address"))
}

/// Where built-in peers are.
fn peer(options: &Options, server: SocketAddr) -> Result<IpAddr, String> {
    let ip = match options.peer {
        Peer::BuiltIn(Some(ip)) => ip,
        Peer::BuiltIn(None) => {
            local_address(server).map_err(|error| format!("{server}: no way leads there: {error}"))?
        }
        Peer::Remote(addr) => addr.ip(),
    };
    match options.family {
        Some(family) if family != Family::of(ip) => Err(format!(
            "--relay-family {} does not reach the peer {ip}; give --peer-address with an address of that family",
            if family == Family::V4 { 4 } else { 6 }
        )),
        _ => Ok(ip),
    }
}

/// The local address from which another one is reached.
fn local_address(to: SocketAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// Whom to trust: a file of roots, or everybody.
fn roots(options: &Options) -> Result<Option<&Path>, String> {
    match &options.trust {
        Some(Trust::Roots(file)) => Ok(Some(file.as_path())),
        Some(Trust::Anyone) => Ok(None),
        None => Err("turns: needs --ca FILE (whom to trust) or --insecure (anybody)".to_owned()),
    }
}

/// Whom the certificate must name.
fn certified(options: &Options) -> &str {
    options.tls_name.as_ref().unwrap_or(&options.target.host)
}

/// Whom to trust by TLS.
fn tls(options: &Options) -> Result<Tls, String> {
    let name = certified(options);
    let server = ServerName::try_from(name.to_owned());
    let server = server.map_err(|_| format!("{name:?} can be no name of a server; see --tls-name"))?;
    Ok(Tls { config: Arc::new(tls::settings(roots(options)?)?), name: server })
}

/// Whom to trust by DTLS.
fn dtls(options: &Options) -> Result<dtls::Settings, String> {
    dtls::Settings::new(roots(options)?, certified(options))
}

/// What nobody else knows.
fn secret() -> Result<Secret, String> {
    let mut secret = Secret::default();
    SystemRandom::new().fill(&mut secret).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(secret)
}

/// Name and password of the clients.
fn user(credentials: Option<&Credentials>) -> (String, String) {
    match credentials {
        None => Default::default(),
        Some(Credentials::Static(user, password)) => (user.clone(), password.clone()),
        Some(Credentials::Secret(secret)) => rest::mint(secret, "bench", clock::now().wall + TTL.as_secs(), ':'),
    }
}
