//! Pipes, through which the kernel passes what comes on one socket to another.
#![expect(unsafe_code, reason = "pipe2 and splice exist in C only")]

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Bytes that are asked for at a time: as many as a pipe holds, as long as nobody has made it larger.
const WHOLE: usize = 64 * 1024;

/// A pipe. What it holds is the kernel's; it is never copied here.
#[derive(Debug)]
pub(crate) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: the kernel writes two descriptors, which nobody else owns.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
        let [out, into] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        Ok(Self { out, into })
    }

    /// Takes what has come on a socket; nothing at its end. The pipe must be empty, or a full one looks like a socket
    /// on which nothing has come.
    pub(crate) fn fill(&self, from: &impl AsRawFd) -> io::Result<usize> {
        splice(from, &self.into, WHOLE)
    }

    /// Sends so many of its bytes by a socket, or as many as that takes.
    pub(crate) fn drain(&self, to: &impl AsRawFd, count: usize) -> io::Result<usize> {
        splice(&self.out, to, count)
    }
}

fn splice(from: &impl AsRawFd, to: &impl AsRawFd, count: usize) -> io::Result<usize> {
    let (from, to, none) = (from.as_raw_fd(), to.as_raw_fd(), std::ptr::null_mut());
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open, and sockets and pipes have no offsets.
    let moved = unsafe { libc::splice(from, none, to, none, count, flags) };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}
