//! Time-limited credentials ("TURN REST API", draft-uberti-behave-turn-rest).
//!
//! A web service that shares a secret with the server hands out `1735689600:alice` as the user name and
//! the HMAC of that as the password. Nothing is stored: whoever shows a name with the right password got
//! it from the service, and the name says until when it is good.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// How user names are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// What stands between expiry and identity.
    pub separator: char,
    /// How far ahead the expiry may lie; zero means any.
    pub max_ttl: Duration,
    /// A name without identity, only `1735689600`, is good too.
    pub bare: bool,
    /// The hashes that a password may be made with.
    pub hashes: Vec<Hash>,
}

impl Default for Rules {
    /// What coturn takes, and SHA-256 beside it.
    fn default() -> Self {
        let hashes = vec![Hash::Sha1, Hash::Sha256];
        Self { separator: ':', max_ttl: Duration::ZERO, bare: true, hashes }
    }
}

/// The hash of the HMAC that is the password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// What the draft says and everybody makes.
    Sha1,
    /// What newer services prefer.
    Sha256,
}

/// A time-limited user name, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// The last second, in Unix time, at which it is good.
    pub expiry: u64,
    /// Whom it was issued to; none in a bare name, or where nothing follows the separator.
    pub id: Option<&'a str>,
}

/// When a name is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Term {
    /// Now.
    Running,
    /// It was, and is no longer.
    Over,
    /// It claims to be good for longer than any name is issued for.
    TooLong,
}

impl Rules {
    /// Takes a user name apart; a name of any other form is none of these.
    ///
    /// The number is strict, as a lenient reader makes 0 or a wrapped number of what is none: decimal
    /// digits only, no sign, no space, no leading zero, and at most what 64 bits hold.
    #[must_use]
    pub fn parse<'a>(&self, name: &'a str) -> Option<Name<'a>> {
        let digits = name.bytes().take_while(u8::is_ascii_digit).count();
        let (expiry, rest) = name.split_at(digits);
        if expiry.starts_with('0') {
            return None;
        }
        let expiry = expiry.parse().ok()?;
        if rest.is_empty() {
            return self.bare.then_some(Name { expiry, id: None });
        }
        let id = rest.strip_prefix(self.separator)?;
        Some(Name { expiry, id: (!id.is_empty()).then_some(id) })
    }

    /// Tells when a name is good.
    #[must_use]
    pub fn term(&self, name: Name<'_>, wall_seconds: u64) -> Term {
        let furthest = wall_seconds.saturating_add(self.max_ttl.as_secs());
        if name.expiry < wall_seconds {
            Term::Over
        } else if !self.max_ttl.is_zero() && name.expiry > furthest {
            Term::TooLong
        } else {
            Term::Running
        }
    }
}

/// The password of a user name: base64 of its HMAC under the secret.
#[must_use]
pub fn password(secret: &str, username: &str, hash: Hash) -> String {
    match hash {
        Hash::Sha1 => {
            let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
            mac.update(username.as_bytes());
            STANDARD.encode(mac.finalize().into_bytes())
        }
        Hash::Sha256 => {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            STANDARD.encode(ring::hmac::sign(&key, username.as_bytes()))
        }
    }
}

/// Makes a user name and its password, as the web service would: with SHA-1, which every server knows.
#[must_use]
pub fn mint(secret: &str, id: &str, expiry: u64, separator: char) -> (String, String) {
    let username = if id.is_empty() { expiry.to_string() } else { format!("{expiry}{separator}{id}") };
    let password = password(secret, &username, Hash::Sha1);
    (username, password)
}
