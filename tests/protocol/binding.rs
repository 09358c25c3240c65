//! Binding (RFC 8489 §3, §6.3.1).

use crate::craft::*;
use crate::harness::*;
use hairpin::turn::{Path, Reason, Transport};
use hairpin::wire::{Class, Method, address, attribute};

/// STUN-001, STUN-034.
#[test]
fn a_client_is_told_its_address() {
    let mut world = world();
    let request = binding(&mut world);
    assert_eq!(request.len(), 20);
    let answer = world.ask(udp(ALICE), &request);
    assert_eq!(answer.bytes[..2], [0x01, 0x01]);
    assert_eq!(answer.bytes[4..20], request[4..20], "cookie and id are those of the request");
    assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
    assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE)]);
    assert_eq!(answer.bytes.len(), 32);
}

/// STUN-002.
#[test]
fn an_ipv6_address_is_masked_with_cookie_and_transaction_id() {
    let (mut world, client) = (world(), "[2001:db8:1234:5678:9abc:def0:1234:5678]:40000");
    let request = binding(&mut world);
    let answer = world.ask(udp(client), &request);
    let value = answer.get(attribute::XOR_MAPPED_ADDRESS).unwrap();
    assert_eq!(value[..2], [0, 2]);
    let masked = |bytes: &[u8], from: usize| -> Vec<u8> {
        bytes.iter().zip(&request[from..]).map(|(byte, mask)| byte ^ mask).collect()
    };
    assert_eq!(masked(&value[2..4], 4), 40000_u16.to_be_bytes());
    let ip: std::net::Ipv6Addr = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap();
    assert_eq!(masked(&value[4..], 4), ip.octets());
}

/// STUN-005.
#[test]
fn a_stream_client_is_told_the_address_of_its_connection() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let (mut world, path) = (world(), Path { transport, ..tcp("192.0.2.77:50123", 9) });
        let request = binding(&mut world);
        let answer = world.ask(path, &request);
        assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [path.client]);
    }
}

/// STUN-024.
#[test]
fn software_is_named_where_it_amplifies_nothing() {
    let mut world = world_with(|options| options.software = Some("hairpin".to_owned()));
    let alice = world.alice();
    for answer in [
        alice.request(&mut world, Method::ALLOCATE, allocate),
        alice.refresh(&mut world, None),
        ask(&mut world, tcp("192.0.2.2:1000", 1), Method::BINDING, |_| {}),
    ] {
        assert_eq!(answer.get(attribute::SOFTWARE).unwrap(), b"hairpin");
    }
    for answer in [
        ask(&mut world, udp(ALICE), Method::BINDING, |_| {}),
        ask(&mut world, udp(ALICE), Method::ALLOCATE, allocate),
        ask(&mut world, udp(ALICE), Method::BINDING, |w| _ = w.attribute(UNKNOWN, b"")),
    ] {
        assert_eq!(answer.get(attribute::SOFTWARE), None);
    }
    let mut quiet = self::world();
    let alice = quiet.alice();
    assert_eq!(alice.request(&mut quiet, Method::ALLOCATE, allocate).get(attribute::SOFTWARE), None);
}

/// STUN-025.
#[test]
fn a_binding_request_sent_again_is_answered_again() {
    let mut world = world();
    let request = binding(&mut world);
    let first = world.client(udp(ALICE), &request);
    for _ in 0..10 {
        assert_eq!(world.client(udp(ALICE), &request), first);
    }
    assert_eq!((world.server.allocations(), world.server.poll_timeout()), (0, None));
}

/// STUN-026, STUN-030.
#[test]
fn a_fingerprint_is_answered_with_one_and_none_with_none() {
    let mut world = world();
    let alice = world.alice();
    assert!(!ask(&mut world, udp(ALICE), Method::BINDING, |_| {}).message().has_fingerprint());
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| _ = w.fingerprint());
    assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS, attribute::FINGERPRINT]);
    let answer = ask(&mut world, udp(ALICE), Method::ALLOCATE, |w| _ = w.fingerprint());
    assert_eq!((answer.code(), codes(&answer).last()), (Some(401), Some(&attribute::FINGERPRINT)));

    let id = world.transaction();
    let mut request = alice.message(&id, Method::ALLOCATE, allocate);
    let crc = hairpin::wire::integrity::fingerprint(&request, request.len());
    append(&mut request, attribute::FINGERPRINT, &crc.to_be_bytes(), 0);
    let answer = world.ask(alice.path, &request);
    assert_eq!(codes(&answer)[codes(&answer).len() - 2..], [attribute::MESSAGE_INTEGRITY, attribute::FINGERPRINT]);
    assert!(answer.message().has_fingerprint() && answer.is_protected_by_sha1(&alice.key()));
}

