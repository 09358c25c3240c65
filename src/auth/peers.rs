//! Which peers may be reached.
//!
//! A relay is a proxy inside somebody's network, so it must know what it does not talk to. Here is all of
//! that: [`Range`] is what an operator writes, [`BUILT_IN`] what is closed unless somebody opens it, and
//! [`Policy`] the judge of one address.
//!
//! An address is judged in every form it has. An IPv4-mapped address *is* its IPv4 address. An address that
//! carries an IPv4 address for a translator to find (IPv4-compatible, IPv4-translated, NAT64, ISATAP) is
//! judged as what it is and again as what it carries, by the same rules, and must pass each time. So an
//! allowed `::/0` does not open `64:ff9b::10.0.0.1`, while an allowed `10.0.0.0/8` opens 10.0.0.1 in that
//! spelling too. 6to4 and Teredo are never reached, whatever is allowed (RFC 8656 §21.4).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::Ipv6Net;

pub use super::range::Range;
use super::range::{canonical, host_mask, number};

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
    /// Prefixes that the operator's translators use.
    nat64: Vec<Ipv6Net>,
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

/// A range that is closed unless somebody opens it.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// What these addresses are.
    pub class: Denied,
    /// Which they are.
    pub range: Range,
    /// Where that is said, or who is there.
    pub why: &'static str,
}

/// What is closed unless somebody opens it. Of two ranges that hold an address the narrower counts.
#[rustfmt::skip] // One row, one line.
pub const BUILT_IN: &[BuiltIn] = &[
    closed(Denied::Unspecified, v4(0, 0, 0, 0, 8), "RFC 791; Linux connects 0.0.0.0 to itself"),
    closed(Denied::Private, v4(10, 0, 0, 0, 8), "RFC 1918"),
    closed(Denied::Shared, v4(100, 64, 0, 0, 10), "RFC 6598"),
    closed(Denied::Metadata, v4(100, 100, 100, 200, 32), "Alibaba Cloud"),
    closed(Denied::Loopback, v4(127, 0, 0, 0, 8), "RFC 1122"),
    closed(Denied::Metadata, v4(168, 63, 129, 16, 32), "Azure; a public address used inside"),
    closed(Denied::LinkLocal, v4(169, 254, 0, 0, 16), "RFC 3927"),
    closed(Denied::Metadata, v4(169, 254, 169, 123, 32), "Amazon time"),
    closed(Denied::Metadata, v4(169, 254, 169, 254, 32), "Amazon, Google, Azure and most others"),
    closed(Denied::Metadata, v4(169, 254, 170, 2, 32), "Amazon ECS credentials"),
    closed(Denied::Metadata, v4(169, 254, 170, 23, 32), "Amazon EKS credentials"),
    closed(Denied::Private, v4(172, 16, 0, 0, 12), "RFC 1918"),
    closed(Denied::Protocol, v4(192, 0, 0, 0, 24), "RFC 6890"),
    closed(Denied::Metadata, v4(192, 0, 0, 192, 32), "Oracle Cloud"),
    closed(Denied::Documentation, v4(192, 0, 2, 0, 24), "RFC 5737"),
    closed(Denied::Tunnel, v4(192, 88, 99, 0, 24), "RFC 7526: relays of 6to4"),
    closed(Denied::Private, v4(192, 168, 0, 0, 16), "RFC 1918"),
    closed(Denied::Benchmark, v4(198, 18, 0, 0, 15), "RFC 2544"),
    closed(Denied::Documentation, v4(198, 51, 100, 0, 24), "RFC 5737"),
    closed(Denied::Documentation, v4(203, 0, 113, 0, 24), "RFC 5737"),
    closed(Denied::Multicast, v4(224, 0, 0, 0, 4), "RFC 1112"),
    closed(Denied::Reserved, v4(240, 0, 0, 0, 4), "RFC 1112"),
    closed(Denied::Broadcast, v4(255, 255, 255, 255, 32), "RFC 919"),
    closed(Denied::Unspecified, v6([0; 8], 128), "RFC 4291; Linux connects it to itself"),
    closed(Denied::Loopback, v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "RFC 4291"),
    closed(Denied::Discard, v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "RFC 6666"),
    closed(Denied::Discard, v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64), "RFC 9780"),
    closed(Denied::Protocol, v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "RFC 2928"),
    closed(Denied::Tunnel, v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "RFC 4380: Teredo"),
    closed(Denied::Benchmark, v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "RFC 5180"),
    closed(Denied::Orchid, v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28), "RFC 4843"),
    closed(Denied::Orchid, v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28), "RFC 7343"),
    closed(Denied::Documentation, v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "RFC 3849"),
    closed(Denied::Tunnel, v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "RFC 3056: 6to4"),
    closed(Denied::Documentation, v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "RFC 9637"),
    closed(Denied::Segment, v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "RFC 9602"),
    closed(Denied::Private, v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "RFC 4193"),
    closed(Denied::Metadata, v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), "Amazon EKS"),
    closed(Denied::Metadata, v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), "Amazon"),
    closed(Denied::Metadata, v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), "Google"),
    closed(Denied::LinkLocal, v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "RFC 4291"),
    closed(Denied::SiteLocal, v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "RFC 3879"),
    closed(Denied::Multicast, v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "RFC 4291"),
];

