//! Properties of messages: whatever comes is read or refused, and what is written is read back.

use crate::any::*;
use hairpin::wire::message::{HEADER, join_type, split_type};
use hairpin::wire::{
    ChannelData, Class, Kind, Malformed, Message, Method, address, attribute, integrity, stream, value,
};
use proptest::prelude::*;

/// Looks at bytes in every way that there is.
fn look(bytes: &[u8]) {
    if let Ok(message) = Message::parse_any(bytes) {
        assert_eq!(message.bytes(), bytes);
        let seen: usize = message.attributes().map(|(_, v)| 4 + v.len().next_multiple_of(4)).sum();
        assert!(HEADER + seen <= bytes.len());
        for (code, v) in message.attributes() {
            assert!(message.attribute(code).is_some());
            _ = (address::decode(v), address::decode_xor(v, &message.transaction()), attribute::name(code));
            _ = (value::lifetime(v), value::channel_number(v), value::first_of_four(v), value::reserve_next(v));
            _ = (
                value::reservation_token(v),
                value::password_algorithm(v),
                value::transmit_count(v),
                value::error_code(v),
            );
        }
        for (at, v) in message.sha1().into_iter().chain(message.sha256()) {
            _ = (integrity::check_sha1(bytes, at, v, b"key"), integrity::check_sha256(bytes, at, v, b"key"));
        }
        assert_eq!(join_type(message.method(), message.class()).to_be_bytes(), bytes[..2]);
        assert_eq!(message.long_transaction()[4..], message.transaction());
        assert!(!message.has_fingerprint() || message.has_cookie());
        assert!(!format!("{message:?}").is_empty());
    }
    if let Ok(data) = ChannelData::parse(bytes) {
        assert_eq!(data.body, &bytes[4..4 + data.body.len()]);
    }
    for legacy in [false, true] {
        match stream::next(bytes, legacy) {
            stream::Frame::Complete { len, pad } => assert!(len <= bytes.len() && pad < 4),
            stream::Frame::Incomplete { len } => assert!(len > bytes.len()),
            stream::Frame::Invalid => {}
        }
    }
    _ = bytes.first().map(|first| Kind::of(*first));
}

