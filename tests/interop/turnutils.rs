//! coturn's own client, `turnutils_uclient`, with its echo, `turnutils_peer`.
//!
//! The client counts what it sends and what comes back. It waits a few seconds at the beginning
//! and at the end whatever it is told, so one run takes five or six.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::certificate::Certificate;
use super::harness::Need::{Dtls, Hairpin, Ipv6, Tool};
use super::harness::{Login, PASSWORD, SECRET, Server, USER, run};
use super::process::Process;

/// How long one run may take.
const WITHIN: Duration = Duration::from_secs(40);
/// The clients of one run.
const CLIENTS: u64 = 3;
/// The messages of each client's session. A client has two: one for RTP, one for RTCP.
const MESSAGES: u64 = 20;

pub(super) const UCLIENT: super::harness::Need = Tool("turnutils_uclient");
pub(super) const PEER: super::harness::Need = Tool("turnutils_peer");

#[test]
fn channels_over_udp_lose_nothing() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    Run::new(&server).echoes();
}

/// ALT-001: the client follows to the other server, and its media goes there; the first one would not
/// let it reach the echo.
#[test]
fn a_client_that_is_sent_to_another_server_is_served_there() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    let more = format!("alternate-server={}\ndenied-peer-ip=127.0.0.0-127.255.255.255\n", server.plain());
    let first = Server::start_saying(Login::User, &more);
    Run::new(&server).at(first.plain()).echoes();
    Run::new(&server).at(first.plain()).flags(&["-t"]).echoes();
}

#[test]
fn send_indications_over_udp_lose_nothing() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    Run::new(&server).flags(&["-s"]).echoes();
}

#[test]
fn channels_over_tcp_lose_nothing() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    Run::new(&server).flags(&["-t"]).echoes();
}

#[test]
fn send_indications_over_tcp_lose_nothing() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    Run::new(&server).flags(&["-t", "-s"]).echoes();
}

#[test]
fn channels_over_tls_lose_nothing() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::User);
    Run::new(&server).tls().echoes();
}

#[test]
fn tls_works_with_an_rsa_certificate() {
    requires!(UCLIENT, PEER, Tool("openssl"));
    let server = Server::start_with(Login::User, Certificate::rsa);
    Run::new(&server).tls().echoes();
}

#[test]
fn an_ipv6_client_reaches_an_ipv6_peer() {
    requires!(UCLIENT, PEER, Ipv6);
    let server = Server::start(Login::User);
    Run::new(&server).at(server.plain6()).peer(Ipv6Addr::LOCALHOST).flags(&["-x"]).echoes();
}

#[test]
fn an_ipv4_client_reaches_an_ipv6_peer() {
    requires!(UCLIENT, PEER, Ipv6);
    let server = Server::start(Login::User);
    Run::new(&server).peer(Ipv6Addr::LOCALHOST).flags(&["-x"]).echoes();
}

#[test]
fn an_ipv6_client_reaches_an_ipv4_peer() {
    requires!(UCLIENT, PEER, Ipv6);
    let server = Server::start(Login::User);
    Run::new(&server).at(server.plain6()).flags(&["-X"]).echoes();
}

#[test]
fn credentials_from_the_shared_secret_are_taken() {
    requires!(UCLIENT, PEER);
    let server = Server::start(Login::Secret);
    Run::new(&server).echoes();
}

#[test]
fn tokens_of_a_third_party_are_taken() {
    requires!(UCLIENT, PEER, Hairpin("keys of third parties in its configuration"));
    let server = Server::start(Login::Token);
    Run::new(&server).echoes();
    Run::new(&server).flags(&["-t"]).echoes();
}

/// MICE-004, MICE-009, MICE-010: each client moves to another 5-tuple before it sends.
#[test]
fn clients_that_roam_lose_nothing() {
    requires!(UCLIENT, PEER, Hairpin("a ticket that coturn's client can keep"));
    let server = Server::start_saying(Login::User, "mobility\n");
    Run::new(&server).flags(&["-M"]).echoes();
    Run::new(&server).flags(&["-M", "-s"]).echoes();
    Run::new(&server).flags(&["-M", "-t"]).echoes();
}

/// TLS-001, TLS-004, FRAME-021: coturn's client under DTLS; one that tries 1.0 is told by an alert, and tries 1.2.
#[test]
fn clients_under_dtls_lose_nothing() {
    requires!(UCLIENT, PEER, Hairpin("one port for DTLS and plain UDP"), Dtls);
    let server = Server::start(Login::User);
    for at in [server.secure(), server.plain()] {
        Run::new(&server).at(at).flags(&["-S"]).echoes();
    }
    Run::new(&server).at(server.secure()).flags(&["-S", "-s"]).echoes();
}

/// TCP-001, TCP-005, TCP-013, TCP-020: the clients' relays connect to each other.
#[test]
fn clients_with_tcp_relays_lose_nothing() {
    requires!(UCLIENT);
    let server = Server::start(Login::User);
    Run::new(&server).flags(&["-T", "-y"]).without_peer().echoes();
    // Over TLS it takes the first message of a record alone, so no client may be told of two peers at once.
    Run::new(&server).tls().flags(&["-T", "-y", "-m", "2"]).without_peer().echoes();
}

#[test]
fn two_clients_of_the_relay_reach_each_other() {
    requires!(UCLIENT);
    let server = Server::start(Login::User);
    Run::new(&server).flags(&["-y"]).without_peer().echoes();
}

