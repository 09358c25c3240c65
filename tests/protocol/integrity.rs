//! What a proof covers, which key makes it, and what an answer is protected with (RFC 8489 §9.2.4, §14.5–14.7).

use crate::craft::*;
use crate::harness::*;
use hairpin::auth::key::Algorithm;
use hairpin::turn::Reason;
use hairpin::wire::{Class, Method, Writer, attribute, integrity};

/// Every way in which a client may protect a request.
const STYLES: [Style; 5] =
    [Style::Md5, Style::Sha256, Style::Anonymous, Style::Sha256KeySha1Mac, Style::Md5KeySha256Mac];

/// Name, realm and nonce.
fn credentials(w: &mut Writer<'_>, client: &Client) {
    w.attribute(attribute::USERNAME, client.user.as_bytes()).attribute(attribute::REALM, REALM.as_bytes());
    w.attribute(attribute::NONCE, &client.nonce);
}

/// A request with credentials, and with integrity of whatever kind the test appends.
fn unproved(world: &mut World, client: &Client, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    message(world, method, Class::Request, |w| {
        fill(w);
        credentials(w, client);
    })
}

/// Appends MESSAGE-INTEGRITY.
fn prove_sha1(request: &mut Vec<u8>, key: &[u8]) {
    let mac = integrity::sha1(request, request.len(), key);
    append(request, attribute::MESSAGE_INTEGRITY, &mac, 0);
}

/// Appends MESSAGE-INTEGRITY-SHA256, cut to this length.
fn prove_sha256(request: &mut Vec<u8>, key: &[u8], len: usize) {
    let mac = integrity::sha256(request, request.len(), len.next_multiple_of(4), key);
    append(request, attribute::MESSAGE_INTEGRITY_SHA256, &mac.repeat(2)[..len], 0);
}

/// Appends FINGERPRINT.
fn close(request: &mut Vec<u8>) {
    let crc = integrity::fingerprint(request, request.len());
    append(request, attribute::FINGERPRINT, &crc.to_be_bytes(), 0);
}

/// AUTH-013, AUTH-014.
#[test]
fn whatever_a_proved_request_is_answered_with_is_protected() {
    for style in STYLES {
        let mut world = Build::default();
        world.options.quotas.user = 1;
        let mut world = world.build();
        let alice = world.alice().with(style);
        let elsewhere = world.login(udp("192.0.2.1:41000"), "alice", "secret").with(style);
        let bob = world.login(alice.path, "bob", "hunter2").with(style);
        let check = |code: Option<u16>, client: &Client, answer: &Answer| {
            assert_eq!(answer.code(), code, "{style:?}");
            assert!(is_protected(answer, client), "{style:?}: {code:?} has {:04x?}", codes(answer));
        };
        check(Some(437), &alice, &alice.refresh(&mut world, None));
        check(Some(400), &alice, &alice.request(&mut world, Method::ALLOCATE, |_| {}));
        let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &[132, 0, 0, 0]);
        });
        check(Some(442), &alice, &answer);
        let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
            allocate(w);
            w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0]);
        });
        check(Some(440), &alice, &answer);
        check(Some(420), &alice, &alice.request(&mut world, Method::ALLOCATE, |w| _ = w.attribute(UNKNOWN, b"")));
        world.exhausted = true;
        check(Some(508), &alice, &alice.request(&mut world, Method::ALLOCATE, allocate));
        world.exhausted = false;
        check(None, &alice, &alice.request(&mut world, Method::ALLOCATE, allocate));
        check(Some(437), &alice, &alice.request(&mut world, Method::ALLOCATE, allocate));
        check(Some(486), &elsewhere, &elsewhere.request(&mut world, Method::ALLOCATE, allocate));
        check(Some(441), &bob, &bob.refresh(&mut world, Some(0)));
        check(Some(403), &alice, &alice.permit(&mut world, &["127.0.0.1:1"]));
        check(Some(443), &alice, &alice.permit(&mut world, &["[2001:db8::9]:1"]));
        check(None, &alice, &alice.permit(&mut world, &[PEER]));
        check(None, &alice, &alice.bind(&mut world, 0x4000, PEER));
        check(Some(400), &alice, &alice.bind(&mut world, 0x3FFF, PEER));
        check(None, &alice, &alice.refresh(&mut world, Some(0)));
    }
}

/// AUTH-014, AUTH-015, AUTH-019, AUTH-033.
#[test]
fn key_and_hmac_are_chosen_independently() {
    for style in STYLES {
        let mut world = world();
        let alice = world.alice().with(style);
        let answer = alice.request(&mut world, Method::ALLOCATE, allocate);
        assert_eq!(answer.code(), None, "{style:?}");
        let last = *codes(&answer).last().unwrap();
        let legacy = matches!(style, Style::Md5 | Style::Md5KeySha256Mac);
        let wanted = if legacy { attribute::MESSAGE_INTEGRITY } else { attribute::MESSAGE_INTEGRITY_SHA256 };
        assert_eq!(last, wanted, "{style:?}");
        assert!(is_protected(&answer, &alice), "{style:?}");
    }
}

