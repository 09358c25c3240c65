//! Mobility (RFC 8016): a client takes its allocation along to another 5-tuple.
//!
//! A Refresh that shows the newest ticket from another 5-tuple makes that one *pending*. Both are good until the client sends data on the pending one,
//! or the connection of the old one ends; then the allocation moves.

use super::exchange::{Action, Claim, Notice};
use super::lease::{Proven, is_same_session};
use super::reply::{Answer, Refusal};
use super::table::{Allocation, Id};
use super::ticket::MobilityTicket;
use super::types::{Now, Path, Reason, Time, Transport};
use super::{Outcome, Server};
use crate::wire::{Message, attribute};
use std::time::Duration;

/// How long the answer to a hand-over is remembered for retransmissions of its request (RFC 8489 §6.3.1).
const RETRANSMISSIONS: Duration = Duration::from_secs(40);
/// What an allocation that may move remembers.
#[derive(Debug)]
pub(super) struct Mobility {
    /// Tells the allocation from all others of the process.
    pub(super) serial: u64,
    /// The ticket that is good now.
    pub(super) ticket: MobilityTicket,
    /// The 5-tuple to which the allocation moves once the client uses it.
    pub(super) pending: Option<Path>,
    last: Option<HandOver>,
}

/// The last hand-over, to answer its request again.
#[derive(Clone, Copy, Debug)]
struct HandOver {
    shown: MobilityTicket,
    transaction: [u8; 12],
    path: Path,
    at: Time,
    lifetime: u32,
}

impl Server {
    /// Mobility is on, and a third party can neither read the ticket nor use it: there are credentials, or
    /// the connection is secret (RFC 8016 §5).
    pub(super) fn may_roam(&self, path: &Path) -> Result<(), Refusal> {
        let options = &self.setup.options;
        let safe = !options.anonymous || matches!(path.transport, Transport::Tls | Transport::Dtls);
        if options.mobility && safe { Ok(()) } else { Err(Refusal::Mobility) }
    }

    /// Gives a new allocation its first ticket.
    pub(super) fn make_mobile(&mut self, id: Id) {
        let serial = u64::from_ne_bytes(self.random.bytes());
        let ticket = self.setup.tickets.seal(&mut self.sequence, serial);
        self.actions.push_back(Action::AddClaim { claim: Claim::Ticket(serial) });
        self.table.make_mobile(id, Mobility { serial, ticket, pending: None, last: None });
    }

    /// Refresh with MOBILITY-TICKET (RFC 8016 §3.2.2). The credentials are judged before the ticket.
    pub(super) fn hand_over(
        &mut self,
        now: Now,
        message: &Message<'_>,
        ticket: &[u8],
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        if let Some(claim) = self.elsewhere(ticket, &answer.path) {
            // It costs two workers something, and proves nothing yet.
            let admitted = self.sources.admit(answer.path.client.ip(), now.time);
            return Ok(if admitted { Outcome::Elsewhere(claim) } else { Outcome::Silent(Reason::SourceRate) });
        }
        let Proven { owner, lease } = self.authenticate(now, message, answer)?;
        self.may_roam(&answer.path)?;
        let serial = self.setup.tickets.open(ticket).ok_or(Refusal::BadRequest)?;
        let id = self.table.at_serial(serial).ok_or(Refusal::Mismatch)?;
        let allocation = self.table.get(id).filter(|a| a.expires() > now.time).ok_or(Refusal::Mismatch)?;
        if allocation.owner != owner || !is_same_session(allocation.lease.as_ref(), lease.as_ref()) {
            return Err(Refusal::WrongCredentials);
        }
        self.has_same_origin(id, message)?;
        if let Some(lifetime) = repeated(allocation, ticket, answer, now.time) {
            self.handed_over(id, lifetime, answer, out);
            return Ok(Outcome::Replied);
        }
        match self.live(now.time, &answer.path) {
            Some(other) if other != id => return Err(Refusal::Mismatch),
            Some(_) => return Err(Refusal::BadRequest),
            None if self.is_opening(&answer.path) => return Err(Refusal::Mismatch),
            None => self.current(id, ticket)?,
        }
        let lifetime = self.extend(now.time, id, message, lease)?;
        self.set_pending(now.time, id, answer, lifetime);
        self.handed_over(id, lifetime, answer, out);
        Ok(Outcome::Replied)
    }

