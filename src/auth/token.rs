//! Self-contained access tokens of third-party authorisation (RFC 7635 §6.2).
//!
//! An authorisation server that shares a key with this server seals a session key, a time and a lifetime
//! into a token and hands both the token and the session key to the client. Nothing is stored: a token that
//! opens under a known key was made by somebody who holds it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::check::Session;
use super::key::Key;

/// How far two clocks may differ (RFC 7635 §7 names no number; five seconds is what it gives for "Delta").
const DELTA: u64 = 5;
/// The length of the nonce of AES-GCM, which stands behind a length field of two bytes.
const NONCE: usize = 12;
/// Where the sealed part begins.
const SEALED: usize = 2 + NONCE;
/// What is sealed beside the session key: its length, the time of issue and the lifetime.
const BESIDE_KEY: usize = 2 + 8 + 4;
/// The tag of AES-GCM.
const TAG: usize = 16;
/// The longest sealed part: with a session key for SHA-256.
const LONGEST: usize = BESIDE_KEY + 32 + TAG;
/// The unit of the low 16 bits of a time, as a part of a second (RFC 7635 §6.2).
const UNITS: u64 = 64_000;

/// How tokens are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in Galois counter mode.
    A128Gcm,
    /// AES-256 in Galois counter mode.
    A256Gcm,
}

impl Cipher {
    /// Reads a name as RFC 7635 and coturn write it; without one it is A256GCM.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "A128GCM" => Some(Self::A128Gcm),
            "A256GCM" | "" => Some(Self::A256Gcm),
            _ => None,
        }
    }

    /// How many bytes its key has. Of a longer key the first ones are taken, as RFC 7635 appendix A does.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A256Gcm => 32,
        }
    }

    /// Readies a key, if it is long enough.
    fn ready(self, key: &[u8]) -> Option<LessSafeKey> {
        let algorithm = match self {
            Self::A128Gcm => &AES_128_GCM,
            Self::A256Gcm => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key.get(..self.key_len())?).ok()?;
        Some(LessSafeKey::new(key))
    }
}

/// A key is shorter than its cipher demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort;

/// The keys that are shared with authorisation servers, and the name by which those know this server.
pub struct Tokens {
    /// The name of this server: every token is sealed for one.
    server: String,
    /// The keys by their identifier, which a client sends as USERNAME.
    keys: HashMap<String, Shared>,
}

/// A key shared with an authorisation server.
struct Shared {
    /// The key, ready for use.
    key: LessSafeKey,
    /// The last second, in Unix time, at which its tokens are good; none for ever.
    end: Option<u64>,
    /// The authorisation server whose it is, where that has been said.
    group: Arc<str>,
}

/// What a token grants.
pub struct Opened {
    /// The session key, for the HMAC of requests and answers.
    key: Zeroizing<[u8; 32]>,
    /// How many bytes of it count: 20, or 32 for SHA-256.
    len: usize,
    /// How many seconds it still lasts.
    pub left: u64,
    /// The group of the key that opened it.
    pub group: Arc<str>,
}

impl Tokens {
    /// Knows no key yet.
    #[must_use]
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned(), keys: HashMap::new() }
    }

    /// Adds a key, or replaces the one with this identifier.
    ///
    /// # Errors
    /// The key is too short for the cipher.
    pub fn add(&mut self, kid: &str, cipher: Cipher, key: &[u8], end: Option<u64>) -> Result<(), TooShort> {
        let key = cipher.ready(key).ok_or(TooShort)?;
        self.keys.insert(kid.to_owned(), Shared { key, end, group: Arc::default() });
        Ok(())
    }

    /// Says of a key whose it is. Whom one group vouches for has nothing of what another's clients have; the keys of which
    /// nothing is said are one group.
    pub fn assign(&mut self, kid: &str, group: &str) {
        if let Some(shared) = self.keys.get_mut(kid) {
            shared.group = group.into();
        }
    }

    /// The name of this server, as THIRD-PARTY-AUTHORIZATION tells it.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether no token could ever be good.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Opens a token that a client showed with this key identifier, if it is good now.
    #[must_use]
    pub fn open(&self, kid: &str, token: &[u8], wall_seconds: u64) -> Option<Opened> {
        let shared = self.keys.get(kid).filter(|shared| shared.end.is_none_or(|end| wall_seconds <= end))?;
        // Lengths are judged before anything is copied or opened: they come from a stranger.
        let (head, sealed) = token.split_at_checked(SEALED).filter(|(_, sealed)| sealed.len() <= LONGEST)?;
        let nonce = head.strip_prefix(&(NONCE as u16).to_be_bytes())?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = Zeroizing::new([0; LONGEST]);
        let plain = buffer.get_mut(..sealed.len())?;
        plain.copy_from_slice(sealed);
        let plain = shared.key.open_in_place(nonce, Aad::from(self.server.as_bytes()), plain).ok()?;
        read(plain, wall_seconds, &shared.group)
    }
}

