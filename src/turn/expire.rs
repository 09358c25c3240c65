//! How things end: by time, by Refresh, with their connection (RFC 8656 §6, §8, §9, §12).

use super::exchange::{Action, Claim, Notice};
use super::table::{Allocation, Id, Relay, index};
use super::types::{Path, Time, Token};
use super::{Due, Server};
use crate::wire::address::Family;

/// Timers that may be left behind by what ended early, beyond as many as there are of what lives.
const LEFT_BEHIND: usize = 1024;

impl Server {
    /// Sees to it that the allocation is looked at no later than `at`. A later look than the one already
    /// set needs nothing: that one will find out and set the next.
    pub(super) fn arm(&mut self, id: Id, at: Time) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        if at < allocation.armed {
            allocation.armed = at;
            self.timers.set(at, Due::Allocation(id, at));
        }
    }

    /// Clears away what has ended of an allocation, and sets the next look.
    pub(super) fn sweep(&mut self, now: Time, id: Id, at: Time) {
        let Some(allocation) = self.table.get_mut(id).filter(|a| a.armed == at) else { return };
        allocation.armed = Time(u64::MAX);
        for family in [Family::V4, Family::V6] {
            self.sweep_relay(now, id, family);
        }
        self.sweep_permissions(now, id);
        self.sweep_channels(now, id);
        if let Some(next) = self.table.get(id).map(Allocation::next_end) {
            self.arm(id, next);
        }
    }

    /// Ends a relayed address whose time has come.
    fn sweep_relay(&mut self, now: Time, id: Id, family: Family) {
        let ended = |relay: &Relay| relay.expires <= now;
        if self.table.get(id).and_then(|a| a.relays[index(family)].as_ref()).is_some_and(ended) {
            self.end_relay(now, id, family);
        }
    }

    /// Ends permissions whose time has come; their channels have no route without them.
    fn sweep_permissions(&mut self, now: Time, id: Id) {
        self.end_permissions(id, |_, until| until <= now);
        let unpermitted =
            |a: &Allocation, number: &u16| a.channels.get(number).is_some_and(|c| !a.permits(c.peer.ip(), now));
        for number in self.channels_where(id, unpermitted) {
            self.remove_route(id, number);
        }
    }

    /// Ends channels whose time has come.
    fn sweep_channels(&mut self, now: Time, id: Id) {
        for number in self.channels_where(id, |a, number| a.channel(*number, now).is_none()) {
            self.remove_channel(id, number);
        }
    }

    /// The channels that a test finds.
    pub(super) fn channels_where(&self, id: Id, test: impl Fn(&Allocation, &u16) -> bool) -> Vec<u16> {
        let Some(allocation) = self.table.get(id) else { return Vec::new() };
        allocation.channels.iter().map(|(number, _)| *number).filter(|n| test(allocation, n)).collect()
    }

    /// Takes a channel out of both indexes, and its route away.
    pub(super) fn remove_channel(&mut self, id: Id, number: u16) {
        self.remove_route(id, number);
        let Some(allocation) = self.table.get_mut(id) else { return };
        if let Some(peer) = allocation.channels.get(&number).map(|c| c.peer) {
            allocation.channels.remove(&number);
            allocation.numbers.remove(&peer);
        }
    }

    /// Ends one relayed address with its permissions and channels; with the last one the allocation ends.
    pub(super) fn end_relay(&mut self, now: Time, id: Id, family: Family) {
        let Some(allocation) = self.table.get(id) else { return };
        if allocation.relays[index(family.other())].is_none() {
            return self.end(now, id);
        }
        for number in
            self.channels_where(id, |a, n| a.channels.get(n).is_some_and(|c| Family::of(c.peer.ip()) == family))
        {
            self.remove_channel(id, number);
        }
        self.end_permissions(id, |peer, _| Family::of(peer) == family);
        let Some(allocation) = self.table.get_mut(id) else { return };
        if let Some(relay) = allocation.relays[index(family)].take() {
            self.table.free(relay.id);
            self.close_relay(now, &relay);
        }
    }

    /// Ends an allocation with everything that it holds (RFC 8656 §6).
    pub(super) fn end(&mut self, now: Time, id: Id) {
        for number in self.channels_where(id, |_, _| true) {
            self.remove_route(id, number);
        }
        self.end_permissions(id, |_, _| true);
        let Some(allocation) = self.table.remove(id) else { return };
        // What waits is sent before a relay is closed: whoever hears that the allocation has ended may make another, on
        // whichever worker.
        self.actions.push_back(Action::Release { owner: allocation.owner.clone(), source: allocation.source });
        for relay in allocation.relays.iter().flatten() {
            self.close_relay(now, relay);
        }
        if let Some(token) = allocation.token {
            self.forget(now, token);
        }
        self.leave(allocation.pending().into_iter().chain([allocation.path]));
        self.close_connections(&allocation);
        let ticket = allocation.mobility.map(|mobility| Claim::Ticket(mobility.serial));
        self.actions.extend(ticket.map(|claim| Action::RemoveClaim { claim }));
        let (path, owner) = (allocation.path, allocation.owner);
        self.actions.push_back(Action::Tell(Notice::Ended { path, owner }));
        self.thin_timers();
    }

    /// Drops timers of what has ended once they outnumber the others: a client that allocates and deletes
    /// in a loop would leave one each time, for up to an hour.
    pub(super) fn thin_timers(&mut self) {
        let (table, deposits, connections) = (&self.table, &self.deposits, &self.connections);
        if self.timers.len() > 2 * (table.len() + deposits.len() + connections.len()) + LEFT_BEHIND {
            self.timers.retain(|due| match due {
                Due::Allocation(id, at) => table.get(*id).is_some_and(|a| a.armed == *at),
                Due::Token(token) => deposits.contains_key(token),
                Due::Connection(number, at) => connections.get(number).is_some_and(|one| one.is_due(*at)),
            });
        }
    }

    /// Closes a relay socket; its port rests.
    fn close_relay(&mut self, now: Time, relay: &Relay) {
        self.actions.push_back(Action::CloseRelay { relay: relay.id });
        self.ports.rest(relay.local, now);
    }

    /// Ends a reservation that nobody used.
    pub(super) fn forget(&mut self, now: Time, token: Token) {
        if let Some(addr) = self.deposits.remove(&token) {
            self.actions.push_back(Action::Forget { token });
            self.ports.rest(addr, now);
        }
    }

    /// The connection of a stream client has ended, and with it its allocation, unless that may move.
    pub(super) fn closed(&mut self, now: Time, path: &Path) {
        self.openings_closed(path);
        self.named.remove(path);
        if let Some(id) = self.table.at_path(path)
            && !self.outlives(now, id, path)
        {
            self.end(now, id);
        }
    }
}
