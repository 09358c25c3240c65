//! What is asked for.

use super::mix;
use crate::client::target::Target;
pub use crate::wire::address::Family;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// What `hairpin bench` is to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Measure a server.
    Measure(Box<Options>),
    /// Send back what comes to this address, until the process ends.
    Echo(SocketAddr),
}

/// How a server is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// Who the clients are; nobody needs to be for Binding.
    pub credentials: Option<Credentials>,
    /// What is measured.
    pub workload: Workload,
    /// How many clients, at least one.
    pub clients: usize,
    /// Which way packets go.
    pub direction: Direction,
    /// How large payloads are.
    pub sizes: Sizes,
    /// Send and Data indications instead of channels.
    pub indications: bool,
    /// What is relayed: datagrams, or a connection of each client to a peer.
    pub relayed: Relayed,
    /// How many packets of one client are sent in a row, 1 to 64.
    pub burst: usize,
    /// Packets in a second, of all clients together; without it, the highest is searched for.
    pub rate: Option<u64>,
    /// Up to how much loss counts as none, in percent.
    pub max_loss: f64,
    /// How long the final measurement takes.
    pub duration: Duration,
    /// Who the peer is.
    pub peer: Peer,
    /// The family of the relayed address, if the server is to be told.
    pub family: Option<Family>,
    /// Threads that send and receive; without it, one for each core but one.
    pub threads: Option<usize>,
    /// The server's process, if it runs on this machine.
    pub pid: Option<u32>,
    /// Whose certificates are trusted; TLS needs it.
    pub trust: Option<Trust>,
    /// The name that the server's certificate must bear, if it is not the target's host.
    pub tls_name: Option<String>,
    /// How long allocations rest before they are deleted.
    pub hold: Duration,
    /// The result is printed as JSON.
    pub json: bool,
    /// Where a page with charts is written.
    pub html: Option<PathBuf>,
}

/// Who the clients are.
#[derive(Clone)]
pub enum Credentials {
    /// A user and a password.
    Static(String, String),
    /// A shared secret, from which time-limited credentials are made.
    Secret(String),
}

impl std::fmt::Debug for Credentials {
    /// Says which kind, never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Secret(_)) { "Secret" } else { "Static" })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Packets through relays.
    Relay,
    /// Allocations: made, kept, refreshed, deleted.
    Allocate,
    /// Binding requests and their answers.
    Binding,
}

impl Workload {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Allocate => "allocate",
            Self::Binding => "binding",
        }
    }
}

/// What is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// Datagrams (RFC 8656).
    Udp,
    /// Connections to peers (RFC 6062).
    Tcp,
}

impl Relayed {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From clients to peers.
    Up,
    /// From peers to clients.
    Down,
    /// Half of them each way.
    Both,
}

impl Direction {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }

    /// How much of a rate goes up, and how much down.
    #[must_use]
    pub fn shares(self) -> (f64, f64) {
        match self {
            Self::Up => (1.0, 0.0),
            Self::Down => (0.0, 1.0),
            Self::Both => (0.5, 0.5),
        }
    }
}

/// How large payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All of so many bytes.
    Fixed(u16),
    /// Those of a video call, in turn.
    Call,
}

impl Sizes {
    /// The sizes, in turn.
    #[must_use]
    pub fn list(self) -> Vec<u16> {
        match self {
            Self::Fixed(size) => vec![size],
            Self::Call => mix::CALL.to_vec(),
        }
    }

    /// Bytes of a payload, on average.
    #[must_use]
    pub fn mean(self) -> f64 {
        let list = self.list();
        list.iter().map(|size| f64::from(*size)).sum::<f64>() / list.len() as f64
    }
}

/// Who the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// This process, at this local address; without one, at that from which the server is reached.
    BuiltIn(Option<IpAddr>),
    /// A machine that sends back what it gets.
    Remote(SocketAddr),
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that the roots in a PEM file vouch for.
    Roots(PathBuf),
    /// Anybody's.
    Anyone,
}
