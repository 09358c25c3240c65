//! What is served at each listening address, with which certificates, and what to do where it cannot be.

use crate::config::{self, Config, ListenKey};
use crate::io::dtls;
use crate::io::tls::{Acceptor, Pair, Terms};
use crate::io::{ListenAddress, StreamListener, Web};
use anyhow::{Result, anyhow};
use std::sync::Arc;

/// The certificates, if TLS is served anywhere.
pub(super) fn acceptor(config: &Config) -> Result<Option<Arc<Acceptor>>> {
    if !config.listen.iter().any(|at| at.tls) {
        return Ok(None);
    }
    Ok(Some(Arc::new(Acceptor::new(terms(config)).map_err(|error| anyhow!("TLS: {error}"))?)))
}

/// The certificates for DTLS, if it is served anywhere.
pub(super) fn dtls_acceptor(config: &Config) -> Result<Option<Arc<dtls::Acceptor>>> {
    if !config.listen.iter().any(|at| at.dtls) {
        return Ok(None);
    }
    Ok(Some(Arc::new(dtls::Acceptor::new(terms(config)).map_err(|error| anyhow!("DTLS: {error}"))?)))
}

/// On what terms both are served.
fn terms(config: &Config) -> Terms {
    let pair = |c: &config::Certificate| Pair { chain: c.chain.clone(), key: c.key.clone() };
    let tls = &config.tls;
    Terms {
        pairs: tls.certificates.iter().map(pair).collect(),
        authorities: tls.client_authorities.clone(),
        only_13: tls.only_13,
        suites: tls.suites.clone(),
    }
}

/// What is served by HTTP.
pub(super) fn web(config: &Config) -> Web {
    let config::Http { challenges, redirect } = config.http.clone();
    if let Some(folder) = challenges.as_deref().filter(|folder| !folder.is_dir()) {
        tracing::warn!(folder = %folder.display(), "http.acme-directory: is no directory now; no challenge is answered");
    }
    Web { challenges, redirect }
}

/// Reads the certificates as a start would, and forgets them.
///
/// # Errors
/// Which file is wrong, and why: the server would not start.
pub fn certificates(config: &Config) -> Result<(), String> {
    acceptor(config).and_then(|_| dtls_acceptor(config)).map(drop).map_err(|error| error.to_string())
}

/// What is served at a listening address.
pub(super) fn listen_address(config: &Config, at: &config::Listener, tls: Option<&Arc<Acceptor>>) -> ListenAddress {
    let tls = tls.filter(|_| at.tls).cloned();
    let legacy = config.protocol.legacy_channels;
    let proxies = at.proxied.then(|| Arc::from(config.proxy.from.as_slice()));
    let stream =
        (at.tcp || tls.is_some()).then(|| StreamListener { tcp: at.tcp, tls, legacy, proxies: proxies.clone() });
    ListenAddress { addr: at.addr, udp: at.udp, dtls: at.dtls, stream, proxies }
}

/// What to do where a listener cannot be opened, by the key that it comes from.
pub(super) fn remedy(error: std::io::ErrorKind, key: ListenKey) -> String {
    let port = key.names();
    let address = if key == ListenKey::Extra { port } else { "listen.addresses (listening-ip)" };
    match error {
        std::io::ErrorKind::AddrInUse => {
            format!("another program has this port: stop it, or choose another with {port}")
        }
        std::io::ErrorKind::AddrNotAvailable => format!("this host does not have the address: see {address}"),
        std::io::ErrorKind::PermissionDenied => {
            format!("a port below 1024 needs the capability CAP_NET_BIND_SERVICE, or choose another with {port}")
        }
        _ if address == port => format!("see {port}"),
        _ => format!("see {address} and {port}"),
    }
}
