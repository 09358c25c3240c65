//! hairpin, a STUN/TURN server.

pub mod admin;
pub mod auth;
pub mod config;
pub mod io;
pub mod turn;
pub mod wire;