    /// A good ticket whose allocation another server may have, unless the 5-tuple is taken here.
    fn elsewhere(&self, ticket: &[u8], path: &Path) -> Option<Claim> {
        let free = !self.alone && self.setup.options.mobility && !self.is_taken(path);
        let serial = free.then(|| self.setup.tickets.open(ticket))??;
        self.table.at_serial(serial).is_none().then_some(Claim::Ticket(serial))
    }

    /// The ticket is the allocation's newest.
    fn current(&self, id: Id, ticket: &[u8]) -> Result<(), Refusal> {
        let mobility = self.table.get(id).and_then(|a| a.mobility.as_ref());
        if mobility.is_some_and(|m| m.ticket == ticket) { Ok(()) } else { Err(Refusal::BadRequest) }
    }

    /// Makes the 5-tuple of a Refresh the pending one, unless the Refresh ended the allocation. A client
    /// whose connection has ended has no other, and moves at once.
    fn set_pending(&mut self, now: Time, id: Id, answer: &Answer, lifetime: u32) {
        let (path, transaction) = (answer.path, *answer.transaction());
        let old = self.table.set_pending(id, Some(path));
        self.leave(old);
        let Some(allocation) = self.table.get_mut(id) else { return };
        let attached = allocation.attached;
        if let Some(mobility) = &mut allocation.mobility {
            let ticket = self.setup.tickets.seal(&mut self.sequence, mobility.serial);
            let shown = std::mem::replace(&mut mobility.ticket, ticket);
            mobility.last = Some(HandOver { shown, transaction, path, at: now, lifetime });
        }
        if !attached {
            self.move_over(now, id);
        }
    }

    /// Writes the answer to a hand-over: the new ticket, if there is still something to take along.
    fn handed_over(&self, id: Id, lifetime: u32, answer: &Answer, out: &mut Vec<u8>) {
        let mobility = self.table.get(id).and_then(|a| a.mobility.as_ref());
        answer.success(&self.setup.options, out, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
            if let Some(mobility) = mobility {
                writer.attribute(attribute::MOBILITY_TICKET, &mobility.ticket);
            }
        });
    }

    /// The client has sent data: if on the pending 5-tuple, the allocation moves there.
    pub(super) fn arrived(&mut self, now: Time, id: Id, path: &Path) {
        let pending = self.table.get(id).and_then(Allocation::pending);
        if pending == Some(*path) {
            self.move_over(now, id);
        }
    }

    /// Moves an allocation to its pending 5-tuple, and what a fast path knows of it.
    fn move_over(&mut self, now: Time, id: Id) {
        self.withdraw_routes(id);
        let Some((from, to)) = self.table.move_over(id) else { return };
        self.leave([from]);
        self.tell_routes(now, id);
        self.actions.push_back(Action::Follow { path: to });
        let Some(owner) = self.table.get(id).map(|allocation| allocation.owner.clone()) else { return };
        self.actions.push_back(Action::Tell(Notice::Moved { from, to, owner }));
    }

    /// The connection of a client has ended that has a ticket or not. True if the allocation lives on: on
    /// its other 5-tuple, or until the client shows its ticket.
    pub(super) fn outlives(&mut self, now: Time, id: Id, path: &Path) -> bool {
        let Some(allocation) = self.table.get(id).filter(|a| a.mobility.is_some()) else { return false };
        match allocation.pending() {
            Some(pending) if pending == *path => {
                let old = self.table.set_pending(id, None);
                self.leave(old);
            }
            Some(_) => self.move_over(now, id),
            None => {
                self.withdraw_routes(id);
                self.table.detach(id);
            }
        }
        true
    }

    /// An allocation has these 5-tuples no more. One whose connection has ended may be another's by now.
    pub(super) fn leave(&mut self, paths: impl IntoIterator<Item = Path>) {
        let left = paths.into_iter().filter(|path| self.table.at_path(path).is_none());
        self.actions.extend(left.map(|path| Action::Leave { path }));
    }
}

/// The lifetime that was granted to this very request before, if it comes again.
fn repeated(allocation: &Allocation, ticket: &[u8], answer: &Answer, now: Time) -> Option<u32> {
    let last = allocation.mobility.as_ref()?.last.filter(|last| last.at.after(RETRANSMISSIONS) >= now)?;
    let same = last.transaction == *answer.transaction() && last.path == answer.path;
    (same && last.shown == ticket).then_some(last.lifetime)
}
