//! What epoll tells of.

/// Something that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The built-in peer: its socket, or where it accepts connections.
    Peer,
    /// A client's way to the server.
    Client(usize),
    /// A client's connection that leads to the peer.
    Data(usize),
    /// The peer's end of one.
    End(usize),
}

/// Where the kind stands in a token, above any place.
const KIND: u32 = 32;

impl Source {
    /// As a token.
    pub(super) fn token(self) -> u64 {
        let (kind, place) = match self {
            Self::Client(place) => (0, place),
            Self::Data(place) => (1, place),
            Self::End(place) => (2, place),
            Self::Peer => (3, 0),
        };
        kind << KIND | place as u64
    }

    /// Of a token.
    pub(super) fn of(token: u64) -> Self {
        let place = (token & ((1 << KIND) - 1)) as usize;
        match token >> KIND {
            0 => Self::Client(place),
            1 => Self::Data(place),
            2 => Self::End(place),
            _ => Self::Peer,
        }
    }
}
