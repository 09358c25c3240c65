//! `hairpin probe` against real servers: what works is said to, and each thing that does not has its own sentence.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "server/certificates.rs"]
mod certificates;
#[path = "server/client.rs"]
mod client;
#[path = "server/harness.rs"]
mod harness;
#[path = "server/space.rs"]
mod space;

use certificates::Authority;
use client::Client;
use harness::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The user alice.
const USER: [&str; 4] = ["--user", ALICE.0, "--password", ALICE.1];

/// Probes: exit code, standard output, standard error.
fn probe(words: &[&str]) -> (i32, String, String) {
    let output = command(&[&["probe", "--timeout", "2s"], words].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(!out.contains(ALICE.1) && !err.contains(ALICE.1), "no password is told: {out} {err}");
    (output.status.code().unwrap_or(-1), out, err)
}

/// Probes as alice, and returns the document.
fn document(url: &str, words: &[&str]) -> (i32, Value) {
    let (code, out, err) = probe(&[&[url, "--json"], words].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}")))
}

/// Everything works, and these steps were taken.
fn works(url: &str, words: &[&str], steps: &[&str]) -> Value {
    let (code, document) = document(url, words);
    assert!(code == 0 && document["works"] == true, "{document:#}");
    let taken = document["paths"][0]["steps"].as_array().unwrap();
    assert_eq!(taken.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), steps);
    assert!(taken.iter().all(|step| step["ms"].as_f64().unwrap() >= 0.0));
    document
}

/// It fails in this step, for this reason, with a sentence and a remedy that say so.
fn fails(url: &str, words: &[&str], step: &str, fault: &str, parts: &[&str]) {
    let (code, document) = document(url, words);
    assert!(code == 2 && document["works"] == false, "{document:#}");
    let steps = document["paths"][0]["steps"].as_array().unwrap();
    let failed = steps.iter().find(|step| step["works"] == false).unwrap();
    assert!(failed["step"] == step && failed["fault"] == fault, "{document:#}");
    let said = format!("{}: {}", failed["text"], failed["remedy"]);
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in {said}");
}

/// A TURN URL.
fn turn(addr: SocketAddr) -> String {
    format!("turn:{addr}")
}

