//! Where messages end in a byte stream.

use crate::any::draft;
use hairpin::wire::stream::{Frame, next};
use hairpin::wire::{Class, Method, Writer, channel};
use proptest::prelude::*;

/// Cuts a stream that comes in chunks into messages, as a connection does: a buffer, and padding to skip.
/// What is left over is returned too; none if the stream cannot be followed.
fn cut<'c>(chunks: impl IntoIterator<Item = &'c [u8]>, legacy: bool) -> Option<(Vec<Vec<u8>>, usize)> {
    let (mut buffer, mut skip, mut found): (Vec<u8>, usize, Vec<Vec<u8>>) = (Vec::new(), 0, Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let skipped = skip.min(buffer.len());
            buffer.drain(..skipped);
            skip -= skipped;
            match next(&buffer, legacy) {
                Frame::Complete { len, pad } => {
                    found.push(buffer.drain(..len).collect());
                    skip = pad;
                }
                Frame::Incomplete { len } => {
                    assert!(len > buffer.len(), "more is needed than there is");
                    break;
                }
                Frame::Invalid => return None,
            }
        }
    }
    Some((found, buffer.len()))
}

/// ChannelData as a frame, with padding of whatever bytes.
fn frame(number: u16, body: &[u8], pad: u8) -> (Vec<u8>, Vec<u8>) {
    let message = [&channel::header(number, body.len())[..], body].concat();
    let mut padded = message.clone();
    padded.resize(message.len().next_multiple_of(4), pad);
    (message, padded)
}

/// A message, and the bytes that carry it on a stream.
fn message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let body = prop::collection::vec(any::<u8>(), 0..30);
    prop_oneof![
        draft().prop_filter("begins like STUN", |d| d.method.0 < 0x100).prop_map(|d| {
            let bytes = d.write(|_| {});
            (bytes.clone(), bytes)
        }),
        (0x4000..0x5000_u16, body, any::<u8>()).prop_map(|(number, body, pad)| frame(number, &body, pad)),
    ]
}

proptest! {
    /// FRAME-001, FRAME-002, FRAME-003, FRAME-006, FRAME-007.
    #[test]
    fn however_a_stream_is_split_its_messages_are_the_same(
        messages in prop::collection::vec(message(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|(_, carried)| carried.clone()).collect();
        let wanted: Vec<Vec<u8>> = messages.into_iter().map(|(message, _)| message).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(cut(chunks, false), Some((wanted.clone(), 0)));
        prop_assert_eq!(cut([&bytes[..]], false), Some((wanted.clone(), 0)));
        prop_assert_eq!(cut(bytes.chunks(1), false), Some((wanted, 0)));
    }

    /// FRAME-008.
    #[test]
    fn more_bytes_change_no_mind(bytes in prop::collection::vec(prop_oneof![Just(0), Just(0x40), Just(0x21), any::<u8>()], 0..40), legacy in any::<bool>()) {
        for len in 0..bytes.len() {
            match (next(&bytes[..len], legacy), next(&bytes, legacy)) {
                (Frame::Invalid, later) => prop_assert_eq!(later, Frame::Invalid),
                (Frame::Complete { len, pad }, later) => prop_assert_eq!(later, Frame::Complete { len, pad }),
                (Frame::Incomplete { len }, Frame::Complete { len: later, .. } | Frame::Incomplete { len: later }) => {
                    prop_assert!(len <= later);
                }
                (Frame::Incomplete { .. }, Frame::Invalid) => {}
            }
        }
    }
}

/// A Binding request without attributes.
fn binding() -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::BINDING, Class::Request, &[7; 12]);
    out
}

/// FRAME-001.
#[test]
fn a_message_ends_with_its_last_byte_and_not_before() {
    let request = binding();
    for len in 0..20 {
        assert!(matches!(next(&request[..len], false), Frame::Incomplete { .. }), "{len}");
    }
    assert_eq!(next(&request, false), Frame::Complete { len: 20, pad: 0 });
    assert_eq!(next(&[&request[..], &request].concat(), false), Frame::Complete { len: 20, pad: 0 });
}

/// FRAME-003, FRAME-007.
#[test]
fn channel_data_of_five_bytes_takes_twelve() {
    let (message, padded) = frame(0x4000, b"hello", 0);
    let bytes = [&padded[..], &binding()].concat();
    assert_eq!(next(&bytes, false), Frame::Complete { len: 9, pad: 3 });
    assert_eq!(next(&bytes[..9], false), Frame::Complete { len: 9, pad: 3 }, "padding is not waited for");
    assert_eq!(cut([&bytes[..]], false), Some((vec![message, binding()], 0)));
}

/// FRAME-008.
#[test]
fn what_begins_no_message_cannot_be_followed() {
    let request = binding();
    for first in (4..=63).chain(80..=255) {
        let mut bytes = request.clone();
        bytes[0] = first;
        assert_eq!(next(&bytes[..1], false), Frame::Invalid, "{first:#04x}");
        assert_eq!(next(&bytes, false), Frame::Invalid, "{first:#04x}");
        let legacy = next(&bytes, true);
        assert_eq!(legacy == Frame::Invalid, !(80..=127).contains(&first), "{first:#04x}");
    }
    for at in 4..8 {
        let mut bytes = request.clone();
        bytes[at] ^= 0x10;
        assert_eq!(next(&bytes, false), Frame::Invalid, "a cookie that is wrong at {at}");
        assert_eq!(next(&bytes[..=at], false), Frame::Invalid, "and as soon as it is seen");
    }
    for len in [1, 2, 3, 0xFD] {
        let mut bytes = request.clone();
        bytes[3] = len;
        assert_eq!(next(&bytes, false), Frame::Invalid, "a length of {len}");
        assert_eq!(next(&bytes[..4], false), Frame::Invalid, "and as soon as it is seen");
    }
}

/// FRAME-009.
#[test]
fn the_longest_lengths_do_not_wrap() {
    let mut longest = binding();
    longest[2..4].copy_from_slice(&[0xFF, 0xFC]);
    assert_eq!(next(&longest, false), Frame::Incomplete { len: 20 + 0xFFFC });
    longest.resize(20 + 0xFFFC, 0);
    assert_eq!(next(&longest, false), Frame::Complete { len: 20 + 0xFFFC, pad: 0 });
    let (_, mut data) = frame(0x4000, &[0; 0xFFFF], 0);
    assert_eq!(next(&data, false), Frame::Complete { len: 4 + 0xFFFF, pad: 1 });
    data.truncate(4);
    assert_eq!(next(&data, false), Frame::Incomplete { len: 4 + 0xFFFF });
}

/// FRAME-008.
#[test]
fn channels_of_rfc_5766_are_frames_where_they_are_switched_on() {
    for number in [0x5000, 0x6ABC, 0x7FFE] {
        let (message, padded) = frame(number, b"hello", 0);
        assert_eq!(cut([&padded[..]], true), Some((vec![message], 0)));
        assert_eq!(cut([&padded[..]], false), None);
    }
}
