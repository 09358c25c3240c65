//! Redirection to another server (RFC 8489 §10, RFC 8155 §6).

use crate::acts::*;
use crate::craft;
use crate::harness::*;
use hairpin::turn::redirect::Target;
use hairpin::turn::{Options, Owner, Path, Reason, Transport};
use hairpin::wire::{Class, Method, address, attribute};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const NORTH: &str = "203.0.113.71:3478";
const SOUTH: &str = "203.0.113.72:3478";
const NORTH6: &str = "[2001:db8::71]:3478";
const NAME: &str = "north.example.org";

/// A server elsewhere.
fn target(at: &str, transports: &[Transport]) -> Target {
    Target { addr: addr(at), transports: transports.to_vec(), domain: None, weight: 1, here: false }
}

/// A world that sends clients to these servers.
fn sending_to(targets: Vec<Target>) -> World {
    world_with(|options| options.redirect.targets = targets)
}

/// The path of a TLS client.
fn tls(client: &str) -> Path {
    Path { transport: Transport::Tls, ..tcp(client, 1) }
}

/// Every ALTERNATE-SERVER of an answer, in order: plain, not masked.
fn told(answer: &Answer) -> Vec<SocketAddr> {
    let message = answer.message();
    let values = message.attributes().filter(|(code, _)| *code == attribute::ALTERNATE_SERVER);
    values.map(|(_, value)| address::decode(value).unwrap()).collect()
}

/// Alice on this path asks for an allocation.
fn ask(world: &mut World, path: Path) -> (Client, Answer) {
    let alice = world.login(path, "alice", "secret");
    let answer = alice.request(world, Method::ALLOCATE, craft::allocate);
    (alice, answer)
}

/// ALT-001, ALT-002: the client's family first, then the other one, in clear.
#[test]
fn a_client_is_told_a_server_of_its_family_first() {
    let targets = || vec![target(NORTH6, &[Transport::Udp]), target(NORTH, &[Transport::Udp])];
    for (client, wanted) in [(ALICE, [addr(NORTH), addr(NORTH6)]), (ALICE6, [addr(NORTH6), addr(NORTH)])] {
        let mut world = sending_to(targets());
        let (_, answer) = ask(&mut world, udp(client));
        assert_eq!((answer.code(), told(&answer)), (Some(300), wanted.into()));
        assert_eq!(answer.get(attribute::ALTERNATE_DOMAIN), None);
        world.assert_empty();
    }
}

/// ALT-001: a fleet may share one list: in its own turn a server serves, so that nobody is sent in circles.
#[test]
fn a_server_on_its_own_list_takes_its_share() {
    let here = Target { here: true, ..target(SERVER, &[Transport::Udp]) };
    let mut world = sending_to(vec![here, target(NORTH, &[Transport::Udp])]);
    let served =
        (0..10).filter(|number| ask(&mut world, udp(&format!("192.0.2.1:{}", 40_000 + number))).1.code().is_none());
    assert_eq!(served.count(), 5);
}

/// ALT-001: where no server has the client's family, the client is served.
#[test]
fn a_client_is_served_where_no_other_server_has_its_family() {
    let mut world = sending_to(vec![target(NORTH6, &[Transport::Udp])]);
    let (alice, answer) = ask(&mut world, udp(ALICE));
    alice.assert_granted(&answer);
    assert_eq!(told(&answer), []);
}

/// ALT-003: who has proved nothing is challenged first, and the 300 is protected.
#[test]
fn nobody_is_sent_away_before_authentication() {
    for style in [Style::Md5, Style::Sha256] {
        let mut world = sending_to(vec![target(NORTH, &[Transport::Udp])]);
        let bare = craft::ask(&mut world, udp(ALICE), Method::ALLOCATE, craft::allocate);
        assert!(craft::is_challenge(&bare, 401));
        let alice = world.alice().with(style);
        let answer = alice.request(&mut world, Method::ALLOCATE, craft::allocate);
        assert_eq!(answer.code(), Some(300));
        assert!(craft::is_protected(&answer, &alice));
        let wrong = Client { password: "guess".to_owned(), ..alice };
        let refused = wrong.request(&mut world, Method::ALLOCATE, craft::allocate);
        assert_eq!((refused.code(), told(&refused)), (Some(401), vec![]));
    }
}

