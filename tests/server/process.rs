//! The process: how it starts, what it says, how it stops; and the commands beside the server.

use crate::certificates::Authority;
use crate::client::Client;
use crate::harness::*;
use crate::space::Space;
use hairpin::auth::rest;
use hairpin::wire::{Method, attribute};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Without a file, a flag or a user: the server runs, and what it prints works.
#[test]
fn the_server_runs_with_nothing_and_prints_credentials_that_work() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("192.0.2.1/24");
    far.address("192.0.2.100/24");
    near.ip("route add default via 192.0.2.100");
    let mut server = Server::spawn(&[], Some(&near));
    server.addr = SocketAddr::from(([192, 0, 2, 1], 3478));
    server.answers(Some(&far)).unwrap();
    server.out.wait_for("To keep one");
    let text = server.out.text();
    let entry = &text[text.find('[').unwrap()..=text.rfind(']').unwrap()];
    let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
    let entry = &entry[0];
    let word = |key: &str| entry[key].as_str().unwrap().to_owned();
    assert!(word("credential").len() >= 20, "not to be guessed");
    let urls: Vec<&str> = entry["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    assert!(urls.contains(&"turn:192.0.2.1:3478?transport=udp") && urls.contains(&"turn:192.0.2.1:3478?transport=tcp"));

    // The realm is not the one of the other tests.
    let clients = || far.run(|| (Client::udp(server.addr), Client::tcp(server.addr)));
    let (udp, tcp) = clients();
    let (user, password) = (word("username"), word("credential"));
    let known = |client: Client| client.named((&user, &password)).of_realm("hairpin");
    let (mut first, mut second) = (known(udp), known(tcp));
    let (at_first, at_second) = (first.allocate(), second.allocate());
    first.bind(0x4000, at_second);
    second.permit(at_first);
    first.send_channel(0x4000, b"it works");
    assert_eq!(second.data(), (b"it works".to_vec(), Some(at_first)));
    let (stranger, _) = clients();
    assert_eq!(stranger.named((&user, "another password")).of_realm("hairpin").try_allocate(), Err(401));
    let mut private = known(far.run(|| Client::udp(server.addr)));
    private.allocate();
    let answer = private.request(Method::CREATE_PERMISSION, |w| {
        w.xor_address(attribute::XOR_PEER_ADDRESS, "10.0.0.1:53".parse().unwrap());
    });
    assert_eq!(answer.code(), Some(403), "private networks are out of reach");
}

/// TURN-034, TLS-005, DISC-001: the file of a real deployment, its certificate and a reachable peer put in place.
#[test]
fn the_configuration_of_a_deployment_runs_as_it_is() {
    if !requires(&name(), &[Need::Spaces]) {
        return;
    }
    let (near, far) = Space::pair();
    near.address("192.168.0.186/24");
    far.address("192.168.0.1/24");
    let (authority, folder) = (Authority::new(), Folder::new());
    let (chain, key) = authority.issue(&folder, "turn", "turn.example.org");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/deployment.conf")).unwrap();
    let text = text
        .replace("/etc/turn_server_cert.pem", chain.to_str().unwrap())
        .replace("/etc/turn_server_pkey.pem", key.to_str().unwrap());
    let file = folder.write("turnserver.conf", &format!("{text}allowed-peer-ip=192.168.0.1\n"));
    let mut server = Server::spawn(&["-c", file.to_str().unwrap()], Some(&near));
    server.addr = SocketAddr::from(([192, 168, 0, 186], 3478));
    server.answers(Some(&far)).unwrap();
    let tls = SocketAddr::new(server.addr.ip(), 5349);
    let (udp, tcp, tls, peer) = far.run(|| {
        let tls = authority.client().connect(tls, "turn.example.org");
        let clients = (Client::udp(server.addr), Client::tcp(server.addr), Client::with_stream(tls, server.addr));
        (clients.0, clients.1, clients.2, peer_at("192.168.0.1".parse().unwrap()))
    });
    for client in [udp, tcp, tls] {
        let mut client = client.named(("jun", "123456")).of_realm("turn.example.org");
        let told = client.allocate();
        assert_eq!(told.ip(), "203.0.113.109".parse::<std::net::IpAddr>().unwrap());
        let relayed = SocketAddr::new(server.addr.ip(), told.port());
        client.permit(peer.local_addr().unwrap());
        client.send(peer.local_addr().unwrap(), b"up");
        assert_eq!(receive(&peer), (b"up".to_vec(), relayed));
        peer.send_to(b"down", relayed).unwrap();
        assert_eq!(client.data(), (b"down".to_vec(), Some(peer.local_addr().unwrap())));
    }
}

