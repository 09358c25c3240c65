//! Allocations that follow their clients from worker to worker (RFC 8016).
//!
//! A client that shows its mobility ticket from a new 5-tuple lands on any worker, its *host*. The host asks the worker
//! that has the allocation, its *home*, and hands it whatever comes on that 5-tuple until the client has sent data there.
//! Then the allocation goes to the host, with its relay sockets and what waits in them: no packet is lost, and from then
//! on both directions meet one thread again.

use super::Worker;
use super::send::send_all;
use crate::io::mail::Mail;
use crate::io::proxy::is_guest;
use crate::io::relay::Relay;
use crate::turn::{Claim, Event, Migrant, Path, Reason, Server, Transport, Verdict};
use std::collections::HashMap;

/// What one worker tells another of a client that roams.
#[derive(Debug)]
pub(crate) enum Roaming {
    /// To the home: a request with a ticket, or what has come on a 5-tuple that it expects.
    Packet { host: usize, path: Path, packet: Vec<u8>, shows_ticket: bool },
    /// To the host: the home has no such allocation, or has it no more.
    Back { path: Path, packet: Vec<u8> },
    /// To the host: from now on the home wants what comes on this 5-tuple.
    Expect { home: usize, path: Path },
    /// To the host: an answer for the client.
    Answer { path: Path, message: Vec<u8> },
    /// To the home: the client's connection has ended.
    Closed { path: Path },
    /// To the host: the home wants nothing of this 5-tuple any more.
    Leave { path: Path },
    /// To the host: the allocation, with its relay sockets.
    Allocation { migrant: Box<Migrant>, relays: Vec<Relay> },
}

impl Roaming {
    /// It is the client's, and may be lost.
    pub(crate) fn is_packet(&self) -> bool {
        matches!(self, Self::Packet { .. } | Self::Back { .. } | Self::Answer { .. })
    }
}

/// The 5-tuples of clients that roam between this worker and others.
#[derive(Debug, Default)]
pub(super) struct Roamers {
    /// Those that arrive here, and the home of the allocation that they are about to have.
    homes: HashMap<Path, usize, foldhash::quality::RandomState>,
    /// Those that allocations here are about to have, and the host where they arrive.
    hosts: HashMap<Path, usize, foldhash::quality::RandomState>,
    /// Those to which allocations here have moved, and from which they are to be sent.
    moved: Vec<Path>,
}

impl Roamers {
    /// The home of the allocation that a 5-tuple is about to have.
    pub(super) fn home(&self, path: &Path) -> Option<usize> {
        if self.homes.is_empty() { None } else { self.homes.get(path).copied() }
    }

    /// The client of a 5-tuple has an allocation, or is about to have one that has its home elsewhere.
    pub(super) fn lives_on(&self, server: &Server, path: &Path) -> bool {
        server.has_allocation(path) || self.home(path).is_some()
    }
}

impl Worker {
    /// What a client claims is not here.
    pub(super) fn ask_elsewhere(&mut self, path: Path, claim: Claim, packet: Vec<u8>) {
        let home = self.commons.claimed(claim).filter(|home| *home != self.place);
        match (home, claim) {
            (None, _) => self.take_stray(path, &packet),
            (Some(home), Claim::Connection(_)) => self.hand_over(path, home, packet),
            (Some(_), Claim::Ticket(_)) if !self.may_wait(&path) => self.server.count_drop(Reason::TooMany),
            (Some(home), Claim::Ticket(_)) => {
                self.post(home, Roaming::Packet { host: self.place, path, packet, shows_ticket: true });
            }
        }
    }

    /// Hands on what has come on a 5-tuple that an allocation elsewhere is about to have.
    pub(super) fn hand_home(&mut self, home: usize, path: Path, packet: Vec<u8>) {
        self.post(home, Roaming::Packet { host: self.place, path, packet, shows_ticket: false });
    }

    /// A client's connection has ended, before its allocation has come.
    pub(super) fn roamer_closed(&mut self, path: Path) {
        if let Some(home) = self.roamers.homes.remove(&path) {
            self.post(home, Roaming::Closed { path });
        }
    }

    /// No allocation here has this 5-tuple any more.
    pub(super) fn leave(&mut self, path: &Path) {
        match self.roamers.hosts.remove(path) {
            Some(host) => self.post(host, Roaming::Leave { path: *path }),
            None => self.forget_guest(path),
        }
    }

