//! MAPPED and XOR addresses (RFC 8489 §14.1–14.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |0 0 0 0 0 0 0 0|    Family     |           (X-)Port            |
//! |                (X-)Address (32 bits or 128 bits)              |
//! ```

use super::message::COOKIE;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address family as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// 0x01.
    V4 = 1,
    /// 0x02.
    V6 = 2,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The family with this code, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        if self == Self::V4 { Self::V6 } else { Self::V4 }
    }
}

/// An address in wire form: up to 20 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; 20],
    len: usize,
}

impl Encoded {
    /// The bytes of the attribute's value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The mask of an XOR address: the cookie, then the transaction id.
fn mask(transaction: &[u8; 12]) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(transaction);
    mask
}

/// Encodes an address in clear.
#[must_use]
pub fn encode(addr: SocketAddr) -> Encoded {
    let mut out = Encoded { bytes: [0; 20], len: 0 };
    out.bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
    match addr.ip() {
        IpAddr::V4(ip) => put(&mut out, Family::V4, &ip.octets()),
        IpAddr::V6(ip) => put(&mut out, Family::V6, &ip.octets()),
    }
    out
}

/// Writes family and address.
fn put(out: &mut Encoded, family: Family, octets: &[u8]) {
    out.bytes[1] = family as u8;
    out.bytes[4..4 + octets.len()].copy_from_slice(octets);
    out.len = 4 + octets.len();
}

/// Encodes an address for an XOR attribute.
#[must_use]
pub fn encode_xor(addr: SocketAddr, transaction: &[u8; 12]) -> Encoded {
    let mut out = encode(addr);
    flip(&mut out.bytes, &mask(transaction));
    out
}

/// Applies the mask to port and address.
fn flip(value: &mut [u8; 20], mask: &[u8; 16]) {
    value[2] ^= mask[0];
    value[3] ^= mask[1];
    for (byte, m) in value[4..].iter_mut().zip(mask) {
        *byte ^= m;
    }
}

/// Decodes an XOR address; the length must fit the family. The first byte is not looked at.
#[must_use]
pub fn decode_xor(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let mut clear = [0; 20];
    clear.get_mut(..value.len())?.copy_from_slice(value);
    flip(&mut clear, &mask(transaction));
    decode(&clear[..value.len()])
}

/// Decodes an address in clear.
#[must_use]
pub fn decode(value: &[u8]) -> Option<SocketAddr> {
    let family = Family::from_code(*value.get(1)?)?;
    let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]);
    let ip = match family {
        Family::V4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&value[4..]).ok()?)),
        Family::V6 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&value[4..]).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}
