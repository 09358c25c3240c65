//! FORWARDING: carry what `turn` decided by a shorter way than through this process.
//!
//! [`xdp`] is the relay of established channels in the kernel. Whatever it does not carry, `io` does.

pub mod xdp;
