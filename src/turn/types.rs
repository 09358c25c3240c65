//! The vocabulary: who and where, when, and why not.

/// A user; whoever carries out what the core asks need not know what else there is to know of one.
pub use crate::auth::Owner;
use crate::wire::channel;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Milliseconds of a clock that never goes back and means the same in the next process on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// The time `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long until `later`; zero if it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Both clocks, read once per batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For lifetimes.
    pub time: Time,
    /// Seconds since 1970, for nonces and time-limited credentials.
    pub wall: u64,
}

/// The transport between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams in clear.
    Udp,
    /// A TCP connection in clear.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// Datagrams in DTLS records, one message in each (RFC 7350).
    Dtls,
}

impl Transport {
    /// Every transport, in order.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// Its name, in metrics and for operators.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }

    /// Messages come as a byte stream, so ChannelData is padded (RFC 8656 §12.5).
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// How to reach a client: its 5-tuple, and the socket or connection that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The client's address, as seen by the server.
    pub client: SocketAddr,
    /// The server's address that the client used.
    pub server: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// The listener (UDP) or the connection (streams) in the worker's tables.
    pub link: u32,
}

impl Hash for Path {
    /// Two words for IPv4: this is hashed for every packet of a client.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u64::from(self.client.port()) << 48 | u64::from(self.server.port()) << 32;
        let rest = ports | u64::from(self.link) << 2 | self.transport as u64;
        match (self.client.ip(), self.server.ip()) {
            (IpAddr::V4(c), IpAddr::V4(s)) => state.write_u64(u64::from(c.to_bits()) << 32 | u64::from(s.to_bits())),
            (c, s) => {
                state.write_u128(bits(c));
                state.write_u128(bits(s));
            }
        }
        state.write_u64(rest);
    }
}

/// An address as a number.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A relay socket: its place in the table of the core, and in that of the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(pub u32);

/// RESERVATION-TOKEN.
pub type Token = [u8; 8];

/// What goes before a payload: inline, at most 48 bytes, and how many zero bytes follow it.
#[derive(Clone, Copy)]
pub struct Head {
    bytes: [u8; Self::CAPACITY],
    len: u8,
    pad: u8,
}

impl Head {
    /// A Data indication from an IPv6 peer: header 20, XOR-PEER-ADDRESS 24, DATA 4.
    pub const CAPACITY: usize = 48;
    /// No head: the payload goes out bare.
    pub const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], len: 0, pad: 0 };

    /// The head of ChannelData; on a stream the frame is padded to a multiple of four.
    #[must_use]
    pub fn channel(number: u16, len: usize, stream: bool) -> Self {
        let mut head = Self::EMPTY;
        head.bytes[..channel::HEADER].copy_from_slice(&channel::header(number, len));
        head.len = channel::HEADER as u8;
        head.pad = if stream { crate::wire::padding(len) as u8 } else { 0 };
        head
    }

    /// A head of these bytes, at most 48, with `pad` zero bytes after the payload.
    #[must_use]
    pub fn new(bytes: &[u8], pad: usize) -> Self {
        let mut head = Self::EMPTY;
        head.bytes[..bytes.len()].copy_from_slice(bytes);
        head.len = bytes.len() as u8;
        head.pad = pad as u8;
        head
    }

    /// The bytes before the payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Zero bytes after the payload, 0 to 3.
    #[must_use]
    pub fn pad(&self) -> usize {
        usize::from(self.pad)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:02x?} +{})", self.as_bytes(), self.pad)
    }
}

/// What a relay carries to and from peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// UDP (RFC 8656).
    Udp,
    /// TCP (RFC 6062).
    Tcp,
}

/// A connection between a relayed address and a peer (RFC 6062): its CONNECTION-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u32);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why a packet was dropped. One vocabulary for tests, metrics and operators.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// Every reason, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The label in metrics.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// No protocol of this server begins so.
    UnknownProtocol = "unknown_protocol";
    /// STUN or ChannelData whose structure is broken.
    Malformed = "malformed";
    /// A message that is never answered: a response, an unknown method, a class the method lacks.
    NotServed = "not_served";
    /// An indication that lacks what it needs, or holds an attribute that must be understood and is not.
    BadIndication = "bad_indication";
    /// The source address cannot be a client's: port 0, multicast, broadcast, or the server itself.
    BadSource = "bad_source";
    /// A proxy's header is missing or broken, or has come from where none may come from.
    ProxyHeader = "proxy_header";
    /// A request of somebody without an allocation that is larger than any needs to be.
    Oversize = "oversize";
    /// Too much unauthenticated work from one source address; also connections and handshakes that a limit refuses.
    SourceRate = "source_rate";
    /// Data on a 5-tuple that has no allocation.
    NoAllocation = "no_allocation";
    /// Data for a client whose connection has ended, and that has not come back with its ticket yet.
    NoClient = "no_client";
    /// A record of DTLS on a 5-tuple that has no session, and that begins none.
    NoSession = "no_session";
    /// Data for a channel that is not bound.
    NoChannel = "no_channel";
    /// Data to or from a peer without permission.
    NoPermission = "no_permission";
    /// A peer's connection to an allocation that has all that it may have.
    TooMany = "too_many";
    /// Data to a peer that the rules deny.
    Denied = "denied";
    /// The allocation's bandwidth is used up.
    Bandwidth = "bandwidth";
    /// The payload does not fit one datagram with its head.
    TooBig = "too_big";
    /// ICMP that RFC 8656 §11.5 does not relay, or more of it than the allocation may have.
    Icmp = "icmp";
    /// The client does not read its stream fast enough.
    SlowClient = "slow_client";
    /// The socket's buffer is full of what has not left yet (`EAGAIN`).
    BufferFull = "buffer_full";
    /// The network device's queue or the kernel's memory is full (`ENOBUFS`).
    QueueFull = "queue_full";
    /// The datagram is too big for its path and must not be fragmented (`EMSGSIZE`).
    PathMtu = "path_mtu";
    /// A firewall or a routing rule of this host forbids it (`EPERM`, `EACCES`).
    Forbidden = "forbidden";
    /// No way leads there (`ENETUNREACH`, `EHOSTUNREACH`).
    NoRoute = "no_route";
    /// The system refused to send for another reason.
    SendFailed = "send_failed";
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// Packets and bytes, plain integers; read when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Requests that were answered with success.
    pub successes: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// Binding requests that were answered.
    pub bindings: u64,
    /// Packets relayed to peers.
    pub to_peer_packets: u64,
    /// Bytes relayed to peers.
    pub to_peer_bytes: u64,
    /// Packets relayed to clients.
    pub to_client_packets: u64,
    /// Bytes relayed to clients.
    pub to_client_bytes: u64,
    /// Packets dropped, by reason.
    pub drops: [u64; Reason::COUNT],
}

impl Counters {
    /// Adds what another server has counted.
    pub fn add(&mut self, other: &Self) {
        self.successes += other.successes;
        self.errors += other.errors;
        self.bindings += other.bindings;
        self.to_peer_packets += other.to_peer_packets;
        self.to_peer_bytes += other.to_peer_bytes;
        self.to_client_packets += other.to_client_packets;
        self.to_client_bytes += other.to_client_bytes;
        self.drops.iter_mut().zip(other.drops).for_each(|(sum, drops)| *sum += drops);
    }

    /// Counts a drop.
    pub fn drop(&mut self, reason: Reason) {
        self.drops[reason as usize] += 1;
    }
}
