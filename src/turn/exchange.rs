//! What goes between the core and the world: verdicts of packets, actions that the core asks for, events that it is told.

use super::session::SessionId;
use super::types::{ConnectionId, Head, Owner, Path, Protocol, Reason, RelayId, Token};
use std::net::{IpAddr, SocketAddr};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Verdict<'p> {
    /// Taken; nothing to send for it.
    Done,
    /// Dropped, and why.
    Drop(Reason),
    /// The answer stands in the reply buffer and goes back where the packet came from.
    Reply,
    /// What the client claims is not here: the server of the process that has it is to be asked, or
    /// [`handle_stray`](super::Server::handle_stray) if there is none.
    Elsewhere(Claim),
    /// To the client: head, body, padding.
    ToClient {
        /// Where it is.
        path: Path,
        /// What goes before the body, and how much padding after it.
        head: Head,
        /// The payload, a slice of the packet.
        body: &'p [u8],
    },
    /// To the peer: the body alone.
    ToPeer {
        /// The socket it leaves from.
        relay: RelayId,
        /// Where it goes.
        peer: SocketAddr,
        /// The payload, a slice of the packet.
        body: &'p [u8],
        /// DF must be set on the datagram (RFC 8656 §14).
        dont_fragment: bool,
    },
}

/// What the core asks of the world. Carried out in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// May this owner take one more allocation? Answered with [`Event::Charged`].
    Charge {
        /// For the answer.
        ticket: Ticket,
        /// Whose quota.
        owner: Owner,
        /// The client's address.
        source: IpAddr,
    },
    /// An allocation that was granted has ended.
    Release {
        /// Whose quota.
        owner: Owner,
        /// The client's address.
        source: IpAddr,
    },
    /// Bind a UDP socket, or a TCP socket that listens. Answered with [`Event::RelayOpened`].
    OpenRelay {
        /// For the answer.
        ticket: Ticket,
        /// The place that the socket will have.
        relay: RelayId,
        /// The local address to bind.
        addr: SocketAddr,
        /// What it relays.
        protocol: Protocol,
    },
    /// Close a relay socket.
    CloseRelay {
        /// Its place.
        relay: RelayId,
    },
    /// Keep a bound socket, for whoever shows the token; any worker may.
    Deposit {
        /// Its place, which becomes free.
        relay: RelayId,
        /// What must be shown.
        token: Token,
        /// Who must show it.
        owner: Owner,
    },
    /// Take a deposited socket. Answered with [`Event::Withdrawn`].
    Withdraw {
        /// For the answer.
        ticket: Ticket,
        /// The place that the socket will have.
        relay: RelayId,
        /// What was shown.
        token: Token,
        /// Who showed it.
        owner: Owner,
    },
    /// Close a deposited socket, if nobody took it.
    Forget {
        /// Its token.
        token: Token,
    },
    /// Send a message to a client.
    Send {
        /// Where it is.
        path: Path,
        /// The message.
        message: Vec<u8>,
    },
    /// Send a message to a client from whichever listener is at the path's server address (RFC 5780).
    SendFrom {
        /// Where it goes, and where it leaves.
        path: Path,
        /// The message.
        message: Vec<u8>,
    },
    /// This server has what clients may claim from another 5-tuple.
    AddClaim {
        /// How they do.
        claim: Claim,
    },
    /// It has it no more.
    RemoveClaim {
        /// How they did.
        claim: Claim,
    },
    /// Connect a TCP socket to a peer. Answered with [`Event::Connected`].
    Connect {
        /// The connection.
        connection: ConnectionId,
        /// The relay from whose address and port it goes.
        relay: RelayId,
        /// The peer.
        to: SocketAddr,
    },
    /// Close a connection to a peer, and that of the client which is bound to it.
    CloseConnection {
        /// The connection.
        connection: ConnectionId,
    },
    /// Limit each direction of a bound connection.
    Pace {
        /// The connection.
        connection: ConnectionId,
        /// Bytes per second.
        rate: u64,
    },
    /// Pass on what the client and the peer say, as it is.
    Bind {
        /// The connection to the peer.
        connection: ConnectionId,
        /// That of the client, after what is owed to it.
        path: Path,
    },
    /// An allocation has moved to this 5-tuple. If what comes there comes to another server of the process, that one is to
    /// have it, by [`extract`](super::Server::extract) and [`adopt`](super::Server::adopt).
    Follow {
        /// The 5-tuple.
        path: Path,
    },
    /// A 5-tuple is no allocation's any more.
    Leave {
        /// The 5-tuple.
        path: Path,
    },
    /// Something that an operator may want to see; nothing is to be done.
    Tell(Notice),
    /// A fast path may forward between this client's channel and this peer.
    AddRoute(Route),
    /// It must not any more.
    RemoveRoute(Route),
    /// A fast path may forward this client's Send indications, and Data indications to it.
    AddPermission(Permission),
    /// It must not any more.
    RemovePermission(Permission),
}

