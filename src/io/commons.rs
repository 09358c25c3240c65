//! What all workers share: looked at when something begins or ends, never for a packet.

use super::dtls;
use super::http::Web;
use super::mail::{Mail, MailBox};
use crate::dataplane::xdp::Kernel;
use crate::turn::limits::{Ledger, Sources, network};
use crate::turn::{Claim, Counters, Owner, Reason, Server, Time, Token, Transport};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all workers.
#[derive(Debug)]
pub struct Commons {
    ledger: Mutex<Ledger>,
    deposits: Mutex<HashMap<Token, Deposit>>,
    /// Which worker has what clients may claim on any of them.
    claims: Mutex<HashMap<Claim, usize>>,
    connections: Mutex<Connections>,
    handshakes: Mutex<Sources>,
    source_handshakes: u32,
    /// Connections and handshakes that a limit has refused.
    refused: AtomicU64,
    kernel: Option<Kernel>,
    web: Web,
    dtls: Option<Arc<dtls::Acceptor>>,
    workers: Mutex<Vec<Member>>,
}

/// A worker, as the others see it.
#[derive(Debug)]
struct Member {
    counters: Counters,
    allocations: ByTransport,
    mail: Arc<MailBox>,
}

/// A number for each of [`Transport::ALL`].
pub type ByTransport = [usize; Transport::ALL.len()];

/// How many connections and handshakes there may be; zero means any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Connections of stream clients and sessions of DTLS.
    pub connections: u32,
    /// Those of one source.
    pub source_connections: u32,
    /// Handshakes of one source in a second: each costs a worker about a millisecond of signing.
    pub source_handshakes: u32,
}

/// A bound socket that waits for whoever shows its token.
#[derive(Debug)]
pub(crate) struct Deposit {
    pub(crate) owner: Owner,
    pub(crate) socket: UdpSocket,
    pub(crate) addr: SocketAddr,
}

/// How many connections stream clients have, and sessions those under DTLS.
#[derive(Debug)]
struct Connections {
    limits: Limits,
    total: u32,
    sources: HashMap<u128, u32>,
}

impl Commons {
    /// Nothing is taken yet.
    #[must_use]
    pub fn new(ledger: Ledger, limits: Limits, kernel: Option<Kernel>) -> Self {
        let connections = Connections { limits, total: 0, sources: HashMap::new() };
        Self {
            source_handshakes: limits.source_handshakes,
            refused: AtomicU64::new(0),
            ledger: Mutex::new(ledger),
            deposits: Mutex::default(),
            claims: Mutex::default(),
            connections: Mutex::new(connections),
            handshakes: Mutex::new(Sources::new(limits.source_handshakes)),
            kernel,
            web: Web::default(),
            dtls: None,
            workers: Mutex::default(),
        }
    }

    /// Serves this by HTTP.
    #[must_use]
    pub fn with_web(self, web: Web) -> Self {
        Self { web, ..self }
    }

    /// Serves DTLS, where a listener does.
    #[must_use]
    pub fn with_dtls(self, dtls: Option<Arc<dtls::Acceptor>>) -> Self {
        Self { dtls, ..self }
    }

    /// What begins sessions of DTLS, if there is something.
    pub(crate) fn dtls(&self) -> Option<&Arc<dtls::Acceptor>> {
        self.dtls.as_ref()
    }

    /// What is served by HTTP.
    pub(crate) fn web(&self) -> &Web {
        &self.web
    }

    /// The kernel path, if there is one.
    #[must_use]
    pub fn kernel(&self) -> Option<&Kernel> {
        self.kernel.as_ref()
    }

    /// The place of one more worker with this letter box.
    pub(crate) fn enter(&self, mail: Arc<MailBox>) -> usize {
        let mut all = lock(&self.workers);
        all.push(Member { counters: Counters::default(), allocations: ByTransport::default(), mail });
        all.len() - 1
    }

    /// Sends a letter to a worker; false if it is lost.
    pub(crate) fn post(&self, worker: usize, letter: Mail) -> bool {
        let to = lock(&self.workers).get(worker).map(|member| Arc::clone(&member.mail));
        to.is_some_and(|mail| mail.post(letter))
    }

