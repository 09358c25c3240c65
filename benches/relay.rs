//! One packet through the core, without sockets, both ways, with 1 and with 10 000 allocations.
//! `cargo bench --bench relay`.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

mod common;

use common::harness::{PEER, addr};
use common::{BODY, STRANGER, channel_data, crowd, send};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn relay(c: &mut Criterion) {
    let (packet, send) = (channel_data(), send());
    for clients in [1, 10_000] {
        let (mut world, clients_and_relays) = crowd(clients);
        let (client, relay) = clients_and_relays.last().unwrap();
        let (path, relay) = (client.path, *relay);
        let (now, peer, stranger, mut reply) = (world.now, addr(PEER), addr(STRANGER), Vec::new());
        let mut group = c.benchmark_group(format!("{clients} allocations"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("ChannelData to the peer", |b| {
            b.iter(|| _ = black_box(world.server.handle_client(now, path, black_box(&packet), &mut reply)));
        });
        group.bench_function("Send to the peer", |b| {
            b.iter(|| _ = black_box(world.server.handle_client(now, path, black_box(&send), &mut reply)));
        });
        group.bench_function("the peer's datagram to ChannelData", |b| {
            b.iter(|| _ = black_box(world.server.handle_peer(now, relay, peer, black_box(&BODY))));
        });
        group.bench_function("the peer's datagram to a Data indication", |b| {
            b.iter(|| _ = black_box(world.server.handle_peer(now, relay, stranger, black_box(&BODY))));
        });
        group.finish();
    }
}

criterion_group!(benches, relay);
criterion_main!(benches);
