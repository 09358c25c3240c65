//! The process: configure, start, watch, stop.

use crate::client::Client;
use crate::space::Space;
use hairpin::wire::{Class, Method, Writer};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub const REALM: &str = "example.org";
pub const ALICE: (&str, &str) = ("alice", "correct horse");
pub const BOB: (&str, &str) = ("bob", "battery staple");
pub const SECRET: &str = "a secret between server and service";

/// How long anything may take before a test gives up on it. A matter of patience, not of speed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Something a test needs that a machine may lack.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The right to make network namespaces, and the tool to furnish them.
    Spaces,
    /// The openssl program.
    Openssl,
    /// The programs that shape traffic and filter it.
    Filters,
    /// A reader of metrics: the Python module prometheus_client.
    Prometheus,
    /// The program that tells a network card what to do itself.
    Ethtool,
    /// The program that shows sockets.
    Sockets,
    /// DTLS in the server.
    Dtls,
}

/// Tells whether this machine has what a test needs; if not, says so once. `HAIRPIN_REQUIRE=all` makes a lack
/// a failure.
pub fn requires(test: &str, needs: &[Need]) -> bool {
    let missing = needs.iter().find_map(|need| match need {
        Need::Spaces if !runs("ip", "-V") => Some("the program `ip`"),
        Need::Spaces if !Space::allowed() => Some("the right to make network namespaces (root)"),
        Need::Filters if !runs("tc", "-V") => Some("the program `tc`"),
        Need::Filters if !runs("nft", "-v") => Some("the program `nft`"),
        Need::Ethtool if !runs("ethtool", "--version") => Some("the program `ethtool`"),
        Need::Sockets if !runs("ss", "-V") => Some("the program `ss`"),
        Need::Prometheus if !imports("prometheus_client") => Some("the Python module prometheus_client"),
        Need::Openssl if !runs("openssl", "version") => Some("the program `openssl`"),
        Need::Dtls if !hairpin::io::dtls::SERVED => Some("a build with `--features dtls`"),
        _ => None,
    });
    if let Some(what) = missing {
        lacks(test, what);
    }
    missing.is_none()
}

/// Says that a test needs what this machine does not have.
pub fn lacks(test: &str, what: &str) {
    assert!(std::env::var("HAIRPIN_REQUIRE").as_deref() != Ok("all"), "{test}: needs {what}");
    // Past the capture of the test runner: what was not tested should be seen.
    _ = writeln!(std::io::stderr(), "skipped: {test}: needs {what}");
}

/// The name of the test that runs, for [`requires`].
pub fn name() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// Python has a module.
fn imports(module: &str) -> bool {
    let import = format!("import {module}");
    let status =
        Command::new("/usr/bin/python3").args(["-c", &import]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Looks again and again until there is something to see.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number that no other call of this test run gets.
fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A loopback address that no other server of this run has; other runs have other processes.
pub fn own_address() -> Ipv4Addr {
    let serial = serial();
    // A run may need more than one block of addresses.
    let block = std::process::id().wrapping_add(serial / 250 * 7919);
    Ipv4Addr::new(127, 16 + (block % 224) as u8, (block / 224) as u8, 1 + (serial % 250) as u8)
}

/// A port that is free for UDP and TCP at this moment.
pub fn free_port() -> u16 {
    eventually("a port that is free for UDP and TCP", || {
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        let port = udp.local_addr().ok()?.port();
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).ok()?;
        Some(port)
    })
}

/// A directory that ends with the test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hairpin-{}-{}", std::process::id(), serial()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file; returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the directory for temporary files anyway.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The lines that a process has written.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    fn collect(&self, from: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lines.0.0.lock().unwrap().push(line);
                lines.0.1.notify_all();
            }
        });
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().join("\n")
    }

    /// Waits until a part of what was written, from the beginning, reads so.
    pub fn wait_for(&self, part: &str) {
        let lines = self.0.0.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(part));
        let (lines, _) = self.0.1.wait_timeout_while(lines, PATIENCE, missing).unwrap();
        assert!(lines.iter().any(|line| line.contains(part)), "never written: {part}; but: {lines:#?}");
    }
}

/// A configuration to be, in TOML.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The address that clients are told of.
    pub ip: IpAddr,
    lines: Vec<(String, String)>,
}

impl Setup {
    /// An address of its own, the users alice and bob and a secret; peers on loopback are allowed.
    pub fn new() -> Self {
        Self::at(IpAddr::V4(own_address()))
    }

    /// The same on this address.
    pub fn at(ip: IpAddr) -> Self {
        Self { ip, lines: Vec::new() }
            .set("listen.addresses", &format!("[\"{ip}\"]"))
            .set("auth.realm", &quoted(REALM))
            .set("auth.users", &format!("[\"{}:{}\", \"{}:{}\"]", ALICE.0, ALICE.1, BOB.0, BOB.1))
            .set("auth.secrets", &quoted(SECRET))
            .set("peers.allow-loopback", "true")
            .set("log.level", "\"debug\"")
            .set("kernel-path", "\"off\"")
            .set("admin.socket", "\"off\"")
    }

    /// Sets a key to a value in TOML, instead of what it had.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.lines.retain(|(known, _)| known != key);
        self.lines.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Certificates; the first one is for clients that name no other.
    pub fn certificates(self, pairs: &[(PathBuf, PathBuf)]) -> Self {
        let list = |of: fn(&(PathBuf, PathBuf)) -> &PathBuf| {
            format!("[{}]", pairs.iter().map(|p| quoted(&of(p).display().to_string())).collect::<Vec<_>>().join(", "))
        };
        self.set("tls.certificate", &list(|p| &p.0)).set("tls.key", &list(|p| &p.1))
    }

