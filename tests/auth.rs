//! Who may come in: keys, credentials and nonces, by vectors, rules and attacks.
//!
//! The identifiers in comments are those of the project's conformance list.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hairpin::auth::key::{Algorithm, Key, NotAllowed, Part, Why, opaque_string, saslprep, user_hash};
use hairpin::auth::nonce::{self, BitOrder, Features, Judgement, Nonces};
use hairpin::auth::rest::{self, Hash};
use hairpin::auth::token::{Cipher, Content, Tokens, seal};
use hairpin::auth::{Claim, Credentials, Owner, Secret, Standing, unquoted};
use hmac::{KeyInit, Mac};
use proptest::prelude::*;

/// A moment in 2023.
const NOW: u64 = 1_700_000_000;

// Keys.

/// RFC 5769 §2.4: a request with a long-term credential.
const RFC5769_LONG_TERM: &str = "
    000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383
    aae38383e382afe382b900000015001c662f2f3439396b39353464364f4c3334
    6f4c394653547679363473410014000b6578616d706c652e6f72670000080014
    f67024656dd64a3e02b8e0712e85c9a28ca89666";

/// RFC 8489 appendix B.1, as corrected by erratum 6268.
const RFC8489_B1: &str = "
    000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bd
    a952c6780417da0f24819415569e60b205c46e41407f1704001500296f624d61
    744a6f733241414143662f2f3439396b39353464364f4c33346f4c3946535476
    79363473410000000014000b6578616d706c652e6f726700001d000400020000
    001c0020b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278c
    c6518e65";

/// Allocate of an RFC 5389 client: user `user`, realm `realm`, password `pass`.
const VECTOR_A: &str = "
    0003005c2112a4420102030405060708090a0b0c001900041100000000060004
    75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
    426578616d706c652d6e6f6e6365000000080014abd87f1543d88e1f95604bf4
    e68edd0c8b5dc99680280004960c886a";

/// The same of an RFC 8489 client, which hides its name.
const VECTOR_B: &str = "
    000300982112a4420102030405060708090a0b0c0019000411000000001e0020
    6a3029116b47aa98bcaa325399733dc1a23cd57e26b81bef3ff6531ce624e2da
    001400057265616c6d0000000015001a6f624d61744a6f733267414142657861
    6d706c652d6e6f6e63650000800200080002000000010000001d000400020000
    001c0020fd3e9524a2aa00de4865d847ea07df22dd4dffe99e6f65c5ab2bbc33
    89fde62f8028000463cc3e5e";

/// HMAC-SHA256 with the MD5 key.
const VECTOR_F: &str = "
    000300602112a4420102030405060708090a0b0c001900041100000000060004
    75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
    426578616d706c652d6e6f6e63650000001c0020de98c8b6075b068b626d0368
    f98ef71ed0655be0b07f61cf0c43859c59e6ac48";

/// HMAC-SHA1 with the SHA-256 key.
const VECTOR_G: &str = "
    000300682112a4420102030405060708090a0b0c001900041100000000060004
    75736572001400057265616c6d0000000015001a6f624d61744a6f7332674141
    426578616d706c652d6e6f6e63650000800200080002000000010000001d0004
    0002000000080014faadf8a9b242038cca10c0cdc893f54e12476058";

/// The user of both RFCs' vectors.
const MATRIX: &str = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";

#[test]
fn the_key_of_rfc_5769_signs_its_request() {
    let key = Key::long_term(Algorithm::Md5, MATRIX, "example.org", "TheMatrIX").unwrap();
    assert_eq!(key.hex(), "e8ca7ad59d5eb0518e312911d2dab2a9");
    assert!(signs(&key, &bytes(RFC5769_LONG_TERM)));
}

// AUTH-033
#[test]
fn the_key_and_user_hash_of_rfc_8489_fit_its_request() {
    let key = Key::long_term(Algorithm::Sha256, MATRIX, "example.org", "TheMatrIX").unwrap();
    assert_eq!(key.hex(), "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1");
    let request = bytes(RFC8489_B1);
    assert!(signs(&key, &request));
    assert_eq!(user_hash(MATRIX, "example.org"), request[24..56]);
}

// AUTH-015
#[test]
fn either_key_signs_with_either_hmac() {
    let md5 = Key::long_term(Algorithm::Md5, "user", "realm", "pass").unwrap();
    let sha256 = Key::long_term(Algorithm::Sha256, "user", "realm", "pass").unwrap();
    assert_eq!(md5.hex(), "8493fbc53ba582fb4c044c456bdc40eb");
    assert_eq!(sha256.hex(), "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b");
    for (key, other, vector) in
        [(&md5, &sha256, VECTOR_A), (&sha256, &md5, VECTOR_B), (&md5, &sha256, VECTOR_F), (&sha256, &md5, VECTOR_G)]
    {
        assert!(signs(key, &bytes(vector)), "{vector}");
        assert!(!signs(other, &bytes(vector)), "{vector}");
    }
}

