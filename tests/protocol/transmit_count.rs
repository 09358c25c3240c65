//! TRANSACTION_TRANSMIT_COUNTER (RFC 7982).

use crate::acts::*;
use crate::harness::*;
use hairpin::wire::{Class, Method, attribute};

const COUNTER: u16 = attribute::TRANSACTION_TRANSMIT_COUNTER;

/// TTC-001.
#[test]
fn the_requests_count_is_echoed_and_the_servers_is_zero() {
    let mut world = world();
    let request = world.bare(Method::BINDING, Class::Request, |w| _ = w.attribute(COUNTER, &[0, 0, 1, 0]));
    let answer = world.ask(udp(ALICE), &request);
    assert_eq!(answer.code(), None);
    assert_eq!(answer.get(COUNTER).unwrap(), [0, 0, 1, 0]);
    let odd = world.bare(Method::BINDING, Class::Request, |w| _ = w.attribute(COUNTER, &[9, 9, 255, 9]));
    assert_eq!(world.ask(udp(ALICE), &odd).get(COUNTER).unwrap(), [0, 0, 255, 0]);
    let without = world.bare(Method::BINDING, Class::Request, |_| {});
    assert_eq!(world.ask(udp(ALICE), &without).get(COUNTER), None);
}

/// TTC-002.
#[test]
fn a_retransmission_is_told_its_own_count() {
    let mut world = world();
    let alice = world.alice();
    let id = world.transaction();
    let mut relayed = Vec::new();
    for count in 1..=7 {
        // Differs in this attribute, and so in its integrity, from the one before.
        let request = alice.message(&id, Method::ALLOCATE, |w| {
            w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).attribute(COUNTER, &[0, 0, count, 0]);
        });
        let answer = world.ask(alice.path, &request);
        alice.assert_granted(&answer);
        assert_eq!(answer.get(COUNTER).unwrap(), [0, 0, count, 0]);
        relayed.push(answer.relayed());
    }
    relayed.dedup();
    assert_eq!(relayed.len(), 1, "one allocation");
    world.assert_holds(1, 1);
}

/// TTC-003: `get` sees only what stands before the integrity.
#[test]
fn the_count_is_covered_by_the_integrity_of_the_answer() {
    let mut world = world();
    let alice = world.alice();
    let good = alice.allocate(&mut world, |w| _ = w.attribute(COUNTER, &[0, 0, 2, 0]));
    alice.assert_granted(&good);
    assert_eq!(good.get(COUNTER).unwrap(), [0, 0, 2, 0]);
    let bad = alice.allocate(&mut world, |w| _ = w.attribute(COUNTER, &[0, 0, 3, 0]));
    alice.assert_refused(&bad, 437);
    assert_eq!(bad.get(COUNTER).unwrap(), [0, 0, 3, 0]);
}

/// TTC-004.
#[test]
fn a_count_of_another_length_is_ignored() {
    let mut world = world();
    for value in [&[][..], &[1], &[0, 0, 1], &[0; 8]] {
        let request = world.bare(Method::BINDING, Class::Request, |w| _ = w.attribute(COUNTER, value));
        let answer = world.ask(udp(ALICE), &request);
        assert_eq!((answer.code(), answer.get(COUNTER)), (None, None));
    }
}