    /// Leaves the numbers of a worker's server for whoever wants to know.
    pub(crate) fn publish(&self, worker: usize, server: &Server) {
        if let Some(member) = lock(&self.workers).get_mut(worker) {
            member.counters.clone_from(server.counters());
            member.allocations = server.allocations_by_transport();
        }
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        lock(&self.workers).len()
    }

    /// How many allocations clients of each transport have, as of the last quarter of a second.
    #[must_use]
    pub fn allocations(&self) -> ByTransport {
        let mut sum = ByTransport::default();
        for member in lock(&self.workers).iter() {
            sum.iter_mut().zip(member.allocations).for_each(|(sum, count)| *sum += count);
        }
        sum
    }

    /// How many connections stream clients have, and sessions those under DTLS.
    #[must_use]
    pub fn connections(&self) -> u32 {
        lock(&self.connections).total
    }

    /// What all workers have counted, as of the last quarter of a second.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        lock(&self.workers).iter().for_each(|member| sum.add(&member.counters));
        sum.drops[Reason::SourceRate as usize] += self.refused.load(Ordering::Relaxed);
        sum
    }

    /// Who has how many allocations.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Keeps a socket for whoever shows the token.
    pub(crate) fn deposit(&self, token: Token, deposit: Deposit) {
        lock(&self.deposits).insert(token, deposit);
    }

    /// Hands out a socket to its owner.
    pub(crate) fn withdraw(&self, token: &Token, owner: &Owner) -> Option<Deposit> {
        let mut deposits = lock(&self.deposits);
        if deposits.get(token)?.owner == *owner { deposits.remove(token) } else { None }
    }

    /// A worker has what clients may claim.
    pub(crate) fn add_claim(&self, claim: Claim, worker: usize) {
        lock(&self.claims).insert(claim, worker);
    }

    /// Nobody has it any more.
    pub(crate) fn remove_claim(&self, claim: Claim) {
        lock(&self.claims).remove(&claim);
    }

    /// The worker that has what a client claims.
    pub(crate) fn claimed(&self, claim: Claim) -> Option<usize> {
        lock(&self.claims).get(&claim).copied()
    }

    /// Closes a socket that nobody took.
    pub(crate) fn forget(&self, token: &Token) {
        lock(&self.deposits).remove(token);
    }

    /// Counts one more connection, if there may be one. Whose it is, is told by [`Commons::attribute`].
    pub(crate) fn connect(&self) -> Result<(), Reason> {
        let mut all = lock(&self.connections);
        if all.limits.connections != 0 && all.total >= all.limits.connections {
            return Err(self.refuse());
        }
        all.total += 1;
        Ok(())
    }

    /// Counts a connection as one of this address, if it may have one more.
    pub(crate) fn attribute(&self, source: IpAddr) -> Result<(), Reason> {
        let mut all = lock(&self.connections);
        let (source, limit) = (network(source), all.limits.source_connections);
        let count = all.sources.entry(source).or_default();
        if limit != 0 && *count >= limit {
            return Err(self.refuse());
        }
        *count += 1;
        Ok(())
    }

    /// A source that has begun so many handshakes and not finished them may begin another: in all, as many as in a second.
    pub(crate) fn may_be_unfinished(&self, handshakes: usize) -> bool {
        let may = self.source_handshakes == 0 || handshakes < self.source_handshakes as usize;
        if !may {
            self.refuse();
        }
        may
    }

    /// Counts one handshake of this address; false if it has had enough.
    pub(crate) fn admit_handshake(&self, source: IpAddr, now: Time) -> bool {
        let admitted = lock(&self.handshakes).admit(source, now);
        if !admitted {
            self.refuse();
        }
        admitted
    }

    /// Counts a connection or a handshake that is not served.
    fn refuse(&self) -> Reason {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Reason::SourceRate
    }

    /// Counts one connection less, and one less of this address if it was known whose it is.
    pub(crate) fn disconnect(&self, source: Option<IpAddr>) {
        let mut all = lock(&self.connections);
        all.total = all.total.saturating_sub(1);
        let Some(source) = source.map(network) else { return };
        if let Some(count) = all.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                all.sources.remove(&source);
            }
        }
    }
}

/// Locks; what a panicking thread left behind is counts, which are as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
