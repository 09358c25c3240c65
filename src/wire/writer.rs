//! A message into the caller's buffer.

use super::address;
use super::message::{COOKIE, Class, HEADER, Method, join_type};
use super::{Code, attribute, integrity, padding};
use std::net::SocketAddr;

/// Writes one STUN message at the end of a buffer. The length field is right after every call.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> Writer<'b> {
    /// Begins a message with the magic cookie.
    pub fn new(out: &'b mut Vec<u8>, method: Method, class: Class, transaction: &[u8; 12]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&COOKIE.to_be_bytes());
        id[4..].copy_from_slice(transaction);
        Self::classic(out, method, class, &id)
    }

    /// Begins a message with a 16-byte transaction id, as RFC 3489 had it.
    pub fn classic(out: &'b mut Vec<u8>, method: Method, class: Class, id: &[u8; 16]) -> Self {
        let start = out.len();
        out.extend_from_slice(&join_type(method, class).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(id);
        Self { out, start }
    }

    /// Appends an attribute, zero-padded.
    pub fn attribute(&mut self, code: u16, value: &[u8]) -> &mut Self {
        debug_assert!(value.len() < 0x1_0000, "an attribute's length is 16 bits");
        self.out.extend_from_slice(&code.to_be_bytes());
        self.out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.out.extend_from_slice(value);
        self.out.resize(self.out.len() + padding(value.len()), 0);
        self.set_length(0);
        self
    }

    /// Appends the head of an attribute whose value, `len` bytes and their padding, the caller sends after
    /// the message.
    pub fn announce(&mut self, code: u16, len: usize) {
        let body = len + padding(len);
        self.out.extend_from_slice(&code.to_be_bytes());
        self.out.extend_from_slice(&(len as u16).to_be_bytes());
        self.set_length(body);
    }

    /// Appends an XOR address.
    pub fn xor_address(&mut self, code: u16, addr: SocketAddr) -> &mut Self {
        let mut id = [0; 12];
        id.copy_from_slice(&self.out[self.start + 8..self.start + HEADER]);
        self.attribute(code, address::encode_xor(addr, &id).as_bytes())
    }

    /// Appends an address in clear.
    pub fn address(&mut self, code: u16, addr: SocketAddr) -> &mut Self {
        self.attribute(code, address::encode(addr).as_bytes())
    }

    /// Appends a number of 32 bits.
    pub fn number(&mut self, code: u16, value: u32) -> &mut Self {
        self.attribute(code, &value.to_be_bytes())
    }

    /// Appends ERROR-CODE.
    pub fn error(&mut self, code: Code, phrase: &str) -> &mut Self {
        let [class, number] = code.class_and_number();
        let mut value = [0; 4 + 127];
        let len = phrase.len().min(127);
        value[2..4].copy_from_slice(&[class, number]);
        value[4..4 + len].copy_from_slice(&phrase.as_bytes()[..len]);
        self.attribute(attribute::ERROR_CODE, &value[..4 + len])
    }

    /// Appends MESSAGE-INTEGRITY.
    pub fn sha1(&mut self, key: &[u8]) -> &mut Self {
        let mac = integrity::sha1(self.message(), self.len(), key);
        self.attribute(attribute::MESSAGE_INTEGRITY, &mac)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256, whole.
    pub fn sha256(&mut self, key: &[u8]) -> &mut Self {
        let mac = integrity::sha256(self.message(), self.len(), 32, key);
        self.attribute(attribute::MESSAGE_INTEGRITY_SHA256, &mac)
    }

    /// Appends FINGERPRINT; nothing may follow it.
    pub fn fingerprint(&mut self) -> &mut Self {
        let crc = integrity::fingerprint(self.message(), self.len());
        self.number(attribute::FINGERPRINT, crc)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Never: a header is always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The message so far.
    fn message(&self) -> &[u8] {
        &self.out[self.start..]
    }

    /// Brings the length field up to date; `more` bytes are still to come.
    fn set_length(&mut self, more: usize) {
        let len = (self.len() - HEADER + more) as u16;
        self.out[self.start + 2..self.start + 4].copy_from_slice(&len.to_be_bytes());
    }
}