#[test]
fn a_server_that_works_is_walked_to_the_end_over_udp_and_tcp() {
    let server = Setup::new().start();
    let all = ["resolve", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    let found = works(&turn(server.addr), &USER, &all);
    let kinds: Vec<_> = found["paths"][0]["candidates"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert_eq!(kinds, ["host", "relay"], "there is no NAT");
    let all = ["resolve", "connect", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    works(&format!("turn:{}?transport=tcp", server.addr), &["--secret", SECRET, "--realm", REALM], &all);
    works(&format!("stun:{}", server.addr), &[], &["resolve", "binding"]);
    eventually("every allocation is given back", || {
        (server.err.text().matches("allocation ended").count() == 2).then_some(())
    });
}

#[test]
fn a_table_names_what_was_found() {
    let server = Setup::new().start();
    let (code, table, _) = probe(&[&[turn(server.addr).as_str()], &USER[..]].concat());
    assert_eq!(code, 0, "{table}");
    for part in ["no NAT", "realm \"example.org\"", "600 s", "there and back", " ms ", "candidates: host"] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

#[test]
fn every_url_of_an_ice_entry_is_probed() {
    let (server, folder) = (Setup::new().start(), Folder::new());
    let url = turn(server.addr);
    let entry = serde_json::json!({ "iceServers": [
        { "urls": [url, format!("{url}?transport=tcp")], "username": ALICE.0, "credential": ALICE.1 },
        { "urls": format!("stun:{}", server.addr) },
    ]});
    let file = folder.write("ice.json", &entry.to_string());
    let (code, out, err) = probe(&["--ice", file.to_str().unwrap(), "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && document["paths"].as_array().unwrap().len() == 3, "{document:#} {err}");
    let (code, _, err) = probe(&["--ice", folder.write("bad.json", "[{}]").to_str().unwrap()]);
    assert!(code == 1 && err.contains("bad.json: no urls"), "{err}");
}

#[test]
fn ipv6_is_walked_too() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("skipped: ipv6_is_walked_too: needs the address ::1");
    }
    let server = Setup::at(IpAddr::V6(Ipv6Addr::LOCALHOST)).start();
    let all = ["resolve", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    works(&turn(server.addr), &USER, &all);
}

#[test]
fn a_closed_port_a_silent_one_and_another_service_differ() {
    let free = SocketAddr::from((own_address(), free_port()));
    fails(&turn(free), &USER, "binding", "port-closed", &["the port is closed", "start the server"]);
    fails(&format!("turn:{free}?transport=tcp"), &USER, "connect", "port-closed", &["the port is closed"]);
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    fails(&turn(silent.local_addr().unwrap()), &USER, "binding", "no-answer", &["nothing answers", "firewalls"]);
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = turn(other.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut bytes = [0; 100];
        while let Ok((_, from)) = other.recv_from(&mut bytes) {
            other.send_to(b"who are you?", from).unwrap();
        }
    });
    fails(&url, &USER, "binding", "not-stun", &["does not speak STUN"]);
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("turn:{}?transport=tcp", web.local_addr().unwrap());
    std::thread::spawn(move || {
        web.incoming().for_each(|stream| _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad\r\n"))
    });
    fails(&url, &USER, "binding", "not-stun", &["does not speak STUN", "another service"]);
}

/// One that begins a record and never ends it is given up in time; an echo is no server.
#[test]
fn a_server_that_trickles_and_one_that_echoes_are_found_out() {
    let listener = TcpListener::bind((own_address(), 0)).unwrap();
    let trickler = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut next = [0x16, 3, 3, 0x3F, 0xFF].into_iter().chain(std::iter::repeat(0));
        // Until the probe has gone.
        while stream.write_all(&[next.next().unwrap()]).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let (code, out, err) = probe(&[&[&format!("turns:{trickler}?transport=tcp")[..]][..], &USER[..]].concat());
    assert!(code == 2 && out.contains("FAIL  tls"), "{out} {err}");
    let socket = UdpSocket::bind((own_address(), 0)).unwrap();
    let echo = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..len], from).unwrap();
        }
    });
    fails(&turn(echo), &[], "binding", "not-stun", &[]);
}

#[test]
fn a_name_without_address_is_said_to_have_none() {
    fails("turn:no-such-host.invalid", &USER, "resolve", "no-address", &["A and AAAA"]);
}

#[test]
fn wrong_expired_and_missing_credentials_differ() {
    let server = Setup::new().start();
    let url = turn(server.addr);
    let wrong = ["--user", ALICE.0, "--password", "wrong"];
    fails(&url, &wrong, "allocate", "wrong-password", &["user name or password is wrong", "shared secret"]);
    fails(&url, &["--secret", "another"], "allocate", "wrong-password", &["401"]);
    let (name, password) = hairpin::auth::rest::mint(SECRET, "anna", 1_700_000_000, ':');
    let expired = ["--user", name.as_str(), "--password", password.as_str()];
    fails(&url, &expired, "allocate", "credential-expired", &["the credential expired", "clocks"]);
    fails(&url, &[], "allocate", "no-credentials", &["--user and --password"]);
    let realm = [&USER[..], &["--realm", "other.example"]].concat();
    fails(&url, &realm, "allocate", "wrong-realm", &[REALM, "auth.realm"]);
}

#[test]
fn a_peer_that_the_policy_refuses_is_named() {
    let server = Setup::new().set("peers.allow-loopback", "false").start();
    let parts = ["refuses the peer 127.", "peers.allow"];
    fails(&turn(server.addr), &USER, "permission", "peer-refused", &parts);
    server.err.wait_for("allocation ended");
}

#[test]
fn a_wrong_external_address_is_found_out() {
    let server = Setup::new().set("relay.external", "[\"203.0.113.5\"]").start();
    let parts = ["203.0.113.5:", "is not reachable", "the relay itself sends from 127.", "external-ip"];
    fails(&turn(server.addr), &USER, "echo", "relay-not-reachable", &parts);
}

#[test]
fn certificates_are_judged_by_name_issuer_and_time() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let roots = folder.write("roots.pem", &authority.issuer.pem());
    let trust = [&USER[..], &["--ca", roots.to_str().unwrap()]].concat();
    let start = |pair| Setup::new().certificates(&[pair]).start();
    let other = start(authority.issue(&folder, "other", "turn.example"));
    let url = format!("turns:{}", other.tls);
    fails(&url, &trust, "tls", "certificate-name", &["turn.example", "not for the host"]);
    fails(&url, &USER, "tls", "certificate-issuer", &["nobody who is trusted", "--ca"]);
    let all = ["resolve", "connect", "tls", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    let found = works(&url, &[&USER[..], &["--insecure"]].concat(), &all);
    let said = found["paths"][0]["steps"][2]["text"].as_str().unwrap().to_owned();
    let whose = "TLSv1.3, ALPN stun.turn, certificate for turn.example by \"an authority for tests\", ";
    assert!(said.starts_with(whose) && said.ends_with(" days left"), "{said}");
    let setup = Setup::new();
    let good = setup.clone().certificates(&[authority.issue(&folder, "good", &setup.ip.to_string())]).start();
    works(&format!("turns:{}", good.tls), &trust, &all);
    let old = setup.ip.to_string();
    let expired = Setup::at(setup.ip).certificates(&[expired(&authority, &folder, &old)]).start();
    fails(&format!("turns:{}", expired.tls), &trust, "tls", "certificate-expired", &["has expired", "renew"]);
}

/// The issuer by organisation and name, the days that are left, and whether they are few or over.
#[test]
fn a_certificate_is_shown_with_its_issuer_and_the_days_that_are_left() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::OrganizationName, "Honest Ltd");
    params.distinguished_name.push(DnType::CommonName, "R1");
    let authority = Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() };
    let folder = Folder::new();
    let said = |pair| {
        let server = Setup::new().certificates(&[pair]).start();
        let (_, document) = document(&format!("turns:{}", server.tls), &[&USER[..], &["--insecure"]].concat());
        document["paths"][0]["steps"][2]["text"].as_str().unwrap().to_owned()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let hours = |hours: u64| now + Duration::from_secs(hours * 3600);
    let long = said(issue(&authority, &folder, "turn.example", hours(100 * 24 + 12)));
    assert!(long.ends_with("for turn.example by \"Honest Ltd R1\", 100 days left"), "{long}");
    let short = said(issue(&authority, &folder, "turn.example", hours(5 * 24 + 12)));
    assert!(short.ends_with(", 5 days left: renew it"), "{short}");
    let over = said(expired(&authority, &folder, "turn.example"));
    assert!(over.contains("expired ") && over.ends_with(" days ago"), "{over}");
    let (file, key) = (folder.path("own.pem"), KeyPair::generate().unwrap());
    let own = CertificateParams::new(["turn.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(&file, own.pem()).unwrap();
    let own = said((file, folder.write("own.key", &key.serialize_pem())));
    assert!(own.contains("for turn.example by itself, "), "{own}");
}

#[test]
fn dtls_is_walked_to_the_end_and_its_certificate_is_judged() {
    if !requires(&name(), &[Need::Dtls]) {
        return;
    }
    let (authority, folder) = (Authority::new(), Folder::new());
    let roots = folder.write("roots.pem", &authority.issuer.pem());
    let trust = [&USER[..], &["--ca", roots.to_str().unwrap()]].concat();
    let url = |server: &Server| format!("turns:{}?transport=udp", server.tls);
    let other = Setup::new().certificates(&[authority.issue(&folder, "other", "turn.example")]).start();
    fails(&url(&other), &trust, "dtls", "certificate-name", &["for another host"]);
    fails(&url(&other), &USER, "dtls", "certificate-issuer", &["nobody who is trusted", "--ca"]);
    let all = ["resolve", "dtls", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    let found = works(&url(&other), &[&USER[..], &["--insecure"]].concat(), &all);
    let said = found["paths"][0]["steps"][1]["text"].as_str().unwrap().to_owned();
    assert!(said.starts_with("DTLSv1.2, ALPN stun.turn, certificate for turn.example by "), "{said}");
    let setup = Setup::new();
    let good = setup.clone().certificates(&[authority.issue(&folder, "good", &setup.ip.to_string())]).start();
    works(&url(&good), &trust, &all);
    let pair = expired(&authority, &folder, &setup.ip.to_string());
    let expired = Setup::at(setup.ip).certificates(&[pair]).start();
    fails(&url(&expired), &trust, "dtls", "certificate-expired", &["has expired", "renew"]);
    let plain = Setup::new().start();
    fails(&format!("turns:{}?transport=udp", plain.addr), &trust, "dtls", "no-answer", &["nothing answers"]);
}

/// Issues a certificate that ended years ago.
fn expired(authority: &Authority, folder: &Folder, host: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    issue(authority, folder, host, Duration::from_secs(1_609_459_200))
}

/// Issues a certificate that lasts until so long after 1970.
fn issue(
    authority: &Authority,
    folder: &Folder,
    host: &str,
    end: Duration,
) -> (std::path::PathBuf, std::path::PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + end;
    let leaf = params.signed_by(&key, &authority.issuer).unwrap();
    (folder.write("expired.pem", &leaf.pem()), folder.write("expired.key", &key.serialize_pem()))
}

#[test]
fn tls_and_plain_tcp_on_the_wrong_port_are_told_apart() {
    let url = format!("turn:{}?transport=tcp", tls_alone());
    fails(&url, &USER, "binding", "tls-port", &["speaks TLS", "turns:"]);
    let insecure = [&USER[..], &["--insecure"]].concat();
    let plain = Setup::new().start();
    fails(&format!("turns:{}", plain.addr), &insecure, "tls", "plain-port", &["over plain TCP", "transport=tcp"]);
}

/// A port that speaks TLS and nothing else.
fn tls_alone() -> SocketAddr {
    let folder = Folder::new();
    let (chain, key) = Authority::new().issue(&folder, "leaf", "turn.example");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificates::leaf(&chain)], key).unwrap();
    let (listener, config) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), Arc::new(config));
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // What is no TLS gets an alert, and the connection ends.
            _ = ServerConnection::new(Arc::clone(&config)).unwrap().complete_io(&mut stream);
        }
    });
    addr
}

