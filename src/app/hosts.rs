//! The addresses of this host, and what of them the configuration means.

use crate::config::{self, Config};
use crate::io;
use anyhow::{Context, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The host's addresses, as far as the configuration leaves them open.
pub(super) struct Hosts {
    /// Every address of the host, with its interface.
    pub(super) named: Vec<(String, IpAddr)>,
    /// Every address of the host.
    pub(super) all: Vec<IpAddr>,
    /// Where relay sockets are bound.
    pub(super) relays: Vec<IpAddr>,
}

impl Hosts {
    /// Asks the system.
    pub(super) fn of(config: &Config) -> Result<Self> {
        let named = io::host_addresses().context("cannot list the addresses of this host")?;
        let all: Vec<IpAddr> = named.iter().map(|(_, ip)| *ip).collect();
        let relays = if config.relay.addresses.is_empty() {
            [true, false].into_iter().filter_map(|v4| likely_relay(config, &all, v4)).collect()
        } else {
            config.relay.addresses.clone()
        };
        Ok(Self { named, all, relays })
    }
}

/// The relay address of a family where none is configured: one that clients are served on, else the host's
/// most public one.
fn likely_relay(config: &Config, all: &[IpAddr], v4: bool) -> Option<IpAddr> {
    let listening = config.listen.iter().map(|at| at.addr.ip());
    if let Some(ip) = listening.clone().find(|ip| ip.is_ipv4() == v4 && !ip.is_unspecified()) {
        return Some(ip);
    }
    // Who listens on addresses of one family alone has not said that the other may be used.
    let everywhere = listening.clone().any(|ip| ip.is_unspecified());
    let open = all.iter().copied().filter(|ip| everywhere && ip.is_ipv4() == v4 && privacy(*ip) < LINK_LOCAL);
    open.min_by_key(|ip| privacy(*ip))
}

/// How far from public an address of the host is.
pub(super) fn privacy(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => LOOPBACK,
        IpAddr::V4(ip) if ip.is_link_local() => LINK_LOCAL,
        IpAddr::V4(ip) => u8::from(ip.is_private()),
        IpAddr::V6(ip) if ip.is_loopback() => LOOPBACK,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(ip) => u8::from(ip.is_unique_local()),
    }
}

/// An address that only its own link knows.
const LINK_LOCAL: u8 = 2;
/// An address that only this host knows.
pub(super) const LOOPBACK: u8 = 3;

/// Every local address that a relay may have. Where relays follow the client, that is whatever a client can
/// come to.
pub(super) fn own_relays(config: &Config, hosts: &Hosts) -> Vec<IpAddr> {
    let mut relays = hosts.relays.clone();
    if config.relay.addresses.is_empty() {
        let everywhere = config.listen.iter().any(|at| at.addr.ip().is_unspecified());
        relays.extend(hosts.all.iter().filter(|ip| everywhere && privacy(**ip) < LOOPBACK));
        relays.extend(config.listen.iter().map(|at| at.addr.ip()).filter(|ip| !ip.is_unspecified()));
    }
    relays.sort_unstable();
    relays.dedup();
    relays
}

/// A listening address, the public one before it, and each address of the host that it stands for.
pub(super) fn listeners_at(config: &Config, addr: SocketAddr, own: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let everywhere = addr.ip().is_unspecified();
    let before = |e: &&config::External| e.local.map_or(e.public.is_ipv4() == addr.is_ipv4(), |l| l == addr.ip());
    let public = config.relay.external.iter().filter(before).map(|e| e.public);
    let stands_for = own.filter(|ip| everywhere && ip.is_ipv4() == addr.is_ipv4());
    let all = stands_for.chain(public).chain([addr.ip()]);
    all.map(|ip| SocketAddr::new(ip, addr.port())).collect()
}

/// Every address at which this server listens for streams.
pub(super) fn own_streams(config: &Config, hosts: &Hosts) -> Vec<SocketAddr> {
    let streams = config.listen.iter().filter(|at| at.tcp || at.tls).map(|at| at.addr);
    // Those of operators too: no client has business there. `[::]` is every address of either family.
    let metrics = config.admin.metrics;
    let both = metrics.filter(|at| at.ip().is_unspecified()).map(|at| (Ipv4Addr::UNSPECIFIED, at.port()).into());
    let all = streams.chain(metrics).chain(both);
    all.flat_map(|at| listeners_at(config, at, hosts.all.iter().copied())).collect()
}