/// A request whose PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM are these, proved with both kinds of key.
fn with_algorithms(world: &mut World, list: Option<&[u8]>, one: Option<&[u8]>) -> Vec<Answer> {
    let alice = world.alice();
    let keys = [alice.clone(), alice.clone().with(Style::Sha256)].map(|client| client.key());
    let mut answers = Vec::new();
    for key in keys {
        let mut request = unproved(world, &alice, Method::ALLOCATE, |w| {
            allocate(w);
            for (code, value) in [(attribute::PASSWORD_ALGORITHMS, list), (attribute::PASSWORD_ALGORITHM, one)] {
                if let Some(value) = value {
                    w.attribute(code, value);
                }
            }
        });
        prove_sha256(&mut request, key.as_bytes(), 32);
        answers.push(world.ask(alice.path, &request));
    }
    answers
}

/// AUTH-016.
#[test]
fn the_chosen_algorithm_and_the_list_come_together_or_not_at_all() {
    let mut world = world();
    for (list, one) in [(Some(&[0, 2, 0, 0, 0, 1, 0, 0][..]), None), (None, Some(&[0, 2, 0, 0][..]))] {
        for answer in with_algorithms(&mut world, list, one) {
            assert!(is_plain_error(&answer, 400));
        }
    }
}

/// AUTH-017.
#[test]
fn a_list_that_is_not_the_one_that_was_sent_is_malformed() {
    let mut world = world();
    let lists: [&[u8]; 6] = [
        &[0, 1, 0, 0],
        &[0, 2, 0, 0],
        &[0, 1, 0, 0, 0, 2, 0, 0],
        &[0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0],
        &[0, 2, 0, 0, 0, 2, 0, 0],
        &[],
    ];
    for list in lists {
        for one in [[0, 1, 0, 0], [0, 2, 0, 0]] {
            for answer in with_algorithms(&mut world, Some(list), Some(&one)) {
                assert!(is_plain_error(&answer, 400), "{list:?}");
            }
        }
    }
}

/// AUTH-018, AUTH-023.
#[test]
fn an_algorithm_that_is_not_offered_or_not_well_formed_is_malformed() {
    let mut world = world();
    let list = [0, 2, 0, 0, 0, 1, 0, 0];
    let ones: [&[u8]; 8] = [
        &[0, 3, 0, 0],
        &[0, 0, 0, 0],
        &[0xFF, 0xFF, 0, 0],
        &[0, 1, 0, 4],
        &[0, 1, 0, 4, 1, 2, 3, 4],
        &[0, 2, 0, 0, 0, 1, 0, 0],
        &[0, 2],
        &[],
    ];
    for one in ones {
        for answer in with_algorithms(&mut world, Some(&list), Some(one)) {
            assert!(is_plain_error(&answer, 400), "{one:?}");
        }
    }
    for list in [&list[..7], &list[..3], &[0, 2, 0, 9, 0, 1, 0, 0], &[0xFF; 8]] {
        for answer in with_algorithms(&mut world, Some(list), Some(&[0, 2, 0, 0])) {
            assert!(is_plain_error(&answer, 400), "{list:?}");
        }
    }
    let codes =
        with_algorithms(&mut world, Some(&list), Some(&[0, 1, 0, 0])).iter().map(Answer::code).collect::<Vec<_>>();
    assert_eq!(codes, [None, Some(401)], "the key of the algorithm that was named, and no other");
}

/// AUTH-019.
#[test]
fn a_client_of_rfc_5389_is_served() {
    let mut world = world();
    let alice = world.alice();
    assert!(alice.nonce.starts_with(b"obMatJos2wAAD"), "though the nonce announces more");
    let answer = alice.request(&mut world, Method::ALLOCATE, allocate);
    assert_eq!(answer.code(), None);
    assert!(answer.is_protected_by_sha1(&alice.key()));
}

/// AUTH-024, SEC-23.
#[test]
fn a_truncated_sha256_hmac_is_never_enough() {
    let mut world = world();
    let alice = world.alice();
    for len in [16, 20, 24, 28] {
        let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
        prove_sha256(&mut request, alice.key().as_bytes(), len);
        assert!(is_challenge(&world.ask(alice.path, &request), 401), "{len} bytes");
    }
    for len in [0, 1, 4, 12, 15, 17, 18, 31, 33, 36, 64] {
        let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
        prove_sha256(&mut request, alice.key().as_bytes(), len);
        assert!(is_plain_error(&world.ask(alice.path, &request), 400), "{len} bytes");
    }
    let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
    prove_sha256(&mut request, alice.key().as_bytes(), 32);
    assert_eq!(world.ask(alice.path, &request).code(), None, "and whole it is");
}

