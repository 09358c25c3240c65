//! IPv4 addresses within IPv6 addresses, for a translator to find.

use ipnet::Ipv6Net;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The translators that there may be: those that everybody knows, and those behind these prefixes of the operator's.
#[derive(Clone, Debug)]
pub(super) struct Translators(pub Vec<Ipv6Net>);

impl Translators {
    /// The IPv4 addresses that an IPv6 address carries for a translator to find.
    ///
    /// Mapped addresses are not among them, being IPv4 already; nor are 6to4 and Teredo, which are closed
    /// whatever they carry.
    pub(super) fn embedded(&self, carrier: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> + '_ {
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
        let configured = self.0.iter().filter(inside);
        let guessed = LOCAL_NAT64.contains(&carrier) && !self.0.iter().any(|net| inside(&net));
        let guesses: &[u8] = if guessed { &LAYOUTS[2..] } else { &[] };
        configured.flat_map(layouts_of).chain(guesses).copied()
    }
}

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
