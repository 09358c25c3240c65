//! The peers' ends of relayed connections (RFC 6062): accepted, known by a greeting, then read and written.

use super::stream::Stream;
use crate::wire::channel::ChannelData;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Where the server connects to, and the connections that it has made.
pub(super) struct Ends {
    /// Where they are accepted.
    pub listener: TcpListener,
    ends: Vec<Option<End>>,
    /// The end of each client that has greeted.
    of: Vec<Option<usize>>,
    /// What a client's greeting ends with.
    secret: Secret,
    /// Ends that have something to write.
    behind: Vec<usize>,
}

/// What only the clients of this run know: whoever else reaches the port has no client's place to take.
pub(super) type Secret = [u8; 16];

/// One connection.
struct End {
    stream: Stream,
    is_behind: bool,
    /// It has greeted, so that it is one of ours and no stranger's.
    is_known: bool,
}

impl Ends {
    /// Listens at a port of its own, for so many clients who know the secret; says at which.
    pub(super) fn listen(ip: IpAddr, clients: usize, secret: Secret) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((ip, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((Self { listener, ends: Vec::new(), of: vec![None; clients], secret, behind: Vec::new() }, addr))
    }

    /// Takes the next connection that has been made, if there is one; says which it is.
    pub(super) fn accept(&mut self) -> io::Result<Option<usize>> {
        match self.listener.accept() {
            Ok((socket, _)) => {
                self.ends.push(Some(End { stream: Stream::accepted(socket)?, is_behind: false, is_known: false }));
                Ok(Some(self.ends.len() - 1))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A connection.
    pub(super) fn stream(&mut self, end: usize) -> Option<&mut Stream> {
        Some(&mut self.ends.get_mut(end)?.as_mut()?.stream)
    }

    /// Takes a greeting, and greets back.
    pub(super) fn greet(&mut self, end: usize, greeting: &[u8]) -> io::Result<()> {
        let Some(client) = ChannelData::parse(greeting).ok().and_then(|frame| self.greeted(frame.body)) else {
            return Ok(());
        };
        let (Some(place), Some(known)) = (self.of.get_mut(client), self.ends.get_mut(end).and_then(Option::as_mut))
        else {
            return Ok(());
        };
        *place = Some(end);
        known.is_known = true;
        known.stream.push(greeting);
        known.stream.flush()
    }

    /// The client that greets so, if it is one of this run.
    fn greeted(&self, greeting: &[u8]) -> Option<usize> {
        let number: [u8; 4] = greeting.strip_suffix(&self.secret)?.try_into().ok()?;
        Some(u32::from_be_bytes(number) as usize)
    }

    /// A connection has greeted.
    pub(super) fn is_known(&self, end: usize) -> bool {
        self.ends.get(end).and_then(Option::as_ref).is_some_and(|end| end.is_known)
    }

    /// Adds a frame to what is written to a client; false if it has no end, and nothing can be sent.
    pub(super) fn push(&mut self, client: usize, frame: &[u8]) -> bool {
        let Some(place) = self.of.get(client).copied().flatten() else { return false };
        let Some(end) = self.ends.get_mut(place).and_then(Option::as_mut) else { return false };
        end.stream.push(frame);
        if !std::mem::replace(&mut end.is_behind, true) {
            self.behind.push(place);
        }
        true
    }

    /// Something waits to be written.
    pub(super) fn are_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Writes what has gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let (ends, mut result) = (&mut self.ends, Ok(()));
        self.behind.retain(|place| {
            let Some(end) = ends[*place].as_mut() else { return false };
            let flushed = end.stream.flush();
            end.is_behind = flushed.is_ok() && end.stream.is_behind();
            result = std::mem::replace(&mut result, Ok(())).and(flushed);
            end.is_behind
        });
        result
    }

    /// A connection is over.
    pub(super) fn close(&mut self, end: usize) {
        if let Some(end) = self.ends.get_mut(end) {
            *end = None;
        }
    }
}
