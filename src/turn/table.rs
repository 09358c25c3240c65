//! Allocations and every index into them; their only writer.

use super::lease::Lease;
use super::limits::Bucket;
use super::mobility::Mobility;
use super::realm::RealmId;
use super::session::Count;
use super::small::SmallMap;
use super::types::{ConnectionId, Path, RelayId, Time, Token, Transport};
use crate::auth::Owner;
use crate::wire::Code;
use crate::wire::address::Family;
use slab::Slab;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// An allocation's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(pub u32);

/// One allocation (RFC 8656 §3.2).
#[derive(Debug)]
pub(super) struct Allocation {
    /// How to reach the client; also the 5-tuple.
    pub(super) path: Path,
    /// The client can be reached there: its connection has not ended.
    pub(super) attached: bool,
    /// The address that it is charged to.
    pub(super) source: IpAddr,
    /// What lets it move, if its client asked for that.
    pub(super) mobility: Option<Box<Mobility>>,
    /// The realm in which it was made, and its requests are judged.
    pub(super) realm: RealmId,
    /// Bytes per second, each direction; zero means any number.
    pub(super) bandwidth: u64,
    /// The ORIGIN of the request that made it, if all others must have the same.
    pub(super) origin: Option<Box<[u8]>>,
    /// Who made it.
    pub(super) owner: Owner,
    /// The token that it lives by, if a third party authorised it.
    pub(super) lease: Option<Lease>,
    /// The transaction that made it: a retransmission is answered alike.
    pub(super) transaction: [u8; 12],
    /// When it was made.
    pub(super) made: Time,
    /// The reservation that it made.
    pub(super) token: Option<Token>,
    /// A family that was asked for and could not be had, and why.
    pub(super) missing: Option<(Family, Code)>,
    /// The relayed addresses, at most one of each family.
    pub(super) relays: [Option<Relay>; 2],
    /// Until when each peer address may send and be sent to.
    pub(super) permissions: SmallMap<IpAddr, Time>,
    /// Its connections to peers, if it relays TCP.
    pub(super) connections: Option<Vec<ConnectionId>>,
    /// The channels by number.
    pub(super) channels: SmallMap<u16, Channel>,
    /// The channels by peer.
    pub(super) numbers: SmallMap<SocketAddr, u16>,
    /// Bandwidth left: to the peers, to the client.
    pub(super) buckets: Option<[Bucket; 2]>,
    /// What was relayed: to the peers, to the client.
    pub(super) counts: [Count; 2],
    /// ICMP indications left in this second.
    pub(super) icmp: Bucket,
    /// When the table looks at it next.
    pub(super) armed: Time,
}

/// A relayed transport address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    /// Its socket.
    pub(super) id: RelayId,
    /// Where the socket is bound.
    pub(super) local: SocketAddr,
    /// What the client and its peers are told.
    pub(super) public: SocketAddr,
    /// When it ends.
    pub(super) expires: Time,
}

/// A channel binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    /// The peer.
    pub(super) peer: SocketAddr,
    /// When it ends.
    pub(super) expires: Time,
    /// A fast path was told of it.
    pub(super) routed: bool,
}

impl Allocation {
    /// The relay of a family that has not ended.
    #[must_use]
    pub(super) fn relay(&self, family: Family, now: Time) -> Option<&Relay> {
        self.relays[index(family)].as_ref().filter(|relay| relay.expires > now)
    }

    /// The peer address has a permission that has not ended.
    #[must_use]
    pub(super) fn permits(&self, peer: IpAddr, now: Time) -> bool {
        self.permissions.get(&peer).is_some_and(|until| *until > now)
    }

    /// The peer of a channel that has not ended.
    #[must_use]
    pub(super) fn channel(&self, number: u16, now: Time) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|c| c.expires > now).map(|c| c.peer)
    }

    /// The channel of a peer that has not ended.
    #[must_use]
    pub(super) fn number(&self, peer: &SocketAddr, now: Time) -> Option<u16> {
        self.numbers.get(peer).copied().filter(|n| self.channel(*n, now).is_some())
    }

    /// The 5-tuple to which it is about to move.
    #[must_use]
    pub(super) fn pending(&self) -> Option<Path> {
        self.mobility.as_ref().and_then(|mobility| mobility.pending)
    }

    /// When the last relayed address ends.
    #[must_use]
    pub(super) fn expires(&self) -> Time {
        self.relays.iter().flatten().map(|r| r.expires).max().unwrap_or_default()
    }

    /// The first moment at which something of it ends.
    #[must_use]
    pub(super) fn next_end(&self) -> Time {
        let relays = self.relays.iter().flatten().map(|r| r.expires);
        let permissions = self.permissions.iter().map(|(_, until)| *until);
        let channels = self.channels.iter().map(|(_, c)| c.expires);
        relays.chain(permissions).chain(channels).min().unwrap_or_default()
    }
}

/// A family's place among the relays.
#[must_use]
pub(super) fn index(family: Family) -> usize {
    usize::from(family == Family::V6)
}

/// Whose a relay socket is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder {
    /// It is being opened.
    Opening,
    /// It belongs to an allocation.
    Allocation(Id),
}

/// Every allocation, found by 5-tuple, by relay socket and by mobility ticket.
#[derive(Debug, Default)]
pub(super) struct Table {
    allocations: Slab<Allocation>,
    paths: HashMap<Path, Id, foldhash::quality::RandomState>,
    relays: Slab<Holder>,
    /// Those that may move, by what their tickets say.
    mobile: HashMap<u64, Id, foldhash::quality::RandomState>,
    /// How many clients of each transport have one.
    transports: [usize; Transport::ALL.len()],
}

