//! What the core keeps, in bytes: nothing for strangers, a fixed amount for each allocation, and nothing of
//! what has ended.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]
#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]

#[path = "protocol/acts.rs"]
mod acts;
#[path = "protocol/harness.rs"]
mod harness;

use acts::*;
use hairpin::turn::{Event, Path};
use hairpin::wire::{Class, Method, attribute};
use harness::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

thread_local! {
    /// Bytes that this thread holds; each test has a thread of its own.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: memory comes from and goes to the system's allocator, unchanged; the count is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        _ = HELD.try_with(|held| held.set(held.get() + layout.size().cast_signed()));
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        _ = HELD.try_with(|held| held.set(held.get() - layout.size().cast_signed()));
        // SAFETY: the caller keeps the promises of `dealloc`, and `memory` came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes held now.
fn held() -> isize {
    HELD.get()
}

/// The most that one allocation may cost: sockets, timers and indexes, then each permission, then each
/// channel with its way back from the peer. Vectors grow by doubling, hence twice.
const ALLOCATION: usize = 2048;
const PERMISSION: usize = 2 * 32;
const CHANNEL: usize = 2 * (64 + 40);

/// A client's address among 2^24.
fn client(number: u32) -> Path {
    Path { client: SocketAddr::new(IpAddr::V4(Ipv4Addr::from(0x0B00_0000 + number)), 40_000), ..udp(ALICE) }
}

/// Anybody's Allocate where no credentials are needed, with the longest lifetime.
fn allocate(world: &mut World, path: Path) {
    let request = world.bare(Method::ALLOCATE, Class::Request, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &UDP).number(attribute::LIFETIME, 3600);
    });
    assert_eq!(world.ask(path, &request).code(), None);
}

/// Anybody's Refresh with zero.
fn delete(world: &mut World, path: Path) {
    let request = world.bare(Method::REFRESH, Class::Request, |w| _ = w.number(attribute::LIFETIME, 0));
    assert_eq!(world.ask(path, &request).code(), None);
}

/// AMP-006, SEC-36.
#[test]
fn a_hundred_thousand_strangers_leave_not_a_byte() {
    let mut world = world_with(|options| options.unauthenticated = 10);
    let methods = [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND];
    let mut strange = |number: u32| {
        let method = methods[number as usize % methods.len()];
        let request = world.bare(method, Class::Request, |w| _ = w.attribute(attribute::USERNAME, b"alice"));
        world.client(client(number), &request).len()
    };
    strange(0);
    let before = held();
    assert_eq!((1..100_000).map(&mut strange).sum::<usize>(), 99_999);
    assert_eq!(held(), before);
    world.assert_empty();
    assert_eq!(world.server.poll_timeout(), None);
}

/// SEC-36, TURN-061, TURN-071, TURN-092, DEMUX-010.
#[test]
fn data_that_belongs_to_nothing_leaves_not_a_byte() {
    let mut world = world();
    let alice = world.alice();
    let relayed = world.allocate(&alice);
    let send = world.bare(Method::SEND, Class::Indication, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, addr(PEER)).attribute(attribute::DATA, b"x");
    });
    let relay = world.relay_at(relayed).unwrap();
    let before = held();
    for number in 0..100_000 {
        let path = client(number);
        drop(world.client(path, &send));
        drop(world.client(path, b"\x40\x00\x00\x01x"));
        _ = world.server.handle_peer(world.now, relay, path.client, b"x");
        let icmp = hairpin::turn::Icmp { kind: 3, code: 3, mtu: 0 };
        drop(world.event(Event::Icmp { relay, peer: path.client, icmp }));
    }
    assert_eq!(held(), before);
    world.assert_holds(1, 1);
}

/// TURN-123, SEC-39, SEC-42.
#[test]
fn a_hundred_thousand_allocations_that_came_and_went_leave_nothing() {
    let mut world = world_with(|options| (options.anonymous, options.routes) = (true, true));
    let mut cycles = |count: u32| {
        for number in 0..count {
            let path = client(number % 7);
            allocate(&mut world, path);
            delete(&mut world, path);
            // Slowly enough that ports do not run out while they rest.
            if number % 40 == 39 {
                world.seconds(1);
            }
        }
        assert_eq!((world.server.allocations(), world.server.relays(), world.ledger.total()), (0, 0, 0));
    };
    // Until as many ports rest as ever will.
    cycles(20_000);
    let before = held();
    cycles(100_000);
    let grown = held() - before;
    assert!(grown < 64 * 1024, "{grown} bytes");
    world.seconds(3_602);
    assert_eq!(world.server.poll_timeout(), None, "no timer is left");
    world.assert_empty();
}

/// TURN-123: also when there is no time between for anything to end by itself.
#[test]
fn sixteen_thousand_allocations_in_one_moment_leave_nothing() {
    let mut world = world_with(|options| options.anonymous = true);
    let mut burst = || {
        for number in 0..16_000 {
            allocate(&mut world, client(number));
            delete(&mut world, client(number));
        }
        world.now.time = world.now.time.after(Duration::from_secs(300));
        world.assert_empty();
    };
    // The ports that rest are remembered; there are no more of them than ports.
    burst();
    let before = held();
    burst();
    let grown = held() - before;
    assert!(grown < 64 * 1024, "{grown} bytes");
}

/// SEC-37: the limits bound the memory.
#[test]
fn a_full_allocation_costs_what_its_limits_say() {
    let mut world = patient();
    let (permissions, channels) = (world.setup.options.permissions, world.setup.options.channels);
    let clients: Vec<Client> = (0..10).map(|n| world.login(client(n), "alice", "secret")).collect();
    for client in &clients {
        world.allocate(client);
        client.refresh(&mut world, Some(0));
    }
    let before = held();
    for client in &clients {
        world.allocate(client);
        for number in 0..channels {
            let peer = format!("198.18.{}.{}:9", number / 250, number % 250 + 1);
            assert_eq!(client.bind(&mut world, 0x4000 + number as u16, &peer).code(), None);
        }
        // Whatever is asked now, it gets no more.
        assert_eq!(client.permit(&mut world, &["198.18.9.9:0"]).code(), Some(508));
        assert_eq!(client.bind(&mut world, 0x4FFF, "198.18.9.9:9").code(), Some(508));
    }
    let each = (held() - before) / 10;
    let bound = ALLOCATION + PERMISSION * permissions + CHANNEL * channels;
    assert!(each < bound.cast_signed(), "{each} bytes, where {bound} are allowed");
    world.seconds(601);
    world.assert_empty();
    // The queue of actions keeps its room.
    let left = held() - before;
    assert!(left < 24 * 1024, "{left} bytes are left");
}

/// TURN-030, TURN-055, SEC-37: refusals cost nothing.
#[test]
fn ten_thousand_refused_requests_leave_nothing() {
    let mut world = patient();
    let alice = world.alice();
    world.allocate(&alice);
    let bob = world.bob();
    let mut refused = |count: u32| {
        for _ in 0..count {
            assert_eq!(alice.allocate(&mut world, |_| {}).code(), Some(437));
            assert_eq!(alice.permit(&mut world, &[PEER, "127.0.0.1:1"]).code(), Some(403));
            assert_eq!(alice.bind(&mut world, 0x3FFF, PEER).code(), Some(400));
            assert_eq!(bob.redeem(&mut world, &[0xEE; 8]).code(), Some(508));
        }
    };
    refused(10);
    let before = held();
    refused(2_500);
    assert_eq!(held(), before);
    world.assert_holds(1, 1);
}
