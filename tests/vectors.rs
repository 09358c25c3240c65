//! Messages that others have computed: those of the RFCs, with their errata, and some of the project's own
//! that two implementations agree on. Each is read here, and written again where the writer can.

#![allow(clippy::unwrap_used)]

use hairpin::auth::check::algorithm_list;
use hairpin::auth::key::{Algorithm, Key, NotAllowed, Part, Why, opaque_string, saslprep, user_hash};
use hairpin::auth::nonce::{BitOrder, Features, Nonces};
use hairpin::auth::rest::{self, Hash};
use hairpin::turn::Head;
use hairpin::wire::address::{self, Family};
use hairpin::wire::message::Message;
use hairpin::wire::stream::{Frame, next};
use hairpin::wire::{ChannelData, Class, Code, Malformed, Method, Writer, attribute as a, integrity, value};
use std::net::SocketAddr;
use std::time::Duration;

/// The transaction id of RFC 5769 §2.1 to §2.3.
const SHORT_TERM_ID: [u8; 12] = [0xB7, 0xE7, 0xA7, 0x01, 0xBC, 0x34, 0xD6, 0x86, 0xFA, 0x87, 0xDF, 0xAE];
/// Their password, which is the key.
const SHORT_TERM_KEY: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
/// The transaction id of RFC 5769 §2.4 and of RFC 8489 appendix B.1.
const LONG_TERM_ID: [u8; 12] = [0x78, 0xAD, 0x34, 0x33, 0xC6, 0xAD, 0x72, 0xC0, 0x29, 0xDA, 0x41, 0x2E];
/// Their user.
const MATRIX: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
/// The transaction id of the project's own.
const ID: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/// Their nonce.
const NONCE: &[u8] = b"obMatJos2gAABexample-nonce";
/// SHA-256 before MD5.
const ALGORITHMS: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A key of user `user`, realm `realm`, password `pass`.
fn key(algorithm: Algorithm) -> Key {
    Key::long_term(algorithm, "user", "realm", "pass").unwrap()
}

/// A message of the project's own.
fn written(method: Method, class: Class, id: &[u8; 12], fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut Writer::new(&mut out, method, class, id));
    out
}

/// What an RFC 5389 client of the project's own sends before its integrity.
fn rfc_5389_allocate<'w, 'b>(w: &'w mut Writer<'b>) -> &'w mut Writer<'b> {
    w.attribute(a::REQUESTED_TRANSPORT, &[17, 0, 0, 0]).attribute(a::USERNAME, b"user").attribute(a::REALM, b"realm");
    w.attribute(a::NONCE, NONCE)
}

fn is_sha1_by(message: &Message<'_>, key: &[u8]) -> bool {
    let (at, value) = message.sha1().unwrap();
    integrity::check_sha1(message.bytes(), at, value, key)
}

fn is_sha256_by(message: &Message<'_>, key: &[u8]) -> bool {
    let (at, value) = message.sha256().unwrap();
    integrity::check_sha256(message.bytes(), at, value, key)
}

fn attributes<'a>(message: &Message<'a>) -> Vec<(u16, &'a [u8])> {
    message.attributes().collect()
}

/// STUN-028, FRAME-006.
#[test]
fn rfc_5769_2_1_is_a_request_with_short_term_credentials() {
    let vector = bytes(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e20746573
         7420636c69656e74002400046e0001ff80290008932ff9b151263b3600060009
         6576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249
         c1b571a280280004e57a3bcf",
    );
    let message = Message::parse(&vector).unwrap();
    assert_eq!((message.method(), message.class()), (Method::BINDING, Class::Request));
    assert_eq!(message.transaction(), SHORT_TERM_ID);
    let wanted: [(u16, &[u8]); 4] = [
        (a::SOFTWARE, b"STUN test client"),
        (a::PRIORITY, &[0x6E, 0, 1, 0xFF]),
        (0x8029, &[0x93, 0x2F, 0xF9, 0xB1, 0x51, 0x26, 0x3B, 0x36]),
        (a::USERNAME, b"evtj:h6vY"),
    ];
    assert_eq!(attributes(&message), wanted);
    assert!(message.has_fingerprint());
    assert!(is_sha1_by(&message, SHORT_TERM_KEY), "padding of 0x20 is hashed as it came");
    assert!(!is_sha1_by(&message, &SHORT_TERM_KEY[1..]));
}

