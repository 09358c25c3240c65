//! The system calls that the standard library lacks: batches of datagrams, control messages, epoll,
//! steering. Every `unsafe` of hairpin is in this folder.

mod address;
#[cfg(feature = "dtls")]
pub(crate) mod dtls;
mod epoll;
mod host;
mod option;
mod pipe;
mod receive;
mod send;

pub(crate) use epoll::{Epoll, Events, Interest, Ready};
pub(crate) use host::{boot_milliseconds, descriptor_limit, host_addresses, interface_index, raise_descriptor_limit};
pub(crate) use option::{drops, filter, instruction, pending_error, set_option, steer, unsent};
pub(crate) use pipe::Pipe;
pub(crate) use receive::{Datagram, Inbox, take_error};
pub(crate) use send::{Courier, Parcel};

use std::io;

/// Room for the control messages of one datagram: PKTINFO of IPv6, TOS or TCLASS, and on the error queue an
/// extended error with an address.
const CONTROL: usize = 128;

/// An aligned place for control messages.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Turns -1 into the error of the last call.
fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