impl Policy {
    /// Flattens the rules.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        let own = rules.own_listeners.iter().map(|at| SocketAddr::new(canonical(at.ip()), at.port()));
        let (everywhere, listeners): (Vec<_>, Vec<_>) = own.partition(|at| at.ip().is_unspecified());
        Self {
            ipv4: flatten(rules, Family::V4),
            ipv6: flatten(rules, Family::V6),
            nat64: rules.nat64.clone(),
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
                self.embedded(carrier).try_for_each(|carried| self.judge(IpAddr::V4(carried), peer.port()))
            }
        }
    }

    /// Whether every port of a peer is judged alike: not so where this server itself listens or relays.
    #[must_use]
    pub fn is_alike(&self, peer: IpAddr) -> bool {
        let ip = canonical(peer);
        let own = |ip: IpAddr| self.listeners.iter().any(|at| at.ip() == ip);
        let carries = |ip| matches!(ip, IpAddr::V6(carrier) if self.embedded(carrier).next().is_some());
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

    /// The IPv4 addresses that an IPv6 address carries for a translator to find.
    ///
    /// Mapped addresses are not among them, being IPv4 already; nor are 6to4 and Teredo, which are closed
    /// whatever they carry.
    fn embedded(&self, carrier: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let translated = self.layouts(carrier).map(move |len| carried(carrier, len));
        at_the_end(carrier).into_iter().chain(translated)
    }

    /// The prefix lengths under which a NAT64 would look for an IPv4 address here.
    ///
    /// Those of the operator count, for who knows the prefix knows its length. Without any, the range for
    /// local use (RFC 8215) may be cut at any length; as an address that is public at one is `0.x.x.x` at
    /// another, practically all of that range is closed until its prefix is configured.
    fn layouts(&self, carrier: Ipv6Addr) -> impl Iterator<Item = u8> + '_ {
        let inside = move |net: &&Ipv6Net| net.contains(&carrier);
        let configured = self.nat64.iter().filter(inside);
        let guessed = LOCAL_NAT64.contains(&carrier) && !self.nat64.iter().any(|net| inside(&net));
        let guesses: &[u8] = if guessed { &LAYOUTS[2..] } else { &[] };
        configured.flat_map(layouts_of).chain(guesses).copied()
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

/// The IPv4 address in the last four bytes, if the rest says that one is there.
fn at_the_end(carrier: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = carrier.segments();
    let is_carrier = match (a, b, c, d, e, f) {
        // IPv4-compatible; `::` and `::1` are not.
        (0, 0, 0, 0, 0, 0) => high > 0 || low > 1,
        // IPv4-translated (RFC 7915), and the well-known prefix of NAT64 (RFC 6052).
        (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => true,
        // ISATAP (RFC 5214): any prefix, an interface identifier made of the address.
        (_, _, _, _, 0 | 0x200, 0x5efe) => true,
        _ => false,
    };
    is_carrier.then(|| carried(carrier, 96))
}

/// The IPv4 address that stands behind a prefix of this length (RFC 6052 §2.2). Bits 64 to 71 are skipped.
///
/// ```text
///  PL   0-------------32--40--48--56--64--72--80--88--96--104---------
///  32       prefix     v4(32)         | u | suffix
///  40       prefix         v4(24)     | u |(8)| suffix
///  48       prefix             v4(16) | u | (16)  | suffix
///  56       prefix                 (8)| u |  v4(24)   | suffix
///  64       prefix                    | u |   v4(32)      | suffix
///  96       prefix                                    v4(32)
/// ```
fn carried(carrier: Ipv6Addr, len: u8) -> Ipv4Addr {
    let octets = carrier.octets();
    let behind = octets.iter().enumerate().skip(usize::from(len / 8)).filter(|(at, _)| *at != 8);
    let mut address = [0; 4];
    for (byte, (_, octet)) in address.iter_mut().zip(behind) {
        *byte = *octet;
    }
    address.into()
}

/// The prefix lengths of RFC 6052.
const LAYOUTS: &[u8] = &[32, 40, 48, 56, 64, 96];

/// The NAT64 range for local use (RFC 8215), of which an operator cuts a prefix of 48 bits or more.
const LOCAL_NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48);

/// The layouts of a configured prefix: its own, or all if it is of no length that RFC 6052 knows.
fn layouts_of(net: &Ipv6Net) -> &'static [u8] {
    let known = LAYOUTS.iter().position(|len| *len == net.prefix_len());
    known.map_or(LAYOUTS, |at| &LAYOUTS[at..=at])
}

