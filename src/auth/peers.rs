//! Which peers may be reached.
//!
//! A relay is a proxy inside somebody's network, so it must know what it does not talk to. Here is all of
//! that: [`Range`] is what an operator writes, [`BUILT_IN`] what is closed unless somebody opens it, and
//! [`Policy`] the judge of one address. `layers` makes its tables of the rules, `embedded` finds what an address carries.
//!
//! An address is judged in every form it has. An IPv4-mapped address *is* its IPv4 address. An address that
//! carries an IPv4 address for a translator to find (IPv4-compatible, IPv4-translated, NAT64, ISATAP) is
//! judged as what it is and again as what it carries, by the same rules, and must pass each time. So an
//! allowed `::/0` does not open `64:ff9b::10.0.0.1`, while an allowed `10.0.0.0/8` opens 10.0.0.1 in that
//! spelling too. 6to4 and Teredo are never reached, whatever is allowed (RFC 8656 §21.4).

mod built_in;
mod embedded;
mod layers;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::Ipv6Net;

pub use super::range::Range;
use super::range::{canonical, number};
pub use built_in::{BUILT_IN, BuiltIn};
use embedded::Translators;
use layers::{Closed, Family, flatten, sorted};

/// Tells which peers may be reached.
///
/// All rules are flattened when it is made, so that a judgement is a binary search for each form of the
/// address and allocates nothing.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What is closed of IPv4: disjoint and sorted.
    ipv4: Vec<Closed>,
    /// What is closed of IPv6: disjoint and sorted.
    ipv6: Vec<Closed>,
    /// Who may find an IPv4 address in one of IPv6.
    translators: Translators,
    /// Where clients are served: sorted.
    listeners: Vec<SocketAddr>,
    /// Ports on which clients are served at every address of the host: sorted.
    everywhere: Vec<u16>,
    /// Our relay addresses: sorted.
    relays: Vec<IpAddr>,
    /// The ports that relays have; none means any.
    relay_ports: Option<RangeInclusive<u16>>,
}

/// What a policy is made of.
///
/// The order of authority: own listeners are closed, own relays open, tunnels closed; then `allow` opens;
/// then `deny` closes; then [`BUILT_IN`] and
/// this host's own addresses do, but for what a switch opens.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Reachable whatever `deny` and the built-in list say.
    pub allow: Vec<Range>,
    /// Not reachable, beyond the built-in list.
    pub deny: Vec<Range>,
    /// Opens loopback addresses.
    pub loopback: bool,
    /// Opens multicast groups.
    pub multicast: bool,
    /// Opens private (RFC 1918), shared (RFC 6598) and unique local (RFC 4193) addresses.
    pub private: bool,
    /// Prefixes beside the well-known one under which IPv4 addresses are embedded (RFC 6052 §2.2: /32,
    /// /40, /48, /56, /64 or /96). Under a prefix of another length every layout is tried.
    pub nat64: Vec<Ipv6Net>,
    /// Sockets that clients are served on, and others of the server's own; never peers. An unspecified
    /// address stands for our relay addresses and all of loopback: list other addresses of the host singly.
    pub own_listeners: Vec<SocketAddr>,
    /// Every address of this host, local and public, but loopback. Closed at all ports that are no relay's: what
    /// else listens here trusts the host's own address.
    pub own_hosts: Vec<IpAddr>,
    /// Own relay addresses, local and public. Open even if private, as two clients of one server meet
    /// there; but only at `relay_ports`.
    pub relays: Vec<IpAddr>,
    /// The ports of relays. At other ports a relay address is judged as any address, since who else
    /// listens there is not known. None means any port.
    pub relay_ports: Option<RangeInclusive<u16>>,
}

/// Why a peer may not be reached: the class of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The operator said so.
    Operator,
    /// A socket of this server.
    Listener,
    /// This host, at a port that is no relay's.
    OwnHost,
    /// Port 0, which nobody has.
    Port,
    /// "This network", and no address at all; Linux takes both for the local host.
    Unspecified,
    /// The local host.
    Loopback,
    /// The local link.
    LinkLocal,
    /// A private network.
    Private,
    /// The inside of a carrier's NAT.
    Shared,
    /// The private networks of former times.
    SiteLocal,
    /// A service that gives a cloud machine its keys.
    Metadata,
    /// Reserved for protocols.
    Protocol,
    /// Reserved for documentation.
    Documentation,
    /// Reserved for benchmarks of networks.
    Benchmark,
    /// A tunnel of 6to4 or Teredo.
    Tunnel,
    /// A group.
    Multicast,
    /// Everybody on the link.
    Broadcast,
    /// Reserved for some future use.
    Reserved,
    /// A sink.
    Discard,
    /// A segment of source routing.
    Segment,
    /// A hash that is no address.
    Orchid,
}

