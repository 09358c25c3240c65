//! Who may come in, and what those are told who may not (RFC 8489 §9.2, RFC 8656 §5).

use crate::craft::*;
use crate::harness::*;
use hairpin::auth::Secret;
use hairpin::auth::key::{Algorithm, Key, user_hash};
use hairpin::turn::Reason;
use hairpin::wire::{Class, Method, Writer, attribute};

/// The request of a client that claims this name and this realm with this key.
fn claim(world: &mut World, client: &Client, name: &[u8], realm: &[u8], key: &Key) -> Answer {
    ask(world, client.path, Method::ALLOCATE, |w| {
        allocate(w);
        w.attribute(attribute::USERNAME, name).attribute(attribute::REALM, realm);
        w.attribute(attribute::NONCE, &client.nonce).sha1(key.as_bytes());
    })
}

/// AUTH-001.
#[test]
fn a_request_without_credentials_is_challenged() {
    let mut world = world();
    for method in turn_methods() {
        assert!(is_challenge(&ask(&mut world, udp(ALICE), method, allocate), 401));
    }
    assert_eq!((world.server.allocations(), world.server.relays()), (0, 0));
}

/// AUTH-002.
#[test]
fn a_request_with_a_name_and_no_proof_is_challenged() {
    let mut world = world();
    let alice = world.alice();
    let answer = ask(&mut world, alice.path, Method::ALLOCATE, |w| {
        allocate(w);
        w.attribute(attribute::USERNAME, b"alice").attribute(attribute::REALM, REALM.as_bytes());
        w.attribute(attribute::NONCE, &alice.nonce);
    });
    assert!(is_challenge(&answer, 401));
}

/// AUTH-003, AUTH-048.
#[test]
fn a_proof_that_lacks_name_realm_or_nonce_is_malformed() {
    let mut world = world();
    let alice = world.alice();
    let parts =
        [(attribute::USERNAME, &b"alice"[..]), (attribute::REALM, REALM.as_bytes()), (attribute::NONCE, &alice.nonce)];
    for missing in 0..3 {
        for sha256 in [false, true] {
            let answer = ask(&mut world, alice.path, Method::ALLOCATE, |w| {
                allocate(w);
                for (code, value) in parts.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, part)| part) {
                    w.attribute(*code, value);
                }
                if sha256 {
                    w.sha256(alice.key().as_bytes())
                } else {
                    w.sha1(alice.key().as_bytes())
                };
            });
            assert!(is_plain_error(&answer, 400), "without {:#06x}: {:?}", parts[missing].0, codes(&answer));
        }
    }
}

/// AUTH-004, AUTH-005, AUTH-035, SEC-19.
#[test]
fn an_unknown_user_is_told_what_a_wrong_password_is_told() {
    let mut world = world();
    let alice = world.alice();
    let wrong = Client { password: "guess".to_owned(), ..alice.clone() };
    let nobody = Client { user: "nobody".to_owned(), ..wrong.clone() };
    let id = world.transaction();
    for style in [Style::Md5, Style::Sha256, Style::Anonymous, Style::Md5KeySha256Mac, Style::Sha256KeySha1Mac] {
        let [wrong, nobody] = [&wrong, &nobody].map(|client| {
            let request = client.clone().with(style).message(&id, Method::ALLOCATE, allocate);
            world.ask(alice.path, &request)
        });
        assert!(is_challenge(&wrong, 401), "{style:?}");
        assert_eq!(wrong.bytes, nobody.bytes, "{style:?}");
    }
}

/// AUTH-006, AUTH-010.
#[test]
fn a_stale_nonce_is_replaced_and_the_allocation_stands() {
    for style in [Style::Md5, Style::Sha256, Style::Anonymous] {
        let mut world = world();
        let alice = world.alice().with(style);
        alice.request(&mut world, Method::ALLOCATE, |w| {
            allocate(w);
            w.number(attribute::LIFETIME, 3600);
        });
        alice.permit(&mut world, &[PEER]);
        world.seconds(200);
        assert_eq!(alice.permit(&mut world, &[PEER]).code(), None, "the nonce is good for ten minutes");
        world.seconds(401);
        let answer = alice.refresh(&mut world, Some(0));
        assert!(is_challenge(&answer, 438));
        assert!(world.server.has_allocation(&alice.path));
        let nonce = answer.get(attribute::NONCE).unwrap();
        assert_ne!(nonce, alice.nonce);
        let alice = Client { nonce, ..alice };
        assert_eq!(alice.refresh(&mut world, None).code(), None);
    }
}

