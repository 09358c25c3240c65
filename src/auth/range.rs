//! Ranges of addresses, and addresses as numbers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address, of the same family.
    pub last: IpAddr,
}

impl Range {
    /// Makes a range of two addresses. IPv4-mapped ones count as IPv4.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, String> {
        let (first, last) = (canonical(first), canonical(last));
        if first.is_ipv4() != last.is_ipv4() {
            return Err(format!("{first} and {last} are not of one family"));
        }
        if first > last {
            return Err(format!("{first} is above {last}: the lower address comes first"));
        }
        Ok(Self { first, last })
    }

    /// Whether an address is inside.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = canonical(ip);
        ip.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&ip)
    }

    /// Reads `10.0.0.0/8`.
    ///
    /// Bits beyond the prefix are refused: whether `10.1.2.3/8` was to be one address or sixteen million
    /// is for its author to say.
    fn from_network(address: &str, text: &str) -> Result<Self, String> {
        let ip = parse_address(address)?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let len = text.trim().parse::<u32>().ok().filter(|len| *len <= bits);
        let len = len.ok_or_else(|| format!("{ip}/{text} is no network: a prefix has 0 to {bits} bits"))?;

        let hosts = host_mask(bits, len);
        let first = address_at(number(ip) & !hosts, ip);
        if first != ip {
            return Err(format!("{ip}/{len} starts inside the network: say {first}/{len} or {ip}"));
        }
        Self::new(first, address_at(number(ip) | hosts, ip))
    }

    /// The prefix length, if a network is what this is.
    fn prefix_len(&self) -> Option<u32> {
        let (first, last) = (number(self.first), number(self.last));
        let hosts = first ^ last;
        let is_network = hosts & hosts.wrapping_add(1) == 0 && first & hosts == 0;
        let bits = if self.first.is_ipv4() { 32 } else { 128 };
        is_network.then(|| bits - hosts.count_ones())
    }
}

impl FromStr for Range {
    type Err = String;

    /// Reads `10.1.2.3`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`, IPv4 or IPv6.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((address, len)) = text.split_once('/') {
            return Self::from_network(address, len);
        }
        if let Some((first, last)) = text.split_once('-') {
            return Self::new(parse_address(first)?, parse_address(last)?);
        }
        let only = parse_address(text)?;
        Self::new(only, only)
    }
}

impl fmt::Display for Range {
    /// Writes the shortest form that reads back as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len() {
            _ if self.first == self.last => write!(f, "{}", self.first),
            Some(len) => write!(f, "{}/{len}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// One spelling for each address: IPv4-mapped IPv6 is IPv4.
pub(super) const fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Reads one address.
fn parse_address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    text.parse().map_err(|_| format!("{text:?} is not an IP address"))
}

/// An address as a number. One width for both families: a table holds only one of them.
pub(super) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The address with this number, of the same family as another.
pub(super) fn address_at(number: u128, like: IpAddr) -> IpAddr {
    match (like, u32::try_from(number)) {
        (IpAddr::V4(_), Ok(bits)) => Ipv4Addr::from_bits(bits).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// Ones where a network of this prefix length has host bits.
pub(super) const fn host_mask(bits: u32, len: u32) -> u128 {
    match u128::MAX.checked_shr(128 - bits + len) {
        Some(mask) => mask,
        None => 0,
    }
}
