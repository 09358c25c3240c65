//! Bytes in and out: what the wire layer reads, writes, refuses, and that independent codecs agree.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod alpn;
mod any;
mod framing;
mod http;
mod literal;
mod messages;
mod oracle;
mod proxy;
