//! Realms: chosen by ORIGIN, server name or listener; an allocation stays in its own.

use crate::acts::*;
use crate::craft;
use crate::harness::*;
use hairpin::auth::nonce::{Features, Nonces};
use hairpin::auth::peers::{Policy, Rules};
use hairpin::auth::token::{Cipher, Content, Tokens, seal};
use hairpin::auth::{Credentials, Secret};
use hairpin::turn::limits::{Ledger, Share};
use hairpin::turn::realm::{Doors, Realm};
use hairpin::turn::{Event, Options, Path, Reason, Transport};
use hairpin::wire::{Class, Method, Writer, attribute};
use std::sync::Arc;
use std::time::Duration;

/// The other realms, and the web pages that belong to them.
const NORTH: &str = "north.example";
const SOUTH: &str = "south.example";
const NORTHERN: &str = "https://north.example";
const SOUTHERN: &str = "https://south.example:8443";
/// The server name and the listener of the southern realm.
const SOUTHERN_NAME: &str = "turn.south.example";
const SOUTHERN_PORT: u16 = 3490;

/// The key of third parties, which all realms share, and the session key of their tokens.
const SHARED: [u8; 32] = [0x4B; 32];
const SESSION: [u8; 20] = [1; 20];

/// What opens the tokens that are sealed for a realm.
fn tokens(name: &str) -> Tokens {
    let mut tokens = Tokens::new(name);
    tokens.add("shared", Cipher::A256Gcm, &SHARED, None).unwrap();
    tokens
}

/// A realm where alice has this password.
fn realm(options: &Options, name: &str, password: &str, (rules, bandwidth): (&Rules, u64), doors: Doors) -> Realm {
    let mut credentials = Credentials::new(name, [8; 32]);
    credentials.add_user("alice", &Secret::Password(password.to_owned())).unwrap();
    credentials.accept_tokens(tokens(name));
    let features = Features {
        password_algorithms: options.algorithms.clone(),
        anonymity: true,
        order: hairpin::auth::nonce::BitOrder::Both,
    };
    Realm {
        credentials: Arc::new(credentials),
        nonces: Arc::new(Nonces::new([9; 32], name, Duration::ZERO, &features)),
        policy: Arc::new(Policy::new(rules)),
        bandwidth,
        doors,
    }
}

/// A default realm and two others. In the south, peers of 198.18.5.0/24 are denied and 1000 bytes a second are allowed.
fn three_with(change: impl FnOnce(&mut Options)) -> World {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    change(&mut build.options);
    let north = Doors { origins: vec![NORTHERN.to_owned()], ..Doors::default() };
    let south = Doors {
        origins: vec![SOUTHERN.to_owned()],
        server_names: vec![SOUTHERN_NAME.to_owned()],
        listeners: vec![addr("0.0.0.0:3490")],
    };
    let mut rules = build.rules.clone();
    rules.allow.retain(|range| range.to_string() != "198.18.0.0/15");
    rules.deny.push("198.18.5.0/24".parse().unwrap());
    build.realms = vec![
        realm(&build.options, NORTH, "northern", (&build.rules, 0), north),
        realm(&build.options, SOUTH, "southern", (&rules, 1000), south),
    ];
    build.build()
}

fn three() -> World {
    three_with(|_| {})
}

/// Adds an ORIGIN.
fn from(origin: &str) -> impl Fn(&mut Writer<'_>) {
    move |writer| _ = writer.attribute(attribute::ORIGIN, origin.as_bytes())
}

/// The realm that a client without credentials is offered.
fn offered(world: &mut World, path: Path, fill: impl FnOnce(&mut Writer<'_>)) -> String {
    let answer = craft::ask(world, path, Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
        fill(w);
    });
    assert_eq!(answer.code(), Some(401));
    String::from_utf8(answer.get(attribute::REALM).unwrap()).unwrap()
}

/// A TLS client that has named this server.
fn tls(world: &mut World, name: &str, link: u32) -> Path {
    let path = Path { transport: Transport::Tls, ..tcp(ALICE, link) };
    world.event(Event::Named { path, name: name.to_owned() });
    path
}

/// A path to the listener of the southern realm.
fn southern_listener() -> Path {
    let mut path = udp(ALICE);
    path.server.set_port(SOUTHERN_PORT);
    path
}