#[test]
fn a_wrong_password_is_refused() {
    requires!(UCLIENT);
    let server = Server::start(Login::User);
    let (success, said) = Run::new(&server).password("wrong").without_peer().run();
    assert!(!success, "{said}");
    assert!(said.contains("Cannot complete Allocation"), "{said}");
}

/// ORG-001, ORG-002: each realm has its users; a client of one is nobody in another.
#[test]
fn each_origin_has_a_realm_with_its_own_users() {
    requires!(UCLIENT, PEER, Hairpin("realms in its configuration"));
    let realm = |name: &str, password: &str| {
        format!("[[realm]]\nname = \"{name}\"\norigins = \"https://{name}\"\nauth.users = \"{USER}:{password}\"\n")
    };
    let server =
        Server::start_with_realms(Login::User, &(realm("north.example", NORTHERN) + &realm("south.example", SOUTHERN)));
    let from = |origin: &str, password| Run::new(&server).flags(&["-o", origin]).password(password);
    from("https://north.example", NORTHERN).echoes();
    from("https://south.example", SOUTHERN).flags(&["-t"]).echoes();
    from("https://elsewhere.example", PASSWORD).echoes();
    Run::new(&server).echoes();
    for (origin, password) in [("https://north.example", SOUTHERN), ("https://south.example", PASSWORD)] {
        let (success, said) = from(origin, password).without_peer().run();
        assert!(!success && said.contains("Cannot complete Allocation"), "{said}");
    }
}

/// Passwords of the same user in two realms.
const NORTHERN: &str = "northern-password";
const SOUTHERN: &str = "southern-password";

/// One run of the client.
pub(super) struct Run<'a> {
    server: &'a Server,
    at: SocketAddr,
    peer: IpAddr,
    echo: bool,
    flags: Vec<String>,
    password: &'static str,
    login: Login,
}

impl<'a> Run<'a> {
    /// A run over UDP and IPv4, with whatever login the server was started for.
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            at: server.plain(),
            peer: Ipv4Addr::LOCALHOST.into(),
            echo: true,
            flags: Vec::new(),
            password: PASSWORD,
            login: server.login,
        }
    }

    /// To another of the server's addresses.
    pub(super) fn at(self, at: SocketAddr) -> Self {
        Self { at, ..self }
    }

    /// With the peer at this address.
    fn peer(self, peer: impl Into<IpAddr>) -> Self {
        Self { peer: peer.into(), ..self }
    }

    /// Without an echo: the clients talk to each other.
    fn without_peer(self) -> Self {
        Self { echo: false, ..self }
    }

    /// With more flags.
    pub(super) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Over TLS, and looking at the certificate.
    pub(super) fn tls(self) -> Self {
        let (at, authority) = (self.server.secure(), self.server.authority());
        self.at(at).flags(&["-t", "-S", "-E", &authority.display().to_string()])
    }

    /// With another password.
    fn password(self, password: &'static str) -> Self {
        Self { password, ..self }
    }

    /// Runs the client and checks that everything came back. Over TLS the client takes the first frame of a record
    /// and forgets the rest, so there a run that a busy machine has disturbed is repeated.
    pub(super) fn echoes(self) {
        let tries = if self.flags.iter().any(|flag| flag == "-S") { 3 } else { 1 };
        let (mut success, mut said) = self.run();
        for _ in 1..tries {
            if !success || said.contains("Total lost packets 0 ") {
                break;
            }
            (success, said) = self.run();
        }
        assert!(success, "{said}");
        assert!(said.contains("Total lost packets 0 "), "{said}");
        let (sent, received) = totals(&said);
        assert_eq!(sent, received, "{said}");
        // Half of it is what the runs without RTCP send.
        assert!(sent >= CLIENTS * MESSAGES / 2, "{said}");
    }

    /// Runs the client.
    fn run(&self) -> (bool, String) {
        let _peer = self.echo.then(|| self.start_peer());
        let mut command = Command::new("turnutils_uclient");
        command.args(["-n", &MESSAGES.to_string(), "-m", &CLIENTS.to_string(), "-z", "5"]);
        match self.login {
            Login::User | Login::UserAlone => command.args(["-u", USER, "-w", self.password]),
            Login::Secret => command.args(["-u", "grace", "-W", SECRET]),
            Login::Token => command.arg("-J"),
        };
        command.args(["-e", &self.peer.to_string(), "-r", &self.server.ports.peer().to_string()]);
        command.args(["-p", &self.at.port().to_string()]).args(&self.flags);
        command.arg(self.at.ip().to_string());
        run(self.server, &mut command, WITHIN)
    }

    /// Starts the echo. It needs no wait: it is there long before the client's first message.
    fn start_peer(&self) -> Process {
        let mut command = Command::new("turnutils_peer");
        command.args(["-L", &self.peer.to_string(), "-p", &self.server.ports.peer().to_string()]);
        Process::start(&mut command, &self.server.folder.join("peer.log"))
    }
}

/// The client's last count of messages sent and received.
fn totals(said: &str) -> (u64, u64) {
    let line = said.lines().rfind(|line| line.contains("tot_send_msgs=")).expect("a count");
    (number_after(line, "tot_send_msgs="), number_after(line, "tot_recv_msgs="))
}

/// The number that follows `label`.
fn number_after(line: &str, label: &str) -> u64 {
    let (_, rest) = line.split_once(label).expect("the label");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