// SEC-27
#[test]
fn a_key_is_read_as_it_was_stored_and_never_shown() {
    let key = Key::long_term(Algorithm::Md5, "user", "realm", "pass").unwrap();
    assert_eq!(Key::from_hex(&key.hex()).unwrap(), key);
    assert_eq!(Key::from_hex(&key.hex().to_uppercase()).unwrap(), key);
    assert_eq!(Key::from_bytes(key.as_bytes()).unwrap(), key);
    assert_eq!(format!("{key:?}"), "Key(Md5)");
    assert_eq!(format!("{:?}", Secret::Password("pass".to_owned())), "Secret");
    for wrong in ["", "0", "8493fbc53ba582fb4c044c456bdc40e", "zz93fbc53ba582fb4c044c456bdc40eb"] {
        assert!(Key::from_hex(wrong).is_none(), "{wrong}");
    }
    assert!(Key::from_hex("+93fbc53ba582fb4c044c456bdc40eb0").is_none());
    assert!(Key::from_bytes(&[0; 20]).is_none());
}

#[test]
fn keys_of_two_kinds_differ_even_where_their_bytes_agree() {
    let long = Key::from_bytes(&[0; 32]).unwrap();
    assert_ne!(Key::from_bytes(&[0; 16]).unwrap(), long);
    assert_eq!(long.algorithm(), Some(Algorithm::Sha256));
}

#[test]
fn an_algorithm_has_the_number_of_the_registry() {
    assert_eq!(Algorithm::from_code(1), Some(Algorithm::Md5));
    assert_eq!(Algorithm::from_code(2), Some(Algorithm::Sha256));
    assert_eq!([0, 3, 0xffff].map(Algorithm::from_code), [None; 3]);
    assert_eq!([Algorithm::Md5, Algorithm::Sha256].map(Algorithm::code), [1, 2]);
}

// AUTH-036
#[test]
fn composed_and_decomposed_letters_are_one_text() {
    assert_eq!(opaque_string("a\u{308}").unwrap(), "\u{e4}");
    assert_eq!(opaque_string("a\u{a0}b").unwrap(), "a b");
    assert_eq!(opaque_string("\u{2168}").unwrap(), "\u{2168}");
}

// AUTH-036
#[test]
fn text_that_cannot_be_typed_twice_is_refused_by_name() {
    let matrix = opaque_string("The\u{AD}M\u{AA}tr\u{2168}").unwrap_err();
    assert_eq!(matrix.why, Why::Character { character: '\u{AD}', position: 3 });
    // U+0387 composes to a character that may not stand alone.
    for refused in ["", "\u{387}", "a\u{200B}", "a\0", "\u{7f}", "line\n"] {
        assert!(opaque_string(refused).is_err(), "{refused:?}");
    }
    let error = Key::long_term(Algorithm::Md5, "user", "realm", "a\u{200B}").unwrap_err();
    assert_eq!(error.part, Part::Password);
    assert_eq!(error.to_string(), "character 2 of the password (U+200B) is not allowed");
    let error = Key::long_term(Algorithm::Md5, "user", "", "pass").unwrap_err();
    assert_eq!(error.to_string(), "the realm is empty");
}

// AUTH-037
#[test]
fn saslprep_folds_what_opaque_string_keeps() {
    assert_eq!(saslprep("The\u{AD}M\u{AA}tr\u{2168}").unwrap(), "TheMatrIX");
    assert_eq!(saslprep("a\u{7}"), None);
}

// Credentials.

#[test]
fn a_user_is_found_by_name() {
    let known = directory(&[("alice", "secret")]);
    let (standing, keys) = find(&known, Claim::Name(b"alice"), Algorithm::Md5);
    assert_eq!(standing, Standing::Known(Owner::plain("alice")));
    assert_eq!(keys, [Key::long_term(Algorithm::Md5, "alice", "realm", "secret").unwrap()]);
    assert_eq!(known.realm(), "realm");
    assert!(!known.is_empty());
    assert!(Credentials::new("realm", [0; 32]).is_empty());
}

// AUTH-033 AUTH-041
#[test]
fn a_user_hash_finds_the_same_user_as_the_name() {
    let known = directory(&[("bob", "b"), ("alice", "secret")]);
    let hash = user_hash("alice", "realm");
    let by_hash = find(&known, Claim::Hash(&hash), Algorithm::Sha256);
    assert_eq!(by_hash, find(&known, Claim::Name(b"alice"), Algorithm::Sha256));
    assert_eq!(by_hash.0, Standing::Known(Owner::plain("alice")));
}

// AUTH-034 AUTH-035
#[test]
fn a_hash_of_another_length_or_of_nobody_is_unknown() {
    let known = directory(&[("alice", "secret")]);
    let hash = user_hash("alice", "realm");
    for claim in [&hash[..31], &[], &[0; 32], &[0; 64], &user_hash("alice", "other")] {
        assert_eq!(find(&known, Claim::Hash(claim), Algorithm::Md5).0, Standing::Unknown);
    }
}

// AUTH-004 SEC-19
#[test]
fn an_unknown_user_costs_as_many_keys_as_a_known_one_and_has_none() {
    for users in [&[("alice", "secret")][..], &[("alice", "secret"), ("eve", "\u{fb01}sh")]] {
        let known = directory(users);
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let (standing, keys) = find(&known, Claim::Name(b"alice"), algorithm);
            assert!(matches!(standing, Standing::Known(_)));
            for claim in [Claim::Name(b"mallory"), Claim::Name(b""), Claim::Hash(&[7; 32])] {
                let (standing, dummies) = find(&known, claim, algorithm);
                assert_eq!(standing, Standing::Unknown);
                assert_eq!(dummies.len(), keys.len());
                assert!(dummies.iter().all(|key| key.algorithm() == Some(algorithm)));
                assert!(!dummies.contains(&keys[0]));
            }
        }
    }
}

