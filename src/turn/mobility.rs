//! Mobility (RFC 8016): a client takes its allocation along to another 5-tuple.
//!
//! A ticket names an allocation of one server and how often the allocation was handed over; it is sealed with
//! a key of the process, so that nobody can make one or read one. A Refresh that shows the ticket from
//! another 5-tuple makes that one *pending*. Both are good until the client sends data on the pending one,
//! or the connection of the old one ends; then the allocation moves.

use super::lease::{Lease, Proven};
use super::reply::{Answer, Refusal};
use super::table::{Allocation, Id};
use super::types::{Action, Notice, Now, Path, Time, Transport};
use super::{Outcome, Server};
use crate::wire::{Message, attribute};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::net::IpAddr;
use std::time::Duration;

/// How long the answer to a hand-over is remembered for retransmissions of its request (RFC 8489 §6.3.1).
const RETRANSMISSIONS: Duration = Duration::from_secs(40);
/// Bytes before what is sealed.
const NONCE: usize = 12;
/// Bytes that are sealed.
const CLAIM: usize = 24;
/// Bytes of a ticket: nonce, claim, tag.
const LEN: usize = NONCE + CLAIM + 16;

/// Seals tickets and opens them, for all servers of a process.
pub struct Tickets(LessSafeKey);

impl std::fmt::Debug for Tickets {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Tickets under this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "the algorithm's key is 32 bytes")]
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("32 bytes are a key");
        Self(LessSafeKey::new(key))
    }

    /// Seals a claim under a nonce that never comes again.
    fn seal(&self, nonce: [u8; NONCE], claim: &Claim) -> [u8; LEN] {
        let mut ticket = [0; LEN];
        let (start, tag) = ticket.split_at_mut(NONCE + CLAIM);
        start[..NONCE].copy_from_slice(&nonce);
        start[NONCE..].copy_from_slice(&claim.to_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        if let Ok(made) = self.0.seal_in_place_separate_tag(unique, Aad::empty(), &mut start[NONCE..]) {
            tag.copy_from_slice(made.as_ref());
        }
        ticket
    }

    /// Opens a ticket that this process has sealed.
    fn open(&self, ticket: &[u8]) -> Option<Claim> {
        let mut ticket: [u8; LEN] = ticket.try_into().ok()?;
        let (nonce, sealed) = ticket.split_at_mut(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Claim::read(self.0.open_in_place(nonce, Aad::empty(), sealed).ok()?)
    }
}

/// What a ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    /// The server that holds the allocation: a number of its own.
    server: u64,
    /// The allocation's place there.
    place: u32,
    /// How many tickets the allocation had before.
    turn: u32,
    /// Tells the allocation from others that had its place.
    serial: u64,
}

impl Claim {
    fn to_bytes(self) -> [u8; CLAIM] {
        let mut bytes = [0; CLAIM];
        bytes[..8].copy_from_slice(&self.server.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.place.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.turn.to_be_bytes());
        bytes[16..].copy_from_slice(&self.serial.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let middle = number(8)?;
        Some(Self { server: number(0)?, place: (middle >> 32) as u32, turn: middle as u32, serial: number(16)? })
    }
}

/// What an allocation that may move remembers.
#[derive(Debug)]
pub(super) struct Mobility {
    serial: u64,
    turn: u32,
    /// The ticket that is good now.
    pub(super) ticket: [u8; LEN],
    /// The 5-tuple to which the allocation moves once the client uses it.
    pub(super) pending: Option<Path>,
    last: Option<HandOver>,
}

/// The last hand-over, to answer its request again.
#[derive(Clone, Copy, Debug)]
struct HandOver {
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
        let safe = !options.anonymous || path.transport == Transport::Tls;
        if options.mobility && safe { Ok(()) } else { Err(Refusal::Mobility) }
    }

    /// Gives a new allocation its first ticket.
    pub(super) fn make_mobile(&mut self, id: Id) {
        let serial = u64::from_ne_bytes(self.random.bytes());
        let ticket = self.ticket(id, serial, 0);
        if let Some(allocation) = self.table.get_mut(id) {
            allocation.mobility = Some(Box::new(Mobility { serial, turn: 0, ticket, pending: None, last: None }));
        }
    }

