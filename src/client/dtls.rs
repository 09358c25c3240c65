//! DTLS as a client: whom to trust, and a socket as the engine sees it.

#[cfg(feature = "dtls")]
mod engine;
#[cfg(not(feature = "dtls"))]
mod none;

#[cfg(feature = "dtls")]
pub(crate) use engine::{Settings, Wire};
#[cfg(not(feature = "dtls"))]
pub(crate) use none::Settings;
