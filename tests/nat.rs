//! `hairpin nat` behind real NATs: the kernel's, in networks of the test's own, and servers that tell wrong things.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "server/client.rs"]
mod client;
#[path = "server/harness.rs"]
mod harness;
#[path = "server/space.rs"]
mod space;

use hairpin::wire::{Class, Message, Writer, attribute};
use harness::*;
use serde_json::Value;
use space::Space;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The server's addresses, as everybody outside sees them.
const SERVER: &str = "192.0.2.1";
/// What a plain NAT does, and what only some do.
const PLAIN: &str = "chain after {\ntype nat hook postrouting priority 100;\noif outer masquerade\n}\n";
const RANDOM: &str = "chain after {\ntype nat hook postrouting priority 100;\noif outer masquerade fully-random\n}\n";
/// Every port of the NAT's address belongs to the client; so it does for whoever comes from within.
const CONE: &str = "chain after {\ntype nat hook postrouting priority 100;\nip saddr 10.0.0.0/24 masquerade\n}\nchain before {\n\
    type nat hook prerouting priority -100;\nip daddr 192.0.2.2 meta l4proto udp dnat to 10.0.0.2\n}\n";
const BLOCKED: &str = "chain through {\ntype filter hook forward priority 0;\nmeta l4proto udp drop\n}\n";

/// A client behind a NAT, and a server before it.
struct Scene {
    client: Space,
    nat: Space,
    server: Server,
}

impl Scene {
    /// With these rules in the NAT.
    fn new(rules: &str, discovers: bool) -> Self {
        let (client, nat, outside) = (Space::new(), Space::new(), Space::new());
        client.cable("eth0", &nat, "inner");
        nat.cable("outer", &outside, "eth0");
        client.address("10.0.0.2/24");
        client.ip("route add default via 10.0.0.1");
        nat.address_on("inner", "10.0.0.1/24");
        nat.address_on("outer", "192.0.2.2/24");
        outside.address("192.0.2.1/24");
        outside.address("192.0.2.3/24");
        set(&nat, "net/ipv4/ip_forward", "1");
        let folder = Folder::new();
        let file = folder.write("rules", &format!("table ip f {{\n{rules}}}\n"));
        nat.tool("nft", &format!("-f {}", file.display()));
        let setup = Setup::at(SERVER.parse().unwrap()).set("listen.addresses", r#"["192.0.2.1", "192.0.2.3"]"#);
        let setup = if discovers {
            setup.set("protocol.discovery", "true").set("listen.alternate-port", "3500")
        } else {
            setup
        };
        let server = setup.start_on(3478, &outside, &[]);
        Self { client, nat, server }
    }

    /// Asks the server: exit code and document.
    fn ask(&self, words: &[&str]) -> (i32, Value) {
        self.client.run(|| nat(self.server.addr, words))
    }

    /// What is found of each step.
    fn kinds(&self) -> Vec<String> {
        let (code, document) = self.ask(&[]);
        assert_eq!((code, &document["works"]), (0, &Value::Bool(true)), "{document:#}");
        let steps = document["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["kind"].as_str().unwrap()))
            .collect()
    }
}

/// Sets a parameter of a network's kernel.
fn set(space: &Space, name: &str, value: &str) {
    space.run(|| std::fs::write(format!("/proc/sys/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}")));
}

/// Runs `hairpin nat`: exit code and document.
fn nat(server: SocketAddr, words: &[&str]) -> (i32, Value) {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let words = [&["nat", &host, "--port", &port, "--timeout", "1s", "--json"], words].concat();
    let output = command(&words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let document = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"));
    (output.status.code().unwrap_or(-1), document)
}

/// A step of a document.
#[track_caller]
fn step<'a>(document: &'a Value, name: &str) -> &'a Value {
    let found = document["steps"].as_array().unwrap().iter().find(|step| step["step"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {document:#}"))
}

/// NBD-001, NBD-003, NBD-004: Linux keeps the port where it can, and lets in whom it has sent to.
#[test]
fn a_plain_nat_maps_by_the_client_and_filters_by_the_peer() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let kinds = Scene::new(PLAIN, true).kinds();
    let expected =
        ["address nat", "mapping endpoint-independent", "filtering address-and-port-dependent", "hairpinning no"];
    assert_eq!(kinds, expected);
}

#[test]
fn a_nat_that_takes_any_port_maps_by_the_peer() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let kinds = Scene::new(RANDOM, true).kinds();
    assert_eq!(kinds[1..3], ["mapping address-and-port-dependent", "filtering address-and-port-dependent"]);
}

#[test]
fn a_full_cone_lets_everybody_in_and_hairpins() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let kinds = Scene::new(CONE, true).kinds();
    let expected = ["address nat", "mapping endpoint-independent", "filtering endpoint-independent", "hairpinning yes"];
    assert_eq!(kinds, expected);
}

/// Such a NAT lets others in by an address of its own: no conclusion about the server is safe.
#[test]
fn a_nat_that_hides_who_sends_is_told() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let (code, document) = Scene::new(&CONE.replace("ip saddr 10.0.0.0/24 ", ""), true).ask(&[]);
    let filtering = step(&document, "filtering");
    assert_eq!((code, &filtering["fault"]), (2, &Value::from("wrong-source")));
    assert!(filtering["text"].as_str().unwrap().contains("192.0.2.3:3500"), "{filtering}");
}

