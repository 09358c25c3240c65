//! `hairpin bench` against the real server: what it measures adds up, and what goes wrong is said.
//!
//! Rates are low and nothing is asserted about speed.
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
use harness::*;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Fixed rate and a short measurement, by alice.
const SHORT: &str = "--clients 5 --rate 500 --duration 1s --json --user alice";

/// Runs the generator: exit code, standard output, standard error.
fn bench(url: &str, flags: &str) -> (i32, String, String) {
    let words: Vec<&str> = ["bench", url].into_iter().chain(flags.split_whitespace()).collect();
    let alice = flags.contains("--user alice") && !flags.contains("--password");
    let password: &[&str] = if alice { &["--password", ALICE.1] } else { &[] };
    // Not within the patience of other tests: a search takes as long as it takes.
    let output = command(&[words.as_slice(), password].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Measures, and returns the document.
fn measured(url: &str, flags: &str) -> Value {
    let (code, out, err) = bench(url, flags);
    assert_eq!(code, 0, "{url} {flags}: {err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// A number of the result.
fn number(document: &Value, path: &str) -> f64 {
    document.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {document:#}"))
}

/// Measures at a low rate and checks that about everything arrives.
fn relays(url: &str, flags: &str) -> Value {
    let document = measured(url, &format!("{SHORT} {flags}"));
    let result = |name: &str| number(&document, &format!("/result/{name}"));
    assert_eq!(result("offered_pps"), 500.0);
    assert!(result("sent_pps") > 300.0, "{flags}: {document:#}");
    assert!(result("loss_percent") < 10.0, "{flags}: {document:#}");
    assert!(result("relayed_pps") > 250.0, "{flags}: {document:#}");
    assert!(result("latency_us/p50") > 0.0 && result("latency_us/p99.9") >= result("latency_us/p50"));
    document
}

/// The URL of a server.
fn turn(addr: SocketAddr) -> String {
    format!("turn:{addr}")
}

#[test]
fn every_way_of_sending_is_relayed_over_udp() {
    let server = Setup::new().start();
    let url = turn(server.addr);
    for flags in [
        "--direction up",
        "--direction down",
        "--direction both",
        "--send",
        "--send --direction down",
        "--burst 8",
        "--burst 8 --direction down --size 1400",
        "--mix call",
        "--mix call --burst 4 --send",
        "--size 16 --threads 2",
    ] {
        relays(&url, flags);
    }
}

#[test]
fn streams_are_relayed() {
    let server = Setup::new().start();
    let url = format!("turn:{}?transport=tcp", server.addr);
    for flags in ["", "--send", "--burst 8 --direction up", "--mix call --direction down", "--size 17"] {
        relays(&url, flags);
    }
}

#[test]
fn frames_that_come_together_are_all_taken() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || answer_late(listener.accept().unwrap().0));
    let url = format!("stun:{addr}?transport=tcp");
    let document = measured(&url, "--workload binding --clients 1 --rate 300 --duration 1s --json");
    assert_eq!(number(&document, "/result/loss_percent"), 0.0, "{document:#}");
}

/// Answers Binding requests, all at once when no more come.
fn answer_late(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut answers, mut request) = (Vec::new(), [0; 20]);
    loop {
        match stream.read_exact(&mut request) {
            Ok(()) => answers.extend([&[1, 1], &request[2..]].concat()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.write_all(&answers).unwrap();
                answers.clear();
            }
            Err(_) => return,
        }
    }
}

#[test]
fn tls_is_relayed_for_those_who_say_whom_they_trust() {
    relayed_for_those_who_trust("");
}

#[test]
fn dtls_is_relayed_for_those_who_say_whom_they_trust() {
    if !requires(&name(), &[Need::Dtls]) {
        return;
    }
    relayed_for_those_who_trust("?transport=udp");
}

/// SEC-43: as many clients of one address as are set up at a time have a session at once, and more where that is allowed.
#[test]
fn many_clients_of_one_address_are_served_under_dtls() {
    if !requires(&name(), &[Need::Dtls]) {
        return;
    }
    let (authority, folder) = (Authority::new(), Folder::new());
    let pairs = [authority.issue(&folder, "leaf", "turn.example")];
    for (limit, clients) in [("50", 45), ("0", 300)] {
        let server = Setup::new().certificates(&pairs).set("limits.source-handshakes", limit).start();
        let url = format!("turns:{}?transport=udp", server.tls);
        let flags = format!("--workload allocate --clients {clients} --json --insecure --user alice");
        let document = measured(&url, &flags);
        assert_eq!(number(&document, "/allocate/done"), f64::from(clients), "{document:#}");
    }
}

/// Measures over TLS or DTLS: what is relayed, and whom clients must trust for it.
fn relayed_for_those_who_trust(transport: &str) {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "leaf", "turn.example");
    let roots = folder.write("roots.pem", &authority.issuer.pem());
    let server = Setup::new().certificates(&[pair]).start();
    let url = format!("turns:{}{transport}", server.tls);
    for flags in ["", "--burst 8 --direction up", "--mix call --direction down", "--size 1400"] {
        relays(&url, &format!("--insecure {flags}"));
    }
    relays(&url, &format!("--ca {} --tls-name turn.example --send", roots.display()));
    let (code, _, err) = bench(&url, SHORT);
    assert!(code == 1 && err.contains("--ca"), "{err}");
    let (code, _, err) = bench(&url, &format!("{SHORT} --ca {}", roots.display()));
    assert!(code == 2 && err.contains("--tls-name"), "the certificate has another name: {err}");
    let (code, _, err) = bench(&url, &format!("{SHORT} --ca {}", folder.write("none.pem", "").display()));
    assert!(code == 2 && err.contains("--ca takes a PEM file of roots"), "{err}");
    let plain = Setup::new().start();
    let (code, _, err) = bench(&format!("turns:{}{transport}", plain.addr), &format!("{SHORT} --insecure"));
    assert!(code == 2 && err.contains("allocate: "), "no TLS or DTLS on that port: {err}");
}

#[test]
fn connections_are_relayed() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "leaf", "turn.example");
    let server = Setup::new().certificates(&[pair]).set("workers", "2").start();
    let tcp = format!("turn:{}?transport=tcp --relayed tcp", server.addr);
    let tls = format!("turns:{} --relayed tcp --insecure", server.tls);
    for url in [tcp, tls] {
        let (url, relayed) = url.split_once(' ').unwrap();
        for flags in ["", "--direction up", "--burst 8 --direction down", "--mix call", "--size 17 --threads 2"] {
            let document = relays(url, &format!("{relayed} {flags}"));
            assert_eq!(document["framing"], "connections", "{document:#}");
            assert_eq!(number(&document, "/result/loss_percent"), 0.0, "{document:#}");
        }
    }
}

