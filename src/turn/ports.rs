//! Which relay ports are free: unpredictable, any range, several addresses; pairs, and a rest after use.
//!
//! A worker knows only what it took itself. What other workers and other programs hold is found by
//! binding: the core proposes, the kernel decides, and the core proposes again.

use super::random::Random;
use super::types::Time;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many ports are proposed for one request before it is refused: in a range that other workers
/// have filled, each costs a system call.
const PROPOSALS: u32 = 64;
/// How long a port rests after use, so that late packets for its last owner find nobody (RFC 8656 §9:
/// a permission lasts five minutes). When no other is left, the longest-rested one is taken earlier.
const REST: Duration = Duration::from_secs(300);

/// The kind of port that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one whose successor is free too.
    Pair,
}

/// A search for a port: where it began and how far it went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    want: Want,
    next: u16,
    left: u32,
}

impl Search {
    /// The port after the proposed one is taken too.
    #[must_use]
    pub(super) fn wants_pair(&self) -> bool {
        self.want == Want::Pair
    }
}

/// The ports of every relay address.
#[derive(Debug)]
pub(super) struct Ports {
    range: RangeInclusive<u16>,
    taken: Vec<(IpAddr, Bits)>,
    resting: VecDeque<(Time, SocketAddr)>,
}

impl Ports {
    /// Every port of the range is free.
    #[must_use]
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, taken: Vec::new(), resting: VecDeque::new() }
    }

    /// Begins a search at a random port.
    pub(super) fn search(&self, want: Want, random: &mut Random) -> Search {
        let next = self.range.start() + random.below(self.width()) as u16;
        Search { want, next, left: PROPOSALS }
    }

    /// Takes the next port of a search that nobody here holds.
    pub(super) fn propose(&mut self, ip: IpAddr, search: &mut Search, now: Time) -> Option<u16> {
        if search.left == 0 {
            return None;
        }
        search.left -= 1;
        self.wake(now);
        let port = self.find(ip, search).or_else(|| self.find_tired(ip, search))?;
        search.next = self.after(port);
        self.take(ip, port);
        if search.want == Want::Pair {
            self.take(ip, port + 1);
        }
        Some(port)
    }

    /// Gives back a port that could not be bound: it is somebody else's, so it need not rest.
    pub(super) fn give_back(&mut self, addr: SocketAddr) {
        self.bits(addr.ip()).set(addr.port(), false);
    }

    /// Gives back a port after use.
    pub(super) fn rest(&mut self, addr: SocketAddr, now: Time) {
        self.resting.push_back((now.after(REST), addr));
    }

    /// Marks a port as held: one that was deposited by another worker comes so.
    pub(super) fn take(&mut self, ip: IpAddr, port: u16) {
        self.bits(ip).set(port, true);
    }

    /// Frees the ports that have rested long enough.
    fn wake(&mut self, now: Time) {
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            self.wake_one();
        }
    }

    /// Frees the port that has rested longest.
    fn wake_one(&mut self) -> Option<SocketAddr> {
        let (_, addr) = self.resting.pop_front()?;
        self.give_back(addr);
        Some(addr)
    }

    /// The first free port from the search's place onward, wrapping round the range once.
    fn find(&mut self, ip: IpAddr, search: &Search) -> Option<u16> {
        let range = self.range.clone();
        let bits = self.bits(ip);
        let mut ports = (search.next..=*range.end()).chain(*range.start()..search.next);
        ports.find(|port| fits(bits, &range, search.want, *port))
    }

    /// Frees resting ports, longest-rested first, until one fits. Only the port that was just freed can have
    /// made the difference, so no other is looked at: they may be thousands.
    fn find_tired(&mut self, ip: IpAddr, search: &Search) -> Option<u16> {
        if !self.resting.iter().any(|(_, addr)| addr.ip() == ip) {
            return None;
        }
        while let Some(addr) = self.wake_one() {
            let port = if search.want == Want::Pair { addr.port() & !1 } else { addr.port() };
            let range = self.range.clone();
            if addr.ip() == ip && fits(self.bits(ip), &range, search.want, port) {
                return Some(port);
            }
        }
        None
    }

    /// The port after this one, wrapping round the range.
    fn after(&self, port: u16) -> u16 {
        if port >= *self.range.end() { *self.range.start() } else { port + 1 }
    }

    /// How many ports the range has.
    fn width(&self) -> u64 {
        u64::from(*self.range.end()) - u64::from(*self.range.start()) + 1
    }

    /// The ports of an address; addresses are the few that the server relays from.
    fn bits(&mut self, ip: IpAddr) -> &mut Bits {
        let at = self.taken.iter().position(|(known, _)| *known == ip).unwrap_or_else(|| {
            self.taken.push((ip, Bits::default()));
            self.taken.len() - 1
        });
        &mut self.taken[at].1
    }
}

/// The port is free and of the kind that is wanted.
fn fits(bits: &Bits, range: &RangeInclusive<u16>, want: Want, port: u16) -> bool {
    let free = |port: u16| range.contains(&port) && !bits.get(port);
    match want {
        Want::Any => free(port),
        Want::Even => port.is_multiple_of(2) && free(port),
        Want::Pair => port.is_multiple_of(2) && free(port) && free(port | 1),
    }
}

/// One bit for each port.
#[derive(Debug)]
struct Bits(Box<[u64; 1024]>);

impl Default for Bits {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl Bits {
    fn get(&self, port: u16) -> bool {
        self.0[usize::from(port >> 6)] >> (port & 63) & 1 == 1
    }

    fn set(&mut self, port: u16, taken: bool) {
        let (word, bit) = (usize::from(port >> 6), 1 << (port & 63));
        if taken { self.0[word] |= bit } else { self.0[word] &= !bit }
    }
}
