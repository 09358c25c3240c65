//! Mail between workers: what one of them has and another one needs.
//!
//! Nothing goes by mail for a packet of established media; what does has begun on one worker and belongs to another.

use super::connection::Connection;
use super::worker::{Control, Roaming};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Letters that may wait in a box before packets are lost.
const ROOM: usize = 1024;

/// A letter.
pub(crate) enum Mail {
    /// About a client that roams.
    Roaming(Roaming),
    /// From an operator.
    Control(Control),
    /// The connection of a client that claims what is here, with its request; perhaps it will send no more.
    Stream { client: Box<Connection>, ended: bool },
}

impl Mail {
    /// It is a client's packet, which may be lost as packets are. Nothing else may.
    fn may_be_lost(&self) -> bool {
        match self {
            Self::Roaming(roaming) => roaming.is_packet(),
            Self::Control(_) | Self::Stream { .. } => false,
        }
    }
}

/// The letter box of a worker.
pub(crate) struct MailBox {
    letters: Mutex<Vec<Mail>>,
    /// A byte for the worker whenever the box was empty.
    bell: UnixStream,
}

impl fmt::Debug for MailBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailBox")
    }
}

impl MailBox {
    /// An empty box, and what its worker waits at.
    pub(super) fn new() -> io::Result<(Self, UnixStream)> {
        let (bell, door) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        door.set_nonblocking(true)?;
        Ok((Self { letters: Mutex::default(), bell }, door))
    }

    /// Puts a letter in; false if it is lost, because too many wait.
    pub(super) fn post(&self, letter: Mail) -> bool {
        let mut letters = self.letters();
        if letter.may_be_lost() && letters.len() >= ROOM {
            return false;
        }
        letters.push(letter);
        if letters.len() == 1 {
            // A bell that has no room for one more byte has rung.
            _ = (&self.bell).write(&[1]);
        }
        true
    }

    /// Takes all letters, in the order in which they came. `door` is what [`MailBox::new`] gave.
    pub(super) fn take(&self, mut door: &UnixStream) -> Vec<Mail> {
        // More bytes than this mean one more look, which finds nothing.
        _ = door.read(&mut [0; 64]);
        std::mem::take(&mut *self.letters())
    }

    fn letters(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