#[test]
fn a_stranger_who_greets_as_a_client_does_not_take_its_place() {
    let (server, peer) = (Setup::new().start(), own_address());
    let strangers = std::thread::spawn(move || {
        let addr = eventually("the built-in peer listens", || listening_at(peer));
        // The first client's number: without what only a client knows, and with something else in its place.
        let greetings = [vec![0x40, 0, 0, 4, 0, 0, 0, 0], [&[0x40, 0, 0, 20][..], &[0; 20]].concat()];
        let greet = |greeting: Vec<u8>| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&greeting).unwrap();
            stream
        };
        greetings.map(greet).map(|mut stream| {
            let mut heard = Vec::new();
            // It ends with the generator, in whatever way.
            _ = stream.read_to_end(&mut heard);
            heard
        })
    });
    let flags = format!("--relayed tcp --peer-address {peer} --threads 1");
    let document = relays(&format!("turn:{}?transport=tcp", server.addr), &flags);
    assert_eq!(number(&document, "/result/loss_percent"), 0.0, "{document:#}");
    assert_eq!(strangers.join().unwrap(), [Vec::<u8>::new(), Vec::new()], "nobody greets them back");
}

/// Where somebody listens for connections to an address.
fn listening_at(ip: Ipv4Addr) -> Option<SocketAddr> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // "0: 0100007F:1F90 00000000:0000 0A": 0A is LISTEN, and the address is in the order of this machine.
    let of_line = |line: &str| {
        let (local, state) = (line.split_whitespace().nth(1)?, line.split_whitespace().nth(3)?);
        let (addr, port) = local.split_once(':')?;
        let addr = Ipv4Addr::from(u32::from_str_radix(addr, 16).ok()?.to_ne_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == "0A" && addr == ip).then_some(SocketAddr::from((addr, port)))
    };
    sockets.lines().skip(1).find_map(of_line)
}

