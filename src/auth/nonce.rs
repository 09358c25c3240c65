//! Nonces that the server need not remember (RFC 8489 §9.2).
//!
//! ```text
//! obMatJos2 gAAB xxxxxxxxxxxxxxxxxxxxxxxx        37 characters
//! cookie    bits base64 of: issue time (4 bytes), MAC (14 bytes)
//! ```
//!
//! The MAC covers the time, the client's address and port, the realm, the feature bits and the list of
//! algorithms offered with it. So a nonce tells when it was issued and to whom, and what the client must
//! have been offered, without a byte of state for someone who has proved nothing yet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{self, HMAC_SHA256};
use subtle::ConstantTimeEq;

use super::key::Algorithm;

/// Length of a nonce, in bytes and characters.
pub const LEN: usize = 37;

/// What each nonce starts with, so that clients know to look for feature bits.
const COOKIE: &[u8; 9] = b"obMatJos2";

/// Where the encoded time and MAC start.
const BODY: usize = COOKIE.len() + 4;

/// Bytes of the MAC that are sent. Forging one takes 2^111 tries, each of them a request.
const MAC_LEN: usize = 14;

/// How far from the future a nonce may come: the clocks of a fleet that shares a key differ a little.
const SLACK_SECONDS: i32 = 30;

/// Writes nonces and tells its own from others.
pub struct Nonces {
    /// Derived from the server's key and all that is the same for every client.
    key: hmac::Key,
    /// Cookie and feature bits.
    prefix: [u8; BODY],
    /// Seconds a nonce is good for; none means for ever.
    lifetime: Option<i32>,
}

/// What the feature bits of a nonce announce.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// The algorithms offered in PASSWORD-ALGORITHMS, in that order; if empty, the list is not sent.
    pub password_algorithms: Vec<Algorithm>,
    /// Clients may send USERHASH instead of USERNAME.
    pub anonymity: bool,
    /// Which end the bits are counted from.
    pub order: BitOrder,
}

/// Which end feature bits are counted from.
///
/// The text of RFC 8489 counts from the most significant bit, its test vector and a verified erratum
/// (EID 6290) from the least, and clients of both kinds exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BitOrder {
    /// Each bit in both places: every client finds its own, and the others mean nothing yet.
    #[default]
    Both,
    /// The least significant bit is bit 0.
    Lsb,
    /// The most significant bit is bit 0.
    Msb,
}

/// What a nonce turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Issued to this client, with these features, and still good.
    Fresh,
    /// Issued to this client, with these features, but not now.
    Stale,
    /// Not issued by us, or to another client, or with other features, or altered since.
    Foreign,
}

impl std::fmt::Debug for Nonces {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces")
    }
}

impl Nonces {
    /// Prepares nonces for a realm. A lifetime of zero means for ever.
    #[must_use]
    pub fn new(key: [u8; 32], realm: &str, lifetime: Duration, features: &Features) -> Self {
        let bits = features.bits();
        let mut prefix = [0; BODY];
        prefix[..COOKIE.len()].copy_from_slice(COOKIE);
        encode(&bits, &mut prefix[COOKIE.len()..]);
        Self { key: bound_key(key, realm, bits, features), prefix, lifetime: seconds(lifetime) }
    }

    /// Writes the nonce that this client gets at this time.
    #[must_use]
    pub fn write(&self, wall_seconds: u64, client: SocketAddr) -> [u8; LEN] {
        let issued = wrapped(wall_seconds).to_be_bytes();
        let mut body = [0; 4 + MAC_LEN];
        body[..4].copy_from_slice(&issued);
        body[4..].copy_from_slice(&self.mac(issued, client));

        let mut nonce = [0; LEN];
        nonce[..BODY].copy_from_slice(&self.prefix);
        encode(&body, &mut nonce[BODY..]);
        nonce
    }

