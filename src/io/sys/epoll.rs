//! Sets of descriptors to wait for.
#![expect(unsafe_code, reason = "epoll exists in C only")]

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// Lets the runtime wait for the set.
pub(crate) fn watch(epoll: Rc<Epoll>) -> io::Result<AsyncFd<Rc<Epoll>>> {
    // SAFETY: an `Epoll` keeps its one descriptor open as long as it lives, and this keeps the `Epoll`.
    unsafe { AsyncFd::register_with_interest(epoll, tokio::io::Interest::READABLE) }.map_err(Into::into)
}

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// What it was added with.
    pub token: u64,
    /// There is something to read.
    pub readable: bool,
    /// There is something on the error queue.
    pub failed: bool,
}

impl Epoll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new, so nobody else owns it.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Adds a descriptor. It leaves the set when it is closed.
    pub(crate) fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the kernel copies the event.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Takes a descriptor out of the set.
    pub(crate) fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        // SAFETY: no event is read for a removal.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) })
            .map(drop)
    }

    /// What is ready now, without waiting; at most as many as `events` has room for.
    pub(crate) fn ready(&self, events: &mut Events) -> io::Result<usize> {
        let room = events.0.len() as libc::c_int;
        // SAFETY: the kernel writes at most `room` events.
        check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.0.as_mut_ptr(), room, 0) })
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Room for what is ready.
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    /// Room for so many.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![libc::epoll_event { events: 0, u64: 0 }; count])
    }

    /// One of those that [`Epoll::ready`] counted.
    pub(crate) fn at(&self, index: usize) -> Ready {
        let event = self.0[index];
        let has = |flag: libc::c_int| event.events & flag as u32 != 0;
        Ready { token: event.u64, readable: has(libc::EPOLLIN), failed: has(libc::EPOLLERR) }
    }
}
