//! CreatePermission (RFC 8656 §9, §10).

use super::exchange::{Action, Permission, Route};
use super::reply::{Answer, Refusal};
use super::request::permission_peers;
use super::table::{Allocation, Channel, Id};
use super::types::{Now, Time};
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
        if self.domain_of(id).realm.policy.allows(peer).is_ok() { Ok(()) } else { Err(Refusal::Forbidden) }
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
        let is_new = allocation.permissions.get(&peer).is_none();
        allocation.permissions.insert(peer, until);
        self.arm(id, until);
        if is_new {
            self.tell_permission(id, peer);
        }
        self.add_routes(now, id, peer);
    }

    /// Tells a fast path of a permission.
    pub(super) fn tell_permission(&mut self, id: Id, peer: IpAddr) {
        self.actions.extend(self.told_permission(id, peer).map(Action::AddPermission));
    }

    /// Ends the permissions that a test finds.
    pub(super) fn end_permissions(&mut self, id: Id, ended: impl Fn(IpAddr, Time) -> bool) {
        self.untell_permissions(id, &ended);
        let Some(allocation) = self.table.get_mut(id) else { return };
        allocation.permissions.retain(|peer, until| !ended(*peer, *until));
    }

    /// Tells a fast path to forget the permissions that a test finds.
    pub(super) fn untell_permissions(&mut self, id: Id, ended: impl Fn(IpAddr, Time) -> bool) {
        let Some(allocation) = self.table.get(id) else { return };
        let gone = allocation.permissions.iter().filter(|(peer, until)| ended(**peer, **until));
        let told: Vec<Permission> = gone.filter_map(|(peer, _)| self.told_permission(id, *peer)).collect();
        self.actions.extend(told.into_iter().map(Action::RemovePermission));
    }

    /// The permission as a fast path is told of it, if there is one and it need not ask for the port.
    fn told_permission(&self, id: Id, peer: IpAddr) -> Option<Permission> {
        if !self.is_routable(id) || !self.domain_of(id).realm.policy.is_alike(peer) {
            return None;
        }
        let allocation = self.table.get(id).filter(|a| a.attached && a.connections.is_none())?;
        let relay = allocation.relays[super::table::index(Family::of(peer))]?;
        Some(Permission { path: allocation.path, relay: relay.id, local: relay.local, peer })
    }

    /// There is a fast path, and its one bandwidth is the allocation's.
    fn is_routable(&self, id: Id) -> bool {
        let options = &self.setup.options;
        options.routes && self.table.get(id).is_some_and(|allocation| allocation.bandwidth == options.bandwidth)
    }

    /// Tells a fast path of the channels to this address that it does not know.
    pub(super) fn add_routes(&mut self, now: Time, id: Id, peer: IpAddr) {
        let stands = |a: &Allocation| a.relay(Family::of(peer), now).is_some();
        if !self.is_routable(id) || !self.table.get(id).is_some_and(stands) {
            return;
        }
        let new = |c: &Channel| c.peer.ip() == peer && c.expires > now && !c.routed;
        for number in self.channels_where(id, |a, number| a.channels.get(number).is_some_and(new)) {
            if let Some(route) = self.route(id, number).filter(|route| self.is_plain(route)) {
                self.set_routed(id, number, true);
                self.actions.push_back(Action::AddRoute(route));
            }
        }
    }

    /// Tells a fast path to forget a channel.
    pub(super) fn remove_route(&mut self, id: Id, number: u16) {
        let routed = |a: &Allocation| a.channels.get(&number).is_some_and(|channel| channel.routed);
        if self.table.get(id).is_some_and(routed)
            && let Some(route) = self.route(id, number)
        {
            self.set_routed(id, number, false);
            self.actions.push_back(Action::RemoveRoute(route));
        }
    }

    /// The route that a channel makes.
    fn route(&self, id: Id, channel: u16) -> Option<Route> {
        let (allocation, options) = (self.table.get(id)?, &self.setup.options);
        let peer = allocation.channels.get(&channel)?.peer;
        let relay = allocation.relays[super::table::index(Family::of(peer.ip()))]?;
        let wire = options.on_the_wire(peer);
        let inward = options.is_relay(wire);
        Some(Route { path: allocation.path, channel, relay: relay.id, local: relay.local, peer, wire, inward })
    }

    /// What the peer sends comes from where the peer is sent to: not so behind a NAT that only one way crosses.
    fn is_plain(&self, route: &Route) -> bool {
        self.setup.options.addresses.outward(route.wire) == route.peer
    }

    /// Remembers whether a fast path knows a channel.
    fn set_routed(&mut self, id: Id, number: u16, routed: bool) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        for (_, channel) in allocation.channels.iter_mut().filter(|(n, _)| **n == number) {
            channel.routed = routed;
        }
    }
}