    /// Judges a nonce that this client sent.
    #[must_use]
    pub fn judge(&self, wall_seconds: u64, client: SocketAddr, nonce: &[u8]) -> Judgement {
        let Some((issued, mac)) = self.parse(nonce) else {
            return Judgement::Foreign;
        };
        if !bool::from(self.mac(issued, client).ct_eq(&mac)) {
            return Judgement::Foreign;
        }
        if self.is_good(u32::from_be_bytes(issued), wrapped(wall_seconds)) {
            Judgement::Fresh
        } else {
            Judgement::Stale
        }
    }

    /// Takes a nonce apart, if it looks like one of ours.
    fn parse(&self, nonce: &[u8]) -> Option<([u8; 4], [u8; MAC_LEN])> {
        let body = nonce.strip_prefix(&self.prefix)?;
        if body.len() != LEN - BODY {
            return None;
        }
        let mut bytes = [0; 4 + MAC_LEN];
        STANDARD.decode_slice(body, &mut bytes).ok()?;
        let (issued, mac) = bytes.split_first_chunk()?;
        Some((*issued, mac.try_into().ok()?))
    }

    /// Whether a nonce issued then is good now.
    fn is_good(&self, issued: u32, now: u32) -> bool {
        let Some(lifetime) = self.lifetime else {
            return true;
        };
        // The difference is right across the wrap in 2106, and negative for the future.
        let age = now.wrapping_sub(issued).cast_signed();
        (-SLACK_SECONDS..=lifetime).contains(&age)
    }

    /// Authenticates what differs from nonce to nonce.
    fn mac(&self, issued: [u8; 4], client: SocketAddr) -> [u8; MAC_LEN] {
        let mut text = [0; 22];
        text[..4].copy_from_slice(&issued);
        text[4..20].copy_from_slice(&address(client.ip()));
        text[20..].copy_from_slice(&client.port().to_be_bytes());

        let tag = hmac::sign(&self.key, &text);
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
        mac
    }
}

impl Features {
    /// The 24 bits, as three bytes (RFC 8489 §18.1).
    fn bits(&self) -> [u8; 3] {
        let mut bits = 0_u32;
        if !self.password_algorithms.is_empty() {
            bits |= self.order.bit(0);
        }
        if self.anonymity {
            bits |= self.order.bit(1);
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        bytes
    }
}

impl BitOrder {
    /// Where a feature stands among the 24 bits.
    const fn bit(self, number: u32) -> u32 {
        let (lsb, msb) = (1 << number, 1 << (23 - number));
        match self {
            Self::Both => lsb | msb,
            Self::Lsb => lsb,
            Self::Msb => msb,
        }
    }
}

/// Derives a key from the server's and from what every nonce of this realm has in common, so that this
/// is hashed once and not for every nonce.
fn bound_key(key: [u8; 32], realm: &str, bits: [u8; 3], features: &Features) -> hmac::Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, &key));
    context.update(b"nonce");
    context.update(&bits);
    for algorithm in &features.password_algorithms {
        context.update(&algorithm.code().to_be_bytes());
    }
    // Ends the list: 0 is no algorithm. The realm is last and needs no end.
    context.update(&[0, 0]);
    context.update(realm.as_bytes());
    hmac::Key::new(HMAC_SHA256, context.sign().as_ref())
}

/// One spelling for each address: a dual-stack socket shows IPv4 clients as IPv4-mapped.
fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Whole seconds, rounded up so that a short lifetime does not become an endless one.
fn seconds(lifetime: Duration) -> Option<i32> {
    let seconds = lifetime.as_secs().saturating_add(u64::from(lifetime.subsec_nanos() > 0));
    (seconds > 0).then(|| i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// The low 32 bits of a time: all that a nonce has room for.
const fn wrapped(wall_seconds: u64) -> u32 {
    (wall_seconds & 0xffff_ffff) as u32
}

/// Writes bytes as base64 that fills the buffer.
fn encode(bytes: &[u8], out: &mut [u8]) {
    let written = STANDARD.encode_slice(bytes, out);
    debug_assert!(written.is_ok(), "three bytes make four characters");
}
