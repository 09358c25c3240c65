//! OPERATORS: what a person running the server reads and asks.
//!
//! [`desk`] answers what may be asked of a running server. [`control`] is the door to it, a socket of this host, and
//! [`client`] whoever comes in there; [`http`] is another door, by which [`metrics`] are fetched. `request`, [`status`]
//! and `sessions` are what goes back and forth, `show` makes tables of it for people, and [`log`] is what the server
//! says unasked.

pub mod client;
pub mod control;
pub mod desk;
mod door;
pub mod http;
pub mod log;
pub mod metrics;
mod request;
mod sessions;
mod show;
pub mod status;

pub use crate::turn::Whom;
pub use request::Request;
