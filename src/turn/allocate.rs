//! Allocate and Refresh (RFC 8656 §7, §8).
//!
//! An Allocate request is judged at once; what it needs of the world (a quota, sockets) is asked for with
//! actions, and an [`Opening`] remembers it until the answers have come.

use super::exchange::{Action, Notice, OpenError, Ticket};
use super::lease::{Lease, Proven, within};
use super::limits::Bucket;
use super::ports::{Search, Want};
use super::relay::ICMP_RATE;
use super::reply::{Answer, Refusal};
use super::request::{self, Families, grant_lifetime};
use super::small::SmallMap;
use super::table::{Allocation, Id, Relay, index};
use super::types::{Now, Path, Protocol, RelayId, Time, Token};
use super::{Due, Options, Outcome, Server};
use crate::auth::Owner;
use crate::auth::peers::is_tunnel;
use crate::wire::address::Family;
use crate::wire::{Code, Message, Writer, attribute, value};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a response is remembered for retransmissions of its request (RFC 8489 §6.3.1).
const RETRANSMISSIONS: Duration = Duration::from_secs(40);
/// How long a reserved port waits for its Allocate request (RFC 8656 §7.2: at least 30 seconds).
const RESERVATION: Duration = Duration::from_secs(30);

/// An Allocate request that waits for its quota and its sockets.
#[derive(Debug)]
pub(super) struct Opening {
    answer: Answer,
    owner: Owner,
    lease: Option<Lease>,
    request: request::Allocate,
    origin: Option<Box<[u8]>>,
    /// Families still to be opened, the next one last.
    todo: Vec<Family>,
    attempt: Option<Attempt>,
    /// The place for a reserved socket that was asked for.
    withdrawal: Option<RelayId>,
    relays: [Option<(RelayId, SocketAddr)>; 2],
    /// A family of a dual request that could not be had, and why.
    missing: Option<(Family, Code)>,
    successor: Option<(RelayId, SocketAddr)>,
    /// The client went away meanwhile.
    gone: bool,
}

/// A port that is being tried.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    family: Family,
    ip: IpAddr,
    search: Search,
    relay: RelayId,
    port: u16,
    /// The port after it is being tried, for a pair.
    successor: Option<RelayId>,
}

