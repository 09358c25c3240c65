//! The real binary on real sockets: what a client, a peer and an operator see of it.
//!
//! Each test starts a server of its own on an address and ports that nobody else has. What needs a network of
//! its own makes it in a namespace that ends with the test. Read [`harness`] (the process), [`client`] (a
//! TURN client on any transport), [`space`] (networks), then the file of the subject.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod certificates;
mod client;
mod control;
#[cfg(feature = "dtls")]
mod dtls;
mod families;
mod flight;
mod flood;
mod harness;
mod headers;
mod http;
mod icmp;
mod kernel;
mod memory;
mod metrics;
mod odd;
mod process;
mod proxy;
mod realms;
mod redirect;
mod refusals;
mod roaming;
mod runs;
mod space;
mod stopped;
mod streams;
mod tcp;
mod tls;
mod token;
mod twins;
mod udp;
mod unfinished;
mod workers;

/// Those of DTLS are not compiled without it, and what was not tested should be seen.
#[test]
fn the_tests_of_dtls_are_among_these() {
    harness::requires(&harness::name(), &[harness::Need::Dtls]);
}
