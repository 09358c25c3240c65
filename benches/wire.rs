//! Bytes: parse, check, write. `cargo bench --bench wire`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use hairpin::wire::{ChannelData, Class, Kind, Message, Method, Writer, attribute, integrity};
use std::hint::black_box;

/// An Allocate request as a browser sends it: credentials, integrity, FINGERPRINT.
fn allocate() -> Vec<u8> {
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
            out.clear();
            Writer::new(&mut out, Method::BINDING, Class::Success, &[7; 12])
                .xor_address(attribute::XOR_MAPPED_ADDRESS, "192.0.2.1:40000".parse().unwrap());
            black_box(&out);
        });
    });
    let data = [&[0x40, 0, 0, 200][..], &[0; 200]].concat();
    c.bench_function("tell and parse ChannelData", |b| {
        b.iter(|| (Kind::of(black_box(&data)[0]), ChannelData::parse(black_box(&data)).unwrap()));
    });
}

criterion_group!(benches, wire);
criterion_main!(benches);