/// AUTH-025, SEC-23.
#[test]
fn a_sha1_hmac_of_another_length_is_malformed() {
    let mut world = world();
    let alice = world.alice();
    for len in [0, 1, 16, 19, 21, 24, 32] {
        let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
        let mac = integrity::sha1(&request, request.len(), alice.key().as_bytes());
        append(&mut request, attribute::MESSAGE_INTEGRITY, &mac.repeat(2)[..len], 0);
        assert!(is_plain_error(&world.ask(alice.path, &request), 400), "{len} bytes");
    }
}

/// AUTH-026, SEC-22.
#[test]
fn nobody_bids_a_request_down_to_sha1() {
    let mut world = world();
    let alice = world.alice();
    for (right_sha1, right_sha256, code) in
        [(true, false, Some(401)), (false, false, Some(401)), (false, true, None), (true, true, Some(437))]
    {
        let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
        let key = |right: bool| if right { alice.key().as_bytes().to_vec() } else { b"wrong".to_vec() };
        prove_sha1(&mut request, &key(right_sha1));
        prove_sha256(&mut request, &key(right_sha256), 32);
        assert_eq!(world.ask(alice.path, &request).code(), code);
    }
}

/// AUTH-005, SEC-22.
#[test]
fn where_only_sha256_is_offered_neither_md5_keys_nor_sha1_are_enough() {
    let mut world = world_with(|options| options.algorithms = vec![Algorithm::Sha256]);
    let alice = world.alice().with(Style::Sha256);
    for style in [Style::Md5, Style::Md5KeySha256Mac] {
        let answer = alice.clone().with(style).request(&mut world, Method::ALLOCATE, allocate);
        assert_eq!(answer.code(), Some(401), "{style:?}");
        assert_eq!(answer.get(attribute::PASSWORD_ALGORITHMS).unwrap(), [0, 2, 0, 0]);
    }
    let chosen = |w: &mut Writer<'_>| {
        allocate(w);
        w.attribute(attribute::PASSWORD_ALGORITHMS, &[0, 2, 0, 0])
            .attribute(attribute::PASSWORD_ALGORITHM, &[0, 2, 0, 0]);
    };
    let mut request = unproved(&mut world, &alice, Method::ALLOCATE, chosen);
    prove_sha1(&mut request, alice.key().as_bytes());
    assert_eq!(world.ask(alice.path, &request).code(), Some(401));
    let mut request = unproved(&mut world, &alice, Method::ALLOCATE, chosen);
    prove_sha256(&mut request, alice.key().as_bytes(), 32);
    assert_eq!(world.ask(alice.path, &request).code(), None);
}

/// AUTH-027.
#[test]
fn both_hmacs_and_a_fingerprint_each_see_the_message_as_it_ended_then() {
    let mut world = world();
    let alice = world.alice();
    let mut request = unproved(&mut world, &alice, Method::ALLOCATE, allocate);
    prove_sha1(&mut request, alice.key().as_bytes());
    prove_sha256(&mut request, alice.key().as_bytes(), 32);
    close(&mut request);
    let answer = world.ask(alice.path, &request);
    assert_eq!(answer.code(), None);
    assert!(answer.is_protected_by_sha1(&alice.key()), "no password algorithm was named");
}

/// The ways to smuggle: what stands where, and what is appended to a proved request.
fn smuggled(
    world: &mut World,
    client: &Client,
    method: Method,
    fill: &dyn Fn(&mut Writer<'_>),
    code: u16,
    value: &[u8],
) -> Vec<Vec<u8>> {
    let key = client.key().as_bytes().to_vec();
    let mut found = Vec::new();
    // After MESSAGE-INTEGRITY; after MESSAGE-INTEGRITY-SHA256; each with a new FINGERPRINT too.
    for sha256 in [false, true] {
        for fingerprint in [false, true] {
            let mut request = unproved(world, client, method, fill);
            if sha256 {
                prove_sha256(&mut request, &key, 32)
            } else {
                prove_sha1(&mut request, &key)
            }
            append(&mut request, code, value, 0);
            if fingerprint {
                close(&mut request);
            }
            found.push(request);
        }
    }
    // Between the two, in both orders.
    let mut between = unproved(world, client, method, fill);
    prove_sha1(&mut between, &key);
    append(&mut between, code, value, 0);
    prove_sha256(&mut between, &key, 32);
    let mut reversed = unproved(world, client, method, fill);
    prove_sha256(&mut reversed, &key, 32);
    append(&mut reversed, code, value, 0);
    prove_sha1(&mut reversed, &key);
    found.extend([between, reversed]);
    found
}

/// AUTH-028, AUTH-030, AUTH-031, AUTH-032, SEC-24.
#[test]
fn a_lifetime_after_the_proof_neither_deletes_nor_extends() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for lifetime in [0_u32, 3600] {
        for request in
            smuggled(&mut world, &alice, Method::REFRESH, &|_| {}, attribute::LIFETIME, &lifetime.to_be_bytes())
        {
            assert_eq!(world.ask(alice.path, &request).lifetime(), Some(600));
            assert!(world.server.has_allocation(&alice.path));
        }
    }
}