/// The family that a table is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The highest address.
    const fn max(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }

    /// The ends of a range, if it is of this family.
    fn bounds(self, range: &Range) -> Option<(u128, u128)> {
        (range.first.is_ipv4() == (self == Self::V4)).then(|| (number(range.first), number(range.last)))
    }
}

/// Neighbouring addresses that are closed for the same reason.
#[derive(Clone, Copy, Debug)]
struct Closed {
    /// The lowest.
    first: u128,
    /// The highest.
    last: u128,
    /// The reason.
    class: Denied,
}

/// Rules of one family, before they are flattened.
struct Layers<'a> {
    /// What is open.
    allow: Vec<(u128, u128)>,
    /// What the operator closed.
    deny: Vec<(u128, u128)>,
    /// What is closed anyway, the narrowest first.
    built_in: Vec<Closed>,
    /// The switches.
    rules: &'a Rules,
}

/// Lays the rules of one family over each other and keeps what is closed, disjoint and sorted.
fn flatten(rules: &Rules, family: Family) -> Vec<Closed> {
    let layers = Layers::new(rules, family);
    let edges = layers.edges(family);
    let mut table: Vec<Closed> = Vec::new();
    for (index, &first) in edges.iter().enumerate() {
        let last = edges.get(index + 1).map_or(family.max(), |next| next - 1);
        // Nothing begins or ends inside, so the first address speaks for all.
        let Some(class) = layers.judge(first) else {
            continue;
        };
        match table.last_mut() {
            Some(before) if before.class == class && before.last + 1 == first => before.last = last,
            _ => table.push(Closed { first, last, class }),
        }
    }
    table
}

impl<'a> Layers<'a> {
    /// Sorts out what concerns this family.
    fn new(rules: &'a Rules, family: Family) -> Self {
        let bounds = |ranges: &[Range]| ranges.iter().filter_map(|r| family.bounds(r)).collect();
        let closed = |row: &BuiltIn| {
            let (first, last) = family.bounds(&row.range)?;
            Some(Closed { first, last, class: row.class })
        };
        let mut built_in: Vec<_> = BUILT_IN.iter().filter_map(closed).collect();
        let own = rules.own_hosts.iter().map(|ip| canonical(*ip)).map(|ip| Range { first: ip, last: ip });
        built_in.extend(own.filter_map(|range| {
            let (first, last) = family.bounds(&range)?;
            Some(Closed { first, last, class: Denied::OwnHost })
        }));
        built_in.sort_by_key(|closed| closed.last - closed.first);
        Self { allow: merge(bounds(&rules.allow)), deny: merge(bounds(&rules.deny)), built_in, rules }
    }

    /// Every address where a judgement may change.
    fn edges(&self, family: Family) -> Vec<u128> {
        let built_in = self.built_in.iter().map(|closed| (closed.first, closed.last));
        let ranges = built_in.chain(self.allow.iter().copied()).chain(self.deny.iter().copied());
        let after = |last: u128| last.checked_add(1).filter(|next| *next <= family.max());
        let edges = ranges.flat_map(|(first, last)| [Some(first), after(last)]).flatten();
        let mut edges = sorted(edges.collect());
        edges.dedup();
        edges
    }

    /// The judgement of one address.
    fn judge(&self, number: u128) -> Option<Denied> {
        let inside = |closed: &&Closed| (closed.first..=closed.last).contains(&number);
        match self.built_in.iter().find(inside).map(|closed| closed.class) {
            Some(Denied::Tunnel) => Some(Denied::Tunnel),
            _ if holds(&self.allow, number) => None,
            _ if holds(&self.deny, number) => Some(Denied::Operator),
            class => class.filter(|class| !class.is_open(self.rules)),
        }
    }
}

/// Joins ranges that overlap, so that they can be searched.
fn merge(ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (first, last) in sorted(ranges) {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether one of these merged ranges holds a number.
fn holds(ranges: &[(u128, u128)], number: u128) -> bool {
    let above = ranges.partition_point(|(first, _)| *first <= number);
    above.checked_sub(1).is_some_and(|index| number <= ranges[index].1)
}

/// The same, sorted.
fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}

/// A row of the table.
const fn closed(class: Denied, range: Range, why: &'static str) -> BuiltIn {
    BuiltIn { class, range, why }
}

/// An IPv4 network of the table.
const fn v4(a: u8, b: u8, c: u8, d: u8, len: u32) -> Range {
    let first = Ipv4Addr::new(a, b, c, d);
    let last = Ipv4Addr::from_bits(first.to_bits() | host_mask(32, len) as u32);
    Range { first: IpAddr::V4(first), last: IpAddr::V4(last) }
}

/// An IPv6 network of the table.
const fn v6(segments: [u16; 8], len: u32) -> Range {
    let [a, b, c, d, e, f, g, h] = segments;
    let first = Ipv6Addr::new(a, b, c, d, e, f, g, h);
    let last = Ipv6Addr::from_bits(first.to_bits() | host_mask(128, len));
    Range { first: IpAddr::V6(first), last: IpAddr::V6(last) }
}
