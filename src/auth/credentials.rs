//! Whose keys are known: the users of a realm, and the holders of time-limited names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use ring::hmac::{self, HMAC_SHA256};
use zeroize::{Zeroize, Zeroizing};

use super::Owner;
use super::key::{Algorithm, Key, NotAllowed, Part, opaque_string, saslprep, user_hash};
use super::rest::{self, Term};
use super::token::Tokens;

/// The longest user name that is read and looked up, in bytes. RFC 8489 §14.3 says below 509, RFC 5389 below 513;
/// 763 is what other attributes of text may take to decode, and a bound on what a stranger can make us
/// prepare and hash.
pub(super) const LONGEST_NAME: usize = 763;

/// The users of a realm and the secrets of its time-limited credentials. Built once, then only read.
///
/// Passwords are not kept, only the keys made of them.
pub struct Credentials {
    /// The realm that all keys belong to.
    realm: String,
    /// Everybody with keys of their own.
    users: Vec<User>,
    /// Users by prepared name.
    names: HashMap<Arc<str>, usize>,
    /// Users by what SASLprep makes of the name, where that differs; a prepared name comes first.
    aliases: HashMap<String, usize>,
    /// Users by the hash of name and realm.
    hashes: HashMap<[u8; 32], usize>,
    /// Secrets shared with services that issue time-limited names.
    secrets: Vec<Zeroizing<String>>,
    /// How those names are read.
    rest: rest::Rules,
    /// What opens access tokens, where third parties may authorise.
    tokens: Option<Tokens>,
    /// Keys that nobody has, MD5 and SHA-256.
    dummies: [Key; 2],
    /// The most keys that any user has for one algorithm.
    widest: usize,
}

/// What is known of a user's password.
#[derive(Clone)]
pub enum Secret {
    /// The password itself.
    Password(String),
    /// The MD5 key: MD5(user:realm:password).
    Md5([u8; 16]),
    /// The SHA-256 key, for clients that speak RFC 8489.
    Sha256([u8; 32]),
    /// Both keys.
    Both([u8; 16], [u8; 32]),
}

/// Who a request says it is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claim<'a> {
    /// The value of USERNAME.
    Name(&'a [u8]),
    /// The value of USERHASH.
    Hash(&'a [u8]),
}

/// What is known of whoever a request says it is from. None of it is proved before a key fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A user, who may come in with any of the keys.
    Known(Owner),
    /// The holder of a time-limited name, with the keys that fitted while it was good. May at most keep
    /// what it has.
    Expired(Owner),
    /// Nobody. Whatever key fits, the answer is that of a wrong password.
    Unknown,
}

/// A user with keys of its own.
struct User {
    /// Who it is.
    owner: Owner,
    /// Its keys of both kinds, without doubles, the likeliest first.
    keys: Vec<Key>,
}

