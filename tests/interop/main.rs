//! The server under clients that other people wrote: what a migration from coturn relies on.
//!
//! Each file is one client. Each test starts a server of its own, on ports of its own, from a
//! configuration file in coturn's format, and so may run beside every other.
//!
//! - `HAIRPIN_TEST_SERVER=/usr/bin/turnserver` runs the same tests against coturn, which is how to
//!   tell a wrong test from a wrong server.
//! - A test that lacks a tool says `skipped: …` and passes; with `HAIRPIN_REQUIRE=all` it fails.
//!
//! Read [`harness`] first.

#![allow(clippy::unwrap_used, reason = "a test may end where it stands")]

#[macro_use]
mod harness;
mod certificate;
mod ports;
mod process;

mod browser;
mod discovery;
mod haproxy;
mod kernel;
mod signalling;
mod turn_proto;
mod turnutils;
mod webdriver;
mod webrtc_rs;

/// Networks that a test makes.
#[path = "../server/space.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod space;

/// The example's server, run inside the test.
#[path = "../../examples/call/server/mod.rs"]
mod call_server;