#[test]
fn allocations_with_a_connection_are_made_and_deleted() {
    let server = Setup::new().start();
    let flags = "--workload allocate --clients 20 --json --user alice --relayed tcp";
    let document = measured(&format!("turn:{}?transport=tcp", server.addr), flags);
    for phase in ["allocate", "refresh", "delete"] {
        assert_eq!(number(&document, &format!("/{phase}/done")), 20.0, "{document:#}");
    }
    gives_all_back(&server, 20);
}

#[test]
fn ipv6_is_relayed() {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("skipped: ipv6_is_relayed: needs the address ::1");
    }
    let server = Setup::at(IpAddr::V6(Ipv6Addr::LOCALHOST)).start();
    relays(&turn(server.addr), "");
    relays(&turn(server.addr), "--send");
    relays(&format!("turn:{}?transport=tcp", server.addr), "");
    relays(&format!("turn:{}?transport=tcp", server.addr), "--relayed tcp");
}

#[test]
fn a_remote_peer_sends_everything_back() {
    let server = Setup::new().start();
    let echo = Server::spawn(&["bench", "--echo", "127.0.0.1:0"], None);
    echo.out.wait_for("echo on ");
    let addr = echo.out.text().rsplit(' ').next().unwrap().to_owned();
    for flags in ["", "--send", "--burst 8", "--mix call"] {
        let document = relays(&turn(server.addr), &format!("--remote-peer {addr} {flags}"));
        assert!(document["direction"].as_str().unwrap().contains("twice"));
    }
    let (code, _, err) = bench(&turn(server.addr), &format!("{SHORT} --remote-peer {addr} --direction up"));
    assert!(code == 1 && err.contains("--direction"), "{err}");
}

#[test]
fn an_echo_that_cannot_keep_up_says_so() {
    let echo = Server::spawn(&["bench", "--echo", "127.0.0.1:0"], None);
    echo.out.wait_for("echo on ");
    let addr = echo.out.text().rsplit(' ').next().unwrap().to_owned();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &echo.child.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // More than the largest buffer takes.
    (0..40_000).for_each(|_| _ = socket.send_to(&[0; 1400], &addr));
    signal("-CONT");
    echo.err.wait_for("packets could not be sent back so far");
}

#[test]
fn allocations_are_made_refreshed_and_deleted() {
    let server = Setup::new().start();
    let pid = server.child.id();
    let flags = format!("--workload allocate --clients 100 --json --user alice --hold 1s --pid {pid}");
    let document = measured(&turn(server.addr), &flags);
    for phase in ["allocate", "refresh", "delete"] {
        assert_eq!(number(&document, &format!("/{phase}/done")), 100.0, "{document:#}");
        assert!(number(&document, &format!("/{phase}/latency_us/p99")) > 0.0);
        let busy = number(&document, &format!("/{phase}/generator/busy_percent"));
        assert!((0.0..=100.0).contains(&busy), "{document:#}");
        assert_eq!(document[phase]["generator_limited"], busy >= 95.0);
        assert!(number(&document, &format!("/{phase}/server/cpu_us_per_allocation")) >= 0.0);
    }
    assert!(number(&document, "/memory/after") > 0.0);
    assert_eq!(document["generator_limited"], document["allocate"]["generator_limited"]);
    gives_all_back(&server, 100);
}

#[test]
fn a_long_step_says_that_it_still_goes_on() {
    let server = Setup::new().start();
    let (code, _, progress) = bench(&turn(server.addr), "--workload allocate --clients 2 --user alice --hold 11s");
    assert!(code == 0 && progress.contains("2 allocations are held, for 10 s so far"), "{progress}");
}

#[test]
fn time_limited_credentials_are_made_of_a_secret() {
    let server = Setup::new().set("auth.secrets", "\"one-word-of-a-secret\"").start();
    let flags = "--workload allocate --clients 3 --json --secret one-word-of-a-secret";
    assert_eq!(number(&measured(&turn(server.addr), flags), "/allocate/done"), 3.0);
}

#[test]
fn refusals_of_some_allocations_are_counted_by_code() {
    let server = Setup::new().set("limits.user-allocations", "5").start();
    let document = measured(&turn(server.addr), "--workload allocate --clients 8 --json --user alice");
    assert_eq!(number(&document, "/allocate/done"), 5.0);
    assert_eq!(number(&document, "/allocate/errors/486"), 3.0);
}

