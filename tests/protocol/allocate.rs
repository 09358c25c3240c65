//! Allocate (RFC 8656 §7).

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::{Action, DefaultFamily, Path};
use hairpin::wire::address::Family;
use hairpin::wire::{Method, attribute};
use std::collections::HashSet;

/// TURN-001.
#[test]
fn an_allocation_has_a_relayed_address_a_mapped_address_and_a_lifetime() {
    let mut world = world();
    let alice = world.alice();
    let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    assert_eq!(answer.code(), None);
    assert_eq!(answer.bytes[..2], [0x01, 0x03]);
    assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE)]);
    assert_eq!(answer.xor(attribute::XOR_RELAYED_ADDRESS)[0].ip(), addr(SERVER).ip());
    assert_eq!(answer.lifetime(), Some(600));
    assert!(answer.is_protected_by_sha1(&alice.key()));
    assert_eq!(answer.get(attribute::RESERVATION_TOKEN), None);
    world.assert_holds(1, 1);
}

/// TURN-070, TURN-077, TURN-078.
#[test]
fn data_goes_both_ways_by_send_and_by_channel() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    assert_eq!(alice.permit(&mut world, &[PEER]).code(), None);
    assert_eq!(to_peer(&alice.send(&mut world, PEER, b"hello")), (addr(PEER), &b"hello"[..]));
    let out = world.peer(PEER, relayed, b"world");
    let data = Answer { bytes: to_client(&out).to_vec() };
    assert_eq!(data.get(attribute::DATA).unwrap(), b"world");
    assert_eq!(data.xor(attribute::XOR_PEER_ADDRESS), [addr(PEER)]);
    assert_eq!(alice.bind(&mut world, 0x4000, PEER).code(), None);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"up")), (addr(PEER), &b"up"[..]));
    assert_eq!(to_client(&world.peer(PEER, relayed, b"down")), b"\x40\x00\x00\x04down");
}

/// TURN-002.
#[test]
fn a_client_with_an_ipv6_address_gets_an_ipv4_relay_unless_it_asks_for_another() {
    let mut world = world();
    let alice = world.login(udp(ALICE6), "alice", "secret");
    let answer = alice.allocate(&mut world, |_| {});
    assert!(answer.relayed().is_ipv4());
    assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE6)]);
}

/// TURN-002: unless the operator says that the client's family decides.
#[test]
fn the_family_of_a_plain_request_can_be_configured() {
    let mut world = world_with(|options| options.default_family = DefaultFamily::Client);
    let six = world.login(udp(ALICE6), "alice", "secret");
    assert!(six.allocate(&mut world, |_| {}).relayed().is_ipv6());
    let four = world.alice();
    assert!(four.allocate(&mut world, |_| {}).relayed().is_ipv4());
}

/// TURN-003.
#[test]
fn requested_transport_must_be_there_and_four_bytes_long() {
    let mut world = world();
    let alice = world.alice();
    let without = alice.request(&mut world, Method::ALLOCATE, |_| {});
    alice.assert_refused(&without, 400);
    for value in [&[17][..], &[17, 0], &[17, 0, 0, 0, 0, 0, 0, 0]] {
        let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, value);
        });
        alice.assert_refused(&answer, 400);
    }
    world.assert_empty();
}

/// TURN-004.
#[test]
fn only_udp_and_tcp_are_relayed() {
    let mut world = world();
    let alice = world.alice();
    for protocol in [0, 33, 132, 255] {
        let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]);
        });
        alice.assert_refused(&answer, 442);
    }
    world.assert_empty();
}

/// TURN-005.
#[test]
fn reserved_bytes_are_not_looked_at() {
    let mut world = world();
    let alice = world.alice();
    let answer = alice.request(&mut world, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0xA5, 0xA5, 0xA5]);
        w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0xA5, 0xA5, 0xA5]);
        w.attribute(attribute::EVEN_PORT, &[0x7F]);
    });
    assert_eq!(answer.relayed().port() % 2, 0);
    assert_eq!(answer.get(attribute::RESERVATION_TOKEN), None);
    let answer = alice.request(&mut world, Method::CHANNEL_BIND, |w| {
        w.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0x00, 0xA5, 0xA5]);
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
    });
    alice.assert_granted(&answer);
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"up")).1, b"up");
}

