//! Keys of long-term credentials, and how text becomes one (RFC 8489 §9.2.2).

use std::fmt;

use md5::Digest;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::{PrecisFastInvocation, stabilize};
use precis_profiles::precis_core::{Error as Precis, UnexpectedError};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// How a password becomes a key.
///
/// Independent of the HMAC that the key is used with: either key may sign with either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// MD5, the only one that RFC 5389 clients know.
    Md5,
    /// SHA-256, since RFC 8489.
    Sha256,
}

impl Algorithm {
    /// Its number in PASSWORD-ALGORITHM (RFC 8489 §18.5).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha256 => 2,
        }
    }

    /// Returns the algorithm with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Md5),
            2 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// The key of a long-term credential: whoever holds it can sign as that user in that realm.
///
/// Wiped when dropped, hidden from `Debug`, compared in constant time.
#[derive(Clone)]
pub struct Key {
    /// The key, then zeros.
    bytes: [u8; 32],
    /// What it is, which is also how long it is.
    kind: Kind,
}

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Made of a password.
    LongTerm(Algorithm),
    /// The session key of a token, for SHA-1: 20 bytes.
    Session,
}

impl Key {
    /// Derives the key of a user from a password.
    ///
    /// All three are prepared first, so that composed and decomposed letters make the same key.
    pub fn long_term(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Result<Self, NotAllowed> {
        let user = opaque_string(user).map_err(|error| error.of(Part::User))?;
        let realm = opaque_string(realm).map_err(|error| error.of(Part::Realm))?;
        let password = opaque_string(password).map_err(|error| error.of(Part::Password))?;
        let password = Zeroizing::new(password);
        Ok(Self::digest(algorithm, &user, &realm, &password))
    }

    /// Hashes text that is prepared already.
    pub(super) fn digest(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Self {
        let text = Zeroizing::new([user, realm, password].join(":"));
        match algorithm {
            Algorithm::Md5 => Self::md5(md5::Md5::digest(text.as_bytes()).into()),
            Algorithm::Sha256 => Self::sha256(sha256(text.as_bytes())),
        }
    }

    /// A key of the MD5 kind.
    #[must_use]
    pub fn md5(key: [u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&key);
        Self { bytes, kind: Kind::LongTerm(Algorithm::Md5) }
    }

    /// A key of the SHA-256 kind.
    #[must_use]
    pub const fn sha256(bytes: [u8; 32]) -> Self {
        Self { bytes, kind: Kind::LongTerm(Algorithm::Sha256) }
    }

    /// The session key of an access token.
    #[must_use]
    pub(super) fn session(key: [u8; 20]) -> Self {
        let mut bytes = [0; 32];
        bytes[..20].copy_from_slice(&key);
        Self { bytes, kind: Kind::Session }
    }

    /// What coturn and its clients make of a session key: they sign with as many bytes as MD5 has.
    pub(super) fn first_16(&self) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.bytes[..16]);
        Self { bytes, kind: Kind::LongTerm(Algorithm::Md5) }
    }

    /// Takes a key as stored; 16 bytes are MD5's, 32 bytes SHA-256's, anything else is no key.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let md5 = || bytes.try_into().ok().map(Self::md5);
        let sha256 = || bytes.try_into().ok().map(Self::sha256);
        md5().or_else(sha256)
    }

    /// Reads a key as databases store it: 32 or 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if !matches!(text.len(), 32 | 64) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; 32]);
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Self::from_bytes(&bytes[..text.len() / 2])
    }

    /// How it was made of a password, if it was.
    #[must_use]
    pub const fn algorithm(&self) -> Option<Algorithm> {
        match self.kind {
            Kind::LongTerm(algorithm) => Some(algorithm),
            Kind::Session => None,
        }
    }

    /// The key itself, to sign with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self.kind {
            Kind::LongTerm(Algorithm::Md5) => &self.bytes[..16],
            Kind::LongTerm(Algorithm::Sha256) => &self.bytes,
            Kind::Session => &self.bytes[..20],
        }
    }

    /// The key as databases store it. Still a secret.
    #[must_use]
    pub fn hex(&self) -> String {
        self.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for Key {
    /// Takes the same time wherever two keys of one kind differ.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.bytes.ct_eq(&other.bytes).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    /// Names the kind, never the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::LongTerm(algorithm) => write!(f, "Key({algorithm:?})"),
            Kind::Session => f.write_str("Key(Session)"),
        }
    }
}

