//! TCP relays (RFC 6062): what the core decides about connections to and from peers.

use crate::acts::*;
use crate::harness::*;
use hairpin::auth::rest::mint;
use hairpin::turn::{ConnectionId, Event, Path, Protocol, Reason, Transport};
use hairpin::wire::{Class, Message, Method, Writer, address, attribute};
use std::net::SocketAddr;

/// REQUESTED-TRANSPORT: TCP.
const TCP: [u8; 4] = [6, 0, 0, 0];
/// Where Alice's connections for data come from.
const DATA: &str = "192.0.2.1:40001";

/// A connection to the server.
fn stream(client: &str) -> Path {
    tcp(client, u32::from(addr(client).port()))
}

/// A client that has a connection to the server.
fn alice(world: &mut World) -> Client {
    world.login(stream(ALICE), "alice", "secret")
}

/// The same client by another connection.
fn second(world: &mut World) -> Client {
    let alice = alice(world);
    alice.at(world, stream(DATA))
}

/// Allocate for TCP, with more attributes.
fn ask(world: &mut World, client: &Client, fill: impl FnOnce(&mut Writer<'_>)) -> Answer {
    client.request(world, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &TCP);
        fill(w);
    })
}

/// Alice with a TCP relay; its address.
fn allocated(world: &mut World) -> (Client, SocketAddr) {
    let alice = alice(world);
    let answer = ask(world, &alice, |_| {});
    alice.assert_granted(&answer);
    (alice, answer.relayed())
}

/// Begins a Connect; what comes out at once.
fn connect(world: &mut World, client: &Client, peer: &str) -> Vec<Out> {
    let id = world.transaction();
    let request = client.message(&id, Method::CONNECT, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer)));
    world.client(client.path, &request)
}

/// The peer has been reached, or not; the answer to the Connect.
fn reached(world: &mut World, connection: ConnectionId, reached: bool) -> Answer {
    if !reached {
        world.connections.remove(&connection);
    }
    match world.event(Event::Connected { connection, reached }).as_slice() {
        [Out::Client(_, bytes)] => Answer { bytes: bytes.clone() },
        other => panic!("one answer, not {other:?}"),
    }
}

/// The one connection to this peer.
fn to(world: &World, peer: &str) -> ConnectionId {
    *world.connections.iter().find(|(_, at)| **at == addr(peer)).expect("a connection").0
}

/// A connection to a peer that waits for its client.
fn connected(world: &mut World, client: &Client, peer: &str) -> ConnectionId {
    assert!(connect(world, client, peer).is_empty(), "the answer comes when the peer has been reached");
    let connection = to(world, peer);
    let answer = reached(world, connection, true);
    client.assert_granted(&answer);
    assert_eq!(answer.get(attribute::CONNECTION_ID), Some(connection.0.to_be_bytes().to_vec()));
    connection
}

/// ConnectionBind.
fn bind(world: &mut World, client: &Client, connection: ConnectionId) -> Answer {
    client.request(world, Method::CONNECTION_BIND, |w| _ = w.number(attribute::CONNECTION_ID, connection.0))
}

/// TCP-001: the relay listens, for clients over TCP and TLS.
#[test]
fn a_stream_client_gets_a_tcp_relay() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = world();
        let client = world.login(Path { transport, ..stream(ALICE) }, "alice", "secret");
        let answer = ask(&mut world, &client, |_| {});
        client.assert_granted(&answer);
        let relay = world.relay_at(answer.relayed()).unwrap();
        assert_eq!(world.protocols[&relay], Protocol::Tcp);
        client.assert_granted(&client.refresh(&mut world, Some(0)));
        world.assert_empty();
    }
}

/// TCP-002.
#[test]
fn a_datagram_client_gets_none() {
    let mut world = world();
    let client = world.alice();
    client.assert_refused(&ask(&mut world, &client, |_| {}), 400);
    world.assert_empty();
}

/// TCP-003.
#[test]
fn what_is_about_datagrams_is_refused() {
    let mut world = world();
    let client = alice(&mut world);
    let extras: [(u16, &[u8]); 3] =
        [(attribute::DONT_FRAGMENT, &[]), (attribute::EVEN_PORT, &[0]), (attribute::RESERVATION_TOKEN, &[7; 8])];
    for (code, value) in extras {
        let answer = ask(&mut world, &client, |w| _ = w.attribute(code, value));
        client.assert_refused(&answer, 400);
        assert_eq!(answer.get(attribute::RESERVATION_TOKEN), None);
    }
    world.assert_empty();
}