/// TURN-006.
#[test]
fn a_second_allocation_of_a_client_is_refused_before_its_content_is_looked_at() {
    let mut world = world();
    let alice = world.alice();
    world.allocate(&alice);
    let second = alice.request(&mut world, Method::ALLOCATE, |_| {});
    alice.assert_refused(&second, 437);
    let third = alice.allocate(&mut world, |_| {});
    alice.assert_refused(&third, 437);
    world.assert_holds(1, 1);
}

/// TURN-007.
#[test]
fn a_retransmitted_allocate_is_answered_again_for_forty_seconds() {
    for path in [udp(ALICE), dtls(ALICE, 1)] {
        retransmit_allocate(path);
    }
}

/// Asks for the same allocation again and again, until its answer is forgotten.
fn retransmit_allocate(path: Path) {
    let mut world = patient();
    let alice = world.login(path, "alice", "secret");
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::EVEN_PORT, &[0x80]);
    });
    let first = world.ask(alice.path, &request);
    let mut passed = 0;
    for at in [100, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 40_000] {
        world.pass(std::time::Duration::from_millis(at - passed));
        passed = at;
        let again = world.ask(alice.path, &request);
        assert_eq!(again.relayed(), first.relayed(), "after {at} ms");
        assert_eq!(again.get(attribute::RESERVATION_TOKEN), first.get(attribute::RESERVATION_TOKEN));
        assert_eq!(again.xor(attribute::XOR_MAPPED_ADDRESS), [addr(ALICE)]);
        assert_eq!(again.lifetime(), Some(u32::try_from((600_000 - at) / 1000).unwrap()));
        assert!(again.is_protected_by_sha1(&alice.key()));
        world.assert_holds(1, 1);
    }
    world.seconds(1);
    alice.assert_refused(&world.ask(alice.path, &request), 437);
    world.assert_holds(1, 1);
}

/// TURN-007: until the sockets are open there is nothing to tell, and nothing is begun twice.
#[test]
fn a_retransmission_that_comes_while_sockets_are_opened_begins_nothing() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    let mut reply = Vec::new();
    for _ in 0..3 {
        let verdict = world.server.handle_client(world.now, alice.path, &request, &mut reply);
        assert!(matches!(verdict, hairpin::turn::Verdict::Done), "{verdict:?}");
    }
    assert!(matches!(world.server.poll(), Some(Action::Charge { .. })));
    assert!(world.server.poll().is_none(), "one question for three requests");
    assert!(reply.is_empty());
}

/// TURN-008, AUTH-042.
#[test]
fn another_user_gets_nothing_for_the_transaction_id_of_an_allocation() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let allocate = |client: &Client| {
        client.message(&id, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
        })
    };
    assert_eq!(world.ask(alice.path, &allocate(&alice)).code(), None);
    let bob = world.login(udp(ALICE), "bob", "hunter2");
    let answer = world.ask(bob.path, &allocate(&bob));
    bob.assert_refused(&answer, 437);
    assert_eq!(answer.get(attribute::XOR_RELAYED_ADDRESS), None);
    let mallory = Client { password: "guess".to_owned(), ..alice };
    assert_eq!(world.ask(mallory.path, &allocate(&mallory)).code(), Some(401));
}

/// TURN-009.
#[test]
fn an_allocate_that_comes_again_after_the_end_makes_a_new_allocation() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    let first = world.ask(alice.path, &request).relayed();
    assert_eq!(alice.refresh(&mut world, Some(0)).lifetime(), Some(0));
    let second = world.ask(alice.path, &request);
    assert_eq!(second.code(), None);
    assert_ne!(second.relayed(), first, "the old port rests");
    assert_eq!(second.lifetime(), Some(600));
    world.assert_holds(1, 1);
}

/// TURN-010, TURN-031: what failed is not remembered.
#[test]
fn a_retransmission_of_a_failed_allocate_may_succeed() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    world.exhausted = true;
    alice.assert_refused(&world.ask(alice.path, &request), 508);
    world.assert_empty();
    world.exhausted = false;
    assert_eq!(world.ask(alice.path, &request).code(), None);
    world.seconds(601);
    world.assert_empty();
}