proptest! {
    /// SEC-41.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        look(&bytes);
    }

    /// SEC-41.
    #[test]
    fn any_bytes_behind_a_right_header_are_read_or_refused(
        kind in 0..0x4000_u16,
        body in prop::collection::vec(prop_oneof![Just(0), Just(4), Just(8), any::<u8>()], 0..200),
    ) {
        let mut bytes = [&kind.to_be_bytes()[..], &[0, 0, 0x21, 0x12, 0xA4, 0x42], &[7; 12], &body].concat();
        bytes.truncate(bytes.len() / 4 * 4);
        let len = (bytes.len() - HEADER) as u16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        look(&bytes);
    }

    /// STUN-009, FRAME-017, FRAME-018, SEC-41.
    #[test]
    fn a_message_cut_or_prolonged_is_none(draft in draft(), tail in 1..9_usize) {
        let bytes = draft.write(|w| _ = w.sha1(b"key").sha256(b"key").fingerprint());
        for len in 0..bytes.len() {
            let wanted = if len < HEADER { Malformed::Short } else { Malformed::Length };
            prop_assert_eq!(Message::parse(&bytes[..len]).unwrap_err(), wanted);
            look(&bytes[..len]);
        }
        let long = [&bytes[..], &vec![0; tail]].concat();
        prop_assert_eq!(Message::parse(&long).unwrap_err(), Malformed::Length);
    }

    /// STUN-027, AUTH-005, SEC-41.
    #[test]
    fn a_flipped_bit_is_noticed(draft in draft(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut bytes = draft.write(|w| _ = w.sha1(b"key").sha256(b"key").fingerprint());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        look(&bytes);
        // One bit cannot make another right FINGERPRINT; what it can do is hide the attribute.
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert!(!message.has_fingerprint());
        }
    }

    /// AUTH-005, AUTH-024.
    #[test]
    fn a_flipped_bit_spoils_the_proof(draft in draft(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut bytes = draft.write(|w| _ = w.sha1(b"key"));
        let proved = bytes.len();
        let at = at.index(proved);
        bytes[at] ^= 1 << bit;
        if let Ok(message) = Message::parse(&bytes) {
            let right = message.sha1().is_some_and(|(at, v)| integrity::check_sha1(&bytes, at, v, b"key"));
            prop_assert!(!right);
        }
    }

    /// STUN-001.
    #[test]
    fn what_is_written_is_read(draft in draft()) {
        let bytes = draft.write(|_| {});
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!((message.method(), message.class()), (draft.method, draft.class));
        prop_assert_eq!(message.transaction(), draft.id);
        prop_assert!(message.has_cookie() && !message.has_fingerprint());
        prop_assert!(message.sha1().is_none() && message.sha256().is_none());
        let read: Vec<(u16, Vec<u8>)> = message.attributes().map(|(code, v)| (code, v.to_vec())).collect();
        prop_assert_eq!(&read, &draft.attributes);
        for (code, _) in &draft.attributes {
            let first = draft.attributes.iter().find(|(c, _)| c == code).map(|(_, v)| &v[..]);
            prop_assert_eq!(message.attribute(*code), first);
        }
    }

    /// AUTH-027, STUN-028.
    #[test]
    fn every_proof_that_is_written_is_right(draft in draft(), key in prop::collection::vec(any::<u8>(), 0..100)) {
        let bytes = draft.write(|w| _ = w.sha1(&key).sha256(&key).fingerprint());
        let message = Message::parse(&bytes).unwrap();
        prop_assert!(message.has_fingerprint());
        let (at, v) = message.sha1().unwrap();
        prop_assert!(integrity::check_sha1(&bytes, at, v, &key));
        let (at, v) = message.sha256().unwrap();
        prop_assert!(integrity::check_sha256(&bytes, at, v, &key));
        prop_assert!(!integrity::check_sha256(&bytes, at, &v[..16], &key));
        prop_assert_eq!(message.attributes().count(), draft.attributes.len());
    }

    /// AUTH-028, AUTH-030, AUTH-031, AUTH-032, SEC-24.
    #[test]
    fn nothing_after_the_first_proof_is_seen(draft in draft(), late in draft(), sha256_first in any::<bool>()) {
        let bytes = draft.write(|w| {
            if sha256_first { w.sha256(b"key") } else { w.sha1(b"key") };
            for (code, v) in &late.attributes {
                w.attribute(*code, v);
            }
            if sha256_first { w.sha1(b"key") } else { w.sha256(b"key") };
            for (code, v) in &late.attributes {
                w.attribute(*code, v);
            }
            w.fingerprint();
        });
        let message = Message::parse(&bytes).unwrap();
        let read: Vec<(u16, Vec<u8>)> = message.attributes().map(|(code, v)| (code, v.to_vec())).collect();
        prop_assert_eq!(&read, &draft.attributes);
        prop_assert_eq!(message.sha1().is_some(), !sha256_first, "a later one does not count");
        prop_assert!(message.sha256().is_some() && message.has_fingerprint());
    }

    /// STUN-001, STUN-002.
    #[test]
    fn addresses_are_read_as_they_were_written(addr in socket_addr(), id in any::<[u8; 12]>()) {
        prop_assert_eq!(address::decode(address::encode(addr).as_bytes()), Some(addr));
        prop_assert_eq!(address::decode_xor(address::encode_xor(addr, &id).as_bytes(), &id), Some(addr));
    }

    /// STUN-038.
    #[test]
    fn an_address_has_the_length_of_its_family(v in prop::collection::vec(any::<u8>(), 0..30), id in any::<[u8; 12]>()) {
        let wanted = matches!((v.get(1), v.len()), (Some(1), 8) | (Some(2), 20));
        prop_assert_eq!(address::decode(&v).is_some(), wanted);
        prop_assert_eq!(address::decode_xor(&v, &id).is_some(), wanted);
    }

    #[test]
    fn a_classic_message_is_read_with_its_long_id(id in any::<[u8; 16]>(), addr in socket_addr()) {
        prop_assume!(id[..4] != [0x21, 0x12, 0xA4, 0x42]);
        let mut bytes = Vec::new();
        hairpin::wire::Writer::classic(&mut bytes, Method::BINDING, Class::Success, &id).address(attribute::MAPPED_ADDRESS, addr);
        prop_assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed::Cookie);
        let message = Message::parse_any(&bytes).unwrap();
        prop_assert_eq!(message.long_transaction(), id);
        prop_assert_eq!(address::decode(message.attribute(attribute::MAPPED_ADDRESS).unwrap()), Some(addr));
    }
}

/// STUN-010.
#[test]
fn every_type_splits_into_method_and_class_and_joins_again() {
    for kind in 0..0x4000_u16 {
        let (method, class) = split_type(kind);
        assert!(method.0 < 0x1000);
        assert_eq!(join_type(method, class), kind);
    }
    assert_eq!(split_type(0x0113), (Method::ALLOCATE, Class::Error));
    assert_eq!(split_type(0x3EEF), (Method(0xFFF), Class::Request));
}

/// STUN-017, STUN-018, STUN-037.
#[test]
fn every_attribute_of_the_table_has_a_name_and_the_table_is_in_order() {
    assert!(attribute::TABLE.is_sorted_by_key(|a| a.code));
    for a in attribute::TABLE {
        assert!(attribute::is_known(a.code));
        assert_eq!(attribute::name(a.code), Some(a.name));
    }
    let known = (0..=u16::MAX).filter(|code| attribute::is_known(*code)).count();
    assert_eq!(known, attribute::TABLE.len());
    assert_eq!(attribute::name(0x7F01), None);
    assert!(attribute::is_required(0x7FFF) && !attribute::is_required(0x8000));
}
