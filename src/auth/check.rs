//! Judges the credentials of one request: long-term ones (RFC 8489 §9.2.4), and access tokens (RFC 7635 §7).

use super::credentials::LONGEST_NAME;
use super::key::{Algorithm, Key};
use super::nonce::{Judgement, Nonces};
use super::token::Tokens;
use super::{Claim, Credentials, Owner, Standing, unquoted};
use crate::wire::{Message, attribute, integrity, value};
use std::net::SocketAddr;
use std::sync::Arc;

/// Which integrity attribute an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// MESSAGE-INTEGRITY.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

/// What a request has proved.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who sent it.
    pub owner: Owner,
    /// Its time-limited name has expired: good for what exists, not for anything new.
    pub expired: bool,
    /// The key for the answer.
    pub key: Key,
    /// The integrity attribute for the answer.
    pub mac: Mac,
    /// What a token gave beside, if one was shown.
    pub session: Option<Session>,
}

/// What a token gives for a while: an allocation keeps it, so that later requests need not show the token.
#[derive(Clone, Debug)]
pub struct Session {
    /// The key of MESSAGE-INTEGRITY, and what coturn's clients make of it.
    pub sha1: [Key; 2],
    /// The key of MESSAGE-INTEGRITY-SHA256.
    pub sha256: [Key; 1],
    /// How many seconds the token still lasts.
    pub left: u64,
}

/// Why a request is not served, where nothing of it was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credentials, or wrong ones: 401 with a challenge.
    Unauthenticated,
    /// Credentials that cannot be judged: 400, without a challenge.
    BadRequest,
    /// The nonce is too old or not ours: 438 with a challenge.
    StaleNonce,
}

/// What judging needs beside the message.
#[derive(Debug)]
pub struct Judge<'a> {
    /// Who is known.
    pub credentials: &'a Credentials,
    /// Makes and judges nonces.
    pub nonces: &'a Nonces,
    /// The algorithms that are offered, best first.
    pub offered: &'a [Algorithm],
}

/// The attributes of a request that has integrity, all present.
struct Claimed<'m> {
    claim: Claim<'m>,
    realm: &'m [u8],
    nonce: &'m [u8],
}