/// Reads what was sealed: key length, key, time of issue, lifetime, and nothing else.
fn read(plain: &[u8], wall_seconds: u64, group: &Arc<str>) -> Option<Opened> {
    let (len, rest) = plain.split_first_chunk()?;
    let len = usize::from(u16::from_be_bytes(*len));
    let (secret, rest) = rest.split_at_checked(len).filter(|_| matches!(len, 20 | 32))?;
    let (issued, rest) = rest.split_first_chunk()?;
    let lifetime = u32::from_be_bytes(rest.try_into().ok()?);
    let left = left(seconds(u64::from_be_bytes(*issued)), lifetime.into(), wall_seconds)?;
    let mut key = Zeroizing::new([0; 32]);
    key[..len].copy_from_slice(secret);
    Some(Opened { key, len, left, group: Arc::clone(group) })
}

/// How long a token lasts: good if lifetime + delta > |now - issued| (RFC 7635 §7). One showing is never good for longer
/// than lifetime + delta, even where the clock of its issuer is ahead.
fn left(issued: u64, lifetime: u64, now: u64) -> Option<u64> {
    let span = lifetime + DELTA;
    (now.abs_diff(issued) < span).then(|| (issued + span).saturating_sub(now).min(span))
}

/// Whole seconds of a time: 48 bits of seconds, then 16 bits of 1/64000 s.
const fn seconds(time: u64) -> u64 {
    (time >> 16) + (time & 0xFFFF) / UNITS
}

impl Opened {
    /// The keys of requests, and how long they last.
    #[must_use]
    pub fn session(&self) -> Session {
        let sha1 = self.sha1_key();
        let sha256 = if self.len == 20 { sha1.clone() } else { Key::sha256(*self.key) };
        Session { sha1: [sha1.clone(), sha1.first_16()], sha256: [sha256], left: self.left }
    }

    /// The key of MESSAGE-INTEGRITY: a longer session key is hashed first (RFC 7635 appendix B). It is no
    /// password, so nothing else is done to it.
    fn sha1_key(&self) -> Key {
        match self.key.first_chunk() {
            Some(key) if self.len == 20 => Key::session(*key),
            _ => Key::session(super::key::sha1(self.key.as_slice())),
        }
    }
}

/// What goes into a token.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The session key: 20 bytes, or 32 for SHA-256.
    pub session_key: &'a [u8],
    /// When it is issued: Unix seconds shifted by 16 bits, then 1/64000 s.
    pub issued: u64,
    /// How many seconds it lasts.
    pub lifetime: u32,
}

/// Makes a token, as an authorisation server would. The nonce must never be used twice with one key.
///
/// # Errors
/// The key is too short for the cipher.
pub fn seal(
    cipher: Cipher,
    key: &[u8],
    server: &str,
    nonce: [u8; NONCE],
    content: Content<'_>,
) -> Result<Vec<u8>, TooShort> {
    let key = cipher.ready(key).ok_or(TooShort)?;
    let mut plain = Vec::with_capacity(LONGEST);
    plain.extend((content.session_key.len() as u16).to_be_bytes());
    plain.extend(content.session_key);
    plain.extend(content.issued.to_be_bytes());
    plain.extend(content.lifetime.to_be_bytes());
    let aad = Aad::from(server.as_bytes());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain).map_err(|_| TooShort)?;
    Ok([&(NONCE as u16).to_be_bytes()[..], &nonce, &plain].concat())
}

impl fmt::Debug for Opened {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("left", &self.left).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    /// Counts the keys and shows none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("server", &self.server).field("keys", &self.keys.len()).finish()
    }
}