impl Opening {
    /// The kind of port that is wanted.
    fn want(&self) -> Want {
        match self.request.even {
            None => Want::Any,
            Some(even) if even.reserve => Want::Pair,
            Some(_) => Want::Even,
        }
    }
}

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
        let Proven { owner, lease } = self.authenticate(now, message, answer)?;
        if let Some(id) = self.live(now.time, &answer.path) {
            return self.repeat(now.time, id, &owner, answer, out);
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
        let (todo, missing) = self.families(&request, &answer.path)?;
        let ticket = Ticket(self.openings.vacant_key() as u32);
        self.actions.push_back(Action::Charge { ticket, owner: owner.clone(), source: answer.path.client.ip() });
        self.openings.insert(Opening {
            answer: answer.clone(),
            owner,
            lease,
            request,
            origin: self.pinned_origin(message),
            todo,
            attempt: None,
            withdrawal: None,
            relays: [None; 2],
            missing,
            successor: None,
            gone: false,
        });
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

    /// An Allocate request of this 5-tuple waits.
    pub(super) fn is_opening(&self, path: &Path) -> bool {
        self.openings.iter().any(|(_, opening)| opening.answer.path == *path)
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

    /// The families to open, the first one last, and the one of a dual request that is not offered.
    #[expect(clippy::type_complexity, reason = "two answers to one question, used once")]
    fn families(
        &self,
        request: &request::Allocate,
        path: &Path,
    ) -> Result<(Vec<Family>, Option<(Family, Code)>), Refusal> {
        let options = &self.setup.options;
        let offered = |family: &Family| options.addresses.offers(*family, path);
        let wanted = match request.families {
            _ if request.token.is_some() => return Ok((Vec::new(), None)),
            Families::Default => vec![options.default_family.for_client(path)],
            Families::One(family) => vec![family],
            Families::Both => vec![Family::V6, Family::V4],
        };
        let missing = wanted.iter().copied().find(|family| !offered(family));
        let todo: Vec<Family> = wanted.into_iter().filter(offered).collect();
        if todo.is_empty() { Err(Refusal::Family) } else { Ok((todo, missing.map(|f| (f, Code::FAMILY_UNSUPPORTED)))) }
    }

    /// The quota has been asked.
    pub(super) fn charged(&mut self, now: Time, ticket: Ticket, granted: bool) {
        let Some(opening) = self.openings.get(ticket.0 as usize) else { return };
        if !granted {
            let opening = self.openings.remove(ticket.0 as usize);
            return self.refuse_later(&opening, &Refusal::Quota);
        }
        match opening.request.token {
            Some(token) => {
                let owner = opening.owner.clone();
                let relay = self.table.reserve();
                self.openings[ticket.0 as usize].withdrawal = Some(relay);
                self.actions.push_back(Action::Withdraw { ticket, relay, token, owner });
            }
            None => self.open_next(now, ticket),
        }
    }

    /// A reserved socket was asked for.
    pub(super) fn withdrawn(&mut self, now: Time, ticket: Ticket, addr: Option<SocketAddr>) {
        let Some(opening) = self.openings.get_mut(ticket.0 as usize) else { return };
        let Some(relay) = opening.withdrawal.take() else { return };
        match (addr, opening.request.token) {
            (Some(addr), Some(token)) => {
                opening.relays[index(Family::of(addr.ip()))] = Some((relay, addr));
                self.deposits.remove(&token);
                self.ports.take(addr.ip(), addr.port());
            }
            _ => self.table.free(relay),
        }
        self.finish(now, ticket);
    }

    /// Opens the next family, or finishes.
    fn open_next(&mut self, now: Time, ticket: Ticket) {
        let Some(opening) = self.openings.get_mut(ticket.0 as usize) else { return };
        let Some(family) = opening.todo.pop() else { return self.finish(now, ticket) };
        let (path, want) = (opening.answer.path, opening.want());
        let Some(ip) = self.setup.options.addresses.pick(family, &path, &mut self.random) else {
            return self.family_failed(now, ticket, family);
        };
        let search = self.ports.search(want, &mut self.random);
        self.try_port(now, ticket, family, ip, search);
    }

    /// Proposes a port.
    fn try_port(&mut self, now: Time, ticket: Ticket, family: Family, ip: IpAddr, mut search: Search) {
        let Some(port) = self.ports.propose(ip, &mut search, now) else {
            return self.family_failed(now, ticket, family);
        };
        let Some(protocol) = self.openings.get(ticket.0 as usize).map(|opening| opening.request.protocol) else {
            return;
        };
        let relay = self.table.reserve();
        self.actions.push_back(Action::OpenRelay { ticket, relay, addr: SocketAddr::new(ip, port), protocol });
        self.set_attempt(ticket, Attempt { family, ip, search, relay, port, successor: None });
    }

    /// Remembers what is being tried.
    fn set_attempt(&mut self, ticket: Ticket, attempt: Attempt) {
        if let Some(opening) = self.openings.get_mut(ticket.0 as usize) {
            opening.attempt = Some(attempt);
        }
    }

    /// A relay socket was asked for.
    pub(super) fn relay_opened(&mut self, now: Time, ticket: Ticket, result: Result<(), OpenError>) {
        let Some(opening) = self.openings.get_mut(ticket.0 as usize) else { return };
        let Some(attempt) = opening.attempt.take() else { return };
        match result {
            Ok(()) => self.port_opened(now, ticket, attempt),
            Err(error) => self.port_failed(now, ticket, attempt, error),
        }
    }

    /// A port was bound. A pair needs its successor too.
    fn port_opened(&mut self, now: Time, ticket: Ticket, attempt: Attempt) {
        let Some(opening) = self.openings.get_mut(ticket.0 as usize) else { return };
        let successor = SocketAddr::new(attempt.ip, attempt.port.wrapping_add(1));
        if opening.want() == Want::Pair && attempt.successor.is_none() {
            let relay = self.table.reserve();
            self.actions.push_back(Action::OpenRelay { ticket, relay, addr: successor, protocol: Protocol::Udp });
            return self.set_attempt(ticket, Attempt { successor: Some(relay), ..attempt });
        }
        opening.successor = attempt.successor.map(|relay| (relay, successor));
        let addr = SocketAddr::new(attempt.ip, attempt.port);
        opening.relays[index(attempt.family)] = Some((attempt.relay, addr));
        self.open_next(now, ticket);
    }

    /// A port could not be bound. If somebody has it, another is tried.
    fn port_failed(&mut self, now: Time, ticket: Ticket, attempt: Attempt, error: OpenError) {
        let addr = SocketAddr::new(attempt.ip, attempt.port);
        self.table.free(attempt.relay);
        self.ports.give_back(addr);
        if let Some(successor) = attempt.successor {
            self.actions.push_back(Action::CloseRelay { relay: attempt.relay });
            self.table.free(successor);
        }
        if attempt.search.wants_pair() {
            self.ports.give_back(SocketAddr::new(attempt.ip, attempt.port.wrapping_add(1)));
        }
        match error {
            OpenError::InUse => self.try_port(now, ticket, attempt.family, attempt.ip, attempt.search),
            OpenError::Exhausted | OpenError::Unavailable => self.family_failed(now, ticket, attempt.family),
        }
    }

    /// A family cannot be had now; the other one may still.
    fn family_failed(&mut self, now: Time, ticket: Ticket, family: Family) {
        if let Some(opening) = self.openings.get_mut(ticket.0 as usize) {
            opening.missing = Some((family, Code::INSUFFICIENT_CAPACITY));
        }
        self.open_next(now, ticket);
    }

    /// Everything that could be had is there: an allocation, or a refusal.
    fn finish(&mut self, now: Time, ticket: Ticket) {
        let Some(opening) = self.openings.try_remove(ticket.0 as usize) else { return };
        if opening.gone || opening.relays.iter().all(Option::is_none) {
            self.abandon(now, &opening);
            return self.refuse_later(&opening, &Refusal::Capacity);
        }
        let token = opening.successor.map(|successor| self.reserve(now, successor, &opening.owner));
        let id = self.install(now, &opening, token);
        let (Some(allocation), path) = (self.table.get(id), opening.answer.path) else { return };
        let mut message = Vec::new();
        granted(&self.setup.options, now, allocation, &opening.answer, &mut message);
        let relayed = allocation.relays.map(|relay| relay.map(|r| r.public));
        self.counters.successes += 1;
        self.actions.push_back(Action::Send { path, message });
        self.actions.push_back(Action::Tell(Notice::Made { path, owner: opening.owner, relayed }));
    }

    /// Adds the allocation of an opening to the table.
    fn install(&mut self, now: Time, opening: &Opening, token: Option<Token>) -> Id {
        let options = &self.setup.options;
        let lifetime = grant_lifetime(opening.request.lifetime, options.lifetime);
        let expires = now.after(within(opening.lease.as_ref(), now, lifetime));
        let relay = |(id, local): (RelayId, SocketAddr)| {
            let public = SocketAddr::new(options.addresses.public(local.ip()), local.port());
            Relay { id, local, public, expires }
        };
        let id = self.table.insert(Allocation {
            path: opening.answer.path,
            attached: true,
            source: opening.answer.path.client.ip(),
            mobility: None,
            realm: opening.answer.realm,
            bandwidth: narrower(self.domain(opening.answer.realm).realm.bandwidth, opening.request.bandwidth),
            origin: opening.origin.clone(),
            owner: opening.owner.clone(),
            lease: opening.lease.clone(),
            transaction: *opening.answer.transaction(),
            made: now,
            token,
            missing: opening.missing,
            relays: opening.relays.map(|r| r.map(relay)),
            permissions: SmallMap::default(),
            connections: (opening.request.protocol == Protocol::Tcp).then(Vec::new),
            channels: SmallMap::default(),
            numbers: SmallMap::default(),
            buckets: None,
            icmp: Bucket::new(ICMP_RATE, now),
            armed: Time(u64::MAX),
        });
        self.arm(id, expires);
        if opening.request.mobile {
            self.make_mobile(id);
        }
        id
    }

    /// Deposits the successor of a pair for whoever of the same user shows the token.
    fn reserve(&mut self, now: Time, (relay, addr): (RelayId, SocketAddr), owner: &Owner) -> Token {
        let token = self.random.bytes();
        self.actions.push_back(Action::Deposit { relay, token, owner: owner.clone() });
        self.table.free(relay);
        self.deposits.insert(token, addr);
        self.timers.set(now.after(RESERVATION), Due::Token(token));
        token
    }

    /// Gives back what an opening holds.
    fn abandon(&mut self, now: Time, opening: &Opening) {
        let source = opening.answer.path.client.ip();
        self.actions.push_back(Action::Release { owner: opening.owner.clone(), source });
        for (relay, addr) in opening.relays.iter().flatten().chain(&opening.successor) {
            self.actions.push_back(Action::CloseRelay { relay: *relay });
            self.table.free(*relay);
            self.ports.rest(*addr, now);
        }
    }

    /// Refuses a request that has waited.
    fn refuse_later(&mut self, opening: &Opening, refusal: &Refusal) {
        let (path, mut message) = (opening.answer.path, Vec::new());
        opening.answer.refuse(&self.setup.options, &mut message, refusal, None);
        self.counters.errors += 1;
        self.actions.push_back(Action::Send { path, message });
    }

    /// The client of these openings went away.
    pub(super) fn openings_closed(&mut self, path: &Path) {
        for (_, opening) in &mut self.openings {
            opening.gone |= opening.answer.path == *path;
        }
    }

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

/// Writes the success response of Allocate (RFC 8656 §7.2).
fn granted(options: &Options, now: Time, allocation: &Allocation, answer: &Answer, out: &mut Vec<u8>) {
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

/// The lower of two bandwidths, of which zero means any number.
fn narrower(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}

/// ADDRESS-ERROR-CODE: which family could not be had, and why (RFC 8656 §18.12).
fn put_missing(writer: &mut Writer<'_>, family: Family, code: Code) {
    let [class, number] = code.class_and_number();
    writer.attribute(attribute::ADDRESS_ERROR_CODE, &[family as u8, 0, class, number]);
}

/// Whole seconds of a lifetime.
fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}
