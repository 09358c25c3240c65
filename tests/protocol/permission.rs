//! CreatePermission and what permissions are good for (RFC 8656 §9, §10).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Reason;
use hairpin::wire::address::encode_xor;
use hairpin::wire::{Method, attribute};
use std::time::Duration;

/// The peer's address with another port.
const PEER_OTHER_PORT: &str = "198.18.5.9:6000";
const PEER2: &str = "198.18.5.10:5000";
const PEER3: &str = "198.18.5.11:5000";

/// Alice with an allocation.
fn allocated() -> (World, Client, std::net::SocketAddr) {
    let mut world = patient();
    let alice = world.alice();
    let relayed = alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 3600)).relayed();
    (world, alice, relayed)
}

/// TURN-050.
#[test]
fn a_permission_needs_no_port_and_its_answer_holds_nothing() {
    let (mut world, alice, relayed) = allocated();
    let answer = alice.permit(&mut world, &["198.18.5.9:0"]);
    alice.assert_granted(&answer);
    assert_eq!(answer.bytes[..2], [0x01, 0x08]);
    assert!(answer.codes().is_empty());
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).0, addr(PEER));
}

/// TURN-051.
#[test]
fn several_permissions_come_in_one_request() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER2, PEER3, PEER]));
    for peer in [PEER, PEER2, PEER3] {
        assert_eq!(data(&world.peer(peer, relayed, b"x")).0, addr(peer));
        assert_eq!(to_peer(&alice.send(&mut world, peer, b"x")).0, addr(peer));
    }
}

/// TURN-052.
#[test]
fn without_a_peer_or_with_a_malformed_one_nothing_is_permitted() {
    let (mut world, alice, _) = allocated();
    alice.assert_refused(&alice.permit(&mut world, &[]), 400);
    let malformed: [&[u8]; 6] = [&[], &[0, 1], &[0, 1, 0, 0, 1, 2, 3], &[0, 2, 0, 0, 1, 2, 3, 4], &[0; 8], &[1; 24]];
    for value in malformed {
        for first in [true, false] {
            let id = world.transaction();
            let good = encode_xor(addr(PEER), &id);
            let request = alice.message(&id, Method::CREATE_PERMISSION, |w| {
                let values = if first { [value, good.as_bytes()] } else { [good.as_bytes(), value] };
                for value in values {
                    w.attribute(attribute::XOR_PEER_ADDRESS, value);
                }
            });
            alice.assert_refused(&world.ask(alice.path, &request), 400);
            assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
        }
    }
}

/// TURN-053, XLAT-012: the relayed address counts, not the client's.
#[test]
fn a_peer_of_another_family_than_the_relay_is_refused() {
    let mut world = world();
    let alice = world.login(udp(ALICE6), "alice", "secret");
    let relayed = world.allocate(&alice);
    assert!(relayed.is_ipv4());
    alice.assert_refused(&alice.permit(&mut world, &[PEER6]), 443);
    alice.assert_refused(&alice.permit(&mut world, &[PEER, PEER6]), 443);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"x")).1, b"x");
}

/// TURN-054, SEC-01, SEC-02, SEC-05, SEC-06, SEC-07, SEC-08, SEC-12.
#[test]
fn a_peer_that_the_rules_deny_is_refused_and_spoils_the_whole_request() {
    let (mut world, alice, _) = allocated();
    let denied = [
        "0.0.0.0:1",
        "10.0.0.1:1",
        "100.64.0.1:1",
        "127.0.0.1:1",
        "127.1.2.3:1",
        "169.254.169.254:80",
        "172.16.0.1:1",
        "192.168.0.1:1",
        "168.63.129.16:80",
        "224.0.0.1:1",
        "240.0.0.1:1",
        "255.255.255.255:1",
        "[::ffff:127.0.0.1]:1",
        "[::ffff:169.254.169.254]:1",
    ];
    for peer in denied {
        alice.assert_refused(&alice.permit(&mut world, &[peer]), 403);
        alice.assert_refused(&alice.permit(&mut world, &[PEER, peer]), 403);
        alice.assert_refused(&alice.bind(&mut world, 0x4000, peer), 403);
        assert_eq!(dropped(&alice.send(&mut world, peer, b"x")), Reason::NoPermission, "{peer}");
    }
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission, "nothing was installed");
}

/// TURN-054, SEC-02: the same for a relay of IPv6, in every form that carries an IPv4 address.
#[test]
fn denied_ipv6_peers_are_refused_in_every_spelling() {
    let mut world = patient();
    let alice = world.alice();
    alice.allocate_dual(&mut world);
    let denied = [
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:1234::80ff:fffe",
        "2001:db8::5efe:7f00:1",
    ];
    for peer in denied {
        let peer = format!("[{peer}]:9");
        alice.assert_refused(&alice.permit(&mut world, &[&peer]), 403);
        alice.assert_refused(&alice.bind(&mut world, 0x4000, &peer), 403);
    }
    alice.assert_granted(&alice.permit(&mut world, &[PEER6]));
}

