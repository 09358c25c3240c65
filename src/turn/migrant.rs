//! Allocations that move to another server of the process: a client that shows its mobility ticket lands on any worker
//! (RFC 8016), and an allocation lives where its client's packets arrive.

use super::Server;
use super::exchange::{Action, Claim};
use super::table::{Allocation, Id};
use super::types::{Path, RelayId, Time};
use std::net::IpAddr;

/// An allocation on its way, with everything but its sockets.
#[derive(Debug)]
pub struct Migrant(Allocation);

impl Migrant {
    /// The 5-tuple of its client.
    #[must_use]
    pub fn path(&self) -> Path {
        self.0.path
    }

    /// What its mobility tickets say.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.0.mobility.as_ref().map(|mobility| mobility.serial)
    }

    /// The places of its relay sockets in the server that had it.
    pub fn relays(&self) -> impl Iterator<Item = RelayId> {
        self.0.relays.iter().flatten().map(|relay| relay.id)
    }
}

impl Server {
    /// Takes out the allocation whose client is at this 5-tuple, and nowhere else. Its relay sockets are the caller's.
    pub fn extract(&mut self, path: &Path) -> Option<Migrant> {
        let id = self.table.at_path(path)?;
        self.table.get(id).filter(|a| a.path == *path && a.pending().is_none())?;
        self.withdraw_routes(id);
        let allocation = self.table.remove(id)?;
        for relay in allocation.relays.iter().flatten() {
            self.ports.give_back(relay.local);
        }
        Some(Migrant(allocation))
    }

    /// Takes in an allocation; the new places of its relay sockets, in the order of [`Migrant::relays`].
    pub fn adopt(&mut self, now: Time, Migrant(mut allocation): Migrant) -> Vec<RelayId> {
        for relay in allocation.relays.iter_mut().flatten() {
            relay.id = self.table.reserve();
            self.ports.take(relay.local.ip(), relay.local.port());
        }
        let relays = allocation.relays.iter().flatten().map(|relay| relay.id).collect();
        allocation.armed = Time(u64::MAX);
        let (next, serial) = (allocation.next_end(), allocation.mobility.as_ref().map(|mobility| mobility.serial));
        let id = self.table.insert(allocation);
        self.arm(id, next);
        self.actions.extend(serial.map(|serial| Action::AddClaim { claim: Claim::Ticket(serial) }));
        self.tell_routes(now, id);
        relays
    }

    /// A fast path learns what it may forward for an allocation.
    pub(super) fn tell_routes(&mut self, now: Time, id: Id) {
        let Some(allocation) = self.table.get(id) else { return };
        let peers: Vec<IpAddr> = allocation.permissions.iter().map(|(peer, _)| *peer).collect();
        let permitted: Vec<IpAddr> = peers.iter().copied().filter(|peer| allocation.permits(*peer, now)).collect();
        for peer in peers {
            self.tell_permission(id, peer);
        }
        for peer in permitted {
            self.add_routes(now, id, peer);
        }
    }

    /// A fast path must forget what it may forward for an allocation.
    pub(super) fn withdraw_routes(&mut self, id: Id) {
        for number in self.channels_where(id, |_, _| true) {
            self.remove_route(id, number);
        }
        self.untell_permissions(id, |_, _| true);
    }
}