    fn ticket(&mut self, id: Id, serial: u64, turn: u32) -> [u8; LEN] {
        let claim = Claim { server: self.number, place: id.0, turn, serial };
        self.setup.tickets.seal(self.random.bytes(), &claim)
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
        let Proven { owner, lease } = self.authenticate(now, message, answer)?;
        self.may_roam(&answer.path)?;
        let claim = self.setup.tickets.open(ticket).ok_or(Refusal::BadRequest)?;
        let id = self.claimed(now.time, &claim).ok_or(Refusal::Mismatch)?;
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        if allocation.owner != owner || !is_same_session(allocation.lease.as_ref(), lease.as_ref()) {
            return Err(Refusal::WrongCredentials);
        }
        if let Some(lifetime) = repeated(allocation, &claim, answer, now.time) {
            self.handed_over(id, lifetime, answer, out);
            return Ok(Outcome::Replied);
        }
        match self.live(now.time, &answer.path) {
            Some(other) if other != id => return Err(Refusal::Mismatch),
            Some(_) => return Err(Refusal::BadRequest),
            None if self.is_opening(&answer.path) => return Err(Refusal::Mismatch),
            None => self.current(id, &claim)?,
        }
        let lifetime = self.extend(now.time, id, message, lease)?;
        self.set_pending(now.time, id, answer, lifetime);
        self.handed_over(id, lifetime, answer, out);
        Ok(Outcome::Replied)
    }

    /// The allocation that a ticket is about, if it is here and alive.
    fn claimed(&mut self, now: Time, claim: &Claim) -> Option<Id> {
        let id = Id(claim.place);
        let allocation = self.table.get(id).filter(|_| claim.server == self.number)?;
        let same = allocation.mobility.as_ref().is_some_and(|m| m.serial == claim.serial);
        (same && allocation.expires() > now).then_some(id)
    }

    /// The ticket is the allocation's newest.
    fn current(&self, id: Id, claim: &Claim) -> Result<(), Refusal> {
        let mobility = self.table.get(id).and_then(|a| a.mobility.as_ref());
        if mobility.is_some_and(|m| m.turn == claim.turn) { Ok(()) } else { Err(Refusal::BadRequest) }
    }

    /// Makes the 5-tuple of a Refresh the pending one, unless the Refresh ended the allocation. A client
    /// whose connection has ended has no other, and moves at once.
    fn set_pending(&mut self, now: Time, id: Id, answer: &Answer, lifetime: u32) {
        let (path, transaction) = (answer.path, *answer.transaction());
        let Some((serial, turn)) = self.table.get(id).and_then(|a| a.mobility.as_ref()).map(|m| (m.serial, m.turn))
        else {
            return;
        };
        let ticket = self.ticket(id, serial, turn.wrapping_add(1));
        let old = self.table.set_pending(id, Some(path));
        self.leave(old);
        let Some(allocation) = self.table.get_mut(id) else { return };
        let attached = allocation.attached;
        if let Some(mobility) = &mut allocation.mobility {
            mobility.turn = turn.wrapping_add(1);
            mobility.ticket = ticket;
            mobility.last = Some(HandOver { transaction, path, at: now, lifetime });
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
        let Some(allocation) = self.table.get(id) else { return };
        let peers: Vec<IpAddr> = allocation.permissions.iter().map(|(peer, _)| *peer).collect();
        let permitted: Vec<IpAddr> = peers.iter().copied().filter(|peer| allocation.permits(*peer, now)).collect();
        let owner = allocation.owner.clone();
        for peer in peers {
            self.tell_permission(id, peer);
        }
        for peer in permitted {
            self.add_routes(now, id, peer);
        }
        self.actions.push_back(Action::Tell(Notice::Moved { from, to, owner }));
    }

    /// The connection of a client has ended that has a ticket or not. True if the allocation lives on: on
    /// its other 5-tuple, or until the client shows its ticket.
    pub(super) fn outlives(&mut self, now: Time, id: Id, path: &Path) -> bool {
        let Some(allocation) = self.table.get(id).filter(|a| a.mobility.is_some()) else { return false };
        match allocation.pending() {
            Some(pending) if pending == *path => _ = self.table.set_pending(id, None),
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

    /// A fast path must forget an allocation's 5-tuple.
    fn withdraw_routes(&mut self, id: Id) {
        for number in self.channels_where(id, |_, _| true) {
            self.remove_route(id, number);
        }
        self.untell_permissions(id, |_, _| true);
    }
}

/// Two who hold tokens are one where the tokens have one session key, or there is no token at all.
fn is_same_session(one: Option<&Lease>, other: Option<&Lease>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.session.sha1 == other.session.sha1,
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// The lifetime that was granted to this very request before, if it comes again.
fn repeated(allocation: &Allocation, claim: &Claim, answer: &Answer, now: Time) -> Option<u32> {
    let mobility = allocation.mobility.as_ref()?;
    let last = mobility.last.filter(|last| last.at.after(RETRANSMISSIONS) >= now)?;
    let same = last.transaction == *answer.transaction() && last.path == answer.path;
    (same && claim.turn.wrapping_add(1) == mobility.turn).then_some(last.lifetime)
}
