//! Sets of descriptors to wait for.
#![expect(unsafe_code, reason = "epoll exists in C only")]

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What to wait for; errors are told in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nothing.
    None,
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Both.
    Both,
}

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// What it was added with.
    pub token: u64,
    /// There is something to read, or the end.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// It has failed, or there is something on the error queue.
    pub failed: bool,
    /// The other side will send no more than what is there to read.
    pub ended: bool,
}

impl Epoll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new, so nobody else owns it.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Adds a descriptor, to read from. It leaves the set when it is closed.
    pub(crate) fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, Interest::Read)
    }

    /// Adds a descriptor, to wait for this.
    pub(crate) fn add_for(&self, fd: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a descriptor is waited for.
    pub(crate) fn change(&self, fd: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Takes a descriptor out of the set.
    pub(crate) fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::None)
    }

    fn control(&self, what: libc::c_int, fd: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::None => 0,
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Write => libc::EPOLLOUT,
            Interest::Both => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: the kernel copies the event.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), what, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Waits until something is ready or the time has passed; says how many descriptors are, at most as many as
    /// `events` has room for.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Duration) -> io::Result<usize> {
        let room = events.0.len() as libc::c_int;
        // Rounded up, or the last part of a millisecond would be waited for in vain again and again.
        let timeout = timeout.as_micros().div_ceil(1000).min(libc::c_int::MAX as u128) as libc::c_int;
        // SAFETY: the kernel writes at most `room` events.
        match check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.0.as_mut_ptr(), room, timeout) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }
}

/// Room for what is ready.
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    /// Room for so many.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![libc::epoll_event { events: 0, u64: 0 }; count])
    }

    /// One of those that [`Epoll::wait`] counted.
    pub(crate) fn at(&self, index: usize) -> Ready {
        let event = self.0[index];
        let has = |flags: libc::c_int| event.events & flags as u32 != 0;
        Ready {
            token: event.u64,
            readable: has(libc::EPOLLIN | libc::EPOLLHUP),
            writable: has(libc::EPOLLOUT),
            failed: has(libc::EPOLLERR | libc::EPOLLHUP),
            ended: has(libc::EPOLLRDHUP | libc::EPOLLHUP),
        }
    }
}
