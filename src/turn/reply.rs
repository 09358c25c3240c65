//! Success and refusal, to bytes. The one match from a refusal to an error code.

use super::Options;
use super::realm::RealmId;
use super::redirect::Alternate;
use super::types::Path;
use crate::auth::check::{Denial, Mac};
use crate::auth::key::Key;
use crate::wire::{Class, Code, Message, Method, Writer, attribute, value};

/// At most so many unknown attributes are listed: more would make the answer larger than the request.
pub const UNKNOWN_LISTED: usize = 8;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another server is to be asked.
    Alternate(Alternate),
    /// Its content is wrong.
    BadRequest,
    /// No credentials, or wrong ones.
    Unauthenticated,
    /// The nonce is too old or not ours.
    StaleNonce,
    /// The rules deny the peer or the client.
    Forbidden,
    /// Allocations may not move.
    Mobility,
    /// Attributes that must be understood and are not.
    Unknown(Unknown),
    /// The 5-tuple has no allocation, or has one already.
    Mismatch,
    /// No relayed address of this family is to be had.
    Family,
    /// Somebody else's allocation.
    WrongCredentials,
    /// The relay transport is not offered.
    Transport,
    /// The allocation has no relayed address of the peer's family.
    PeerFamily,
    /// The allocation has a connection to the peer.
    Connected,
    /// The peer cannot be reached.
    Unreached,
    /// Too many allocations.
    Quota,
    /// Ports, permissions, channels or connections have run out.
    Capacity,
}

/// A short list of unknown attributes, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    codes: [u16; UNKNOWN_LISTED],
    len: usize,
}

impl Unknown {
    /// Lists the required attributes of a message that this server does not know.
    #[must_use]
    pub fn of(message: &Message<'_>) -> Option<Self> {
        Self::beyond(message, |_| false)
    }

    /// Lists the required attributes of a message that this server does not know, but for those that it knows by choice.
    #[must_use]
    pub fn beyond(message: &Message<'_>, by_choice: impl Fn(u16) -> bool) -> Option<Self> {
        let mut list = Self { codes: [0; UNKNOWN_LISTED], len: 0 };
        for (code, _) in message.attributes() {
            if list.len == UNKNOWN_LISTED {
                break;
            }
            if attribute::is_required(code) && !attribute::is_known(code) && !by_choice(code) {
                list.add(code);
            }
        }
        (list.len > 0).then_some(list)
    }

    fn add(&mut self, code: u16) {
        if !self.codes[..self.len].contains(&code) {
            self.codes[self.len] = code;
            self.len += 1;
        }
    }

    /// The value of UNKNOWN-ATTRIBUTES.
    fn value(&self) -> impl Iterator<Item = u8> {
        self.codes[..self.len].iter().flat_map(|code| code.to_be_bytes())
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Unauthenticated => Self::Unauthenticated,
            Denial::BadRequest => Self::BadRequest,
            Denial::StaleNonce => Self::StaleNonce,
        }
    }
}

impl Refusal {
    /// The error code (RFC 8489 §14.8, RFC 8656 §19).
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Alternate(_) => Code::TRY_ALTERNATE,
            Self::BadRequest => Code::BAD_REQUEST,
            Self::Unauthenticated => Code::UNAUTHENTICATED,
            Self::StaleNonce => Code::STALE_NONCE,
            Self::Forbidden => Code::FORBIDDEN,
            Self::Mobility => Code::MOBILITY_FORBIDDEN,
            Self::Unknown(_) => Code::UNKNOWN_ATTRIBUTE,
            Self::Mismatch => Code::ALLOCATION_MISMATCH,
            Self::Family => Code::FAMILY_UNSUPPORTED,
            Self::WrongCredentials => Code::WRONG_CREDENTIALS,
            Self::Transport => Code::TRANSPORT_UNSUPPORTED,
            Self::PeerFamily => Code::PEER_FAMILY_MISMATCH,
            Self::Connected => Code::CONNECTION_EXISTS,
            Self::Unreached => Code::CONNECTION_FAILED,
            Self::Quota => Code::QUOTA_REACHED,
            Self::Capacity => Code::INSUFFICIENT_CAPACITY,
        }
    }

    /// The client is told realm, nonce and algorithms, so that it can try again.
    #[must_use]
    pub fn challenges(&self) -> bool {
        matches!(self, Self::Unauthenticated | Self::StaleNonce)
    }
}

/// What an answer needs to know of its request; kept while a request waits.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it goes.
    pub path: Path,
    /// The realm in which the request is judged.
    pub realm: RealmId,
    method: Method,
    transaction: [u8; 12],
    fingerprint: bool,
    transmit_count: Option<u8>,
    /// The key and kind of its integrity attribute, once the request has proved who sent it.
    pub proof: Option<(Key, Mac)>,
}

