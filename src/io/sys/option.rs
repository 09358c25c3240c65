//! Socket options.
#![expect(unsafe_code, reason = "setsockopt, getsockopt and ioctl take pointers")]

use super::check;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};

/// Sets a socket option that is a number.
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) }).map(drop)
}

/// Takes the error that a socket holds: what its next call would report.
pub(crate) fn pending_error(socket: RawFd) -> io::Result<libc::c_int> {
    let mut error: libc::c_int = 0;
    let mut size = mem::size_of_val(&error) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes of `error`.
    check(unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &mut size) })?;
    Ok(error)
}

/// One instruction of a classic BPF program.
pub(crate) fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Gives a `SO_REUSEPORT` group a program that chooses the socket for a datagram.
pub(crate) fn steer(socket: &impl AsRawFd, program: &mut [libc::sock_filter]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// Gives a socket a program that says which datagrams it takes; the others count as dropped.
pub(crate) fn filter(socket: &impl AsRawFd, program: &mut [libc::sock_filter]) -> io::Result<()> {
    attach(socket, libc::SO_ATTACH_FILTER, program)
}

/// Gives a socket a classic BPF program.
fn attach(socket: &impl AsRawFd, name: libc::c_int, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let size = mem::size_of_val(&program) as libc::socklen_t;
    // SAFETY: the kernel copies the program, which lives until the call returns.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const program).cast(), size) })
        .map(drop)
}

/// How many numbers SO_MEMINFO has (`SK_MEMINFO_VARS` of linux/sock_diag.h), and which one counts the drops.
const MEMINFO: (usize, usize) = (9, 8);

/// How many datagrams came to a socket and were dropped there, by its filter or for want of room. Wraps.
pub(crate) fn drops(socket: &impl AsRawFd) -> io::Result<u32> {
    let mut numbers = [0_u32; MEMINFO.0];
    let mut size = mem::size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes of `numbers`.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut size,
        )
    })?;
    Ok(numbers[MEMINFO.1])
}

/// How many bytes a stream socket has still to send, or has sent and not been told to have arrived.
pub(crate) fn unsent(socket: &impl AsRawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one number.
    let result = check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) });
    result.ok().and_then(|_| usize::try_from(count).ok()).unwrap_or(0)
}
