//! Relays behind a 1:1 NAT.

use crate::harness::*;
use hairpin::turn::{Addresses, Options};
use hairpin::wire::attribute;

/// A server at 10.0.0.4 that the world knows as 203.0.113.109.
fn behind_nat(options: &mut Options) {
    let (local, public) = (addr("10.0.0.4:0").ip(), addr("203.0.113.109:0").ip());
    let external = vec![(public, None)];
    options.addresses = Addresses { local: vec![local], external, own: vec![local], ..Addresses::default() };
}

fn world_behind_nat() -> World {
    let mut build = Build::default();
    behind_nat(&mut build.options);
    build.rules.relays = vec![addr("10.0.0.4:0").ip(), addr("203.0.113.109:0").ip()];
    build.build()
}

/// TURN-034, SEC-50.
#[test]
fn clients_are_told_the_public_address_and_sockets_have_the_local_one() {
    let mut world = world_behind_nat();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    assert_eq!(relayed.ip(), addr("203.0.113.109:0").ip());
    let bound: Vec<_> = world.sockets.values().copied().collect();
    assert_eq!(bound, [std::net::SocketAddr::new(addr("10.0.0.4:0").ip(), relayed.port())]);
}

/// TURN-124, SEC-14, TURN-034.
#[test]
fn two_clients_of_one_server_meet_by_their_public_addresses_without_leaving_it() {
    let mut world = world_behind_nat();
    let alice = world.alice();
    let bob = world.login(udp("192.0.2.2:40000"), "bob", "hunter2");
    let (at_alice, at_bob) = (world.allocate(&alice), world.allocate(&bob));
    assert_eq!(alice.bind(&mut world, 0x4000, &at_bob.to_string()).code(), None);
    assert_eq!(bob.permit(&mut world, &[&at_alice.to_string()]).code(), None);
    let out = alice.channel_data(&mut world, 0x4000, b"hello");
    let (to, body) = to_peer(&out);
    assert_eq!((to.ip(), to.port(), body), (addr("10.0.0.4:0").ip(), at_bob.port(), &b"hello"[..]));
    let from = format!("10.0.0.4:{}", at_alice.port());
    let arrived = Answer { bytes: to_client(&world.peer(&from, at_bob, b"hello")).to_vec() };
    assert_eq!(arrived.xor(attribute::XOR_PEER_ADDRESS), [at_alice]);
    assert_eq!(arrived.get(attribute::DATA).unwrap(), b"hello");
}

/// SEC-09, SEC-14.
#[test]
fn the_public_address_leads_to_no_other_port_of_the_local_one() {
    let mut world = world_behind_nat();
    let alice = world.alice();
    world.allocate(&alice);
    assert_eq!(alice.permit(&mut world, &["203.0.113.109:0"]).code(), None);
    let out = alice.send(&mut world, "203.0.113.109:22", b"SSH-2.0-");
    assert_eq!(to_peer(&out).0, addr("203.0.113.109:22"), "it goes where it was addressed, outside");
}