impl Judge<'_> {
    /// Judges a request; `keys` is scratch space.
    pub fn check(
        &self,
        message: &Message<'_>,
        wall: u64,
        from: SocketAddr,
        keys: &mut Vec<Key>,
    ) -> Result<Grant, Denial> {
        let proof = Proof::of(message)?;
        if matches!(proof, Proof::Sha1(..)) && !self.serves_rfc_5389() {
            return Err(Denial::Unauthenticated);
        }
        if let (Some(tokens), Some(token)) = (self.credentials.tokens(), message.attribute(attribute::ACCESS_TOKEN)) {
            return self.check_token(message, &proof, (tokens, token), wall, from);
        }
        let claimed = Claimed::of(message)?;
        let judgement = self.nonces.judge(wall, from, claimed.nonce);
        if judgement == Judgement::Foreign {
            // Cheap and stateless: no key is looked for on behalf of a nonce that was never given out.
            // A client that has taken up another realm, and its nonce, must begin again in this one.
            return Err(if self.is_here(&claimed) { Denial::StaleNonce } else { Denial::Unauthenticated });
        }
        let (algorithm, mac) = self.algorithm(message)?;
        let standing = self.credentials.find(claimed.claim, algorithm, wall, keys);
        let key = proof.matching(message, keys);
        let (Some(key), true, Some((owner, expired))) = (key, self.is_here(&claimed), known(standing)) else {
            return Err(Denial::Unauthenticated);
        };
        if judgement == Judgement::Stale {
            return Err(Denial::StaleNonce);
        }
        Ok(Grant { owner, expired, key, mac, session: None })
    }

    /// The request names this realm.
    fn is_here(&self, claimed: &Claimed<'_>) -> bool {
        unquoted(claimed.realm) == self.credentials.realm().as_bytes()
    }

    /// Judges a request with an access token; it need not name a realm.
    fn check_token(
        &self,
        message: &Message<'_>,
        proof: &Proof<'_>,
        (tokens, token): (&Tokens, &[u8]),
        wall: u64,
        from: SocketAddr,
    ) -> Result<Grant, Denial> {
        let fresh = self.recent(message, wall, from)?;
        let kid = message.attribute(attribute::USERNAME).ok_or(Denial::BadRequest)?;
        let kid = std::str::from_utf8(kid).map_err(|_| Denial::Unauthenticated)?;
        let opened = tokens.open(kid, token, wall).ok_or(Denial::Unauthenticated)?;
        let session = opened.session();
        let owner = Owner::vouched(kid, Arc::clone(&opened.group), &session.sha1[0]);
        let grant = self.signed(message, proof, fresh, (&session, owner)).ok_or(Denial::Unauthenticated)??;
        Ok(Grant { session: Some(session), ..grant })
    }

    /// Judges a request without a token by the session that an earlier token gave; none if the request is not
    /// of that session and must be judged as any other.
    pub fn resume(
        &self,
        message: &Message<'_>,
        wall: u64,
        from: SocketAddr,
        (session, owner): (&Session, &Owner),
    ) -> Option<Result<Grant, Denial>> {
        let proof =
            Proof::of(message).ok().filter(|proof| !matches!(proof, Proof::Sha1(..)) || self.serves_rfc_5389())?;
        let fresh = match self.recent(message, wall, from) {
            // Without a nonce it is judged as any other.
            Err(Denial::BadRequest) => return None,
            recent => recent.unwrap_or(false),
        };
        self.signed(message, &proof, fresh, (session, owner.clone()))
    }

    /// The grant of a session whose key made the integrity; none if another key did.
    fn signed(
        &self,
        message: &Message<'_>,
        proof: &Proof<'_>,
        fresh: bool,
        (session, owner): (&Session, Owner),
    ) -> Option<Result<Grant, Denial>> {
        let (keys, mac) = proof.of_session(session);
        let key = proof.matching(message, keys)?;
        let grant = Grant { owner, expired: false, key, mac, session: None };
        Some(if fresh { Ok(grant) } else { Err(Denial::StaleNonce) })
    }

    /// Whether the nonce is fresh; one that was never given out ends the matter.
    fn recent(&self, message: &Message<'_>, wall: u64, from: SocketAddr) -> Result<bool, Denial> {
        let nonce = message.attribute(attribute::NONCE).ok_or(Denial::BadRequest)?;
        match self.nonces.judge(wall, from, nonce) {
            Judgement::Foreign => Err(Denial::StaleNonce),
            Judgement::Stale => Ok(false),
            Judgement::Fresh => Ok(true),
        }
    }

    /// Clients that know only MD5 keys and SHA-1 integrity may come in; without MD5 neither is enough.
    fn serves_rfc_5389(&self) -> bool {
        self.offered.contains(&Algorithm::Md5)
    }

    /// The algorithm of the key and the integrity attribute of the answer: "If the request contains
    /// neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM, then the request is processed as though
    /// PASSWORD-ALGORITHM were MD5" (RFC 8489 §9.2.4). The two HMACs are a choice of their own.
    fn algorithm(&self, message: &Message<'_>) -> Result<(Algorithm, Mac), Denial> {
        let list = message.attribute(attribute::PASSWORD_ALGORITHMS);
        let one = message.attribute(attribute::PASSWORD_ALGORITHM);
        match (list, one) {
            (None, None) if self.serves_rfc_5389() => Ok((Algorithm::Md5, Mac::Sha1)),
            (None, None) => Err(Denial::Unauthenticated),
            (Some(list), Some(one)) => self.offered_algorithm(list, one).map(|a| (a, Mac::Sha256)),
            _ => Err(Denial::BadRequest),
        }
    }

    /// The chosen algorithm, if the list is the one that was offered and the choice is in it.
    fn offered_algorithm(&self, list: &[u8], one: &[u8]) -> Result<Algorithm, Denial> {
        let number = value::password_algorithm(one).ok_or(Denial::BadRequest)?;
        let same = list == algorithm_list(self.offered).as_slice();
        let chosen = self.offered.iter().copied().find(|a| a.code() == number);
        chosen.filter(|_| same).ok_or(Denial::BadRequest)
    }
}

