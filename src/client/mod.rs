//! CLIENT: what those have in common who come to a server from the outside, `hairpin bench` and `hairpin probe`.
//!
//! Which server is meant ([`target`]), whom to trust by TLS (`tls`), and the same and a socket for DTLS (`dtls`). Nothing
//! here waits or decides when something is sent: one who measures and one who asks do that differently.

pub(crate) mod dtls;
pub mod target;
pub(crate) mod tls;

use std::io::{self, ErrorKind};

/// The kernel has no room for more at the moment.
pub(crate) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}