/// ORG-001: known origins have a realm each, however they are spelt; others have the default.
#[test]
fn the_origin_chooses_the_realm() {
    let mut world = three();
    assert_eq!(offered(&mut world, udp(ALICE), from(NORTHERN)), NORTH);
    assert_eq!(offered(&mut world, udp(ALICE), from("HTTPS://North.example:443/")), NORTH);
    assert_eq!(offered(&mut world, udp(ALICE), from(SOUTHERN)), SOUTH);
    for unknown in ["https://south.example", "http://north.example", "https://north.example.org", "null"] {
        assert_eq!(offered(&mut world, udp(ALICE), from(unknown)), REALM, "{unknown}");
    }
    assert_eq!(offered(&mut world, udp(ALICE), |_| {}), REALM);
}

/// ORG-001: a wildcard stands for one label of a name, whole, and names that are written out come before it.
#[test]
fn a_wildcard_stands_for_one_label() {
    let mut build = Build { nonce_lifetime: Duration::ZERO, ..Build::default() };
    let doors = |origins: &[&str], names: &[&str]| {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Doors { origins: owned(origins), server_names: owned(names), listeners: Vec::new() }
    };
    let wide = doors(&["https://*.example.org", "https://*.example.net:8443"], &["*.example.org"]);
    let exact = doors(&["https://app.example.org"], &["turn.example.org"]);
    build.realms = vec![
        realm(&build.options, NORTH, "northern", (&build.rules, 0), wide),
        realm(&build.options, SOUTH, "southern", (&build.rules, 0), exact),
    ];
    let mut world = build.build();
    for (origin, expected) in [
        ("https://any.example.org", NORTH),
        ("HTTPS://Any.Example.ORG:443/", NORTH),
        ("https://a-b_c.example.net:8443", NORTH),
        ("https://app.example.org", SOUTH),
        ("https://two.labels.example.org", REALM),
        ("https://.example.org", REALM),
        ("https://example.org", REALM),
        ("https://user@a.example.org", REALM),
        ("https://any.example.org:8443", REALM),
        ("https://any.example.net", REALM),
        ("http://any.example.org", REALM),
    ] {
        assert_eq!(offered(&mut world, udp(ALICE), from(origin)), expected, "{origin}");
    }
    let names = [
        ("any.example.org", NORTH),
        ("TURN.example.org", SOUTH),
        ("two.labels.example.org", REALM),
        ("example.org", REALM),
        ("anyexample.org", REALM),
        ("any.example.org.evil.example", REALM),
    ];
    for (link, (name, expected)) in (1..).zip(names) {
        let path = tls(&mut world, name, link);
        assert_eq!(offered(&mut world, path, |_| {}), expected, "{name}");
    }
}

/// ORG-001: each realm has users of its own, and the same name in two of them is two users.
#[test]
fn a_realm_has_its_own_users() {
    let mut world = three();
    for (origin, password, port) in
        [(None, "secret", 1), (Some(NORTHERN), "northern", 2), (Some(SOUTHERN), "southern", 3)]
    {
        let path = udp(&format!("192.0.2.1:{}", 40000 + port));
        let fill = |w: &mut Writer<'_>| origin.into_iter().for_each(|origin| from(origin)(w));
        for wrong in ["secret", "northern", "southern"].iter().filter(|wrong| **wrong != password) {
            let stranger = world.login_from(path, origin, "alice", wrong);
            assert_eq!(stranger.allocate(&mut world, fill).code(), Some(401), "{wrong} at {origin:?}");
        }
        let alice = world.login_from(path, origin, "alice", password);
        alice.assert_granted(&alice.allocate(&mut world, fill));
    }
    let bob = world.login_from(udp(BOB), Some(NORTHERN), "bob", "hunter2");
    assert_eq!(bob.allocate(&mut world, from(NORTHERN)).code(), Some(401), "he is of the default realm alone");
}

/// ORG-002: what was offered by one realm is no way into another, and the answer says which one is asked now.
#[test]
fn an_origin_that_changes_before_the_allocation_begins_again() {
    let mut world = three();
    let north = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "northern");
    for fill in [from(SOUTHERN), from("https://elsewhere.example")] {
        let answer = north.allocate(&mut world, fill);
        assert_eq!(answer.code(), Some(401));
        assert_ne!(answer.get(attribute::REALM).unwrap(), NORTH.as_bytes());
    }
    let mut forged = north.clone();
    forged.realm = SOUTH.to_owned();
    forged.password = "southern".to_owned();
    assert_eq!(forged.allocate(&mut world, from(SOUTHERN)).code(), Some(438), "the nonce is of another realm");
    assert_eq!(world.server.allocations(), 0);
    north.assert_granted(&north.allocate(&mut world, from(NORTHERN)));
}

