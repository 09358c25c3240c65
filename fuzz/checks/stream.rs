//! Any bytes as a stream in chunks: the same messages, however it is split.

use hairpin::wire::stream::{Frame, next};

/// The first byte says how the rest is split, and whether the channels of RFC 5766 are allowed.
pub(crate) fn check(data: &[u8]) {
    let Some((how, stream)) = data.split_first() else { return };
    let (legacy, size) = (how & 0x80 != 0, usize::from(how & 0x7F).max(1));
    let whole = cut(stream.chunks(stream.len().max(1)), legacy);
    assert_eq!(cut(stream.chunks(size), legacy), whole);
    assert_eq!(cut(stream.chunks(1), legacy), whole);
}

/// What a connection makes of its chunks: messages, and how the stream ended.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    messages: Vec<Vec<u8>>,
    broken: bool,
}

/// Cuts a stream as a connection does: a buffer, and padding to skip.
fn cut<'c>(chunks: impl Iterator<Item = &'c [u8]>, legacy: bool) -> Cut {
    let (mut buffer, mut skip, mut messages): (Vec<u8>, usize, Vec<Vec<u8>>) = (Vec::new(), 0, Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            let skipped = skip.min(buffer.len() - at);
            (at, skip) = (at + skipped, skip - skipped);
            match next(&buffer[at..], legacy) {
                Frame::Complete { len, pad } => {
                    assert!(len > 0 && len <= buffer.len() - at && pad < 4);
                    messages.push(buffer[at..at + len].to_vec());
                    (at, skip) = (at + len, pad);
                }
                Frame::Incomplete { len } => {
                    assert!(len > buffer.len() - at && len <= 20 + 0xFFFF);
                    break;
                }
                Frame::Invalid => return Cut { messages, broken: true },
            }
        }
        buffer.drain(..at);
    }
    Cut { messages, broken: false }
}
