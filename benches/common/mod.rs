//! What is measured: a core with so many clients, and packets.

#[path = "../../tests/protocol/harness.rs"]
pub mod harness;

use hairpin::turn::RelayId;
use hairpin::wire::{Class, Method, Writer, attribute, channel};
use harness::{Build, Client, PEER, World, addr, udp};
use std::collections::HashMap;
use std::net::SocketAddr;

/// What a packet carries.
pub const BODY: [u8; 200] = [0x5A; 200];

/// A peer whose address has a permission and whose port has no channel.
pub const STRANGER: &str = "198.18.5.9:1";

/// A world with so many clients, each with a channel to the peer and its relay.
pub fn crowd(clients: u32) -> (World, Vec<(Client, RelayId)>) {
    let mut build = Build::default();
    build.options.ports = 1024..=65535;
    build.rules.relay_ports = None;
    let mut world = build.build();
    let clients: Vec<_> = (0..clients).map(|index| join(&mut world, index)).collect();
    let relays: HashMap<_, _> = world.sockets.iter().map(|(relay, at)| (*at, *relay)).collect();
    (world, clients.into_iter().map(|(client, relayed)| (client, relays[&relayed])).collect())
}

/// One more client, and its relayed address.
fn join(world: &mut World, index: u32) -> (Client, SocketAddr) {
    let client = format!("192.0.2.{}:{}", 1 + index / 50_000, 10_000 + index % 50_000);
    let client = world.login(udp(&client), "alice", "secret");
    let relayed = world.allocate(&client);
    assert_eq!(client.bind(world, 0x4000, PEER).code(), None);
    (client, relayed)
}

/// ChannelData to the peer.
pub fn channel_data() -> Vec<u8> {
    [&channel::header(0x4000, BODY.len())[..], &BODY].concat()
}

/// A Send indication to the peer.
pub fn send() -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::SEND, Class::Indication, &[1; 12])
        .xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER))
        .attribute(attribute::DATA, &BODY);
    out
}

/// A Binding request.
pub fn binding() -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::BINDING, Class::Request, &[7; 12]);
    out
}

/// Writes the response to it.
pub fn write_binding_response(out: &mut Vec<u8>) {
    out.clear();
    Writer::new(out, Method::BINDING, Class::Success, &[7; 12])
        .xor_address(attribute::XOR_MAPPED_ADDRESS, ([192, 0, 2, 1], 40000).into());
}

/// An Allocate request as a browser sends it: credentials, integrity, FINGERPRINT.
pub fn allocate() -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::ALLOCATE, Class::Request, &[7; 12])
        .attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
        .attribute(attribute::USERNAME, b"1735689600:alice")
        .attribute(attribute::REALM, b"example.org")
        .attribute(attribute::NONCE, &[b'n'; 37])
        .sha1(&[1; 16])
        .fingerprint();
    out
}
