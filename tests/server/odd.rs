//! Clients that ask for what is in no standard, or in none any more.

use crate::client::Client;
use crate::harness::*;
use hairpin::wire::{Method, address, attribute};

/// DEMUX-001: the pings of Google's ICE agents, requests and all, are met with silence, are no malformed
/// messages, and leave no line in the log each; on a connection too, which goes on.
#[test]
fn pings_between_ice_agents_are_ignored() {
    let server = Setup::new().start();
    for mut client in [Client::udp(server.addr), Client::tcp(server.addr)] {
        let before = server.err.text().lines().count();
        for kind in [0x0200_u16, 0x0210, 0x0300, 0x0310] {
            for _ in 0..50 {
                let mut ping = client.bare(Method::BINDING, |_| {});
                ping[..2].copy_from_slice(&kind.to_be_bytes());
                client.send_raw(&ping);
            }
        }
        client.hears_nothing();
        let lines = server.err.text().lines().count() - before;
        assert!(lines < 10, "{lines} lines in the log of 200 pings: {}", server.err.text());
    }
}

/// STUN-034, CLASSIC-001: in clear too where the configuration says so, over every transport.
#[test]
fn the_mapped_address_is_told_in_clear_on_request() {
    for wanted in [true, false] {
        let server = Setup::new().set("protocol.mapped-address", &wanted.to_string()).start();
        for mut client in [Client::udp(server.addr), Client::tcp(server.addr)] {
            let request = client.bare(Method::BINDING, |_| {});
            let answer = client.ask(&request);
            let clear = answer.get(attribute::MAPPED_ADDRESS).map(|value| address::decode(&value).unwrap());
            let masked = answer.xor(attribute::XOR_MAPPED_ADDRESS);
            assert_eq!(clear, wanted.then_some(masked));
        }
    }
}

/// STUN-024, SEC-50: whoever does not want to say what he runs says nothing; others say no version.
#[test]
fn software_is_named_only_where_it_is_wanted() {
    for wanted in ["", "a relay"] {
        let server = Setup::new().set("protocol.software", &quoted(wanted)).start();
        for mut client in [server.alice(), server.alice_by_tcp()] {
            let answer = client.allocate_with(|_| {});
            assert_eq!(answer.code(), None);
            let said = answer.get(attribute::SOFTWARE).unwrap_or_default();
            assert_eq!(String::from_utf8(said).unwrap(), wanted);
        }
    }
}

/// TURN-081: less bandwidth than the server gives is granted and held to; more is not.
#[test]
fn a_bandwidth_is_granted_within_the_limit() {
    let server = Setup::new().set("limits.bandwidth", "\"128000\"").start();
    let ask = |units: u32| {
        let mut client = server.alice();
        let answer = client.allocate_with(|w| _ = w.number(attribute::NEW_BANDWIDTH, units));
        assert_eq!(answer.code(), None);
        let told = answer.get(attribute::NEW_BANDWIDTH).expect("the bandwidth is told");
        (client, u32::from_be_bytes(told.try_into().unwrap()))
    };
    assert_eq!(ask(100_000).1, 1000);
    let (mut client, granted) = ask(10);
    assert_eq!(granted, 10);
    let peer = peer();
    client.bind(0x4000, peer.local_addr().unwrap());
    for serial in 0..20_u8 {
        client.send_channel(0x4000, &[serial; 1000]);
    }
    client.hears_nothing();
    assert_eq!(receive(&peer).0, [0; 1000], "a burst of a second");
    peer.set_nonblocking(true).unwrap();
    let more = std::iter::from_fn(|| peer.recv(&mut [0; 2000]).ok()).count();
    assert!(more < 10, "{more} more");
}
