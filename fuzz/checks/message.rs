//! Any bytes as one message: read or refused, and every accessor tells the same story.

use hairpin::wire::message::{HEADER, join_type};
use hairpin::wire::{ChannelData, Message, Writer, address, attribute, integrity, value};

/// Looks at these bytes in every way that there is.
pub(crate) fn check(data: &[u8]) {
    if let Ok(message) = Message::parse_any(data) {
        look(&message);
        write_again(&message);
        assert_eq!(Message::parse(data).is_ok(), message.has_cookie());
    }
    if let Ok(channel) = ChannelData::parse(data) {
        assert_eq!(channel.body, &data[4..4 + channel.body.len()]);
    }
}

fn look(message: &Message<'_>) {
    let (bytes, id) = (message.bytes(), message.transaction());
    assert_eq!(join_type(message.method(), message.class()).to_be_bytes(), bytes[..2]);
    assert_eq!(message.long_transaction()[4..], id);
    for (code, v) in message.attributes() {
        assert!(message.attribute(code).is_some());
        _ = (address::decode(v), address::decode_xor(v, &id), attribute::name(code));
        _ = (value::lifetime(v), value::channel_number(v), value::first_of_four(v), value::reserve_next(v));
        _ = (value::reservation_token(v), value::password_algorithm(v), value::transmit_count(v));
    }
    if let Some((at, v)) = message.sha1() {
        _ = integrity::check_sha1(bytes, at, v, b"key");
    }
    if let Some((at, v)) = message.sha256() {
        _ = integrity::check_sha256(bytes, at, v, b"key");
    }
    assert!(!format!("{message:?}").is_empty());
}

/// What was read can be written, and is then read alike.
fn write_again(message: &Message<'_>) {
    let mut out = Vec::new();
    let mut writer = Writer::classic(&mut out, message.method(), message.class(), &message.long_transaction());
    for (code, v) in message.attributes() {
        writer.attribute(code, v);
    }
    if message.has_fingerprint() {
        writer.fingerprint();
    }
    let Ok(again) = Message::parse_any(&out) else { panic!("what was written is not read: {out:02x?}") };
    assert!(again.attributes().eq(message.attributes()));
    assert_eq!(again.has_fingerprint(), message.has_fingerprint());
    assert!(out.len() >= HEADER && out.len() <= message.bytes().len());
}