// AUTH-004
#[test]
fn the_keys_of_nobody_depend_on_the_seed() {
    let dummy = |seed| find(&Credentials::new("realm", seed), Claim::Name(b"x"), Algorithm::Md5).1;
    assert_eq!(dummy([1; 32]), dummy([1; 32]));
    assert_ne!(dummy([1; 32]), dummy([2; 32]));
}

#[test]
fn keys_of_an_earlier_request_do_not_stay() {
    let known = directory(&[("alice", "secret")]);
    let mut keys = Vec::new();
    known.find(Claim::Name(b"alice"), Algorithm::Md5, NOW, &mut keys);
    let alices = keys[0].clone();
    known.find(Claim::Name(b"mallory"), Algorithm::Md5, NOW, &mut keys);
    assert!(!keys.contains(&alices));
}

#[test]
fn a_stored_key_serves_its_own_algorithm_only() {
    let mut known = Credentials::new("realm", [9; 32]);
    let (md5, sha256) = ([1; 16], [2; 32]);
    known.add_user("old", &Secret::Md5(md5)).unwrap();
    known.add_user("new", &Secret::Sha256(sha256)).unwrap();
    known.add_user("both", &Secret::Both(md5, sha256)).unwrap();
    let keys = |name: &str, algorithm| find(&known, Claim::Name(name.as_bytes()), algorithm).1;
    assert_eq!(keys("old", Algorithm::Md5), [Key::md5(md5)]);
    assert_eq!(keys("both", Algorithm::Md5), [Key::md5(md5)]);
    assert_eq!(keys("both", Algorithm::Sha256), [Key::sha256(sha256)]);
    assert_eq!(keys("new", Algorithm::Sha256), [Key::sha256(sha256)]);
    // What is left is the key of nobody.
    assert_eq!(keys("new", Algorithm::Md5), keys("nobody", Algorithm::Md5));
    assert_eq!(keys("old", Algorithm::Sha256), keys("nobody", Algorithm::Sha256));
}

#[test]
fn a_user_added_again_is_replaced() {
    let mut known = directory(&[("alice", "old"), ("bob", "b")]);
    known.add_user("alice", &password("new")).unwrap();
    let (_, keys) = find(&known, Claim::Hash(&user_hash("alice", "realm")), Algorithm::Md5);
    assert_eq!(keys, [Key::long_term(Algorithm::Md5, "alice", "realm", "new").unwrap()]);
}

// AUTH-036
#[test]
fn a_name_sent_decomposed_finds_its_user() {
    let known = directory(&[("J\u{e4}ger", "p\u{e4}ss")]);
    let (standing, keys) = find(&known, Claim::Name("Ja\u{308}ger".as_bytes()), Algorithm::Sha256);
    assert_eq!(standing, Standing::Known(Owner::plain("J\u{e4}ger")));
    assert_eq!(keys[0], Key::long_term(Algorithm::Sha256, "Ja\u{308}ger", "realm", "pa\u{308}ss").unwrap());
    let hash = user_hash("Ja\u{308}ger", "realm");
    assert_eq!(find(&known, Claim::Hash(&hash), Algorithm::Sha256).0, standing);
}

// AUTH-036
#[test]
fn a_user_that_cannot_be_prepared_is_refused_when_added() {
    let mut known = Credentials::new("realm", [9; 32]);
    let part = |result: Result<(), NotAllowed>| result.unwrap_err().part;
    assert_eq!(part(known.add_user("a\u{200B}", &password("x"))), Part::User);
    assert_eq!(part(known.add_user("a\0", &Secret::Md5([0; 16]))), Part::User);
    assert_eq!(part(known.add_user("a", &password("\u{AD}"))), Part::Password);
    assert_eq!(part(known.add_user("a", &password(""))), Part::Password);
    let mut nowhere = Credentials::new("", [9; 32]);
    assert_eq!(part(nowhere.add_user("a", &password("x"))), Part::Realm);
    assert!(known.is_empty() && nowhere.is_empty());
}

// AUTH-037
#[test]
fn a_key_of_either_preparation_is_a_candidate() {
    let known = directory(&[("\u{fb01}n", "p\u{2168}")]);
    let digest = |text: &str| {
        Key::sha256(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap())
    };
    let (_, keys) = find(&known, Claim::Name("\u{fb01}n".as_bytes()), Algorithm::Sha256);
    assert_eq!(keys, [digest("\u{fb01}n:realm:p\u{2168}"), digest("fin:realm:pIX")]);
    // Such a client sends the folded name, too.
    assert_eq!(find(&known, Claim::Name(b"fin"), Algorithm::Sha256).1, keys);
}

// AUTH-037
#[test]
fn a_folded_name_does_not_hide_a_user_of_that_name() {
    for users in [[("\u{fb01}n", "x"), ("fin", "y")], [("fin", "y"), ("\u{fb01}n", "x")]] {
        let known = directory(&users);
        let (standing, keys) = find(&known, Claim::Name(b"fin"), Algorithm::Md5);
        assert_eq!(standing, Standing::Known(Owner::plain("fin")));
        assert!(keys.contains(&Key::long_term(Algorithm::Md5, "fin", "realm", "y").unwrap()));
    }
}