/// ORG-002, SEC-25: an allocation belongs to the realm in which it was made, whatever later requests say, with
/// credentials and without; and what a stranger says on its 5-tuple changes nothing.
#[test]
fn an_allocation_stays_in_its_realm() {
    let mut world = three();
    let north = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "northern");
    north.assert_granted(&north.allocate(&mut world, from(NORTHERN)));
    assert_eq!(offered(&mut world, udp(ALICE), from(SOUTHERN)), NORTH);
    assert_eq!(north.refresh(&mut world, None).code(), None, "without ORIGIN");
    let answer = north.request(&mut world, Method::REFRESH, from(SOUTHERN));
    north.assert_granted(&answer);
    let south = Client { realm: SOUTH.to_owned(), password: "southern".to_owned(), ..north.clone() };
    assert_eq!(south.request(&mut world, Method::REFRESH, from(SOUTHERN)).code(), Some(401));
    north.assert_granted(&north.refresh(&mut world, Some(0)));
    assert_eq!(offered(&mut world, udp(ALICE), from(SOUTHERN)), SOUTH, "a 5-tuple without an allocation chooses again");
}

/// ORG-002, SEC-25: with the check on, every request has the ORIGIN that made the allocation; a stranger's pins nothing.
#[test]
fn a_checked_origin_must_stay_the_same() {
    let mut world = three_with(|options| options.check_origin = true);
    assert_eq!(offered(&mut world, udp(ALICE), from(SOUTHERN)), SOUTH);
    let north = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "northern");
    north.assert_granted(&north.allocate(&mut world, from(NORTHERN)));
    for fill in [from(SOUTHERN), from("https://north.example/page")] {
        north.assert_refused(&north.request(&mut world, Method::REFRESH, fill), 441);
    }
    north.assert_refused(&north.refresh(&mut world, Some(0)), 441);
    north.assert_granted(&north.request(&mut world, Method::REFRESH, from(NORTHERN)));
    let alice = world.login(udp(BOB), "alice", "secret");
    alice.assert_granted(&alice.allocate(&mut world, |_| {}));
    alice.assert_granted(&alice.request(&mut world, Method::REFRESH, from(NORTHERN)));
}

/// ORG-003: behind the integrity it is nobody's.
#[test]
fn an_origin_after_the_integrity_is_ignored() {
    let mut world = three();
    let alice = world.alice();
    let id = world.transaction();
    let mut request = alice.message(&id, Method::ALLOCATE, |w| _ = w.attribute(attribute::REQUESTED_TRANSPORT, &UDP));
    craft::append(&mut request, attribute::ORIGIN, NORTHERN.as_bytes(), 0);
    alice.assert_granted(&world.ask(udp(ALICE), &request));
}

/// ORG-004: the first one that is known counts, and what no web page has is none at all.
#[test]
fn odd_origins_choose_nothing() {
    let mut world = three();
    let long = format!("{NORTHERN}/{}", "x".repeat(1900));
    for odd in [long.as_bytes(), b"", b"\0\xff\xfehttps://north.example", b"https://north.example\0"] {
        let realm = offered(&mut world, udp(ALICE), |w| _ = w.attribute(attribute::ORIGIN, odd));
        assert_eq!(realm, REALM);
    }
    let several = |all: &'static [&str]| move |w: &mut Writer<'_>| all.iter().for_each(|one| from(one)(w));
    assert_eq!(offered(&mut world, udp(ALICE), several(&[SOUTHERN, NORTHERN])), SOUTH);
    assert_eq!(offered(&mut world, udp(ALICE), several(&["https://carleon.gov:443", NORTHERN, SOUTHERN])), NORTH);
    assert_eq!(
        offered(&mut world, udp(ALICE), |w| {
            (0..8).for_each(|_| from("x")(w));
            from(NORTHERN)(w);
        }),
        REALM,
        "a heap of them is not gone through"
    );
    let proved = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "wrong");
    assert_eq!(proved.allocate(&mut world, from(NORTHERN)).code(), Some(401), "an origin proves nothing");
}

