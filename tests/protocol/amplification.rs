//! What a stranger can make the server send, and to whom.

use crate::acts::*;
use crate::craft::SERVED;
use crate::harness::*;
use hairpin::turn::{Options, Path, Reason};
use hairpin::wire::{Class, Method, Writer, attribute};
use std::net::SocketAddr;

/// A request without credentials from here; what comes out.
fn stranger(world: &mut World, path: Path, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<Out> {
    let request = world.bare(method, Class::Request, fill);
    world.client(path, &request)
}

/// Bytes of the answer to a request without credentials, and of the request.
fn sizes(path: Path, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> (usize, usize) {
    let mut world = world();
    let request = world.bare(method, Class::Request, fill);
    (world.ask(path, &request).bytes.len(), request.len())
}

/// AMP-001, SEC-30, SEC-31.
#[test]
fn answers_to_strangers_are_small() {
    assert_eq!(sizes(udp(ALICE), Method::BINDING, |_| {}), (32, 20));
    assert_eq!(sizes(udp(ALICE6), Method::BINDING, |_| {}), (44, 20));
    assert_eq!(sizes(udp(ALICE), Method::ALLOCATE, |_| {}), (100, 20), "five to one");
    let usual = sizes(udp(ALICE), Method::ALLOCATE, |w| _ = w.attribute(attribute::REQUESTED_TRANSPORT, &UDP));
    assert_eq!(usual, (100, 28), "less than 3.6 to one");
    for method in [Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        assert_eq!(sizes(udp(ALICE), method, |_| {}), (100, 20));
    }
    // Whatever stands in the request, an error about it is no larger than that.
    let (answer, request) = sizes(udp(ALICE), Method::BINDING, |w| {
        for code in 0x7F00..0x7F40 {
            w.attribute(code, &[]);
        }
    });
    assert!(answer <= request, "{answer} bytes for {request}");
    let (answer, request) = sizes(udp(ALICE), Method::BINDING, |w| _ = w.attribute(0x7F00, &[]));
    assert!(answer <= 2 * request, "{answer} bytes for {request}");
}

/// AMP-001: what would make the answer larger is kept for those who have proved something.
#[test]
fn strangers_are_told_no_software() {
    let mut world = world_with(|options| options.software = Some("hairpin".to_owned()));
    let request = world.bare(Method::BINDING, Class::Request, |_| {});
    assert_eq!(world.ask(udp(ALICE), &request).get(attribute::SOFTWARE), None);
    let alice = world.alice();
    assert_eq!(alice.allocate(&mut world, |_| {}).get(attribute::SOFTWARE).unwrap(), b"hairpin");
}

/// AMP-002, SEC-31.
#[test]
fn a_source_that_asks_too_much_is_not_answered_and_others_are() {
    let mut world = world_with(|options: &mut Options| options.unauthenticated = 10);
    let answered = |world: &mut World, host: &str, method: Method| {
        // Other ports are the same source.
        let ports = 10_000..10_100;
        ports.filter(|port| world.answers(udp(&format!("{host}:{port}")), method)).count()
    };
    assert_eq!(answered(&mut world, "192.0.2.1", Method::ALLOCATE), 20);
    assert_eq!(answered(&mut world, "192.0.2.1", Method::ALLOCATE), 0);
    assert_eq!(answered(&mut world, "192.0.2.1", Method::BINDING), 0, "of the same budget");
    assert_eq!(answered(&mut world, "192.0.2.2", Method::BINDING), 20);
    assert_eq!(answered(&mut world, "[2001:db8::1]", Method::ALLOCATE), 20);
    assert_eq!(answered(&mut world, "[2001:db8::2]", Method::ALLOCATE), 0, "the same network");
    world.seconds(1);
    assert_eq!(answered(&mut world, "192.0.2.1", Method::ALLOCATE), 10);
    let drops = world.server.counters().drops[Reason::SourceRate as usize];
    assert!(drops > 300, "{drops} are counted");
}

/// AMP-002, SEC-36: the error paths that need no key share the budget; who has an allocation does not need it, and
/// for a stranger who has used it up no key is even looked for.
#[test]
fn malformed_and_unknown_requests_share_the_budget_and_allocations_do_not() {
    let mut world = world_with(|options: &mut Options| options.unauthenticated = 10);
    let alice = world.alice();
    world.allocate(&alice);
    let answers = (0..100).filter(|_| {
        let out = stranger(&mut world, udp("192.0.2.1:40001"), Method::BINDING, |w| _ = w.attribute(0x7F01, &[]));
        matches!(out[..], [Out::Client(..)])
    });
    assert_eq!(answers.count(), 19, "the login took one");
    let late = alice.message(&[9; 12], Method::ALLOCATE, |_| {});
    assert_eq!(dropped(&world.client(udp("192.0.2.1:40002"), &late)), Reason::SourceRate);
    for _ in 0..100 {
        alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    }
}

/// AMP-003, SEC-34: `ask` and `client` see everything that comes out.
#[test]
fn one_datagram_makes_at_most_one_and_it_goes_back_where_it_came_from() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let methods = (0..0x20).map(Method);
    for method in methods {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            for path in [udp(ALICE), udp(BOB)] {
                let packet = world.bare(method, class, |w| {
                    w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x");
                });
                match &world.client(path, &packet)[..] {
                    [Out::Client(to, _)] => assert_eq!(*to, path),
                    [Out::Peer(..) | Out::Drop(_)] => {}
                    other => panic!("{method:?} {class:?}: {other:?}"),
                }
            }
        }
    }
    assert_eq!(world.peer(PEER, relayed, b"x").len(), 1);
    assert_eq!(world.seconds(10), [], "and nothing comes later");
}

