//! The core alone, with time turned by hand. Each test names the behaviour of the conformance list that it
//! holds the server to.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

mod acts;
mod allocate;
mod amplification;
mod authentication;
mod binding;
mod channel;
mod classic;
mod connection;
mod craft;
mod data;
mod demux;
mod discovery;
mod dual;
mod harness;
mod icmp;
mod integrity;
mod limits;
mod mobility;
mod nat;
mod oauth;
mod operations;
mod permission;
mod realms;
mod redirect;
mod refresh;
mod reservation;
mod rest;
mod routes;
mod session;
mod stun;
mod tcp;
mod transmit_count;