impl Drop for Key {
    /// Wipes the bytes.
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// What a client that hides its name sends instead of it (USERHASH, RFC 8489 §14.4).
///
/// Text that cannot be prepared is hashed as it is: nobody can ask for it, as no such user can exist.
#[must_use]
pub fn user_hash(user: &str, realm: &str) -> [u8; 32] {
    let prepared = |text: &str| opaque_string(text).unwrap_or_else(|_| text.to_owned());
    sha256([prepared(user), prepared(realm)].join(":").as_bytes())
}

/// Prepares text as RFC 8489 clients must: the OpaqueString profile of RFC 8265 §4.2.
///
/// The rules are applied until they change nothing, as RFC 8264 §7 advises. So prepared text stays as it
/// is, and U+0387, which becomes a character that may not stand alone, is refused at once and not only
/// when it comes back.
pub fn opaque_string(text: &str) -> Result<String, NotAllowed> {
    let refused = |why| NotAllowed { part: Part::Text, why };
    if text.is_empty() {
        return Err(refused(Why::Empty));
    }
    match stabilize(text, |text| OpaqueString::enforce(text)) {
        Ok(prepared) => Ok(prepared.into_owned()),
        Err(error) => Err(refused(Why::from(error))),
    }
}

/// Prepares text as RFC 5389 clients must: SASLprep (RFC 4013).
///
/// Folds compatibility characters, which OpaqueString keeps, so the two may give different keys.
#[must_use]
pub fn saslprep(text: &str) -> Option<String> {
    stringprep::saslprep(text).ok().map(|prepared| prepared.into_owned())
}

/// Why text cannot be a name, a realm or a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAllowed {
    /// Which text it was.
    pub part: Part,
    /// What is wrong with it.
    pub why: Why,
}

/// Which text could not be prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The user name.
    User,
    /// The realm.
    Realm,
    /// The password.
    Password,
    /// Text of which only the caller knows what it is.
    Text,
}

/// What is wrong with text that cannot be prepared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is none.
    Empty,
    /// A control, default-ignorable or unassigned character, or one that may not stand where it stands.
    Character {
        /// The character.
        character: char,
        /// How many characters stand before it.
        position: usize,
    },
    /// The profile gave no particular character.
    Other,
}

impl NotAllowed {
    /// The same, said of a particular text.
    const fn of(self, part: Part) -> Self {
        Self { part, ..self }
    }
}

impl From<Precis> for Why {
    fn from(error: Precis) -> Self {
        use UnexpectedError::{ContextRuleNotApplicable, MissingContextRule};
        match error {
            Precis::BadCodepoint(info)
            | Precis::Unexpected(ContextRuleNotApplicable(info) | MissingContextRule(info)) => {
                let Some(character) = char::from_u32(info.cp) else {
                    return Self::Other;
                };
                Self::Character { character, position: info.position }
            }
            Precis::Invalid | Precis::Unexpected(_) => Self::Other,
        }
    }
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::User => "user name",
            Part::Realm => "realm",
            Part::Password => "password",
            Part::Text => "text",
        };
        match self.why {
            Why::Empty => write!(f, "the {part} is empty"),
            Why::Character { character, position } => {
                let code = u32::from(character);
                write!(f, "character {} of the {part} (U+{code:04X}) is not allowed", position + 1)
            }
            Why::Other => write!(f, "the {part} is not allowed (RFC 8265 §4.2)"),
        }
    }
}

impl std::error::Error for NotAllowed {}

/// Hashes bytes.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Hashes bytes to what SHA-1 makes of them.
pub(super) fn sha1(bytes: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(bytes).into()
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
