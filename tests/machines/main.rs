//! The kernel path on other kernels and other drivers than this machine's: machines that QEMU runs, each with a kernel of
//! Debian's and the binary, and clients and peers outside.
//!
//! `.ci/kernels` fetches the kernels. Read [`archive`] (what a machine holds), [`machine`] (how it runs and is talked to),
//! [`scene`] (its network and what goes through it), then [`drivers`] and [`refusals`].
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

mod archive;
#[path = "../server/client.rs"]
mod client;
mod drivers;
#[path = "../server/flight.rs"]
mod flight;
#[path = "../server/harness.rs"]
mod harness;
mod machine;
mod refusals;
mod scene;
#[path = "../server/space.rs"]
mod space;
