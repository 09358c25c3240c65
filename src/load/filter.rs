//! Which datagrams a receiving socket hands over; the others it only counts.
//!
//! Reading every packet would cost more than sending it, and the generator would measure itself. A packet that
//! the filter drops has arrived all the same: the socket's drop counter says so.

use super::traffic::{MARK_AT, SAMPLED};
use crate::io::sys::{filter, instruction};
use crate::wire::{attribute, channel};
use std::io;
use std::os::fd::AsRawFd;

/// Bytes before the payload: a filter sees the UDP header.
const UDP: u32 = 8;
/// Where a filter finds the mark of a bare payload.
const BARE: u32 = UDP + MARK_AT as u32;
/// Where it finds that of ChannelData; and, as it happens, that of an answer to a Binding request.
const CHANNEL: u32 = BARE + channel::HEADER as u32;
/// Where it finds that of a Data indication whose DATA comes first.
const DATA_FIRST: u32 = BARE + 24;
/// The same where an IPv4 address comes first.
const DATA_V4: u32 = BARE + 36;
/// The same where an IPv6 address comes first.
const DATA_V6: u32 = BARE + 48;
/// The types of a Data indication and of an answer to a Binding request.
const DATA_INDICATION: u32 = 0x0017;
const BINDING_SUCCESS: u32 = 0x0101;

/// Lets a peer's socket hand over samples alone.
pub(super) fn sample_payloads(socket: &impl AsRawFd) -> io::Result<()> {
    filter(socket, &mut [load(libc::BPF_B, BARE), equal(u32::from(SAMPLED), 0, 1), take(), leave()])
}

/// Lets a client's socket hand over samples and every STUN message that is no packet of the measurement.
pub(super) fn sample_messages(socket: &impl AsRawFd) -> io::Result<()> {
    filter(
        socket,
        &mut [
            load(libc::BPF_B, UDP),
            instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 3, 0, 0x40),
            load(libc::BPF_H, UDP),
            equal(DATA_INDICATION, 3, 0),
            equal(BINDING_SUCCESS, 0, 10),
            // ChannelData or an answer.
            load(libc::BPF_B, CHANNEL),
            equal(u32::from(SAMPLED), 8, 9),
            // A Data indication: by its first attribute and that one's length.
            load(libc::BPF_H, UDP + 20),
            equal(u32::from(attribute::DATA), 0, 2),
            load(libc::BPF_B, DATA_FIRST),
            equal(u32::from(SAMPLED), 4, 5),
            load(libc::BPF_H, UDP + 22),
            equal(8, 4, 0),
            load(libc::BPF_B, DATA_V6),
            equal(u32::from(SAMPLED), 0, 1),
            take(),
            leave(),
            load(libc::BPF_B, DATA_V4),
            equal(u32::from(SAMPLED), 0, 1),
            take(),
            leave(),
        ],
    )
}

/// Loads a byte or a half word. Beyond the end of the datagram, that drops it.
fn load(size: u32, at: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, at)
}

/// Skips `yes` or `no` instructions by what was loaded.
fn equal(value: u32, yes: u8, no: u8) -> libc::sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, value)
}

/// Hands the whole datagram over.
fn take() -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX)
}

/// Drops and counts it.
fn leave() -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0)
}
