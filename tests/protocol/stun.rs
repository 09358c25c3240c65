//! Header, attributes and errors of every STUN message (RFC 8489 §5, §6.3, §14).

use crate::craft::*;
use crate::harness::*;
use hairpin::turn::{Reason, RelayId};
use hairpin::wire::{Class, Method, Writer, address, attribute, integrity};

/// STUN-006.
#[test]
fn a_message_with_a_top_bit_set_is_met_with_silence() {
    let mut world = world();
    for bits in [0x40, 0x80, 0xC0] {
        let mut packet = binding(&mut world);
        packet[0] |= bits;
        silence(&mut world, udp(ALICE), &packet);
    }
}

/// STUN-007, STUN-009.
#[test]
fn a_length_that_is_no_multiple_of_four_is_met_with_silence() {
    let mut world = world();
    for stray in 1..4 {
        let mut packet = binding(&mut world);
        packet.resize(20 + stray, 0);
        packet[3] = stray as u8;
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed, "{stray} stray bytes");
    }
}

/// STUN-008.
#[test]
fn a_cookie_with_one_wrong_bit_is_no_cookie() {
    for classic in [false, true] {
        let mut world = world_with(|options| options.classic = classic);
        for bit in 0..32 {
            let mut packet = binding(&mut world);
            packet[4 + bit / 8] ^= 1 << (bit % 8);
            if !classic {
                assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed);
                continue;
            }
            let out = world.client(udp(ALICE), &packet);
            let codes: Vec<u16> = attributes(to_client(&out)).into_iter().map(|(code, ..)| code).collect();
            assert_eq!(codes, [attribute::MAPPED_ADDRESS], "bit {bit}");
        }
    }
}

/// STUN-009.
#[test]
fn an_attribute_that_runs_past_the_message_is_met_with_silence() {
    let mut world = world();
    for len in [5_u16, 8, 0x7FFF, 0xFFFC, 0xFFFF] {
        let mut packet = binding(&mut world);
        append(&mut packet, attribute::SOFTWARE, b"test", 0);
        packet[22..24].copy_from_slice(&len.to_be_bytes());
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed, "{len}");
    }
}

/// STUN-009.
#[test]
fn attributes_of_no_length_are_walked_like_others() {
    let mut world = world();
    let mut packet = binding(&mut world);
    for _ in 0..3 {
        append(&mut packet, 0x8FFF, b"", 0);
    }
    assert_eq!(world.ask(udp(ALICE), &packet).code(), None);
}

/// STUN-010, STUN-011, STUN-012, STUN-013, AMP-004, SEC-32.
#[test]
fn only_seven_requests_and_one_indication_are_looked_at() {
    let mut world = world();
    let served = SERVED.map(|method| (Class::Request, method));
    let send = (Class::Indication, Method::SEND);
    for number in 0..0x100 {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            if served.contains(&(class, Method(number))) || (class, Method(number)) == send {
                continue;
            }
            let packet = message(&mut world, Method(number), class, allocate);
            assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::NotServed, "{class:?} of {number:#05x}");
        }
    }
}

/// STUN-013.
#[test]
fn a_binding_indication_keeps_nothing_alive() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    world.seconds(299);
    let indication = message(&mut world, Method::BINDING, Class::Indication, |_| {});
    assert_eq!(silence(&mut world, alice.path, &indication), Reason::NotServed);
    world.seconds(2);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    world.seconds(298);
    assert_eq!(silence(&mut world, alice.path, &indication), Reason::NotServed);
    world.seconds(3);
    assert!(!world.server.has_allocation(&alice.path));
}

/// STUN-014.
#[test]
fn a_required_attribute_that_nobody_knows_is_refused_by_name() {
    let mut world = world();
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
        w.attribute(UNKNOWN, b"abc");
    });
    assert_eq!(answer.code(), Some(420));
    assert_eq!(unknown(&answer), [UNKNOWN]);
    assert_eq!(codes(&answer), [attribute::ERROR_CODE, attribute::UNKNOWN_ATTRIBUTES]);
}

/// STUN-015.
#[test]
fn a_list_of_three_unknown_attributes_is_six_bytes_and_padding() {
    let mut world = world();
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
        w.attribute(0x7F01, b"").attribute(0x7F02, b"").attribute(0x7F03, b"");
    });
    let (code, value, pad) = attributes(&answer.bytes).pop().unwrap();
    assert_eq!((code, value, pad), (attribute::UNKNOWN_ATTRIBUTES, vec![0x7F, 1, 0x7F, 2, 0x7F, 3], vec![0, 0]));
}

