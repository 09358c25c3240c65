//! Clients that are sent to another server, and go there.

use crate::certificates::*;
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

/// ALT-005, ALT-009: who came to the anycast address is sent to the same server's other address and is served there; who came
/// there first is served at once.
#[test]
fn clients_of_an_anycast_address_are_sent_to_the_one_that_stays() {
    let (anycast, unicast) = (own_address(), own_address());
    let own = SocketAddr::new(unicast.into(), free_port());
    let server = Setup::at(anycast.into())
        .set("listen.extra", &format!("[\"{own}\"]"))
        .set("redirect.servers", &format!("[\"turn:{own}\"]"))
        .set("redirect.at", &format!("[\"{anycast}\"]"))
        .start();
    for by_tcp in [false, true] {
        let client = |at| if by_tcp { Client::tcp(at) } else { Client::udp(at) }.named(ALICE);
        assert_eq!(sent(&mut client(server.addr)), Some(own));
        assert!(client(own).try_allocate().is_ok());
        client(server.addr).binding();
    }
    assert!(!server.err.text().contains("redirect.at"), "{}", server.err.text());
}

/// ALT-004, ALT-010: over TLS the name in the other server's certificate comes with its address, and leads there; over TCP there
/// is no certificate to be checked.
#[test]
fn a_client_over_tls_is_told_the_name_in_the_certificate() {
    let (authority, folder, name) = (Authority::new(), Folder::new(), "second.example");
    let certificate = |file, host| [authority.issue(&folder, file, host)];
    let other = Setup::new().certificates(&certificate("second", name)).start();
    let targets = format!("[\"turns:{}?name={name}\", \"turn:{}\"]", other.tls, other.addr);
    let server =
        Setup::new().certificates(&certificate("first", "first.example")).set("redirect.servers", &targets).start();
    let over_tls =
        |server: SocketAddr, name| Client::with_stream(authority.client().connect(server, name), server).named(ALICE);
    let mut client = over_tls(server.tls, "first.example");
    let answer = client.allocate_with(|_| {});
    assert_eq!(answer.code(), Some(300));
    let told = answer.get(attribute::ALTERNATE_SERVER).and_then(|value| address::decode(&value)).unwrap();
    let domain = String::from_utf8(answer.get(attribute::ALTERNATE_DOMAIN).unwrap()).unwrap();
    assert_eq!((told, domain.as_str()), (other.tls, name));
    assert!(authority.client().try_connect(told, "first.example").is_err(), "the name is needed");
    over_tls(told, &domain).allocate();
    let answer = server.alice_by_tcp().allocate_with(|_| {});
    assert_eq!((answer.code(), answer.get(attribute::ALTERNATE_DOMAIN)), (Some(300), None));
}

/// ALT-009: nobody would be sent away; `check` says it, and so does the log of a server that starts.
#[test]
fn an_anycast_address_that_the_host_has_not_is_a_risk() {
    let (other, folder) = (Setup::new().start(), Folder::new());
    let setup = Setup::new()
        .set("redirect.servers", &format!("[\"turn:{}\"]", other.addr))
        .set("redirect.at", "[\"127.0.0.1\", \"192.0.2.53\"]");
    let file = folder.write("hairpin.toml", &setup.text(3478, 5349));
    let (code, out, _) = finish(&["check", file.to_str().unwrap()]);
    let said: Vec<&str> = out.lines().filter(|line| line.contains("is no address of this host")).collect();
    assert!(code == 0 && said.len() == 1 && said[0].contains("redirect.at: 192.0.2.53"), "{out}");
    let server = setup.start();
    server.err.wait_for("redirect.at: 192.0.2.53 is no address of this host");
    server.alice().allocate();
}