/// The challenge of a 401 or 438.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// REALM.
    pub realm: &'a str,
    /// NONCE.
    pub nonce: &'a [u8],
    /// PASSWORD-ALGORITHMS; empty if none are offered.
    pub algorithms: &'a [u8],
    /// THIRD-PARTY-AUTHORIZATION: by which name authorisation servers know this one. RFC 7635 has it in 401
    /// alone, but clients such as coturn's take each challenge anew.
    pub third_party: Option<&'a str>,
}

impl Answer {
    /// An answer to this request.
    #[must_use]
    pub fn to(message: &Message<'_>, path: Path, realm: RealmId) -> Self {
        Self {
            path,
            realm,
            method: message.method(),
            transaction: message.transaction(),
            fingerprint: message.has_fingerprint(),
            transmit_count: message.attribute(attribute::TRANSACTION_TRANSMIT_COUNTER).and_then(value::transmit_count),
            proof: None,
        }
    }

    /// The transaction id.
    #[must_use]
    pub fn transaction(&self) -> &[u8; 12] {
        &self.transaction
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Writes a success response with the attributes that `fill` adds.
    pub fn success(&self, options: &Options, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer<'_>)) {
        let mut writer = Writer::new(out, self.method, Class::Success, &self.transaction);
        fill(&mut writer);
        if self.method != Method::CREATE_PERMISSION && self.method != Method::CHANNEL_BIND {
            self.software(options, &mut writer);
        }
        self.close(options, &mut writer);
    }

    /// Writes an error response.
    pub fn refuse(&self, options: &Options, out: &mut Vec<u8>, refusal: &Refusal, challenge: Option<Challenge<'_>>) {
        let mut writer = Writer::new(out, self.method, Class::Error, &self.transaction);
        let code = refusal.code();
        writer.error(code, if options.reasons { code.phrase() } else { "" });
        if let Refusal::Unknown(list) = refusal {
            writer.attribute(attribute::UNKNOWN_ATTRIBUTES, &list.value().collect::<Vec<u8>>());
        }
        if let Refusal::Alternate(alternate) = refusal {
            alternate.put(&options.redirect, &self.path, &mut writer);
        }
        if let Some(challenge) = challenge {
            put_challenge(&mut writer, challenge);
        }
        self.close(options, &mut writer);
    }

    /// SOFTWARE, but not in an unauthenticated datagram: there it would only amplify.
    fn software(&self, options: &Options, writer: &mut Writer<'_>) {
        let worth_it = self.proof.is_some() || self.path.transport.is_stream();
        if let Some(software) = options.software.as_ref().filter(|_| worth_it) {
            writer.attribute(attribute::SOFTWARE, software.as_bytes());
        }
    }

    /// What ends every answer: transmit count, integrity, FINGERPRINT.
    fn close(&self, options: &Options, writer: &mut Writer<'_>) {
        if let Some(count) = self.transmit_count {
            // The server keeps no count of its own answers: RFC 7982 §3.3 lets it say zero.
            writer.attribute(attribute::TRANSACTION_TRANSMIT_COUNTER, &[0, 0, count, 0]);
        }
        match &self.proof {
            Some((key, Mac::Sha1)) => _ = writer.sha1(key.as_bytes()),
            Some((key, Mac::Sha256)) => _ = writer.sha256(key.as_bytes()),
            None => {}
        }
        if self.fingerprint || options.fingerprint {
            writer.fingerprint();
        }
    }
}

/// REALM, NONCE and, whenever the nonce promises them, PASSWORD-ALGORITHMS; then who else may authorise.
fn put_challenge(writer: &mut Writer<'_>, challenge: Challenge<'_>) {
    writer.attribute(attribute::REALM, challenge.realm.as_bytes());
    writer.attribute(attribute::NONCE, challenge.nonce);
    if !challenge.algorithms.is_empty() {
        writer.attribute(attribute::PASSWORD_ALGORITHMS, challenge.algorithms);
    }
    if let Some(server) = challenge.third_party {
        writer.attribute(attribute::THIRD_PARTY_AUTHORIZATION, server.as_bytes());
    }
}

/// Writes the error response of RFC 3489 §11.2.10: its list repeats a value to fill four bytes.
pub fn refuse_classic(message: &Message<'_>, unknown: &Unknown, out: &mut Vec<u8>) {
    let mut list: Vec<u8> = unknown.value().collect();
    if !list.len().is_multiple_of(4) {
        list.extend_from_within(list.len() - 2..);
    }
    Writer::classic(out, message.method(), Class::Error, &message.long_transaction())
        .error(Code::UNKNOWN_ATTRIBUTE, "")
        .attribute(attribute::UNKNOWN_ATTRIBUTES, &list);
}
