//! Realms of the real binary: by ORIGIN, by server name, by listener.

use crate::certificates::*;
use crate::client::Client;
use crate::harness::*;
use hairpin::wire::attribute;
use std::net::SocketAddr;

const NORTH: &str = "north.example";
const SOUTH: &str = "south.example";
/// alice in either of them: the same name is another user in each.
const NORTHERN: (&str, &str) = (ALICE.0, "northern-password");
const SOUTHERN: (&str, &str) = (ALICE.0, "southern-password");
/// The server name of the southern realm.
const SOUTHERN_NAME: &str = "turn.south.example";

/// A server with two realms beside the default one, and the listener of the southern one.
fn setup() -> (Setup, SocketAddr) {
    let setup = Setup::new();
    let listener = SocketAddr::new(setup.ip, free_port());
    let user = |(name, password): (&str, &str)| quoted(&format!("{name}:{password}"));
    let north = format!(
        "{{ name = {NORTH:?}, origins = [\"https://{NORTH}\"], server-names = [\"*.{NORTH}\"], auth.users = {}, limits.user-allocations = 1 }}",
        user(NORTHERN)
    );
    let south = format!(
        "{{ name = {SOUTH:?}, origins = [\"https://{SOUTH}\"], server-names = [{SOUTHERN_NAME:?}], \
         listeners = [\"{listener}\"], auth.users = {}, peers.deny = [\"127.0.0.0/8\"], peers.allow-loopback = false }}",
        user(SOUTHERN)
    );
    let extra = quoted(&listener.to_string());
    (setup.set("listen.extra", &extra).set("realm", &format!("[{north}, {south}]")), listener)
}

/// Allocates with this ORIGIN; the code of the refusal, if it is refused.
fn allocate(client: &mut Client, origin: Option<&str>) -> Option<u16> {
    let fill = |w: &mut hairpin::wire::Writer<'_>| {
        origin.into_iter().for_each(|origin| _ = w.attribute(attribute::ORIGIN, origin.as_bytes()));
    };
    client.allocate_with(fill).code()
}

/// ORG-001, ORG-002, SEC-25: users and quotas are those of the origin's realm, whichever worker serves the client, and
/// the log says which realm it was.
#[test]
fn an_origin_has_its_realm() {
    let (setup, _) = setup();
    let server = setup.start();
    let north = Some("https://north.example");
    let client = |user, realm| Client::udp(server.addr).named(user).of_realm(realm);
    let mut first = client(NORTHERN, NORTH);
    assert_eq!(allocate(&mut first, north), None);
    server.err.wait_for("realm=north.example");
    assert_eq!(first.refresh(600), None, "the allocation has its realm whatever is said later");
    for _ in 0..4 {
        assert_eq!(allocate(&mut client(NORTHERN, NORTH), north), Some(486), "one of a user");
    }
    assert_eq!(allocate(&mut client(NORTHERN, NORTH), None), Some(401));
    assert_eq!(allocate(&mut client(ALICE, REALM), north), Some(401));
    assert_eq!(allocate(&mut client(ALICE, REALM), None), None, "the same name in the default realm");
    assert_eq!(allocate(&mut client(SOUTHERN, SOUTH), Some("https://south.example")), None);
}

/// ORG-001: the name in the TLS handshake; ORIGIN comes before it.
#[test]
fn a_server_name_has_its_realm() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let names = ["turn.example", SOUTHERN_NAME, "any.north.example"];
    let pairs = names.map(|name| authority.issue(&folder, name, name));
    let server = setup().0.certificates(&pairs).start();
    let client = |name, user, realm| {
        Client::with_stream(authority.client().connect(server.tls, name), server.tls).named(user).of_realm(realm)
    };
    assert_eq!(allocate(&mut client(SOUTHERN_NAME, SOUTHERN, SOUTH), None), None);
    assert_eq!(allocate(&mut client(SOUTHERN_NAME, ALICE, REALM), None), Some(401));
    assert_eq!(allocate(&mut client("turn.example", ALICE, REALM), None), None);
    assert_eq!(allocate(&mut client("turn.example", SOUTHERN, SOUTH), None), Some(401));
    assert_eq!(allocate(&mut client("any.north.example", NORTHERN, NORTH), None), None, "by the wildcard");
    assert_eq!(allocate(&mut client(SOUTHERN_NAME, NORTHERN, NORTH), Some("https://north.example")), None);
}

/// ORG-001: the name in the DTLS handshake, as in that of TLS.
#[cfg(feature = "dtls")]
#[test]
fn a_server_name_under_dtls_has_its_realm() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pairs = ["turn.example", SOUTHERN_NAME].map(|name| authority.issue(&folder, name, name));
    let server = setup().0.certificates(&pairs).start();
    let client = |name, user, realm| crate::dtls::client_of(&authority, server.tls, name).named(user).of_realm(realm);
    assert_eq!(allocate(&mut client(SOUTHERN_NAME, SOUTHERN, SOUTH), None), None);
    assert_eq!(allocate(&mut client(SOUTHERN_NAME, ALICE, REALM), None), Some(401));
    assert_eq!(allocate(&mut client("turn.example", ALICE, REALM), None), None);
}

/// ORG-001: the listener, over UDP and TCP; its realm has peers of its own.
#[test]
fn a_listener_has_its_realm() {
    let (setup, listener) = setup();
    let server = setup.start();
    let peer = peer().local_addr().unwrap();
    for client in [Client::udp(listener), Client::tcp(listener)] {
        let mut client = client.named(SOUTHERN).of_realm(SOUTH);
        assert_eq!(allocate(&mut client, None), None);
        let refused = client.request(hairpin::wire::Method::CREATE_PERMISSION, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        assert_eq!(refused.code(), Some(403));
    }
    let mut other = Client::udp(listener).named(ALICE);
    assert_eq!(allocate(&mut other, None), Some(401));
    let mut default = Client::udp(server.addr).named(ALICE);
    assert_eq!(allocate(&mut default, None), None);
    default.permit(peer);
}

/// ORG-002: with coturn's check every request has the ORIGIN of the first.
#[test]
fn an_origin_can_be_held_to() {
    let server = setup().0.set("protocol.check-origin", "true").start();
    let mut client = Client::udp(server.addr).named(NORTHERN).of_realm(NORTH);
    assert_eq!(allocate(&mut client, Some("https://north.example")), None);
    assert_eq!(client.refresh(600), Some(441));
}

/// What would run is said for each realm, and what is wrong with one by its number and key.
#[test]
fn check_tells_of_realms() {
    let folder = Folder::new();
    let file = folder.write("hairpin.toml", &setup().0.text(free_port(), free_port()));
    let (code, out, err) = finish(&["check", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("south.example: by origin https://south.example; by server name turn.south.example"), "{out}");
    assert!(!out.contains("password"), "{out}");
    let wrong =
        "[[realm]]\nname = \"one\"\nauth.users = \"a:long-enough\"\n[[realm]]\nname = \"two\"\nauth.users = \"a\"\n";
    let file = folder.write("wrong.toml", wrong);
    let (code, out, err) = finish(&["check", file.to_str().unwrap()]);
    assert_ne!(code, 0);
    assert!([out, err].concat().contains("wrong.toml:6:14: realm[2].auth.users: "));
}