/// ALT-003: unless the operator says otherwise; then the answer proves nothing, and a source's rate bounds it.
#[test]
fn before_authentication_only_on_request_and_within_the_rate() {
    let mut world = world_with(|options| {
        options.redirect.targets = vec![target(NORTH, &[Transport::Udp])];
        options.redirect.before_auth = true;
        options.unauthenticated = 2;
    });
    let answer = craft::ask(&mut world, udp(ALICE), Method::ALLOCATE, craft::allocate);
    assert_eq!((answer.code(), told(&answer)), (Some(300), vec![addr(NORTH)]));
    assert!(answer.is_bare());
    let request = craft::message(&mut world, Method::ALLOCATE, Class::Request, craft::allocate);
    let out: Vec<Vec<Out>> = (0..20).map(|_| world.client(udp(ALICE), &request)).collect();
    let dropped = out.iter().filter(|out| **out == [Out::Drop(Reason::SourceRate)]).count();
    assert!(dropped >= 15, "{dropped} of 20 are dropped");
}

/// ALT-003: a request that could not be served is refused for what is wrong with it.
#[test]
fn a_bad_request_is_not_sent_to_another_server() {
    let mut world = sending_to(vec![target(NORTH, &[Transport::Udp])]);
    let alice = world.alice();
    assert_eq!(alice.request(&mut world, Method::ALLOCATE, |_| {}).code(), Some(400));
}

/// ALT-004: over TLS the name of the certificate goes with the address, and only there.
#[test]
fn over_tls_a_client_is_told_the_name_of_the_certificate() {
    let named = || vec![Target { domain: Some(NAME.to_owned()), ..target(NORTH, &[Transport::Tls, Transport::Udp]) }];
    for (path, wanted) in [(tls(ALICE), Some(NAME.as_bytes().to_vec())), (udp(ALICE), None)] {
        let mut world = sending_to(named());
        let (_, answer) = ask(&mut world, path);
        assert_eq!((answer.code(), answer.get(attribute::ALTERNATE_DOMAIN)), (Some(300), wanted));
    }
}

/// ALT-002, ALT-004: one name stands for both addresses, so a server of another name is not told beside.
#[test]
fn a_second_address_is_one_of_the_same_name() {
    let named = |at, name: &str| Target { domain: Some(name.to_owned()), ..target(at, &[Transport::Tls]) };
    for (other, count) in [(NAME, 2), ("south.example.org", 1)] {
        let mut world = sending_to(vec![named(NORTH, NAME), named(NORTH6, other)]);
        let (_, answer) = ask(&mut world, tls(ALICE));
        assert_eq!((told(&answer).len(), answer.get(attribute::ALTERNATE_DOMAIN).unwrap()), (count, NAME.into()));
    }
}

/// ALT-005, ALT-006: Binding is answered here.
#[test]
fn binding_is_never_sent_away() {
    let mut world = world_with(|options| {
        options.redirect.targets = vec![target(NORTH, &[Transport::Udp])];
        options.redirect.before_auth = true;
    });
    let request = craft::binding(&mut world);
    let answer = world.ask(udp(ALICE), &request);
    assert_eq!((answer.code(), told(&answer)), (None, vec![]));
}

/// ALT-007: what exists is served on. It came here with the token of a port that is reserved here, which no other
/// server could honour.
#[test]
fn an_allocation_that_exists_is_served_on() {
    for before_auth in [false, true] {
        let mut world = world_with(|options| {
            options.redirect.targets = vec![target(NORTH, &[Transport::Tcp])];
            options.redirect.before_auth = before_auth;
        });
        let alice = world.login(udp(ALICE), "alice", "secret");
        let alice = Client { path: tcp(ALICE, 1), ..alice };
        let token = [7; 8];
        world.deposits.insert(token, (Owner::plain("alice").within(&REALM.into()), addr("203.0.113.5:50001")));
        let id = world.transaction();
        let request = alice.message(&id, Method::ALLOCATE, |w| {
            craft::allocate(w);
            w.attribute(attribute::RESERVATION_TOKEN, &token);
        });
        for _ in 0..2 {
            assert_eq!(world.ask(alice.path, &request).relayed(), addr("203.0.113.5:50001"));
        }
        assert_eq!(alice.permit(&mut world, &[PEER]).code(), None);
        assert_eq!(alice.bind(&mut world, 0x4000, PEER).code(), None);
        assert_eq!(alice.refresh(&mut world, Some(900)).code(), None);
        let another = alice.request(&mut world, Method::ALLOCATE, craft::allocate);
        assert_eq!((another.code(), told(&another)), (Some(437), vec![]));
        world.assert_holds(1, 1);
        assert_eq!(alice.refresh(&mut world, Some(0)).code(), None);
        let anew = alice.request(&mut world, Method::ALLOCATE, craft::allocate);
        assert_eq!((anew.code(), told(&anew)), (Some(300), vec![addr(NORTH)]));
    }
}

