//! Binding (RFC 8489 §3), and the clients of RFC 3489.

use super::reply::{Answer, Refusal, Unknown, refuse_classic};
use super::types::{Now, Path, Reason, Transport, Verdict};
use super::{Outcome, Server};
use crate::wire::{Class, Message, Method, Writer, attribute};

impl Server {
    /// Tells a client its address. Credentials are not looked at, unless Binding needs them.
    pub(super) fn binding(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        if self.setup.options.binding_auth {
            self.authenticate(now, message, answer)?;
        } else if let Some(unknown) = Unknown::of(message) {
            return Err(Refusal::Unknown(unknown));
        }
        let path = answer.path;
        if answer.proof.is_none() && !self.sources.admit(path.client.ip(), now.time) {
            return Ok(Outcome::Silent(Reason::SourceRate));
        }
        self.counters.bindings += 1;
        let options = &self.setup.options;
        answer.success(options, out, |writer| {
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, path.client);
            if options.mapped_address {
                writer.address(attribute::MAPPED_ADDRESS, path.client);
            }
        });
        Ok(Outcome::Replied)
    }

    /// A message without the magic cookie: Binding over UDP, where it is configured, and nothing else.
    pub(super) fn classic<'p>(&mut self, now: Now, path: Path, m: &Message<'_>, out: &mut Vec<u8>) -> Verdict<'p> {
        let wanted = self.setup.options.classic && self.setup.options.stun && path.transport == Transport::Udp;
        if !wanted || m.class() != Class::Request || m.method() != Method::BINDING {
            return Verdict::Drop(Reason::Malformed);
        }
        if !self.plausible(&path) {
            return Verdict::Drop(Reason::BadSource);
        }
        if !self.sources.admit(path.client.ip(), now.time) {
            return Verdict::Drop(Reason::SourceRate);
        }
        match Unknown::of(m) {
            Some(unknown) => refuse_classic(m, &unknown, out),
            None => {
                let mut writer = Writer::classic(out, Method::BINDING, Class::Success, &m.long_transaction());
                writer.address(attribute::MAPPED_ADDRESS, path.client);
            }
        }
        self.counters.bindings += 1;
        Verdict::Reply
    }
}
