//! TCP relays (RFC 6062): Connect, ConnectionAttempt and ConnectionBind.
//!
//! A connection to or from a peer has one number from its first packet on, its CONNECTION-ID. It waits half a minute for
//! a client that binds a connection of its own to it; from then on the two are one, and nobody here looks at their bytes.

use super::exchange::{Action, Claim};
use super::lease::{Proven, is_same_session};
use super::reply::{Answer, Refusal};
use super::request;
use super::session::Count;
use super::table::{Allocation, Id};
use super::types::{ConnectionId, Now, Path, Reason, RelayId, Time};
use super::{Due, Outcome, Server};
use crate::wire::address::Family;
use crate::wire::{Class, Message, Method, Writer, attribute};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a peer may take to be reached, and a client to bind: "at least 30 seconds" (RFC 6062 §5.2, §5.3).
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection between a relayed address and a peer.
#[derive(Debug)]
pub(super) struct PeerConnection {
    allocation: Id,
    peer: SocketAddr,
    stage: Stage,
    /// When its stage has taken too long.
    due: Time,
}

/// How far a connection is.
#[derive(Debug)]
enum Stage {
    /// The peer is being reached; this request waits.
    Connecting(Box<Answer>),
    /// A client is to bind.
    Waiting,
    /// A client has bound.
    Bound,
}

impl PeerConnection {
    /// This is the time that counts.
    pub(super) fn is_due(&self, at: Time) -> bool {
        self.due == at && !matches!(self.stage, Stage::Bound)
    }
}

impl Server {
    /// Connect (RFC 6062 §5.2). It needs no permission: it is the client that reaches out.
    pub(super) fn connect(&mut self, now: Now, message: &Message<'_>, answer: &mut Answer) -> Result<Outcome, Refusal> {
        let id = self.owned(now, message, answer)?;
        if self.table.get(id).is_none_or(|allocation| allocation.connections.is_none()) {
            return Err(Refusal::BadRequest);
        }
        let peer = request::peer(message).filter(|peer| peer.port() != 0).ok_or(Refusal::BadRequest)?;
        self.may_reach(now.time, id, peer)?;
        let to = self.setup.options.on_the_wire(peer);
        if [peer, to].iter().any(|at| self.setup.options.own_streams.contains(at)) {
            return Err(Refusal::Forbidden);
        }
        if self.is_connected(id, peer) {
            return Err(Refusal::Connected);
        }
        let allocation = self.table.get(id).ok_or(Refusal::Mismatch)?;
        let relay = *allocation.relay(Family::of(peer.ip()), now.time).ok_or(Refusal::PeerFamily)?;
        let stage = Stage::Connecting(Box::new(answer.clone()));
        let connection = self.begin(now.time, id, peer, stage).ok_or(Refusal::Capacity)?;
        self.actions.push_back(Action::Connect { connection, relay: relay.id, to });
        Ok(Outcome::Later)
    }

    /// The allocation has a connection to this peer, or is about to have one.
    fn is_connected(&self, id: Id, peer: SocketAddr) -> bool {
        let all = self.table.get(id).and_then(|allocation| allocation.connections.as_ref());
        all.into_iter().flatten().any(|one| self.connections.get(one).is_some_and(|one| one.peer == peer))
    }

    /// Gives a connection its number and its time, if the allocation may have one more.
    fn begin(&mut self, now: Time, id: Id, peer: SocketAddr, stage: Stage) -> Option<ConnectionId> {
        let number = self.free_number();
        let all = self.table.get_mut(id)?.connections.as_mut()?;
        if all.len() >= self.setup.options.connections {
            return None;
        }
        all.push(number);
        self.connections.insert(number, PeerConnection { allocation: id, peer, stage, due: now });
        self.time(now, number);
        Some(number)
    }

    /// A number that no connection has here, and by chance alone elsewhere.
    fn free_number(&mut self) -> ConnectionId {
        loop {
            let number = ConnectionId(u32::from_be_bytes(self.random.bytes()));
            if !self.connections.contains_key(&number) {
                return number;
            }
        }
    }

