//! The protocols that a client may ask for in a handshake of TLS or DTLS (RFC 7443 §3).

/// Their names: TURN, and the discovery of NATs.
pub const NAMES: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// The same as the extension lists them, each with its length before it (RFC 7301 §3.1).
pub const LIST: &[u8] = b"\x09stun.turn\x12stun.nat-discovery";