// AUTH-037
#[test]
fn a_browser_that_prepares_nothing_gets_in_with_what_was_typed() {
    let known = directory(&[("alice", "pa\u{308}ss")]);
    let (_, keys) = find(&known, Claim::Name(b"alice"), Algorithm::Sha256);
    let raw = ring::digest::digest(&ring::digest::SHA256, "alice:realm:pa\u{308}ss".as_bytes());
    assert!(keys.contains(&Key::from_bytes(raw.as_ref()).unwrap()));
    assert_eq!(keys[0], Key::long_term(Algorithm::Sha256, "alice", "realm", "p\u{e4}ss").unwrap());
}

// AUTH-038
#[test]
fn a_long_name_is_found_whole_or_not_at_all() {
    for (len, found) in [(508, true), (763, true), (764, false), (5000, false)] {
        let name = "n".repeat(len);
        let known = directory(&[(&name, "x"), (&name[..500], "x")]);
        let (standing, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
        let expected = if found { Standing::Known(Owner::plain(&name)) } else { Standing::Unknown };
        assert_eq!(standing, expected);
        assert_eq!(keys.len(), 1);
    }
}

// AUTH-039
#[test]
fn nuls_at_the_end_and_quotes_around_are_stripped() {
    let known = directory(&[("alice", "secret"), ("\"quoted\"", "x")]);
    for sent in ["alice", "alice\0", "alice\0\0\0", "\"alice\"", "\"alice\"\0"] {
        let (standing, _) = find(&known, Claim::Name(sent.as_bytes()), Algorithm::Md5);
        assert_eq!(standing, Standing::Known(Owner::plain("alice")), "{sent:?}");
    }
    let (standing, _) = find(&known, Claim::Name(b"\"quoted\""), Algorithm::Md5);
    assert_eq!(standing, Standing::Known(Owner::plain("\"quoted\"")));
    // U+1F73 is prepared as U+03AD.
    let known = directory(&[("\"\u{1f73}\"", "x")]);
    let (standing, _) = find(&known, Claim::Name("\"\u{1f73}\"".as_bytes()), Algorithm::Md5);
    assert_eq!(standing, Standing::Known(Owner::plain("\"\u{3ad}\"")));
    for sent in ["\"alice", "al\0ice", "\0alice", "'alice'", "\"\"alice\"\""] {
        let (standing, _) = find(&known, Claim::Name(sent.as_bytes()), Algorithm::Md5);
        assert_eq!(standing, Standing::Unknown, "{sent:?}");
    }
    assert_eq!(unquoted(b"\"realm\"\0"), b"realm");
    assert_eq!(unquoted(b"\""), b"\"");
    assert_eq!(unquoted(b"\0\0"), b"");
}

// AUTH-039
#[test]
fn keys_are_of_our_realm() {
    let known = directory(&[("alice", "secret")]);
    let (_, keys) = find(&known, Claim::Name(b"alice"), Algorithm::Md5);
    assert!(!keys.contains(&Key::long_term(Algorithm::Md5, "alice", "other", "secret").unwrap()));
}

// AUTH-047
#[test]
fn a_directory_shows_no_names() {
    let mut known = directory(&[("alice", "hush")]);
    known.add_secret("north");
    let shown = format!("{known:?}");
    assert!(!shown.contains("hush") && !shown.contains("alice") && !shown.contains("north"));
}

// AUTH-050
#[test]
fn hostile_names_are_unknown_and_nothing_else() {
    let mut known = directory(&[("alice", "secret")]);
    known.add_secret("north");
    for sent in [
        &b"%s%n%x"[..],
        b"' OR 1=1 --",
        b"\"; DROP TABLE turnusers_lt; \"",
        b"\xff\xfe\x80",
        b"al\0ice",
        b"\"",
        b"\0",
        b"1700000001:\xff",
        b"a\x1b[2J",
        "\u{202e}ecila".as_bytes(),
    ] {
        let (standing, keys) = find(&known, Claim::Name(sent), Algorithm::Sha256);
        assert_eq!((standing, keys.len()), (Standing::Unknown, 1), "{sent:?}");
    }
}

// Time-limited credentials.

// REST-001
#[test]
fn the_password_is_the_hmac_of_the_name() {
    let name = "1735689600:alice";
    assert_eq!(rest::password("north", name, Hash::Sha1), "HbvWA6hGDtdv3wflBolXLhvzs0w=");
    assert_eq!(rest::password("north", name, Hash::Sha256), "05ASnX6jNRxDYXbvr2SyEwLh4PPQJ/DW0r+F8/5qeL4=");
    let minted = rest::mint("north", "alice", 1_735_689_600, ':');
    assert_eq!(minted, (name.to_owned(), "HbvWA6hGDtdv3wflBolXLhvzs0w=".to_owned()));
    assert_eq!(rest::mint("north", "", 17, ':').0, "17");
}

// REST-001 REST-010
#[test]
fn the_holder_of_an_issued_name_is_known() {
    let known = issuer(&["north"], |_| ());
    for hash in [Hash::Sha1, Hash::Sha256] {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let name = format!("{}:alice", NOW + 60);
            let (standing, keys) = find(&known, Claim::Name(name.as_bytes()), algorithm);
            assert_eq!(standing, Standing::Known(Owner::plain(&name)));
            let password = rest::password("north", &name, hash);
            let key = Key::long_term(algorithm, &name, "realm", &password).unwrap();
            assert!(keys.contains(&key), "{hash:?} {algorithm:?}");
        }
    }
}