/// A server that cannot have its port says which, and what to change.
#[test]
fn a_port_that_is_taken_is_named_with_its_option() {
    let ip = own_address();
    let cases: [(&str, Box<dyn std::any::Any>, u16); 2] = {
        let udp = UdpSocket::bind((ip, 0)).unwrap();
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        let ports = (udp.local_addr().unwrap().port(), tcp.local_addr().unwrap().port());
        [("UDP", Box::new(udp), ports.0), ("TCP", Box::new(tcp), ports.1)]
    };
    for (protocol, _taken, port) in &cases {
        let (addr, port) = (format!("{ip}"), port.to_string());
        let (code, _, said) = finish(&["--listen-addresses", &addr, "--listen-port", &port]);
        assert_eq!(code, 2);
        assert!(said.contains(&format!("cannot listen on {protocol} {ip}:{port}")), "{said}");
        assert!(said.contains("listen.port (listening-port)"), "{said}");
    }
}

/// A port of TLS or of a further listener is named with the option that it comes from.
#[test]
fn a_port_that_is_taken_is_named_with_the_option_that_it_comes_from() {
    let (authority, folder, ip) = (Authority::new(), Folder::new(), own_address());
    let (chain, key) = authority.issue(&folder, "one", "one.example");
    let taken = TcpListener::bind((ip, 0)).unwrap();
    let (at, port) = (taken.local_addr().unwrap(), taken.local_addr().unwrap().port().to_string());
    let (addr, free) = (ip.to_string(), free_port().to_string());
    let plain = ["--listen-addresses", &addr, "--listen-port", &free];
    let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
    let tls = [&plain[..], &["--cert", chain, "--pkey", key, "--tls-listening-port", &port]].concat();
    let extra = format!("tcp://{at}");
    let extra = [&plain[..], &["--aux-server", &extra]].concat();
    for (flags, option) in [(tls, "listen.tls-port (tls-listening-port)"), (extra, "listen.extra (aux-server)")] {
        let (code, _, said) = finish(&flags);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("cannot listen on TCP {at}")) && said.contains(option), "{said}");
        assert!(!said.contains("listen.port ("), "{said}");
    }
}

/// Two servers of one user do not share their clients by accident, on either protocol.
#[test]
fn a_second_server_on_the_same_port_does_not_start() {
    let first = Setup::new().start();
    let (ip, port) = (first.addr.ip().to_string(), first.addr.port().to_string());
    for (protocol, without) in [("UDP", "--listen-tcp"), ("TCP", "--listen-udp")] {
        let (code, _, said) = finish(&["--listen-addresses", &ip, "--listen-port", &port, &format!("{without}=false")]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("cannot listen on {protocol} {}", first.addr)), "{said}");
    }
}

/// An address that is not this host's is named with its option.
#[test]
fn an_address_of_another_host_is_named_with_its_option() {
    let (code, _, said) = finish(&["--listen-addresses", "192.0.2.77", "--listen-port", &free_port().to_string()]);
    assert_eq!(code, 2);
    assert!(said.contains("192.0.2.77") && said.contains("listen.addresses (listening-ip)"), "{said}");
}

