//! One STUN message (RFC 8489 §5) and its attributes.

use super::{Malformed, attribute, integrity, padding, u16_at};

/// The magic cookie of RFC 8489 §5.
pub const COOKIE: u32 = 0x2112_A442;
/// Bytes of a header.
pub const HEADER: usize = 20;

/// A method, twelve bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(pub u16);

impl Method {
    /// Binding, RFC 8489 §3.
    pub const BINDING: Self = Self(0x001);
    /// Allocate, RFC 8656 §7.
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh, RFC 8656 §8.
    pub const REFRESH: Self = Self(0x004);
    /// Send, RFC 8656 §11.
    pub const SEND: Self = Self(0x006);
    /// Data, RFC 8656 §11.
    pub const DATA: Self = Self(0x007);
    /// CreatePermission, RFC 8656 §10.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind, RFC 8656 §12.
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect, RFC 6062 §4.
    pub const CONNECT: Self = Self(0x00A);
    /// ConnectionBind, RFC 6062 §4.
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// ConnectionAttempt, RFC 6062 §4.
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);
}

/// The class of a message, two bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A request; it is owed a response.
    Request,
    /// An indication; it is never answered.
    Indication,
    /// A success response.
    Success,
    /// An error response.
    Error,
}

/// Splits a message type into method and class.
///
/// ```text
///   13  12  11  10   9   8   7   6   5   4   3   2   1   0
///  M11 M10  M9  M8  M7  C1  M6  M5  M4  C0  M3  M2  M1  M0
/// ```
#[must_use]
pub fn split_type(kind: u16) -> (Method, Class) {
    let method = (kind & 0x3E00) >> 2 | (kind & 0x00E0) >> 1 | (kind & 0x000F);
    let class = match (kind >> 7 & 2) | (kind >> 4 & 1) {
        0 => Class::Request,
        1 => Class::Indication,
        2 => Class::Success,
        _ => Class::Error,
    };
    (Method(method), class)
}

/// Joins method and class into a message type.
#[must_use]
pub fn join_type(method: Method, class: Class) -> u16 {
    let (m, c) = (method.0, class as u16);
    (m & 0xF80) << 2 | (m & 0x070) << 1 | (m & 0x00F) | (c & 2) << 7 | (c & 1) << 4
}

/// A STUN message whose header, attribute structure and FINGERPRINT are right.
///
/// Only what stands before the first integrity attribute is shown by [`Message::attributes`]: what
/// follows it is not covered by the sender's key (RFC 8489 §9), except by the other integrity
/// attribute and FINGERPRINT, which have accessors of their own.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    covered: usize,
    sha1: Option<usize>,
    sha256: Option<usize>,
    fingerprint: bool,
    cookie: bool,
}

impl<'a> Message<'a> {
    /// Reads a message that fills `bytes` exactly, with the magic cookie.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let message = Self::parse_any(bytes)?;
        if message.cookie { Ok(message) } else { Err(Malformed::Cookie) }
    }

    /// Reads a message with or without the cookie: RFC 3489 had 16 bytes of transaction id there.
    pub fn parse_any(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check_header(bytes)?;
        let cookie = bytes[4..8] == COOKIE.to_be_bytes();
        let mut message = Self { bytes, covered: bytes.len(), sha1: None, sha256: None, fingerprint: false, cookie };
        message.walk()?;
        Ok(message)
    }

    /// Walks the attributes once: structure, integrity attributes, FINGERPRINT.
    fn walk(&mut self) -> Result<(), Malformed> {
        let mut at = HEADER;
        while at < self.bytes.len() {
            if self.fingerprint {
                return Err(Malformed::Fingerprint);
            }
            let end = attribute_end(self.bytes, at)?;
            self.note(u16_at(self.bytes, at), at)?;
            at = end;
        }
        Ok(())
    }

    /// Remembers where the attributes are that close or follow the covered part.
    fn note(&mut self, code: u16, at: usize) -> Result<(), Malformed> {
        match code {
            attribute::MESSAGE_INTEGRITY if self.sha1.is_none() => self.sha1 = Some(at),
            attribute::MESSAGE_INTEGRITY_SHA256 if self.sha256.is_none() => self.sha256 = Some(at),
            attribute::FINGERPRINT if self.cookie => {
                integrity::check_fingerprint(self.bytes, at)?;
                self.fingerprint = true;
            }
            _ => return Ok(()),
        }
        self.covered = self.covered.min(at);
        Ok(())
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        split_type(u16_at(self.bytes, 0)).0
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> Class {
        split_type(u16_at(self.bytes, 0)).1
    }

    /// The magic cookie is there; without it only RFC 3489 knows this message.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.cookie
    }

    /// The 96-bit transaction id.
    #[must_use]
    pub fn transaction(&self) -> [u8; 12] {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER]);
        id
    }

    /// Cookie and transaction id, the 128-bit id of RFC 3489.
    #[must_use]
    pub fn long_transaction(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.bytes[4..HEADER]);
        id
    }

    /// A correct FINGERPRINT closes the message.
    #[must_use]
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// The whole message.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The covered attributes in order: code and value without padding.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: &self.bytes[..self.covered], at: HEADER }
    }

    /// The value of the first covered attribute with this code (RFC 8489 §14: the first one counts).
    #[must_use]
    pub fn attribute(&self, code: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(c, _)| *c == code).map(|(_, value)| value)
    }

    /// MESSAGE-INTEGRITY: where it begins, and its value. One that follows MESSAGE-INTEGRITY-SHA256 does
    /// not count: the first integrity attribute closes the covered part.
    #[must_use]
    pub fn sha1(&self) -> Option<(usize, &'a [u8])> {
        self.sha1.filter(|at| self.sha256.is_none_or(|other| *at < other)).map(|at| (at, self.value_at(at)))
    }

    /// MESSAGE-INTEGRITY-SHA256: where it begins, and its value.
    #[must_use]
    pub fn sha256(&self) -> Option<(usize, &'a [u8])> {
        self.sha256.map(|at| (at, self.value_at(at)))
    }

    /// The value of the attribute that begins at `at`.
    fn value_at(&self, at: usize) -> &'a [u8] {
        &self.bytes[at + 4..at + 4 + usize::from(u16_at(self.bytes, at + 2))]
    }
}

/// Checks length, top bits and the length field (RFC 8489 §5).
fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.len() < HEADER {
        return Err(Malformed::Short);
    }
    if bytes[0] & 0xC0 != 0 {
        return Err(Malformed::TopBits);
    }
    let len = usize::from(u16_at(bytes, 2));
    if len % 4 != 0 || len + HEADER != bytes.len() {
        return Err(Malformed::Length);
    }
    Ok(())
}

/// Where the attribute at `at` ends, padding included.
fn attribute_end(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    if at + 4 > bytes.len() {
        return Err(Malformed::Attribute);
    }
    let len = usize::from(u16_at(bytes, at + 2));
    let end = at + 4 + len + padding(len);
    if end > bytes.len() { Err(Malformed::Attribute) } else { Ok(end) }
}

/// Iterator over the covered attributes of a message.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // `walk` has checked the structure, so this only stops at the end.
        let end = attribute_end(self.bytes, self.at).ok()?;
        let (code, len) = (u16_at(self.bytes, self.at), usize::from(u16_at(self.bytes, self.at + 2)));
        let value = &self.bytes[self.at + 4..self.at + 4 + len];
        self.at = end;
        Some((code, value))
    }
}