/// TCP-004: and either can be switched off.
#[test]
fn what_is_not_offered_is_refused() {
    let mut world = patient_with(|options| options.udp_relays = false);
    let client = alice(&mut world);
    client.assert_refused(&client.allocate(&mut world, |_| {}), 403);
    client.assert_granted(&ask(&mut world, &client, |_| {}));
    let mut world = patient_with(|options| options.tcp_relays = false);
    let client = alice(&mut world);
    client.assert_refused(&ask(&mut world, &client, |_| {}), 442);
    client.assert_granted(&client.allocate(&mut world, |_| {}));
}

/// MICE-002: a TCP relay does not move, for its connections cannot.
#[test]
fn a_tcp_relay_does_not_move() {
    let mut world = patient_with(|options| options.mobility = true);
    let client = alice(&mut world);
    client.assert_refused(&ask(&mut world, &client, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &[])), 405);
}

/// TCP-005, TCP-012, TCP-013: without a permission; the harness checks that it leaves from the relay.
#[test]
fn a_client_connects_to_a_peer_and_binds() {
    let mut world = world();
    let (alice, relayed) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    assert_eq!(world.sockets.values().next().unwrap().port(), relayed.port());
    let data = second(&mut world);
    data.assert_granted(&bind(&mut world, &data, connection));
    assert_eq!(world.bound[&connection].0, data.path);
    alice.assert_granted(&alice.refresh(&mut world, Some(0)));
    assert!(world.bound.is_empty());
    world.assert_empty();
}

/// TCP-006.
#[test]
fn connect_needs_a_tcp_relay() {
    let mut world = world();
    let alice = alice(&mut world);
    let refused = |out: Vec<Out>| match &out[..] {
        [Out::Client(_, bytes)] => Answer { bytes: bytes.clone() }.code(),
        other => panic!("an answer, not {other:?}"),
    };
    assert_eq!(refused(connect(&mut world, &alice, PEER)), Some(437));
    world.allocate(&alice);
    assert_eq!(refused(connect(&mut world, &alice, PEER)), Some(400));
}

/// TCP-007, TCP-008, SEC-16, SEC-17: the rules for peers count as for datagrams.
#[test]
fn a_peer_that_may_not_be_reached_is_not_tried() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let no_peer = alice.request(&mut world, Method::CONNECT, |_| {});
    alice.assert_refused(&no_peer, 400);
    for (peer, code) in [("198.51.100.7:0", 400), (PEER6, 443), ("10.0.0.1:80", 403), (SERVER, 403)] {
        let id = world.transaction();
        let request =
            alice.message(&id, Method::CONNECT, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, addr(peer)));
        alice.assert_refused(&world.ask(alice.path, &request), code);
    }
    assert!(world.connections.is_empty(), "no SYN leaves");
}

/// TCP-009.
#[test]
fn a_peer_has_one_connection_at_a_time() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let again = |world: &mut World| match connect(world, &alice, PEER).as_slice() {
        [Out::Client(_, bytes)] => Answer { bytes: bytes.clone() }.code(),
        other => panic!("a refusal, not {other:?}"),
    };
    connect(&mut world, &alice, PEER);
    assert_eq!(again(&mut world), Some(446), "while it is being reached");
    let connection = to(&world, PEER);
    reached(&mut world, connection, true);
    assert_eq!(again(&mut world), Some(446), "while it waits");
    let data = second(&mut world);
    data.assert_granted(&bind(&mut world, &data, connection));
    assert_eq!(again(&mut world), Some(446), "while it is bound");
    world.connections.clear();
    world.bound.clear();
    world.event(Event::Disconnected { connection });
    connected(&mut world, &alice, PEER);
}

/// TCP-010: refused at once, or after half a minute and not before.
#[test]
fn a_peer_that_cannot_be_reached_fails_the_request() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    connect(&mut world, &alice, PEER);
    let connection = to(&world, PEER);
    alice.assert_refused(&reached(&mut world, connection, false), 447);
    connect(&mut world, &alice, PEER);
    assert!(world.seconds(29).is_empty());
    match world.seconds(2).as_slice() {
        [Out::Client(path, bytes)] => {
            assert_eq!(*path, alice.path);
            alice.assert_refused(&Answer { bytes: bytes.clone() }, 447);
        }
        other => panic!("a refusal, not {other:?}"),
    }
    assert!(world.connections.is_empty());
    world.event(Event::Connected { connection, reached: true });
    assert!(world.claims.is_empty(), "what comes too late is nothing");
}

