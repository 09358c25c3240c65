//! CreatePermission (RFC 8656 §9, §10).

use super::reply::{Answer, Refusal};
use super::request::permission_peers;
use super::table::{Allocation, Id};
use super::types::{Action, Now, Route, Time};
use super::{Outcome, Server};
use crate::wire::Message;
use crate::wire::address::Family;
use std::net::{IpAddr, SocketAddr};

impl Server {
    /// Installs or refreshes permissions: all that are named, or none.
    pub(super) fn create_permission(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let id = self.owned(now, message, answer)?;
        let mut peers = permission_peers(message)?;
        peers.sort_unstable();
        peers.dedup();
        for peer in &peers {
            self.may_reach(now.time, id, SocketAddr::new(*peer, 0))?;
        }
        self.has_room(id, &peers)?;
        for peer in peers {
            self.permit(now.time, id, peer);
        }
        answer.success(&self.setup.options, out, |_| {});
        Ok(Outcome::Replied)
    }

    /// The allocation has a relayed address of the peer's family, and the rules let it reach the peer. A
    /// port of zero stands for any.
    pub(super) fn may_reach(&self, now: Time, id: Id, peer: SocketAddr) -> Result<(), Refusal> {
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        allocation.relay(Family::of(peer.ip()), now).ok_or(Refusal::PeerFamily)?;
        if self.setup.policy.allows(peer).is_ok() { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// The permissions that these peers need fit the allocation's limit.
    pub(super) fn has_room(&self, id: Id, peers: &[IpAddr]) -> Result<(), Refusal> {
        let permissions = &self.table.get(id).ok_or(Refusal::Mismatch)?.permissions;
        let new = peers.iter().filter(|ip| permissions.get(ip).is_none()).count();
        let room = permissions.len() + new <= self.setup.options.permissions;
        if room { Ok(()) } else { Err(Refusal::Capacity) }
    }

    /// Installs or refreshes a permission, whatever stood before; channels to that address may be routed
    /// again.
    pub(super) fn permit(&mut self, now: Time, id: Id, peer: IpAddr) {
        let until = now.after(self.setup.options.permission_lifetime);
        let Some(allocation) = self.table.get_mut(id) else { return };
        allocation.permissions.insert(peer, until);
        self.arm(id, until);
        self.add_routes(now, id, peer);
    }

    /// Tells a fast path of the channels to this address that it does not know.
    pub(super) fn add_routes(&mut self, now: Time, id: Id, peer: IpAddr) {
        let Some(allocation) = self.table.get_mut(id).filter(|_| self.setup.options.routes) else { return };
        let Some(relay) = allocation.relay(Family::of(peer), now).map(|r| r.id) else { return };
        let path = allocation.path;
        for (number, channel) in allocation.channels.iter_mut() {
            if channel.peer.ip() == peer && channel.expires > now && !channel.routed {
                channel.routed = true;
                self.actions.push_back(Action::AddRoute(Route { path, channel: *number, relay, peer: channel.peer }));
            }
        }
    }
}

/// The route of a channel, if a fast path was told of it.
pub(super) fn route_of(allocation: &Allocation, number: u16) -> Option<Route> {
    let channel = allocation.channels.get(&number).filter(|c| c.routed)?;
    let relay = allocation.relays[super::table::index(Family::of(channel.peer.ip()))]?;
    Some(Route { path: allocation.path, channel: number, relay: relay.id, peer: channel.peer })
}
