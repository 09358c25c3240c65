//! The opening of an allocation (RFC 8656 §7.2): what an Allocate request needs of the world, a quota and sockets, is asked
//! for with actions, and remembered until the answers have come.

use super::allocate::granted;
use super::exchange::{Action, Notice, OpenError, Ticket};
use super::lease::{Lease, Proven, within};
use super::limits::Bucket;
use super::ports::{Search, Want};
use super::relay::ICMP_RATE;
use super::reply::{Answer, Refusal};
use super::request::{self, grant_lifetime};
use super::small::SmallMap;
use super::table::{Allocation, Id, Relay, index};
use super::types::{Path, Protocol, RelayId, Time, Token};
use super::{Due, Server};
use crate::auth::Owner;
use crate::wire::Code;
use crate::wire::address::Family;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

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
    wanted: Wanted,
    attempt: Option<Attempt>,
    /// The place for a reserved socket that was asked for.
    withdrawal: Option<RelayId>,
    relays: [Option<(RelayId, SocketAddr)>; 2],
    successor: Option<(RelayId, SocketAddr)>,
    /// The client went away meanwhile.
    gone: bool,
}

/// The families of an Allocate request.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Those still to be opened, the next one last.
    pub(super) todo: Vec<Family>,
    /// One of a dual request that cannot be had, and why.
    pub(super) missing: Option<(Family, Code)>,
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
    /// A request of which nothing is open yet.
    pub(super) fn new(
        answer: Answer,
        Proven { owner, lease }: Proven,
        request: request::Allocate,
        wanted: Wanted,
        origin: Option<Box<[u8]>>,
    ) -> Self {
        Self {
            answer,
            owner,
            lease,
            request,
            origin,
            wanted,
            attempt: None,
            withdrawal: None,
            relays: [None; 2],
            successor: None,
            gone: false,
        }
    }

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
    /// An Allocate request of this 5-tuple waits.
    pub(super) fn is_opening(&self, path: &Path) -> bool {
        self.openings.iter().any(|(_, opening)| opening.answer.path == *path)
    }

    /// Begins with what may be granted: asks for its quota.
    pub(super) fn begin_opening(&mut self, opening: Opening) {
        let ticket = Ticket(self.openings.vacant_key() as u32);
        let (owner, source) = (opening.owner.clone(), opening.answer.path.client.ip());
        self.actions.push_back(Action::Charge { ticket, owner, source });
        self.openings.insert(opening);
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
        let Some(family) = opening.wanted.todo.pop() else { return self.finish(now, ticket) };
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
            opening.wanted.missing = Some((family, Code::INSUFFICIENT_CAPACITY));
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
            missing: opening.wanted.missing,
            relays: opening.relays.map(|r| r.map(relay)),
            permissions: SmallMap::default(),
            connections: (opening.request.protocol == Protocol::Tcp).then(Vec::new),
            channels: SmallMap::default(),
            numbers: SmallMap::default(),
            buckets: None,
            counts: Default::default(),
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
}

/// The lower of two bandwidths, of which zero means any number.
fn narrower(one: u64, other: u64) -> u64 {
    if one == 0 || other == 0 { one.max(other) } else { one.min(other) }
}
