//! Quotas and rates per user, source address and server.

use super::types::Time;
use crate::auth::Owner;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

/// How many allocations who may have; zero means any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quotas {
    /// One user.
    pub user: u32,
    /// One source address.
    pub source: u32,
    /// All together.
    pub total: u32,
}

/// How many allocations a realm may have; zero means any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// One user.
    pub user: u32,
    /// All its users together.
    pub total: u32,
}

/// A realm, and who is charged in it.
type User = (Arc<str>, Arc<str>);

/// Who has how many allocations. One ledger for all workers, looked at when an allocation begins or
/// ends and at no other time.
#[derive(Debug)]
pub struct Ledger {
    quotas: Quotas,
    /// What those realms may have that are not the default one.
    shares: HashMap<Arc<str>, Share>,
    realms: HashMap<Arc<str>, u32>,
    users: HashMap<User, u32>,
    sources: HashMap<u128, u32>,
    total: u32,
}

impl Ledger {
    /// Nobody has anything.
    #[must_use]
    pub fn new(quotas: Quotas) -> Self {
        Self {
            quotas,
            shares: HashMap::new(),
            realms: HashMap::new(),
            users: HashMap::new(),
            sources: HashMap::new(),
            total: 0,
        }
    }

    /// Beside what all may have together, these realms have limits of their own.
    #[must_use]
    pub fn with_shares(self, shares: impl IntoIterator<Item = (Arc<str>, Share)>) -> Self {
        Self { shares: shares.into_iter().collect(), ..self }
    }

    /// Counts one more allocation if every quota allows it.
    pub fn charge(&mut self, owner: &Owner, source: IpAddr) -> bool {
        let source = network(source);
        let within = |count: u32, quota: u32| quota == 0 || count < quota;
        let share = self.shares.get(&owner.realm).copied();
        let share = share.unwrap_or(Share { user: self.quotas.user, total: 0 });
        let realm = self.realms.get(&owner.realm).copied().unwrap_or(0);
        let user = self.users.get(&charged(owner)).copied().unwrap_or(0);
        let from = self.sources.get(&source).copied().unwrap_or(0);
        let of_realm = within(user, share.user) && within(realm, share.total);
        let granted = of_realm && within(from, self.quotas.source) && within(self.total, self.quotas.total);
        if granted {
            *self.users.entry(charged(owner)).or_default() += 1;
            *self.realms.entry(Arc::clone(&owner.realm)).or_default() += 1;
            *self.sources.entry(source).or_default() += 1;
            self.total += 1;
        }
        granted
    }

    /// Counts one less; who has none left is forgotten.
    pub fn release(&mut self, owner: &Owner, source: IpAddr) {
        decrement(&mut self.users, &charged(owner));
        decrement(&mut self.realms, &owner.realm);
        decrement(&mut self.sources, &network(source));
        self.total = self.total.saturating_sub(1);
    }

    /// Allocations in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }
}

/// Whose quota is charged.
fn charged(owner: &Owner) -> User {
    (Arc::clone(&owner.realm), Arc::clone(&owner.quota))
}

/// Takes one away, and the entry when nothing is left.
fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Source addresses that are told apart at a time. The table never grows.
const SOURCES: usize = 4096;
/// A burst is what a second allows, twice.
const BURST_SECONDS: u64 = 2;

/// Unauthenticated work per source address: a table of fixed size.
///
/// Two sources that share a place share its budget; the seed of the hash is secret, so nobody can choose
/// whose place to share.
#[derive(Debug)]
pub struct Sources {
    /// Milliseconds that one answer costs, times 1024; zero means no limit.
    cost: u64,
    /// Until when each place has used up its rate, in milliseconds times 1024.
    busy: Vec<u64>,
    seed: foldhash::quality::RandomState,
}

impl Sources {
    /// Allows `rate` answers each second to each source; zero means any number.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let cost = if rate == 0 { 0 } else { 1000 * 1024 / u64::from(rate) };
        Self { cost, busy: vec![0; SOURCES], seed: foldhash::quality::RandomState::default() }
    }

    /// This source has had enough for now.
    #[must_use]
    pub fn exhausted(&self, source: IpAddr, now: Time) -> bool {
        let until = self.busy[self.place(source)].max(now.0 << 10) + self.cost;
        until > (now.0 << 10) + BURST_SECONDS * 1000 * 1024
    }

    /// Counts one answer to this source; false if it has had enough.
    pub fn admit(&mut self, source: IpAddr, now: Time) -> bool {
        let place = self.place(source);
        let (now, busy) = (now.0 << 10, &mut self.busy[place]);
        let until = (*busy).max(now) + self.cost;
        let admitted = until <= now + BURST_SECONDS * 1000 * 1024;
        if admitted {
            *busy = until;
        }
        admitted
    }

    /// The place of a source in the table.
    fn place(&self, source: IpAddr) -> usize {
        self.seed.hash_one(network(source)) as usize % SOURCES
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, in which one client has all addresses.
#[must_use]
pub fn network(source: IpAddr) -> u128 {
    match source {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64 | 1,
    }
}

/// A token bucket: `rate` bytes each second, and a second's worth at once.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: u64,
    filled: Time,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: u64, now: Time) -> Self {
        Self { tokens: rate, filled: now }
    }

    /// Takes `bytes` if they are there.
    pub fn take(&mut self, bytes: usize, rate: u64, now: Time) -> bool {
        let earned = (now.0 - self.filled.0.min(now.0)).min(1000).saturating_mul(rate) / 1000;
        if earned > 0 {
            self.tokens = (self.tokens + earned).min(rate);
            self.filled = now;
        }
        let enough = self.tokens >= bytes as u64;
        if enough {
            self.tokens -= bytes as u64;
        }
        enough
    }
}
