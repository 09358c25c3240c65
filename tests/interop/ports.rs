//! Ports that nobody else uses: a block per server.
//!
//! Ports are picked below the range from which Linux takes ports for outgoing sockets, so that no
//! client takes one between our look and the server's start. A block is held by a listening TCP
//! socket on its first port: that works between processes too, and ends with them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ports of a block.
const BLOCK: u16 = 200;
/// The first port that may be in a block.
const FIRST: u16 = 10_000;
/// How many blocks fit below port 32768.
const BLOCKS: u16 = (32_768 - FIRST) / BLOCK;
/// Ports at the start of a block that are not for relaying.
const RESERVED: u16 = 10;

/// Two hundred ports, ours until this is dropped.
pub(crate) struct Block {
    first: u16,
    _guard: TcpListener,
}

impl Block {
    /// Takes a free block.
    pub(crate) fn take() -> Self {
        (0..BLOCKS).find_map(|_| Self::try_take(next())).expect("a free block of ports")
    }

    /// Takes the block with this number unless somebody has it or one of its ports.
    fn try_take(number: u16) -> Option<Self> {
        let first = FIRST + number * BLOCK;
        let guard = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
        (1..RESERVED).all(|offset| is_free(first + offset)).then_some(Self { first, _guard: guard })
    }

    /// The port for UDP and TCP.
    pub(crate) fn plain(&self) -> u16 {
        self.first + 1
    }

    /// The port for TLS and DTLS. Not the one after [`Self::plain`], where a server may have its
    /// alternate address.
    pub(crate) fn secure(&self) -> u16 {
        self.first + 3
    }

    /// The port for proxies.
    pub(crate) fn behind(&self) -> u16 {
        self.first + 4
    }

    /// Ports on which a proxy may listen.
    pub(crate) fn fronts(&self) -> [u16; 3] {
        [5, 8, 9].map(|offset| self.first + offset)
    }

    /// A port for a peer, with the one after it.
    pub(crate) fn peer(&self) -> u16 {
        self.first + 6
    }

    /// The first and the last port to relay from.
    pub(crate) fn relay(&self) -> (u16, u16) {
        (self.first + RESERVED, self.first + BLOCK - 1)
    }
}

/// Whether nothing listens on this port of the loopback addresses.
fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

/// The number of the next block to try: every process begins elsewhere and then counts.
fn next() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let begin = u64::from(std::process::id()) + clock / 3600;
    let begin = u16::try_from(begin % u64::from(BLOCKS)).unwrap();
    (begin + COUNT.fetch_add(1, Ordering::Relaxed)) % BLOCKS
}
