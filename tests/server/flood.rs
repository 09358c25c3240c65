//! Floods of data must not cost what keeps calls alive.

use crate::client::Client;
use crate::harness::*;
use hairpin::wire::Method;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// SEC-40: a Refresh, and new clients on any transport, get through while several sockets send as fast as they can:
/// data on a channel, junk, what looks like STUN, and next to nothing.
#[test]
fn a_flood_of_data_does_not_cost_a_refresh() {
    let server = Setup::new().set("workers", "1").start();
    let sink = peer();
    let mut flooders: Vec<Client> = (0..2).map(|_| server.alice()).collect();
    for flooder in &mut flooders {
        flooder.allocate();
        flooder.bind(0x4000, sink.local_addr().unwrap());
    }
    let mut caller = server.alice();
    let relayed = caller.allocate();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for mut flooder in flooders {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    flooder.send_channel(0x4000, &[7; 1200]);
                }
            });
        }
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                for junk in [&[0xFF; 1200][..], &[0x01; 1200], &[0x00, 0x01, 0x00, 0x00], &[0x00]] {
                    socket.send_to(junk, server.addr).unwrap();
                }
            }
        });
        // Nothing below may unwind before the flood has been told to stop.
        let calls = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let answered = (0..30).filter(|_| {
                let request = caller.signed(Method::REFRESH, |_| {});
                let answer = caller.try_once(&request, Duration::from_secs(2));
                answer.is_some_and(|answer| answer.code().is_none())
            });
            // All of them pass the server; a kernel that is flooded may lose one before or behind it.
            assert!(answered.count() >= 28, "a flood costs Refreshes");
            for mut late in [server.alice(), server.alice_by_tcp()] {
                let at_late = late.allocate();
                late.bind(0x4000, relayed);
                caller.permit(at_late);
                // Data may be lost in a flood, so it is sent until it comes.
                eventually("data gets through", || {
                    late.send_channel(0x4000, b"hello");
                    caller.hear_within(Duration::from_millis(300))
                });
            }
        }));
        stop.store(true, Ordering::Relaxed);
        calls.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
