//! Which descriptor something came from, as the token of its events.

/// One of a worker's descriptors, by its place in the worker's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A listener's socket for the requests that allocations live by.
    Control(u32),
    /// A listener's socket for all else.
    Media(u32),
    /// A relay socket.
    Relay(u32),
    /// The socket on a relay's port that is connected to one peer.
    Twin(u32),
    /// A listener for streams.
    Accept(u32),
    /// A stream client.
    Stream(u32),
    /// A TCP relay's socket for peers that connect.
    Peers(u32),
    /// A connection to a peer, by its number.
    Peer(u32),
    /// The client's connection that is bound to it.
    Data(u32),
    /// Mail of other workers.
    Mail,
    /// Whoever may stop the worker.
    Owner,
}

impl Source {
    /// The token of this source's events.
    pub(crate) fn token(self) -> u64 {
        let (kind, index) = match self {
            Self::Control(index) => (0, index),
            Self::Media(index) => (1, index),
            Self::Relay(index) => (2, index),
            Self::Twin(index) => (3, index),
            Self::Accept(index) => (4, index),
            Self::Stream(index) => (5, index),
            Self::Peers(index) => (6, index),
            Self::Peer(number) => (7, number),
            Self::Data(number) => (8, number),
            Self::Mail => (9, 0),
            Self::Owner => (10, 0),
        };
        kind << 32 | u64::from(index)
    }

    /// The source of an event.
    pub(crate) fn of(token: u64) -> Self {
        let index = token as u32;
        match token >> 32 {
            0 => Self::Control(index),
            1 => Self::Media(index),
            2 => Self::Relay(index),
            3 => Self::Twin(index),
            4 => Self::Accept(index),
            5 => Self::Stream(index),
            6 => Self::Peers(index),
            7 => Self::Peer(index),
            8 => Self::Data(index),
            9 => Self::Mail,
            _ => Self::Owner,
        }
    }
}