/// TURN-056.
#[test]
fn a_permission_lasts_exactly_five_minutes() {
    for offset in [0, 700] {
        let (mut world, alice, relayed) = allocated();
        world.pass(Duration::from_millis(offset));
        alice.assert_granted(&alice.permit(&mut world, &[PEER]));
        world.pass(Duration::from_millis(299_999));
        assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
        assert_eq!(to_peer(&alice.send(&mut world, PEER, b"x")).1, b"x");
        world.pass(Duration::from_millis(1));
        assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
        assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
        world.seconds(1);
        assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    }
}

/// TURN-057.
#[test]
fn a_permission_is_for_an_address_and_any_port() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(PEER_OTHER_PORT, relayed, b"x")).0, addr(PEER_OTHER_PORT));
    assert_eq!(to_peer(&alice.send(&mut world, PEER_OTHER_PORT, b"x")).0, addr(PEER_OTHER_PORT));
    assert_eq!(dropped(&world.peer(PEER2, relayed, b"x")), Reason::NoPermission);
}

/// TURN-058.
#[test]
fn a_permission_can_be_refreshed() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER2]));
    world.seconds(290);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.seconds(299);
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
    assert_eq!(dropped(&world.peer(PEER2, relayed, b"x")), Reason::NoPermission, "the other was not refreshed");
    world.seconds(1);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
}

/// TURN-059.
#[test]
fn a_permission_is_good_for_one_allocation_only() {
    let (mut world, alice, relayed) = allocated();
    let second = alice.at(&mut world, udp(BOB));
    let other = world.allocate(&second);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(dropped(&world.peer(PEER, other, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&second.send(&mut world, PEER, b"x")), Reason::NoPermission);
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
}

/// TURN-060.
#[test]
fn data_refreshes_no_permission() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER2));
    for second in 0..300 {
        assert_eq!(to_peer(&alice.send(&mut world, PEER, b"x")).1, b"x", "at {second} s");
        assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x");
        assert_eq!(data(&world.peer(PEER, relayed, b"x")).1, b"x");
        assert_eq!(to_client(&world.peer(PEER2, relayed, b"x")).len(), 5);
        world.seconds(1);
    }
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&world.peer(PEER, relayed, b"x")), Reason::NoPermission);
    assert_eq!(dropped(&world.peer(PEER2, relayed, b"x")), Reason::NoPermission);
}

/// TURN-061.
#[test]
fn a_peer_without_permission_meets_silence() {
    let (mut world, _, relayed) = allocated();
    for body in [&b"x"[..], b"", b"\x00\x01\x00\x00\x21\x12\xa4\x42aaaaaaaaaaaa"] {
        assert_eq!(world.peer(PEER, relayed, body), [Out::Drop(Reason::NoPermission)]);
    }
}

/// TURN-062.
#[test]
fn without_allocation_there_is_no_permission() {
    let mut world = world();
    let alice = world.alice();
    alice.assert_refused(&alice.permit(&mut world, &[PEER]), 437);
    alice.assert_refused(&alice.permit(&mut world, &[]), 437);
    world.assert_empty();
}

/// TURN-063, STUN-003: an IPv4 address is one address, however a dual-stack socket shows it.
#[test]
fn an_ipv4_peer_seen_through_an_ipv6_socket_is_the_same_peer() {
    let (mut world, alice, relayed) = allocated();
    let mapped = "[::ffff:198.18.5.9]:5000";
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(data(&world.peer(mapped, relayed, b"x")), (addr(PEER), b"x".to_vec()));
    assert_eq!(icmp_data(&world.icmp(relayed, mapped, 3, 3, 0)).0, addr(PEER));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert_eq!(to_client(&world.peer(mapped, relayed, b"x")), b"\x40\x00\x00\x01x");
    assert_eq!(to_peer(&alice.send(&mut world, mapped, b"x")).0, addr(PEER));
}

/// TURN-063: the same when it is the client who writes it so.
#[test]
fn a_permission_for_a_mapped_address_is_one_for_the_ipv4_address() {
    let (mut world, alice, relayed) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &["[::ffff:198.18.5.9]:5000"]));
    assert_eq!(data(&world.peer(PEER, relayed, b"x")).0, addr(PEER));
}

/// SEC-14, TURN-124: the server's own relays are the usual peers where both callers use it.
#[test]
fn the_servers_relays_may_be_peers_and_its_listeners_may_not() {
    let (mut world, alice, relayed) = allocated();
    let own = relayed.to_string();
    alice.assert_granted(&alice.permit(&mut world, &[&own]));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, &own));
    alice.assert_refused(&alice.bind(&mut world, 0x4001, SERVER), 403);
    assert_eq!(dropped(&alice.send(&mut world, SERVER, b"x")), Reason::Denied);
}