// REST-002
#[test]
fn a_name_is_good_until_its_last_second_and_expired_after() {
    let known = issuer(&["north"], |_| ());
    let standing = |expiry: u64, now| {
        let name = format!("{expiry}:alice");
        known.find(Claim::Name(name.as_bytes()), Algorithm::Md5, now, &mut Vec::new())
    };
    assert!(matches!(standing(NOW, NOW), Standing::Known(_)));
    assert!(matches!(standing(NOW, NOW + 1), Standing::Expired(_)));
    assert!(matches!(standing(9, NOW), Standing::Expired(_)), "compared as numbers, not as text");
    let y2100 = 4_102_444_800;
    assert!(matches!(standing(y2100, NOW), Standing::Known(_)));
    assert!(matches!(standing(y2100 + 5, y2100 + 6), Standing::Expired(_)));
}

// REST-003
#[test]
fn a_name_that_is_not_strictly_a_number_is_nobody() {
    let rules = rest::Rules::default();
    for name in [
        "",
        ":",
        ":x",
        "12abc:x",
        "abc",
        "-1:x",
        "+1:x",
        " 1:x",
        "1 :x",
        "0x10:x",
        "1.5:x",
        "1e9:x",
        "01:x",
        "0",
        "\u{661}\u{662}:x",
        "18446744073709551616:x",
        "1234567890123456789012345678901234567890:x",
    ] {
        assert_eq!(rules.parse(name), None, "{name:?}");
        let (standing, keys) = find(&issuer(&["north"], |_| ()), Claim::Name(name.as_bytes()), Algorithm::Md5);
        assert_eq!((standing, keys.len()), (Standing::Unknown, 1), "{name:?}");
    }
    let greatest = rules.parse("18446744073709551615:x").unwrap();
    assert_eq!((greatest.expiry, greatest.id), (u64::MAX, Some("x")));
    assert_eq!(rules.parse("1:a:b").unwrap().id, Some("a:b"));
}

// REST-004
#[test]
fn a_bare_expiry_is_taken_where_it_is_configured() {
    let name = (NOW + 60).to_string();
    for bare in [true, false] {
        let known = issuer(&["north"], |rules| rules.bare = bare);
        let (standing, _) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
        assert_eq!(matches!(standing, Standing::Known(_)), bare);
    }
}

// REST-005
#[test]
fn an_expired_name_comes_with_the_keys_it_had() {
    let known = issuer(&["north"], |_| ());
    let name = format!("{}:alice", NOW + 1);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    known.find(Claim::Name(name.as_bytes()), Algorithm::Md5, NOW, &mut before);
    let standing = known.find(Claim::Name(name.as_bytes()), Algorithm::Md5, NOW + 2, &mut after);
    assert_eq!(standing, Standing::Expired(Owner::plain(&name)));
    assert_eq!(before, after);
}