/// TURN-011, TURN-012, TURN-013.
#[test]
fn a_lifetime_is_at_least_ten_minutes_and_at_most_what_the_operator_allows() {
    let granted = |asked: Option<u32>| {
        let mut world = world();
        let alice = world.alice();
        let answer = alice.allocate(&mut world, |w| {
            if let Some(asked) = asked {
                w.number(attribute::LIFETIME, asked);
            }
        });
        alice.assert_granted(&answer);
        answer.lifetime()
    };
    assert_eq!(granted(None), Some(600));
    for short in [0, 1, 599, 600] {
        assert_eq!(granted(Some(short)), Some(600), "LIFETIME {short}");
    }
    assert_eq!(granted(Some(601)), Some(601));
    assert_eq!(granted(Some(3600)), Some(3600));
    for long in [3601, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF] {
        assert_eq!(granted(Some(long)), Some(3600), "LIFETIME {long}");
    }
}

/// TURN-013: what is said is what happens.
#[test]
fn the_longest_lifetime_lasts_an_hour_and_no_longer() {
    let mut world = patient();
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 0xFFFF_FFFF));
    assert_eq!(answer.lifetime(), Some(3600));
    world.seconds(3599);
    world.assert_holds(1, 1);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.seconds(1);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"late")), hairpin::turn::Reason::NoAllocation);
    world.seconds(1);
    world.assert_empty();
}

/// TURN-014.
#[test]
fn a_lifetime_of_another_length_than_four_is_refused() {
    let mut world = world();
    let alice = world.alice();
    for value in [&[][..], &[0, 0], &[0; 8]] {
        let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::LIFETIME, value));
        alice.assert_refused(&answer, 400);
    }
    world.assert_empty();
    world.allocate(&alice);
    let answer = alice.request(&mut world, Method::REFRESH, |w| _ = w.attribute(attribute::LIFETIME, &[0, 0]));
    alice.assert_refused(&answer, 400);
    world.assert_holds(1, 1);
}

/// TURN-022.
#[test]
fn the_requested_family_is_given() {
    for family in [Family::V4, Family::V6] {
        let mut world = world();
        let alice = world.alice();
        let answer = alice.allocate(&mut world, |w| family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, family));
        alice.assert_granted(&answer);
        assert_eq!(Family::of(answer.relayed().ip()), family);
        world.assert_holds(1, 1);
    }
}

/// TURN-023.
#[test]
fn a_family_that_the_server_lacks_is_refused() {
    let only = |six: bool| world_with(|options| options.addresses.local.retain(|ip| ip.is_ipv6() == six));
    let mut world = only(false);
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, Family::V6));
    alice.assert_refused(&answer, 440);
    world.assert_empty();
    let mut world = only(true);
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |_| {});
    alice.assert_refused(&answer, 440);
    for code in [0, 3, 255] {
        let answer = alice.allocate(&mut world, |w| {
            w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[code, 0, 0, 0]);
        });
        alice.assert_refused(&answer, 440);
    }
    world.assert_empty();
}

/// TURN-024.
#[test]
fn requested_and_additional_family_exclude_each_other() {
    let mut world = world();
    let alice = world.alice();
    for family in [Family::V4, Family::V6] {
        let answer = alice.allocate(&mut world, |w| {
            family_is(w, attribute::REQUESTED_ADDRESS_FAMILY, family);
            family_is(w, attribute::ADDITIONAL_ADDRESS_FAMILY, Family::V6);
        });
        alice.assert_refused(&answer, 400);
    }
    world.assert_empty();
}

/// TURN-029.
#[test]
fn dont_fragment_is_understood() {
    let mut world = world();
    let alice = world.alice();
    let answer = alice.allocate(&mut world, |w| _ = w.attribute(attribute::DONT_FRAGMENT, &[]));
    alice.assert_granted(&answer);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    let out = alice.indicate(&mut world, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER));
        w.attribute(attribute::DONT_FRAGMENT, &[]).attribute(attribute::DATA, b"whole");
    });
    assert!(forbids_fragments(&out), "what was promised is done");
}

/// TURN-032, TURN-033, SEC-48.
#[test]
fn a_thousand_relay_ports_are_in_range_all_different_and_not_in_a_row() {
    let mut world = world_with(|options| options.anonymous = true);
    let mut ports = Vec::new();
    for client in 0..1000_u16 {
        let request = world.bare(Method::ALLOCATE, hairpin::wire::Class::Request, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
        });
        let path = udp(&format!("192.0.2.1:{}", 10_000 + client));
        ports.push(world.ask(path, &request).relayed().port());
    }
    assert!(ports.iter().all(|port| *port >= 49152));
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 1000, "one owner for each port");
    let near = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 16).count();
    assert!(near < 20, "of 999 steps {near} are short; chance makes about two");
    world.assert_holds(1000, 1000);
}

