//! Error codes and their phrases (RFC 8489 §14.8, RFC 8656 §19).

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u16);

impl Code {
    /// Another server is to be asked.
    pub const TRY_ALTERNATE: Self = Self(300);
    /// The request was malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// Credentials are missing or wrong.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// Refused by the administrator's rules.
    pub const FORBIDDEN: Self = Self(403);
    /// Allocations may not move (RFC 8016 §3.5).
    pub const MOBILITY_FORBIDDEN: Self = Self(405);
    /// A required attribute is not understood.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// The 5-tuple has no allocation, or has one already.
    pub const ALLOCATION_MISMATCH: Self = Self(437);
    /// The nonce is too old.
    pub const STALE_NONCE: Self = Self(438);
    /// The server has no such relayed address.
    pub const FAMILY_UNSUPPORTED: Self = Self(440);
    /// Good credentials, but not those of the allocation.
    pub const WRONG_CREDENTIALS: Self = Self(441);
    /// The relay transport is not offered.
    pub const TRANSPORT_UNSUPPORTED: Self = Self(442);
    /// The peer's family is not that of the relayed address.
    pub const PEER_FAMILY_MISMATCH: Self = Self(443);
    /// The allocation has a connection to the peer (RFC 6062 §6.3).
    pub const CONNECTION_EXISTS: Self = Self(446);
    /// The peer cannot be reached (RFC 6062 §6.3).
    pub const CONNECTION_FAILED: Self = Self(447);
    /// Too many allocations.
    pub const QUOTA_REACHED: Self = Self(486);
    /// The server could not serve.
    pub const SERVER_ERROR: Self = Self(500);
    /// Ports, permissions or channels have run out.
    pub const INSUFFICIENT_CAPACITY: Self = Self(508);

    /// The phrase of the registry.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self.0 {
            300 => "Try Alternate",
            400 => "Bad Request",
            401 => "Unauthenticated",
            403 => "Forbidden",
            405 => "Mobility Forbidden",
            420 => "Unknown Attribute",
            437 => "Allocation Mismatch",
            438 => "Stale Nonce",
            440 => "Address Family not Supported",
            441 => "Wrong Credentials",
            442 => "Unsupported Transport Protocol",
            443 => "Peer Address Family Mismatch",
            446 => "Connection Already Exists",
            447 => "Connection Timeout or Failure",
            486 => "Allocation Quota Reached",
            508 => "Insufficient Capacity",
            _ => "Server Error",
        }
    }

    /// Class and number, as ERROR-CODE and ADDRESS-ERROR-CODE end.
    #[must_use]
    pub fn class_and_number(self) -> [u8; 2] {
        // Codes are 300 to 699, so both parts fit a byte.
        [(self.0 / 100) as u8, (self.0 % 100) as u8]
    }
}
