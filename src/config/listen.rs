//! Where clients are served: what the keys say of listeners, and the listeners that follow from it.

use super::Config;
use crate::turn::discovery::Quad;
use std::net::{IpAddr, SocketAddr};

/// One socket address on which clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; an unspecified address means every address of that family.
    pub addr: SocketAddr,
    /// Serve UDP here.
    pub udp: bool,
    /// Serve plain TCP here.
    pub tcp: bool,
    /// Serve TLS here; beside `tcp` on one port the first byte tells them apart.
    pub tls: bool,
    /// Serve DTLS here; beside `udp` the first byte of a datagram tells them apart.
    pub dtls: bool,
    /// Serve clients here that come by a proxy, and no others: everything begins with its header.
    pub proxied: bool,
    /// The key from which it has its port.
    pub key: ListenKey,
}

/// From which key a listener has its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenKey {
    /// `listen.port`.
    Port,
    /// `listen.tls-port`.
    TlsPort,
    /// `listen.alternate-port`.
    AlternatePort,
    /// `proxy.port`.
    ProxyPort,
    /// `listen.extra`.
    Extra,
}

impl ListenKey {
    /// Its names, ours and coturn's, for messages.
    #[must_use]
    pub const fn names(self) -> &'static str {
        match self {
            Self::AlternatePort => "listen.alternate-port (alt-listening-port)",
            Self::Port => "listen.port (listening-port)",
            Self::TlsPort => "listen.tls-port (tls-listening-port)",
            Self::ProxyPort => "proxy.port (tcp-proxy-port)",
            Self::Extra => "listen.extra (aux-server)",
        }
    }
}

/// What is said about listeners.
#[derive(Default)]
pub(crate) struct Listen {
    /// Addresses that get both ports.
    pub(crate) addresses: Vec<IpAddr>,
    /// The port of UDP and TCP.
    pub(crate) port: u16,
    /// The port of TLS.
    pub(crate) tls_port: u16,
    /// The other port of NAT behaviour discovery.
    pub(crate) alternate_port: u16,
    /// The port of clients that come by a proxy; 0 for none.
    pub(crate) proxy_port: u32,
    /// Serve UDP.
    pub(crate) udp: bool,
    /// Serve TCP.
    pub(crate) tcp: bool,
    /// Serve TLS, if there is a certificate.
    pub(crate) tls: bool,
    /// Serve DTLS, if there is a certificate.
    pub(crate) dtls: bool,
    /// Further listeners.
    pub(crate) extra: Vec<Extra>,
}

/// What is served at a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transports {
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) tls: bool,
    pub(crate) dtls: bool,
}

/// A further listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Its address and port.
    pub(crate) addr: SocketAddr,
    /// The transports; none means those that are on.
    pub(crate) transports: Option<Transports>,
    /// Clients come by a proxy.
    pub(crate) proxied: bool,
}

impl Listen {
    /// Two addresses and both ports of either family, for NAT behaviour discovery.
    pub(super) fn quads(&self) -> [Option<Quad>; 2] {
        let ports = [self.port, self.alternate_port];
        [IpAddr::is_ipv4 as fn(&IpAddr) -> bool, IpAddr::is_ipv6]
            .map(|family| pair(&self.addresses, family).map(|addresses| Quad { addresses, ports }))
    }

    /// The listeners that only NAT behaviour discovery needs: the other port of each of its addresses.
    pub(super) fn alternates(&self, config: &Config) -> Vec<Listener> {
        let addresses = config.discovery.iter().flatten().flat_map(|quad| quad.addresses);
        let at = |ip| Listener {
            addr: SocketAddr::new(ip, self.alternate_port),
            udp: self.udp,
            tcp: self.tcp,
            tls: false,
            dtls: false,
            proxied: false,
            key: ListenKey::AlternatePort,
        };
        addresses.map(at).filter(|l| l.udp || l.tcp).collect()
    }

    /// Returns the listeners: both ports of every address, then the further ones.
    ///
    /// TLS is served where TCP is, as coturn does it: the first byte of a connection tells.
    /// DTLS is served where UDP is, and on the port of TLS.
    pub(super) fn resolve(&self, certificate: bool, dtls: bool) -> Vec<Listener> {
        let tls = self.tls && certificate;
        let dtls = self.dtls && self.udp && certificate && dtls;
        let mut listeners = Vec::new();
        for &addr in &self.addresses {
            let addr = SocketAddr::new(addr, self.port);
            let (udp, tcp, key) = (self.udp, self.tcp, ListenKey::Port);
            merge(&mut listeners, Listener { addr, udp, tcp, tls, dtls, proxied: false, key });
        }
        for &addr in self.addresses.iter().filter(|_| tls || dtls) {
            let addr = SocketAddr::new(addr, self.tls_port);
            let (udp, tcp, key) = (false, self.tcp && tls, ListenKey::TlsPort);
            merge(&mut listeners, Listener { addr, udp, tcp, tls, dtls, proxied: false, key });
        }
        listeners.extend(self.behind_proxies(tls));
        listeners.extend(self.extra.iter().map(|extra| {
            let on = Transports { udp: self.udp, tcp: self.tcp, tls, dtls: dtls && !extra.proxied };
            let Transports { udp, tcp, tls, dtls } = extra.transports.unwrap_or(on);
            Listener { addr: extra.addr, udp, tcp, tls, dtls, proxied: extra.proxied, key: ListenKey::Extra }
        }));
        listeners.retain(|l| l.udp || l.tcp || l.tls || l.dtls);
        listeners
    }

    /// Returns the listeners on the port of clients that come by a proxy, if there is one.
    fn behind_proxies(&self, tls: bool) -> impl Iterator<Item = Listener> {
        let port = u16::try_from(self.proxy_port).ok().filter(|port| *port != 0);
        let (udp, tcp, proxied, key) = (false, self.tcp, true, ListenKey::ProxyPort);
        let addresses = self.addresses.iter();
        let all = addresses.filter_map(move |ip| Some(SocketAddr::new(*ip, port?)));
        all.map(move |addr| Listener { addr, udp, tcp, tls, dtls: false, proxied, key })
    }
}

/// The first two of these addresses that are of one family.
fn pair(addresses: &[IpAddr], is_it: fn(&IpAddr) -> bool) -> Option<[IpAddr; 2]> {
    let mut found = addresses.iter().copied().filter(is_it).filter(|ip| !ip.is_unspecified());
    Some([found.next()?, found.next()?])
}

/// Adds a listener, to one of the same address if there is one: both ports may be the same.
fn merge(listeners: &mut Vec<Listener>, new: Listener) {
    match listeners.iter_mut().find(|l| l.addr == new.addr) {
        Some(old) => {
            old.udp |= new.udp;
            old.tcp |= new.tcp;
            old.tls |= new.tls;
            old.dtls |= new.dtls;
        }
        None => listeners.push(new),
    }
}
