//! Clients that are sent to another server, and go there.

use crate::client::Client;
use crate::harness::*;
use hairpin::wire::{Method, address, attribute};
use std::net::SocketAddr;

/// Where a client is sent that asks for an allocation; none if it is served.
fn sent(client: &mut Client) -> Option<SocketAddr> {
    let answer = client.request(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    assert!(matches!(answer.code(), None | Some(300)));
    answer.get(attribute::ALTERNATE_SERVER).and_then(|value| address::decode(&value))
}

/// ALT-001, ALT-003, ALT-008: over UDP and TCP; in the turn of the line that means the server itself it serves, so that two
/// servers with one list do not send clients back and forth.
#[test]
fn a_client_follows_to_the_other_server_and_is_served_there() {
    let other = Setup::new().start();
    let own = SocketAddr::new(own_address().into(), free_port());
    let server = Setup::at(own.ip())
        .set("workers", "1")
        .set("listen.extra", &format!("[\"udp://{own}\"]"))
        .set("redirect.servers", &format!("[\"turn:{own}\", \"turn:{}\"]", other.addr))
        .start();
    let clients: [fn(&Server) -> Client; 2] = [Server::alice, Server::alice_by_tcp];
    for client in clients {
        let told: Vec<_> = (0..6).filter_map(|_| sent(&mut client(&server))).collect();
        assert_eq!(told, [other.addr; 3]);
        assert_eq!(client(&other).allocate().ip().is_ipv4(), other.addr.is_ipv4());
    }
}
