//! WHO: credentials, nonces, keys, and the peer addresses that may be reached.
//!
//! Pure: time, randomness and keys come in as values; nothing here does I/O, locks or remembers a client.
//! Read `key` first (what a password becomes), then `credentials` (whose keys are known), `rest` (users that
//! are known by what they show), `token` (the same, sealed by a third party), `nonce` (proof that a request is recent), and `peers` by itself.

pub mod check;
mod credentials;
pub mod key;
pub mod nonce;
mod owner;
pub mod peers;
mod range;
pub mod rest;
pub mod token;

pub use credentials::{Claim, Credentials, Secret, Standing, unquoted};
pub use owner::Owner;