    /// The next stage of a connection may take so long.
    fn time(&mut self, now: Time, number: ConnectionId) {
        let due = now.after(PATIENCE);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.due = due;
            self.timers.set(due, Due::Connection(number, due));
        }
    }

    /// What the allocation of a connection has relayed.
    pub(super) fn counts_of(&mut self, number: ConnectionId) -> Option<&mut [Count; 2]> {
        let allocation = self.connections.get(&number)?.allocation;
        self.table.get_mut(allocation).map(|allocation| &mut allocation.counts)
    }

    /// A peer has been reached, or not.
    pub(super) fn connected(&mut self, now: Time, number: ConnectionId, reached: bool) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let Stage::Connecting(answer) = std::mem::replace(&mut connection.stage, Stage::Waiting) else { return };
        if !reached {
            return self.unreached(number, &answer);
        }
        self.wait(now, number);
        let mut message = Vec::new();
        answer.success(&self.setup.options, &mut message, |writer| {
            writer.number(attribute::CONNECTION_ID, number.0);
        });
        self.counters.successes += 1;
        self.actions.push_back(Action::Send { path: answer.path, message });
    }

    /// From now on a client may bind, on whatever worker its connection lands.
    fn wait(&mut self, now: Time, number: ConnectionId) {
        self.time(now, number);
        self.actions.push_back(Action::AddClaim { claim: Claim::Connection(number) });
    }

    /// Refuses a Connect whose peer cannot be reached.
    fn unreached(&mut self, number: ConnectionId, answer: &Answer) {
        self.forget_connection(number);
        let mut message = Vec::new();
        answer.refuse(&self.setup.options, &mut message, &Refusal::Unreached, None);
        self.counters.errors += 1;
        self.actions.push_back(Action::Send { path: answer.path, message });
    }

    /// A peer has connected to a relayed address (RFC 6062 §5.3): the number of its connection if it may, after the client
    /// has been told.
    pub fn accept(&mut self, now: Now, relay: RelayId, peer: SocketAddr) -> Result<ConnectionId, Reason> {
        let accepted = self.try_accept(now.time, relay, peer);
        accepted.inspect_err(|reason| self.counters.drop(*reason))
    }

    fn try_accept(&mut self, now: Time, relay: RelayId, peer: SocketAddr) -> Result<ConnectionId, Reason> {
        let peer = self.setup.options.addresses.outward(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let id = self.table.at_relay(relay).ok_or(Reason::NoAllocation)?;
        let allocation = self.table.get(id).ok_or(Reason::NoAllocation)?;
        allocation.relay(Family::of(peer.ip()), now).ok_or(Reason::NoAllocation)?;
        if !allocation.permits(peer.ip(), now) {
            return Err(Reason::NoPermission);
        }
        let path = allocation.path;
        let number = self.begin(now, id, peer, Stage::Waiting).ok_or(Reason::TooMany)?;
        self.wait(now, number);
        self.attempt(path, number, peer);
        Ok(number)
    }

    /// Tells a client that a peer has connected.
    fn attempt(&mut self, path: Path, number: ConnectionId, peer: SocketAddr) {
        let (transaction, mut message) = (self.random.bytes(), Vec::new());
        Writer::new(&mut message, Method::CONNECTION_ATTEMPT, Class::Indication, &transaction)
            .number(attribute::CONNECTION_ID, number.0)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer);
        self.actions.push_back(Action::Send { path, message });
    }

    /// ConnectionBind (RFC 6062 §5.4): this very connection carries what the peer and the client say from now on.
    pub(super) fn connection_bind(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Refusal> {
        let number = request::connection_id(message);
        if let Ok(number) = number
            && let Some(claim) = self.elsewhere_connection(number, &answer.path)
        {
            return Ok(Outcome::Elsewhere(claim));
        }
        let proven = match self.authenticate(now, message, answer) {
            Err(Refusal::StaleNonce) => self.authenticate_from(self.nonce_of(&number, answer), now, message, answer)?,
            other => other?,
        };
        let number = number?;
        self.may_bind(number, &answer.path, &proven)?;
        self.actions.push_back(Action::RemoveClaim { claim: Claim::Connection(number) });
        answer.success(&self.setup.options, out, |_| {});
        self.actions.push_back(Action::Bind { connection: number, path: answer.path });
        self.named.remove(&answer.path);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.stage = Stage::Bound;
            let id = connection.allocation;
            self.share_bandwidth(id);
        }
        Ok(Outcome::Replied)
    }

    /// The allocation whose connection a ConnectionBind names.
    pub(super) fn allocation_of(&self, message: &Message<'_>) -> Option<Id> {
        let number = request::connection_id(message).ok()?;
        self.connections.get(&number).map(|connection| connection.allocation)
    }

    /// Where the nonce of a ConnectionBind may come from beside its own address: the connection that carries the
    /// allocation's requests. Clients such as coturn's do not ask for a second one.
    fn nonce_of(&self, number: &Result<ConnectionId, Refusal>, answer: &Answer) -> SocketAddr {
        let connection = number.as_ref().ok().and_then(|number| self.connections.get(number));
        let allocation = connection.and_then(|connection| self.table.get(connection.allocation));
        allocation.map_or(answer.path.client, |allocation| allocation.path.client)
    }

    /// The connection that a client means may be another server's.
    fn elsewhere_connection(&self, number: ConnectionId, path: &Path) -> Option<Claim> {
        let is_free = path.transport.is_stream() && !self.is_taken(path);
        let may_be = !self.alone && is_free && !self.connections.contains_key(&number);
        may_be.then_some(Claim::Connection(number))
    }

    /// The connection waits, and is that of this client, who comes where its allocation's requests come, by another
    /// connection than those.
    fn may_bind(&self, number: ConnectionId, path: &Path, proven: &Proven) -> Result<(), Refusal> {
        let waits = |one: &&PeerConnection| matches!(one.stage, Stage::Waiting);
        let connection = self.connections.get(&number).filter(waits).ok_or(Refusal::BadRequest)?;
        let allocation = self.table.get(connection.allocation).ok_or(Refusal::BadRequest)?;
        if !path.transport.is_stream() || self.has_allocation(path) || allocation.path.server != path.server {
            return Err(Refusal::BadRequest);
        }
        let same =
            allocation.owner == proven.owner && is_same_session(allocation.lease.as_ref(), proven.lease.as_ref());
        if same { Ok(()) } else { Err(Refusal::WrongCredentials) }
    }

    /// A connection has taken its time: to reach the peer, or to be bound.
    pub(super) fn connection_due(&mut self, number: ConnectionId, at: Time) {
        let connection = self.connections.get_mut(&number).filter(|one| one.due == at);
        match connection.map(|one| std::mem::replace(&mut one.stage, Stage::Bound)) {
            None | Some(Stage::Bound) => {}
            Some(Stage::Waiting) => self.close_connection(number, true),
            Some(Stage::Connecting(answer)) => {
                self.actions.push_back(Action::CloseConnection { connection: number });
                self.unreached(number, &answer);
            }
        }
    }

    /// Closes the connections of an allocation that has ended.
    pub(super) fn close_connections(&mut self, allocation: &Allocation) {
        for number in allocation.connections.iter().flatten() {
            let waits = self.connections.get(number).is_some_and(|one| matches!(one.stage, Stage::Waiting));
            self.close_connection(*number, waits);
        }
    }

    fn close_connection(&mut self, number: ConnectionId, waits: bool) {
        if waits {
            self.actions.push_back(Action::RemoveClaim { claim: Claim::Connection(number) });
        }
        self.actions.push_back(Action::CloseConnection { connection: number });
        self.forget_connection(number);
    }

    /// A connection is no more.
    pub(super) fn forget_connection(&mut self, number: ConnectionId) {
        let Some(gone) = self.connections.remove(&number) else { return };
        if let Some(all) = self.table.get_mut(gone.allocation).and_then(|a| a.connections.as_mut()) {
            all.retain(|one| *one != number);
        }
        self.share_bandwidth(gone.allocation);
        self.thin_timers();
    }

    /// The bound connections of an allocation share its bandwidth evenly.
    fn share_bandwidth(&mut self, id: Id) {
        let Some(allocation) = self.table.get(id).filter(|allocation| allocation.bandwidth > 0) else { return };
        let Some(all) = &allocation.connections else { return };
        let is_bound =
            |one: &&ConnectionId| self.connections.get(one).is_some_and(|one| matches!(one.stage, Stage::Bound));
        let bound: Vec<ConnectionId> = all.iter().filter(is_bound).copied().collect();
        let rate = allocation.bandwidth / bound.len().max(1) as u64;
        self.actions.extend(bound.into_iter().map(|connection| Action::Pace { connection, rate: rate.max(1) }));
    }
}