impl Credentials {
    /// Knows nobody yet. The seed makes the keys that unknown users are checked against: random bytes,
    /// new with each process.
    #[must_use]
    pub fn new(realm: &str, seed: [u8; 32]) -> Self {
        let hidden = hmac::sign(&hmac::Key::new(HMAC_SHA256, &seed), b"nobody");
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hidden.as_ref());
        let mut md5 = [0; 16];
        md5.copy_from_slice(&sha256[..16]);
        Self {
            // A realm that cannot be prepared is refused with the first password.
            realm: opaque_string(realm).unwrap_or_else(|_| realm.to_owned()),
            users: Vec::new(),
            names: HashMap::new(),
            aliases: HashMap::new(),
            hashes: HashMap::new(),
            secrets: Vec::new(),
            rest: rest::Rules::default(),
            tokens: None,
            dummies: [Key::md5(md5), Key::sha256(sha256)],
            widest: 1,
        }
    }

    /// Adds a user, or replaces the one with this name.
    pub fn add_user(&mut self, name: &str, secret: &Secret) -> Result<(), NotAllowed> {
        let prepared = opaque_string(name).map_err(|error| NotAllowed { part: Part::User, ..error })?;
        let keys = self.keys_of(name, secret)?;
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let count = keys.iter().filter(|key| key.algorithm() == Some(algorithm)).count();
            self.widest = self.widest.max(count);
        }
        self.index(name, Owner::plain(&prepared), keys);
        Ok(())
    }

    /// Adds a secret of time-limited credentials; any of them is good.
    pub fn add_secret(&mut self, secret: &str) {
        self.secrets.push(Zeroizing::new(secret.to_owned()));
    }

    /// Says how time-limited user names are read.
    pub fn rest(&mut self, rules: rest::Rules) {
        self.rest = rules;
    }

    /// Lets third parties authorise with tokens, beside everybody else.
    pub fn accept_tokens(&mut self, tokens: Tokens) {
        self.tokens = Some(tokens);
    }

    /// What opens access tokens, where third parties may authorise.
    #[must_use]
    pub const fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// The realm, prepared, as clients are told it.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether there is nobody who could ever come in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.secrets.is_empty() && self.tokens.as_ref().is_none_or(Tokens::is_empty)
    }

    /// Finds who a request is from, and fills `keys` with those that its integrity may be made with.
    ///
    /// There is always at least one, and the caller checks against all of them before it looks at the
    /// standing: that a name is unknown must show neither in the answer nor in its time. For that, a user
    /// with keys of its own and a name that nobody has cost the same look-ups and the same number of
    /// keys, all of them made beforehand. What may differ is the comparison at the end of a look-up that
    /// finds something: some nanoseconds. A name of the time-limited form costs as many HMACs as there
    /// are secrets and hashes, whatever time and identity it names; that differs from other names, but
    /// shows only the form, which the client chose.
    pub fn find(&self, claim: Claim<'_>, algorithm: Algorithm, wall_seconds: u64, keys: &mut Vec<Key>) -> Standing {
        // A key left over from another request must not open this one.
        keys.clear();
        let standing = self.look_up(claim, algorithm, wall_seconds, keys);
        while keys.len() < self.widest {
            keys.push(self.dummy(algorithm));
        }
        standing
    }

    /// Finds who a request is from, and the true keys.
    fn look_up(&self, claim: Claim<'_>, algorithm: Algorithm, wall_seconds: u64, keys: &mut Vec<Key>) -> Standing {
        let user = match claim {
            Claim::Name(name) => self.by_name(name),
            Claim::Hash(hash) => self.by_hash(hash),
        };
        // Made for known users too: a name of digits would else take less time if somebody has it.
        let issued = match claim {
            Claim::Name(name) => self.issued(name, algorithm, wall_seconds, keys),
            Claim::Hash(_) => Standing::Unknown,
        };
        let Some(user) = user else { return issued };
        keys.clear();
        keys.extend(user.keys.iter().filter(|key| key.algorithm() == Some(algorithm)).cloned());
        Standing::Known(user.owner.clone())
    }

    /// Finds a user by what stands in USERNAME.
    ///
    /// Every look-up is made, whatever the one before it found. As it was sent comes before without quotes:
    /// a name may have quotes of its own.
    fn by_name(&self, sent: &[u8]) -> Option<&User> {
        let bare = unquoted(sent);
        let as_sent = [self.by_text(sent), self.by_prepared(sent)];
        let as_meant = [self.by_text(bare), self.by_prepared(bare)];
        let alias = |name| text(name).and_then(|name| self.aliases.get(name));
        let aliases = [alias(sent), alias(bare)];
        let found = as_sent.into_iter().chain(as_meant).chain(aliases).flatten().next();
        found.and_then(|&index| self.users.get(index))
    }

    /// Where the user is whose prepared name this is, letter for letter.
    fn by_text(&self, name: &[u8]) -> Option<&usize> {
        self.names.get(text(name)?)
    }

    /// Where the user is whose name this becomes when it is prepared; ASCII stays what it is.
    fn by_prepared(&self, name: &[u8]) -> Option<&usize> {
        let name = text(name).filter(|name| !name.is_ascii())?;
        self.names.get(opaque_string(name).ok()?.as_str())
    }

    /// Finds a user by what stands in USERHASH; time-limited names cannot be found so.
    fn by_hash(&self, hash: &[u8]) -> Option<&User> {
        let hash: &[u8; 32] = hash.try_into().ok()?;
        self.hashes.get(hash).and_then(|&index| self.users.get(index))
    }

    /// Reads a time-limited name and makes the keys that its issuer would have given for it.
    fn issued(&self, name: &[u8], algorithm: Algorithm, wall_seconds: u64, keys: &mut Vec<Key>) -> Standing {
        let Some(username) = text(unquoted(name)) else {
            return Standing::Unknown;
        };
        let Some(name) = self.rest.parse(username) else {
            return Standing::Unknown;
        };
        for secret in &self.secrets {
            for &hash in &self.rest.hashes {
                let password = Zeroizing::new(rest::password(secret, username, hash));
                keys.push(Key::digest(algorithm, username, &self.realm, &password));
            }
        }
        if keys.is_empty() {
            return Standing::Unknown;
        }
        // Judged after the work, which is the same for all three.
        match self.rest.term(name, wall_seconds) {
            Term::Running => Standing::Known(Owner::issued(username, name)),
            Term::Over => Standing::Expired(Owner::issued(username, name)),
            Term::TooLong => Standing::Unknown,
        }
    }

    /// The keys of a user.
    fn keys_of(&self, name: &str, secret: &Secret) -> Result<Vec<Key>, NotAllowed> {
        Ok(match secret {
            Secret::Password(password) => self.keys_from(name, password)?,
            Secret::Md5(key) => vec![Key::md5(*key)],
            Secret::Sha256(key) => vec![Key::sha256(*key)],
            Secret::Both(md5, sha256) => vec![Key::md5(*md5), Key::sha256(*sha256)],
        })
    }

    /// The keys that clients make of a password, each in its way of preparing text: RFC 8489's,
    /// RFC 5389's, and none at all, which is what browsers do. For ASCII they are one and the same.
    fn keys_from(&self, name: &str, password: &str) -> Result<Vec<Key>, NotAllowed> {
        let realm = self.realm.as_str();
        let sasl = || Some((saslprep(name)?, saslprep(realm)?, Zeroizing::new(saslprep(password)?)));
        let sasl = sasl();
        let mut keys = Vec::new();
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let opaque = Key::long_term(algorithm, name, realm, password)?;
            let folded = sasl.as_ref().map(|(n, r, p)| Key::digest(algorithm, n, r, p));
            let raw = Key::digest(algorithm, name, realm, password);
            for key in [Some(opaque), folded, Some(raw)].into_iter().flatten() {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// Makes a user known under its name and the hash of it.
    fn index(&mut self, name: &str, owner: Owner, keys: Vec<Key>) {
        let user = User { owner, keys };
        if let Some(&index) = self.names.get(&user.owner.name) {
            self.users[index] = user;
            return;
        }
        let index = self.users.len();
        self.hashes.insert(user_hash(name, &self.realm), index);
        if let Some(alias) = saslprep(name).filter(|alias| **alias != *user.owner.name) {
            self.aliases.insert(alias, index);
        }
        self.names.insert(Arc::clone(&user.owner.name), index);
        self.users.push(user);
    }

    /// A key that nobody has.
    fn dummy(&self, algorithm: Algorithm) -> Key {
        let [md5, sha256] = &self.dummies;
        match algorithm {
            Algorithm::Md5 => md5.clone(),
            Algorithm::Sha256 => sha256.clone(),
        }
    }
}

impl fmt::Debug for Credentials {
    /// Counts, and names nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .field("secrets", &self.secrets.len())
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Secret {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    /// Wipes it.
    fn drop(&mut self) {
        match self {
            Self::Password(password) => password.zeroize(),
            Self::Md5(key) => key.zeroize(),
            Self::Sha256(key) => key.zeroize(),
            Self::Both(md5, sha256) => {
                md5.zeroize();
                sha256.zeroize();
            }
        }
    }
}

/// Strips what some clients add to USERNAME and REALM: NULs at the end, quotes around (RFC 5389 §15.4).
#[must_use]
pub fn unquoted(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = value {
        value = rest;
    }
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// A name as text, if it is short enough and UTF-8.
fn text(name: &[u8]) -> Option<&str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    std::str::from_utf8(name).ok()
}