/// A key that is missing, no key, or another certificate's is named, and nothing starts.
#[test]
fn a_bad_certificate_or_key_is_named_and_nothing_starts() {
    let (authority, folder, ip) = (Authority::new(), Folder::new(), own_address());
    let (chain, key) = authority.issue(&folder, "one", "one.example");
    let (_, other) = authority.issue(&folder, "two", "two.example");
    let (missing, junk) = (folder.path("nowhere.key"), folder.write("junk", "junk"));
    let cases = [
        (&chain, &missing, "nowhere.key: cannot read the private key"),
        (&chain, &other, "two.key: is not the key of the certificate in"),
        (&chain, &junk, "junk: cannot read the private key"),
        (&junk, &key, "junk: holds no certificate"),
        (&missing, &key, "nowhere.key: cannot read the certificate chain"),
    ];
    for (chain, key, wanted) in cases {
        let port = free_port().to_string();
        let text = Setup::at(ip.into()).certificates(&[(chain.clone(), key.clone())]).text(free_port(), free_port());
        let file = folder.write("hairpin.toml", &text);
        let (code, _, said) = finish(&["-c", file.to_str().unwrap(), "--listen-port", &port]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(wanted), "{said}");
        let (code, out, said) = finish(&["check", file.to_str().unwrap()]);
        assert_eq!(code, 1, "check says it before: {said}");
        assert!(out.contains("certificate ") && said.contains(wanted), "{said}");
        assert!(said.contains("hairpin.toml:") && said.contains("tls.certificate: "), "{said}");
    }
    let whole = Setup::at(ip.into()).certificates(&[(chain.clone(), key.clone())]);
    for (authorities, wanted) in [(&junk, "junk: holds no certificate"), (&key, "one.key: holds no certificate")] {
        let text =
            whole.clone().set("tls.client-ca", &quoted(authorities.to_str().unwrap())).text(free_port(), free_port());
        let file = folder.write("hairpin.toml", &text);
        let (code, _, said) = finish(&["-c", file.to_str().unwrap()]);
        assert!(code == 2 && said.contains(wanted), "{said}");
        let (code, _, said) = finish(&["check", file.to_str().unwrap()]);
        assert!(code == 1 && said.contains(wanted) && said.contains(": tls.client-ca: "), "{said}");
        assert!(!said.contains("tls.certificate: "), "{said}");
    }
    let text = whole.text(free_port(), free_port());
    let file = folder.write("hairpin.toml", &text);
    let (code, _, said) = finish(&["check", file.to_str().unwrap()]);
    assert_eq!((code, said.as_str()), (0, ""));
}

/// SEC-04: what is not understood stops the start, and is told with its place and what may have been meant.
#[test]
fn an_unknown_key_is_told_with_file_line_and_the_nearest_key_and_nothing_starts() {
    let folder = Folder::new();
    let toml = folder.write("wrong.toml", "[listen]\nprot = 3478\n\n[peers]\ndeny = [\"10.0.0.0/33\"]\n");
    let (code, out, said) = finish(&["-c", toml.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("wrong.toml:2") && said.contains("listen.port"), "{said}");
    assert!(said.contains("wrong.toml:5") && said.contains("10.0.0.0/33"), "{said}");
    assert!(said.contains("nothing was started"), "{said}");

    let coturn = folder.write("wrong.conf", "listening-port=3478\nexternal-pi=192.0.2.1\n");
    let (code, _, said) = finish(&["-c", coturn.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("wrong.conf:2") && said.contains("external-ip"), "{said}");

    let (code, _, said) = finish(&["-c", folder.path("none.toml").to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("none.toml"), "{said}");
    let (code, _, said) = finish(&["--listen-prot", "3478"]);
    assert_eq!(code, 1);
    assert!(said.contains("--listen-port"), "{said}");
}

/// A signal that comes as early as the pidfile allows it is heard.
#[test]
fn a_server_hears_signals_as_soon_as_its_pidfile_is_there() {
    let folder = Folder::new();
    let pidfile = folder.path("hairpin.pid");
    let (ip, port) = (own_address().to_string(), free_port().to_string());
    let mut arguments = vec!["--listen-addresses", &ip, "--listen-port", &port];
    arguments.extend(["--pidfile", pidfile.to_str().unwrap()]);
    for _ in 0..5 {
        let mut server = Server::spawn(&arguments, None);
        eventually("the pidfile is there", || file_holds(&pidfile, "\n").then_some(()));
        server.signal("HUP");
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0), "{}", server.err.text());
    }
}

/// Supervisors stop a server with SIGTERM, people with SIGINT: both end it well, and the pidfile with it.
#[test]
fn signals_stop_the_server_cleanly() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let pidfile = folder.path("hairpin.pid");
        let mut server = Setup::new().set("pidfile", &quoted(pidfile.to_str().unwrap())).start();
        let mut client = server.alice_by_tcp();
        client.allocate();
        let id = std::fs::read_to_string(&pidfile).unwrap();
        assert_eq!(id.trim(), server.child.id().to_string());
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{}", server.err.text());
        assert!(server.err.text().contains(signal));
        assert!(!pidfile.exists(), "the pidfile goes with the process");
        assert_eq!(client.hear(), crate::client::Heard::End);
        assert!(UdpSocket::bind(server.addr).is_ok(), "the port is free");
    }
}