/// TCP-011.
#[test]
fn other_requests_are_answered_meanwhile() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    connect(&mut world, &alice, PEER);
    alice.assert_granted(&alice.refresh(&mut world, Some(700)));
}

/// TCP-014.
#[test]
fn what_cannot_be_bound_is_refused() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    let data = second(&mut world);
    data.assert_refused(&data.request(&mut world, Method::CONNECTION_BIND, |_| {}), 400);
    data.assert_refused(&bind(&mut world, &data, ConnectionId(connection.0 ^ 1)), 400);
    alice.assert_refused(&bind(&mut world, &alice, connection), 400);
    let datagram = alice.at(&mut world, udp(DATA));
    datagram.assert_refused(&bind(&mut world, &datagram, connection), 400);
    data.assert_granted(&bind(&mut world, &data, connection));
    let third = alice.at(&mut world, stream("192.0.2.1:40002"));
    third.assert_refused(&bind(&mut world, &third, connection), 400);
}

/// TCP-024: the nonce of the connection that carries the requests is good for this one as well, and others are not.
#[test]
fn a_connection_is_bound_with_the_nonce_of_the_first() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    let stranger = world.login(stream("192.0.2.9:5000"), "alice", "secret");
    let data = Client { path: stream(DATA), nonce: stranger.nonce.clone(), ..alice.clone() };
    let refused = bind(&mut world, &data, connection);
    assert_eq!(refused.code(), Some(438));
    assert!(world.claims.len() == 1, "it can still be bound");
    let data = Client { path: stream(DATA), ..alice.clone() };
    data.assert_granted(&bind(&mut world, &data, connection));
}

/// TCP-015, SEC-51: whoever guesses the number has nothing.
#[test]
fn a_connection_is_for_its_user_alone() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    let bob = world.login(stream("192.0.2.9:5000"), "bob", "hunter2");
    bob.assert_refused(&bind(&mut world, &bob, connection), 441);
    let data = second(&mut world);
    data.assert_granted(&bind(&mut world, &data, connection));
}

/// REST-005: a name whose time has ended is good for what it has made, and for the connections of that.
#[test]
fn an_expired_name_binds_what_it_has_connected() {
    let mut world = patient();
    let (user, password) = mint("north", "alice", world.now.wall + 10, ':');
    let control = world.login(stream(ALICE), &user, &password);
    control.assert_granted(&ask(&mut world, &control, |_| {}));
    world.seconds(20);
    let connection = connected(&mut world, &control, PEER);
    let data = Client { path: stream(DATA), ..control.clone() };
    data.assert_granted(&bind(&mut world, &data, connection));
}

/// Where this server listens itself, there is no peer.
#[test]
fn an_own_listener_is_no_peer() {
    let own: SocketAddr = "198.18.9.9:50000".parse().unwrap();
    let mut world = patient_with(|options| options.own_streams = vec![own]);
    let (alice, _) = allocated(&mut world);
    let id = world.transaction();
    let request = alice.message(&id, Method::CONNECT, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, own));
    alice.assert_refused(&world.ask(alice.path, &request), 403);
}

/// TCP-016.
#[test]
fn a_connection_that_nobody_binds_is_closed() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    world.seconds(29);
    assert!(world.connections.contains_key(&connection));
    world.seconds(2);
    assert!(world.connections.is_empty() && world.claims.is_empty());
    let data = second(&mut world);
    data.assert_refused(&bind(&mut world, &data, connection), 400);
    connected(&mut world, &alice, PEER);
}

/// A peer connects; what comes of it.
fn attempt(world: &mut World, relayed: SocketAddr, peer: &str) -> (Result<ConnectionId, Reason>, Vec<Out>) {
    let relay = world.relay_at(relayed).unwrap();
    let accepted = world.server.accept(world.now, relay, addr(peer));
    if let Ok(connection) = accepted {
        world.connections.insert(connection, addr(peer));
    }
    (accepted, world.event(Event::Closed { path: udp("192.0.2.250:9") }))
}