/// AUTH-028, SEC-24.
#[test]
fn a_lifetime_after_the_proof_of_an_allocate_request_is_ignored() {
    let mut world = world();
    let alice = world.alice();
    for request in
        smuggled(&mut world, &alice, Method::ALLOCATE, &allocate, attribute::LIFETIME, &3600_u32.to_be_bytes())
    {
        assert_eq!(world.ask(alice.path, &request).lifetime(), Some(600));
        assert_eq!(alice.refresh(&mut world, Some(0)).code(), None);
    }
}

/// AUTH-028, AUTH-030, AUTH-031, AUTH-032, SEC-24.
#[test]
fn a_peer_after_the_proof_gets_no_permission() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    let wanted = |w: &mut Writer<'_>| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
    for request in smuggled(&mut world, &alice, Method::CREATE_PERMISSION, &wanted, attribute::XOR_PEER_ADDRESS, b"") {
        assert_eq!(world.ask(alice.path, &request).code(), None, "what is malformed there is not looked at either");
    }
    let id = world.transaction();
    let mut request = alice.message(&id, Method::CREATE_PERMISSION, wanted);
    let other = "198.18.5.10:5000";
    let value = hairpin::wire::address::encode_xor(addr(other), &id);
    append(&mut request, attribute::XOR_PEER_ADDRESS, value.as_bytes(), 0);
    assert_eq!(world.ask(alice.path, &request).code(), None);
    to_client(&world.peer(PEER, relayed, b"x"));
    assert_eq!(dropped(&world.peer(other, relayed, b"x")), Reason::NoPermission);
}

/// AUTH-029, AUTH-030, AUTH-031, AUTH-032.
#[test]
fn an_unknown_attribute_after_the_proof_is_not_refused() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for request in smuggled(&mut world, &alice, Method::REFRESH, &|_| {}, UNKNOWN, b"abc") {
        assert_eq!(world.ask(alice.path, &request).code(), None);
    }
}

/// AUTH-028, AUTH-031.
#[test]
fn what_an_open_server_reads_of_a_binding_request_ends_at_the_first_proof() {
    let mut world = world();
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
        w.sha1(b"any key").attribute(UNKNOWN, b"abc");
    });
    assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
}

/// AUTH-028, SEC-24.
#[test]
fn credentials_after_the_proof_are_no_credentials() {
    let mut world = world();
    let alice = world.alice();
    let mut request = message(&mut world, Method::ALLOCATE, Class::Request, allocate);
    prove_sha1(&mut request, alice.key().as_bytes());
    append(&mut request, attribute::USERNAME, b"alice", 0);
    append(&mut request, attribute::REALM, REALM.as_bytes(), 0);
    append(&mut request, attribute::NONCE, &alice.nonce, 0);
    assert!(is_plain_error(&world.ask(alice.path, &request), 400));
}

/// AUTH-032.
#[test]
fn a_sha1_hmac_after_the_sha256_one_decides_nothing() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for (right_sha256, right_sha1, code) in [(true, false, None), (true, true, None), (false, true, Some(401))] {
        let mut request = unproved(&mut world, &alice, Method::REFRESH, |_| {});
        let key = |right: bool| if right { alice.key().as_bytes().to_vec() } else { b"wrong".to_vec() };
        prove_sha256(&mut request, &key(right_sha256), 32);
        prove_sha1(&mut request, &key(right_sha1));
        assert_eq!(world.ask(alice.path, &request).code(), code);
    }
}

/// AUTH-005.
#[test]
fn one_wrong_bit_anywhere_before_the_proof_is_noticed() {
    let mut world = world();
    let alice = world.alice();
    for style in [Style::Md5, Style::Sha256] {
        let client = alice.clone().with(style);
        let id = world.transaction();
        let request = client.message(&id, Method::ALLOCATE, allocate);
        for bit in 0..request.len() * 8 {
            let mut wrong = request.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            for out in world.client(alice.path, &wrong) {
                if let Out::Client(_, bytes) = out {
                    assert_ne!(bytes[..2], [0x01, 0x03], "bit {bit}");
                }
            }
        }
        assert_eq!(world.server.allocations(), 0);
    }
}
