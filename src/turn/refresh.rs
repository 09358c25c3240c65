//! Refresh (RFC 8656 §8).

use super::allocate::seconds;
use super::lease::{Lease, within};
use super::reply::{Answer, Refusal};
use super::request::{self, grant_lifetime};
use super::table::{Id, index};
use super::types::{Now, Time};
use super::{Outcome, Server};
use crate::wire::address::Family;
use crate::wire::{Message, attribute};
use std::time::Duration;

impl Server {
    /// Refresh (RFC 8656 §8.2): longer, shorter or gone, for one relayed address or for all.
    pub(super) fn refresh(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        if let Some(ticket) = message.attribute(attribute::MOBILITY_TICKET) {
            return self.hand_over(now, message, ticket, answer, out);
        }
        let (id, lease) = self.owned_by(now, message, answer)?;
        let lifetime = self.extend(now.time, id, message, lease)?;
        answer.success(&self.setup.options, out, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
        });
        Ok(Outcome::Replied)
    }

    /// Sets the lifetime that a Refresh asks for, at most that of the token; the seconds that were granted.
    pub(super) fn extend(
        &mut self,
        now: Time,
        id: Id,
        message: &Message<'_>,
        lease: Option<Lease>,
    ) -> Result<u32, Refusal> {
        let request = request::Refresh::parse(message)?;
        let families = self.held(now, id, request.family)?;
        let longest = self.setup.options.lifetime;
        let lease = self.renew(id, lease);
        let lifetime = match request.lifetime {
            Some(0) => Duration::ZERO,
            asked => within(lease, now, grant_lifetime(asked, longest)),
        };
        for family in families {
            self.set_end(now, id, family, lifetime);
        }
        Ok(seconds(lifetime))
    }

    /// Lets an allocation live by a new token, if there is one; the token that it lives by now.
    fn renew(&mut self, id: Id, new: Option<Lease>) -> Option<&Lease> {
        let lease = &mut self.table.get_mut(id)?.lease;
        if new.is_some() {
            *lease = new;
        }
        lease.as_ref()
    }

    /// The families that a Refresh is about. One that the allocation lacks: "443 (Peer Address Family
    /// Mismatch)" (RFC 8656 §8.2).
    fn held(&self, now: Time, id: Id, asked: Option<Family>) -> Result<Vec<Family>, Refusal> {
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        let has = |family: &Family| allocation.relay(*family, now).is_some();
        match asked {
            Some(family) if has(&family) => Ok(vec![family]),
            Some(_) => Err(Refusal::PeerFamily),
            None => Ok([Family::V4, Family::V6].into_iter().filter(has).collect()),
        }
    }

    /// Sets when a relayed address ends; with no time left it ends now.
    fn set_end(&mut self, now: Time, id: Id, family: Family, lifetime: Duration) {
        if lifetime.is_zero() {
            return self.end_relay(now, id, family);
        }
        let expires = now.after(lifetime);
        if let Some(relay) = self.table.get_mut(id).and_then(|a| a.relays[index(family)].as_mut()) {
            relay.expires = expires;
        }
        self.arm(id, expires);
    }
}
