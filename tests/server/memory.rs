//! What strangers do costs no memory.

use crate::harness::*;
use hairpin::wire::{Class, Method, Writer, attribute};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// AMP-006, SEC-36: a hundred thousand sources ask for an allocation and get a nonce each; the server keeps nothing.
#[test]
fn requests_of_a_hundred_thousand_strangers_leave_the_memory_as_it_was() {
    let server = Setup::new().start();
    let mut request = Vec::new();
    Writer::new(&mut request, Method::ALLOCATE, Class::Request, &[3; 12])
        .attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let mut waiting: VecDeque<UdpSocket> = VecDeque::new();
    let (mut answered, mut before) = (0, 0);
    for n in 0..100_000_u32 {
        if n == 10_000 {
            before = server.memory();
        }
        let source = Ipv4Addr::from(0x7F80_0000 | (n.wrapping_mul(2_654_435_761) >> 10 & 0x7F_FFFF) | 1);
        let socket = UdpSocket::bind((source, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket.send_to(&request, server.addr).unwrap();
        waiting.push_back(socket);
        if waiting.len() > 64 {
            let mut buffer = [0; 600];
            answered += u32::from(waiting.pop_front().unwrap().recv(&mut buffer).is_ok());
        }
    }
    let grown = server.memory().saturating_sub(before);
    assert!(answered > 90_000, "{answered} answers");
    assert!(grown < 2048, "{grown} KiB for 90 000 strangers");
}

/// TURN-123, SEC-38: what comes and goes leaves nothing behind: no socket, no memory, no quota.
#[test]
fn allocations_that_come_and_go_leave_nothing_behind() {
    let server = Setup::new().set("workers", "1").set("limits.user-allocations", "1").start();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap().count();
    let peer = peer();
    let mut client = server.alice();
    let (mut before, mut sockets) = (0, 0);
    for n in 0..3000 {
        if n == 500 {
            (before, sockets) = (server.memory(), open());
        }
        client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        assert_eq!(client.refresh(0), None);
    }
    for _ in 0..200 {
        let mut passing = server.alice_by_tcp();
        eventually("the quota is free", || passing.try_allocate().ok());
    }
    eventually("every socket is closed", || (open() <= sockets).then_some(()));
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB for 2700 allocations that are gone");
}