/// SIGUSR1: what was relayed and what was dropped, of all workers together, and which way packets take.
#[test]
fn sigusr1_tells_how_the_server_stands() {
    let server = Setup::new().start();
    let mut client = Client::udp(server.addr).named(ALICE);
    let peer = peer_at(server.addr.ip());
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"four");
    assert_eq!(receive(&peer).1, relayed);
    client.send_channel(0x4001, b"nobody's");
    // Workers leave their numbers a few times in a second.
    eventually("the server tells what it has relayed and dropped", || {
        server.signal("USR1");
        let told = |line: &str| {
            let all = ["to_peer_packets=1 to_peer_bytes=4", "to_client_packets=0", "drops=\"no_channel=1\""];
            line.contains("user space: status") && all.iter().all(|part| line.contains(part))
        };
        server.err.text().lines().any(told).then_some(())
    });
    server.err.wait_for("kernel path: off");
}

/// SIGHUP: what a log rotation has moved away is left alone, and a new file is begun.
#[test]
fn sighup_opens_the_log_again() {
    let folder = Folder::new();
    let (log, old) = (folder.path("hairpin.log"), folder.path("hairpin.log.1"));
    let server = Setup::new().set("log.file", &quoted(log.to_str().unwrap())).start();
    eventually("the first lines", || file_holds(&log, "serving").then_some(()));
    std::fs::rename(&log, &old).unwrap();
    server.signal("HUP");
    eventually("a new file", || file_holds(&log, "log reopened").then_some(()));
    assert!(!file_holds(&log, "serving") && !file_holds(&old, "log reopened"));
    assert_eq!(server.err.text(), "", "nothing is written elsewhere");
    server.alice().allocate();
}

/// SEC-27, SEC-45: at the usual level a log names no client, no user, no peer; at no level does it hold a secret.
#[test]
fn the_log_tells_no_secret_and_at_the_usual_level_nobody() {
    for level in ["info", "trace"] {
        let mut server = Setup::new().set("log.level", &quoted(level)).set("limits.user-allocations", "1").start();
        let client_ip = own_address();
        let peer = peer();
        let peer_ip = peer.local_addr().unwrap().ip().to_string();
        let mut alice = Client::udp_from(client_ip.into(), server.addr).named(ALICE);
        let relayed = alice.allocate();
        alice.permit(peer.local_addr().unwrap());
        alice.send(peer.local_addr().unwrap(), b"the secret of a call");
        receive(&peer);
        assert_eq!(Client::udp_from(client_ip.into(), server.addr).named(ALICE).try_allocate(), Err(486));
        let mut mallory = Client::udp_from(client_ip.into(), server.addr).named(("mallory", "the wrong one"));
        assert_eq!(mallory.try_allocate(), Err(401));
        let mut broken = server.alice_by_tcp();
        broken.send_raw(b"GET /a-secret-of-somebody HTTP/1.1\r\n\r\n");
        broken.stream().read_to_end(&mut Vec::new()).unwrap();
        let time_limited = "4000000000:somebody";
        let password = rest::password(SECRET, time_limited, rest::Hash::Sha1);
        Client::udp_from(client_ip.into(), server.addr).named((time_limited, &password)).allocate();
        server.signal("TERM");
        server.wait();
        let log = server.err.text() + &server.out.text();
        assert!(log.contains("serving"));
        let nonce = "the secret of a call";
        for secret in [ALICE.1, BOB.1, SECRET, &password, "the wrong one", nonce, "a-secret-of-somebody"] {
            assert!(!log.contains(secret), "{level}: {secret} in {log}");
        }
        if level == "info" {
            for hint in [ALICE.0, "mallory", "somebody"] {
                assert!(!log.contains(hint), "{hint} in {log}");
            }
            // As words, for one address or port may be the beginning of another.
            let words = log.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').collect::<Vec<_>>();
            for hint in [client_ip.to_string(), peer_ip, relayed.port().to_string()] {
                assert!(!words.contains(&&*hint), "{hint} in {log}");
            }
        }
    }
}