/// AUTH-006, AUTH-007.
#[test]
fn wrong_credentials_with_a_stale_nonce_open_nothing() {
    let mut world = world();
    let wrong = Client { password: "guess".to_owned(), ..world.alice() };
    world.seconds(601);
    let answer = wrong.request(&mut world, Method::ALLOCATE, allocate);
    assert!(is_challenge(&answer, 401) || is_challenge(&answer, 438));
}

/// AUTH-007, AUTH-020.
#[test]
fn a_nonce_never_issued_is_stale() {
    let mut world = world();
    let alice = world.alice();
    let mut bits = alice.nonce.clone();
    bits[9..13].copy_from_slice(b"AAAA");
    let mut flipped = alice.nonce.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let nonces = [
        vec![],
        vec![0; 37],
        b"obMatJos2".to_vec(),
        b"obMatJos2wAAD".to_vec(),
        alice.nonce[..alice.nonce.len() - 1].to_vec(),
        [&alice.nonce[..], b"A"].concat(),
        vec![b'x'; 700],
        vec![0xFF; 37],
        bits,
        flipped,
    ];
    for nonce in nonces {
        for style in [Style::Md5, Style::Sha256] {
            let odd = Client { nonce: nonce.clone(), ..alice.clone() }.with(style);
            let answer = odd.request(&mut world, Method::ALLOCATE, allocate);
            assert!(is_challenge(&answer, 438), "{nonce:02x?}");
            let guess = Client { password: "guess".to_owned(), ..odd };
            let answer = guess.request(&mut world, Method::ALLOCATE, allocate);
            assert!(is_challenge(&answer, 438) || is_challenge(&answer, 401));
        }
    }
    assert_eq!(world.server.allocations(), 0);
}

/// AUTH-008, AUTH-009.
#[test]
fn a_nonce_is_for_the_port_that_asked_for_it() {
    let mut world = world();
    let here = world.alice();
    let there = world.login(udp("192.0.2.1:40001"), "alice", "secret");
    assert_ne!(here.nonce, there.nonce);
    let moved = Client { path: there.path, ..here };
    assert!(is_challenge(&moved.request(&mut world, Method::ALLOCATE, allocate), 438));
    assert_eq!(there.request(&mut world, Method::ALLOCATE, allocate).code(), None);
}

/// AUTH-011, AUTH-012.
#[test]
fn a_nonce_begins_with_the_cookie_and_needs_no_quoting() {
    let mut world = world();
    for port in 1000..1100 {
        let nonce = world.login(udp(&format!("192.0.2.1:{port}")), "alice", "secret").nonce;
        assert_eq!(nonce[..13], *b"obMatJos2wAAD");
        assert!(nonce.len() < 128);
        assert!(nonce.iter().all(|c| c.is_ascii_graphic() && *c != b'"' && *c != b'\\'));
    }
}

/// AUTH-021, AUTH-022.
#[test]
fn the_list_of_algorithms_goes_out_exactly_when_the_nonce_promises_it() {
    let (sha256, md5) = (Algorithm::Sha256, Algorithm::Md5);
    let lists = [
        (vec![sha256, md5], b"wAAD", Some(vec![0, 2, 0, 0, 0, 1, 0, 0])),
        (vec![sha256], b"wAAD", Some(vec![0, 2, 0, 0])),
        (vec![md5], b"wAAD", Some(vec![0, 1, 0, 0])),
        (vec![], b"QAAC", None),
    ];
    for (algorithms, bits, list) in lists {
        let mut world = world_with(|options| options.algorithms = algorithms);
        let alice = world.alice();
        let foreign = Client { nonce: b"foreign".to_vec(), ..alice.clone() }.with(Style::Md5KeySha256Mac);
        let wrong = Client { password: "guess".to_owned(), ..alice.clone() };
        let answers = [
            (401, ask(&mut world, alice.path, Method::REFRESH, |_| {})),
            (401, wrong.request(&mut world, Method::ALLOCATE, allocate)),
            (438, foreign.request(&mut world, Method::ALLOCATE, allocate)),
        ];
        for (code, answer) in answers {
            assert_eq!(answer.code(), Some(code));
            assert_eq!(answer.get(attribute::NONCE).unwrap()[9..13], *bits);
            assert_eq!(answer.get(attribute::PASSWORD_ALGORITHMS), list);
        }
    }
}

