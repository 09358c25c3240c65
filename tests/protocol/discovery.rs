//! NAT behaviour discovery (RFC 5780).

use crate::craft::*;
use crate::harness::*;
use hairpin::turn::discovery::Quad;
use hairpin::turn::{Path, Reason, Transport};
use hairpin::wire::{Method, Writer, address, attribute};
use std::net::SocketAddr;

/// The four of IPv4 and the four of IPv6: the address that differs in both comes last.
const FOURS: [[&str; 4]; 2] = [
    ["203.0.113.1:3478", "203.0.113.1:3479", "203.0.113.2:3478", "203.0.113.2:3479"],
    ["[2001:db8::1]:3478", "[2001:db8::1]:3479", "[2001:db8::2]:3478", "[2001:db8::2]:3479"],
];

/// A server that listens to all of them.
fn world() -> World {
    world_with(|options| {
        options.discovery = FOURS.map(|four| {
            let addresses = [addr(four[0]).ip(), addr(four[2]).ip()];
            Some(Quad { addresses, ports: [3478, 3479] })
        });
    })
}

/// A client's path to one of them.
fn to(server: &str) -> Path {
    let client = if addr(server).is_ipv4() { ALICE } else { "[2001:db8:9::9]:40000" };
    Path { server: addr(server), ..udp(client) }
}

/// A Binding request with these attributes.
fn asking(world: &mut World, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    message(world, Method::BINDING, hairpin::wire::Class::Request, |writer| {
        for (code, value) in attributes {
            writer.attribute(*code, value);
        }
    })
}

/// What comes of a request with these attributes: where it leaves and goes, and the answer.
fn answers(world: &mut World, path: Path, attributes: &[(u16, &[u8])]) -> (Path, Answer) {
    let request = asking(world, attributes);
    let mut out = world.client(path, &request);
    assert_eq!(out.len(), 1, "one answer to one request: {out:?}");
    let Out::Client(path, bytes) = out.remove(0) else { panic!("an answer") };
    let answer = Answer { bytes };
    assert_eq!(answer.message().transaction(), request[8..20]);
    (path, answer)
}

/// An address in clear that an answer names.
fn named(answer: &Answer, code: u16) -> SocketAddr {
    address::decode(&answer.get(code).expect("an address")).unwrap()
}

/// NBD-001, NBD-002, NBD-003, NBD-004, NBD-005, NBD-007: from each of the eight, each change leads to the right one, and
/// the other address is told relative to the one that was asked.
#[test]
fn an_answer_comes_from_where_it_is_asked_to() {
    let mut world = world();
    for four in FOURS {
        for asked in 0..4 {
            for (flags, moved) in [(0, 0), (2, 1), (4, 2), (6, 3)] {
                let path = to(four[asked]);
                let change = [0, 0, 0, flags];
                let (answered, answer) = answers(&mut world, path, &[(attribute::CHANGE_REQUEST, &change)]);
                let source = addr(four[asked ^ moved]);
                assert_eq!(answered, Path { server: source, ..path });
                assert_eq!(named(&answer, attribute::RESPONSE_ORIGIN), source);
                assert_eq!(named(&answer, attribute::OTHER_ADDRESS), addr(four[asked ^ 3]));
                assert_eq!(named(&answer, attribute::MAPPED_ADDRESS), path.client);
                assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [path.client]);
            }
        }
    }
}

/// NBD-006, NBD-016: without the four nothing of it is known or told.
#[test]
fn a_server_with_one_address_knows_nothing_of_it() {
    let (mut without, mut with) = (crate::harness::world(), world());
    for (world, path) in
        [(&mut without, udp(ALICE)), (&mut with, Path { server: addr("203.0.113.1:443"), ..udp(ALICE) })]
    {
        let (_, answer) = answers(world, path, &[]);
        assert_eq!(codes(&answer), [attribute::XOR_MAPPED_ADDRESS]);
        for code in [attribute::CHANGE_REQUEST, attribute::RESPONSE_PORT, attribute::PADDING] {
            let (answered, answer) = answers(world, path, &[(code, &[0; 4])]);
            assert_eq!((answered, answer.code()), (path, Some(420)));
            assert_eq!(answer.get(attribute::UNKNOWN_ATTRIBUTES).unwrap(), code.to_be_bytes());
        }
    }
}