// REST-006
#[test]
fn any_of_several_secrets_is_good() {
    let known = issuer(&["north", "south"], |_| ());
    let expiry = NOW + 60;
    for secret in ["north", "south"] {
        let (name, password) = rest::mint(secret, "alice", expiry, ':');
        let (_, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
        assert_eq!(keys.len(), 4);
        assert!(keys.contains(&Key::long_term(Algorithm::Md5, &name, "realm", &password).unwrap()));
    }
    let (name, password) = rest::mint("west", "alice", expiry, ':');
    let (_, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
    assert!(!keys.contains(&Key::long_term(Algorithm::Md5, &name, "realm", &password).unwrap()));
}

// REST-007
#[test]
fn a_name_that_lasts_too_long_is_unknown_however_well_signed() {
    let known = issuer(&["north"], |rules| rules.max_ttl = Duration::from_secs(86_400));
    let ten_years = 10 * 365 * 86_400;
    for (ahead, good) in [(86_400, true), (86_401, false), (ten_years, false)] {
        let name = format!("{}:alice", NOW + ahead);
        let (standing, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
        assert_eq!(standing != Standing::Unknown, good, "{ahead}");
        assert_eq!(keys.len(), 2);
    }
    let open = issuer(&["north"], |_| ());
    let name = format!("{}:alice", u64::MAX);
    let (standing, _) = find(&open, Claim::Name(name.as_bytes()), Algorithm::Md5);
    assert!(matches!(standing, Standing::Known(_)));
}

// REST-008 REST-009
#[test]
fn a_renewed_name_is_another_owner_with_the_same_quota() {
    let known = issuer(&["north"], |_| ());
    let owner = |name: String| match find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5).0 {
        Standing::Known(owner) => owner,
        other => panic!("{name} is {other:?}"),
    };
    let (first, second) = (owner(format!("{}:al:ice", NOW + 1)), owner(format!("{}:al:ice", NOW + 2)));
    assert_ne!(first, second);
    assert_eq!((&*first.quota, &*second.quota), ("al:ice", "al:ice"));
    let bare = owner((NOW + 1).to_string());
    assert_eq!(bare.quota, bare.name);
    let nameless = owner(format!("{}:", NOW + 1));
    assert_eq!(nameless.quota, nameless.name);
}

// REST-010
#[test]
fn separator_and_hashes_are_configured() {
    let known = issuer(&["north"], |rules| {
        rules.separator = '|';
        rules.hashes = vec![Hash::Sha1];
    });
    let (name, password) = rest::mint("north", "a:b", NOW + 60, '|');
    let (standing, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
    assert!(matches!(standing, Standing::Known(owner) if &*owner.quota == "a:b"));
    assert_eq!(keys, [Key::long_term(Algorithm::Md5, &name, "realm", &password).unwrap()]);
    let colon = format!("{}:a", NOW + 60);
    assert_eq!(find(&known, Claim::Name(colon.as_bytes()), Algorithm::Md5).0, Standing::Unknown);
    let euro = rest::Rules { separator: '\u{20ac}', ..rest::Rules::default() };
    assert_eq!(euro.parse("5\u{20ac}x").unwrap().id, Some("x"));
}

#[test]
fn a_user_of_the_directory_goes_before_an_issued_name() {
    let mut known = issuer(&["north"], |_| ());
    known.add_user("1735689600:x", &password("secret")).unwrap();
    let (standing, keys) = find(&known, Claim::Name(b"1735689600:x"), Algorithm::Md5);
    assert_eq!(standing, Standing::Known(Owner::plain("1735689600:x")));
    assert_eq!(keys, [Key::long_term(Algorithm::Md5, "1735689600:x", "realm", "secret").unwrap()]);
}

#[test]
fn an_issued_name_is_nobody_without_secrets_and_has_no_hash() {
    let name = format!("{}:alice", NOW + 60);
    let none = directory(&[("alice", "secret")]);
    assert_eq!(find(&none, Claim::Name(name.as_bytes()), Algorithm::Md5).0, Standing::Unknown);
    let known = issuer(&["north"], |_| ());
    let hash = user_hash(&name, "realm");
    assert_eq!(find(&known, Claim::Hash(&hash), Algorithm::Md5).0, Standing::Unknown);
}

// Nonces.

// AUTH-011 AUTH-012
#[test]
fn a_nonce_starts_with_the_cookie_and_the_features() {
    use BitOrder::{Both, Lsb, Msb};
    let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    for (list, anonymity, order, suffix) in [
        (false, false, Both, "AAAA"),
        (true, false, Lsb, "AAAB"),
        (true, false, Msb, "gAAA"),
        (true, false, Both, "gAAB"),
        (false, true, Lsb, "AAAC"),
        (false, true, Msb, "QAAA"),
        (false, true, Both, "QAAC"),
        (true, true, Lsb, "AAAD"),
        (true, true, Msb, "wAAA"),
        (true, true, Both, "wAAD"),
    ] {
        let password_algorithms = if list { algorithms.clone() } else { Vec::new() };
        let features = Features { password_algorithms, anonymity, order };
        let nonce = Nonces::new([1; 32], "realm", HOUR, &features).write(NOW, client(1));
        let text = std::str::from_utf8(&nonce).unwrap();
        assert_eq!(text[..13], format!("obMatJos2{suffix}"));
        assert_eq!(text.len(), nonce::LEN);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/'), "{text}");
    }
}

// AUTH-006 AUTH-010
#[test]
fn a_nonce_is_fresh_for_its_lifetime_and_stale_after() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let nonce = nonces.write(NOW, client(1));
    for (later, judgement) in
        [(0, Judgement::Fresh), (3600, Judgement::Fresh), (3601, Judgement::Stale), (86_400 * 365, Judgement::Stale)]
    {
        assert_eq!(nonces.judge(NOW + later, client(1), &nonce), judgement, "{later}");
    }
    assert_eq!(nonces.judge(NOW + 3601, client(1), &nonces.write(NOW + 3601, client(1))), Judgement::Fresh);
}

#[test]
fn a_nonce_from_the_future_is_stale_but_for_a_little() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let nonce = nonces.write(NOW, client(1));
    assert_eq!(nonces.judge(NOW - 30, client(1), &nonce), Judgement::Fresh);
    assert_eq!(nonces.judge(NOW - 31, client(1), &nonce), Judgement::Stale);
    assert_eq!(nonces.judge(0, client(1), &nonce), Judgement::Stale);
}

#[test]
fn the_age_of_a_nonce_is_right_across_the_wrap_of_its_time() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let last = u64::from(u32::MAX);
    let nonce = nonces.write(last, client(1));
    assert_eq!(nonces.judge(last + 10, client(1), &nonce), Judgement::Fresh);
    assert_eq!(nonces.judge(last + 3601, client(1), &nonce), Judgement::Stale);
}

#[test]
fn a_lifetime_of_zero_is_for_ever_and_a_short_one_is_not() {
    let forever = nonces([1; 32], "realm", Duration::ZERO);
    let nonce = forever.write(NOW, client(1));
    for now in [0, NOW, NOW + 0x7fff_ffff, NOW + 0x8000_0001] {
        assert_eq!(forever.judge(now, client(1), &nonce), Judgement::Fresh);
    }
    let short = nonces([1; 32], "realm", Duration::from_millis(1));
    assert_eq!(short.judge(NOW + 2, client(1), &nonce), Judgement::Stale);
    let long = nonces([1; 32], "realm", Duration::MAX);
    assert_eq!(long.judge(NOW + 0x7fff_ffff, client(1), &nonce), Judgement::Fresh);
}

// AUTH-007
#[test]
fn a_nonce_never_issued_is_foreign() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let good = nonces.write(NOW, client(1));
    let judge = |nonce: &[u8]| nonces.judge(NOW, client(1), nonce);
    for len in 0..good.len() {
        assert_eq!(judge(&good[..len]), Judgement::Foreign, "{len}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bent = good;
            bent[at] ^= 1 << bit;
            assert_eq!(judge(&bent), Judgement::Foreign, "{at} {bit}");
        }
    }
    let longer = [&good[..], b"A"].concat();
    for nonce in [&longer[..], &[], &[b'A'; 700], &[0; 37], &[0xff; 37], b"f//499k954d6OL34oL9FSTvy64sA"] {
        assert_eq!(judge(nonce), Judgement::Foreign);
    }
    assert_eq!(judge(b"obMatJos2gAAB========================"), Judgement::Foreign);
}