#[test]
fn a_measurement_that_fails_leaves_nothing_behind() {
    let quota = Setup::new().set("limits.user-allocations", "5").start();
    assert_eq!(bench(&turn(quota.addr), &SHORT.replace("--clients 5", "--clients 8")).0, 2);
    gives_all_back(&quota, 5);
    // The allocations are made, but no channel is.
    let strict = Setup::new().set("peers.allow-loopback", "false").start();
    for (round, flags) in [SHORT, "--workload allocate --clients 5 --json --user alice"].into_iter().enumerate() {
        assert_eq!(bench(&turn(strict.addr), flags).0, 2);
        gives_all_back(&strict, 5 * (round + 1));
    }
}

/// So many allocations were made, and all were deleted.
fn gives_all_back(server: &Server, count: usize) {
    let said = |text: &str| server.err.text().matches(text).count();
    eventually("every allocation is given back", || (said("allocation ended") == count).then_some(()));
    assert_eq!(said("allocation made"), count);
}

#[test]
fn binding_requests_are_answered() {
    let server = Setup::new().start();
    for url in [format!("stun:{}", server.addr), format!("turn:{}?transport=tcp", server.addr)] {
        let document = measured(&url, "--workload binding --clients 3 --rate 300 --duration 1s --json");
        assert!(number(&document, "/result/relayed_pps") > 150.0, "{document:#}");
    }
}

#[test]
fn a_report_holds_what_its_numbers_depend_on() {
    let (server, folder) = (Setup::new().start(), Folder::new());
    let page = folder.path("report.html");
    let pid = server.child.id();
    let document = relays(&turn(server.addr), &format!("--html {} --pid {pid}", page.display()));
    for name in
        ["cpu", "cores", "kernel", "url", "workload", "clients", "threads", "direction", "size", "burst", "peer"]
    {
        assert!(!document[name].is_null(), "{name} in {document:#}");
    }
    assert!(number(&document, "/result/server/resident_bytes") > 0.0);
    assert_eq!(document["steps"].as_array().unwrap().len(), 1);
    assert!(document["generator_limited"].is_boolean());
    holds_charts(&page);
    let (_, table, progress) = bench(&turn(server.addr), "--clients 2 --rate 100 --duration 1s --user alice");
    assert!(table.contains("relayed/s") && table.contains("result:") && table.contains("kernel"), "{table}");
    assert!(progress.contains("offered 100/s"), "{progress}");
}

/// The page has a line for each percentile, and needs nothing from elsewhere.
fn holds_charts(page: &Path) {
    let text = std::fs::read_to_string(page).unwrap();
    assert_eq!(text.matches("<svg").count(), 3, "{text}");
    for part in ["Throughput", "Loss", "Latency", ">p99.9<", "<polyline points=\"", "<circle"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains("http") && !text.contains("<script"));
}

#[test]
fn a_saturated_server_is_found_out() {
    // The server's own limit, as no machine's speed may matter: 100 kB in a second for each allocation and way.
    let server = Setup::new().set("limits.bandwidth", "\"100kB/s\"").start();
    let flags = "--clients 2 --duration 1s --json --user alice --size 1000 --direction up --loss 5";
    let document = measured(&turn(server.addr), flags);
    let relayed = number(&document, "/result/relayed_pps");
    assert!((50.0..400.0).contains(&relayed), "{document:#}");
    assert!(document["steps"].as_array().unwrap().len() > 5);
}

#[test]
fn a_result_that_loses_too_much_says_so() {
    let server = Setup::new().set("limits.bandwidth", "\"100kB/s\"").start();
    let flags = "--clients 1 --rate 1000 --size 1000 --direction up --duration 1s --user alice";
    let (_, table, _) = bench(&turn(server.addr), flags);
    assert!(table.contains("more was lost than --loss 0.1"), "{table}");
    let document = measured(&turn(server.addr), &format!("{flags} --json"));
    assert_eq!(document["loss_exceeded"], true, "{document:#}");
    let document = measured(&turn(server.addr), &format!("{flags} --json --loss 100"));
    assert_eq!(document["loss_exceeded"], false, "{document:#}");
}

