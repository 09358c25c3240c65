//! The header that a proxy puts before what it forwards, and who the client is that it names (HAProxy's PROXY
//! protocol, versions 1 and 2).

use super::u16_at;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins. No STUN message, ChannelData or TLS record begins so.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// Bytes of version 2 before the addresses.
const HEADER: usize = 16;
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// The shortest, `PROXY UNKNOWN`.
const SHORTEST_LINE: usize = 15;
/// The longest header there is: that of version 2 with as many bytes as 16 bits can tell.
pub const LONGEST: usize = HEADER + 0xFFFF;
/// The type of the extension that holds a CRC32C of the whole header.
const CHECKSUM: u8 = 0x03;

/// What the header stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A connection: either version.
    Stream,
    /// A datagram: version 2 alone.
    Datagram,
}

/// What stands at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// A whole header.
    Whole {
        /// Bytes of it.
        len: usize,
        /// The client; none if the proxy speaks for itself, or names no address of the Internet.
        client: Option<SocketAddr>,
    },
    /// More bytes are needed: `len` in all, as far as it can be told.
    Incomplete {
        /// Bytes of the whole header; at least one more than there are.
        len: usize,
    },
    /// No header begins so.
    Invalid,
}

/// Looks at the front of a connection or of a datagram.
#[must_use]
pub fn next(bytes: &[u8], carrier: Carrier) -> Front {
    match bytes.first() {
        None => Front::Incomplete { len: SHORTEST_LINE },
        Some(first) if *first == SIGNATURE[0] => binary(bytes, carrier),
        Some(_) if carrier == Carrier::Stream => text(bytes),
        Some(_) => Front::Invalid,
    }
}

/// Version 1: a line, `PROXY TCP4 192.0.2.1 198.51.100.7 40000 3478`.
fn text(bytes: &[u8]) -> Front {
    let seen = bytes.len().min(WORD.len());
    let within = &bytes[..bytes.len().min(LONGEST_LINE)];
    let end = within.iter().position(|byte| *byte == b'\n');
    match end {
        _ if bytes[..seen] != WORD[..seen] => Front::Invalid,
        Some(end) => match within[..end].strip_suffix(b"\r").and_then(words) {
            Some(client) => Front::Whole { len: end + 1, client },
            None => Front::Invalid,
        },
        None if within.len() == LONGEST_LINE => Front::Invalid,
        None => Front::Incomplete { len: SHORTEST_LINE.max(bytes.len() + 1) },
    }
}

/// The client that a line names; none if it is no such line. Whatever follows `UNKNOWN` means nothing.
fn words(line: &[u8]) -> Option<Option<SocketAddr>> {
    let rest = line.strip_prefix(WORD)?;
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = std::str::from_utf8(rest).ok()?.split(' ');
    let family = words.next()?;
    let (client, _) = (address(family, words.next()?)?, address(family, words.next()?)?);
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some(Some(SocketAddr::new(client.to_canonical(), port)))
}

/// An address of this family in text.
fn address(family: &str, text: &str) -> Option<IpAddr> {
    match family {
        "TCP4" => text.parse().ok().map(IpAddr::V4),
        "TCP6" => text.parse().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// A port in digits, without zeros before them.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| plain && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Version 2: signature, version and command, family and protocol, length, addresses, extensions.
fn binary(bytes: &[u8], carrier: Carrier) -> Front {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Front::Invalid;
    }
    if bytes.len() < HEADER {
        return Front::Incomplete { len: HEADER };
    }
    let len = HEADER + usize::from(u16_at(bytes, 14));
    let Some(content) = Content::of(bytes[12], bytes[13], carrier).filter(|content| HEADER + content.room() <= len)
    else {
        return Front::Invalid;
    };
    let Some(header) = bytes.get(..len) else { return Front::Incomplete { len } };
    if content != Content::Nothing && !extensions_hold(header, HEADER + content.room()) {
        return Front::Invalid;
    }
    Front::Whole { len, client: content.client(&header[HEADER..]) }
}

/// What a header of version 2 holds behind its first sixteen bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing that has a meaning: the proxy speaks for itself, or does not say for whom.
    Nothing,
    /// Addresses and ports of IPv4.
    V4,
    /// Addresses and ports of IPv6.
    V6,
    /// Paths in a file system.
    Unix,
}

impl Content {
    /// By version and command, and by family and protocol; none if there is no such thing, or not on this carrier.
    fn of(command: u8, family: u8, carrier: Carrier) -> Option<Self> {
        match (command, family, carrier) {
            (0x20, _, _) | (0x21, 0x00, _) => Some(Self::Nothing),
            (0x21, 0x11, Carrier::Stream) | (0x21, 0x12, Carrier::Datagram) => Some(Self::V4),
            (0x21, 0x21, Carrier::Stream) | (0x21, 0x22, Carrier::Datagram) => Some(Self::V6),
            (0x21, 0x31, Carrier::Stream) | (0x21, 0x32, Carrier::Datagram) => Some(Self::Unix),
            _ => None,
        }
    }

    /// Bytes of both addresses.
    fn room(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Unix => 216,
        }
    }

    /// The client, from the bytes behind the first sixteen, of which there are enough. An IPv4 client may be spelt as
    /// IPv6 by a proxy that listens to both.
    fn client(self, bytes: &[u8]) -> Option<SocketAddr> {
        match self {
            Self::V4 => {
                let ip = bytes.first_chunk::<4>()?;
                Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), u16_at(bytes, 8)))
            }
            Self::V6 => {
                let ip = bytes.first_chunk::<16>()?;
                Some(SocketAddr::new(Ipv6Addr::from(*ip).to_canonical(), u16_at(bytes, 32)))
            }
            Self::Nothing | Self::Unix => None,
        }
    }
}

/// The extensions from `at` on end where the header does, and a checksum among them is right. They are type, length
/// and value; of none but the checksum is anything wanted.
fn extensions_hold(header: &[u8], at: usize) -> bool {
    let (mut at, mut checked) = (at, false);
    while at < header.len() {
        if header.len() - at < 3 {
            return false;
        }
        let value = at + 3;
        let end = value + usize::from(u16_at(header, at + 1));
        if end > header.len() {
            return false;
        }
        if header[at] == CHECKSUM {
            // A second one would be work for nothing, and many of them a lot of it.
            if checked || header[value..end] != crc32c_without(header, value).to_be_bytes() {
                return false;
            }
            checked = true;
        }
        at = end;
    }
    true
}

/// The CRC32C (Castagnoli) of a header whose four bytes from `at` on count as zero.
fn crc32c_without(header: &[u8], at: usize) -> u32 {
    let byte = |(i, byte): (usize, &u8)| if (at..at + 4).contains(&i) { 0 } else { *byte };
    !header.iter().enumerate().map(byte).fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    })
}
