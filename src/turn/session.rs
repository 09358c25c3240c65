//! Allocations as operators see them, and what they may do about them.

use super::Server;
use super::table::{Allocation, Id};
use super::types::{Path, Protocol, Time};
use crate::auth::Owner;
use std::net::SocketAddr;
use std::time::Duration;

/// Allocations' places that are looked at in one go: a worker has packets to see to.
const PLACES: usize = 1000;

/// Packets and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Count {
    /// One packet more.
    pub(super) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// An allocation's name for the caller, good until the next input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(Id);

/// An allocation, seen from outside.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it is called in [`Event::Disconnect`](super::Event::Disconnect).
    pub id: SessionId,
    /// Its client.
    pub path: Path,
    /// Who made it.
    pub owner: Owner,
    /// What it relays.
    pub protocol: Protocol,
    /// The relayed addresses, as the client was told them.
    pub relayed: [Option<SocketAddr>; 2],
    /// How many permissions stand.
    pub permissions: usize,
    /// How many channels are bound.
    pub channels: usize,
    /// How many connections to peers there are (RFC 6062).
    pub connections: usize,
    /// How long ago it was made.
    pub age: Duration,
    /// How long until it ends, unless it is refreshed.
    pub left: Duration,
    /// What was relayed by this server: to the peers, to the client.
    pub counts: [Count; 2],
}

/// Some allocations.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// They.
    pub sessions: Vec<Session>,
    /// Where to go on, if there may be more.
    pub next: Option<usize>,
}

/// Whose allocations are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Everybody's.
    All,
    /// Those of the client at this address.
    Client(SocketAddr),
    /// Those of a user: by the name that was sent, or by the identity in a time-limited one.
    User {
        /// The name.
        name: String,
        /// The realm; none means all.
        realm: Option<String>,
    },
}

impl Whom {
    /// This client is meant.
    fn means(&self, path: &Path, owner: &Owner) -> bool {
        match self {
            Self::All => true,
            Self::Client(addr) => path.client == *addr,
            Self::User { name, realm } => {
                (*owner.name == **name || *owner.quota == **name)
                    && realm.as_deref().is_none_or(|realm| *owner.realm == *realm)
            }
        }
    }
}

impl Server {
    /// At most so many allocations of those who are meant, from a place on: zero, or [`Page::next`] of the page before.
    #[must_use]
    pub fn sessions(&self, now: Time, whom: &Whom, from: usize, most: usize) -> Page {
        let (places, mut page) = (self.table.places(), Page::default());
        for place in from..places {
            if page.sessions.len() == most || place - from == PLACES {
                page.next = Some(place);
                break;
            }
            let id = Id(place as u32);
            let meant = self.table.get(id).filter(|one| whom.means(&one.path, &one.owner));
            page.sessions.extend(meant.map(|allocation| session(now, id, allocation)));
        }
        page
    }

    /// Ends an allocation because an operator wants that.
    pub(super) fn disconnect(&mut self, now: Time, SessionId(id): SessionId) {
        self.end(now, id);
    }
}

fn session(now: Time, id: Id, allocation: &Allocation) -> Session {
    Session {
        id: SessionId(id),
        path: allocation.path,
        owner: allocation.owner.clone(),
        protocol: if allocation.connections.is_some() { Protocol::Tcp } else { Protocol::Udp },
        relayed: allocation.relays.map(|relay| relay.map(|relay| relay.public)),
        permissions: allocation.permissions.iter().filter(|(_, until)| **until > now).count(),
        channels: allocation.channels.iter().filter(|(_, channel)| channel.expires > now).count(),
        connections: allocation.connections.as_ref().map_or(0, Vec::len),
        age: allocation.made.until(now),
        left: now.until(allocation.expires()),
        counts: allocation.counts,
    }
}
