//! The program in the kernel against the core: what it carries, the core would have carried so; the rest it leaves.
//!
//! Read [`frame`] (frames), [`net`] (a network for the program), [`scene`] (the same allocations for the program and
//! for the core), then the file of the subject. All of it needs root, and happens in namespaces of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "../protocol/acts.rs"]
mod acts;
mod corpus;
mod frame;
#[path = "../protocol/harness.rs"]
mod harness;
mod life;
mod net;
mod object;
mod property;
mod scene;
#[path = "../server/space.rs"]
mod space;