/// TCP-020: and it may be bound.
#[test]
fn a_client_is_told_of_a_peer_that_connects() {
    let mut world = world();
    let (alice, relayed) = allocated(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    let (accepted, out) = attempt(&mut world, relayed, PEER);
    let [Out::Client(path, bytes)] = &out[..] else { panic!("one indication, not {out:?}") };
    assert_eq!(*path, alice.path);
    let message = Message::parse(bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
    let peer = address::decode_xor(message.attribute(attribute::XOR_PEER_ADDRESS).unwrap(), &message.transaction());
    assert_eq!(peer, Some(addr(PEER)));
    let connection = accepted.unwrap();
    assert_eq!(message.attribute(attribute::CONNECTION_ID), Some(&connection.0.to_be_bytes()[..]));
    let data = second(&mut world);
    data.assert_granted(&bind(&mut world, &data, connection));
}

/// TCP-021.
#[test]
fn a_peer_without_permission_is_let_go() {
    let mut world = patient();
    let (alice, relayed) = allocated(&mut world);
    assert!(matches!(attempt(&mut world, relayed, PEER), (Err(Reason::NoPermission), out) if out.is_empty()));
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    world.seconds(301);
    assert!(matches!(attempt(&mut world, relayed, PEER), (Err(Reason::NoPermission), _)));
}

/// TCP-023, TCP-030: with the allocation, and with the connection that made it.
#[test]
fn connections_end_with_their_allocation() {
    let mut world = patient();
    for end in 0..3 {
        let (alice, _) = allocated(&mut world);
        let bound = connected(&mut world, &alice, PEER);
        let data = second(&mut world);
        data.assert_granted(&bind(&mut world, &data, bound));
        connected(&mut world, &alice, "198.51.100.7:81");
        connect(&mut world, &alice, "198.51.100.7:82");
        assert_eq!(world.connections.len(), 3);
        match end {
            0 => alice.assert_granted(&alice.refresh(&mut world, Some(0))),
            1 => _ = world.close(&alice),
            _ => {
                alice.assert_granted(&alice.refresh(&mut world, Some(600)));
                world.seconds(601);
            }
        }
        world.assert_empty();
    }
}

/// TCP-025.
#[test]
fn refresh_extends_a_tcp_relay() {
    let mut world = patient();
    let (alice, _) = allocated(&mut world);
    world.seconds(500);
    alice.assert_granted(&alice.refresh(&mut world, Some(600)));
    world.seconds(500);
    connected(&mut world, &alice, PEER);
}

/// TCP-026.
#[test]
fn a_connection_is_bound_where_it_was_made() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    let connection = connected(&mut world, &alice, PEER);
    let elsewhere = Path { server: addr("203.0.113.5:5349"), ..stream(DATA) };
    let data = alice.at(&mut world, elsewhere);
    data.assert_refused(&bind(&mut world, &data, connection), 400);
}

/// TCP-027.
#[test]
fn a_tcp_relay_carries_no_datagrams() {
    let mut world = world();
    let (alice, _) = allocated(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    alice.assert_refused(&alice.bind(&mut world, 0x4000, PEER), 400);
    assert_eq!(dropped(&alice.send(&mut world, PEER, b"no")), Reason::BadIndication);
    assert_eq!(dropped(&alice.channel_data(&mut world, 0x4000, b"no")), Reason::NoChannel);
}

/// TCP-029: both ways.
#[test]
fn an_allocation_has_so_many_connections_and_no_more() {
    let mut world = patient_with(|options| options.connections = 2);
    let (alice, relayed) = allocated(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    connected(&mut world, &alice, "198.51.100.7:81");
    assert!(attempt(&mut world, relayed, PEER).0.is_ok());
    assert!(matches!(attempt(&mut world, relayed, "198.18.5.9:83"), (Err(Reason::TooMany), _)));
    let id = world.transaction();
    let request = alice.message(&id, Method::CONNECT, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr("198.51.100.7:84"));
    });
    alice.assert_refused(&world.ask(alice.path, &request), 508);
}

/// The connections of an allocation share what it may use.
#[test]
fn bandwidth_is_shared() {
    let mut world = patient_with(|options| options.bandwidth = 1000);
    let (alice, _) = allocated(&mut world);
    let first = connected(&mut world, &alice, "198.51.100.7:81");
    let data = second(&mut world);
    data.assert_granted(&bind(&mut world, &data, first));
    assert_eq!(world.bound[&first].1, 1000);
    let other = connected(&mut world, &alice, "198.51.100.7:82");
    let third = alice.at(&mut world, stream("192.0.2.1:40002"));
    third.assert_granted(&bind(&mut world, &third, other));
    assert_eq!((world.bound[&first].1, world.bound[&other].1), (500, 500));
    world.connections.remove(&first);
    world.bound.remove(&first);
    world.event(Event::Disconnected { connection: first });
    assert_eq!(world.bound[&other].1, 1000);
}