/// TURN-032: the seed decides, so two processes do not give out the same ports.
#[test]
fn another_seed_gives_other_ports() {
    let ports = |seed: u8| {
        let mut world = seeded(seed);
        let clients = [ALICE, BOB, CAROL].map(|at| world.login(udp(at), "alice", "secret"));
        clients.map(|client| world.allocate(&client).port())
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
}

/// TURN-034: with several addresses each has its own public one.
#[test]
fn a_public_address_named_for_a_local_one_goes_with_it() {
    let pairs = [("10.0.0.1:0", "203.0.113.1:0"), ("10.0.0.2:0", "203.0.113.2:0")];
    let mut world = world_with(|options| {
        options.addresses.local = pairs.iter().map(|(local, _)| addr(local).ip()).collect();
        options.addresses.external = pairs.iter().map(|(l, p)| (addr(p).ip(), Some(addr(l).ip()))).collect();
    });
    for port in 0..16 {
        let alice = world.login(udp(&format!("192.0.2.1:{}", 20_000 + port)), "alice", "secret");
        let relayed = world.allocate(&alice);
        let bound = world.sockets.values().find(|at| at.port() == relayed.port()).unwrap();
        let expected = pairs.iter().find(|(_, public)| addr(public).ip() == relayed.ip()).unwrap().0;
        assert_eq!(bound.ip(), addr(expected).ip());
    }
    let used: HashSet<_> = world.sockets.values().map(|at| at.ip()).collect();
    assert_eq!(used.len(), 2, "both addresses are used");
}

/// TURN-035, SEC-18.
#[test]
fn a_client_inside_a_tunnel_gets_no_allocation() {
    let mut world = world();
    for source in ["[2001:0:1234::1]:40000", "[2002:c000:201::1]:40000"] {
        let alice = world.login(udp(source), "alice", "secret");
        let answer = alice.allocate(&mut world, |_| {});
        alice.assert_refused(&answer, 403);
    }
    world.assert_empty();
}

/// TURN-031.
#[test]
fn without_a_free_port_an_allocation_is_refused() {
    let mut world = world_with(|options| options.ports = 50_000..=50_003);
    for at in 0..4 {
        let client = world.login(udp(&format!("192.0.2.{}:40000", at + 1)), "alice", "secret");
        assert_eq!(client.allocate(&mut world, |_| {}).code(), None);
    }
    let late = world.login(udp("192.0.2.99:40000"), "alice", "secret");
    let answer = late.allocate(&mut world, |_| {});
    late.assert_refused(&answer, 508);
    world.assert_holds(4, 4);
}

/// TURN-031, TURN-033: ports that other programs hold are passed over.
#[test]
fn a_port_that_somebody_else_has_is_passed_over() {
    let mut world = world_with(|options| options.ports = 50_000..=50_009);
    world.taken = (50_000..50_009).map(|port| std::net::SocketAddr::new(addr(SERVER).ip(), port)).collect();
    let alice = world.alice();
    assert_eq!(world.allocate(&alice).port(), 50_009);
    world.taken.insert(std::net::SocketAddr::new(addr(SERVER).ip(), 50_009));
    alice.refresh(&mut world, Some(0));
    let answer = alice.allocate(&mut world, |_| {});
    alice.assert_refused(&answer, 508);
    world.assert_empty();
}

/// SEC-24: what stands after the integrity attribute does not exist.
#[test]
fn attributes_after_the_integrity_change_nothing() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let mut request = alice.message(&id, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
    });
    request.extend_from_slice(&[0, 0x0D, 0, 4, 0, 0, 0x0E, 0x10, 0x7F, 0x01, 0, 0]);
    let len = u16::try_from(request.len() - 20).unwrap();
    request[2..4].copy_from_slice(&len.to_be_bytes());
    let answer = world.ask(alice.path, &request);
    alice.assert_granted(&answer);
    assert_eq!(answer.lifetime(), Some(600));
}
