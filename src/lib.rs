//! hairpin, a STUN/TURN server.
