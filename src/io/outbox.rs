//! Head + body + padding, gathered by socket and sent in batches.

use super::sys::{Courier, Inbox, Parcel};
use crate::turn::{Head, Reason};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

/// Where a datagram leaves from and goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The socket.
    pub socket: RawFd,
    /// Where it goes.
    pub to: SocketAddr,
    /// The socket is connected to it.
    pub connected: bool,
    /// The local address, where the socket has several.
    pub source: Option<IpAddr>,
    /// The TOS or traffic class byte.
    pub tos: u8,
}

/// A datagram that waits for the flush.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: Address,
    head: Head,
    body: Body,
}

/// Where a payload stands.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// Still where it was received.
    Received { start: usize, len: usize },
    /// In the outbox itself.
    Copied { start: usize, len: usize },
}

/// Datagrams to send, in the order in which they were decided.
pub(crate) struct Outbox {
    entries: Vec<Entry>,
    /// For each of them its socket and destination, and its place above.
    order: Vec<(u64, u32)>,
    /// The same by socket and destination.
    sorted: Vec<Entry>,
    copies: Vec<u8>,
    courier: Courier,
    /// Turns the order of destinations with every flush: where a socket's buffer is too small for all, it is not always
    /// the same ones that go without.
    turn: u32,
    /// Flushes to come in which the kernel is not asked to divide runs of equal datagrams: a device has refused.
    undivided: u32,
}

/// Padding of a head that asks for it.
const ZEROS: [u8; 3] = [0; 3];
/// Parcels handed to the kernel at once.
const BATCH: usize = 64;
/// Datagrams in one parcel: the kernel takes 64, and 64 KiB less headers together.
const RUN: usize = 64;
/// Bytes of one parcel.
const PARCEL: usize = 65_000;
/// Flushes without division after a device has refused it; the next one may lead elsewhere.
const UNDIVIDED: u32 = 10_000;
/// What the order of destinations is turned by: odd, so that it comes round to each.
const TURN: u32 = 0x9E37_79B1;
/// The largest datagram that is joined with others: the kernel does not divide into what must be fragmented.
const DIVISIBLE: usize = 1_400;

impl Outbox {
    pub(crate) fn new() -> Self {
        let (entries, order, sorted, copies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { entries, order, sorted, copies, courier: Courier::new(BATCH), turn: 0, undivided: 0 }
    }

    /// Adds a payload that stands in the inbox and stays there until the flush.
    pub(crate) fn push_received(&mut self, address: Address, head: Head, inbox: &Inbox, body: &[u8]) {
        let body = Body::Received { start: inbox.offset(body), len: body.len() };
        self.push(address, head, body);
    }

    /// Adds a payload that is copied.
    pub(crate) fn push_copy(&mut self, address: Address, head: Head, body: &[u8]) {
        let start = self.copies.len();
        self.copies.extend_from_slice(body);
        self.push(address, head, Body::Copied { start, len: body.len() });
    }

    fn push(&mut self, address: Address, head: Head, body: Body) {
        self.order.push((group(&address, self.turn), self.entries.len() as u32));
        self.entries.push(Entry { address, head, body });
    }

    /// How many datagrams wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sends everything; tells why the system refused a datagram, for each that it did.
    pub(crate) fn flush(&mut self, inbox: &Inbox, tell: &mut dyn FnMut(Reason)) {
        // By place too, so that each flow keeps its order; a stable sort would allocate.
        self.order.sort_unstable();
        self.sorted.extend(self.order.iter().map(|(_, place)| self.entries[*place as usize]));
        let mut dispatch = Dispatch {
            courier: &mut self.courier,
            inbox,
            copies: &self.copies,
            divides: self.undivided == 0,
            refused: false,
            tell,
        };
        for run in self.sorted.chunk_by(|a, b| a.address.socket == b.address.socket) {
            dispatch.send(run);
        }
        self.undivided = if dispatch.refused { UNDIVIDED } else { self.undivided.saturating_sub(1) };
        self.turn = self.turn.wrapping_add(TURN);
        self.entries.clear();
        self.order.clear();
        self.sorted.clear();
        self.copies.clear();
    }
}

/// The same number for all datagrams that may be joined, and for those of one socket numbers side by side. Two
/// destinations may share one; then their datagrams are joined less.
fn group(address: &Address, turn: u32) -> u64 {
    /// An odd constant that spreads what it multiplies over the upper bits.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let ip = match address.to.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64,
    };
    let to = (ip << 16 ^ u64::from(address.to.port())).wrapping_mul(SPREAD) >> 32;
    (address.socket as u64) << 32 | u64::from((to as u32).wrapping_add(turn))
}

/// One flush.
struct Dispatch<'a> {
    courier: &'a mut Courier,
    inbox: &'a Inbox,
    copies: &'a [u8],
    divides: bool,
    refused: bool,
    tell: &'a mut dyn FnMut(Reason),
}

