//! Deciding about datagrams: the core is asked about each, and its verdict is carried out.

use super::send::{client_address, exit, peer_address, send_all, send_whole};
use super::{Listener, Worker};
use crate::io::dtls::is_dtls;
use crate::io::source::Source;
use crate::io::sys::{self, Datagram};
use crate::turn::{Event, Head, Path, Reason, RelayId, Transport, Verdict};
use std::net::SocketAddr;
use std::os::fd::RawFd;

/// Errors read from one relay socket before the others have their turn.
const ERRORS: usize = 16;

impl Worker {
    /// Decides about a datagram, or each of those that came joined.
    pub(super) fn take(&mut self, source: Source, datagram: &Datagram) {
        match source {
            Source::Relay(index) | Source::Twin(index) => {
                for part in datagram.segments() {
                    self.take_from_peer(RelayId(index), datagram, part);
                    self.drain();
                }
            }
            Source::Control(index) | Source::Media(index) => {
                let listener = &self.listeners[index as usize];
                let Some(path) = client_path(listener, index, datagram) else { return };
                if listener.proxies.is_some() {
                    return self.take_from_proxy(path, datagram);
                }
                let served = (listener.plain, listener.dtls);
                for part in datagram.segments() {
                    self.take_part(path, served, datagram, part);
                }
            }
            _ => {}
        }
    }

    /// Decides about what a client has sent to a listener that serves plain datagrams, or DTLS.
    pub(super) fn take_part(
        &mut self,
        path: Path,
        (plain, dtls): (bool, bool),
        datagram: &Datagram,
        part: (usize, usize),
    ) {
        if dtls && is_dtls(self.inbox.part(part.0, part.1)) {
            self.take_record(path, part);
        } else if plain {
            self.take_from_client(path, datagram, part);
        } else {
            self.server.count_drop(Reason::UnknownProtocol);
        }
        self.drain();
    }

    /// Decides about a client's datagram.
    fn take_from_client(&mut self, path: Path, datagram: &Datagram, (start, len): (usize, usize)) {
        let packet = self.inbox.part(start, len);
        if let Some(home) = self.roamers.home(&path) {
            return self.hand_home(home, path, packet.to_vec());
        }
        match self.server.handle_client(self.now, path, packet, &mut self.reply) {
            Verdict::ToPeer { relay, peer, body, dont_fragment } => {
                if dont_fragment {
                    let Some(socket) = self.relays.socket(relay) else { return };
                    send_whole(&mut self.server, &mut self.outbox, &self.inbox, socket, (peer, datagram.tos), body);
                } else if let Some(exit) = exit(&mut self.relays, (relay, peer), || {
                    send_all(&mut self.server, &mut self.outbox, &self.inbox);
                }) {
                    self.outbox.push_received(peer_address(exit, peer, datagram.tos), Head::EMPTY, &self.inbox, body);
                }
            }
            Verdict::Reply => self.answer(path),
            Verdict::Drop(reason) => tracing::trace!(from = %path.client, reason = reason.label(), "dropped"),
            Verdict::Elsewhere(claim) => {
                let packet = packet.to_vec();
                self.ask_elsewhere(path, claim, packet);
            }
            Verdict::ToClient { .. } | Verdict::Done => {}
        }
    }

    /// Decides about a peer's datagram.
    pub(super) fn take_from_peer(&mut self, relay: RelayId, datagram: &Datagram, (start, len): (usize, usize)) {
        let packet = self.inbox.part(start, len);
        match self.server.handle_peer(self.now, relay, datagram.from, packet) {
            Verdict::ToClient { path, head, body } if path.transport == Transport::Udp => {
                let Some(address) = client_address(&self.listeners, &self.guests, &path, datagram.tos) else { return };
                self.outbox.push_received(address, head, &self.inbox, body);
            }
            Verdict::ToClient { path, head, body } if path.transport == Transport::Dtls => {
                for part in [head.as_bytes(), body, &[0; 3][..head.pad()]] {
                    self.reply.extend_from_slice(part);
                }
                self.say_reply(path, datagram.tos);
            }
            Verdict::ToClient { path, head, body } => {
                if !self.streams.push_data(&path, &head, body, self.now.time) {
                    self.server.count_drop(Reason::SlowClient);
                }
            }
            Verdict::Drop(reason) => tracing::trace!(from = %datagram.from, reason = reason.label(), "dropped"),
            Verdict::ToPeer { .. } | Verdict::Reply | Verdict::Elsewhere(_) | Verdict::Done => {}
        }
    }

    /// Tells the core of the ICMP errors that a relay socket met.
    pub(super) fn read_errors(&mut self, socket: RawFd, relay: RelayId) {
        for _ in 0..ERRORS {
            match sys::take_error(socket) {
                None => return clear_error(socket),
                Some(None) => {}
                Some(Some((peer, icmp))) => {
                    self.server.handle_event(self.now, Event::Icmp { relay, peer, icmp });
                    self.drain();
                }
            }
        }
    }
}

/// Clears the error that a socket would report for ever if its entry in the queue was lost for want of room.
fn clear_error(socket: RawFd) {
    // Whatever it was, the queue has told all that there is to tell.
    _ = sys::pending_error(socket);
}

/// The path of a client's datagram; none if a wildcard socket was not told where it came to.
fn client_path(listener: &Listener, index: u32, datagram: &Datagram) -> Option<Path> {
    let server = if listener.addr.ip().is_unspecified() {
        SocketAddr::new(datagram.to?, listener.addr.port())
    } else {
        listener.addr
    };
    Some(Path { client: datagram.from, server, transport: Transport::Udp, link: index })
}
