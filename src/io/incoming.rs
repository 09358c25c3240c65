//! Cutting a client's stream into messages.

use crate::turn::Time;
use crate::wire::stream::{Frame, next};

/// The largest frame before there is an allocation; afterwards any that 16 bits can tell.
const FIRST_FRAMES: usize = 2048;
/// Bytes of buffer that a client keeps when nothing is unfinished.
const KEPT: usize = 4096;

/// What has come of a frame that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    rest: Vec<u8>,
    /// Bytes of padding that are still to come.
    skip: usize,
    /// Since when a frame is unfinished.
    since: Option<Time>,
}

/// Who takes the frames of a stream.
pub(super) trait Frames {
    /// Takes a whole one.
    fn frame(&mut self, frame: &[u8]);

    /// A frame may be as large as 16 bits can tell.
    fn may_be_large(&self) -> bool;
}

/// A stream that cannot be followed any more.
#[derive(Debug)]
pub(super) struct OutOfStep;

impl Incoming {
    /// Since when a frame is unfinished.
    pub(super) fn since(&self) -> Option<Time> {
        self.since
    }

    /// Takes what has come and hands every whole frame on.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        legacy: bool,
        now: Time,
        to: &mut impl Frames,
    ) -> Result<(), OutOfStep> {
        let mut rest = std::mem::take(&mut self.rest);
        // Most often a read ends where a frame does; then nothing is ever copied.
        let taken = if rest.is_empty() {
            let taken = self.cut(bytes, legacy, to)?;
            rest.extend_from_slice(&bytes[taken..]);
            taken
        } else {
            rest.extend_from_slice(bytes);
            let taken = self.cut(&rest, legacy, to)?;
            rest.drain(..taken);
            taken
        };
        // A frame's time runs from its first byte, however many more trickle in.
        let begun = self.since.filter(|_| taken == 0);
        self.since = (!rest.is_empty()).then(|| begun.unwrap_or(now));
        if rest.is_empty() {
            rest.shrink_to(KEPT);
        }
        self.rest = rest;
        Ok(())
    }

    /// Hands on every whole frame at the front; says how many bytes they were with their padding.
    fn cut(&mut self, bytes: &[u8], legacy: bool, to: &mut impl Frames) -> Result<usize, OutOfStep> {
        let mut at = 0;
        loop {
            let skipped = self.skip.min(bytes.len() - at);
            at += skipped;
            self.skip -= skipped;
            match next(&bytes[at..], legacy) {
                Frame::Complete { len, pad } => {
                    to.frame(&bytes[at..at + len]);
                    at += len;
                    self.skip = pad;
                }
                Frame::Incomplete { len } if len <= FIRST_FRAMES || to.may_be_large() => {
                    return Ok(at);
                }
                Frame::Incomplete { .. } | Frame::Invalid => return Err(OutOfStep),
            }
        }
    }
}
