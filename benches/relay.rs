//! One packet through the core, without sockets, both ways, with 1 and with 10 000 allocations.
//! `cargo bench --bench relay`.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../tests/protocol/harness.rs"]
mod harness;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hairpin::turn::{Path, RelayId};
use hairpin::wire::channel;
use harness::{Build, PEER, World, addr, udp};
use std::hint::black_box;

/// A world with so many clients, each with a channel to the peer, and the last client's path and relay.
fn crowd(clients: u32) -> (World, Path, RelayId) {
    let mut build = Build::default();
    build.options.ports = 1024..=65535;
    build.rules.relay_ports = None;
    let mut world = build.build();
    let mut last = None;
    for index in 0..clients {
        let client = format!("192.0.2.{}:{}", 1 + index / 50_000, 10_000 + index % 50_000);
        let client = world.login(udp(&client), "alice", "secret");
        let relayed = world.allocate(&client);
        assert_eq!(client.bind(&mut world, 0x4000, PEER).code(), None);
        last = Some((client.path, relayed));
    }
    let (path, relayed) = last.unwrap();
    let relay = world.relay_at(relayed).unwrap();
    (world, path, relay)
}

fn relay(c: &mut Criterion) {
    let body = [0x5A; 200];
    let packet = [&channel::header(0x4000, body.len())[..], &body].concat();
    let mut send = Vec::new();
    hairpin::wire::Writer::new(&mut send, hairpin::wire::Method::SEND, hairpin::wire::Class::Indication, &[1; 12])
        .xor_address(hairpin::wire::attribute::XOR_PEER_ADDRESS, addr(PEER))
        .attribute(hairpin::wire::attribute::DATA, &body);
    for clients in [1, 10_000] {
        let (mut world, path, relay) = crowd(clients);
        let (now, peer, stranger, mut reply) = (world.now, addr(PEER), addr("198.18.5.9:1"), Vec::new());
        let mut group = c.benchmark_group(format!("{clients} allocations"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("ChannelData to the peer", |b| {
            b.iter(|| _ = black_box(world.server.handle_client(now, path, black_box(&packet), &mut reply)));
        });
        group.bench_function("Send to the peer", |b| {
            b.iter(|| _ = black_box(world.server.handle_client(now, path, black_box(&send), &mut reply)));
        });
        group.bench_function("the peer's datagram to ChannelData", |b| {
            b.iter(|| _ = black_box(world.server.handle_peer(now, relay, peer, black_box(&body))));
        });
        group.bench_function("the peer's datagram to a Data indication", |b| {
            b.iter(|| _ = black_box(world.server.handle_peer(now, relay, stranger, black_box(&body))));
        });
        group.finish();
    }
}

criterion_group!(benches, relay);
criterion_main!(benches);
