//! hairpin, a STUN/TURN server.

pub mod wire;