impl Policy {
    /// Flattens the rules.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let own = rules.own_listeners.iter().map(|at| SocketAddr::new(canonical(at.ip()), at.port()));
        let (everywhere, listeners): (Vec<_>, Vec<_>) = own.partition(|at| at.ip().is_unspecified());
        Self {
            ipv4: flatten(rules, Family::V4),
            ipv6: flatten(rules, Family::V6),
            translators: Translators(rules.nat64.clone()),
            listeners: sorted(listeners),
            everywhere: sorted(everywhere.iter().map(SocketAddr::port).collect()),
            relays: sorted(rules.relays.iter().copied().map(canonical).collect()),
            relay_ports: rules.relay_ports.clone(),
        }
    }

    /// Judges a peer to which something is to be sent: as [`Self::allows`], but port 0 is no peer.
    pub fn reaches(&self, peer: SocketAddr) -> Result<(), Denied> {
        if peer.port() == 0 {
            return Err(Denied::Port);
        }
        self.allows(peer)
    }

    /// Judges a peer. Port 0 means any port, as in a permission.
    pub fn allows(&self, peer: SocketAddr) -> Result<(), Denied> {
        let ip = canonical(peer.ip());
        if self.is_own_relay(ip, peer.port()) {
            return Ok(());
        }
        self.judge(ip, peer.port())?;
        match ip {
            IpAddr::V4(_) => Ok(()),
            IpAddr::V6(carrier) => {
                self.translators.embedded(carrier).try_for_each(|carried| self.judge(IpAddr::V4(carried), peer.port()))
            }
        }
    }

    /// Whether every port of a peer is judged alike: not so where this server itself listens or relays.
    #[must_use]
    pub fn is_alike(&self, peer: IpAddr) -> bool {
        let ip = canonical(peer);
        let own = |ip: IpAddr| self.listeners.iter().any(|at| at.ip() == ip);
        let carries = |ip| matches!(ip, IpAddr::V6(carrier) if self.translators.embedded(carrier).next().is_some());
        !own(ip) && !carries(ip) && self.relays.binary_search(&ip).is_err()
    }

    /// Whether this is a socket of the server's own: a datagram that says it comes from there is forged.
    #[must_use]
    pub fn is_own_listener(&self, source: SocketAddr) -> bool {
        self.is_listener(canonical(source.ip()), source.port())
    }

    /// Judges one form of an address.
    fn judge(&self, ip: IpAddr, port: u16) -> Result<(), Denied> {
        if self.is_listener(ip, port) {
            return Err(Denied::Listener);
        }
        let table = match ip {
            IpAddr::V4(_) => &self.ipv4,
            IpAddr::V6(_) => &self.ipv6,
        };
        let number = number(ip);
        let above = table.partition_point(|closed| closed.first <= number);
        match above.checked_sub(1).and_then(|index| table.get(index)) {
            Some(closed) if number <= closed.last => Err(closed.class),
            _ => Ok(()),
        }
    }

    /// Whether this is where a relay of ours may be, and no listener.
    fn is_own_relay(&self, ip: IpAddr, port: u16) -> bool {
        let fits = || self.relay_ports.as_ref().is_none_or(|ports| ports.contains(&port));
        self.relays.binary_search(&ip).is_ok() && (port == 0 || fits()) && !self.is_listener(ip, port)
    }

    /// Whether clients are served here.
    fn is_listener(&self, ip: IpAddr, port: u16) -> bool {
        let here = || ip.is_loopback() || self.relays.binary_search(&ip).is_ok();
        self.listeners.binary_search(&SocketAddr::new(ip, port)).is_ok()
            || (self.everywhere.binary_search(&port).is_ok() && here())
    }
}

/// Whether an address is at the end of a tunnel of 6to4 or Teredo: no client may allocate from there
/// (RFC 8656 §21.4).
#[must_use]
pub fn is_tunnel(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.segments()[0] == 0x2002 || ip.segments()[..2] == [0x2001, 0])
}

impl Denied {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "denied by configuration",
            Self::Listener => "own listener",
            Self::OwnHost => "own host",
            Self::Port => "port 0",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::SiteLocal => "site-local",
            Self::Metadata => "metadata",
            Self::Protocol => "protocol",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::Tunnel => "tunnel",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Reserved => "reserved",
            Self::Discard => "discard",
            Self::Segment => "segment routing",
            Self::Orchid => "orchid",
        }
    }

    /// Whether a switch opens this class.
    const fn is_open(self, rules: &Rules) -> bool {
        match self {
            Self::Loopback => rules.loopback,
            Self::Multicast => rules.multicast,
            Self::Private | Self::Shared => rules.private,
            _ => false,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Denied {}
