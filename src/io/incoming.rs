//! Cutting a client's stream into messages.

use crate::turn::Time;
use crate::wire::http::{self, Beginning};
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
    tongue: Tongue,
}

/// What a stream speaks. The first bytes tell, once and for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tongue {
    /// Nothing yet.
    #[default]
    Unknown,
    /// STUN and ChannelData.
    Stun,
    /// HTTP.
    Http,
}

/// Who takes the frames of a stream.
pub(super) trait Frames {
    /// Takes a whole one.
    fn frame(&mut self, frame: &[u8]);

    /// What follows is none of its frames.
    fn is_over(&self) -> bool;

    /// A frame may be as large as 16 bits can tell.
    fn may_be_large(&self) -> bool;

    /// Takes a request of HTTP, after which the stream ends.
    fn http(&mut self, head: &[u8]);
}

/// A stream that cannot be followed any more.
#[derive(Debug)]
pub(super) struct OutOfStep;

impl Incoming {
    /// Since when a frame is unfinished.
    pub(super) fn since(&self) -> Option<Time> {
        self.since
    }

    /// The stream speaks STUN: the client has said so in its TLS handshake.
    pub(super) fn expect_stun(&mut self) {
        self.tongue = Tongue::Stun;
    }

    /// What has come after the last frame.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }

    /// Puts a frame back that was taken last.
    pub(super) fn put_before(&mut self, frame: &[u8]) {
        self.rest.splice(..0, frame.iter().copied());
    }

    /// Takes what has come and hands every whole frame on.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        legacy: bool,
        now: Time,
        to: &mut impl Frames,
    ) -> Result<(), OutOfStep> {
        if self.tongue != Tongue::Stun && !self.is_stun(bytes) {
            return self.take_http(bytes, now, to);
        }
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

    /// Whether a stream that has said little so far speaks STUN, as far as can be told.
    fn is_stun(&mut self, bytes: &[u8]) -> bool {
        let first: Vec<u8> = self.rest.iter().chain(bytes).take(http::ENOUGH).copied().collect();
        self.tongue = match http::beginning(&first) {
            Beginning::Request => Tongue::Http,
            Beginning::Perhaps => Tongue::Unknown,
            Beginning::Other => Tongue::Stun,
        };
        self.tongue == Tongue::Stun
    }

    /// Takes what has come of a request, or of what may yet be one. The line that matters is the first, so a head that
    /// is too long is answered as well.
    fn take_http(&mut self, bytes: &[u8], now: Time, to: &mut impl Frames) -> Result<(), OutOfStep> {
        let room = FIRST_FRAMES.saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.since.get_or_insert(now);
        if self.tongue == Tongue::Unknown || (self.rest.len() < FIRST_FRAMES && !http::is_whole(&self.rest)) {
            return Ok(());
        }
        to.http(&self.rest);
        Err(OutOfStep)
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
                    if to.is_over() {
                        return Ok(at);
                    }
                }
                Frame::Incomplete { len } if len <= FIRST_FRAMES || to.may_be_large() => {
                    return Ok(at);
                }
                Frame::Incomplete { .. } | Frame::Invalid => return Err(OutOfStep),
            }
        }
    }
}