#[test]
fn blocked_udp_is_told() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let (code, document) = Scene::new(BLOCKED, true).ask(&[]);
    let address = step(&document, "address");
    assert_eq!((code, &address["fault"]), (2, &Value::from("udp-blocked")));
    assert!(address["remedy"].as_str().unwrap().contains("TCP or TLS"), "{address}");
}

/// NBD-006: what can be told is told.
#[test]
fn a_server_without_a_second_address_tells_half_of_it() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let (code, document) = Scene::new(PLAIN, false).ask(&[]);
    assert_eq!((code, &step(&document, "mapping")["fault"]), (2, &Value::from("no-other-address")));
    assert_eq!(step(&document, "address")["kind"], "nat");
    assert_eq!(step(&document, "hairpinning")["kind"], "no");
}

/// NBD-008: an answer to another port shows whether the binding of that port still stands.
#[test]
fn the_lifetime_of_a_binding_is_found() {
    if !requires(&name(), &[Need::Spaces, Need::Filters]) {
        return;
    }
    let scene = Scene::new(PLAIN, true);
    let (code, document) = scene.ask(&["--lifetime", "1s"]);
    assert_eq!((code, &step(&document, "lifetime")["kind"]), (0, &Value::from("longer")), "{document:#}");
    set(&scene.nat, "net/netfilter/nf_conntrack_udp_timeout", "3");
    let (code, document) = scene.ask(&["--lifetime", "20s"]);
    let found = step(&document, "lifetime");
    assert_eq!((code, &found["kind"]), (0, &Value::from("between")), "{document:#}");
    let second = |name: &str| found["seconds"][name].as_f64().unwrap();
    assert!((1.0..=3.0).contains(&second("low")) && (2.5..=4.5).contains(&second("high")), "{found}");
}

/// What a server says that answers every Binding request and whose other address is told so; requests that it moves
/// are answered from another socket.
fn lies(attributes: impl Fn(SocketAddr) -> Vec<(u16, SocketAddr)> + Send + 'static) -> Value {
    let ip = IpAddr::V4(own_address());
    let sockets = [UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap()];
    let server = sockets[0].local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((len, client)) = sockets[0].recv_from(&mut bytes) {
            let Ok(request) = Message::parse(&bytes[..len]) else { continue };
            let (id, mut answer) = (request.transaction(), Vec::new());
            let mut writer = Writer::new(&mut answer, request.method(), Class::Success, &id);
            writer.xor_address(attribute::XOR_MAPPED_ADDRESS, client);
            for (code, addr) in attributes(server) {
                writer.address(code, addr);
            }
            let moves = request.attribute(attribute::CHANGE_REQUEST).is_some();
            sockets[usize::from(moves)].send_to(&answer, client).unwrap();
        }
    });
    let (code, document) = nat(server, &[]);
    assert_eq!(code, 2, "{document:#}");
    document
}

/// An address where nobody is.
fn nowhere(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(127, 255, 255, 254).into(), port)
}

#[test]
fn a_wrong_origin_is_told() {
    let document = lies(|_| vec![(attribute::RESPONSE_ORIGIN, nowhere(7))]);
    let server = step(&document, "server");
    assert_eq!(server["fault"], "wrong-origin");
    assert!(server["text"].as_str().unwrap().contains("127.255.255.254:7"), "{server}");
}

/// It has the server's own address; nobody answers there; what is to come from there comes from elsewhere.
#[test]
fn a_wrong_other_address_is_told() {
    let fault = |document: &Value, name| step(document, name)["fault"].clone();
    let same = lies(|server| vec![(attribute::OTHER_ADDRESS, SocketAddr::new(server.ip(), server.port() ^ 1))]);
    assert_eq!(fault(&same, "mapping"), "wrong-other-address");
    let silent = lies(|server| vec![(attribute::OTHER_ADDRESS, nowhere(server.port() ^ 1))]);
    assert_eq!(fault(&silent, "mapping"), "other-address-silent");
    assert_eq!(fault(&silent, "filtering"), "wrong-source");
}

/// The words for a person hold what the document does.
#[test]
fn people_are_told_in_words() {
    let server = Setup::new().start();
    let words = ["nat", &server.addr.ip().to_string(), "--port", &server.addr.port().to_string(), "--timeout", "1s"];
    let (code, out, err) = finish(&words);
    assert_eq!((code, err.as_str()), (2, ""));
    assert!(out.contains("no NAT") && out.contains("no second address") && out.contains("protocol.discovery"), "{out}");
}