/// Checks a response of RFC 5769: SOFTWARE, an XOR address, integrity, FINGERPRINT.
fn check_response(vector: &[u8], mapped: &str) {
    let message = Message::parse(vector).unwrap();
    assert_eq!((message.method(), message.class()), (Method::BINDING, Class::Success));
    assert_eq!(message.transaction(), SHORT_TERM_ID);
    assert_eq!(message.attribute(a::SOFTWARE), Some(&b"test vector"[..]));
    let value = message.attribute(a::XOR_MAPPED_ADDRESS).unwrap();
    assert_eq!(address::decode_xor(value, &SHORT_TERM_ID), Some(addr(mapped)));
    assert_eq!(address::encode_xor(addr(mapped), &SHORT_TERM_ID).as_bytes(), value);
    assert!(message.has_fingerprint());
    assert!(is_sha1_by(&message, SHORT_TERM_KEY));
}

/// STUN-001, STUN-028.
#[test]
fn rfc_5769_2_2_is_a_response_with_an_ipv4_address() {
    let vector = bytes(
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563
         746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f9
         2af9ba53f06be7d780280004c07d4c96",
    );
    check_response(&vector, "192.0.2.1:32853");
}

/// STUN-002, STUN-028.
#[test]
fn rfc_5769_2_3_is_a_response_with_an_ipv6_address() {
    let vector = bytes(
        "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563
         746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014
         a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c",
    );
    check_response(&vector, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

/// AUTH-019.
#[test]
fn rfc_5769_2_4_is_a_request_with_long_term_credentials() {
    let vector = bytes(
        "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383
         aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c3334
         6f4c394653547679363473410014000b6578616d706c652e6f72670000080014
         f67024656dd64a3e02b8e0712e85c9a28ca89666",
    );
    let key = Key::long_term(Algorithm::Md5, MATRIX, "example.org", "TheMatrIX").unwrap();
    assert_eq!(key.hex(), "e8ca7ad59d5eb0518e312911d2dab2a9");
    let message = Message::parse(&vector).unwrap();
    assert!(is_sha1_by(&message, key.as_bytes()));
    assert!(!message.has_fingerprint());
    let again = written(Method::BINDING, Class::Request, &LONG_TERM_ID, |w| {
        w.attribute(a::USERNAME, MATRIX.as_bytes()).attribute(a::NONCE, b"f//499k954d6OL34oL9FSTvy64sA");
        w.attribute(a::REALM, b"example.org").sha1(key.as_bytes());
    });
    assert_eq!(again, vector);
}

/// AUTH-033.
#[test]
fn rfc_8489_b_1_is_right_with_its_erratum() {
    let vector = bytes(
        "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bd
         a952c6780417da0f24819415569e60b205c46e41407f1704001500296f624d61
         744a6f733241414143662f2f3439396b39353464364f4c33346f4c3946535476
         79363473410000000014000b6578616d706c652e6f726700001d000400020000
         001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278c
         c6518e65",
    );
    let key = Key::long_term(Algorithm::Sha256, MATRIX, "example.org", "TheMatrIX").unwrap();
    assert_eq!(key.hex(), "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1");
    let hash = user_hash(MATRIX, "example.org");
    assert_eq!(hash[..], bytes("4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"));
    let message = Message::parse(&vector).unwrap();
    assert_eq!(message.attribute(a::USERHASH), Some(&hash[..]));
    assert!(is_sha256_by(&message, key.as_bytes()));
    let again = written(Method::BINDING, Class::Request, &LONG_TERM_ID, |w| {
        w.attribute(a::USERHASH, &hash).attribute(a::NONCE, b"obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA");
        w.attribute(a::REALM, b"example.org").attribute(a::PASSWORD_ALGORITHM, &[0, 2, 0, 0]).sha256(key.as_bytes());
    });
    assert_eq!(again, vector);
}

/// FRAME-017.
#[test]
fn rfc_8489_b_1_as_printed_is_refused() {
    let vector = bytes(
        "0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bd
         a952c6780417da0f24819415569e60b205c46e41407f1704001500296f624d61
         744a6f733241414143662f2f3439396b39353464364f4c33346f4c3946535476
         79363473410000000014000b6578616d706c652e6f726700001c0020e4686c8f
         0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01",
    );
    assert_eq!(Message::parse(&vector).unwrap_err(), Malformed::Length);
    assert_eq!(next(&vector, false), Frame::Incomplete { len: 176 });
}

/// AUTH-015.
#[test]
fn the_key_of_rfc_8489_9_2_2_is_an_md5_of_user_realm_and_password() {
    assert_eq!(key(Algorithm::Md5).hex(), "8493fbc53ba582fb4c044c456bdc40eb");
    let sha256 = "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b";
    assert_eq!(key(Algorithm::Sha256).hex(), sha256);
}

/// AUTH-036, AUTH-037.
#[test]
fn the_password_that_rfc_8489_prints_is_refused_by_one_preparation_and_folded_by_the_other() {
    let printed = "The\u{AD}M\u{AA}tr\u{2168}";
    let refused = NotAllowed { part: Part::Text, why: Why::Character { character: '\u{AD}', position: 3 } };
    assert_eq!(opaque_string(printed), Err(refused));
    assert_eq!(saslprep(printed).as_deref(), Some("TheMatrIX"));
    assert_eq!(opaque_string("tr\u{2168}").as_deref(), Ok("tr\u{2168}"));
    assert_eq!(opaque_string("a\u{A0}b").as_deref(), Ok("a b"));
    assert_eq!(opaque_string("a\u{308}").as_deref(), Ok("\u{E4}"));
    assert!(opaque_string("a\u{200B}b").is_err());
}

/// CLASSIC-001, CLASSIC-002.
#[test]
fn a_classic_request_has_sixteen_bytes_of_id_and_so_has_its_answer() {
    let request = bytes("00010000101112131415161718191a1b1c1d1e1f");
    assert_eq!(Message::parse(&request).unwrap_err(), Malformed::Cookie);
    let message = Message::parse_any(&request).unwrap();
    assert!(!message.has_cookie());
    let mut answer = Vec::new();
    Writer::classic(&mut answer, message.method(), Class::Success, &message.long_transaction())
        .address(a::MAPPED_ADDRESS, addr("192.0.2.1:32853"));
    assert_eq!(answer, bytes("0101000c101112131415161718191a1b1c1d1e1f0001000800018055c0000201"));
    let value = Message::parse_any(&answer).unwrap().attribute(a::MAPPED_ADDRESS).unwrap();
    assert_eq!(address::decode(value), Some(addr("192.0.2.1:32853")));
}

/// AUTH-019.
#[test]
fn v_a_is_an_allocate_request_of_rfc_5389() {
    let vector = bytes(
        "0003005c2112a4420102030405060708090a0b0c001900041100000000060004
         75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
         426578616d706c652d6e6f6e6365000000080014abd87f1543d88e1f95604bf4
         e68edd0c8b5dc99680280004960c886a",
    );
    let key = key(Algorithm::Md5);
    let message = Message::parse(&vector).unwrap();
    assert!(message.has_fingerprint() && message.sha256().is_none());
    assert!(is_sha1_by(&message, key.as_bytes()));
    let again = written(Method::ALLOCATE, Class::Request, &ID, |w| {
        rfc_5389_allocate(w).sha1(key.as_bytes()).fingerprint();
    });
    assert_eq!(again, vector);
}

/// AUTH-033.
#[test]
fn v_b_is_an_allocate_request_of_rfc_8489() {
    let vector = bytes(
        "000300982112a4420102030405060708090a0b0c0019000411000000001e0020
         6a3029116b47aa98bcaa325399733dc1a23cd57e26b81bef3ff6531ce624e2da
         001400057265616c6d0000000015001a6f624d61744a6f733267414142657861
         6d706c652d6e6f6e63650000800200080002000000010000001d000400020000
         001c0020fd3e9524a2aa00de4865d847ea07df22dd4dffe99e6f65c5ab2bbc33
         89fde62f8028000463cc3e5e",
    );
    let key = key(Algorithm::Sha256);
    let message = Message::parse(&vector).unwrap();
    assert!(message.has_fingerprint() && message.sha1().is_none());
    assert!(is_sha256_by(&message, key.as_bytes()));
    let again = written(Method::ALLOCATE, Class::Request, &ID, |w| {
        w.attribute(a::REQUESTED_TRANSPORT, &[17, 0, 0, 0]).attribute(a::USERHASH, &user_hash("user", "realm"));
        w.attribute(a::REALM, b"realm").attribute(a::NONCE, NONCE).attribute(a::PASSWORD_ALGORITHMS, ALGORITHMS);
        w.attribute(a::PASSWORD_ALGORITHM, &[0, 2, 0, 0]).sha256(key.as_bytes()).fingerprint();
    });
    assert_eq!(again, vector);
}

/// AUTH-027.
#[test]
fn v_c_has_both_hmacs_and_a_fingerprint() {
    let vector = bytes(
        "0001004c2112a4420102030405060708090a0b0c000600047573657200080014
         f36a96c4b55595ec912b6ea7d4a532f04da77dc1001c0020b7b91ab0125c3add
         1f85d4925160a8f0f2b2a8831e7eebe4f4714b12d4c128b280280004d1faf2c0",
    );
    let message = Message::parse(&vector).unwrap();
    assert!(is_sha1_by(&message, b"pass") && is_sha256_by(&message, b"pass") && message.has_fingerprint());
    assert_eq!(attributes(&message), [(a::USERNAME, &b"user"[..])]);
    let again = written(Method::BINDING, Class::Request, &ID, |w| {
        w.attribute(a::USERNAME, b"user").sha1(b"pass").sha256(b"pass").fingerprint();
    });
    assert_eq!(again, vector);
}

/// AUTH-024.
#[test]
fn v_d_is_truncated_rightly_and_not_enough() {
    let vector = bytes(
        "0001001c2112a4420102030405060708090a0b0c0006000475736572001c0010
         bbbda7c6a0b1b43c952d3915d85e6ec4",
    );
    let message = Message::parse(&vector).unwrap();
    let (at, value) = message.sha256().unwrap();
    assert_eq!(integrity::sha256(&vector, at, 16, b"pass")[..16], *value);
    assert!(!is_sha256_by(&message, b"pass"));
}

/// AUTH-028.
#[test]
fn v_e_smuggles_a_lifetime_that_nobody_sees() {
    let vector = bytes(
        "000300642112a4420102030405060708090a0b0c001900041100000000060004
         75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
         426578616d706c652d6e6f6e6365000000080014abd87f1543d88e1f95604bf4
         e68edd0c8b5dc996000d00040000000080280004b0624db6",
    );
    let message = Message::parse(&vector).unwrap();
    assert!(message.has_fingerprint());
    assert!(is_sha1_by(&message, key(Algorithm::Md5).as_bytes()), "what stands before is proved");
    assert_eq!(message.attribute(a::LIFETIME), None);
    let seen: Vec<u16> = message.attributes().map(|(code, _)| code).collect();
    assert_eq!(seen, [a::REQUESTED_TRANSPORT, a::USERNAME, a::REALM, a::NONCE]);
}

/// AUTH-015.
#[test]
fn v_f_is_an_hmac_sha256_with_the_md5_key() {
    let vector = bytes(
        "000300602112a4420102030405060708090a0b0c001900041100000000060004
         75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
         426578616d706c652d6e6f6e63650000001c0020de98c8b6075b068b626d0368
         f98ef71ed0655be0b07f61cf0c43859c59e6ac48",
    );
    let message = Message::parse(&vector).unwrap();
    assert!(is_sha256_by(&message, key(Algorithm::Md5).as_bytes()));
    assert!(!is_sha256_by(&message, key(Algorithm::Sha256).as_bytes()));
    let again = written(Method::ALLOCATE, Class::Request, &ID, |w| {
        rfc_5389_allocate(w).sha256(key(Algorithm::Md5).as_bytes());
    });
    assert_eq!(again, vector);
}

/// AUTH-015.
#[test]
fn v_g_is_an_hmac_sha1_with_the_sha256_key() {
    let vector = bytes(
        "000300682112a4420102030405060708090a0b0c001900041100000000060004
         75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
         426578616d706c652d6e6f6e63650000800200080002000000010000001d0004
         0002000000080014faadf8a9b242038cca10c0cdc893f54e12476058",
    );
    let message = Message::parse(&vector).unwrap();
    assert!(is_sha1_by(&message, key(Algorithm::Sha256).as_bytes()));
    assert!(!is_sha1_by(&message, key(Algorithm::Md5).as_bytes()));
    let again = written(Method::ALLOCATE, Class::Request, &ID, |w| {
        rfc_5389_allocate(w).attribute(a::PASSWORD_ALGORITHMS, ALGORITHMS);
        w.attribute(a::PASSWORD_ALGORITHM, &[0, 2, 0, 0]).sha1(key(Algorithm::Sha256).as_bytes());
    });
    assert_eq!(again, vector);
}

/// One attribute as it is written.
fn attribute(code: u16, value: &[u8]) -> Vec<u8> {
    written(Method::BINDING, Class::Request, &ID, |w| _ = w.attribute(code, value)).split_off(20)
}

/// AUTH-022.
#[test]
fn the_list_of_algorithms_begins_with_the_better_one() {
    let list = algorithm_list(&[Algorithm::Sha256, Algorithm::Md5]);
    assert_eq!(attribute(a::PASSWORD_ALGORITHMS, &list), bytes("8002 0008 0002 0000 0001 0000"));
}

/// AUTH-011.
#[test]
fn the_feature_bits_of_a_nonce_are_four_characters_in_either_order() {
    let both = vec![Algorithm::Sha256, Algorithm::Md5];
    let table = [
        (vec![], false, ["AAAA", "AAAA", "AAAA"]),
        (both.clone(), false, ["AAAB", "gAAA", "gAAB"]),
        (vec![], true, ["AAAC", "QAAA", "QAAC"]),
        (both, true, ["AAAD", "wAAA", "wAAD"]),
    ];
    for (password_algorithms, anonymity, suffixes) in table {
        for (order, suffix) in [BitOrder::Lsb, BitOrder::Msb, BitOrder::Both].into_iter().zip(suffixes) {
            let features = Features { password_algorithms: password_algorithms.clone(), anonymity, order };
            let nonces = Nonces::new([0; 32], "realm", Duration::from_secs(600), &features);
            let nonce = nonces.write(1_700_000_000, addr("192.0.2.1:40000"));
            assert_eq!(nonce[..13], *[b"obMatJos2", suffix.as_bytes()].concat());
        }
    }
}

/// STUN-014.
#[test]
fn a_420_names_the_attribute_that_is_not_understood() {
    let answer = written(Method::BINDING, Class::Error, &ID, |w| {
        w.error(Code::UNKNOWN_ATTRIBUTE, "").attribute(a::UNKNOWN_ATTRIBUTES, &[0x7F, 0x01]);
    });
    assert_eq!(answer, bytes("011100102112a4420102030405060708090a0b0c0009000400000414000a00027f010000"));
}

#[test]
fn an_address_error_code_names_family_class_and_number() {
    let [class, number] = Code::FAMILY_UNSUPPORTED.class_and_number();
    let attribute = attribute(a::ADDRESS_ERROR_CODE, &[Family::V6 as u8, 0, class, number]);
    assert_eq!(attribute, bytes("8001 0004 0200 0428"));
}

/// TURN-095.
#[test]
fn an_icmp_attribute_has_type_code_and_mtu() {
    assert_eq!(attribute(a::ICMP, &value::icmp(3, 4, 1400)), bytes("8004 0008 0000 0304 0000 0578"));
}

/// STUN-001, STUN-002.
#[test]
fn xor_addresses_of_both_families() {
    let table =
        [("192.0.2.15:50000", "0001e242e112a64d"), ("[2001:db8::1]:3478", "00022c840113a9fa0102030405060708090a0b0d")];
    for (text, hex) in table {
        assert_eq!(address::encode_xor(addr(text), &ID).as_bytes(), bytes(hex));
        assert_eq!(address::decode_xor(&bytes(hex), &ID), Some(addr(text)));
    }
}

/// FRAME-004, FRAME-021.
#[test]
fn channel_data_is_padded_on_a_stream_only() {
    let (datagram, stream) = (bytes("4000000568656c6c6f"), bytes("4000000568656c6c6f000000"));
    for packet in [&datagram, &stream] {
        assert_eq!(ChannelData::parse(packet), Ok(ChannelData { number: 0x4000, body: b"hello" }));
    }
    assert_eq!(next(&stream, false), Frame::Complete { len: 9, pad: 3 });
    for (is_stream, wanted) in [(false, datagram), (true, stream)] {
        let head = Head::channel(0x4000, 5, is_stream);
        assert_eq!([head.as_bytes(), b"hello", &vec![0; head.pad()]].concat(), wanted);
    }
}

/// REST-001, REST-010.
#[test]
fn a_time_limited_password_is_the_hmac_of_the_name() {
    assert_eq!(rest::password("north", "1735689600:alice", Hash::Sha1), "HbvWA6hGDtdv3wflBolXLhvzs0w=");
    let sha256 = "05ASnX6jNRxDYXbvr2SyEwLh4PPQJ/DW0r+F8/5qeL4=";
    assert_eq!(rest::password("north", "1735689600:alice", Hash::Sha256), sha256);
}

/// RFC 7635 appendix A: A256GCM and A128GCM, opened and made again.
#[test]
fn access_tokens() {
    use hairpin::auth::token::{Cipher, Content, Tokens, seal};
    const SERVER: &str = "blackdow.carleon.gov";
    const LONG: &[u8] = b"HGkj32KJGiuy098sdfaqbNjOiaz71923";
    const SESSION: &[u8] = b"ZksjpweoixXmvn67534m";
    const ISSUED: u64 = 92_470_300_704_768;
    for (cipher, hex) in [
        (
            Cipher::A256Gcm,
            "000c68346a336b326c326e346235617ef134a3d5e44e9a19cc7dc104b0c03d03\
             b2a551d8fdf5cd3b6dca6f10cfb77e5b2ddec84d293a5c50499359f0c2e26f76",
        ),
        (
            Cipher::A128Gcm,
            "000c68346a336b326c326e3462357fb9e99f0827be3df1e1bd651493d3031d36\
             df57079784aee5eacb65fad4f27fab1a3f97974b69f851b24bf5af09eda357e0",
        ),
    ] {
        let token = bytes(hex);
        let mut tokens = Tokens::new(SERVER);
        tokens.add("kid", cipher, LONG, None).unwrap();
        let opened = tokens.open("kid", &token, ISSUED >> 16).unwrap();
        assert_eq!((opened.session().sha1[0].as_bytes(), opened.left), (SESSION, 3605));
        let content = Content { session_key: SESSION, issued: ISSUED, lifetime: 3600 };
        assert_eq!(seal(cipher, LONG, SERVER, *b"h4j3k2l2n4b5", content).unwrap(), token);
    }
}
