//! A client that asks one thing at a time and waits for the answer. Answers are believed without their integrity being
//! checked, as their transaction ids cannot be guessed.

use super::fault::Fault;
use super::link::Link;
use crate::auth::key::{Algorithm, Key};
use crate::io::clock;
use crate::wire::{Class, Message, Method, Writer, address, attribute, value};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The first wait before a request is sent again; it doubles (RFC 8489 §6.2.1).
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How often one request is repeated for a challenge or a stale nonce.
const CHALLENGES: u8 = 3;

/// An answer, taken apart as far as anybody asks.
pub(super) struct Answer {
    /// Zero is success.
    pub code: u16,
    /// The client's address, as the server sees it.
    pub mapped: Option<SocketAddr>,
    /// The address of the relay.
    pub relayed: Option<SocketAddr>,
    /// Seconds that an allocation lasts.
    pub lifetime: Option<u32>,
    /// What the server calls itself.
    pub software: Option<String>,
    realm: Option<String>,
    nonce: Option<Vec<u8>>,
}

impl Answer {
    /// Reads an answer.
    fn of(message: &Message<'_>) -> Result<Self, Fault> {
        let xor = |code| message.attribute(code).and_then(|value| address::decode_xor(value, &message.transaction()));
        let text = |code| message.attribute(code).map(|value| String::from_utf8_lossy(value).into_owned());
        let code = match (message.class(), message.attribute(attribute::ERROR_CODE).and_then(value::error_code)) {
            (Class::Error, Some(code)) => code,
            (Class::Error, None) => return Err(Fault::Malformed("ERROR-CODE")),
            _ => 0,
        };
        Ok(Self {
            code,
            mapped: xor(attribute::XOR_MAPPED_ADDRESS),
            relayed: xor(attribute::XOR_RELAYED_ADDRESS),
            lifetime: message.attribute(attribute::LIFETIME).and_then(value::lifetime),
            software: text(attribute::SOFTWARE),
            realm: text(attribute::REALM),
            nonce: message.attribute(attribute::NONCE).map(<[u8]>::to_vec),
        })
    }
}

/// A client.
pub(super) struct Client<'a> {
    /// How it reaches the server.
    pub link: Link,
    /// The realm that the server has told.
    pub realm: Option<String>,
    user: Option<&'a (String, String)>,
    nonce: Vec<u8>,
    timeout: Duration,
}

impl<'a> Client<'a> {
    /// A client that has asked nothing yet.
    pub(super) fn new(link: Link, user: Option<&'a (String, String)>, timeout: Duration) -> Self {
        Self { link, realm: None, user, nonce: Vec::new(), timeout }
    }

    /// Asks for the own address.
    pub(super) fn binding(&mut self) -> Result<Answer, Fault> {
        self.exchange(Method::BINDING, &|_| {}, None)
    }

    /// Asks, and meets challenges; the peer is whom the question is about.
    pub(super) fn ask(
        &mut self,
        method: Method,
        fill: &dyn Fn(&mut Writer<'_>),
        peer: Option<SocketAddr>,
        expected: Option<&str>,
    ) -> Result<Answer, Fault> {
        for _ in 0..CHALLENGES {
            let key = self.key()?;
            let answer = self.exchange(method, fill, key.as_ref())?;
            match (answer.code, &key) {
                (0, _) => return Ok(answer),
                (401, Some(_)) => return Err(self.unknown()),
                (401, None) | (438, _) => self.learn(answer, expected)?,
                (code, _) => return Err(Fault::refused(code, peer)),
            }
        }
        Err(Fault::Refused(438))
    }

    /// The key to sign with, once the realm is known.
    fn key(&self) -> Result<Option<Key>, Fault> {
        let (Some(realm), Some((name, password))) = (&self.realm, self.user) else { return Ok(None) };
        let key = Key::long_term(Algorithm::Md5, name, realm, password);
        key.map(Some).map_err(|error| Fault::Socket(error.to_string()))
    }

    /// Takes realm and nonce from a challenge.
    fn learn(&mut self, answer: Answer, expected: Option<&str>) -> Result<(), Fault> {
        let realm = answer.realm.ok_or(Fault::Malformed("REALM"))?;
        self.nonce = answer.nonce.ok_or(Fault::Malformed("NONCE"))?;
        if expected.is_some_and(|expected| expected != realm) {
            return Err(Fault::WrongRealm(realm));
        }
        self.realm = Some(realm);
        self.user.map(drop).ok_or(Fault::NoCredentials)
    }

    /// Why the credentials are refused.
    fn unknown(&self) -> Fault {
        let name = self.user.map_or("", |(name, _)| name);
        let expiry = name.split(':').find_map(|part| part.parse::<u64>().ok()).filter(|at| *at > 1_000_000_000);
        let ago = expiry.and_then(|at| clock::now().wall.checked_sub(at)).filter(|ago| *ago > 0);
        ago.map_or(Fault::WrongPassword, Fault::Stale)
    }

    /// Sends a request until its answer comes.
    fn exchange(&mut self, method: Method, fill: &dyn Fn(&mut Writer<'_>), key: Option<&Key>) -> Result<Answer, Fault> {
        let id = transaction()?;
        let mut request = Vec::with_capacity(256);
        let mut writer = Writer::new(&mut request, method, Class::Request, &id);
        fill(&mut writer);
        if let (Some(key), Some((name, _)), Some(realm)) = (key, self.user, &self.realm) {
            writer.attribute(attribute::USERNAME, name.as_bytes());
            writer.attribute(attribute::REALM, realm.as_bytes());
            writer.attribute(attribute::NONCE, &self.nonce).sha1(key.as_bytes());
        }
        self.await_answer(&request, &id)
    }

    /// Sends again and again, over UDP, and waits.
    fn await_answer(&mut self, request: &[u8], id: &[u8; 12]) -> Result<Answer, Fault> {
        let end = Instant::now() + self.timeout;
        let mut wait = if self.link.is_datagram() { FIRST_WAIT } else { self.timeout };
        let mut foreign = false;
        while Instant::now() < end {
            self.link.send(request)?;
            let until = end.min(Instant::now() + wait);
            while let Some(bytes) = self.link.receive(until)? {
                match Message::parse(&bytes) {
                    Ok(message) if message.transaction() != *id => {}
                    Ok(message) if matches!(message.class(), Class::Success | Class::Error) => {
                        return Answer::of(&message);
                    }
                    // An echo, say.
                    _ => foreign = true,
                }
            }
            wait *= 2;
        }
        Err(if foreign { Fault::NotStun } else { Fault::Silent })
    }
}

/// An id that nobody can guess.
pub(super) fn transaction() -> Result<[u8; 12], Fault> {
    let mut id = [0; 12];
    SystemRandom::new().fill(&mut id).map_err(|_| Fault::Socket("the system has no randomness".to_owned()))?;
    Ok(id)
}