// AUTH-008 AUTH-009
#[test]
fn a_nonce_is_of_one_client() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let clients: Vec<SocketAddr> =
        ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "[2001:db8::1]:1"].map(|at| at.parse().unwrap()).to_vec();
    let written: HashSet<_> = clients.iter().map(|at| nonces.write(NOW, *at)).collect();
    assert_eq!(written.len(), clients.len());
    let nonce = nonces.write(NOW, clients[0]);
    for other in &clients[1..] {
        assert_eq!(nonces.judge(NOW, *other, &nonce), Judgement::Foreign, "{other}");
    }
    let mapped = "[::ffff:192.0.2.1]:1".parse().unwrap();
    assert_eq!(nonces.judge(NOW, mapped, &nonce), Judgement::Fresh);
}

// AUTH-017 AUTH-020 SEC-20
#[test]
fn a_nonce_commits_to_realm_features_list_and_key() {
    let (sha256, md5) = (Algorithm::Sha256, Algorithm::Md5);
    let make = |key: u8, realm: &str, list: &[Algorithm], anonymity, order| {
        let features = Features { password_algorithms: list.to_vec(), anonymity, order };
        Nonces::new([key; 32], realm, HOUR, &features)
    };
    let all = [
        make(1, "realm", &[sha256, md5], true, BitOrder::Both),
        make(2, "realm", &[sha256, md5], true, BitOrder::Both),
        make(1, "realm2", &[sha256, md5], true, BitOrder::Both),
        make(1, "realm", &[md5, sha256], true, BitOrder::Both),
        make(1, "realm", &[sha256], true, BitOrder::Both),
        make(1, "realm", &[], true, BitOrder::Both),
        make(1, "realm", &[sha256, md5], false, BitOrder::Both),
        make(1, "realm", &[sha256, md5], true, BitOrder::Lsb),
    ];
    for (at, one) in all.iter().enumerate() {
        let nonce = one.write(NOW, client(1));
        for (other, judge) in all.iter().enumerate() {
            let expected = if at == other { Judgement::Fresh } else { Judgement::Foreign };
            assert_eq!(judge.judge(NOW, client(1), &nonce), expected, "{at} {other}");
        }
    }
}

// AUTH-020
#[test]
fn cleared_feature_bits_do_not_verify() {
    let nonces = nonces([1; 32], "realm", HOUR);
    let mut nonce = nonces.write(NOW, client(1));
    nonce[9..13].copy_from_slice(b"AAAA");
    assert_eq!(nonces.judge(NOW, client(1), &nonce), Judgement::Foreign);
    let plain = Nonces::new([1; 32], "realm", HOUR, &Features::default());
    assert_eq!(plain.judge(NOW, client(1), &nonce), Judgement::Foreign);
}

proptest! {
    #[test]
    fn no_text_breaks_the_preparation(text in any::<String>(), other in any::<String>()) {
        if let Ok(prepared) = opaque_string(&text) {
            prop_assert_eq!(opaque_string(&prepared).unwrap(), prepared);
        }
        let _ = saslprep(&text);
        let _ = user_hash(&text, &other);
        let _ = Key::long_term(Algorithm::Md5, &text, &other, &text);
        let _ = Key::from_hex(&text);
    }

    #[test]
    fn no_claim_breaks_the_directory(
        name in proptest::collection::vec(any::<u8>(), 0..800),
        text in "[0-9]{0,25}[:\"\u{e4}a\u{308}\0]{0,3}\\PC{0,20}",
        now in any::<u64>(),
    ) {
        let known = issuer(&["north"], |rules| rules.max_ttl = Duration::MAX);
        for bytes in [&name[..], text.as_bytes()] {
            for claim in [Claim::Name(bytes), Claim::Hash(bytes)] {
                let mut keys = Vec::new();
                known.find(claim, Algorithm::Md5, now, &mut keys);
                prop_assert!(!keys.is_empty());
            }
        }
    }

    #[test]
    fn a_user_that_was_added_is_found(name in "\\PC{1,12}", secret in "\\PC{1,12}") {
        let mut known = Credentials::new("realm", [9; 32]);
        if known.add_user(&name, &password(&secret)).is_ok() {
            let prepared = opaque_string(&name).unwrap();
            for sent in [&name, &prepared] {
                let (standing, keys) = find(&known, Claim::Name(sent.as_bytes()), Algorithm::Sha256);
                prop_assert_eq!(standing, Standing::Known(Owner::plain(&prepared)));
                prop_assert_eq!(&keys[0], &Key::long_term(Algorithm::Sha256, &name, "realm", &secret).unwrap());
            }
        }
    }

    #[test]
    fn no_nonce_breaks_the_judge(
        nonce in proptest::collection::vec(any::<u8>(), 0..800),
        body in "[A-Za-z0-9+/=]{24}",
        now in any::<u64>(),
    ) {
        let nonces = nonces([1; 32], "realm", HOUR);
        prop_assert_eq!(nonces.judge(now, client(1), &nonce), Judgement::Foreign);
        let forged = format!("obMatJos2wAAD{body}");
        prop_assert_eq!(nonces.judge(now, client(1), forged.as_bytes()), Judgement::Foreign);
    }

    #[test]
    fn a_nonce_is_fresh_when_it_is_written(now in any::<u64>(), ip in any::<IpAddr>(), port in any::<u16>()) {
        let nonces = nonces([1; 32], "realm", HOUR);
        let client = SocketAddr::new(ip, port);
        let nonce = nonces.write(now, client);
        prop_assert_eq!(nonces.judge(now, client, &nonce), Judgement::Fresh);
        prop_assert_eq!(nonces.judge(now, SocketAddr::new(ip, port ^ 1), &nonce), Judgement::Foreign);
    }

    #[test]
    fn what_is_minted_is_known(id in "\\PC{0,20}", ttl in 0_u64..1_000_000) {
        let known = issuer(&["north"], |_| ());
        let (name, password) = rest::mint("north", &id, NOW + ttl, ':');
        // Quotes around the whole are no part of a name, but these start with a digit.
        let (standing, keys) = find(&known, Claim::Name(name.as_bytes()), Algorithm::Md5);
        prop_assert_eq!(standing, Standing::Known(Owner::plain(&name)));
        if let Ok(key) = Key::long_term(Algorithm::Md5, &name, "realm", &password)
            && opaque_string(&name).as_ref() == Ok(&name)
        {
            prop_assert!(keys.contains(&key));
        }
    }
}