/// Log collectors read lines of JSON.
#[test]
fn a_log_in_json_is_json_line_by_line() {
    let mut server = Setup::new().set("log.json", "true").start();
    server.alice().allocate();
    server.signal("TERM");
    server.wait();
    let log = server.err.text();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() >= 2);
    for line in &lines {
        assert!(line["level"].is_string() && line["timestamp"].is_string() && line["fields"]["message"].is_string());
    }
    assert!(lines.iter().any(|line| line["fields"]["message"] == "serving"));
}

/// `hairpin check`: what would run, and whether it would.
#[test]
fn check_says_what_would_run_and_its_exit_code_whether_it_would() {
    let folder = Folder::new();
    let good = folder.write("good.toml", &Setup::new().text(3478, 5349));
    let (code, out, said) = finish(&["check", good.to_str().unwrap()]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(out.contains("3478 udp tcp") && out.contains("warning") && out.contains("peers.allow-loopback"), "{out}");
    assert!(!out.contains(ALICE.1) && !out.contains(SECRET));
    assert_eq!(finish(&["-c", good.to_str().unwrap(), "check"]).1, out, "-c names the file as well");
    let bad = folder.write("bad.toml", "[relay]\nmin-port = 70000\n");
    let (code, _, said) = finish(&["check", bad.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("bad.toml:2") && said.contains("70000"), "{said}");
}

/// `hairpin convert`: a server that runs with the result serves the same users.
#[test]
fn what_convert_prints_runs() {
    let (folder, ip, port) = (Folder::new(), own_address(), free_port());
    let coturn = format!(
        "listening-ip={ip}\nlistening-port={port}\nlt-cred-mech\nrealm={REALM}\nuser={}:{}\nfingerprint\nno-cli\n",
        ALICE.0, ALICE.1
    );
    let old = folder.write("turnserver.conf", &coturn);
    let (code, toml, said) = finish(&["convert", old.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let new = folder.write("hairpin.toml", &toml);
    for file in [old, new] {
        let mut server = Server::spawn(&["-c", file.to_str().unwrap()], None);
        server.addr = SocketAddr::from((ip, port));
        server.answers(None).unwrap();
        let mut client = server.alice();
        client.allocate();
        let request = client.bare(Method::BINDING, |_| {});
        assert!(client.ask(&request).message().has_fingerprint());
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
    }
    let bad = folder.write("bad.conf", "listening-prot=3478\n");
    let (code, out, said) = finish(&["convert", bad.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(said.contains("listening-port"), "{said}");
    assert_eq!(finish(&["convert", "/nowhere.conf"]).0, 1);
}

/// `hairpin key`: the key that it prints stands for the password.
#[test]
fn a_printed_key_stands_for_the_password() {
    let arguments = ["key", "--user", ALICE.0, "--realm", REALM];
    let (code, key, _) = finish(&[&arguments[..], &["--password", ALICE.1]].concat());
    assert_eq!(code, 0);
    let mut by_input = command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    by_input.stdin.take().unwrap().write_all(format!("{}\n", ALICE.1).as_bytes()).unwrap();
    assert_eq!(
        by_input.wait_with_output().unwrap().stdout,
        format!("{key}\n").as_bytes(),
        "the password may come by standard input"
    );
    let server = Setup::new().set("auth.users", &format!("[\"{}:{}\"]", ALICE.0, key.trim())).start();
    server.alice().allocate();
    assert_eq!(finish(&arguments).0, 1, "no password at all");
    assert_eq!(finish(&["key", "--user", "x"]).0, 1);
}

/// `hairpin ice`: the credentials that it prints are good, for users and for shared secrets.
#[test]
fn printed_ice_credentials_are_good() {
    let server = Setup::new().start();
    let file = server.folder().path("hairpin.toml");
    let file = file.to_str().unwrap();
    for arguments in
        [&["ice", "-c", file, "--user", ALICE.0][..], &["ice", "-c", file, "--user", "guest", "--ttl", "5m"]]
    {
        let (code, out, said) = finish(arguments);
        assert_eq!(code, 0, "{said}");
        let entry: serde_json::Value = serde_json::from_str(&out).unwrap();
        let (user, password) = (entry["username"].as_str().unwrap(), entry["credential"].as_str().unwrap());
        assert!(entry["urls"][0].as_str().unwrap().contains(&server.addr.to_string()));
        Client::udp(server.addr).named((user, password)).allocate();
    }
    let (_, out, _) = finish(&["ice", "-c", file, "--host", "turn.example.org"]);
    assert!(out.contains("turn:turn.example.org:"), "{out}");
    assert_eq!(finish(&["ice", "-c", file, "--user", ALICE.0, "--ttl", "soon", "--secret", "x"]).0, 1);
    assert_eq!(finish(&["-n", "ice"]).0, 1, "nobody is known without a file");
}

/// Flags are stronger than the environment, and that than the file.
#[test]
fn a_variable_of_the_environment_is_a_key_too() {
    let output = command(&["check"]).env("HAIRPIN_LISTEN_PORT", "4567").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(":4567"));
    let output = command(&["--listen-port", "4568", "check"]).env("HAIRPIN_LISTEN_PORT", "4567").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(":4568"));
}

/// A server started anywhere needs nothing there: no HOME, no writable directory.
#[test]
fn a_server_needs_no_home() {
    let (ip, port) = (own_address(), free_port());
    let arguments = ["--listen-addresses", &ip.to_string(), "--listen-port", &port.to_string()];
    let mut child = Command::new(env!("CARGO_BIN_EXE_hairpin"))
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let request = Client::udp(SocketAddr::from((ip, port))).bare(Method::BINDING, |_| {});
    let answered = eventually("an answer, or an end", || {
        _ = socket.send_to(&request, (ip, port));
        let ended = child.try_wait().unwrap().is_some();
        if socket.recv(&mut [0; 600]).is_ok() { Some(true) } else { ended.then_some(false) }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answered);
}

/// TURN-120: a server that was started again knows nobody; clients are told so and begin anew.
#[test]
fn after_a_restart_old_allocations_are_unknown() {
    let mut server = Setup::new().start();
    let peer = peer();
    let mut client = server.alice();
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    server.signal("TERM");
    assert!(server.wait().success());
    let file = server.folder().path("hairpin.toml");
    let mut again = Server::spawn(&["-c", file.to_str().unwrap()], None);
    again.addr = server.addr;
    again.answers(None).unwrap();
    client.send_channel(0x4000, b"to whom?");
    client.hears_nothing();
    assert_eq!(client.refresh(600), Some(437));
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"anew");
    assert_eq!(receive(&peer).0, b"anew");
}

/// SEC-05, SEC-06, SEC-08: unless the operator says otherwise, no peer of a special range is reached.
#[test]
fn special_peers_are_refused_by_default() {
    let server = Setup::new().set("peers.allow-loopback", "false").start();
    let mut client = server.alice();
    client.allocate();
    for peer in ["127.0.0.1:80", "127.1.2.3:80", "0.0.0.0:80", "10.0.0.1:80", "192.168.1.1:80", "169.254.169.254:80"] {
        let answer = client.request(Method::CREATE_PERMISSION, |w| {
            w.xor_address(attribute::XOR_PEER_ADDRESS, peer.parse().unwrap());
        });
        assert_eq!(answer.code(), Some(403), "{peer}");
    }
}

/// What cannot be written is said with its key.
#[test]
fn a_log_or_pidfile_that_cannot_be_written_is_named() {
    let (ip, port) = (own_address().to_string(), free_port().to_string());
    for (flag, key) in [("--log-file", "log.file"), ("--pidfile", "pidfile")] {
        let arguments = ["--listen-addresses", &ip, "--listen-port", &port, flag, "/nowhere/at/all"];
        let (code, _, said) = finish(&arguments);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("{key}: /nowhere/at/all: cannot be")), "{said}");
    }
}
