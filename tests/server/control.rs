//! The control socket, and the commands of an operator that ask there.

use crate::client::Client;
use crate::harness::*;
use crate::stopped::Stopped;
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Where the control socket of a test's server is, in a folder that ends with the test.
pub fn place() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let path = folder.path("control");
    (folder, path)
}

/// A configuration with this control socket.
pub fn setup(path: &Path) -> Setup {
    Setup::new().set("admin.socket", &quoted(path.to_str().unwrap()))
}

/// Asks with a command of the binary, which must succeed.
pub fn command_at(path: &Path, arguments: &[&str]) -> String {
    let (code, out, said) = finish(&[arguments, &["--socket", path.to_str().unwrap()]].concat());
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    out
}

/// The same, read as JSON.
pub fn json_at(path: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&command_at(path, &[arguments, &["--json"]].concat())).unwrap()
}

/// Sends bytes as they are; what comes back.
fn send(path: &Path, bytes: &[u8]) -> Value {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who says too much is not heard to the end.
    _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer);
    serde_json::from_slice(&answer).unwrap()
}

#[test]
fn status_tells_how_the_server_stands() {
    let (_folder, path) = place();
    let server = setup(&path).start();
    let mut clients = [Client::udp(server.addr).named(ALICE), server.alice_by_tcp()];
    let peer = peer_at(server.addr.ip());
    for client in &mut clients {
        client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        client.send_channel(0x4000, b"four");
        receive(&peer);
    }
    clients[0].send_channel(0x4001, b"nobody's");
    // Workers leave their numbers a few times in a second.
    let status = eventually("everything is counted", || {
        let status = json_at(&path, &["status"]);
        let done = status["user_space"]["to_peer"]["packets"] == 2 && status["drops"]["user_space"]["no_channel"] == 1;
        done.then_some(status)
    });
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["process"], server.child.id());
    assert_eq!(status["allocations"], json!({ "all": 2, "udp": 1, "tcp": 1, "tls": 0, "dtls": 0 }));
    assert_eq!(status["user_space"]["to_peer"]["bytes"], 8);
    assert_eq!(status["connections"], 1);
    assert!(status["workers"].as_u64().unwrap() >= 1);
    assert_eq!((&status["kernel"]["mode"], &status["kernel"]["why"]), (&json!("off"), &json!("as configured")));
    let listener = json!({ "address": server.addr.to_string(), "transports": ["udp", "tcp"], "proxied": false });
    assert!(status["listeners"].as_array().unwrap().contains(&listener), "{status}");
    let text = command_at(&path, &["status"]);
    for line in ["allocations  2 (udp 1, tcp 1)", "kernel path  off: as configured", "no_channel   user space        1"]
    {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.contains(&format!("serving      {} udp tcp", server.addr)), "{text}");
    for client in &mut clients {
        client.refresh(0);
    }
    eventually("the allocations are gone", || (json_at(&path, &["status"])["allocations"]["all"] == 0).then_some(()));
}

