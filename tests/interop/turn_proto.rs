//! The `turn-client-proto` client, its TLS over rustls, and its DTLS over OpenSSL in a build that has it.
//!
//! It does no I/O itself: a [`Session`] moves its bytes and keeps what it tells.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use turn_client_proto::api::{Socket5Tuple, Transmit, TransmitBuild, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::*;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::stun::message::IntegrityAlgorithm;
use turn_client_proto::types::{self, AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;
use turn_client_rustls::TurnClientRustls;

use super::harness::Need::{DtlsClient, Hairpin, Ipv6, Tool};
use super::harness::{Echo, Login, Server, is_coturn};

#[cfg(not(feature = "dtls-interop"))]
turn_client_proto::impl_client!(Client, (Udp, TurnClientUdp), (Tcp, TurnClientTcp), (Tls, TurnClientRustls));
#[cfg(feature = "dtls-interop")]
turn_client_proto::impl_client!(
    Client,
    (Udp, TurnClientUdp),
    (Tcp, TurnClientTcp),
    (Tls, TurnClientRustls),
    (Dtls, turn_client_openssl::TurnClientOpensslTls)
);

/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long one look at the sockets takes.
const LOOK: Duration = Duration::from_millis(5);

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn an_allocation_relays_and_ends_over_udp() {
    let server = Server::start(Login::User);
    whole_life(&mut Session::udp(&server, config(Login::User)));
}

#[test]
fn an_allocation_relays_and_ends_over_tcp() {
    let server = Server::start(Login::User);
    whole_life(&mut Session::tcp(&server, config(Login::User)));
}

#[test]
fn an_allocation_relays_and_ends_over_tls() {
    let server = Server::start(Login::User);
    whole_life(&mut Session::tls(&server, config(Login::User)));
}

/// TLS-001, TLS-002, TLS-004, FRAME-021: with a key of either kind, on both ports.
#[test]
fn an_allocation_relays_and_ends_over_dtls() {
    requires!(DtlsClient, Tool("openssl"));
    #[cfg(feature = "dtls-interop")]
    for certificate in [super::certificate::Certificate::ecdsa, super::certificate::Certificate::rsa] {
        let server = Server::start_with(Login::User, certificate);
        for at in [server.plain(), server.secure()] {
            whole_life(&mut Session::dtls(&server, at, config(Login::User)));
        }
    }
}

/// TCP-001, TCP-005, TCP-013.
#[test]
fn a_peer_is_reached_over_tcp() {
    let server = Server::start(Login::User);
    let mut config = config(Login::User);
    config.set_allocation_transport(TransportType::Tcp);
    reaches_over_tcp(&mut Session::tcp(&server, config));
}

/// Connects to a peer that says everything again.
fn reaches_over_tcp(session: &mut Session) {
    session.allocated();
    // This client asks for a permission first; the server does not.
    session.permit(LOCALHOST);
    let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let peer = listener.local_addr().unwrap();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reads = stream.try_clone().unwrap();
        std::io::copy(&mut reads, &mut stream).unwrap()
    });
    session.client.tcp_connect(peer, session.now()).unwrap();
    session.wait_for("a connection", |event| match event {
        TurnEvent::TcpConnected(address) => (*address == peer).then_some(()),
        _ => None,
    });
    for message in [&b"as it is"[..], &[0x5A; 1000]] {
        session.send(TransportType::Tcp, peer, message);
        let mut heard = Vec::new();
        while heard.len() < message.len() {
            heard.extend(session.receive(peer));
        }
        assert_eq!(heard, message);
    }
    session.client.delete(session.now()).unwrap();
    session.wait_until("the end of the peer's connection", |_| echo.is_finished().then_some(()));
}

#[test]
fn credentials_from_the_shared_secret_are_taken() {
    let server = Server::start(Login::Secret);
    whole_life(&mut Session::udp(&server, config(Login::Secret)));
}

#[test]
fn a_wrong_password_gets_no_allocation() {
    let server = Server::start(Login::User);
    let mut config = TurnConfig::new(TurnCredentials::new("ada", "wrong"));
    // The server cannot sign its refusal, so this client asks on until it has asked often enough.
    config.set_request_retransmits(LOOK, LOOK, 3, LOOK);
    let mut session = Session::udp(&server, config);
    session.wait_until("the client to give up", |session| {
        matches!(session.client.poll(session.now()), TurnPollRet::Closed).then_some(())
    });
    assert_eq!(session.client.relayed_addresses().count(), 0);
}

