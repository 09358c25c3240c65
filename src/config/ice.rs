//! The `iceServers` entry that a browser is given.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use super::{Config, Listener};

/// Under which names or addresses clients reach listeners on all addresses.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// A name, or an address, for everything.
    pub name: Option<String>,
    /// The address for IPv4.
    pub ipv4: Option<IpAddr>,
    /// The address for IPv6.
    pub ipv6: Option<IpAddr>,
}

impl Hosts {
    /// Finds out: the name if given, else external addresses, else those from which this host sends.
    #[must_use]
    pub fn find(config: &Config, name: Option<String>) -> Self {
        let external = |v4: bool| config.relay.external.iter().map(|e| e.public).find(|a| a.is_ipv4() == v4);
        Self {
            name,
            ipv4: external(true)
                .or_else(|| sends_from(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())),
            ipv6: external(false).or_else(|| {
                sends_from(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
            }),
        }
    }

    /// Returns the host part of a URL for a listener.
    fn of(&self, config: &Config, listener: &Listener) -> Option<String> {
        let local = listener.addr.ip();
        let public = config.relay.external.iter().find(|e| stands_for(e, local)).map(|e| e.public);
        let addr = match (local.is_unspecified(), local.is_ipv4()) {
            (true, true) => self.ipv4,
            (true, false) => self.ipv6,
            (false, _) => Some(public.unwrap_or(local)),
        };
        let written = |addr: IpAddr| {
            if addr.is_ipv6() { format!("[{addr}]") } else { addr.to_string() }
        };
        self.name.clone().map(bracketed).or_else(|| addr.map(written))
    }
}

/// Puts an IPv6 address in brackets; a name stays as it is.
fn bracketed(name: String) -> String {
    if name.parse::<Ipv6Addr>().is_ok() { format!("[{name}]") } else { name }
}

/// Returns whether an external address stands for a local one.
fn stands_for(external: &super::External, local: IpAddr) -> bool {
    external.local.map_or(external.public.is_ipv4() == local.is_ipv4() && !local.is_loopback(), |l| l == local)
}

/// Asks the kernel for the address from which it would send to another; nothing is sent.
fn sends_from(any: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_loopback())
}

/// Makes an entry of `iceServers` with the URLs that really listen; none if no host is known for any.
#[must_use]
pub fn ice_server(config: &Config, hosts: &Hosts, username: &str, credential: &str) -> Option<serde_json::Value> {
    let urls = urls(config, hosts);
    if urls.is_empty() {
        return None;
    }
    Some(serde_json::json!({ "urls": urls, "username": username, "credential": credential }))
}

/// Returns the URLs, each once: STUN, then TURN over UDP, TCP and TLS.
fn urls(config: &Config, hosts: &Hosts) -> Vec<String> {
    let mut urls = Vec::new();
    let plain = [("stun", "", config.protocol.stun), ("turn", "?transport=udp", config.protocol.turn)];
    for (scheme, query, on) in plain {
        let listeners = open(config).filter(|l| on && l.udp);
        add(&mut urls, config, hosts, scheme, query, listeners);
    }
    if config.protocol.turn {
        let query = "?transport=tcp";
        add(&mut urls, config, hosts, "turn", query, at_home(config, |l| l.tcp, |l| l.tls && !l.udp));
        add(&mut urls, config, hosts, "turns", query, at_home(config, |l| l.tls, |l| l.udp));
    }
    urls
}

/// Returns the listeners that clients reach themselves: whoever comes by a proxy knows the proxy's address.
fn open(config: &Config) -> impl Iterator<Item = &Listener> {
    config.listen.iter().filter(|l| !l.proxied)
}

/// Returns the listeners with a transport, without those where it is a guest on another's port, if any
/// are left: a browser asks every URL, and the same port twice only slows it.
fn at_home(
    config: &Config,
    has: fn(&Listener) -> bool,
    is_guest: fn(&Listener) -> bool,
) -> impl Iterator<Item = &Listener> {
    let guests_alone = open(config).all(|l| !has(l) || is_guest(l));
    open(config).filter(move |l| has(l) && (guests_alone || !is_guest(l)))
}

/// Adds the URLs of listeners, each once.
fn add<'a>(
    urls: &mut Vec<String>,
    config: &Config,
    hosts: &Hosts,
    scheme: &str,
    query: &str,
    listeners: impl Iterator<Item = &'a Listener>,
) {
    for listener in listeners {
        let Some(host) = hosts.of(config, listener) else {
            continue;
        };
        let url = format!("{scheme}:{host}:{}{query}", listener.addr.port());
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
}
