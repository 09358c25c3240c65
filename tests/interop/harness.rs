//! The server under test, and what a test needs beside it.

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::call_server::credentials::rest_credentials;
use super::certificate::Certificate;
use super::ports::Block;
use super::process::{Folder, Process, try_until};
use super::space::Space;

/// The realm of the servers.
pub(crate) const REALM: &str = "interop.example";
/// The user in the configuration file.
pub(crate) const USER: &str = "ada";
/// That user's password.
pub(crate) const PASSWORD: &str = "correct horse";
/// The secret in the configuration file.
pub(crate) const SECRET: &str = "a secret between the two servers";

/// The keys that `turnutils_uclient -J` has in its source, as an authorisation server would share them.
const CLIENT_KEYS: &str = "oauth.keys=north:A256GCM:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK\n\
    oauth.keys=union:A128GCM:MTIzNDU2Nzg5MDEyMzQ1Ngo=\n\
    oauth.keys=oldempire:A256GCM:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIK\n";

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(10);
/// How often a server may find a port taken that was free a moment before.
const TRIES: u32 = 5;

/// Something a test cannot do without.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// A program in the search path.
    Tool(&'static str),
    /// The address `::1`.
    Ipv6,
    /// The right to make network namespaces, and to load programs into the kernel.
    Spaces,
    /// Something in which hairpin goes beyond coturn.
    Hairpin(&'static str),
    /// DTLS in the server.
    Dtls,
    /// A client that speaks DTLS, compiled into the tests.
    DtlsClient,
}

/// Ends the test, as passed, where something it needs is missing; says so in one line.
macro_rules! requires {
    ($($need:expr),+) => {
        // The type of a closure carries the name of the function around it.
        if !$crate::harness::has_all(std::any::type_name_of_val(&|| {}), &[$($need),+]) {
            return;
        }
    };
}

/// Whether nothing is missing; where everything is required, a missing thing is a failure.
pub(crate) fn has_all(test: &str, needs: &[Need]) -> bool {
    let Some(missing) = needs.iter().find(|need| !need.is_met()) else {
        return true;
    };
    let test = test.trim_start_matches("interop::").trim_end_matches("::{{closure}}");
    let line = format!("skipped: {test}: needs {}", missing.name());
    let required = std::env::var("HAIRPIN_REQUIRE").is_ok_and(|value| value == "all");
    assert!(!required, "{line}");
    // Past the capture of the test runner: what was not tested should be seen.
    _ = writeln!(std::io::stderr(), "{line}");
    false
}

impl Need {
    /// Whether it is here.
    pub(crate) fn is_met(self) -> bool {
        match self {
            Self::Tool(name) => finds(name),
            Self::Ipv6 => has_ipv6(),
            Self::Spaces => Space::allowed(),
            Self::Hairpin(_) => !is_coturn(),
            Self::Dtls => hairpin::io::dtls::SERVED,
            Self::DtlsClient => cfg!(feature = "dtls-interop"),
        }
    }

    /// How it is called.
    fn name(self) -> String {
        match self {
            Self::Tool(name) => name.to_owned(),
            Self::Ipv6 => "the address ::1".to_owned(),
            Self::Spaces => "the right to make network namespaces (root)".to_owned(),
            Self::Hairpin(feature) => format!("a server with {feature}"),
            Self::Dtls => "a build with `--features dtls`".to_owned(),
            Self::DtlsClient => "a build with `--features dtls-interop`".to_owned(),
        }
    }
}

/// Whether a program is in the search path.
fn finds(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether this machine has the IPv6 loopback address.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The server to test.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("HAIRPIN_TEST_SERVER");
    named.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hairpin")), PathBuf::from)
}

/// Whether the server to test is coturn.
pub(crate) fn is_coturn() -> bool {
    program().file_name().is_some_and(|name| name == "turnserver")
}

/// How the clients of a test log in.
///
/// hairpin knows users and secrets at once; coturn wants to be told which, so it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// As [`USER`] with [`PASSWORD`].
    User,
    /// As [`Self::User`], on a server that shares no secret: it can find every user by a hash of the name.
    UserAlone,
    /// With credentials made from [`SECRET`].
    Secret,
    /// With tokens that the client makes itself, from the keys in its source.
    Token,
}

impl Login {
    /// A user name and a password that the server takes.
    pub(crate) fn credentials(self) -> (String, String) {
        match self {
            Self::User | Self::UserAlone | Self::Token => (USER.to_owned(), PASSWORD.to_owned()),
            Self::Secret => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                rest_credentials(SECRET, now.as_secs() + 600, "grace")
            }
        }
    }
}

/// A running server, killed when this is dropped.
pub(crate) struct Server {
    // Dropped in this order: the process before its files and ports.
    _process: Process,
    /// The folder with its configuration and whatever else the test writes.
    pub(crate) folder: Folder,
    /// Its ports.
    pub(crate) ports: Block,
    /// What it shows over TLS.
    pub(crate) certificate: Certificate,
    /// How its clients log in.
    pub(crate) login: Login,
}

impl Server {
    /// Starts a server with an ECDSA certificate.
    pub(crate) fn start(login: Login) -> Self {
        Self::start_with(login, Certificate::ecdsa)
    }

    /// Starts a server, again on other ports when somebody was faster.
    pub(crate) fn start_with(login: Login, certificate: impl Fn() -> Certificate) -> Self {
        (0..TRIES).find_map(|_| Self::try_start(login, certificate(), "", "")).expect("ports that stay free")
    }

    /// Starts a server with more lines in its configuration.
    pub(crate) fn start_saying(login: Login, more: &str) -> Self {
        (0..TRIES).find_map(|_| Self::try_start(login, Certificate::ecdsa(), more, "")).expect("ports that stay free")
    }

