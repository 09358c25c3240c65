//! Binding (RFC 8489 §3), and the clients of RFC 3489.

use super::exchange::{Action, Verdict};
use super::reply::{Answer, Refusal, Unknown, refuse_classic};
use super::types::{Now, Path, Reason, Transport};
use super::{Outcome, Server};
use crate::wire::{Class, Code, Message, Method, Writer, attribute};

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
        } else if let Some(unknown) = self.unknown(message, &answer.path) {
            return Err(Refusal::Unknown(unknown));
        }
        let path = answer.path;
        let asked = self.asked(message, &path)?;
        if answer.proof.is_none() && !self.sources.admit(path.client.ip(), now.time) {
            return Ok(Outcome::Silent(Reason::SourceRate));
        }
        self.counters.bindings += 1;
        let (options, begun) = (&self.setup.options, out.len());
        answer.success(options, out, |writer| {
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, path.client);
            if options.mapped_address || asked.is_some() {
                writer.address(attribute::MAPPED_ADDRESS, path.client);
            }
            if let Some(asked) = &asked {
                asked.write(&options.addresses, writer);
            }
        });
        let Some(path) = asked.and_then(|asked| asked.detour(&path)) else { return Ok(Outcome::Replied) };
        self.counters.successes += 1;
        self.actions.push_back(Action::SendFrom { path, message: out.split_off(begun) });
        Ok(Outcome::Later)
    }

    /// A message without the magic cookie: Binding over UDP, where it is configured; a request over DTLS, which is
    /// refused with a code of its own (RFC 7350 §3); and nothing else.
    pub(super) fn classic<'p>(&mut self, now: Now, path: Path, m: &Message<'_>, out: &mut Vec<u8>) -> Verdict<'p> {
        let wanted = self.setup.options.classic && self.setup.options.stun && m.method() == Method::BINDING;
        let answered = match path.transport {
            Transport::Udp => wanted,
            Transport::Dtls => true,
            Transport::Tcp | Transport::Tls => false,
        };
        if !answered || m.class() != Class::Request {
            return Verdict::Drop(Reason::Malformed);
        }
        if !self.plausible(&path) {
            return Verdict::Drop(Reason::BadSource);
        }
        if !self.sources.admit(path.client.ip(), now.time) {
            return Verdict::Drop(Reason::SourceRate);
        }
        if path.transport == Transport::Dtls {
            Writer::classic(out, m.method(), Class::Error, &m.long_transaction()).error(Code::SERVER_ERROR, "");
            return Verdict::Reply;
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
