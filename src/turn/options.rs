//! Choices and limits of the server.

use super::discovery::Quad;
use super::limits::Quotas;
use super::random::Random;
use super::redirect::Redirect;
use super::types::Path;
use crate::auth::key::Algorithm;
use crate::wire::address::Family;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What the server offers and how much of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Relay addresses.
    pub addresses: Addresses,
    /// Relay ports.
    pub ports: RangeInclusive<u16>,
    /// The family of an allocation that names none.
    pub default_family: DefaultFamily,
    /// Allocations; kept by a [`super::limits::Ledger`] outside.
    pub quotas: Quotas,
    /// Permissions of one allocation.
    pub permissions: usize,
    /// Channels of one allocation.
    pub channels: usize,
    /// Connections to peers of one allocation that relays TCP.
    pub connections: usize,
    /// Relay UDP.
    pub udp_relays: bool,
    /// Relay TCP (RFC 6062).
    pub tcp_relays: bool,
    /// Where this server listens for streams: no peers.
    pub own_streams: Vec<SocketAddr>,
    /// The longest lifetime of an allocation.
    pub lifetime: Duration,
    /// How long a permission lasts; 300 s by RFC 8656 §9.
    pub permission_lifetime: Duration,
    /// How long a channel lasts; 600 s by RFC 8656 §12.
    pub channel_lifetime: Duration,
    /// Bytes per second of one allocation, each direction; zero means any number.
    pub bandwidth: u64,
    /// Unauthenticated requests answered per second and source address; zero means any number.
    pub unauthenticated: u32,
    /// Password algorithms that are offered, best first.
    pub algorithms: Vec<Algorithm>,
    /// Anybody may allocate.
    pub anonymous: bool,
    /// Binding needs credentials too.
    pub binding_auth: bool,
    /// SOFTWARE.
    pub software: Option<String>,
    /// FINGERPRINT in every answer.
    pub fingerprint: bool,
    /// Answer RFC 3489 clients.
    pub classic: bool,
    /// Channel numbers up to 0x7FFE.
    pub legacy_channels: bool,
    /// Serve Binding.
    pub stun: bool,
    /// Serve TURN.
    pub turn: bool,
    /// MAPPED-ADDRESS in Binding answers too.
    pub mapped_address: bool,
    /// Reason phrases.
    pub reasons: bool,
    /// Serve NAT behaviour discovery (RFC 5780) on these; IPv4 and IPv6.
    pub discovery: [Option<Quad>; 2],
    /// Allocations may move to another 5-tuple (RFC 8016).
    pub mobility: bool,
    /// Tell of routes: there is a fast path to carry them.
    pub routes: bool,
    /// The requests about an allocation must all have the ORIGIN of the one that made it.
    pub check_origin: bool,
    /// Where clients are sent instead of being served.
    pub redirect: Redirect,
}

impl Default for Options {
    /// What the RFCs recommend; no relay address.
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            ports: 49152..=65535,
            default_family: DefaultFamily::Ipv4,
            quotas: Quotas::default(),
            permissions: 512,
            channels: 512,
            connections: 64,
            udp_relays: true,
            tcp_relays: true,
            own_streams: Vec::new(),
            lifetime: Duration::from_secs(3600),
            permission_lifetime: Duration::from_secs(300),
            channel_lifetime: Duration::from_secs(600),
            bandwidth: 0,
            unauthenticated: 0,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            anonymous: false,
            binding_auth: false,
            software: None,
            fingerprint: false,
            classic: false,
            legacy_channels: false,
            discovery: [None; 2],
            stun: true,
            turn: true,
            mapped_address: false,
            reasons: false,
            mobility: false,
            routes: false,
            check_origin: false,
            redirect: Redirect::default(),
        }
    }
}

impl Options {
    /// Where datagrams to a peer go: to a relay of this server, by its local address.
    pub(super) fn on_the_wire(&self, peer: SocketAddr) -> SocketAddr {
        if self.ports.contains(&peer.port()) { self.addresses.inward(peer) } else { peer }
    }