/// ORG-005: where there is one realm it means nothing, in Binding as in Allocate.
#[test]
fn without_realms_an_origin_is_ignored() {
    let mut world = patient();
    let packet = world.bare(Method::BINDING, Class::Request, from(NORTHERN));
    assert!(matches!(&world.client(udp(ALICE), &packet)[..], [Out::Client(..)]));
    assert_eq!(offered(&mut world, udp(ALICE), from(NORTHERN)), REALM);
    let alice = world.alice();
    alice.assert_granted(&alice.allocate(&mut world, from(NORTHERN)));
    alice.assert_granted(&alice.request(&mut world, Method::REFRESH, from(SOUTHERN)));
}

/// ORG-001: the server name of the TLS handshake, for as long as the connection lasts, and the listener.
#[test]
fn server_names_and_listeners_choose_where_no_origin_does() {
    let mut world = three();
    let named = tls(&mut world, "Turn.South.Example", 1);
    assert_eq!(offered(&mut world, named, |_| {}), SOUTH);
    assert_eq!(offered(&mut world, named, from(NORTHERN)), NORTH, "the origin comes first");
    assert_eq!(offered(&mut world, named, from("https://elsewhere.example")), SOUTH);
    let other = tls(&mut world, "turn.example.org", 2);
    assert_eq!(offered(&mut world, other, |_| {}), REALM);
    world.event(Event::Closed { path: named });
    assert_eq!(offered(&mut world, named, |_| {}), REALM, "the next client with this address has named nobody");
    assert_eq!(offered(&mut world, southern_listener(), |_| {}), SOUTH);
    assert_eq!(offered(&mut world, southern_listener(), from(NORTHERN)), NORTH);
}

/// ORG-001: peers and bandwidth are those of the realm.
#[test]
fn a_realm_has_its_own_peers_and_bandwidth() {
    let mut world = three_with(|options| options.routes = true);
    let north = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "northern");
    north.assert_granted(&north.allocate(&mut world, from(NORTHERN)));
    north.assert_granted(&north.bind(&mut world, 0x4000, PEER));
    assert_eq!(world.routes.len(), 1);
    let south = world.login_from(udp(BOB), Some(SOUTHERN), "alice", "southern");
    south.assert_granted(&south.allocate(&mut world, from(SOUTHERN)));
    south.assert_refused(&south.permit(&mut world, &[PEER]), 403);
    south.assert_refused(&south.bind(&mut world, 0x4000, PEER), 403);
    south.assert_granted(&south.bind(&mut world, 0x4000, "198.51.100.9:5000"));
    assert_eq!(world.routes.len(), 1, "a fast path has the bandwidth of the default realm alone");
    let full = [0; 600];
    assert!(matches!(north.channel_data(&mut world, 0x4000, &full)[..], [Out::Peer(..)]));
    assert!(matches!(north.channel_data(&mut world, 0x4000, &full)[..], [Out::Peer(..)]));
    assert!(matches!(south.channel_data(&mut world, 0x4000, &full)[..], [Out::Peer(..)]));
    assert_eq!(south.channel_data(&mut world, 0x4000, &full), [Out::Drop(Reason::Bandwidth)]);
}

/// ORG-001: a name is counted in its realm, and a realm as a whole.
#[test]
fn quotas_are_counted_in_each_realm() {
    let mut world = three();
    let share = |user, total| Share { user, total };
    world.ledger = Ledger::new(hairpin::turn::limits::Quotas { user: 1, source: 0, total: 4 })
        .with_shares([(NORTH.into(), share(1, 0)), (SOUTH.into(), share(0, 2))]);
    let mut try_one = |origin: &str, password, port: u16| {
        let client = world.login_from(udp(&format!("192.0.2.1:{port}")), Some(origin), "alice", password);
        client.allocate(&mut world, from(origin)).code()
    };
    assert_eq!(try_one("https://elsewhere.example", "secret", 1), None);
    assert_eq!(try_one("https://elsewhere.example", "secret", 2), Some(486), "one of a user");
    assert_eq!(try_one(NORTHERN, "northern", 3), None, "the same name is another user");
    assert_eq!(try_one(NORTHERN, "northern", 4), Some(486));
    assert_eq!(try_one(SOUTHERN, "southern", 5), None);
    assert_eq!(try_one(SOUTHERN, "southern", 6), None, "any number of a user");
    assert_eq!(try_one(SOUTHERN, "southern", 7), Some(486), "two of a realm");
    assert_eq!(world.ledger.total(), 4);
}

