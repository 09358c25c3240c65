//! What begins and does not go on: all of it waits the same ten seconds, so all of it is here.

use crate::certificates::Authority;
use crate::client::{Client, Heard};
use crate::harness::*;
use hairpin::wire::{Class, Method, Writer};
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

/// FRAME-011, TLS-009, SEC-40, PROXY-010: an unfinished frame, a connection without a byte, a handshake that stalls; and
/// bytes that trickle buy no time.
#[test]
fn what_is_begun_must_be_finished_within_ten_seconds() {
    let authority = Authority::new();
    let folder = Folder::new();
    let setup = Setup::new().set("proxy.from", "\"127.0.0.0/8\"");
    let behind = std::net::SocketAddr::new(setup.ip, free_port());
    let setup = setup.set("proxy.port", &behind.port().to_string());
    let server = setup.certificates(&[authority.issue(&folder, "one", "one.example")]).start();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";
    let cases: [(&str, std::net::SocketAddr, &[u8]); 13] = [
        ("part of a header", server.addr, b"\x00\x01\x00"),
        ("part of a body", server.addr, b"\x00\x01\x00\x08\x21\x12\xA4\x42abcdefghijkl\x00"),
        ("part of ChannelData", server.addr, b"\x40\x00\x00\x08abc"),
        ("part of a method of HTTP", server.addr, b"GE"),
        ("part of a request of HTTP", server.addr, b"GET / HTTP/1.1\r\nHost: exam"),
        ("part of a TLS handshake", server.tls, hello),
        ("part of a TLS handshake on the shared port", server.addr, hello),
        ("not a byte where the first one decides", server.tls, b""),
        ("not a byte where a proxy's header comes first", behind, b""),
        ("part of a proxy's line", behind, b"PROXY TCP4 192.0.2.1"),
        ("part of a proxy's header", behind, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C\xC0"),
        ("part of a proxy's longest header", behind, b"\r\n\r\n\0\r\nQUIT\n\x20\x00\xFF\xFF more to come"),
        ("a proxy's header and no more", behind, b"PROXY UNKNOWN\r\n"),
    ];
    let begun = Instant::now();
    let mut waiting: Vec<(&str, Client)> = Vec::new();
    for (what, addr, bytes) in cases {
        let mut client = Client::tcp(addr);
        client.send_raw(bytes);
        waiting.push((what, client));
    }
    let mut idle = Client::tcp(server.addr);
    idle.binding();

    // One byte every half second: a message of 2000 bytes would take a quarter of an hour.
    let mut slow = Client::tcp(server.addr);
    slow.send_raw(b"\x00\x01\x07\xD0\x21\x12\xA4\x42");
    slow.stream().socket().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let ended = loop {
        let mut byte = [0];
        match slow.stream().read(&mut byte) {
            Ok(0) => break true,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut | std::io::ErrorKind::Interrupted
                ) => {}
            _ => break true,
        }
        if slow.stream().write_all(b"x").is_err() {
            break true;
        }
        if begun.elapsed() > PATIENCE {
            break false;
        }
    };
    assert!(ended, "a slow sender lives for ever");
    for (what, client) in &mut waiting {
        assert_eq!(client.hear(), Heard::End, "{what}");
    }
    assert!(begun.elapsed() > Duration::from_secs(8), "a slow network is not cut off");
    assert_eq!(idle.binding(), idle.local(), "between two messages there is more time");
}

/// FRAME-011, TLS-010: a client that has said something and then nothing is given a minute, one with an allocation as long
/// as the allocation lasts; under DTLS too.
#[test]
fn a_silent_connection_without_an_allocation_is_closed_after_a_minute() {
    if !has_a_minute() {
        return;
    }
    let (authority, folder) = (Authority::new(), Folder::new());
    let server = Setup::new().certificates(&[authority.issue(&folder, "one", "turn.example")]).start();
    let mut holder = server.alice_by_tcp();
    holder.allocate();
    let mut idle = Client::tcp(server.addr);
    idle.binding();
    #[cfg(feature = "dtls")]
    let silent = crate::dtls::Silent::begin(&server, &authority);
    let end = Instant::now() + Duration::from_secs(75);
    let heard = loop {
        match idle.hear() {
            Heard::Nothing if Instant::now() < end => {}
            other => break other,
        }
    };
    assert_eq!(heard, Heard::End);
    assert_eq!(holder.refresh(600), None);
    #[cfg(feature = "dtls")]
    silent.ends_and_goes_on(Duration::from_secs(15));
}

/// FRAME-016: a client that takes nothing of what waits for it is given up after a minute, and its place is another's.
#[test]
fn a_client_that_takes_nothing_is_given_up_after_a_minute() {
    if !has_a_minute() {
        return;
    }
    let server = Setup::new().set("limits.source-connections", "1").start();
    let (mut stuck, peer) = (server.alice_by_tcp(), peer());
    let relayed = stuck.allocate();
    stuck.bind(0x4000, peer.local_addr().unwrap());
    // More than all buffers between can hold; what comes too fast is lost before it is too much.
    let begun = Instant::now();
    eventually("the connection is full", || {
        for _ in 0..100 {
            peer.send_to(&[7; 1200], relayed).unwrap();
        }
        (begun.elapsed() > Duration::from_secs(2)).then_some(())
    });
    let end = Instant::now() + Duration::from_secs(90);
    let served = loop {
        let mut next = std::net::TcpStream::connect(server.addr).unwrap();
        next.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        // Refused at once while the place is taken.
        let served = next.write_all(&binding()).is_ok() && matches!(next.read(&mut [0; 64]), Ok(1..));
        if served || Instant::now() > end {
            break served;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    assert!(served, "a client that takes nothing keeps its place for ever");
    assert!(begun.elapsed() > Duration::from_secs(50), "a slow client is not cut off");
}

/// A Binding request.
fn binding() -> Vec<u8> {
    let mut request = Vec::new();
    Writer::new(&mut request, Method::BINDING, Class::Request, &[0x33; 12]);
    request
}

/// There is time for a test that takes a minute.
fn has_a_minute() -> bool {
    let all = std::env::var("HAIRPIN_REQUIRE").as_deref() == Ok("all");
    if !all {
        // Past the capture of the test runner: what was not tested should be seen.
        _ = writeln!(std::io::stderr(), "skipped: {}: needs a minute (HAIRPIN_REQUIRE=all gives it)", name());
    }
    all
}
