//! hairpin, a STUN/TURN server.
//!
//! The library exists so that tests, benches and fuzzers can use the parts; its interface is not stable.
//!
//! # The map
//!
//! ```text
//!   cli ─▶ config ─▶ app                assembly: app sees all below, nothing sees app
//!   ───────────────────────────────────────────────────────────────────────────────
//!   admin ─▶ io, turn                   operators ─▶ workers, decisions
//!   io ─▶ dataplane ─▶ turn ─▶ auth ─▶ wire   sockets ─▶ forwarding ─▶ decisions ─▶ who ─▶ bytes
//! ```
//!
//! [`load`] and [`probe`] stand beside: they come to servers from the outside, and share what clients share in [`client`]; of
//! the rest they use [`io`], [`auth`] and [`wire`].
//!
//! Arrows may be skipped, never turned round; `tests/architecture.rs` holds the reason beside each.
//! [`wire`], [`auth`] and [`turn`] are *pure*: time, randomness and keys come in as values, packets and
//! actions go out. That is what lets a test turn ten minutes by hand and a fuzzer drive the whole server.
//!
//! # The path of a datagram
//!
//! A client's ChannelData: the kernel chooses the socket by the client's address and the first bytes
//! (`io::udp`), `recvmmsg` brings a batch (`io::worker`), [`turn::Server::handle_client`] finds allocation,
//! channel and relay and returns a slice of what came, the outbox gathers by socket and destination, `sendmmsg`
//! sends, and the kernel divides runs of equal size. A peer's datagram takes the same way back through
//! [`turn::Server::handle_peer`], with a head of 4 bytes (ChannelData) or 36 to 48 (a Data indication) before the
//! untouched payload. Nothing on that way allocates, locks or asks a clock, and nothing grows with the number of
//! allocations.
//!
//! Where there is a kernel path, an established flow does not come this way at all: the core tells of channels and
//! permissions as they come and go, [`dataplane::xdp`] writes them into tables of the kernel, and a program there sends
//! what it finds in them on.
//!
//! A request takes the same way in; what it needs of the world comes out of [`turn::Server::poll`] as actions
//! and comes back as events.
//!
//! # Where a line belongs
//!
//! | the line… | goes to |
//! |---|---|
//! | knows an offset, a code point, a padding rule | [`wire`] |
//! | compares two things the client said, or remembers one | [`turn`], the file of that RFC section |
//! | needs a secret | [`auth`] |
//! | names a system call | [`io`], the file of that socket |
//! | makes an established flow cheaper | [`dataplane`] |
//! | is read by a person running the server | [`admin`] or [`cli`] |
//! | loads or measures a server, whoever made it | [`load`] |
//! | finds out why a server does not work for a client | [`probe`] |
//! | is the same for both of these | [`client`] |
//! | is a default | [`config`], in the table |
//! | connects two of the above | [`app`] |

pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod dataplane;
pub mod io;
pub mod load;
pub mod probe;
pub mod turn;
pub mod wire;