    /// The text with these ports.
    pub fn text(&self, port: u16, tls_port: u16) -> String {
        let mut text = format!("listen.port = {port}\nlisten.tls-port = {tls_port}\n");
        for (key, value) in &self.lines {
            writeln!(text, "{key} = {value}").unwrap();
        }
        text
    }

    /// Starts it and waits until it answers.
    pub fn start(&self) -> Server {
        self.start_in(None)
    }

    /// Starts it in a network of its own.
    pub fn start_in(&self, space: Option<&Space>) -> Server {
        for _ in 0..20 {
            let ports = || (free_port(), free_port());
            let (port, tls_port) = space.map_or_else(ports, |space| space.run(ports));
            let mut server = self.spawn((port, tls_port), space, &[]);
            match server.answers(space) {
                Ok(()) => return server,
                // Somebody took the port between the look and the start.
                Err(text) if text.contains("another program has this port") => {}
                Err(text) => panic!("the server has not started: {text}"),
            }
        }
        panic!("no port stays free long enough");
    }

    /// Starts it on this port and the next of a network that nobody else has, by a program that runs another one.
    pub fn start_on(&self, port: u16, space: &Space, by: &[&str]) -> Server {
        let mut server = self.spawn((port, port + 1), Some(space), by);
        server.answers(Some(space)).unwrap_or_else(|text| panic!("the server has not started: {text}"));
        server
    }

    /// Starts it and waits for nothing.
    fn spawn(&self, (port, tls_port): (u16, u16), space: Option<&Space>, by: &[&str]) -> Server {
        let folder = Folder::new();
        let file = folder.write("hairpin.toml", &self.text(port, tls_port));
        let command = command_by(by, &["-c", file.to_str().unwrap()]);
        let mut server = Server::spawn_command(command, space);
        server.folder = Some(folder);
        (server.addr, server.tls) = (SocketAddr::new(self.ip, port), SocketAddr::new(self.ip, tls_port));
        server
    }
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The binary, to run with these arguments.
pub fn command(arguments: &[&str]) -> Command {
    command_by(&[], arguments)
}

/// The same, run by a program that runs another one.
pub fn command_by(by: &[&str], arguments: &[&str]) -> Command {
    let words = [by, &[env!("CARGO_BIN_EXE_hairpin")], arguments].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HAIRPIN_")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end: exit code, standard output, standard error.
pub fn finish(arguments: &[&str]) -> (i32, String, String) {
    let mut process = Server::spawn(arguments, None);
    let code = process.wait().code().unwrap_or(-1);
    (code, process.out.text(), process.err.text())
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub child: Child,
    /// Where UDP and TCP are served.
    pub addr: SocketAddr,
    /// Where TLS is served.
    pub tls: SocketAddr,
    pub out: Lines,
    pub err: Lines,
    folder: Option<Folder>,
}

impl Server {
    /// Starts the binary and waits for nothing.
    pub fn spawn(arguments: &[&str], space: Option<&Space>) -> Self {
        Self::spawn_command(command(arguments), space)
    }

    pub fn spawn_command(mut command: Command, space: Option<&Space>) -> Self {
        let mut child = match space {
            Some(space) => space.run(move || command.spawn().unwrap()),
            None => command.spawn().unwrap(),
        };
        let (out, err) = (Lines::default(), Lines::default());
        out.collect(child.stdout.take().unwrap());
        err.collect(child.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0; 4], 0));
        Self { child, addr: nowhere, tls: nowhere, out, err, folder: None }
    }

    /// Waits until a Binding request is answered; what was said if the process ends before.
    pub fn answers(&mut self, space: Option<&Space>) -> Result<(), String> {
        let local = if self.addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let open = || UdpSocket::bind(local).unwrap();
        let socket = space.map_or_else(open, |space| space.run(open));
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut request = Vec::new();
        Writer::new(&mut request, Method::BINDING, Class::Request, &[0x11; 12]);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.child.try_wait().unwrap().is_some() {
                self.wait();
                return Err(self.err.text());
            }
            // A datagram that cannot be sent or answered yet is sent again.
            if socket.send_to(&request, self.addr).is_ok() && socket.recv_from(&mut [0; 600]).is_ok() {
                return Ok(());
            }
        }
        Err(format!("no answer from {}: {}", self.addr, self.err.text()))
    }

    /// Its directory.
    pub fn folder(&self) -> &Folder {
        self.folder.as_ref().unwrap()
    }

    /// A UDP client of alice.
    pub fn alice(&self) -> Client {
        Client::udp(self.addr).named(ALICE)
    }

    /// A TCP client of alice.
    pub fn alice_by_tcp(&self) -> Client {
        Client::tcp(self.addr).named(ALICE)
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end of the process and of what it says.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        // The threads that read hold the lines until the pipes are at their end.
        eventually("everything is read", || {
            (Arc::strong_count(&self.out.0) == 1 && Arc::strong_count(&self.err.0) == 1).then_some(())
        });
        status
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that has ended already needs no killing.
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- what the server said:\n{}{}\n---", self.out.text(), self.err.text());
        }
    }
}

/// A UDP socket for a peer, at an address of its own on loopback.
pub fn peer() -> UdpSocket {
    peer_at(IpAddr::V4(own_address()))
}

/// A UDP socket for a peer.
pub fn peer_at(ip: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What a socket receives next, and from whom.
pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0xA5; 70_000];
    let (len, from) = loop {
        match socket.recv_from(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => break result.expect("a datagram comes"),
        }
    };
    buffer.truncate(len);
    (buffer, from)
}

/// Whether a file appears to hold a text.
pub fn file_holds(path: &Path, part: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.contains(part))
}
