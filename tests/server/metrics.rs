//! What Prometheus fetches.

use crate::client::Client;
use crate::control::{command_at, place, setup};
use crate::harness::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// Sends bytes to a port; the head and the body of what comes back.
fn fetch(at: SocketAddr, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

fn get(at: SocketAddr, target: &str) -> (String, String) {
    fetch(at, format!("GET {target} HTTP/1.1\r\nHost: {at}\r\nAccept: */*\r\n\r\n").as_bytes())
}

/// The number of a sample.
pub fn number(text: &str, sample: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)).unwrap_or_else(|| panic!("{sample} in\n{text}"));
    line.trim().parse().unwrap()
}

/// A server with metrics on a port of its own.
fn start() -> (Folder, std::path::PathBuf, Server, SocketAddr) {
    let (folder, path) = place();
    let at = SocketAddr::from((own_address(), free_port()));
    let server = setup(&path).set("admin.metrics", &quoted(&at.to_string())).start();
    (folder, path, server, at)
}

#[test]
fn metrics_count_what_is_done() {
    let (_folder, path, server, at) = start();
    let mut clients = [Client::udp(server.addr).named(ALICE), server.alice_by_tcp()];
    let peer = peer_at(server.addr.ip());
    for client in &mut clients {
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        client.send_channel(0x4000, b"four");
        receive(&peer);
        peer.send_to(b"three", relayed).unwrap();
        client.data();
    }
    clients[0].send_channel(0x4001, b"nobody's");
    let wanted = [
        ("hairpin_dropped_packets_total{reason=\"no_channel\",path=\"user_space\"}", 1),
        ("hairpin_connections ", 1),
        ("hairpin_allocations{transport=\"udp\"}", 1),
        ("hairpin_allocations{transport=\"tcp\"}", 1),
        ("hairpin_allocations{transport=\"dtls\"}", 0),
        ("hairpin_relayed_packets_total{direction=\"to_peer\",path=\"user_space\"}", 2),
        ("hairpin_relayed_bytes_total{direction=\"to_peer\",path=\"user_space\"}", 8),
        ("hairpin_relayed_packets_total{direction=\"to_client\",path=\"user_space\"}", 2),
        ("hairpin_relayed_bytes_total{direction=\"to_client\",path=\"user_space\"}", 10),
        ("hairpin_relayed_packets_total{direction=\"to_client\",path=\"kernel\"}", 0),
        ("hairpin_requests_total{answer=\"success\"}", 5),
        ("hairpin_requests_total{answer=\"error\"}", 2),
        ("hairpin_kernel_path_info{mode=\"off\",interface=\"\",why=\"as configured\"}", 1),
        (&format!("hairpin_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1),
    ];
    let scraped = eventually("everything is counted", || {
        let (head, body) = get(at, "/metrics");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{head}"
        );
        // Each worker tells in its own time.
        let is_told = |(sample, count): &(&str, u64)| {
            body.lines().any(|line| line.strip_prefix(sample).is_some_and(|value| value.trim() == count.to_string()))
        };
        wanted.iter().all(is_told).then_some(body)
    });
    // Nobody is named, and the command says the same.
    for name in [ALICE.0, "127.0.0.1"] {
        assert!(!scraped.contains(name), "{name} in\n{scraped}");
    }
    let printed = command_at(&path, &["metrics"]);
    let uptime = |line: &&str| !line.starts_with("hairpin_uptime_seconds ");
    assert!(printed.lines().filter(uptime).eq(scraped.lines().filter(uptime)), "{printed}\n{scraped}");
}

/// A reader that this project did not write takes it, as strictly as OpenMetrics is meant.
#[test]
fn another_reader_understands_the_metrics() {
    if !requires(&name(), &[Need::Prometheus]) {
        return;
    }
    let (_folder, _, _server, at) = start();
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        for family in read(sys.stdin.read()):\n    print(family.name, family.type, len(family.samples))";
    let mut reader = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(get(at, "/metrics").1.as_bytes()).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let families = String::from_utf8(output.stdout).unwrap();
    let rows = hairpin::admin::metrics::page().lines().count() - 2;
    assert_eq!(families.lines().count(), rows, "{families}");
    let lines = ["hairpin_allocations gauge 4", "hairpin_relayed_bytes counter 4", "hairpin_kernel_path info 1"];
    assert!(lines.iter().all(|line| families.lines().any(|found| found == *line)), "{families}");
}

#[test]
fn the_port_of_metrics_serves_nothing_else() {
    let (_folder, _, server, at) = start();
    let status = |request: &str| fetch(at, request.as_bytes()).0.lines().next().unwrap().to_owned();
    assert_eq!(get(at, "/metrics?name=x").0.lines().next(), Some("HTTP/1.1 200 OK"));
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK");
    assert_eq!(status("GET /etc/passwd HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
    assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
    for broken in ["", "\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics HTTP/1.1\r\n", "\u{fffd}\r\n\r\n"] {
        assert_eq!(status(broken), "HTTP/1.1 400 Bad Request", "{broken:?}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9000 - 27));
    let head = &long.as_bytes()[..8192];
    assert!(fetch(at, head).0.starts_with("HTTP/1.1 400 "));
    let (head, body) = fetch(at, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Length: ") && body.is_empty());
    // Who says nothing keeps nobody from asking, and clients are served.
    let silent: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(at).unwrap()).collect();
    assert!(get(at, "/metrics").1.ends_with("# EOF\n"));
    drop(silent);
    server.alice().allocate();
}

#[test]
fn a_port_of_metrics_that_is_taken_is_named_with_its_key() {
    let taken = TcpListener::bind((own_address(), 0)).unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let (ip, port) = (own_address().to_string(), free_port().to_string());
    let (code, _, said) =
        finish(&["--listen-addresses", &ip, "--listen-port", &port, "--admin-socket", "off", "--admin-metrics", &at]);
    assert_eq!(code, 2);
    assert!(said.contains(&format!("admin.metrics: cannot listen on TCP {at}: ")), "{said}");
    assert!(said.contains("another program has this port"), "{said}");
}

/// coturn's options open the port on every address.
#[test]
fn coturns_options_serve_metrics() {
    let (folder, ip, port, metrics) = (Folder::new(), own_address(), free_port(), free_port());
    let text = format!(
        "listening-ip={ip}\nlistening-port={port}\nlt-cred-mech\nrealm={REALM}\nuser={}:{}\nno-cli\n\
         prometheus\nprometheus-port={metrics}\n",
        ALICE.0, ALICE.1
    );
    let file = folder.write("turnserver.conf", &text);
    let mut server = Server::spawn(&["-c", file.to_str().unwrap()], None);
    server.addr = SocketAddr::from((ip, port));
    server.answers(None).unwrap();
    assert!(get(SocketAddr::from((ip, metrics)), "/metrics").1.contains("hairpin_workers "));
}

/// SEC-46: a client that may reach this host's ports does not reach that one by a TCP relay.
#[test]
fn clients_do_not_reach_the_metrics_by_their_relays() {
    let (_folder, _, server, at) = start();
    let mut client = server.alice_by_tcp();
    let answer = client.request(hairpin::wire::Method::ALLOCATE, |w| {
        w.attribute(hairpin::wire::attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    });
    assert_eq!(answer.code(), None);
    let answer = client.request(hairpin::wire::Method::CONNECT, |w| {
        w.xor_address(hairpin::wire::attribute::XOR_PEER_ADDRESS, at);
    });
    assert_eq!(answer.code(), Some(403));
}
