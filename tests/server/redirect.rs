//! Clients that are sent to another server, and go there.

use crate::client::Client;
use crate::harness::*;
use hairpin::wire::{Method, address, attribute};
use std::net::SocketAddr;

/// Where a client is sent that asks for an allocation.
fn sent(client: &mut Client) -> Option<SocketAddr> {
    let answer = client.request(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    assert_eq!(answer.code(), Some(300));
    answer.get(attribute::ALTERNATE_SERVER).and_then(|value| address::decode(&value))
}

/// ALT-001, ALT-003, ALT-008: over UDP and TCP; a line that means the server itself is left out.
#[test]
fn a_client_follows_to_the_other_server_and_is_served_there() {
    let other = Setup::new().start();
    let own = SocketAddr::new(own_address().into(), free_port());
    let server = Setup::at(own.ip())
        .set("listen.extra", &format!("[\"udp://{own}\"]"))
        .set("redirect.servers", &format!("[\"turn:{own}\", \"turn:{}\"]", other.addr))
        .start();
    for (mut first, mut second) in [(server.alice(), other.alice()), (server.alice_by_tcp(), other.alice_by_tcp())] {
        for _ in 0..3 {
            assert_eq!(sent(&mut first), Some(other.addr));
        }
        assert_eq!(second.allocate().ip().is_ipv4(), other.addr.is_ipv4());
    }
}