#[test]
fn a_quota_and_a_lack_of_capacity_differ() {
    let quota = Setup::new().set("limits.user-allocations", "1").start();
    let mut first = Client::udp(quota.addr).named(ALICE);
    first.allocate();
    fails(&turn(quota.addr), &USER, "allocate", "quota", &["quota of allocations", "limits.user-allocations"]);
    let port = free_port().to_string();
    let full = Setup::new().set("relay.min-port", &port).set("relay.max-port", &port).start();
    let mut first = Client::udp(full.addr).named(BOB);
    first.allocate();
    fails(&turn(full.addr), &USER, "allocate", "capacity", &["no capacity", "more relay ports"]);
}

/// This machine has coturn's server; it must, if everything is required.
fn has_coturn() -> bool {
    let found = Command::new("turnserver").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok() || std::env::var("HAIRPIN_REQUIRE").as_deref() != Ok("all"), "needs `turnserver`");
    found.is_ok()
}

/// coturn's server, which ends with the test.
struct Coturn(Child);

impl Coturn {
    /// Starts it here, with loopback peers allowed, and waits until it answers.
    fn start(addr: SocketAddr, folder: &Folder) -> Self {
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let (pid, user) = (folder.path("pid").display().to_string(), format!("{}:{}", ALICE.0, ALICE.1));
        let words = ["-n", "-L", &ip, "-E", &ip, "-p", &port, "-a", "-u", &user, "-r", REALM, "--pidfile", &pid];
        let flags = ["--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers", "--log-file", "stdout"];
        let mut command = Command::new("turnserver");
        let child = command.args(words).args(flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("coturn listens", || TcpStream::connect(addr).ok());
        Self(child)
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn coturn_is_walked_to_the_end() {
    if !has_coturn() {
        return eprintln!("skipped: coturn_is_walked_to_the_end: needs the program `turnserver`");
    }
    let (addr, folder) = (SocketAddr::from((own_address(), free_port())), Folder::new());
    let _coturn = Coturn::start(addr, &folder);
    let all = ["resolve", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    let found = works(&turn(addr), &USER, &all);
    let said = found["paths"][0]["steps"][2]["text"].as_str().unwrap();
    assert!(said.contains("Coturn") && said.contains(REALM), "{said}");
    let all = ["resolve", "connect", "binding", "allocate", "permission", "channel", "echo", "refresh"];
    works(&format!("turn:{addr}?transport=tcp"), &USER, &all);
    let wrong = ["--user", ALICE.0, "--password", "wrong"];
    fails(&turn(addr), &wrong, "allocate", "wrong-password", &["user name or password is wrong"]);
}

#[test]
fn what_a_command_line_lacks_is_said() {
    assert!(probe(&[]).0 == 1);
    for (words, part) in [
        (&["http://example.org"][..], "write turn:HOST"),
        (&["turn:example.org", "--ice", "file"], "--ice"),
        (&["turn:example.org", "--user", "alice"], "--password"),
    ] {
        let (code, _, err) = probe(words);
        assert!(code == 1 && err.contains(part), "{words:?}: {err}");
    }
    assert!(!Path::new("file").exists());
}
