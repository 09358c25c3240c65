//! Where one message ends and the next begins in a byte stream (RFC 8489 §6.2.2, RFC 8656 §12.5).

use super::message::{COOKIE, HEADER};
use super::{Kind, channel, padding, u16_at};

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of `len` bytes, then `pad` bytes that belong to no message. The padding may come later.
    Complete {
        /// Bytes of the message.
        len: usize,
        /// Bytes to skip after it.
        pad: usize,
    },
    /// More bytes are needed: `len` in all, as far as it can be told.
    Incomplete {
        /// Bytes of the whole message; at least one more than there are.
        len: usize,
    },
    /// No message begins so; the stream cannot be followed any more.
    Invalid,
}

/// Looks at the front of a stream; `legacy` admits the channel numbers of RFC 5766.
#[must_use]
pub fn next(bytes: &[u8], legacy: bool) -> Frame {
    let Some(first) = bytes.first() else { return Frame::Incomplete { len: 1 } };
    match Kind::of(*first) {
        Kind::Stun => stun(bytes),
        Kind::Channel => channel_data(bytes),
        Kind::LegacyChannel if legacy => channel_data(bytes),
        Kind::LegacyChannel | Kind::Dtls | Kind::Other => Frame::Invalid,
    }
}

/// A STUN message: RFC 3489 had no streams, so the cookie must be there.
fn stun(bytes: &[u8]) -> Frame {
    let cookie = COOKIE.to_be_bytes();
    let seen = bytes.get(4..).unwrap_or_default();
    let seen = &seen[..seen.len().min(4)];
    if seen != &cookie[..seen.len()] || (bytes.len() >= 4 && !u16_at(bytes, 2).is_multiple_of(4)) {
        return Frame::Invalid;
    }
    if bytes.len() < HEADER {
        return Frame::Incomplete { len: HEADER };
    }
    whole(bytes, HEADER + usize::from(u16_at(bytes, 2)), 0)
}

/// ChannelData, padded to a multiple of four.
fn channel_data(bytes: &[u8]) -> Frame {
    if bytes.len() < channel::HEADER {
        return Frame::Incomplete { len: channel::HEADER };
    }
    let len = channel::HEADER + usize::from(u16_at(bytes, 2));
    whole(bytes, len, padding(len))
}

/// Complete if `len` bytes are there.
fn whole(bytes: &[u8], len: usize, pad: usize) -> Frame {
    if bytes.len() < len { Frame::Incomplete { len } } else { Frame::Complete { len, pad } }
}
