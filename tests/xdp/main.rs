//! The program in the kernel against the core: what it carries, the core would have carried so; the rest it leaves.
//!
//! Read [`frame`] (frames), [`net`] (a network for the program), [`scene`] (the same allocations for the program and
//! for the core), then the file of the subject; [`served`] is the
//! same against a server. All of it needs root, and happens in namespaces of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "../protocol/acts.rs"]
mod acts;
#[path = "../server/client.rs"]
mod client;
#[path = "../protocol/harness.rs"]
mod core;
mod corpus;
mod frame;
mod life;
mod net;
mod object;
mod property;
mod scene;
mod served;
#[path = "../server/space.rs"]
mod space;

/// What the harnesses of the core and of the server have.
mod harness {
    pub use crate::core::*;

    /// How long anything may take before a test gives up on it.
    pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
}