    /// Whether this may be the local address of a relay.
    pub(super) fn is_relay(&self, addr: SocketAddr) -> bool {
        self.ports.contains(&addr.port()) && self.addresses.own.contains(&addr.ip())
    }
}

/// The family of an allocation that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultFamily {
    /// IPv4: "the server assigns an IPv4 address" (RFC 8656 §7.2).
    Ipv4,
    /// IPv6.
    Ipv6,
    /// That of the client.
    Client,
}

impl DefaultFamily {
    /// The family for this client.
    #[must_use]
    pub fn for_client(self, path: &Path) -> Family {
        match self {
            Self::Ipv4 => Family::V4,
            Self::Ipv6 => Family::V6,
            Self::Client => Family::of(path.client.ip()),
        }
    }
}

/// Where relay sockets are bound, and what clients are told.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Local addresses of both families.
    pub local: Vec<IpAddr>,
    /// Prefer the address that the client came to over those above.
    pub follow_client: bool,
    /// Public addresses; without a local one it stands for all of its family.
    pub external: Vec<(IpAddr, Option<IpAddr>)>,
    /// Every local address that a relay may have.
    pub own: Vec<IpAddr>,
}

impl Addresses {
    /// There is a relay address of this family for this client.
    #[must_use]
    pub fn offers(&self, family: Family, path: &Path) -> bool {
        self.followed(family, path).is_some() || self.of(family).next().is_some()
    }

    /// A local address for a new relay socket.
    pub(super) fn pick(&self, family: Family, path: &Path, random: &mut Random) -> Option<IpAddr> {
        if let Some(ip) = self.followed(family, path) {
            return Some(ip);
        }
        let count = self.of(family).count() as u64;
        if count == 0 { None } else { self.of(family).nth(random.below(count) as usize) }
    }

    /// What clients are told of a local address: with several behind one NAT, the one named for it.
    #[must_use]
    pub fn public(&self, local: IpAddr) -> IpAddr {
        let same_family = |public: &IpAddr| public.is_ipv4() == local.is_ipv4();
        let exact = self.external.iter().find(|(_, of)| *of == Some(local));
        let general = || self.external.iter().find(|(public, of)| of.is_none() && same_family(public));
        exact.or_else(general).map_or(local, |(public, _)| *public)
    }

    /// Where to send to a peer: one that is known by a public address of this server is behind the same NAT
    /// as its sender, which need not turn packets back. Then the packet stays on this side.
    #[must_use]
    pub fn inward(&self, peer: SocketAddr) -> SocketAddr {
        let named = self.external.iter().find(|(public, _)| *public == peer.ip());
        let local = named.and_then(|(_, local)| local.or_else(|| self.only_own(peer.ip())));
        local.map_or(peer, |ip| SocketAddr::new(ip, peer.port()))
    }

    /// As whom a peer is known: a relay of this server by its public address.
    #[must_use]
    pub fn outward(&self, peer: SocketAddr) -> SocketAddr {
        let translated = !self.external.is_empty() && self.own.contains(&peer.ip());
        if translated { SocketAddr::new(self.public(peer.ip()), peer.port()) } else { peer }
    }

    /// The one local relay address of a family; none if there are several to choose from.
    fn only_own(&self, like: IpAddr) -> Option<IpAddr> {
        let mut same = self.own.iter().filter(|ip| ip.is_ipv4() == like.is_ipv4());
        same.next().copied().filter(|_| same.next().is_none())
    }

    /// The address that the client came to, if relays follow it. A client of this host is better served by an
    /// address that others can reach too, if there is one.
    fn followed(&self, family: Family, path: &Path) -> Option<IpAddr> {
        let ip = path.server.ip();
        let dead_end = ip.is_loopback() && self.of(family).any(|other| !other.is_loopback());
        (self.follow_client && Family::of(ip) == family && !ip.is_unspecified() && !dead_end).then_some(ip)
    }

    /// The local addresses of a family.
    fn of(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.local.iter().copied().filter(move |ip| Family::of(*ip) == family)
    }
}