/// The value of PASSWORD-ALGORITHMS (RFC 8489 §14.11): number and no parameters, for each.
#[must_use]
pub fn algorithm_list(offered: &[Algorithm]) -> Vec<u8> {
    offered.iter().flat_map(|a| [0, a.code() as u8, 0, 0]).collect()
}

impl<'m> Claimed<'m> {
    /// Name, realm and nonce; a request that has integrity and lacks one of them is malformed.
    fn of(message: &Message<'m>) -> Result<Self, Denial> {
        let realm = message.attribute(attribute::REALM).ok_or(Denial::BadRequest)?;
        let nonce = message.attribute(attribute::NONCE).ok_or(Denial::BadRequest)?;
        let name = message.attribute(attribute::USERNAME);
        let hash = message.attribute(attribute::USERHASH);
        let claim = match (name, hash) {
            (Some(name), None) if name.len() <= LONGEST_NAME => Claim::Name(name),
            (None, Some(hash)) if hash.len() == 32 => Claim::Hash(hash),
            _ => return Err(Denial::BadRequest),
        };
        Ok(Self { claim, realm, nonce })
    }
}

/// The integrity attribute that decides: the SHA-256 one where both are (RFC 8489 §9.2.4), so that nobody
/// can bid the request down.
enum Proof<'m> {
    Sha1(usize, &'m [u8]),
    Sha256(usize, &'m [u8]),
}

impl<'m> Proof<'m> {
    /// Finds it and checks its length.
    fn of(message: &Message<'m>) -> Result<Self, Denial> {
        match (message.sha256(), message.sha1()) {
            (Some((at, value)), _) => match value.len() {
                32 => Ok(Self::Sha256(at, value)),
                // A truncated one is well formed, but TURN permits none (RFC 8656 §5).
                16 | 20 | 24 | 28 => Err(Denial::Unauthenticated),
                _ => Err(Denial::BadRequest),
            },
            (None, Some((at, value))) if value.len() == 20 => Ok(Self::Sha1(at, value)),
            (None, Some(_)) => Err(Denial::BadRequest),
            (None, None) => Err(Denial::Unauthenticated),
        }
    }

    /// The key that made it. Every key is tried, so that time tells nothing about which one it was.
    fn matching(&self, message: &Message<'_>, keys: &[Key]) -> Option<Key> {
        let mut found = None;
        for key in keys {
            if self.is_by(message, key) {
                found = Some(key.clone());
            }
        }
        found
    }

    /// The keys of a session that may have made it, and the integrity attribute of the answer.
    fn of_session<'s>(&self, session: &'s Session) -> (&'s [Key], Mac) {
        match self {
            Self::Sha1(..) => (&session.sha1, Mac::Sha1),
            Self::Sha256(..) => (&session.sha256, Mac::Sha256),
        }
    }

    /// This key made it.
    fn is_by(&self, message: &Message<'_>, key: &Key) -> bool {
        match *self {
            Self::Sha1(at, value) => integrity::check_sha1(message.bytes(), at, value, key.as_bytes()),
            Self::Sha256(at, value) => integrity::check_sha256(message.bytes(), at, value, key.as_bytes()),
        }
    }
}

/// Who it is, and whether the name has expired.
fn known(standing: Standing) -> Option<(Owner, bool)> {
    match standing {
        Standing::Known(owner) => Some((owner, false)),
        Standing::Expired(owner) => Some((owner, true)),
        Standing::Unknown => None,
    }
}