/// STUN-016, STUN-031.
#[test]
fn an_unknown_attribute_is_listed_once_and_the_list_is_short() {
    let mut world = world();
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
        for _ in 0..5 {
            w.attribute(UNKNOWN, b"");
        }
    });
    assert_eq!(unknown(&answer), [UNKNOWN]);

    let request = message(&mut world, Method::BINDING, Class::Request, |w| {
        for code in 0..300 {
            w.attribute(0x7000 + code, b"");
        }
    });
    let answer = world.ask(udp(ALICE), &request);
    assert_eq!(unknown(&answer), (0x7000..0x7008).collect::<Vec<u16>>());
    assert!(answer.bytes.len() < request.len());
}

/// STUN-017.
#[test]
fn an_unknown_attribute_that_is_optional_is_ignored() {
    let mut world = world();
    for code in [0x8FFF, 0xC057, 0x802F, 0x8030, 0x8000, 0xFFFF] {
        let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
            w.attribute(code, b"whatever");
        });
        assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS], "{code:#06x}");
    }
}

/// STUN-018.
#[test]
fn an_attribute_of_another_method_is_ignored_whatever_it_holds() {
    let mut world = world();
    let elsewhere = [
        attribute::LIFETIME,
        attribute::XOR_MAPPED_ADDRESS,
        attribute::MAPPED_ADDRESS,
        attribute::XOR_PEER_ADDRESS,
        attribute::CHANNEL_NUMBER,
        attribute::DATA,
        attribute::ERROR_CODE,
        attribute::PRIORITY,
        attribute::USE_CANDIDATE,
    ];
    for code in elsewhere {
        for value in [&b""[..], &[0; 4], &[0xFF; 20]] {
            let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
                w.attribute(code, value);
            });
            assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS], "{code:#06x}");
        }
    }
}

/// STUN-019.
#[test]
fn an_indication_with_an_unknown_required_attribute_is_not_processed() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    let mut send = message(&mut world, Method::SEND, Class::Indication, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x");
    });
    assert_eq!(to_peer(&world.client(alice.path, &send)), (addr(PEER), &b"x"[..]));
    append(&mut send, UNKNOWN, b"", 0);
    assert_eq!(silence(&mut world, alice.path, &send), Reason::BadIndication);
}

/// STUN-020.
#[test]
fn authentication_comes_before_unknown_attributes() {
    let mut world = world();
    let odd = |w: &mut Writer<'_>| {
        allocate(w);
        w.attribute(UNKNOWN, b"");
    };
    assert!(is_challenge(&ask(&mut world, udp(ALICE), Method::ALLOCATE, odd), 401));
    for style in [Style::Md5, Style::Sha256] {
        let alice = world.alice().with(style);
        let answer = alice.request(&mut world, Method::ALLOCATE, odd);
        assert_eq!((answer.code(), unknown(&answer)), (Some(420), vec![UNKNOWN]));
        assert!(is_protected(&answer, &alice));
    }
    assert_eq!(world.server.allocations(), 0);
}

/// STUN-021.
#[test]
fn the_first_of_two_attributes_counts() {
    let mut world = world();
    let alice = world.alice();
    let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
        allocate(w);
        w.number(attribute::LIFETIME, 700).number(attribute::LIFETIME, 800);
    });
    assert_eq!(answer.lifetime(), Some(700));
    let answer = alice.request(&mut world, Method::REFRESH, |w| {
        w.number(attribute::LIFETIME, 900).number(attribute::LIFETIME, 0);
    });
    assert_eq!(answer.lifetime(), Some(900));

    let (first, second) = (addr(PEER), addr("198.18.5.10:5000"));
    let answer = alice.request(&mut world, Method::CHANNEL_BIND, |w| {
        w.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]).attribute(attribute::CHANNEL_NUMBER, &[0x40, 1, 0, 0]);
        w.xor_address(attribute::XOR_PEER_ADDRESS, first).xor_address(attribute::XOR_PEER_ADDRESS, second);
    });
    assert_eq!(answer.code(), None);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).0, first);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4001, b"x")), Reason::NoChannel);

    alice.permit(&mut world, &["198.18.5.10:0"]);
    let send = message(&mut world, Method::SEND, Class::Indication, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, second).xor_address(attribute::XOR_PEER_ADDRESS, first);
        w.attribute(attribute::DATA, b"one").attribute(attribute::DATA, b"two");
    });
    assert_eq!(to_peer(&world.client(alice.path, &send)), (second, &b"one"[..]));
}