#[test]
fn a_dual_allocation_reaches_peers_of_both_families() {
    // coturn had another code point for ADDITIONAL-ADDRESS-FAMILY before 4.8.
    requires!(Ipv6, Hairpin("ADDITIONAL-ADDRESS-FAMILY"));
    let server = Server::start(Login::User);
    let mut config = config(Login::User);
    config.add_address_family(AddressFamily::IPV6);
    let mut session = Session::udp(&server, config);
    let (first, second) = (session.allocated(), session.allocated());
    assert_ne!(first.is_ipv4(), second.is_ipv4(), "{first} and {second}");
    for address in [LOCALHOST, LOCALHOST6] {
        let echo = Echo::start(address);
        session.permit(address);
        session.echo(&echo, "by Send indication");
    }
}

#[test]
fn an_ipv6_relay_is_given_when_asked_for() {
    requires!(Ipv6);
    let server = Server::start(Login::User);
    let mut config = config(Login::User);
    config.set_address_family(AddressFamily::IPV6);
    let mut session = Session::udp(&server, config);
    assert_eq!(session.allocated().ip(), LOCALHOST6);
}

#[test]
fn requests_are_protected_by_sha256_where_the_client_wants_it() {
    requires!(Hairpin("MESSAGE-INTEGRITY-SHA256"));
    let server = Server::start(Login::User);
    let mut config = config(Login::User);
    config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    whole_life(&mut Session::udp(&server, config));
}

#[test]
fn a_user_may_stay_anonymous() {
    requires!(Hairpin("USERHASH"));
    let server = Server::start(Login::UserAlone);
    let mut config = config(Login::UserAlone);
    config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    config.set_anonymous_username(Feature::Required);
    whole_life(&mut Session::udp(&server, config));
}

/// Allocates, permits, relays by indication, binds, relays by channel, refreshes by time, deletes.
fn whole_life(session: &mut Session) {
    let relayed = session.allocated();
    assert_eq!(relayed.ip(), LOCALHOST);
    let echo = Echo::start(LOCALHOST);
    session.permit(LOCALHOST);
    session.echo(&echo, "by Send indication");
    session.bind(echo.address);
    session.echo(&echo, "by channel");
    for _ in 0..STEPS {
        session.skip(STEP);
    }
    assert_eq!(session.client.relayed_addresses().next(), Some((TransportType::Udp, relayed)));
    session.echo(&echo, "after the refreshes");
    session.client.delete(session.now()).unwrap();
    session.wait_until("the end of the allocation", |session| {
        session.client.relayed_addresses().next().is_none().then_some(())
    });
    session.is_gone(relayed);
}

/// A step of time, shorter than the minute before the end in which this client refreshes what it
/// has: a longer step would jump from a time with nothing to do to one where it is too late.
///
/// Only the client's clock is put forward: it sends what it would then send, and the server, for
/// which no time went by, must take it.
const STEP: Duration = Duration::from_secs(50);
/// Steps until everything was refreshed: permissions end after 300 s, channels after 600 s, and
/// the allocation, as this client asks for it, after 1800 s.
const STEPS: u32 = 36;

/// A client's configuration for this login.
///
/// A client of this crate that knows SHA-1 alone answers an offer of algorithms all the same, and then takes no
/// MESSAGE-INTEGRITY-SHA256 in the response, which RFC 8489 §9.2.4 demands for it. So it speaks SHA-256, but to
/// coturn, which offers nothing.
fn config(login: Login) -> TurnConfig {
    let (name, password) = login.credentials();
    let mut config = TurnConfig::new(TurnCredentials::new(&name, &password));
    if !is_coturn() {
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    }
    config
}

/// What carries bytes between client and server.
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    /// Sends what the client wants sent.
    fn send(&mut self, bytes: &[u8], to: SocketAddr) {
        match self {
            Self::Udp(socket) => assert_eq!(socket.send_to(bytes, to).unwrap(), bytes.len()),
            Self::Tcp(stream) => stream.write_all(bytes).unwrap(),
        }
    }

    /// Waits a moment for bytes.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let read = match self {
            Self::Udp(socket) => socket.recv(&mut buffer),
            Self::Tcp(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => None,
            Ok(len) => {
                buffer.truncate(len);
                Some(buffer)
            }
            Err(error) => {
                // A server may reset the connection of an allocation that was deleted.
                let patience = [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::ConnectionReset];
                assert!(patience.contains(&error.kind()), "{error}");
                None
            }
        }
    }
}