// Helpers.

/// How long nonces last in most tests.
const HOUR: Duration = Duration::from_secs(3600);

fn nonces(key: [u8; 32], realm: &str, lifetime: Duration) -> Nonces {
    let password_algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    let features = Features { password_algorithms, anonymity: true, order: BitOrder::Both };
    Nonces::new(key, realm, lifetime, &features)
}

fn client(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn password(text: &str) -> Secret {
    Secret::Password(text.to_owned())
}

/// A realm with these users.
fn directory(users: &[(&str, &str)]) -> Credentials {
    let mut known = Credentials::new("realm", [9; 32]);
    for (name, secret) in users {
        known.add_user(name, &password(secret)).unwrap();
    }
    known
}

/// A realm with these secrets.
fn issuer(secrets: &[&str], adjust: impl Fn(&mut rest::Rules)) -> Credentials {
    let mut known = Credentials::new("realm", [9; 32]);
    for secret in secrets {
        known.add_secret(secret);
    }
    let mut rules = rest::Rules::default();
    adjust(&mut rules);
    known.rest(rules);
    known
}

fn find(known: &Credentials, claim: Claim<'_>, algorithm: Algorithm) -> (Standing, Vec<Key>) {
    let mut keys = Vec::new();
    let standing = known.find(claim, algorithm, NOW, &mut keys);
    (standing, keys)
}

/// Bytes of hexadecimal text.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Whether the first integrity attribute of a message was made with this key.
fn signs(key: &Key, message: &[u8]) -> bool {
    let mut at = 20;
    loop {
        let kind = u16::from_be_bytes([message[at], message[at + 1]]);
        let len = u16::from_be_bytes([message[at + 2], message[at + 3]]);
        let end = at + 4 + usize::from(len);
        if matches!(kind, 0x0008 | 0x001c) {
            let mut covered = message[..at].to_vec();
            let length = u16::try_from(end - 20).unwrap().to_be_bytes();
            covered[2..4].copy_from_slice(&length);
            return hmac_of(kind, key, &covered) == message[at + 4..end];
        }
        at = end.next_multiple_of(4);
    }
}

/// The integrity of a kind of attribute over bytes.
fn hmac_of(kind: u16, key: &Key, covered: &[u8]) -> Vec<u8> {
    if kind == 0x0008 {
        let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(covered);
        return mac.finalize().into_bytes().to_vec();
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    ring::hmac::sign(&key, covered).as_ref().to_vec()
}

// Access tokens.

proptest! {
    /// OAUTH-002, OAUTH-003: what is sealed opens for its server under its key, in its time, and not with any byte
    /// changed.
    #[test]
    fn a_sealed_token_opens_unless_a_byte_is_changed(
        is_long in any::<bool>(),
        aes256 in any::<bool>(),
        key in any::<[u8; 32]>(),
        session in any::<[u8; 32]>(),
        nonce in any::<[u8; 12]>(),
        lifetime in 1_u32..,
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        server in "[a-z.]{0,40}",
    ) {
        let session_key = if is_long { &session[..] } else { &session[..20] };
        let cipher = if aes256 { Cipher::A256Gcm } else { Cipher::A128Gcm };
        let content = Content { session_key, issued: NOW << 16, lifetime };
        let mut token = seal(cipher, &key, &server, nonce, content).unwrap();
        let mut tokens = Tokens::new(&server);
        tokens.add("kid", cipher, &key, None).unwrap();
        let opened = tokens.open("kid", &token, NOW).expect("what is sealed opens");
        prop_assert_eq!(opened.left, u64::from(lifetime) + 5);
        let session = opened.session();
        match is_long {
            true => prop_assert_eq!(session.sha256[0].as_bytes(), session_key),
            false => prop_assert_eq!(session.sha1[0].as_bytes(), session_key),
        }
        prop_assert!(tokens.open("dik", &token, NOW).is_none());
        let at = at.index(token.len());
        token[at] ^= change;
        prop_assert!(tokens.open("kid", &token, NOW).is_none());
    }
}