/// NBD-008, NBD-012: the port may be another, but none that services have.
#[test]
fn an_answer_goes_to_the_port_that_is_named() {
    let (mut world, path) = (world(), to(FOURS[0][0]));
    for value in [&[0xC3, 0x50][..], &[0xC3, 0x50, 0, 0]] {
        let (answered, answer) = answers(&mut world, path, &[(attribute::RESPONSE_PORT, value)]);
        assert_eq!(answered, Path { client: SocketAddr::new(path.client.ip(), 50000), ..path });
        assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), [path.client]);
    }
    for value in [&[0, 0][..], &[0, 53], &[3, 255, 0, 0], &[1], &[]] {
        let (answered, answer) = answers(&mut world, path, &[(attribute::RESPONSE_PORT, value)]);
        assert_eq!((answered, answer.code()), (path, Some(400)), "{value:?}");
    }
}

/// NBD-009, NBD-010, NBD-017: padding is given back, as much as came and no more than a link carries.
#[test]
fn padding_is_no_longer_than_what_was_asked_with() {
    let (mut world, path) = (world(), to(FOURS[0][0]));
    for (asked, given) in [(0, 0), (4, 4), (1000, 1000), (1400, 1400), (1500, 1400), (2000, 1400)] {
        let (_, answer) = answers(&mut world, path, &[(attribute::PADDING, &vec![7; asked])]);
        assert_eq!(answer.get(attribute::PADDING).unwrap().len(), given);
    }
    let request = asking(&mut world, &[(attribute::PADDING, &[7; 60_000])]);
    assert_eq!(silence(&mut world, path, &request), Reason::Oversize);
    let both = [(attribute::PADDING, &[0; 4][..]), (attribute::RESPONSE_PORT, &[0xC3, 0x50, 0, 0])];
    assert_eq!(answers(&mut world, path, &both).1.code(), Some(400));
}

/// NBD-011: an error goes back the way that the request came.
#[test]
fn a_refusal_takes_no_detour() {
    let (mut world, path) = (world(), to(FOURS[0][0]));
    let strange = [(attribute::CHANGE_REQUEST, &[0, 0, 0, 6][..]), (0x7ABC, &[])];
    let (answered, answer) = answers(&mut world, path, &strange);
    assert_eq!((answered, answer.code()), (path, Some(420)));
    for value in [&[][..], &[6], &[0; 8]] {
        let (answered, answer) = answers(&mut world, path, &[(attribute::CHANGE_REQUEST, value)]);
        assert_eq!((answered, answer.code()), (path, Some(400)));
    }
}

/// NBD-013: a connection or a session has one other end, but the client may connect to the other address.
#[test]
fn a_session_is_told_the_other_address_and_refused_a_change() {
    let mut world = world();
    for transport in [Transport::Tcp, Transport::Tls, Transport::Dtls] {
        let path = Path { transport, ..to(FOURS[0][0]) };
        let (answered, answer) = answers(&mut world, path, &[]);
        assert_eq!((answered, named(&answer, attribute::OTHER_ADDRESS)), (path, addr(FOURS[0][3])));
        for (code, value) in [(attribute::CHANGE_REQUEST, [0, 0, 0, 2]), (attribute::RESPONSE_PORT, [0xC3, 0x50, 0, 0])]
        {
            assert_eq!(answers(&mut world, path, &[(code, &value)]).1.code(), Some(400));
        }
    }
}

/// NBD-015: where Binding needs credentials, what comes from elsewhere is signed, too.
#[test]
fn an_answer_from_elsewhere_is_signed() {
    let mut world = world_with(|options| {
        options.binding_auth = true;
        options.discovery =
            [Some(Quad { addresses: [addr(FOURS[0][0]).ip(), addr(FOURS[0][2]).ip()], ports: [3478, 3479] }), None];
    });
    let path = to(FOURS[0][0]);
    let change = |writer: &mut Writer<'_>| _ = writer.attribute(attribute::CHANGE_REQUEST, &[0, 0, 0, 6]);
    let (answered, answer) = answers(&mut world, path, &[(attribute::CHANGE_REQUEST, &[0, 0, 0, 6])]);
    assert_eq!((answered, answer.code()), (path, Some(401)));
    let client = world.login(path, "alice", "secret");
    let request = client.message(&world.transaction(), Method::BINDING, change);
    let mut out = world.client(path, &request);
    let Out::Client(answered, bytes) = out.remove(0) else { panic!("an answer") };
    assert_eq!(answered, Path { server: addr(FOURS[0][3]), ..path });
    let answer = Answer { bytes };
    assert!(answer.is_protected_by_sha1(&client.key()) || answer.is_protected_by_sha256(&client.key()));
}

/// NBD-018: no other method knows these attributes.
#[test]
fn an_allocation_moves_nothing() {
    let (mut world, path) = (world(), to(FOURS[0][0]));
    let client = world.login(path, "alice", "secret");
    let answer = client.request(&mut world, Method::ALLOCATE, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
        writer.attribute(attribute::CHANGE_REQUEST, &[0, 0, 0, 6]);
    });
    assert_eq!(answer.code(), Some(420));
}