/// AUTH-033, AUTH-041.
#[test]
fn a_hidden_name_is_the_same_user() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let hidden = alice.clone().with(Style::Anonymous);
    let answer = hidden.refresh(&mut world, Some(1200));
    assert_eq!(answer.lifetime(), Some(1200));
    assert!(is_protected(&answer, &hidden));
    assert_eq!(hidden.permit(&mut world, &[PEER]).code(), None);
    assert_eq!(alice.with(Style::Sha256).refresh(&mut world, Some(0)).code(), None);
}

/// AUTH-034.
#[test]
fn a_user_hash_of_another_length_or_beside_a_name_is_malformed() {
    let mut world = world();
    let alice = world.alice();
    let hash = user_hash("alice", REALM);
    let claims = |w: &mut Writer<'_>, name: Option<&[u8]>, hash: &[u8]| {
        allocate(w);
        if let Some(name) = name {
            w.attribute(attribute::USERNAME, name);
        }
        w.attribute(attribute::USERHASH, hash).attribute(attribute::REALM, REALM.as_bytes());
        w.attribute(attribute::NONCE, &alice.nonce).sha1(alice.key().as_bytes());
    };
    for hash in [&hash[..31], &hash[..16], &[], &[&hash[..], &[0]].concat(), &[0; 64]] {
        let answer = ask(&mut world, alice.path, Method::ALLOCATE, |w| claims(w, None, hash));
        assert!(is_plain_error(&answer, 400), "{} bytes", hash.len());
    }
    let answer = ask(&mut world, alice.path, Method::ALLOCATE, |w| claims(w, Some(b"alice"), &hash));
    assert!(is_plain_error(&answer, 400));
    let answer = ask(&mut world, alice.path, Method::ALLOCATE, |w| claims(w, None, &hash));
    assert_eq!(answer.code(), None);
}

/// AUTH-038.
#[test]
fn a_long_name_is_read_whole_or_refused() {
    let names = [508, 763].map(|len| "n".repeat(len));
    let mut build = Build::default();
    for name in &names {
        build.credentials.add_user(name, &Secret::Password("secret".to_owned())).unwrap();
    }
    let mut world = build.build();
    for (port, name) in names.iter().enumerate() {
        let client = world.login(udp(&format!("192.0.2.1:{}", 5000 + port)), name, "secret");
        assert_eq!(client.request(&mut world, Method::ALLOCATE, allocate).code(), None, "{} bytes", name.len());
    }
    let long = world.login(udp(ALICE), &"n".repeat(764), "secret");
    assert!(is_plain_error(&long.request(&mut world, Method::ALLOCATE, allocate), 400));
    let other = world.login(udp(ALICE), &"n".repeat(762), "secret");
    assert!(is_challenge(&other.request(&mut world, Method::ALLOCATE, allocate), 401));
}

/// AUTH-039.
#[test]
fn another_realm_is_answered_with_ours() {
    let mut world = world();
    let alice = world.alice();
    for realm in [&b"example.com"[..], b"", b"EXAMPLE.ORG", b"example.org."] {
        let theirs = std::str::from_utf8(realm).unwrap();
        let key = Key::long_term(Algorithm::Md5, "alice", theirs, "secret").unwrap_or(alice.key());
        for key in [key, alice.key()] {
            assert!(is_challenge(&claim(&mut world, &alice, b"alice", realm, &key), 401), "{theirs:?}");
        }
    }
}

/// AUTH-039.
#[test]
fn quotes_and_trailing_zeros_do_not_count() {
    for (name, realm) in [
        (&b"\"alice\""[..], &b"\"example.org\""[..]),
        (b"alice\0", b"example.org\0\0"),
        (b"\"alice\"\0", b"\"example.org\"\0"),
    ] {
        let mut world = world();
        let alice = world.alice();
        assert_eq!(claim(&mut world, &alice, name, realm, &alice.key()).code(), None);
    }
}

/// AUTH-040, AUTH-013.
#[test]
fn nobody_uses_the_allocation_of_another_user() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    for style in [Style::Md5, Style::Sha256, Style::Anonymous] {
        let bob = world.login(alice.path, "bob", "hunter2").with(style);
        for answer in [
            bob.refresh(&mut world, Some(0)),
            bob.refresh(&mut world, None),
            bob.permit(&mut world, &[PEER]),
            bob.bind(&mut world, 0x4000, PEER),
        ] {
            assert_eq!(answer.code(), Some(441));
            assert!(is_protected(&answer, &bob));
        }
    }
    assert!(world.server.has_allocation(&alice.path));
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
}

