//! Allocate (RFC 8656 §7): a request is judged, and answered once `opening` has what it needs of the world.

use super::opening::{Opening, Wanted};
use super::reply::{Answer, Refusal};
use super::request::{self, Families};
use super::table::{Allocation, Id};
use super::types::{Now, Path, Protocol, Time};
use super::{Options, Outcome, Server};
use crate::auth::Owner;
use crate::auth::peers::is_tunnel;
use crate::wire::address::Family;
use crate::wire::{Code, Message, Writer, attribute, value};
use std::time::Duration;

/// How long a response is remembered for retransmissions of its request (RFC 8489 §6.3.1).
const RETRANSMISSIONS: Duration = Duration::from_secs(40);

impl Server {
    /// Allocate, steps 1 to 10 of RFC 8656 §7.2. Whether the 5-tuple is free comes before what the request
    /// holds.
    pub(super) fn allocate(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let early = self.redirect_strangers(now.time, message, answer)?;
        let proven = self.authenticate(now, message, answer)?;
        if let Some(id) = self.live(now.time, &answer.path) {
            return self.repeat(now.time, id, &proven.owner, answer, out);
        }
        if self.is_opening(&answer.path) {
            return Ok(Outcome::Later);
        }
        if is_tunnel(answer.path.client.ip()) {
            return Err(Refusal::Forbidden);
        }
        if message.attribute(attribute::MOBILITY_TICKET).is_some() {
            self.may_roam(&answer.path)?;
        }
        let request = early.map_or_else(|| self.unless_redirected(message, answer), Ok)?;
        self.may_relay(&request, &answer.path)?;
        let wanted = self.families(&request, &answer.path)?;
        self.begin_opening(Opening::new(answer.clone(), proven, request, wanted, self.pinned_origin(message)));
        Ok(Outcome::Later)
    }

    /// What is to be relayed is offered, to clients of this transport. TCP relays are for stream clients, and what holds
    /// their connections does not move.
    fn may_relay(&self, request: &request::Allocate, path: &Path) -> Result<(), Refusal> {
        let options = &self.setup.options;
        match request.protocol {
            Protocol::Udp if options.udp_relays => Ok(()),
            Protocol::Udp => Err(Refusal::Forbidden),
            Protocol::Tcp if !options.tcp_relays => Err(Refusal::Transport),
            Protocol::Tcp if !path.transport.is_stream() => Err(Refusal::BadRequest),
            Protocol::Tcp if request.mobile => Err(Refusal::Mobility),
            Protocol::Tcp => Ok(()),
        }
    }

    /// A 5-tuple that has an allocation: the request that made it is answered again, others are refused.
    fn repeat(
        &mut self,
        now: Time,
        id: Id,
        owner: &Owner,
        answer: &Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        let same = allocation.transaction == *answer.transaction() && allocation.owner == *owner;
        if !same || allocation.made.after(RETRANSMISSIONS) < now {
            return Err(Refusal::Mismatch);
        }
        granted(&self.setup.options, now, allocation, answer, out);
        Ok(Outcome::Replied)
    }

    /// The families to open.
    fn families(&self, request: &request::Allocate, path: &Path) -> Result<Wanted, Refusal> {
        let options = &self.setup.options;
        let offered = |family: &Family| options.addresses.offers(*family, path);
        let wanted = match request.families {
            _ if request.token.is_some() => return Ok(Wanted::default()),
            Families::Default => vec![options.default_family.for_client(path)],
            Families::One(family) => vec![family],
            Families::Both => vec![Family::V6, Family::V4],
        };
        let missing = wanted.iter().find(|family| !offered(family)).map(|family| (*family, Code::FAMILY_UNSUPPORTED));
        let todo: Vec<Family> = wanted.into_iter().filter(offered).collect();
        if todo.is_empty() { Err(Refusal::Family) } else { Ok(Wanted { todo, missing }) }
    }
}

/// Writes the success response of Allocate (RFC 8656 §7.2).
pub(super) fn granted(options: &Options, now: Time, allocation: &Allocation, answer: &Answer, out: &mut Vec<u8>) {
    answer.success(options, out, |writer| {
        for relay in allocation.relays.iter().flatten() {
            writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relay.public);
        }
        writer.number(attribute::LIFETIME, seconds(now.until(allocation.expires())));
        writer.xor_address(attribute::XOR_MAPPED_ADDRESS, answer.path.client);
        if let Some(token) = &allocation.token {
            writer.attribute(attribute::RESERVATION_TOKEN, token);
        }
        if let Some(mobility) = &allocation.mobility {
            writer.attribute(attribute::MOBILITY_TICKET, &mobility.ticket);
        }
        if allocation.bandwidth > 0 {
            writer.number(attribute::NEW_BANDWIDTH, value::bandwidth_units(allocation.bandwidth));
        }
        if let Some((family, code)) = allocation.missing {
            put_missing(writer, family, code);
        }
    });
}

/// ADDRESS-ERROR-CODE: which family could not be had, and why (RFC 8656 §18.12).
fn put_missing(writer: &mut Writer<'_>, family: Family, code: Code) {
    let [class, number] = code.class_and_number();
    writer.attribute(attribute::ADDRESS_ERROR_CODE, &[family as u8, 0, class, number]);
}

/// Whole seconds of a lifetime.
pub(super) fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}
