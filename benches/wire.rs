//! Bytes: parse, check, write. `cargo bench --bench wire`.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

mod common;

use common::{allocate, channel_data, write_binding_response};
use criterion::{Criterion, criterion_group, criterion_main};
use hairpin::wire::{ChannelData, Kind, Message, integrity};
use std::hint::black_box;

fn wire(c: &mut Criterion) {
    let request = allocate();
    c.bench_function("parse an Allocate request, FINGERPRINT checked", |b| {
        b.iter(|| Message::parse(black_box(&request)).unwrap());
    });
    let message = Message::parse(&request).unwrap();
    let (at, value) = message.sha1().unwrap();
    c.bench_function("check its MESSAGE-INTEGRITY", |b| {
        b.iter(|| integrity::check_sha1(black_box(&request), at, value, &[1; 16]));
    });
    let mut out = Vec::with_capacity(256);
    c.bench_function("write a Binding response", |b| {
        b.iter(|| {
            write_binding_response(&mut out);
            black_box(&out);
        });
    });
    let data = channel_data();
    c.bench_function("tell and parse ChannelData", |b| {
        b.iter(|| (Kind::of(black_box(&data)[0]), ChannelData::parse(black_box(&data)).unwrap()));
    });
}

criterion_group!(benches, wire);
criterion_main!(benches);