#[test]
fn what_goes_wrong_is_said_with_a_remedy() {
    let server = Setup::new().start();
    let says = |url: &str, flags: &str, code: i32, part: &str| {
        let (found, out, err) = bench(url, flags);
        assert!(found == code && err.contains(part), "{url} {flags}: {found} {out} {err}");
    };
    let url = turn(server.addr);
    says(&url, "--user alice --password wrong --rate 10", 2, "the user or the password is wrong");
    says(&url, "--workload allocate --user nobody --password wrong", 2, "see --user, --password");
    let free = SocketAddr::new(server.addr.ip(), free_port());
    says(&turn(free), SHORT, 2, "no server listens there");
    says(&format!("turn:{free}?transport=tcp"), SHORT, 2, "no server listens there");
    says(&format!("stun:{free}"), "--workload binding --rate 10", 2, "no server listens there");
    says(&url, &format!("{SHORT} --relayed tcp"), 1, "--relayed tcp is for clients over TCP: add ?transport=tcp");
    let tcp = format!("{url}?transport=tcp");
    says(&tcp, &format!("{SHORT} --relayed tcp --send"), 1, "leave out --send");
    says(&tcp, &format!("{SHORT} --relayed tcp --remote-peer 127.0.0.1:9"), 1, "leave out --remote-peer");
    let datagrams = Setup::new().set("relay.tcp", "false").start();
    let datagrams = format!("turn:{}?transport=tcp", datagrams.addr);
    says(&datagrams, &format!("{SHORT} --relayed tcp"), 2, "442 the server relays no TCP: switch it on");
    says(&url, "", 1, "give --user and --password");
    says(&format!("stun:{free}"), SHORT, 1, "--workload binding");
    says("http://example.org", SHORT, 1, "write turn:HOST");
    says(&url, &format!("{SHORT} --loss many"), 1, "--loss");
    says(&url, &format!("{SHORT} --size 15"), 1, "--size");
    says(&url, &format!("{SHORT} --html /no/such/folder/page.html"), 2, "--html: /no/such/folder/page.html: No such");
    says(&url, "--workload allocate --user alice --hold 301s", 1, "--hold: at most 5m");
    says(&url, &format!("{SHORT} --peer-address 192.0.2.1"), 2, "--peer-address");
    says(&url, &format!("{SHORT} --relay-family 6"), 2, "--relay-family 6 does not reach the peer");
    says(&url, &format!("{SHORT} --pid 4194305"), 2, "--pid");
    let strict = Setup::new().set("peers.allow-loopback", "false").start();
    says(&turn(strict.addr), SHORT, 2, "the server forbids this peer");
    let small = Setup::new().set("limits.user-allocations", "1").start();
    says(&turn(small.addr), SHORT, 2, "486");
}

#[test]
fn a_flag_that_would_do_nothing_is_refused_with_a_remedy() {
    let says = |url: &str, flags: &str, part: &str| {
        let (code, out, err) = bench(url, flags);
        assert!(code == 1 && err.contains(part), "{url} {flags}: {code} {out} {err}");
    };
    let with = |flag: &str, workload: &str, remedy: &str| {
        let name = flag.split(' ').next().unwrap();
        let part =
            format!("{name} does nothing with --workload {workload}: leave it out, or measure --workload {remedy}");
        says("turn:127.0.0.1:9", &format!("--user alice --workload {workload} {flag}"), &part);
    };
    with("--rate 10", "allocate", "relay or binding");
    with("--loss 1", "allocate", "relay or binding");
    with("--burst 2", "allocate", "relay or binding");
    for workload in ["allocate", "binding"] {
        with("--direction up", workload, "relay");
        with("--size 100", workload, "relay");
        with("--mix call", workload, "relay");
    }
    for workload in ["relay", "binding"] {
        with("--hold 1s", workload, "allocate");
    }
    for flag in ["--send", "--relayed tcp", "--relay-family 4", "--peer-address 127.0.0.1", "--remote-peer 127.0.0.1:9"]
    {
        with(flag, "binding", "relay or allocate");
    }
    says("turn:127.0.0.1:9", "--user alice --size 100 --mix call", "--size");
    says("--echo=127.0.0.1:0", "--clients 5", "--clients does nothing beside --echo: leave it out");
    says("--echo=127.0.0.1:0", "--json", "--json does nothing beside --echo: leave it out");
}