/// ALT-008: a client is never sent to where it is.
#[test]
fn a_client_is_never_sent_to_the_address_that_it_came_to() {
    let mut world = sending_to(vec![target(SERVER, &[Transport::Udp]), target(NORTH, &[Transport::Udp])]);
    for _ in 0..4 {
        assert_eq!(told(&ask(&mut world, udp(ALICE)).1), [addr(NORTH)]);
    }
    let mut world = sending_to(vec![target(SERVER, &[Transport::Udp])]);
    let (alice, answer) = ask(&mut world, udp(ALICE));
    alice.assert_granted(&answer);
}

/// ALT-009, DISC-004: who came to the anycast address is sent to the unicast one, where it is served.
#[test]
fn a_client_of_an_anycast_address_is_sent_to_a_unicast_one() {
    for (client, anycast, unicast) in [(ALICE, "192.0.0.10:3478", SERVER), (ALICE6, "[2001:1::2]:3478", SERVER6)] {
        let mut world = world_with(|options| {
            options.redirect.targets = vec![target(unicast, &[Transport::Udp]), target(anycast, &[Transport::Udp])];
            options.redirect.at = vec![addr(anycast).ip()];
        });
        let here = Path { server: addr(anycast), ..udp(client) };
        for _ in 0..3 {
            let (_, answer) = ask(&mut world, here);
            assert_eq!((answer.code(), told(&answer)), (Some(300), vec![addr(unicast)]));
        }
        world.assert_empty();
        let (alice, answer) = ask(&mut world, udp(client));
        alice.assert_granted(&answer);
    }
}

/// ALT-010: the port is that of the client's own transport.
#[test]
fn a_client_is_told_the_port_of_its_own_transport() {
    let targets = || {
        let at = |port: &str| format!("203.0.113.71:{port}");
        vec![
            target(&at("1"), &[Transport::Udp]),
            target(&at("2"), &[Transport::Tcp]),
            target(&at("3"), &[Transport::Tls]),
        ]
    };
    for (path, port) in [(udp(ALICE), 1), (tcp(ALICE, 1), 2), (tls(ALICE), 3)] {
        let answer = ask(&mut sending_to(targets()), path).1;
        assert_eq!(told(&answer).iter().map(SocketAddr::port).collect::<Vec<_>>(), [port]);
    }
}

/// ALT-010: a server for this transport alone goes before one for several.
#[test]
fn a_server_for_one_transport_goes_before_one_for_several() {
    let mut world =
        sending_to(vec![target(SOUTH, &[Transport::Udp, Transport::Tcp]), target(NORTH, &[Transport::Udp])]);
    assert_eq!(told(&ask(&mut world, udp(ALICE)).1), [addr(NORTH)]);
    assert_eq!(told(&ask(&mut world, tcp(ALICE, 1)).1), [addr(SOUTH)]);
}

/// ALT-001: servers take turns, by weight, and evenly mixed.
#[test]
fn servers_take_turns_by_weight() {
    let mut world =
        sending_to(vec![Target { weight: 3, ..target(NORTH, &[Transport::Udp]) }, target(SOUTH, &[Transport::Udp])]);
    let mut counts = BTreeMap::new();
    let turns: Vec<SocketAddr> = (0..8).map(|_| told(&ask(&mut world, udp(ALICE)).1)[0]).collect();
    for at in &turns {
        *counts.entry(*at).or_insert(0) += 1;
    }
    assert_eq!(counts, [(addr(NORTH), 6), (addr(SOUTH), 2)].into());
    assert!(turns[..4].contains(&addr(SOUTH)), "{turns:?}");
}

/// ALT-003: on a server without credentials the answer is bare.
#[test]
fn an_anonymous_client_is_sent_away_too() {
    let anonymous = |options: &mut Options| {
        options.anonymous = true;
        options.redirect.targets = vec![target(NORTH, &[Transport::Udp])];
    };
    let mut world = world_with(anonymous);
    let answer = craft::ask(&mut world, udp(ALICE), Method::ALLOCATE, craft::allocate);
    assert_eq!((answer.code(), told(&answer)), (Some(300), vec![addr(NORTH)]));
    assert!(answer.is_bare());
}