/// ORG-002: a reservation is for the same user of the same realm.
#[test]
fn a_reservation_does_not_cross_realms() {
    let mut world = three();
    let alice = world.alice();
    let (_, token) = alice.allocate_pair(&mut world);
    let reserved = |w: &mut Writer<'_>| {
        from(NORTHERN)(w);
        w.attribute(attribute::RESERVATION_TOKEN, &token);
    };
    let north = world.login_from(udp(BOB), Some(NORTHERN), "alice", "northern");
    north.assert_refused(&north.allocate(&mut world, reserved), 508);
    let again = world.login(udp(CAROL), "alice", "secret");
    again.assert_granted(&again.redeem(&mut world, &token));
}

/// ORG-002: a ticket leads back to the realm of its allocation, and a user of another realm has no use for it.
#[test]
fn a_ticket_does_not_cross_realms() {
    let mut world = three_with(|options| options.mobility = true);
    let north = world.login_from(udp(ALICE), Some(NORTHERN), "alice", "northern");
    let answer = north.allocate(&mut world, |w| {
        from(NORTHERN)(w);
        w.attribute(attribute::MOBILITY_TICKET, &[]);
    });
    let ticket = answer.get(attribute::MOBILITY_TICKET).unwrap();
    let show = |w: &mut Writer<'_>| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket);
    let south = world.login_from(udp(BOB), Some(SOUTHERN), "alice", "southern");
    assert_eq!(south.request(&mut world, Method::REFRESH, show).code(), Some(401));
    let moved = world.login_from(udp(BOB), Some(NORTHERN), "alice", "northern");
    moved.assert_granted(&moved.request(&mut world, Method::REFRESH, show));
    world.assert_holds(1, 1);
}

/// ORG-002: a connection for data needs no ORIGIN: the number that it shows leads to the realm, whose user binds it.
#[test]
fn a_connection_for_data_is_of_the_realm_of_its_allocation() {
    let mut world = three();
    let north = world.login_from(tcp(ALICE, 1), Some(NORTHERN), "alice", "northern");
    let granted = north.request(&mut world, Method::ALLOCATE, |w| {
        from(NORTHERN)(w);
        w.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    north.assert_granted(&granted);
    let id = world.transaction();
    let request = north.message(&id, Method::CONNECT, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)));
    assert!(world.client(north.path, &request).is_empty());
    let connection = *world.connections.keys().next().unwrap();
    world.event(Event::Connected { connection, reached: true });
    let bind = |world: &mut World, client: &Client| {
        client.request(world, Method::CONNECTION_BIND, |w| _ = w.number(attribute::CONNECTION_ID, connection.0))
    };
    let stranger = world.login(tcp("192.0.2.1:40002", 2), "alice", "secret");
    assert_eq!(bind(&mut world, &stranger).code(), Some(401));
    let data = Client { path: tcp("192.0.2.1:40003", 3), ..north.clone() };
    data.assert_granted(&bind(&mut world, &data));
}

/// ORG-002, OAUTH-004: a token is sealed for the name of a realm and good in that one alone, though the key is the same.
#[test]
fn a_token_does_not_cross_realms() {
    let mut world = three();
    let content = Content { session_key: &SESSION, issued: world.now.wall << 16, lifetime: 600 };
    let token = seal(Cipher::A256Gcm, &SHARED, NORTH, [9; 12], content).unwrap();
    for (path, origin, code) in [(udp(ALICE), SOUTHERN, Some(401)), (udp(BOB), NORTHERN, None)] {
        let client = world.login_from(path, Some(origin), "shared", "");
        let request = world.bare(Method::ALLOCATE, Class::Request, |w| {
            from(origin)(w);
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(attribute::USERNAME, b"shared");
            w.attribute(attribute::REALM, client.realm.as_bytes()).attribute(attribute::NONCE, &client.nonce);
            w.attribute(attribute::ACCESS_TOKEN, &token).sha1(&SESSION);
        });
        assert_eq!(world.ask(path, &request).code(), code, "{origin}");
    }
}