    /// Takes mail about a client that roams.
    pub(super) fn take_roaming(&mut self, letter: Roaming) {
        match letter {
            Roaming::Packet { host, path, packet, shows_ticket }
                if shows_ticket || self.server.has_allocation(&path) =>
            {
                self.take_for_host(host, path, packet);
            }
            Roaming::Packet { host, path, packet, .. } => self.post(host, Roaming::Back { path, packet }),
            Roaming::Back { path, packet } => self.take_stray(path, &packet),
            Roaming::Expect { home, path } if self.is_free(&path) => _ = self.roamers.homes.insert(path, home),
            Roaming::Expect { home, path } => self.post(home, Roaming::Closed { path }),
            Roaming::Answer { path, message } => self.send(path, &message),
            Roaming::Closed { path } => self.server.handle_event(self.now, Event::Closed { path }),
            Roaming::Leave { path } => {
                self.roamers.homes.remove(&path);
                self.forget_guest(&path);
            }
            Roaming::Allocation { migrant, relays } => self.take_in(*migrant, relays),
        }
    }

    /// A client is at this 5-tuple, and has nothing here.
    fn is_free(&self, path: &Path) -> bool {
        self.is_there(path) && !self.server.is_taken(path)
    }

    /// A client is at this 5-tuple: its connection has not ended.
    fn is_there(&self, path: &Path) -> bool {
        match path.transport {
            Transport::Udp => !is_guest(path) || self.guests.way(path).is_some(),
            Transport::Dtls => self.dtls.as_ref().is_some_and(|dtls| dtls.has(path)),
            Transport::Tcp | Transport::Tls => self.streams.has(path),
        }
    }

    /// Decides about a packet that no other worker knows more of.
    fn take_stray(&mut self, path: Path, packet: &[u8]) {
        let verdict = self.server.handle_stray(self.now, path, packet, &mut self.reply);
        self.settle(path, packet, verdict);
    }

    /// Decides about a packet that has come to a host, and gives it the allocation if the packet has moved it there.
    fn take_for_host(&mut self, host: usize, path: Path, packet: Vec<u8>) {
        match self.server.handle_client(self.now, path, &packet, &mut self.reply) {
            Verdict::ToPeer { relay, peer, body, dont_fragment } => self.copy_to_peer(relay, peer, body, dont_fragment),
            Verdict::Elsewhere(Claim::Ticket(_)) => return self.post(host, Roaming::Back { path, packet }),
            // Whoever has an allocation, or is about to, binds nothing to its connection.
            Verdict::Elsewhere(Claim::Connection(_)) => {
                _ = self.server.handle_stray(self.now, path, &packet, &mut self.reply);
            }
            _ => {}
        }
        if self.server.has_allocation(&path) && self.roamers.hosts.insert(path, host) != Some(host) {
            self.post(host, Roaming::Expect { home: self.place, path });
        }
        if !self.reply.is_empty() {
            let message = std::mem::take(&mut self.reply);
            self.post(host, Roaming::Answer { path, message });
        }
        self.drain();
    }

    /// An allocation has moved to a 5-tuple. If another worker is its host, it is sent there, after what else the core asks
    /// for.
    pub(super) fn follow(&mut self, path: Path) {
        if self.roamers.hosts.contains_key(&path) {
            self.roamers.moved.push(path);
        }
    }

    /// Sends allocations after their clients that have moved.
    pub(super) fn send_after(&mut self) {
        while let Some(path) = self.roamers.moved.pop() {
            let Some(host) = self.roamers.hosts.remove(&path) else { continue };
            let Some(migrant) = self.server.extract(&path) else { continue };
            send_all(&mut self.server, &mut self.outbox, &self.inbox);
            let relays = migrant.relays().filter_map(|relay| self.relays.take(relay)).collect();
            self.drain();
            self.post(host, Roaming::Allocation { migrant: Box::new(migrant), relays });
        }
    }

    /// Takes in an allocation whose client is here.
    fn take_in(&mut self, migrant: Migrant, relays: Vec<Relay>) {
        let path = migrant.path();
        self.roamers.homes.remove(&path);
        tracing::debug!(client = %path.client, transport = ?path.transport, "allocation came from another worker");
        let places = self.server.adopt(self.now.time, migrant);
        for (place, relay) in places.into_iter().zip(relays) {
            if let Err(error) = self.relays.take_in(place, relay) {
                tracing::warn!(%error, "a relay that has come from another worker receives nothing");
            }
        }
        if !self.is_there(&path) {
            self.server.handle_event(self.now, Event::Closed { path });
        }
    }

    /// Sends a letter about a client that roams. A packet for which there is no room is lost.
    fn post(&mut self, worker: usize, letter: Roaming) {
        if !self.commons.post(worker, Mail::Roaming(letter)) {
            self.server.count_drop(Reason::SlowClient);
        }
    }
}