    /// Starts hairpin with these realms beside the one of the login: in TOML, for files of coturn's have none.
    pub(crate) fn start_with_realms(login: Login, realms: &str) -> Self {
        (0..TRIES).find_map(|_| Self::try_start(login, Certificate::ecdsa(), "", realms)).expect("ports that stay free")
    }

    /// Starts a server; `None` when its ports turn out to be taken.
    fn try_start(login: Login, certificate: Certificate, more: &str, realms: &str) -> Option<Self> {
        let (folder, ports) = (Folder::new(), Block::take());
        folder.write("chain.pem", &certificate.chain);
        folder.write("key.pem", &certificate.key);
        folder.write("authority.pem", &certificate.authority);
        let told = config(&folder, &ports, login) + more;
        let config = if realms.is_empty() {
            folder.write("turnserver.conf", &told)
        } else {
            folder.write("hairpin.toml", &(hairpin::config::convert("turnserver.conf", &told).unwrap() + realms))
        };
        let mut command = Command::new(program());
        command.arg("-c").arg(config);
        let mut process = Process::start(&mut command, &folder.join("server.log"));
        let answers = try_until(START, || {
            let over = process.ended().is_some();
            (over || all_answer(&ports)).then_some(!over)
        });
        match answers {
            Some(true) => Some(Self { _process: process, folder, ports, certificate, login }),
            Some(false) if process.output().contains("in use") => None,
            Some(false) => panic!("the server ended at once"),
            None => panic!("the server does not answer"),
        }
    }

    /// Where it takes UDP and TCP.
    pub(crate) fn plain(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.plain()).into()
    }

    /// Where it takes UDP and TCP over IPv6.
    pub(crate) fn plain6(&self) -> SocketAddr {
        (Ipv6Addr::LOCALHOST, self.ports.plain()).into()
    }

    /// Where it takes TLS.
    pub(crate) fn secure(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.secure()).into()
    }

    /// The authority's certificate, as a file.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }
}

/// The loopback addresses of this machine.
fn addresses() -> Vec<IpAddr> {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if has_ipv6() {
        addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    addresses
}

/// A configuration file in coturn's format.
fn config(folder: &Folder, ports: &Block, login: Login) -> String {
    let (first, last) = ports.relay();
    let mut config = format!(
        "listening-port={}\ntls-listening-port={}\nmin-port={first}\nmax-port={last}\n\
         tcp-proxy-port={}\nrealm={REALM}\nfingerprint\nallow-loopback-peers\ncert={}\npkey={}\n",
        ports.plain(),
        ports.secure(),
        ports.behind(),
        folder.join("chain.pem").display(),
        folder.join("key.pem").display(),
    );
    for address in addresses() {
        config += &format!("listening-ip={address}\nrelay-ip={address}\n");
    }
    if !is_coturn() || login == Login::User {
        config += &format!("lt-cred-mech\nuser={USER}:{PASSWORD}\n");
    }
    if login == Login::Secret || (!is_coturn() && login == Login::User) {
        config += &format!("use-auth-secret\nstatic-auth-secret={SECRET}\n");
    }
    if login == Login::Token {
        config += &format!("oauth\nserver-name=blackdow.carleon.gov\n{CLIENT_KEYS}");
    }
    if is_coturn() {
        config += &only_for_coturn(folder);
    } else {
        // Debian's turnutils_uclient takes channel numbers from the whole range of RFC 5766.
        config += "rfc5766-channel-numbers\nproxy.from=127.0.0.1\nproxy.from=::1\n";
    }
    config
}

/// What keeps coturn in its folder and makes it talk.
fn only_for_coturn(folder: &Folder) -> String {
    let path = |name| folder.join(name).display().to_string();
    format!("no-cli\nverbose\nlog-file=stdout\nsimple-log\npidfile={}\nuserdb={}\n", path("pid"), path("users.sqlite"),)
}

/// Whether the server answers on every port the tests use.
fn all_answer(ports: &Block) -> bool {
    addresses().iter().all(|address| {
        answers_binding(SocketAddr::new(*address, ports.plain()))
            && TcpStream::connect((*address, ports.plain())).is_ok()
            && TcpStream::connect((*address, ports.secure())).is_ok()
    })
}

/// Whether a Binding request is answered.
pub(crate) fn answers_binding(server: SocketAddr) -> bool {
    const REQUEST: [u8; 20] = *b"\x00\x01\x00\x00\x21\x12\xa4\x42interopstart";
    let any = if server.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    if socket.connect(server).and_then(|()| socket.send(&REQUEST)).is_err() {
        return false;
    }
    let mut answer = [0; 512];
    socket.recv(&mut answer).is_ok_and(|len| len >= 20 && answer[..2] == [0x01, 0x01])
}

/// A UDP socket on loopback that sends everything back, until it is dropped.
pub(crate) struct Echo {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    /// Opens one beside the server's own address.
    pub(crate) fn start(address: IpAddr) -> Self {
        use std::sync::atomic::{AtomicBool, Ordering};
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                echo_once(&socket);
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

/// Sends one datagram back, if one comes.
fn echo_once(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    match socket.recv_from(&mut buffer) {
        Ok((len, from)) => {
            let _ = socket.send_to(&buffer[..len], from);
        }
        // A refused datagram of ours comes back as an error of the next read.
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused),
            "{error}"
        ),
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a client to its end and returns what it said.
pub(crate) fn run(server: &Server, command: &mut Command, within: Duration) -> (bool, String) {
    let name = Path::new(command.get_program()).file_name().unwrap().to_string_lossy().into_owned();
    let mut process = Process::start(command, &server.folder.join(&format!("{name}.log")));
    let status = process.wait(within);
    (status.success(), process.output())
}