/// AMP-004, SEC-32, DEMUX-005, DEMUX-006.
#[test]
fn responses_indications_and_junk_are_not_answered() {
    let mut world = world();
    for method in (0..0x100).map(Method) {
        for class in [Class::Indication, Class::Success, Class::Error] {
            let packet = world.bare(method, class, |_| {});
            assert!(matches!(world.client(udp(ALICE), &packet)[..], [Out::Drop(_)]), "{method:?} {class:?}");
        }
    }
    for method in (0..0x1000).map(Method).filter(|method| !SERVED.contains(method)) {
        let packet = world.bare(method, Class::Request, |_| {});
        assert!(matches!(world.client(udp(ALICE), &packet)[..], [Out::Drop(_)]), "{method:?}");
    }
    for first in 0..=255 {
        for len in [0, 1, 4, 19, 20, 100] {
            let packet: Vec<u8> = std::iter::repeat_n(first, len).collect();
            assert!(matches!(world.client(udp(ALICE), &packet)[..], [Out::Drop(_)]));
        }
    }
}

/// AMP-005, SEC-10, SEC-32.
#[test]
fn an_address_that_cannot_be_a_clients_is_not_answered() {
    let mut world = world();
    let nobody = [
        SERVER,
        SERVER6,
        "192.0.2.1:0",
        "0.0.0.0:40000",
        "255.255.255.255:40000",
        "224.0.0.1:40000",
        "[::]:40000",
        "[ff02::1]:40000",
    ];
    for source in nobody {
        for method in [Method::BINDING, Method::ALLOCATE] {
            let out = stranger(&mut world, udp(source), method, |_| {});
            assert_eq!(dropped(&out), Reason::BadSource, "{source}");
        }
    }
    let classic = [&[0, 1, 0, 0][..], &[0; 16]].concat();
    assert!(matches!(world.client(udp(SERVER), &classic)[..], [Out::Drop(_)]));
}

/// AMP-006, SEC-36: `tests/memory.rs` counts the bytes.
#[test]
fn spoofed_requests_leave_no_state() {
    let mut world = world();
    for source in 0..2_000_u32 {
        let host = std::net::Ipv4Addr::from(0x0B00_0000 + source * 7919);
        let out = stranger(&mut world, udp(&format!("{host}:1234")), Method::ALLOCATE, |_| {});
        assert_eq!(to_client(&out).len(), 100);
    }
    world.assert_empty();
    assert_eq!(world.server.poll_timeout(), None);
}

/// AMP-007, SEC-33: CHANGE-REQUEST, PADDING and RESPONSE-PORT are not known here; the answer goes to the source.
#[test]
fn attributes_of_behaviour_discovery_change_neither_size_nor_direction() {
    let mut world = world();
    for (code, value) in [(0x0003, vec![0, 0, 0, 6]), (0x0026, vec![0; 1000]), (0x0027, vec![0, 53, 0, 0])] {
        let request = world.bare(Method::BINDING, Class::Request, |w| _ = w.attribute(code, &value));
        let answer = world.ask(udp(ALICE), &request);
        assert_eq!(answer.code(), Some(420));
        assert_eq!(answer.get(attribute::UNKNOWN_ATTRIBUTES).unwrap(), code.to_be_bytes());
        assert_eq!(answer.bytes.len(), 36);
    }
    let request = world.bare(Method::BINDING, Class::Request, |_| {});
    assert_eq!(world.ask(udp(ALICE), &request).codes(), [attribute::XOR_MAPPED_ADDRESS]);
}

/// AMP-008: the server itself is never a peer, and what two relays throw at each other is bounded by the
/// bandwidth of each.
#[test]
fn a_loop_through_two_relays_is_bounded_by_their_bandwidth() {
    let mut world = patient_with(|options| options.bandwidth = 1_000);
    let (alice, bob) = (world.alice(), world.bob());
    let relays = [world.allocate(&alice), world.allocate(&bob)];
    for (client, other) in [(&alice, relays[1]), (&bob, relays[0])] {
        client.assert_refused(&client.bind(&mut world, 0x4000, SERVER), 403);
        client.assert_granted(&client.bind(&mut world, 0x4000, &other.to_string()));
    }
    // Both clients return whatever they get.
    let (mut turns, mut at) = (0, 0);
    let clients = [&alice, &bob];
    let mut body = vec![0x5A; 100];
    loop {
        let out = clients[at].channel_data(&mut world, 0x4000, &body);
        let [Out::Peer(_, to, _, _)] = out[..] else { break };
        let from: SocketAddr = relays[at];
        let out = world.peer(&from.to_string(), to, &body);
        let [Out::Client(_, ref bytes)] = out[..] else { break };
        body = bytes[4..].to_vec();
        (turns, at) = (turns + 1, 1 - at);
    }
    assert_eq!(turns, 20, "a second's worth of each, and then silence");
}

impl World {
    /// A request of this method without credentials is answered.
    fn answers(&mut self, path: Path, method: Method) -> bool {
        matches!(stranger(self, path, method, |_| {})[..], [Out::Client(..)])
    }
}