/// Without `--socket` the one of the configuration is asked.
#[test]
fn the_configuration_names_the_socket() {
    let (_folder, path) = place();
    let server = setup(&path).start();
    let file = server.folder().path("hairpin.toml");
    let (code, out, _) = finish(&["-c", file.to_str().unwrap(), "status", "--json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["process"], server.child.id());
    let (code, _, said) = finish(&["--admin-socket", "off", "status"]);
    assert!(code == 1 && said.contains("admin.socket is off"), "{said}");
    let (code, _, said) = finish(&["--admin-socket", "here", "check"]);
    assert!(code == 1 && said.contains("admin-socket") && said.contains("/run/hairpin/control"), "{said}");
}

/// In the folder that systemd makes for a service there is a socket without a word of configuration.
#[test]
fn the_usual_socket_is_in_the_runtime_directory() {
    let folder = Folder::new();
    let path = folder.path("control");
    let setup = Setup::new().set("admin.socket", "\"auto\"");
    let text = setup.text(free_port(), free_port());
    let file = folder.write("hairpin.toml", &text);
    let start = || {
        let mut command = command(&["-c", file.to_str().unwrap()]);
        command.env("RUNTIME_DIRECTORY", folder.path(""));
        Server::spawn_command(command, None)
    };
    let server = start();
    eventually("the socket answers", || UnixStream::connect(&path).ok());
    assert_eq!(json_at(&path, &["status"])["process"], server.child.id());
}

/// SEC-46: nobody but the server's user may ask, whatever the umask.
#[test]
fn the_socket_is_for_its_user_alone_and_goes_with_the_server() {
    let (_folder, path) = place();
    let mut server = setup(&path).start();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    server.signal("TERM");
    server.wait();
    assert!(!path.exists(), "the socket goes with the server");
    let (code, _, said) = finish(&["status", "--socket", path.to_str().unwrap()]);
    assert_eq!(code, 2);
    let wanted = format!("error: no server answers at {}: is it running, with admin.socket set?", path.display());
    assert!(said.starts_with(&wanted), "{said}");
}

#[test]
fn the_socket_of_a_dead_server_is_replaced_and_that_of_a_living_one_is_not() {
    let (_folder, path) = place();
    let mut first = setup(&path).start();
    first.child.kill().unwrap();
    first.wait();
    assert!(path.exists(), "it had no time to remove its socket");
    let second = setup(&path).start();
    assert_eq!(json_at(&path, &["status"])["process"], second.child.id());

    let (ip, port) = (own_address().to_string(), free_port().to_string());
    let arguments = ["--listen-addresses", &ip, "--listen-port", &port, "--admin-socket", path.to_str().unwrap()];
    let (code, _, said) = finish(&arguments);
    assert_eq!(code, 2);
    assert!(
        said.contains(&format!("admin.socket: {}: another server answers there; stop it", path.display())),
        "{said}"
    );
    assert_eq!(json_at(&path, &["status"])["process"], second.child.id(), "it still answers");
}

/// What is no socket is somebody's file, and a folder that is not there is named.
#[test]
fn a_socket_that_cannot_be_made_is_named_with_its_key() {
    let (folder, _) = place();
    let file = folder.write("precious", "data");
    let nowhere = folder.path("nowhere/control");
    let (ip, port) = (own_address().to_string(), free_port().to_string());
    for (path, wanted) in [(&file, "is there and no socket; remove it"), (&nowhere, "cannot be made: ")] {
        let arguments = ["--listen-addresses", &ip, "--listen-port", &port, "--admin-socket", path.to_str().unwrap()];
        let (code, _, said) = finish(&arguments);
        assert_eq!(code, 2);
        assert!(said.contains(&format!("admin.socket: {}: {wanted}", path.display())), "{said}");
    }
    assert!(file_holds(&file, "data"));
}

#[test]
fn bad_questions_are_told_what_is_wrong_and_harm_nobody() {
    let (_folder, path) = place();
    let server = setup(&path).start();
    let long = [b"{\"command\":\"status\"".to_vec(), vec![b' '; 5000], b"}\n".to_vec()].concat();
    let cases: [(&[u8], &str); 7] = [
        (b"", "not a whole line"),
        (b"{\"command\":\"status\"}", "not a whole line"),
        (b"status\n", "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"[1]\n", "not an object"),
        (b"{\"command\":\"halt\"}\n", "unknown command \"halt\"; there is status, metrics, sessions and kick"),
        (&long, "longer than 4096 bytes"),
    ];
    for (bytes, wanted) in cases {
        let answer = send(&path, bytes);
        assert!(answer["error"].as_str().unwrap().contains(wanted), "{answer}");
    }
    // Who says nothing keeps nobody from asking.
    let silent: Vec<UnixStream> = (0..4).map(|_| UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(send(&path, b"{\"command\":\"status\"}\n")["process"], server.child.id());
    drop(silent);
    server.alice().allocate();
}

/// Whatever answers at a socket, it is told from a server.
#[test]
fn somebody_elses_socket_is_told_from_a_server() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let other = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 ready\r\n").unwrap());
    let (code, _, said) = finish(&["status", "--socket", path.to_str().unwrap()]);
    assert!(code == 2 && said.contains("is no hairpin"), "{said}");
    other.join().unwrap();
}

/// Who is there and lets nobody in is not waited for.
#[test]
fn a_server_that_is_stopped_is_told_from_none() {
    let (_folder, path) = place();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
    let (full, address) = (socket(), SockAddr::unix(&path).unwrap());
    full.bind(&address).unwrap();
    full.listen(0).unwrap();
    let waiting = socket();
    waiting.connect(&address).unwrap();
    let (code, _, err) = finish(&["status", "--socket", path.to_str().unwrap()]);
    assert!(code == 2 && err.contains("the server does not answer in time"), "{code} {err}");
    let (address, port) = (own_address().to_string(), free_port().to_string());
    let listen = ["--listen-addresses", &address, "--listen-port", &port];
    let (code, _, err) = finish(&[&["--admin-socket", path.to_str().unwrap()][..], &listen].concat());
    assert!(code != 0 && err.contains("another server answers there"), "{code} {err}");
}

/// What limits refuse is counted, and the help of the metric says so.
#[test]
fn refused_connections_are_counted() {
    let (_folder, path) = place();
    let server = setup(&path).set("limits.source-connections", "1").start();
    let refused = || json_at(&path, &["status"])["drops"]["user_space"]["source_rate"].as_u64().unwrap_or(0);
    let (mut first, before) = (Client::tcp(server.addr), refused());
    first.binding();
    assert_eq!(Client::tcp(server.addr).hear(), crate::client::Heard::End);
    assert_eq!(refused(), before + 1);
    let metrics = command_at(&path, &["metrics"]);
    let help = metrics.lines().find(|line| line.starts_with("# HELP hairpin_dropped_packets ")).unwrap();
    assert!(help.contains("source_rate") && help.contains("connections and handshakes that a limit refused"), "{help}");
}

/// The sessions that a server shows, with these flags.
fn sessions(path: &Path, flags: &[&str]) -> Vec<Value> {
    json_at(path, &[&["sessions"], flags].concat())["sessions"].as_array().unwrap().clone()
}

/// How many are ended with these flags.
fn kick(path: &Path, flags: &[&str]) -> Value {
    json_at(path, &[&["kick"], flags].concat())["ended"].clone()
}

#[test]
fn sessions_say_who_has_what_and_what_was_relayed() {
    let (_folder, path) = place();
    let server = setup(&path).set("workers", "2").start();
    let peer = peer_at(server.addr.ip());
    let mut alice = Client::udp_from(own_address().into(), server.addr).named(ALICE);
    let mut bob = Client::tcp(server.addr).named(BOB);
    let relayed = alice.allocate();
    bob.allocate();
    alice.bind(0x4000, peer.local_addr().unwrap());
    alice.send_channel(0x4000, b"four");
    receive(&peer);
    peer.send_to(b"three", relayed).unwrap();
    alice.data();
    let found = sessions(&path, &[]);
    assert_eq!(found.len(), 2);
    let one = found.iter().find(|one| one["user"] == ALICE.0).unwrap();
    assert_eq!(one["client"], alice.local().to_string());
    assert_eq!(one["server"], server.addr.to_string());
    assert_eq!(one["relayed"], json!([relayed.to_string()]));
    assert_eq!((&one["transport"], &one["realm"], &one["path"]), (&json!("udp"), &json!(REALM), &json!("user space")));
    assert_eq!((&one["permissions"], &one["channels"], &one["protocol"]), (&json!(1), &json!(1), &json!("udp")));
    let relayed_by = json!({ "to_peer": { "packets": 1, "bytes": 4 }, "to_client": { "packets": 1, "bytes": 5 } });
    assert_eq!(one["user_space"], relayed_by);
    assert!(one["expires"].as_u64().unwrap() > 590 && one["age"].as_u64().unwrap() < 60);
    assert_eq!(found.iter().find(|one| one["user"] == BOB.0).unwrap()["transport"], "tcp");
    assert_eq!(sessions(&path, &["--user", BOB.0]).len(), 1);
    assert_eq!(sessions(&path, &["--user", BOB.0, "--realm", "elsewhere"]).len(), 0);
    assert_eq!(sessions(&path, &["--client", &alice.local().to_string()]).len(), 1);
    let text = command_at(&path, &["sessions"]);
    assert!(text.contains(&format!("alice@{REALM}")) && text.ends_with("\n2 allocations"), "{text}");
}

/// As by Refresh with zero: the relay is closed, its quota is free, and nobody else notices.
#[test]
fn kicked_users_lose_their_allocations_and_may_make_others() {
    let (_folder, path) = place();
    let server = setup(&path).set("workers", "2").set("limits.user-allocations", "4").start();
    let peer = peer();
    let (at, mut bob) = (peer.local_addr().unwrap(), Client::tcp(server.addr).named(BOB));
    let theirs = bob.allocate();
    bob.bind(0x4000, at);
    let mut clients: Vec<Client> = (0..4).map(|n| if n < 2 { server.alice() } else { server.alice_by_tcp() }).collect();
    let relayed: Vec<_> = clients.iter_mut().map(Client::allocate).collect();
    clients.iter_mut().for_each(|client| client.bind(0x4000, at));
    assert_eq!(server.alice().try_allocate(), Err(486));

    assert_eq!(kick(&path, &["--user", ALICE.0, "--realm", "elsewhere"]), 0);
    assert_eq!(kick(&path, &["--user", ALICE.0, "--realm", REALM]), 4);
    for (client, relayed) in clients.iter_mut().zip(&relayed) {
        if client.is_udp() {
            client.send_channel(0x4000, b"to nobody");
            assert_eq!(client.refresh(600), Some(437));
        } else {
            assert_eq!(client.hear(), crate::client::Heard::End);
        }
        eventually("the relay's port is free", || std::net::UdpSocket::bind(relayed).ok());
    }
    assert_eq!(sessions(&path, &[]).len(), 1);
    bob.send_channel(0x4000, b"untouched");
    assert_eq!(receive(&peer), (b"untouched".to_vec(), theirs));
    let mut again: Vec<Client> = (0..4).map(|_| server.alice()).collect();
    again.iter_mut().for_each(|client| _ = client.allocate());
    server.err.wait_for("kick: allocations ended allocations=4");

    let seen = again[0].binding().to_string();
    assert_eq!(kick(&path, &["--client", &seen]), 1);
    assert_eq!(again[0].refresh(600), Some(437));
    assert_eq!(again[1].refresh(600), None);
    assert_eq!(command_at(&path, &["kick", "--all"]), "4 allocations ended");
    assert_eq!(bob.hear(), crate::client::Heard::End);
    assert!(sessions(&path, &[]).is_empty());
}

/// The identity in time-limited names is a user, whatever the time in them.
#[test]
fn time_limited_users_are_kicked_by_their_identity() {
    let (_folder, path) = place();
    let server = setup(&path).start();
    for (name, whom) in [("4000000000:guest", "guest"), ("4000000001:guest", "4000000001:guest")] {
        let password = hairpin::auth::rest::password(SECRET, name, hairpin::auth::rest::Hash::Sha1);
        let mut client = Client::udp(server.addr).named((name, &password));
        client.allocate();
        assert_eq!(kick(&path, &["--user", whom]), 1);
        assert_eq!(client.refresh(600), Some(437));
    }
}

/// More than a worker looks at in one go.
#[test]
fn crowds_are_shown_and_kicked() {
    let (_folder, path) = place();
    let server = setup(&path).set("limits.unauthenticated", "0").start();
    let mut clients: Vec<Client> = (0..250).map(|_| server.alice()).collect();
    clients.iter_mut().for_each(|client| _ = client.allocate());
    assert_eq!(sessions(&path, &[]).len(), 250);
    assert_eq!(kick(&path, &["--user", ALICE.0]), 250);
    assert!(sessions(&path, &[]).is_empty());
    assert_eq!(clients[249].refresh(600), Some(437));
}

/// Asks with a command of which not all can be done: what it prints, and what it complains of.
fn half_done(path: &Path, arguments: &[&str]) -> (String, String) {
    let (code, out, said) = finish(&[arguments, &["--socket", path.to_str().unwrap()]].concat());
    assert_eq!(code, 2, "{out}{said}");
    (out, said)
}

/// A worker that hangs is named; what the others had, and what they have ended, is told all the same.
#[test]
fn a_worker_that_does_not_answer_is_named_and_the_rest_is_told() {
    if !Stopped::allowed() {
        return lacks(&name(), "the right to trace a child (ptrace)");
    }
    if !std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        return lacks(&name(), "two cores, as there are no more workers than cores");
    }
    let (_folder, path) = place();
    let server = setup(&path).set("workers", "2").start();
    let mut clients: Vec<Client> = (0..24).map(|_| server.alice()).collect();
    clients.iter_mut().for_each(|client| _ = client.allocate());
    // The workers have places as they come. If the first one stands still, nothing can be told; then it is the other's turn.
    let (_stopped, told) = ["hairpin-0", "hairpin-1"]
        .into_iter()
        .find_map(|name| {
            let stopped = Stopped::thread(&server.child, name);
            let (out, said) = half_done(&path, &["sessions", "--json"]);
            assert!(
                said.starts_with("error: the list is not whole: worker ") && said.contains("does not answer"),
                "{said}"
            );
            let answer: Value = serde_json::from_str(&out).unwrap();
            let told = answer["sessions"].as_array().unwrap().len();
            (told > 0).then_some((stopped, told))
        })
        .expect("one of them is not the first");
    assert!(told < 24, "the other one has some too");
    let (out, said) = half_done(&path, &["kick", "--all"]);
    assert!(out.starts_with(&format!("{told} allocation")) && out.ends_with(" ended"), "{out}");
    assert!(said.starts_with("error: not all were asked: worker 1 does not answer"), "{said}");
    server.err.wait_for(&format!("kick: allocations ended allocations={told}"));
}

/// Nobody is kicked by a slip of the keyboard.
#[test]
fn who_is_to_be_kicked_must_be_said() {
    let (_folder, path) = place();
    let server = setup(&path).start();
    server.alice().allocate();
    let cases: [(&str, &str); 8] = [
        (r#"{"command":"kick"}"#, "whom?"),
        (r#"{"command":"kick","all":false}"#, "whom?"),
        (r#"{"command":"kick","all":true,"user":"bob"}"#, "exclude each other"),
        (r#"{"command":"kick","usr":"bob"}"#, "unknown field \"usr\""),
        (r#"{"command":"kick","realm":"example.org"}"#, "\"realm\" goes with \"user\""),
        (r#"{"command":"kick","client":"127.0.0.1"}"#, "no address with a port"),
        (r#"{"command":"kick","user":7}"#, "not a text"),
        (r#"{"command":"status","all":true}"#, "unknown field \"all\""),
    ];
    for (line, wanted) in cases {
        let answer = send(&path, format!("{line}\n").as_bytes());
        assert!(answer["error"].as_str().unwrap().contains(wanted), "{line}: {answer}");
    }
    let socket = ["--socket", path.to_str().unwrap()];
    for flags in
        [&["kick"][..], &["kick", "--all", "--user", "x"], &["kick", "--client", "x"], &["kick", "--realm", "x"]]
    {
        assert_eq!(finish(&[flags, &socket].concat()).0, 1, "{flags:?}");
    }
    assert_eq!(sessions(&path, &[]).len(), 1);
}
