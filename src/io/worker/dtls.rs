//! What a worker does with its clients under DTLS.

use super::Worker;
use super::send::client_address;
use crate::io::dtls::{Brought, Parts};
use crate::turn::{Event, Head, Path, Reason, Transport};

impl Worker {
    /// Decides about a client's records. `path` is that of the datagram.
    pub(super) fn take_record(&mut self, path: Path, (start, len): (usize, usize)) {
        let path = Path { transport: Transport::Dtls, ..path };
        let (Some(dtls), now) = (&mut self.dtls, self.now.time) else { return };
        let mut brought = std::mem::take(&mut self.brought);
        if !dtls.hear(path, self.inbox.part(start, len), now, &mut brought) {
            self.server.count_drop(Reason::NoSession);
        }
        self.answer_record(path, &mut brought);
        brought.clear();
        self.brought = brought;
    }

    /// Sends what a session wants sent, and takes what the client has said.
    fn answer_record(&mut self, path: Path, brought: &mut Brought) {
        self.send_records(path, &brought.wire, 0);
        if brought.renewed {
            self.tell_closed(path);
        }
        if let Some(name) = brought.name.take() {
            self.server.handle_event(self.now, Event::Named { path, name });
        }
        for message in brought.messages.iter() {
            self.frame(path, message);
        }
        if brought.over {
            self.tell_closed(path);
        }
    }

    /// Seals a message for a client and sends it.
    pub(super) fn say(&mut self, path: Path, message: &[u8], tos: u8) {
        let Some(dtls) = &mut self.dtls else { return };
        let mut sealed = std::mem::take(&mut self.sealed);
        if dtls.say(&path, message, &mut sealed) {
            self.send_records(path, &sealed, tos);
        } else {
            self.server.count_drop(Reason::NoClient);
        }
        sealed.clear();
        self.sealed = sealed;
    }

    /// Seals what stands in the reply buffer and sends it.
    pub(super) fn say_reply(&mut self, path: Path, tos: u8) {
        let mut message = std::mem::take(&mut self.reply);
        self.say(path, &message, tos);
        message.clear();
        self.reply = message;
    }

    fn send_records(&mut self, path: Path, wire: &Parts, tos: u8) {
        let Some(address) = client_address(&self.listeners, &self.guests, &path, tos) else { return };
        for datagram in wire.iter() {
            self.outbox.push_copy(address, Head::EMPTY, datagram);
        }
    }

    /// Goes on with handshakes, and ends sessions whose time is up.
    pub(super) fn tend_sessions(&mut self) {
        let Some(dtls) = &mut self.dtls else { return };
        let (listeners, guests, outbox) = (&self.listeners, &self.guests, &mut self.outbox);
        dtls.retransmit(self.now.time, |path, wire| {
            let Some(address) = client_address(listeners, guests, path, 0) else { return };
            wire.iter().for_each(|datagram| outbox.push_copy(address, Head::EMPTY, datagram));
        });
        let mut wire = Parts::default();
        while let Some(path) = self.next_silent(&mut wire) {
            self.send_records(path, &wire, 0);
            wire.clear();
            self.tell_closed(path);
        }
    }

    /// Ends a client's session.
    pub(super) fn end_session(&mut self, path: Path) {
        let (Some(dtls), mut wire) = (&mut self.dtls, Parts::default()) else { return };
        if dtls.close(&path, &mut wire) {
            self.send_records(path, &wire, 0);
            self.tell_closed(path);
        }
    }

    /// The next session whose time is over, and whose client has no allocation.
    fn next_silent(&mut self, wire: &mut Parts) -> Option<Path> {
        let lives = |path: &Path| self.roamers.lives_on(&self.server, path);
        self.dtls.as_mut()?.next_over(self.now.time, wire, lives)
    }
}
