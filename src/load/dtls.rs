//! DTLS as a client: a session on a datagram socket that never waits.

#[cfg(feature = "dtls")]
mod engine;
#[cfg(not(feature = "dtls"))]
mod none;

#[cfg(feature = "dtls")]
pub(super) use engine::Sealed;
#[cfg(not(feature = "dtls"))]
pub(super) use none::Sealed;