/// A client with its sockets, its clock, and what it told that nobody asked for yet.
struct Session {
    client: Client,
    server: SocketAddr,
    /// The connection to the server, then one per TCP connection to a peer.
    sockets: Vec<(SocketAddr, Socket)>,
    began: Instant,
    skipped: Duration,
    events: VecDeque<TurnEvent>,
    data: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Session {
    /// A client over UDP.
    fn udp(server: &Server, config: TurnConfig) -> Self {
        let (local, socket) = bind();
        let client = TurnClientUdp::allocate(local, server.plain(), config);
        Self::new(client.into(), server.plain(), local, socket)
    }

    /// A client over TCP.
    fn tcp(server: &Server, config: TurnConfig) -> Self {
        let (local, socket) = connect(server.plain());
        let client = TurnClientTcp::allocate(local, server.plain(), config);
        Self::new(client.into(), server.plain(), local, socket)
    }

    /// A client over TLS that trusts the test's authority only.
    fn tls(server: &Server, config: TurnConfig) -> Self {
        let (local, socket) = connect(server.secure());
        let mut roots = RootCertStore::empty();
        roots.add(server.certificate.authority_der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = TurnClientRustls::allocate(local, server.secure(), config, name, Arc::new(tls));
        Self::new(client.into(), server.secure(), local, socket)
    }

    /// A client over DTLS that trusts the test's authority only.
    #[cfg(feature = "dtls-interop")]
    fn dtls(server: &Server, at: SocketAddr, config: TurnConfig) -> Self {
        use openssl::ssl::{SslContext, SslMethod, SslVerifyMode};
        let (local, socket) = bind();
        let mut dtls = SslContext::builder(SslMethod::dtls_client()).unwrap();
        dtls.set_ca_file(server.authority()).unwrap();
        dtls.set_verify(SslVerifyMode::PEER);
        dtls.verify_param_mut().set_host("localhost").unwrap();
        let client =
            turn_client_openssl::TurnClientOpensslTls::allocate(TransportType::Udp, local, at, config, dtls.build());
        Self::new(client.into(), at, local, socket)
    }

    /// A client that has sent nothing yet.
    fn new(client: Client, server: SocketAddr, local: SocketAddr, socket: Socket) -> Self {
        Self {
            client,
            server,
            sockets: vec![(local, socket)],
            began: Instant::now(),
            skipped: Duration::ZERO,
            events: VecDeque::new(),
            data: VecDeque::new(),
        }
    }

    /// The client's clock.
    fn now(&self) -> types::Instant {
        types::Instant::from_std(self.began) + self.skipped + self.began.elapsed()
    }

    /// Waits for the next allocation.
    fn allocated(&mut self) -> SocketAddr {
        self.wait_for("an allocation", |event| match event {
            TurnEvent::AllocationCreated(_, address) => Some(*address),
            _ => None,
        })
    }

    /// Permits a peer.
    fn permit(&mut self, peer: IpAddr) {
        let transport = self.relay_transport();
        self.client.create_permission(transport, peer, self.now()).unwrap();
        self.wait_for("a permission", |event| match event {
            TurnEvent::PermissionCreated(_, address) => (*address == peer).then_some(()),
            _ => None,
        });
    }

    /// The transport of the relayed address.
    fn relay_transport(&self) -> TransportType {
        self.client.relayed_addresses().next().expect("an allocation").0
    }

    /// Binds a channel.
    fn bind(&mut self, peer: SocketAddr) {
        self.client.bind_channel(TransportType::Udp, peer, self.now()).unwrap();
        self.wait_for("a channel", |event| match event {
            TurnEvent::ChannelCreated(_, address) => (*address == peer).then_some(()),
            _ => None,
        });
    }

    /// Sends messages of several lengths to a peer and waits for each to come back.
    fn echo(&mut self, echo: &Echo, what: &str) {
        for len in self.lengths() {
            let message: Vec<u8> = what.bytes().cycle().take(len).collect();
            self.send(TransportType::Udp, echo.address, &message);
            assert_eq!(self.receive(echo.address), message, "{what}");
        }
    }

    /// Lengths of messages. This client does not pad ChannelData on streams, as RFC 8656, §12.5,
    /// wants it: there only lengths that need no padding arrive.
    fn lengths(&self) -> [usize; 4] {
        match self.client.transport() {
            TransportType::Udp => [1, 3, 4, 1200],
            TransportType::Tcp => [4, 64, 640, 1200],
        }
    }

    /// Sends a message to a peer.
    fn send(&mut self, transport: TransportType, peer: SocketAddr, message: &[u8]) {
        let built = self.client.send_to(transport, peer, message, self.now()).unwrap();
        if let Some(transmit) = built.map(TransmitBuild::build) {
            self.transmit(transmit.from, transmit.to, &transmit.data);
        }
    }

    /// Waits for the next message from a peer.
    fn receive(&mut self, peer: SocketAddr) -> Vec<u8> {
        let (from, message) = self.wait_until("data", |session| session.data.pop_front());
        assert_eq!(from, peer);
        message
    }

    /// Puts the client's clock forward, and lets it send and hear what it then has to.
    fn skip(&mut self, time: Duration) {
        self.skipped += time;
        self.wait_until("rest after the refreshes", |session| {
            let due = session.client.poll(session.now());
            matches!(due, TurnPollRet::WaitUntil(at) if at > session.now() + Duration::from_secs(5)).then_some(())
        });
        let failed = |event: &TurnEvent| {
            matches!(event, TurnEvent::PermissionCreateFailed(..) | TurnEvent::ChannelCreateFailed(..))
        };
        assert!(!self.events.iter().any(failed), "{:?}", self.events);
    }

    /// Checks that the relayed address is nobody's: it can be had.
    fn is_gone(&mut self, relayed: SocketAddr) {
        self.wait_until("the relayed port to be free", |_| UdpSocket::bind(relayed).ok());
    }

    /// Waits for an event; those before it are forgotten.
    fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(&TurnEvent) -> Option<T>) -> T {
        self.wait_until(what, |session| {
            let event = session.events.pop_front()?;
            wanted(&event)
        })
    }

    /// Moves bytes until `look` finds what it looks for.
    fn wait_until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        while Instant::now() < deadline {
            self.turn();
            if let Some(found) = look(self) {
                return found;
            }
        }
        panic!("not within {WITHIN:?}: {what}; heard {:?}", self.events);
    }

