//! What waits to be written to a stream client, and what happens to those who read slowly.

use crate::turn::Head;

/// Bytes of data that may wait for a client; what comes beyond is dropped in whole frames.
const BACKLOG: usize = 256 * 1024;
/// Room kept for answers beyond that.
const ANSWERS: usize = 16 * 1024;
/// Bytes of buffer that a client keeps when nothing waits.
const KEPT: usize = 4096;

/// What waits to be written to one client: whole frames, bounded.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    /// Bytes at the front that are written already.
    written: usize,
    /// Answers that wait: those put out before some moment, and those since. When the first have been written, the
    /// others take their place, so that a slow client is measured by what it owes and not by what it ever asked.
    answers: [Answers; 2],
}

/// Answers that wait.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    /// Bytes of them.
    bytes: usize,
    /// Where the last of them ends.
    end: usize,
}

impl Outgoing {
    /// Adds a frame of data; false if too much waits already.
    pub(super) fn push_data(&mut self, head: &Head, body: &[u8]) -> bool {
        let frame = head.as_bytes().len() + body.len() + head.pad();
        if self.waiting().len() + frame > BACKLOG {
            return false;
        }
        self.make_room(frame);
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.bytes.len() + head.pad(), 0);
        true
    }

    /// Adds an answer. It has room of its own, so that a flood of data does not cost it; false for who asks and asks
    /// and does not read.
    pub(super) fn push_message(&mut self, message: &[u8]) -> bool {
        let [old, new] = &self.answers;
        if old.bytes + new.bytes + message.len() > ANSWERS {
            return false;
        }
        self.make_room(message.len());
        self.bytes.extend_from_slice(message);
        let [_, new] = &mut self.answers;
        *new = Answers { bytes: new.bytes + message.len(), end: self.bytes.len() };
        true
    }

    /// Adds bytes that are no frame. Whoever does so takes no more of them until these are written.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes at the front have been written.
    pub(super) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= self.answers[0].end {
            self.answers = [self.answers[1], Answers::default()];
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            // A client that was slow once need not hold its backlog's memory for ever.
            self.bytes.shrink_to(KEPT);
            (self.written, self.answers) = (0, Default::default());
        }
    }

    /// Moves what waits to the front where the vector would have to grow otherwise.
    fn make_room(&mut self, more: usize) {
        if self.written > 0 && self.bytes.len() + more > self.bytes.capacity() {
            self.bytes.drain(..self.written);
            for answers in &mut self.answers {
                answers.end = answers.end.saturating_sub(self.written);
            }
            self.written = 0;
        }
    }
}