impl Table {
    /// Gives a relay socket a place before it is opened.
    pub(super) fn reserve(&mut self) -> RelayId {
        RelayId(self.relays.insert(Holder::Opening) as u32)
    }

    /// Frees the place of a relay socket.
    pub(super) fn free(&mut self, relay: RelayId) {
        self.relays.try_remove(relay.0 as usize);
    }

    /// Adds an allocation whose relays have their places.
    pub(super) fn insert(&mut self, allocation: Allocation) -> Id {
        let path = allocation.path;
        let relays: Vec<RelayId> = allocation.relays.iter().flatten().map(|r| r.id).collect();
        let id = Id(self.allocations.insert(allocation) as u32);
        for relay in relays {
            self.relays[relay.0 as usize] = Holder::Allocation(id);
        }
        self.paths.insert(path, id);
        self.transports[path.transport as usize] += 1;
        if let Some(serial) = self.get(id).and_then(|a| a.mobility.as_ref()).map(|mobility| mobility.serial) {
            self.mobile.insert(serial, id);
        }
        id
    }

    /// Takes an allocation out of every index. Its relays' places are freed too.
    pub(super) fn remove(&mut self, id: Id) -> Option<Allocation> {
        let allocation = self.allocations.try_remove(id.0 as usize)?;
        self.transports[allocation.path.transport as usize] -= 1;
        let own = allocation.attached.then_some(allocation.path).into_iter().chain(allocation.pending());
        for path in own {
            self.leave(&path, id);
        }
        if let Some(mobility) = &allocation.mobility {
            self.mobile.remove(&mobility.serial);
        }
        for relay in allocation.relays.iter().flatten() {
            self.free(relay.id);
        }
        Some(allocation)
    }

    /// An allocation has a 5-tuple no more, unless another has it by now.
    fn leave(&mut self, path: &Path, id: Id) {
        if self.at_path(path) == Some(id) {
            self.paths.remove(path);
        }
    }

    /// From now on an allocation may move.
    pub(super) fn make_mobile(&mut self, id: Id, mobility: Mobility) {
        let Some(allocation) = self.get_mut(id) else { return };
        let serial = mobility.serial;
        allocation.mobility = Some(Box::new(mobility));
        self.mobile.insert(serial, id);
    }

    /// The allocation of a mobility ticket.
    pub(super) fn at_serial(&self, serial: u64) -> Option<Id> {
        self.mobile.get(&serial).copied()
    }

    /// Makes a 5-tuple the pending one of an allocation that may move; the one before, which is none of its any more.
    pub(super) fn set_pending(&mut self, id: Id, path: Option<Path>) -> Option<Path> {
        let mobility = self.get_mut(id)?.mobility.as_mut()?;
        let old = std::mem::replace(&mut mobility.pending, path);
        if let Some(old) = &old {
            self.paths.remove(old);
        }
        if let Some(path) = path {
            self.paths.insert(path, id);
        }
        old
    }

    /// Makes the pending 5-tuple that of the allocation; the old and the new one.
    pub(super) fn move_over(&mut self, id: Id) -> Option<(Path, Path)> {
        let allocation = self.get_mut(id)?;
        let to = allocation.mobility.as_mut()?.pending.take()?;
        let from = std::mem::replace(&mut allocation.path, to);
        if std::mem::replace(&mut allocation.attached, true) {
            self.paths.remove(&from);
        }
        self.transports[from.transport as usize] -= 1;
        self.transports[to.transport as usize] += 1;
        Some((from, to))
    }

    /// The connection of an allocation's client has ended: its 5-tuple may become somebody else's.
    pub(super) fn detach(&mut self, id: Id) {
        let Some(allocation) = self.get_mut(id) else { return };
        let path = allocation.path;
        if std::mem::replace(&mut allocation.attached, false) {
            self.leave(&path, id);
        }
    }

    /// The allocation of a 5-tuple.
    #[must_use]
    pub(super) fn at_path(&self, path: &Path) -> Option<Id> {
        self.paths.get(path).copied()
    }

    /// The allocation of a relay socket.
    #[must_use]
    pub(super) fn at_relay(&self, relay: RelayId) -> Option<Id> {
        match self.relays.get(relay.0 as usize)? {
            Holder::Allocation(id) => Some(*id),
            Holder::Opening => None,
        }
    }

    /// An allocation by its place.
    #[must_use]
    pub(super) fn get(&self, id: Id) -> Option<&Allocation> {
        self.allocations.get(id.0 as usize)
    }

    /// An allocation by its place, to change what no index is about.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Allocation> {
        self.allocations.get_mut(id.0 as usize)
    }

    /// How many allocations there are.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.allocations.len()
    }

    /// No allocation has a place from this one on.
    #[must_use]
    pub(super) fn places(&self) -> usize {
        self.allocations.capacity()
    }

    /// How many of each transport, in the order of [`Transport::ALL`].
    #[must_use]
    pub(super) fn transports(&self) -> [usize; Transport::ALL.len()] {
        self.transports
    }

    /// Places of relay sockets in use: bound sockets and those being opened.
    #[must_use]
    pub(super) fn relays(&self) -> usize {
        self.relays.len()
    }
}
