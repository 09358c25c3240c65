//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT: check and make (RFC 8489 §14.5–14.7).
//!
//! Each is computed over the message before it, with the length field already counting it.

use super::{Malformed, message::HEADER, u16_at};
use hmac::{Hmac, KeyInit, Mac};
use ring::hmac as ring_hmac;
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// The value that FINGERPRINT is XORed with.
const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// HMAC-SHA1 of the message up to the attribute at `at`, as MESSAGE-INTEGRITY wants it.
#[must_use]
pub fn sha1(bytes: &[u8], at: usize, key: &[u8]) -> [u8; 20] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes any key");
    for part in parts(bytes, at, &length_with(at, 20)) {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 of the message up to the attribute at `at`, where `len` bytes of it will stand.
#[must_use]
pub fn sha256(bytes: &[u8], at: usize, len: usize, key: &[u8]) -> [u8; 32] {
    let mut mac = ring_hmac::Context::with_key(&ring_hmac::Key::new(ring_hmac::HMAC_SHA256, key));
    for part in parts(bytes, at, &length_with(at, len)) {
        mac.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(mac.sign().as_ref());
    out
}

/// Compares MESSAGE-INTEGRITY in constant time. Its value must be 20 bytes.
#[must_use]
pub fn check_sha1(bytes: &[u8], at: usize, value: &[u8], key: &[u8]) -> bool {
    sha1(bytes, at, key).ct_eq(value).into()
}

/// Compares MESSAGE-INTEGRITY-SHA256 in constant time: all 32 bytes, for TURN permits no truncation.
#[must_use]
pub fn check_sha256(bytes: &[u8], at: usize, value: &[u8], key: &[u8]) -> bool {
    sha256(bytes, at, 32, key).ct_eq(value).into()
}

/// The FINGERPRINT of a message whose FINGERPRINT attribute begins at `at`.
#[must_use]
pub fn fingerprint(bytes: &[u8], at: usize) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts(bytes, at, &length_with(at, 4)) {
        crc.update(part);
    }
    crc.finalize() ^ FINGERPRINT_XOR
}

/// Checks the FINGERPRINT attribute that begins at `at`.
pub(super) fn check_fingerprint(bytes: &[u8], at: usize) -> Result<(), Malformed> {
    let right = u16_at(bytes, at + 2) == 4 && bytes[at + 4..at + 8] == fingerprint(bytes, at).to_be_bytes();
    if right { Ok(()) } else { Err(Malformed::Fingerprint) }
}

/// The length field that counts an attribute of `len` bytes at `at` as the last one.
fn length_with(at: usize, len: usize) -> [u8; 2] {
    // A message is at most 65 555 bytes, its length field 16 bits: `at + 4 + len` came from such a field.
    ((at + 4 + len - HEADER) as u16).to_be_bytes()
}

/// What is hashed: type, the length field as it will be, then cookie, id and attributes.
fn parts<'a>(bytes: &'a [u8], at: usize, length: &'a [u8; 2]) -> [&'a [u8]; 3] {
    [&bytes[..2], length, &bytes[4..at]]
}