/// STUN-030.
#[test]
fn a_fingerprint_goes_with_every_answer_where_it_is_switched_on() {
    let mut world = world_with(|options| options.fingerprint = true);
    assert!(ask(&mut world, udp(ALICE), Method::BINDING, |_| {}).message().has_fingerprint());
    assert!(ask(&mut world, udp(ALICE), Method::ALLOCATE, allocate).message().has_fingerprint());
}

/// STUN-032.
#[test]
fn an_open_server_ignores_the_credentials_of_a_binding_request() {
    let mut world = world();
    for key in [&b"any key"[..], b""] {
        let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
            w.attribute(attribute::USERNAME, b"evtj:h6vY").sha1(key);
        });
        assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
        let answer = ask(&mut world, udp(ALICE), Method::BINDING, |w| {
            w.attribute(attribute::USERNAME, b"alice").attribute(attribute::REALM, b"elsewhere").sha256(key);
        });
        assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
    }
}

/// AUTH-001, AUTH-013.
#[test]
fn binding_needs_credentials_where_it_is_so_configured() {
    let mut world = world_with(|options| options.binding_auth = true);
    assert!(is_challenge(&ask(&mut world, udp(ALICE), Method::BINDING, |_| {}), 401));
    for style in [Style::Md5, Style::Sha256] {
        let alice = world.alice().with(style);
        let answer = alice.request(&mut world, Method::BINDING, |_| {});
        assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE)]);
        assert!(is_protected(&answer, &alice));
    }
}

/// STUN-033.
#[test]
fn binding_on_an_allocation_changes_nothing_of_it() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.bind(&mut world, 0x4000, PEER);
    world.seconds(299);
    let request = binding(&mut world);
    assert_eq!(world.ask(alice.path, &request).code(), None);
    assert_eq!(to_client(&world.peer(PEER, relayed, b"x")), b"\x40\x00\x00\x01x");
    world.seconds(2);
    let request = binding(&mut world);
    assert_eq!(world.ask(alice.path, &request).code(), None);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    world.seconds(298);
    assert!(world.server.has_allocation(&alice.path));
    let request = binding(&mut world);
    assert_eq!(world.ask(alice.path, &request).code(), None);
    world.seconds(3);
    assert!(!world.server.has_allocation(&alice.path));
}

/// STUN-034.
#[test]
fn the_address_is_told_in_clear_too_where_it_is_switched_on() {
    let mut world = world_with(|options| options.mapped_address = true);
    let answer = ask(&mut world, udp(ALICE), Method::BINDING, |_| {});
    assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS, attribute::MAPPED_ADDRESS]);
    let clear = answer.get(attribute::MAPPED_ADDRESS).unwrap();
    assert_eq!(address::decode(&clear), Some(addr(ALICE)));
}

/// AMP-005, SEC-32.
#[test]
fn a_source_that_can_be_no_client_is_met_with_silence() {
    let mut world = world();
    let sources =
        ["192.0.2.1:0", "224.0.0.1:5000", "255.255.255.255:5000", "0.0.0.0:5000", SERVER, "[ff02::1]:5000", "[::]:1"];
    for source in sources {
        for method in [Method::BINDING, Method::ALLOCATE] {
            let request = message(&mut world, method, Class::Request, |_| {});
            assert_eq!(dropped(&world.client(udp(source), &request)), Reason::BadSource, "{source}");
        }
    }
}

/// STUN-001.
#[test]
fn a_server_serves_what_is_switched_on() {
    let mut no_stun = world_with(|options| options.stun = false);
    let request = binding(&mut no_stun);
    assert_eq!(dropped(&no_stun.client(udp(ALICE), &request)), Reason::NotServed);
    no_stun.alice();
    let mut no_turn = world_with(|options| options.turn = false);
    for method in turn_methods() {
        let request = message(&mut no_turn, method, Class::Request, allocate);
        assert_eq!(silence(&mut no_turn, udp(ALICE), &request), Reason::NotServed);
    }
}
