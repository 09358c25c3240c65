//! What a fast path is told: a route stands while both its channel and its permission do.

use crate::acts::*;
use crate::harness::*;
use hairpin::turn::Route;
use hairpin::wire::address::Family;
use hairpin::wire::attribute;
use std::net::SocketAddr;
use std::time::Duration;

/// Alice with an allocation that lasts an hour, in a world with a fast path.
fn allocated() -> (World, Client) {
    let mut world = patient_with(|options| options.routes = true);
    let alice = world.alice();
    alice.allocate(&mut world, |w| _ = w.number(attribute::LIFETIME, 3600));
    (world, alice)
}

/// TURN-100, TURN-112.
#[test]
fn a_route_comes_with_its_channel_and_goes_with_its_permission() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert!(world.routes.is_empty(), "a permission alone is no route");
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    let relay = *world.sockets.keys().next().unwrap();
    let (local, wire) = (world.sockets[&relay], addr(PEER));
    let route = Route { path: alice.path, channel: 0x4000, relay, local, peer: wire, wire, inward: false };
    assert_eq!(world.routes, [route].into());
    world.pass(Duration::from_millis(299_999));
    assert_eq!(world.routes.len(), 1);
    // A route ends at most one slot of the wheel after its permission.
    world.pass(Duration::from_millis(1_001));
    assert!(world.routes.is_empty());
    assert_eq!(to_peer(&alice.channel_data(&mut world, 0x4000, b"x")).1, b"x", "the channel is still there");
}

/// TURN-105, TURN-112.
#[test]
fn a_route_comes_back_with_a_new_permission() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(302);
    assert!(world.routes.is_empty());
    alice.assert_granted(&alice.permit(&mut world, &[PEER]));
    assert_eq!(world.routes.len(), 1);
    // The channel ends at 600 s, long before the permission that was made for it.
    world.seconds(297);
    assert_eq!(world.routes.len(), 1);
    world.seconds(3);
    assert!(world.routes.is_empty());
}

/// TURN-058, TURN-105: refreshed in time, and also in the moment between the end and the sweep.
#[test]
fn a_route_stays_while_both_are_refreshed() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    for _ in 0..8 {
        world.now.time = world.now.time.after(Duration::from_millis(300_000));
        alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
        assert_eq!(world.routes.len(), 1);
        world.seconds(2);
        assert_eq!(world.routes.len(), 1);
    }
}

/// TURN-057: one permission, several channels.
#[test]
fn all_channels_to_an_address_come_and_go_with_its_permission() {
    let (mut world, alice) = allocated();
    for (number, port) in [(0x4000, 1), (0x4001, 2), (0x4002, 3)] {
        alice.assert_granted(&alice.bind(&mut world, number, &format!("198.18.5.9:{port}")));
    }
    alice.assert_granted(&alice.bind(&mut world, 0x4003, "198.18.5.10:1"));
    assert_eq!(world.routes.len(), 4);
    world.seconds(200);
    alice.assert_granted(&alice.permit(&mut world, &["198.18.5.9:0"]));
    world.seconds(101);
    assert_eq!(world.routes.iter().filter(|route| route.peer.ip() == addr(PEER).ip()).count(), 3);
    assert_eq!(world.routes.len(), 3);
    world.seconds(200);
    assert!(world.routes.is_empty());
}

/// TURN-106: another peer at the same number is another route.
#[test]
fn a_reused_number_is_a_new_route() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.now.time = world.now.time.after(Duration::from_secs(600));
    alice.assert_granted(&alice.bind(&mut world, 0x4000, "198.18.5.10:1"));
    assert_eq!(world.routes.iter().map(|route| route.peer).collect::<Vec<_>>(), [addr("198.18.5.10:1")]);
    world.seconds(2);
    assert_eq!(world.routes.len(), 1);
}

/// TURN-042, TURN-038, TURN-046, TURN-122.
#[test]
fn routes_end_with_what_they_lead_through() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.refresh(&mut world, Some(0));
    world.assert_empty();
    alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    alice.assert_granted(&alice.bind(&mut world, 0x4001, PEER6));
    alice.assert_granted(&alice.refresh_family(&mut world, Family::V4, 0));
    assert_eq!(world.routes.iter().map(|route| route.peer).collect::<Vec<_>>(), [addr(PEER6)]);
    world.close(&alice);
    world.assert_empty();
}

/// A server without a fast path tells of no routes.
#[test]
fn without_a_fast_path_there_are_no_routes() {
    let mut world = patient();
    let alice = world.alice();
    world.allocate(&alice);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    assert!(world.routes.is_empty());
}

/// A fast path learns of a permission once, however often it is refreshed, and that it has ended.
#[test]
fn a_permission_is_told_once_and_forgotten_with_its_end() {
    let (mut world, alice) = allocated();
    alice.assert_granted(&alice.permit(&mut world, &[PEER, "198.18.5.10:1"]));
    assert_eq!(world.permissions.len(), 2);
    world.seconds(200);
    alice.assert_granted(&alice.bind(&mut world, 0x4000, PEER));
    world.seconds(101);
    let peers: Vec<_> = world.permissions.iter().map(|permission| permission.peer).collect();
    assert_eq!(peers, [addr(PEER).ip()], "the channel has refreshed the one");
    alice.assert_granted(&alice.refresh(&mut world, Some(0)));
    world.assert_empty();
}

/// Where the port decides, the core must see it: the server's own relays may be reached and its listeners may not.
#[test]
fn a_permission_for_the_server_itself_is_not_told() {
    let (mut world, alice) = allocated();
    let bob = world.bob();
    let relayed = world.allocate(&bob);
    alice.assert_granted(&alice.permit(&mut world, &[&relayed.to_string()]));
    assert!(world.permissions.is_empty());
    alice.assert_granted(&alice.bind(&mut world, 0x4000, &relayed.to_string()));
    assert_eq!(world.routes.len(), 1, "a channel has its port");
}

/// One family of a dual allocation ends with its permissions.
#[test]
fn a_permission_ends_with_the_relay_that_it_needs() {
    let mut world = patient_with(|options| options.routes = true);
    let alice = world.alice();
    alice.allocate_dual(&mut world);
    alice.assert_granted(&alice.permit(&mut world, &[PEER, PEER6]));
    assert_eq!(world.permissions.len(), 2);
    alice.assert_granted(&alice.refresh_family(&mut world, Family::V4, 0));
    assert_eq!(world.permissions.iter().map(|p| p.peer).collect::<Vec<_>>(), [addr(PEER6).ip()]);
}

/// A route to another client leads to where that relay is bound, and says so.
#[test]
fn a_route_to_a_relay_of_this_server_leads_inward() {
    let mut world = patient_with(|options| {
        options.routes = true;
        options.addresses.own = options.addresses.local.clone();
        options.addresses.external = vec![("203.0.113.99".parse().unwrap(), Some(addr(SERVER).ip()))];
    });
    let (alice, bob) = (world.alice(), world.bob());
    let relayed = world.allocate(&bob);
    world.allocate(&alice);
    assert_eq!(relayed.ip(), addr("203.0.113.99:0").ip());
    alice.assert_granted(&alice.bind(&mut world, 0x4000, &relayed.to_string()));
    let route = world.routes.iter().next().unwrap();
    assert_eq!((route.peer, route.wire), (relayed, SocketAddr::new(addr(SERVER).ip(), relayed.port())));
    assert!(route.inward);
}