/// One request for every way to be refused, with the code that it is refused with.
fn refusals(world: &mut World) -> Vec<(u16, Answer)> {
    let alice = world.alice();
    let bob = world.login(udp(ALICE), "bob", "hunter2");
    let mut found = vec![
        (401, ask(world, alice.path, Method::ALLOCATE, allocate)),
        (400, alice.request(world, Method::ALLOCATE, |_| {})),
        (
            442,
            alice
                .request(world, Method::ALLOCATE, |w| _ = w.attribute(attribute::REQUESTED_TRANSPORT, &[132, 0, 0, 0])),
        ),
        (440, {
            alice.request(world, Method::ALLOCATE, |w| {
                allocate(w);
                w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]);
            })
        }),
        (437, alice.refresh(world, None)),
        (420, ask(world, alice.path, Method::BINDING, |w| _ = w.attribute(UNKNOWN, b""))),
    ];
    world.exhausted = true;
    found.push((508, alice.request(world, Method::ALLOCATE, allocate)));
    world.exhausted = false;
    world.allocate(&alice);
    found.push((403, alice.permit(world, &["127.0.0.1:80"])));
    found.push((443, alice.permit(world, &["[2001:db8::9]:80"])));
    found.push((441, bob.refresh(world, Some(0))));
    found.push((437, alice.request(world, Method::ALLOCATE, allocate)));
    let stale = Client { nonce: b"obMatJos2wAADnonsense".to_vec(), ..alice };
    found.push((438, stale.refresh(world, None)));
    found
}

/// STUN-022.
#[test]
fn every_error_has_a_code_of_two_zeros_class_and_number() {
    for (code, answer) in refusals(&mut world()) {
        let (first, value, pad) = attributes(&answer.bytes).remove(0);
        assert_eq!(first, attribute::ERROR_CODE);
        assert_eq!(value, [0, 0, (code / 100) as u8, (code % 100) as u8], "no phrase unless it is asked for");
        assert!(pad.is_empty());
    }
}

/// STUN-023.
#[test]
fn a_phrase_is_short_text_whose_padding_does_not_count() {
    for (code, answer) in refusals(&mut world_with(|options| options.reasons = true)) {
        assert_eq!(answer.code(), Some(code));
        let value = answer.get(attribute::ERROR_CODE).unwrap();
        let phrase = std::str::from_utf8(&value[4..]).unwrap();
        assert!(!phrase.is_empty() && phrase.chars().count() < 128 && !phrase.contains('\0'), "{code}: {phrase:?}");
    }
}

/// STUN-027.
#[test]
fn a_wrong_fingerprint_is_met_with_silence() {
    let mut world = world();
    let packet = message(&mut world, Method::BINDING, Class::Request, |w| _ = w.fingerprint());
    assert_eq!(world.ask(udp(ALICE), &packet).code(), None);
    for bit in 0..32 {
        let mut wrong = packet.clone();
        wrong[24 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(silence(&mut world, udp(ALICE), &wrong), Reason::Malformed);
    }
    for len in [0, 3, 5, 8] {
        let mut wrong = binding(&mut world);
        let crc = [&integrity::fingerprint(&wrong, 20).to_be_bytes()[..], &[0; 4]].concat();
        append(&mut wrong, attribute::FINGERPRINT, &crc[..len], 0);
        assert_eq!(silence(&mut world, udp(ALICE), &wrong), Reason::Malformed, "{len} bytes");
    }
}

/// STUN-029.
#[test]
fn nothing_may_follow_a_fingerprint() {
    let mut world = world();
    for code in [attribute::SOFTWARE, attribute::FINGERPRINT, attribute::MESSAGE_INTEGRITY] {
        let mut packet = message(&mut world, Method::BINDING, Class::Request, |w| _ = w.fingerprint());
        append(&mut packet, code, &[0; 20], 0);
        assert_eq!(silence(&mut world, udp(ALICE), &packet), Reason::Malformed);
    }
}

/// STUN-031.
#[test]
fn no_answer_to_a_stranger_is_larger_than_the_smallest_path() {
    let realm = "r".repeat(127);
    let mut build = Build::default();
    build.options.reasons = true;
    build.options.software = Some("s".repeat(127));
    build.credentials = hairpin::auth::Credentials::new(&realm, [7; 32]);
    let mut world = build.build();
    for method in turn_methods() {
        let answer = ask(&mut world, udp(ALICE), method, allocate);
        assert_eq!(answer.code(), Some(401));
        assert!(answer.bytes.len() <= 548, "{} bytes", answer.bytes.len());
    }
}

/// STUN-035.
#[test]
fn every_indication_of_the_server_has_an_id_of_its_own() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.permit(&mut world, &[PEER]);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let data = Answer { bytes: to_client(&world.peer(PEER, relayed, b"x")).to_vec() };
        assert!(seen.insert(data.message().transaction()));
    }
    let error = Answer { bytes: to_client(&world.icmp(relayed, PEER, 3, 3, 0)).to_vec() };
    assert!(seen.insert(error.message().transaction()));
}