/// What has become of an allocation.
#[derive(Clone, Debug)]
pub enum Notice {
    /// It was made.
    Made {
        /// The client.
        path: Path,
        /// Who made it.
        owner: Owner,
        /// The relayed addresses, as the client was told them.
        relayed: [Option<SocketAddr>; 2],
    },
    /// It has moved to another 5-tuple.
    Moved {
        /// Where the client was.
        from: Path,
        /// Where it is.
        to: Path,
        /// Who made it.
        owner: Owner,
    },
    /// It has ended: by time, by Refresh or with its connection.
    Ended {
        /// The client.
        path: Path,
        /// Who had made it.
        owner: Owner,
    },
}

/// What the world tells the core.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to [`Action::Charge`].
    Charged {
        /// The question.
        ticket: Ticket,
        /// One more is allowed, and counted.
        granted: bool,
    },
    /// The answer to [`Action::OpenRelay`].
    RelayOpened {
        /// The question.
        ticket: Ticket,
        /// Bound, or why not.
        result: Result<(), OpenError>,
    },
    /// The answer to [`Action::Withdraw`]: the local address of the socket, if there was one.
    Withdrawn {
        /// The question.
        ticket: Ticket,
        /// Where it is bound.
        addr: Option<SocketAddr>,
    },
    /// The answer to [`Action::Connect`].
    Connected {
        /// The connection.
        connection: ConnectionId,
        /// It stands.
        reached: bool,
    },
    /// A connection to a peer has ended that was bound.
    Disconnected {
        /// The connection.
        connection: ConnectionId,
    },
    /// The client of a connection or a session has named a server in its handshake, before its first message.
    Named {
        /// The client.
        path: Path,
        /// The server, as in a certificate.
        name: String,
    },
    /// The connection of a stream client has ended.
    Closed {
        /// The client.
        path: Path,
    },
    /// An operator ends an allocation.
    Disconnect {
        /// Which one.
        session: SessionId,
    },
    /// An ICMP error came back for a datagram that a relay socket sent.
    Icmp {
        /// The socket.
        relay: RelayId,
        /// Where the datagram went.
        peer: SocketAddr,
        /// What came back.
        icmp: Icmp,
    },
}

/// An ICMP error, with the numbers of the relayed address's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The MTU of the next hop, where type and code are about it.
    pub mtu: u32,
}

/// Why a relay socket could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Somebody has the port; another may be free.
    InUse,
    /// No socket can be had now: descriptors or memory have run out.
    Exhausted,
    /// The address is not this host's.
    Unavailable,
}

/// A question that the world will answer with an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u32);

/// What a client shows from a 5-tuple that any worker may get, though one of them has what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// What its mobility ticket says (RFC 8016).
    Ticket(u64),
    /// The connection to a peer that it is to be bound to (RFC 6062).
    Connection(ConnectionId),
}

/// A pair that a fast path may forward in both directions: the channel and the permission both stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The client.
    pub path: Path,
    /// The channel number.
    pub channel: u16,
    /// The socket facing the peer.
    pub relay: RelayId,
    /// Where that socket is bound.
    pub local: SocketAddr,
    /// The peer.
    pub peer: SocketAddr,
    /// The peer as its datagrams name it: a relay of this server by its local address.
    pub wire: SocketAddr,
    /// The peer is a relay of this server.
    pub inward: bool,
}

impl Route {
    /// The permission without which the route does not stand.
    #[must_use]
    pub fn permission(&self) -> Permission {
        Permission { path: self.path, relay: self.relay, local: self.local, peer: self.peer.ip() }
    }
}

/// A permission as a fast path needs it: whatever port the peer uses, it is treated alike. Channels go before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    /// The client.
    pub path: Path,
    /// The socket facing the peer.
    pub relay: RelayId,
    /// Where that socket is bound.
    pub local: SocketAddr,
    /// The peer.
    pub peer: IpAddr,
}
