//! ChannelBind (RFC 8656 §12).

use super::reply::{Answer, Refusal};
use super::request::ChannelBind;
use super::table::{Channel, Id};
use super::types::{Now, Time};
use super::{Outcome, Server};
use crate::wire::{Message, channel};

impl Server {
    /// Binds a channel, or refreshes its binding. The permission that comes with it lasts its own five
    /// minutes (RFC 8656 §12.2).
    pub(super) fn channel_bind(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let id = self.owned(now, message, answer)?;
        let request = ChannelBind::parse(message)?;
        self.bindable(now.time, id, &request)?;
        self.may_reach(now.time, id, request.peer)?;
        self.has_room(id, &[request.peer.ip()])?;
        self.bind(now.time, id, &request);
        answer.success(&self.setup.options, out, |_| {});
        Ok(Outcome::Replied)
    }

    /// "The channel number is not currently bound to a different transport address (same transport
    /// address is OK); the transport address is not currently bound to a different channel number"
    /// (RFC 8656 §12.2).
    fn bindable(&self, now: Time, id: Id, request: &ChannelBind) -> Result<(), Refusal> {
        let numbers = if self.setup.options.legacy_channels { channel::LEGACY_NUMBERS } else { channel::NUMBERS };
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        if allocation.connections.is_some() {
            return Err(Refusal::BadRequest);
        }
        let peer = allocation.channel(request.number, now);
        let number = allocation.number(&request.peer, now);
        let free = peer.is_none_or(|p| p == request.peer) && number.is_none_or(|n| n == request.number);
        if !numbers.contains(&request.number) || !free {
            return Err(Refusal::BadRequest);
        }
        let room = peer.is_some() || allocation.channels.len() < self.setup.options.channels;
        if room { Ok(()) } else { Err(Refusal::Capacity) }
    }

    /// Binds, whatever ended binding stood there before.
    fn bind(&mut self, now: Time, id: Id, request: &ChannelBind) {
        let expires = now.after(self.setup.options.channel_lifetime);
        if self.table.get(id).is_some_and(|a| a.channel(request.number, now).is_none()) {
            self.unbind(id, request);
        }
        let Some(allocation) = self.table.get_mut(id) else { return };
        let routed = allocation.channels.get(&request.number).is_some_and(|c| c.routed);
        allocation.channels.insert(request.number, Channel { peer: request.peer, expires, routed });
        allocation.numbers.insert(request.peer, request.number);
        self.arm(id, expires);
        self.permit(now, id, request.peer.ip());
    }

    /// Clears away an ended binding of the number, and an ended binding of the peer.
    fn unbind(&mut self, id: Id, request: &ChannelBind) {
        let old = self.table.get(id).and_then(|a| a.numbers.get(&request.peer).copied());
        for number in [Some(request.number), old].into_iter().flatten() {
            self.remove_channel(id, number);
        }
    }
}