impl Dispatch<'_> {
    /// Sends the datagrams of one socket.
    fn send(&mut self, mut run: &[Entry]) {
        let mut retried = false;
        while let Some(first) = run.first() {
            let (inbox, copies, divides) = (self.inbox, self.copies, self.divides);
            let parcels = Joined { rest: run, divides }.map(|joined| parcel(joined, inbox, copies));
            match self.courier.send(first.address.socket, parcels) {
                Ok(sent) => {
                    let taken: usize = Joined { rest: run, divides }.take(sent.max(1)).map(<[Entry]>::len).sum();
                    run = &run[taken..];
                    retried = false;
                }
                // An ICMP error that came back for an earlier datagram is reported once by whatever is sent
                // next, which was not tried: it is tried again. The error queue tells the client.
                Err(error) if !retried && is_report(&error) => retried = true,
                Err(error) => {
                    let taken = self.give_up(run, &error);
                    run = &run[taken..];
                    retried = false;
                }
            }
        }
    }

    /// What to do about a parcel that the system refuses; says how many datagrams are done with.
    fn give_up(&mut self, run: &[Entry], error: &io::Error) -> usize {
        let joined = Joined { rest: run, divides: self.divides }.next().map_or(1, <[Entry]>::len);
        if error.kind() == io::ErrorKind::WouldBlock {
            // Nor will it take the rest.
            return self.drop(run, error);
        }
        if joined == 1 {
            return self.drop(&run[..1], error);
        }
        // A device that cannot divide says EIO; a path too narrow says EINVAL, for this one alone.
        self.refused |= error.raw_os_error() == Some(libc::EIO);
        self.divides = false;
        self.send(&run[..joined]);
        self.divides = !self.refused;
        joined
    }

    /// Gives datagrams up; says how many they were.
    fn drop(&mut self, run: &[Entry], error: &io::Error) -> usize {
        let reason = reason(error);
        for entry in run {
            tracing::trace!(to = %entry.address.to, reason = reason.label(), "dropped");
            (self.tell)(reason);
        }
        run.len()
    }
}

/// Why the system did not send, in the words of everybody.
fn reason(error: &io::Error) -> Reason {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Reason::BufferFull,
        Some(libc::ENOBUFS | libc::ENOMEM) => Reason::QueueFull,
        Some(libc::EMSGSIZE) => Reason::PathMtu,
        Some(libc::EPERM | libc::EACCES) => Reason::Forbidden,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) => Reason::NoRoute,
        _ => Reason::SendFailed,
    }
}

/// Runs of datagrams that may be joined: one destination, one size, the last perhaps shorter.
struct Joined<'a> {
    rest: &'a [Entry],
    divides: bool,
}

impl<'a> Iterator for Joined<'a> {
    type Item = &'a [Entry];

    fn next(&mut self) -> Option<&'a [Entry]> {
        let first = self.rest.first()?;
        let len = if self.divides && first.size() <= DIVISIBLE { joined(first, self.rest) } else { 1 };
        let (run, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(run)
    }
}

/// How many datagrams from the first on may be joined.
fn joined(first: &Entry, run: &[Entry]) -> usize {
    let size = first.size();
    let (mut count, mut total) = (1, size);
    for entry in &run[1..run.len().min(RUN)] {
        let next = entry.size();
        if next > size || next == 0 || total + next > PARCEL || entry.address != first.address {
            break;
        }
        count += 1;
        total += next;
        if next < size {
            break;
        }
    }
    count
}

/// A run of datagrams as one parcel.
fn parcel<'a>(run: &'a [Entry], inbox: &'a Inbox, copies: &'a [u8]) -> Parcel<impl Iterator<Item = &'a [u8]>> {
    let Address { to, connected, source, tos, .. } = run[0].address;
    let segment = (run.len() > 1).then(|| run[0].size() as u16);
    Parcel { to, connected, source, tos, segment, parts: run.iter().flat_map(move |entry| entry.parts(inbox, copies)) }
}

/// The error may be about another datagram than the one that was to be sent.
fn is_report(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EOPNOTSUPP
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

impl Entry {
    /// Bytes of the whole datagram.
    fn size(&self) -> usize {
        let (Body::Received { len, .. } | Body::Copied { len, .. }) = self.body;
        self.head.as_bytes().len() + len + self.head.pad()
    }

    /// The parts of the datagram.
    fn parts<'a>(&'a self, inbox: &'a Inbox, copies: &'a [u8]) -> [&'a [u8]; 3] {
        let body = match self.body {
            Body::Received { start, len } => inbox.part(start, len),
            Body::Copied { start, len } => &copies[start..start + len],
        };
        [self.head.as_bytes(), body, &ZEROS[..self.head.pad()]]
    }
}