    /// One round: what is due, what is to be sent, what has come.
    fn turn(&mut self) {
        if let TurnPollRet::AllocateTcpSocket { id, socket, peer_addr } = self.client.poll(self.now()) {
            self.open(id, socket, peer_addr);
        }
        while let Some(transmit) = self.client.poll_transmit(self.now()) {
            self.transmit(transmit.from, transmit.to, &transmit.data);
        }
        for index in 0..self.sockets.len() {
            self.read(index);
        }
        while let Some(data) = self.client.poll_recv(self.now()) {
            self.data.push_back((data.peer, data.data().to_vec()));
        }
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
    }

    /// Opens the connection that carries a peer's TCP connection.
    fn open(&mut self, id: u32, tuple: Socket5Tuple, peer: SocketAddr) {
        let (local, socket) = connect(tuple.to);
        self.sockets.push((local, socket));
        self.client.allocated_tcp_socket(id, tuple, peer, Some(local), self.now()).unwrap();
    }

    /// Sends bytes from one of the local addresses.
    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let found = self.sockets.iter_mut().find(|(local, _)| *local == from);
        found.expect("a socket with this address").1.send(bytes, to);
    }

    /// Hands what one socket has to the client.
    fn read(&mut self, index: usize) {
        let now = self.now();
        let (local, socket) = &mut self.sockets[index];
        let Some(bytes) = socket.receive() else {
            return;
        };
        let transmit = Transmit::new(bytes, self.client.transport(), self.server, *local);
        if let TurnRecvRet::PeerData(data) = self.client.recv(transmit, now) {
            self.data.push_back((data.peer, data.data().to_vec()));
        }
    }
}

/// A UDP socket, with its local address.
fn bind() -> (SocketAddr, Socket) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(LOOK)).unwrap();
    (socket.local_addr().unwrap(), Socket::Udp(socket))
}

/// A TCP connection to the server, with its local address.
fn connect(server: SocketAddr) -> (SocketAddr, Socket) {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(LOOK)).unwrap();
    stream.set_nodelay(true).unwrap();
    (stream.local_addr().unwrap(), Socket::Tcp(stream))
}
