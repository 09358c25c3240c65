//! Every typed value, byte for byte, written into memory that is full of 0xa5.

use hairpin::turn::Head;
use hairpin::wire::address::{self, Family};
use hairpin::wire::{Class, Code, Method, Writer, attribute as a, channel, padding, value};
use std::net::SocketAddr;

const ID: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// The attributes of a message, after its header; the memory that they are written to is not clean.
fn written(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = vec![0xA5; 4096];
    out.truncate(3);
    fill(&mut Writer::new(&mut out, Method::BINDING, Class::Success, &ID));
    let attributes = out.split_off(23);
    assert_eq!(out[..3], [0xA5; 3]);
    let len = (attributes.len() as u16).to_be_bytes();
    assert_eq!(out[3..], [&[0x01, 0x01, len[0], len[1], 0x21, 0x12, 0xA4, 0x42], &ID[..]].concat());
    attributes
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_message_without_attributes_is_its_header() {
    assert!(written(|_| {}).is_empty());
    let mut out = Vec::new();
    let writer = Writer::new(&mut out, Method::CHANNEL_BIND, Class::Error, &ID);
    assert!(writer.len() == 20 && !writer.is_empty());
    assert_eq!(out[..8], [0x01, 0x19, 0, 0, 0x21, 0x12, 0xA4, 0x42]);
}

/// FRAME-005, SEC-47.
#[test]
fn values_are_padded_with_zeros() {
    let wanted: [(&[u8], &[u8]); 6] = [
        (b"", &[0x80, 0x22, 0, 0]),
        (b"a", &[0x80, 0x22, 0, 1, b'a', 0, 0, 0]),
        (b"ab", &[0x80, 0x22, 0, 2, b'a', b'b', 0, 0]),
        (b"abc", &[0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]),
        (b"abcd", &[0x80, 0x22, 0, 4, b'a', b'b', b'c', b'd']),
        (b"abcde", &[0x80, 0x22, 0, 5, b'a', b'b', b'c', b'd', b'e', 0, 0, 0]),
    ];
    for (value, bytes) in wanted {
        assert_eq!(written(|w| _ = w.attribute(a::SOFTWARE, value)), bytes);
    }
    assert_eq!([0, 1, 2, 3, 4, 5].map(padding), [0, 3, 2, 1, 0, 3]);
}

/// STUN-001, STUN-002, STUN-034.
#[test]
fn addresses_in_clear_and_masked() {
    let (v4, v6) = (addr("192.0.2.15:50000"), addr("[2001:db8::1]:3478"));
    assert_eq!(written(|w| _ = w.address(a::MAPPED_ADDRESS, v4)), [0, 1, 0, 8, 0, 1, 0xC3, 0x50, 192, 0, 2, 15]);
    assert_eq!(
        written(|w| _ = w.address(a::MAPPED_ADDRESS, v6)),
        [0, 1, 0, 20, 0, 2, 0x0D, 0x96, 0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    );
    assert_eq!(
        written(|w| _ = w.xor_address(a::XOR_PEER_ADDRESS, v4)),
        [0, 0x12, 0, 8, 0, 1, 0xE2, 0x42, 0xE1, 0x12, 0xA6, 0x4D]
    );
    assert_eq!(
        written(|w| _ = w.xor_address(a::XOR_RELAYED_ADDRESS, v6)),
        [0, 0x16, 0, 20, 0, 2, 0x2C, 0x84, 1, 0x13, 0xA9, 0xFA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]
    );
    assert_eq!(address::encode(v4).as_bytes().len(), 8);
    assert_eq!(address::encode_xor(v6, &ID).as_bytes().len(), 20);
}

/// STUN-038.
#[test]
fn families_have_two_codes() {
    assert_eq!([0, 1, 2, 3].map(Family::from_code), [None, Some(Family::V4), Some(Family::V6), None]);
    assert_eq!((Family::V4 as u8, Family::V6 as u8), (1, 2));
    assert_eq!((Family::V4.other(), Family::V6.other()), (Family::V6, Family::V4));
    assert_eq!(Family::of(addr("[::ffff:192.0.2.1]:1").ip()), Family::V6);
}

#[test]
fn numbers_are_four_bytes() {
    assert_eq!(written(|w| _ = w.number(a::LIFETIME, 600)), [0, 0x0D, 0, 4, 0, 0, 2, 0x58]);
    assert_eq!(written(|w| _ = w.number(a::LIFETIME, u32::MAX)), [0, 0x0D, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF]);
}

/// STUN-022, STUN-023.
#[test]
fn errors_have_class_number_and_a_phrase_that_is_cut_below_128() {
    assert_eq!(written(|w| _ = w.error(Code::STALE_NONCE, "")), [0, 9, 0, 4, 0, 0, 4, 38]);
    assert_eq!(written(|w| _ = w.error(Code::INSUFFICIENT_CAPACITY, "No")), [0, 9, 0, 6, 0, 0, 5, 8, b'N', b'o', 0, 0]);
    let long = written(|w| _ = w.error(Code::BAD_REQUEST, &"x".repeat(500)));
    assert_eq!(long.len(), 4 + 132);
    assert_eq!(long[..8], [0, 9, 0, 131, 0, 0, 4, 0]);
    assert_eq!(long[135], 0, "127 characters and one byte of padding");
    let codes = [
        (Code::BAD_REQUEST, [4, 0]),
        (Code::UNAUTHENTICATED, [4, 1]),
        (Code::FORBIDDEN, [4, 3]),
        (Code::UNKNOWN_ATTRIBUTE, [4, 20]),
        (Code::ALLOCATION_MISMATCH, [4, 37]),
        (Code::STALE_NONCE, [4, 38]),
        (Code::FAMILY_UNSUPPORTED, [4, 40]),
        (Code::WRONG_CREDENTIALS, [4, 41]),
        (Code::TRANSPORT_UNSUPPORTED, [4, 42]),
        (Code::PEER_FAMILY_MISMATCH, [4, 43]),
        (Code::QUOTA_REACHED, [4, 86]),
        (Code::SERVER_ERROR, [5, 0]),
        (Code::INSUFFICIENT_CAPACITY, [5, 8]),
    ];
    for (code, bytes) in codes {
        assert_eq!(code.class_and_number(), bytes);
        assert!(!code.phrase().is_empty() && code.phrase().len() < 128);
    }
}

/// AUTH-027.
#[test]
fn proofs_and_fingerprint_have_the_length_field_that_ends_with_them() {
    let bytes = written(|w| _ = w.sha1(b"pass").sha256(b"pass").fingerprint());
    assert_eq!(bytes[..4], [0, 8, 0, 20]);
    assert_eq!(bytes[24..28], [0, 0x1C, 0, 32]);
    assert_eq!(bytes[60..64], [0x80, 0x28, 0, 4]);
    assert_eq!(bytes.len(), 68);
}

#[test]
fn a_value_that_is_sent_apart_counts_in_the_length() {
    let mut out = vec![0xA5; 64];
    out.clear();
    let mut writer = Writer::new(&mut out, Method::DATA, Class::Indication, &ID);
    writer.xor_address(a::XOR_PEER_ADDRESS, addr("192.0.2.15:50000"));
    writer.announce(a::DATA, 5);
    assert_eq!(out[..4], [0, 0x17, 0, 12 + 4 + 8]);
    assert_eq!(out[32..], [0, 0x13, 0, 5]);
}

/// AUTH-018, AUTH-023.
#[test]
fn typed_values_have_one_length_and_their_reserved_bytes_are_not_looked_at() {
    let long: Vec<u8> = (0..16).collect();
    for len in 0..16 {
        let v = &long[..len];
        assert_eq!(value::lifetime(v).is_some(), len == 4);
        assert_eq!(value::channel_number(v).is_some(), len == 4);
        assert_eq!(value::first_of_four(v).is_some(), len == 4);
        assert_eq!(value::transmit_count(v).is_some(), len == 4);
        assert_eq!(value::reserve_next(v).is_some(), len == 1);
        assert_eq!(value::reservation_token(v).is_some(), len == 8);
    }
    assert_eq!(value::lifetime(&[0, 0, 2, 0x58]), Some(600));
    assert_eq!(value::channel_number(&[0x40, 1, 0xFF, 0xFF]), Some(0x4001));
    assert_eq!(value::first_of_four(&[17, 0xFF, 0xFF, 0xFF]), Some(17));
    assert_eq!(value::error_code(b"\xFF\xFF\xFC\x26Stale Nonce"), Some(438));
    assert_eq!(value::error_code(&[0, 0, 4]), None);
    assert_eq!(value::transmit_count(&[0xFF, 0xFF, 3, 0xFF]), Some(3));
    assert_eq!(
        [0x80, 0xFF, 0x7F, 0].map(|byte| value::reserve_next(&[byte])),
        [Some(true), Some(true), Some(false), Some(false)]
    );
    assert_eq!(value::reservation_token(b"12345678"), Some(*b"12345678"));
    assert_eq!(value::password_algorithm(&[0, 2, 0, 0]), Some(2));
    assert_eq!(value::password_algorithm(&[0, 2, 0, 4]), None);
    assert_eq!(value::password_algorithm(&[0, 2, 0, 4, 0, 0, 0, 0]), None);
}

/// TURN-095.
#[test]
fn icmp_is_eight_bytes() {
    assert_eq!(value::icmp(3, 4, 1400), [0, 0, 3, 4, 0, 0, 5, 0x78]);
    assert_eq!(value::icmp(255, 255, u32::MAX), [0, 0, 255, 255, 255, 255, 255, 255]);
}

/// FRAME-004, FRAME-021.
#[test]
fn channel_data_has_four_bytes_before_it() {
    assert_eq!(channel::header(0x4FFF, 0), [0x4F, 0xFF, 0, 0]);
    assert_eq!(channel::header(0x4000, 0xFFFF), [0x40, 0, 0xFF, 0xFF]);
    for (len, pad) in [(0, 0), (1, 3), (2, 2), (3, 1), (4, 0)] {
        assert_eq!(Head::channel(0x4000, len, true).pad(), pad);
        assert_eq!(Head::channel(0x4000, len, false).pad(), 0);
        assert_eq!(Head::channel(0x4000, len, true).as_bytes(), [0x40, 0, 0, len as u8]);
    }
    let full = Head::new(&[0x5A; Head::CAPACITY], 3);
    assert_eq!((full.as_bytes().len(), full.pad()), (48, 3));
    assert_eq!((Head::EMPTY.as_bytes(), Head::EMPTY.pad()), (&[][..], 0));
}