/// STUN-036.
#[test]
fn the_same_id_from_two_sources_is_two_transactions() {
    let mut world = world();
    let other = "192.0.2.2:40000";
    let clients = [world.alice(), world.login(udp(other), "alice", "secret")];
    let id = [0x5A; 12];
    let relayed = clients.each_ref().map(|client| {
        let answer = world.ask(client.path, &client.message(&id, Method::ALLOCATE, allocate));
        assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [client.path.client]);
        answer.xor(attribute::XOR_RELAYED_ADDRESS)[0]
    });
    assert_ne!(relayed[0], relayed[1]);
    assert_eq!(world.sockets.keys().copied().collect::<Vec<RelayId>>().len(), 2);
}

/// STUN-037, CLASSIC-003.
#[test]
fn reserved_attribute_types_are_not_understood() {
    let mut world = world();
    let reserved = [
        0x0000, 0x0002, 0x0004, 0x0005, 0x0007, 0x000B, 0x000E, 0x000F, 0x0010, 0x0011, 0x001F, 0x0021, 0x0023, 0x0028,
        0x0029, 0x0030, 0x7FFF,
    ];
    for code in reserved {
        let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| _ = w.attribute(code, &[0; 8]));
        assert_eq!((answer.code(), unknown(&answer)), (Some(420), vec![code]));
    }
}

/// Values of an address attribute that are no address.
fn bad_addresses() -> Vec<Vec<u8>> {
    let v4 = address::encode_xor(addr(PEER), &[0; 12]).as_bytes().to_vec();
    let v6 = address::encode_xor(addr("[2001:db8::9]:5000"), &[0; 12]).as_bytes().to_vec();
    let family = |value: &[u8], family: u8| [&[value[0], family], &value[2..]].concat();
    vec![
        vec![],
        v4[..1].to_vec(),
        v4[..3].to_vec(),
        v4[..4].to_vec(),
        v4[..7].to_vec(),
        [&v4[..], &[0]].concat(),
        family(&v4, 0),
        family(&v4, 3),
        family(&v4, 2),
        family(&v6, 1),
        v6[..19].to_vec(),
        [&v6[..], &[0; 4]].concat(),
    ]
}

/// STUN-038.
#[test]
fn an_address_that_is_none_is_refused_in_a_request_and_met_with_silence_in_an_indication() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    for value in bad_addresses() {
        let answer = alice.request(&mut world, Method::CREATE_PERMISSION, |w| {
            w.attribute(attribute::XOR_PEER_ADDRESS, &value);
        });
        assert_eq!(answer.code(), Some(400), "{value:02x?}");
        assert!(is_protected(&answer, &alice));
        let answer = alice.request(&mut world, Method::CHANNEL_BIND, |w| {
            w.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0]).attribute(attribute::XOR_PEER_ADDRESS, &value);
        });
        assert_eq!(answer.code(), Some(400), "{value:02x?}");
        let send = message(&mut world, Method::SEND, Class::Indication, |w| {
            w.attribute(attribute::XOR_PEER_ADDRESS, &value).attribute(attribute::DATA, b"x");
        });
        assert_eq!(silence(&mut world, alice.path, &send), Reason::BadIndication);
    }
}

/// STUN-039, SEC-36.
#[test]
fn hundreds_of_tiny_attributes_are_walked_and_a_thousand_are_too_much_from_a_stranger() {
    let mut world = world();
    let many = world.bare(Method::BINDING, Class::Request, |w| (0..1000).for_each(|_| _ = w.attribute(UNKNOWN, b"")));
    assert_eq!(dropped(&world.client(udp(ALICE), &many)), Reason::Oversize);
    let crowd = |code: u16| move |w: &mut Writer<'_>| (0..500).for_each(|_| _ = w.attribute(code, b""));
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, crowd(0x8FFF));
    assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, crowd(UNKNOWN));
    assert_eq!(unknown(&answer), [UNKNOWN]);
    let answer = ask(&mut world, udp(ALICE), Method::ALLOCATE, crowd(attribute::USERNAME));
    assert!(is_challenge(&answer, 401));
}

/// STUN-040.
#[test]
fn what_cannot_be_served_is_refused_whole_or_met_with_silence() {
    let mut world = world_with(|options| options.unauthenticated = 1);
    let alice = world.alice();
    world.exhausted = true;
    let answer = alice.request(&mut world, Method::ALLOCATE, allocate);
    assert_eq!(codes(&answer), [attribute::ERROR_CODE, attribute::MESSAGE_INTEGRITY]);
    assert_eq!(answer.code(), Some(508));
    assert_eq!((world.server.allocations(), world.server.relays(), world.ledger.total()), (0, 0, 0));

    for _ in 0..10 {
        let request = binding(&mut world);
        world.client(alice.path, &request);
    }
    let request = binding(&mut world);
    assert_eq!(dropped(&world.client(alice.path, &request)), Reason::SourceRate);
}