/// AUTH-042, AUTH-013.
#[test]
fn a_second_allocation_is_a_mismatch_whoever_asks() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let bob = world.login(alice.path, "bob", "hunter2");
    for client in [alice, bob] {
        let answer = client.request(&mut world, Method::ALLOCATE, allocate);
        assert_eq!(answer.code(), Some(437));
        assert!(is_protected(&answer, &client));
    }
}

/// AUTH-043.
#[test]
fn the_5_tuple_of_an_allocation_proves_nothing() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    for method in turn_methods() {
        let answer = ask(&mut world, alice.path, method, |w| {
            w.number(attribute::LIFETIME, 0).attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]);
            w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
        });
        assert!(is_challenge(&answer, 401));
    }
    assert!(world.server.has_allocation(&alice.path));
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
}

/// AUTH-044.
#[test]
fn the_integrity_of_an_indication_is_not_looked_at() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for permitted in [false, true] {
        if permitted {
            alice.permit(&mut world, &[PEER]);
        }
        for key in [alice.key().as_bytes(), b"any other key"] {
            for sha256 in [false, true] {
                let send = message(&mut world, Method::SEND, Class::Indication, |w| {
                    w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x");
                    if sha256 {
                        w.sha256(key)
                    } else {
                        w.sha1(key)
                    };
                });
                if permitted {
                    assert_eq!(to_peer(&world.client(alice.path, &send)), (addr(PEER), &b"x"[..]));
                } else {
                    assert_eq!(silence(&mut world, alice.path, &send), Reason::NoPermission);
                }
            }
        }
    }
}

/// AUTH-046.
#[test]
fn an_open_relay_serves_without_integrity() {
    let mut world = world_with(|options| options.anonymous = true);
    let path = udp(ALICE);
    let answer = ask(&mut world, path, Method::ALLOCATE, allocate);
    assert_eq!(answer.code(), None);
    assert!(answer.is_bare());
    let permit = ask(&mut world, path, Method::CREATE_PERMISSION, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
    });
    assert!(permit.code().is_none() && permit.is_bare());
    let unknown = ask(&mut world, path, Method::REFRESH, |w| _ = w.attribute(UNKNOWN, b""));
    assert!(unknown.code() == Some(420) && unknown.is_bare());
    assert_eq!(ask(&mut world, path, Method::REFRESH, |w| _ = w.number(attribute::LIFETIME, 0)).lifetime(), Some(0));
}

/// AUTH-049, TURN-035, SEC-18.
#[test]
fn a_user_who_may_not_be_served_is_forbidden_and_not_unauthenticated() {
    for client in ["[2002:c000:204::1]:40000", "[2001:0:53aa:64c:0:fbff:ad47:79f4]:40000"] {
        let mut world = world();
        let alice = world.login(udp(client), "alice", "secret");
        let answer = alice.request(&mut world, Method::ALLOCATE, allocate);
        assert_eq!(answer.code(), Some(403));
        assert!(is_protected(&answer, &alice));
        assert_eq!(world.server.allocations(), 0);
    }
}

/// AUTH-050.
#[test]
fn a_hostile_name_is_nobody() {
    let mut world = world();
    let alice = world.alice();
    let names: [&[u8]; 12] = [
        b"",
        b"\0",
        b"ali\0ce",
        b"%s%s%n",
        b"alice' OR '1'='1",
        b"\"",
        b"\\",
        b"alice\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        "ali\u{200b}ce".as_bytes(),
        b"alice\r\nalice",
    ];
    for name in names {
        let answer = claim(&mut world, &alice, name, REALM.as_bytes(), &alice.key());
        assert!(is_challenge(&answer, 401), "{name:02x?}");
    }
}

/// AUTH-004, REST-001, REST-002, REST-005.
#[test]
fn a_time_limited_name_is_good_until_it_expires_and_then_for_what_it_has() {
    let mut world = world();
    let name = format!("{}:carol", world.now.wall + 100);
    let password = hairpin::auth::rest::password("north", &name, hairpin::auth::rest::Hash::Sha1);
    let carol = world.login(udp(ALICE), &name, &password);
    let late = world.login(udp("192.0.2.9:40000"), &name, &password);
    let answer = carol.request(&mut world, Method::ALLOCATE, allocate);
    assert_eq!(answer.code(), None);
    assert!(is_protected(&answer, &carol));
    world.seconds(101);
    assert_eq!(carol.refresh(&mut world, None).code(), None);
    assert!(is_challenge(&late.request(&mut world, Method::ALLOCATE, allocate), 401));
}
