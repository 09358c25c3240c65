//! hairpin, a STUN/TURN server.

pub mod auth;
pub mod turn;
pub mod wire;
