//! The table of what is closed unless somebody opens it.

use super::Denied;
use crate::auth::range::{Range, host_mask};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
