//! What the kernel path counts.

pub use crate::turn::Count;

/// Why a packet of a route was left to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Padding that is none, a length that does not fit, a packet longer than any that is carried.
    Layout,
    /// No checksum where IPv6 needs one, or one that is still to be completed.
    Checksum,
    /// It had no hop left.
    Hops,
    /// No way leads there, or the neighbour is not known yet.
    NextHop,
    /// The next link carries no packet as long as this.
    TooBig,
    /// The way leads out by an interface without the program.
    Interface,
    /// The driver leaves no room before the packet.
    HeadRoom,
    /// The relay of this server that is the peer has no such route.
    Inward,
    /// One now and then, so that the kernel's own sending shows whether the neighbour is still there.
    Neighbour,
    /// The kernel had joined several to one.
    Joined,
}

impl Left {
    /// Each of them, in the order of the program's counters.
    pub const ALL: [Self; 10] = [
        Self::Layout,
        Self::Checksum,
        Self::Hops,
        Self::NextHop,
        Self::TooBig,
        Self::Interface,
        Self::HeadRoom,
        Self::Inward,
        Self::Neighbour,
        Self::Joined,
    ];

    /// The name of its counter.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Checksum => "checksum",
            Self::Hops => "hops",
            Self::NextHop => "next_hop",
            Self::TooBig => "too_big",
            Self::Interface => "interface",
            Self::HeadRoom => "head_room",
            Self::Inward => "inward",
            Self::Neighbour => "neighbour",
            Self::Joined => "joined",
        }
    }
}

/// What the kernel path has done and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Relayed to peers.
    pub to_peer: Count,
    /// Relayed to clients.
    pub to_client: Count,
    /// Packets of routes left to user space, in the order of [`Left::ALL`].
    pub left: [u64; Left::ALL.len()],
    /// Packets dropped because the allocation's bandwidth was used up.
    pub bandwidth: u64,
    /// Channels that it carries.
    pub channels: u32,
    /// Permissions that it carries.
    pub permissions: u32,
    /// Allocations with routes.
    pub sessions: usize,
    /// Channels and permissions that found no place and are relayed in user space.
    pub refused: u64,
}
