//! What a worker does with its stream clients.

use super::{SLOTS, Worker};
use crate::io::incoming::Frames;
use crate::io::session::Received;
use crate::io::stream::Written;
use crate::io::sys::Ready;
use crate::turn::{Event, Path, Verdict};

impl Worker {
    /// Serves a stream client whose socket has something to tell.
    pub(super) fn serve_stream(&mut self, index: u32, event: Ready) {
        if event.writable || event.failed {
            self.streams.unblock(index);
        }
        if !event.readable {
            return;
        }
        match self.streams.read(index, event.ended, self.now.time) {
            None => {}
            Some(Ok(Received { count, end })) => {
                let in_step = count == 0 || self.take_frames(index, count);
                if !self.turn(end) && (end || !in_step) {
                    self.end_stream(index);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "stream: connection ended");
                self.break_stream(index);
            }
        }
    }

    /// Takes the frames of what was read from a stream; false if it cannot be followed.
    pub(super) fn take_frames(&mut self, index: u32, count: usize) -> bool {
        if let Some((path, name)) = self.streams.introduce(index) {
            self.server.handle_event(self.now, Event::Named { path, name });
        }
        let Some((path, legacy, mut incoming, buffers)) = self.streams.take(index) else { return true };
        let now = self.now.time;
        let result = incoming.take(buffers.clear(count), legacy, now, &mut Client { worker: self, path });
        self.streams.put_back(index, incoming, buffers, now);
        result.is_ok()
    }

    /// A stream client has stopped sending, or has had its time: what is owed to it is written, for a moment.
    pub(super) fn end_stream(&mut self, index: u32) {
        match self.streams.begin_closing(index, self.now.time) {
            Some(path) => self.tell_closed(path),
            // It was given its moment already.
            None => self.break_stream(index),
        }
    }

    /// A stream client is gone.
    fn break_stream(&mut self, index: u32) {
        if let Some(path) = self.streams.remove(index) {
            self.tell_closed(path);
        }
    }

    /// The connection or session of a client is over, and with it what the client had.
    pub(super) fn tell_closed(&mut self, path: Path) {
        self.roamer_closed(path);
        self.server.handle_event(self.now, Event::Closed { path });
        self.drain();
        self.forget_guest(&path);
    }

    /// Writes what waits for streams.
    pub(super) fn flush_streams(&mut self) {
        while let Some(index) = self.streams.next_dirty() {
            match self.streams.write(index, self.now.time) {
                Written::Open => {}
                Written::Closed => drop(self.streams.remove(index)),
                Written::Broken => self.break_stream(index),
            }
        }
    }

    /// Answers a request of HTTP.
    fn http(&mut self, path: Path, head: &[u8]) {
        let (commons, streams, now) = (&self.commons, &self.streams, self.now.time);
        commons.web().answer(head, || streams.may_read_file(&path, now), &mut self.reply);
        tracing::debug!(client = %path.client, "http: answered");
        self.answer(path);
    }

    /// Takes a whole message of a stream client.
    pub(super) fn frame(&mut self, path: Path, frame: &[u8]) {
        if let Some(home) = self.roamers.home(&path) {
            return self.hand_home(home, path, frame.to_vec());
        }
        let verdict = self.server.handle_client(self.now, path, frame, &mut self.reply);
        self.settle(path, frame, verdict);
        self.drain();
        if self.outbox.len() >= SLOTS {
            self.flush_datagrams();
        }
    }

    /// Does what was decided about a client's packet that does not stand in the inbox.
    pub(super) fn settle(&mut self, path: Path, packet: &[u8], verdict: Verdict<'_>) {
        match verdict {
            Verdict::ToPeer { relay, peer, body, dont_fragment } => self.copy_to_peer(relay, peer, body, dont_fragment),
            Verdict::Reply => self.answer(path),
            Verdict::Drop(reason) => tracing::trace!(from = %path.client, reason = reason.label(), "dropped"),
            Verdict::Elsewhere(claim) => self.ask_elsewhere(path, claim, packet.to_vec()),
            Verdict::Done | Verdict::ToClient { .. } => {}
        }
    }
}

/// A stream client and the worker that serves it.
struct Client<'a> {
    worker: &'a mut Worker,
    path: Path,
}

impl Frames for Client<'_> {
    fn frame(&mut self, frame: &[u8]) {
        self.worker.frame(self.path, frame);
    }

    fn is_over(&self) -> bool {
        self.worker.turning.is_some()
    }

    fn http(&mut self, head: &[u8]) {
        self.worker.http(self.path, head);
    }

    fn may_be_large(&self) -> bool {
        self.worker.roamers.lives_on(&self.worker.server, &self.path)
    }
}
