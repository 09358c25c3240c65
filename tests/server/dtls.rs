//! DTLS on the UDP ports (RFC 7350), by OpenSSL on the other side.

use crate::certificates::*;
use crate::client::{Client, Heard, Records};
use crate::control::{json_at, place, setup};
use crate::harness::*;
use crate::proxy::binary;
use crate::roaming;
use hairpin::wire::Method;
use openssl::ssl::{ErrorCode, HandshakeError, Ssl, SslContext, SslMethod, SslSession, SslStream, SslVerifyMode};
use openssl::x509::X509;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const NAME: &str = "turn.example";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server with a certificate, and a port for TLS and DTLS.
fn served() -> (Server, Authority, Folder) {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    (Setup::new().certificates(&[pair]).set("workers", "1").start(), authority, folder)
}

/// How to make sessions.
struct Dtls {
    context: SslContext,
}

impl Dtls {
    /// Trusting this authority.
    fn of(authority: &Authority) -> Self {
        Self::with(authority, |_| {})
    }

    fn with(authority: &Authority, more: impl FnOnce(&mut openssl::ssl::SslContextBuilder)) -> Self {
        let mut builder = SslContext::builder(SslMethod::dtls_client()).unwrap();
        let root = X509::from_der(authority.issuer.der()).unwrap();
        builder.cert_store_mut().add_cert(root).unwrap();
        builder.set_verify(SslVerifyMode::PEER);
        more(&mut builder);
        Self { context: builder.build() }
    }

    fn ssl(&self, name: &str) -> Ssl {
        let mut ssl = Ssl::new(&self.context).unwrap();
        ssl.set_hostname(name).unwrap();
        ssl.param_mut().set_host(name).unwrap();
        ssl
    }

    /// Shakes hands on this socket.
    fn on(&self, wire: Wire, name: &str) -> Sealed {
        Sealed(self.ssl(name).connect(wire).unwrap_or_else(|error| panic!("no handshake: {error}")))
    }

    /// Shakes hands on this socket, which waits less long than flights do before they are sent again.
    fn on_and_on(&self, wire: Wire) -> Sealed {
        let end = Instant::now() + PATIENCE;
        let mut shaken = self.ssl(NAME).connect(wire.patient(Duration::from_millis(100)));
        loop {
            match shaken {
                Ok(stream) => return Sealed(stream),
                Err(HandshakeError::WouldBlock(begun)) if Instant::now() < end => shaken = begun.handshake(),
                Err(error) => panic!("no handshake: {error}"),
            }
        }
    }

    /// Begins a handshake, and leaves.
    fn leave(&self, wire: Wire) -> UdpSocket {
        let Err(HandshakeError::WouldBlock(left)) = self.ssl(NAME).connect(Wire { leaves: true, ..wire }) else {
            panic!("it has left")
        };
        left.get_ref().socket.try_clone().unwrap()
    }

    /// Shakes hands.
    fn connect(&self, server: SocketAddr) -> Sealed {
        self.on(Wire::to(server), NAME)
    }

    /// A client that shakes hands first.
    fn alice(&self, server: SocketAddr) -> Client {
        Client::with_records(self.connect(server), server).named(ALICE)
    }
}

/// A client that shakes hands with a server of this name.
pub fn client_of(authority: &Authority, server: SocketAddr, name: &str) -> Client {
    Client::with_records(Dtls::of(authority).on(Wire::to(server), name), server)
}

/// A socket as OpenSSL sees it: a datagram for each read and write.
#[derive(Debug)]
struct Wire {
    socket: UdpSocket,
    /// What of the server's is lost on its way, once.
    loses: Option<fn(&[u8]) -> bool>,
    /// What of the client's is lost on its way, once.
    loses_own: Option<fn(&[u8]) -> bool>,
    /// It reads nothing after the cookie, which is the first that is heard.
    leaves: bool,
    /// What a proxy puts before each datagram.
    header: Vec<u8>,
    heard: Vec<Vec<u8>>,
}

impl Wire {
    fn to(server: SocketAddr) -> Self {
        Self::from((Ipv4Addr::LOCALHOST, 0).into(), server)
    }

    fn from(local: SocketAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local).unwrap();
        socket.connect(server).unwrap();
        Self::on(socket).patient(PATIENCE)
    }

    /// On a socket that leads to the server.
    fn on(socket: UdpSocket) -> Self {
        Self { socket, loses: None, loses_own: None, leaves: false, header: Vec::new(), heard: Vec::new() }
    }

    /// It waits for so long.
    fn patient(self, patience: Duration) -> Self {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        self
    }
}

/// Whether this is the datagram that is lost; there is one.
fn loses(which: &mut Option<fn(&[u8]) -> bool>, datagram: &[u8]) -> bool {
    which.take_if(|is_lost| is_lost(datagram)).is_some()
}

/// The types of the records of a datagram, each with the first byte that it holds.
fn records(mut datagram: &[u8]) -> Vec<(u8, u8)> {
    let mut all = Vec::new();
    while datagram.len() > 13 {
        all.push((datagram[0], datagram[13]));
        let len = u16::from_be_bytes([datagram[11], datagram[12]]);
        datagram = &datagram[13 + usize::from(len)..];
    }
    all
}

/// Holds the ServerHello.
fn is_first_flight(datagram: &[u8]) -> bool {
    records(datagram).contains(&(22, 2))
}

/// Holds the ChangeCipherSpec, and with it the end of a handshake.
fn is_last_flight(datagram: &[u8]) -> bool {
    records(datagram).iter().any(|(kind, _)| *kind == 20)
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.leaves && !self.heard.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = self.socket.recv(into)?;
            self.heard.push(into[..count].to_vec());
            if !loses(&mut self.loses, &into[..count]) {
                return Ok(count);
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if loses(&mut self.loses_own, datagram) {
            return Ok(datagram.len());
        }
        let sent = self.socket.send(&[&self.header, datagram].concat())?;
        Ok(sent - self.header.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A session after its handshake.
#[derive(Debug)]
struct Sealed(SslStream<Wire>);

impl Sealed {
    /// The goodbye of the server, and nothing before it.
    fn ends(&mut self) -> bool {
        let mut record = [0; 2048];
        self.0.ssl_read(&mut record).is_err_and(|error| error.code() == ErrorCode::ZERO_RETURN)
    }
}

impl Records for Sealed {
    fn send(&mut self, message: &[u8]) {
        assert_eq!(self.0.ssl_write(message).unwrap(), message.len());
    }

    fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.0.get_ref().socket.set_read_timeout(Some(patience)).unwrap();
        let mut record = vec![0xA5; 17_000];
        match self.0.ssl_read(&mut record) {
            Ok(count) => Some(record[..count].to_vec()),
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => None,
            Err(error) => {
                let io = error.io_error().expect("nothing but silence");
                assert!(matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                None
            }
        }
    }

    fn local(&self) -> SocketAddr {
        self.0.get_ref().socket.local_addr().unwrap()
    }
}

/// A session that two have hands on.
#[derive(Clone, Debug)]
struct Shared(Arc<Mutex<Sealed>>);

impl Shared {
    fn of(sealed: Sealed) -> (Self, Arc<Mutex<Sealed>>) {
        let shared = Arc::new(Mutex::new(sealed));
        (Self(Arc::clone(&shared)), shared)
    }
}

impl Records for Shared {
    fn send(&mut self, message: &[u8]) {
        self.0.lock().unwrap().send(message);
    }

    fn receive(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.0.lock().unwrap().receive(patience)
    }

    fn local(&self) -> SocketAddr {
        self.0.lock().unwrap().local()
    }
}

/// A payload each way.
fn flows(client: &mut Client) -> SocketAddr {
    let peer = peer();
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    for len in [1, 3, 4, 1100] {
        client.send_channel(0x4000, &vec![7; len]);
        assert_eq!(receive(&peer), (vec![7; len], relayed));
        peer.send_to(&vec![8; len], relayed).unwrap();
        assert_eq!(client.hear(), Heard::Channel(0x4000, vec![8; len]));
    }
    client.send(peer.local_addr().unwrap(), b"by Send");
    assert_eq!(receive(&peer), (b"by Send".to_vec(), relayed));
    relayed
}

/// TLS-002, TLS-004, TLS-005, DEMUX-004, FRAME-021: on both ports, beside plain datagrams on the one, and none on the other.
#[test]
fn clients_under_dtls_are_served() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    for at in [server.addr, server.tls] {
        let mut client = dtls.alice(at);
        assert_eq!(client.binding(), client.local());
        flows(&mut client);
        assert_eq!(client.refresh(0), None);
    }
    flows(&mut server.alice());
    let mut plain = Client::udp(server.tls);
    let request = plain.bare(Method::BINDING, |_| {});
    plain.send_raw(&request);
    // The one worker has looked at it once it has answered what came later.
    dtls.alice(server.tls).binding();
    assert_eq!(plain.hear_within(Duration::from_millis(1)), None);
}

/// One client with an allocation and then one without, both of them silent from now on.
pub struct Silent {
    holder: Client,
    idle: Sealed,
}

impl Silent {
    /// Both have been heard.
    pub fn begin(server: &Server, authority: &Authority) -> Self {
        let dtls = Dtls::of(authority);
        let mut holder = dtls.alice(server.addr);
        holder.allocate();
        Self { holder, idle: dtls.connect(server.addr) }
    }

    /// The one is told goodbye before so long, and the other goes on.
    pub fn ends_and_goes_on(mut self, within: Duration) {
        self.idle.0.get_ref().socket.set_read_timeout(Some(within)).unwrap();
        assert!(self.idle.ends());
        assert_eq!(self.holder.refresh(600), None);
    }
}

/// Who is kicked by an operator is told goodbye, and may come again.
#[test]
fn a_kicked_client_is_told_goodbye() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let (pair, socket) = (authority.issue(&folder, "first", NAME), folder.path("control"));
    let socket = socket.to_str().unwrap();
    let server = Setup::new().certificates(&[pair]).set("admin.socket", &quoted(socket)).start();
    let dtls = Dtls::of(&authority);
    let (sealed, session) = Shared::of(dtls.connect(server.addr));
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    client.allocate();
    assert_eq!(finish(&["kick", "--all", "--socket", socket]).0, 0);
    session.lock().unwrap().0.get_ref().socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(session.lock().unwrap().ends());
    dtls.alice(server.addr).allocate();
}

/// The certificate that a server shows.
fn shown(sealed: &Sealed) -> Vec<u8> {
    sealed.0.ssl().peer_certificate().unwrap().to_der().unwrap()
}

/// No datagram of a handshake is larger than what IPv6 carries everywhere (1280 less the headers), whatever the certificate.
#[test]
fn flights_fit_every_network() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let names: Vec<String> = (0..200).map(|n| format!("turn-{n}.of.many.example")).collect();
    let key = KeyPair::generate().unwrap();
    let large = CertificateParams::new(names.clone()).unwrap().signed_by(&key, &authority.issuer).unwrap();
    let pair = (folder.write("large.pem", &large.pem()), folder.write("large.key", &key.serialize_pem()));
    let server = Setup::new().certificates(&[pair]).start();
    let sealed = Dtls::of(&authority).on(Wire::to(server.addr), &names[0]);
    let sizes: Vec<usize> = sealed.0.get_ref().heard.iter().map(Vec::len).collect();
    assert!(sizes.iter().sum::<usize>() > 4000, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 1232), "{sizes:?}");
}

/// TLS-011: by the same rule as under TLS.
#[test]
fn the_certificate_is_chosen_by_name() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pairs = authority.issue_all(&folder);
    let server = Setup::new().certificates(&pairs).start();
    let dtls = Dtls::with(&authority, |builder| builder.set_verify(SslVerifyMode::NONE));
    for (asked, at) in CHOICES {
        assert_eq!(shown(&dtls.on(Wire::to(server.addr), asked)), leaf(&pairs[at].0).to_vec(), "{asked}");
    }
    let nameless = Sealed(Ssl::new(&dtls.context).unwrap().connect(Wire::to(server.addr)).unwrap());
    assert_eq!(shown(&nameless), leaf(&pairs[0].0).to_vec());
}

/// RSA and ECDSA for one name, with their chains: by the suites of the client, which never lead to another name.
#[test]
fn the_certificate_is_one_that_the_client_can_use() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let first = authority.issue(&folder, "first", NAME);
    let other = authority.issue(&folder, "other", "a.wild.example");
    let third = authority.issue(&folder, "third", "third.example");
    let rsa = rsa_pair(&authority, &folder, &[NAME, "*.wild.example"]);
    let server = Setup::new().certificates(&[first.clone(), other.clone(), third.clone(), rsa.clone()]).start();
    let (by_ecdsa, by_rsa) = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384");
    let (ecdsa_first, rsa_first) = (format!("{by_ecdsa}:{by_rsa}"), format!("{by_rsa}:{by_ecdsa}"));
    for (suites, asked, wanted) in [
        (ecdsa_first.as_str(), NAME, &first),
        (&rsa_first, NAME, &rsa),
        (by_rsa, NAME, &rsa),
        (&ecdsa_first, "a.wild.example", &other),
        (by_rsa, "a.wild.example", &rsa),
        (&ecdsa_first, "b.wild.example", &rsa),
        (&rsa_first, "third.example", &third),
    ] {
        let dtls = Dtls::with(&authority, |builder| builder.set_cipher_list(suites).unwrap());
        let sealed = dtls.on(Wire::to(server.addr), asked);
        assert_eq!(shown(&sealed), leaf(&wanted.0).to_vec(), "{suites} for {asked}");
        let chain = sealed.0.ssl().peer_cert_chain().unwrap().len();
        assert_eq!(chain, if wanted == &rsa { 2 } else { 1 }, "{suites} for {asked}");
    }
}

/// A certificate for these names with an RSA key, and that of its authority.
fn rsa_pair(authority: &Authority, folder: &Folder, names: &[&str]) -> (PathBuf, PathBuf) {
    let key = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    let pem = String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority.issuer).unwrap();
    (folder.write("rsa.pem", &(leaf.pem() + &authority.issuer.pem())), folder.write("rsa.key", &pem))
}

/// Runs `openssl s_client`: what it said.
fn s_client(at: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &at.to_string()]).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// TLS-002, TLS-006: versions, and the protocols of RFC 7443; an old client is told by an alert, and does not hang.
#[test]
fn openssl_agrees_on_version_and_protocol() {
    if !requires(&name(), &[Need::Openssl]) {
        return;
    }
    let (server, ..) = served();
    let said = s_client(server.tls, &["-dtls1_2", "-alpn", "stun.turn,http/1.1"]);
    assert!(said.contains("DTLSv1.2") && said.contains("ALPN protocol: stun.turn"), "{said}");
    let said = s_client(server.tls, &["-dtls1_2", "-alpn", "http/1.1"]);
    assert!(said.contains("DTLSv1.2") && said.contains("No ALPN negotiated"), "{said}");
    let said = s_client(server.tls, &["-dtls1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    assert!(said.contains("alert protocol version"), "{said}");
}

/// A session is resumed by its ticket, on any worker.
#[test]
fn a_session_is_resumed() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let server = Setup::new().certificates(&[pair]).set("workers", "2").start();
    let dtls = Dtls::of(&authority);
    let first = dtls.connect(server.addr);
    assert!(!first.0.ssl().session_reused());
    let session = first.0.ssl().session().expect("a session").to_der().unwrap();
    for _ in 0..10 {
        // A copy each time: a session that has ended without a goodbye is not resumed again.
        let (mut ssl, session) = (dtls.ssl(NAME), SslSession::from_der(&session).unwrap());
        // SAFETY: the session is one of this context.
        #[expect(unsafe_code, reason = "the crate asks for that promise")]
        unsafe {
            ssl.set_session(&session).unwrap();
        }
        let again = ssl.connect(Wire::to(server.addr)).unwrap();
        assert!(again.ssl().session_reused());
    }
}

/// TLS-010, TURN-040: a goodbye is answered, and the allocation ends; nothing else ends it before its time.
#[test]
fn a_goodbye_ends_the_allocation() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let peer = peer();
    let mut other = dtls.alice(server.addr);
    let relayed = other.allocate();
    other.permit(peer.local_addr().unwrap());
    let (sealed, goodbye) = Shared::of(dtls.connect(server.addr));
    let local = sealed.local();
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    client.allocate();
    goodbye.lock().unwrap().0.shutdown().unwrap();
    assert_eq!(goodbye.lock().unwrap().receive(PATIENCE), None, "the goodbye is answered");
    server.err.wait_for("allocation ended");
    peer.send_to(b"still there", relayed).unwrap();
    assert_eq!(other.data().0, b"still there");
    drop((client, goodbye));
    // The same address may begin again at once.
    dtls.on(Wire::from(local, server.addr), NAME);
}

/// TLS-012, TURN-040: a client that has forgotten its session gets another from the same port, and what it had ends then and
/// not before.
#[test]
fn a_client_begins_anew_from_the_same_port() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let peer = peer();
    let sealed = dtls.connect(server.addr);
    let socket = sealed.0.get_ref().socket.try_clone().unwrap();
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    let relayed = client.allocate();
    client.permit(peer.local_addr().unwrap());
    // A hello without a good cookie, as anybody could send in its name.
    socket.send(&hello()).unwrap();
    let mut answer = [0; 2048];
    let count = socket.recv(&mut answer).unwrap();
    assert_eq!(hello_verify(&answer[..count]).len(), 32);
    peer.send_to(b"before", relayed).unwrap();
    assert_eq!(client.data().0, b"before");
    socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let again = dtls.on(Wire::on(socket), NAME);
    let mut again = Client::with_records(again, server.addr).named(ALICE);
    assert_eq!(again.refresh(600), Some(437));
    flows(&mut again);
}

/// TLS-012: a handshake that fails, and hellos that are begun and left, cost the session nothing.
#[test]
fn a_session_outlives_handshakes_that_fail() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let sealed = dtls.connect(server.addr);
    let socket = sealed.0.get_ref().socket.try_clone().unwrap();
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    flows(&mut client);
    let unwelcome = Dtls::with(&authority, |builder| builder.set_cipher_list("AES128-SHA").unwrap());
    for _ in 0..3 {
        assert!(unwelcome.ssl(NAME).connect(Wire::on(socket.try_clone().unwrap())).is_err());
        let wire = Wire { leaves: true, ..Wire::on(socket.try_clone().unwrap()) };
        assert!(dtls.ssl(NAME).connect(wire).is_err());
    }
    // What the server has sent to those who left is not the session's.
    assert_eq!(client.refresh(600), None);
}

/// TLS-004: the first flight of the server is lost, and comes again.
#[test]
fn a_lost_flight_is_sent_again() {
    let (server, authority, _folder) = served();
    let wire = Wire { loses: Some(is_first_flight), ..Wire::to(server.addr) };
    // The client waits for as long as the server needs, and repeats nothing itself.
    let sealed = Dtls::of(&authority).on(wire, NAME);
    assert!(sealed.0.get_ref().loses.is_none(), "one was lost");
    flows(&mut Client::with_records(sealed, server.addr).named(ALICE));
}

/// TLS-004: the last flight of the server is lost, after which it has a session and the client has none: it is sent again to
/// a client that repeats its own.
#[test]
fn a_lost_last_flight_is_sent_again() {
    let (server, authority, _folder) = served();
    let wire = Wire { loses: Some(is_last_flight), ..Wire::to(server.addr) };
    let sealed = Dtls::of(&authority).on_and_on(wire);
    let heard = &sealed.0.get_ref().heard;
    assert_eq!(heard.iter().filter(|datagram| is_last_flight(datagram)).count(), 2);
    flows(&mut Client::with_records(sealed, server.addr).named(ALICE));
}

/// TLS-004: the last flight of the client is lost, and either side repeats what it has said.
#[test]
fn a_last_flight_that_never_came_is_waited_for() {
    let (server, authority, _folder) = served();
    let wire = Wire { loses_own: Some(is_last_flight), ..Wire::to(server.addr) };
    let sealed = Dtls::of(&authority).on_and_on(wire);
    assert!(sealed.0.get_ref().loses_own.is_none(), "one was lost");
    flows(&mut Client::with_records(sealed, server.addr).named(ALICE));
}

/// TLS-010, SEC-43: what anybody may send in a client's name, alerts among it, is no part of its session and ends nothing.
#[test]
fn garbage_and_alerts_in_clear_cost_a_session_nothing() {
    let (server, authority, _folder) = served();
    let sealed = Dtls::of(&authority).connect(server.addr);
    let socket = sealed.0.get_ref().socket.try_clone().unwrap();
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    let (peer, relayed) = (peer(), client.allocate());
    client.bind(0x4000, peer.local_addr().unwrap());
    for datagram in strange_datagrams() {
        socket.send(&datagram).unwrap();
        client.send_channel(0x4000, &datagram);
        assert_eq!(receive(&peer), (datagram, relayed));
    }
    peer.send_to(b"back", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"back".to_vec()));
}

/// Records in clear and records that no key has sealed, whole and cut short, of every type and epoch.
fn strange_datagrams() -> Vec<Vec<u8>> {
    let record = |kind: u8, epoch: u8, body: &[u8]| {
        let number = [0, 0, 0, 1, 0, kind];
        [&[kind, 0xFE, 0xFD, 0, epoch][..], &number, &(body.len() as u16).to_be_bytes(), body].concat()
    };
    let (fatal, goodbye, change) = ([2, 40], [1, 0], [1]);
    // A HelloRequest, a ServerHello, parts of a Finished without an end, and of nothing.
    let messages: [&[u8]; 4] = [
        &[0; 12],
        &[&[2, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4][..], b"what"].concat(),
        &[&[20, 0xFF, 0xFF, 0xFF, 0, 9, 0, 0, 0, 0, 0, 4][..], b"what"].concat(),
        &[20, 0, 0, 12, 0, 9, 0, 0, 0, 0, 0, 0],
    ];
    let mut all = vec![record(20, 0, &change), record(21, 0, &fatal), record(21, 0, &goodbye), record(23, 0, b"clear")];
    all.extend(messages.map(|message| record(22, 0, message)));
    for epoch in [0, 1, 2, 0xFF] {
        all.extend((20..=63).map(|kind| record(kind, epoch, &[0x5A; 40])));
        all.push(record(23, epoch, &[]));
        all.push(record(23, epoch, &[0x5A; 1500]));
    }
    let whole = record(21, 1, &[0x5A; 26]);
    all.extend((1..whole.len()).map(|len| whole[..len].to_vec()));
    all.push([record(21, 1, &[0x5A; 26]), record(21, 0, &fatal), hello()].concat());
    all.push([&hello()[..40], &[0xFF; 60]].concat());
    all
}

/// TLS-009: what a source has begun and left makes room for others of it once its ten seconds are over; `tests/sessions.rs`
/// has the rest of what ends by time.
#[test]
fn handshakes_that_were_left_make_room_after_ten_seconds() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let setup = Setup::new().certificates(&[authority.issue(&folder, "first", NAME)]);
    let server = setup.set("workers", "1").set("limits.source-handshakes", "16").start();
    let dtls = Dtls::of(&authority);
    let begun = Instant::now();
    let left: Vec<UdpSocket> = (0..16).map(|_| dtls.leave(Wire::to(server.addr))).collect();
    let served = || dtls.ssl(NAME).connect(Wire::to(server.addr).patient(Duration::from_millis(500))).ok();
    assert!(served().is_none(), "its places are taken");
    eventually("a place to be free", served);
    assert!(begun.elapsed() > Duration::from_secs(9), "a slow network is not cut off");
    drop(left);
}

/// FRAME-022: each record is a message of its own; halves are none.
#[test]
fn half_a_message_is_none() {
    let (server, authority, _folder) = served();
    let mut client = Dtls::of(&authority).alice(server.addr);
    let request = client.bare(Method::BINDING, |_| {});
    let (first, second) = request.split_at(12);
    client.send_raw(first);
    client.send_raw(second);
    client.hears_nothing();
    assert_eq!(client.binding(), client.local());
}

/// DEMUX-007: the same addresses without DTLS are another 5-tuple.
#[test]
fn plain_datagrams_do_not_reach_the_allocation() {
    let (server, authority, _folder) = served();
    let sealed = Dtls::of(&authority).connect(server.addr);
    let socket = sealed.0.get_ref().socket.try_clone().unwrap();
    let mut client = Client::with_records(sealed, server.addr).named(ALICE);
    client.allocate();
    let mut plain = Client::with_socket(socket, server.addr).named(ALICE);
    assert_eq!(plain.refresh(0), Some(437));
    assert_eq!(client.refresh(600), None);
}

/// A ClientHello without a cookie, as small as can be.
fn hello() -> Vec<u8> {
    hello_with(&[])
}

/// A ClientHello with a cookie, or the first one without. It takes P-256, and ECDSA with SHA-256.
fn hello_with(cookie: &[u8]) -> Vec<u8> {
    const EXTENSIONS: [u8; 18] = [0, 16, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    let number = u8::from(!cookie.is_empty());
    let shown = [&[cookie.len() as u8][..], cookie].concat();
    let body = [&[0xFE, 0xFD][..], &[0x5A; 32], &[0], &shown, &[0, 2, 0xC0, 0x2C], &[1, 0], &EXTENSIONS].concat();
    let len = (body.len() as u32).to_be_bytes();
    let handshake = [&[1][..], &len[1..], &[0, number], &[0, 0, 0], &len[1..], &body].concat();
    let record = (handshake.len() as u16).to_be_bytes();
    [&[22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, number][..], &record, &handshake].concat()
}

/// The cookie of a HelloVerifyRequest.
fn hello_verify(datagram: &[u8]) -> &[u8] {
    assert_eq!((datagram[0], datagram[13]), (22, 3), "{datagram:02x?}");
    &datagram[28..]
}

/// DEMUX-011: what a client goes on to send when its session has ended is counted as that.
#[test]
fn a_record_of_a_session_that_never_was_is_counted_as_one() {
    let ((folder, path), authority) = (place(), Authority::new());
    let server = setup(&path).certificates(&[authority.issue(&folder, "first", NAME)]).start();
    let socket = Wire::to(server.addr).socket;
    socket.send(&[&[23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 1, 0, 40][..], &[0x5A; 40]].concat()).unwrap();
    let drops = || json_at(&path, &["status"])["drops"]["user_space"].clone();
    // Workers leave their numbers a few times in a second.
    let drops = eventually("it is counted", || Some(drops()).filter(|drops| drops["no_session"] == 1));
    assert_eq!(drops.get("unknown_protocol").and_then(serde_json::Value::as_u64).unwrap_or(0), 0, "{drops}");
}

/// TLS-003, SEC-36, DEMUX-011: a hundred thousand hellos from as many addresses, and records of sessions that never were,
/// leave nothing; each hello is answered with less than it was, and every cookie is another.
#[test]
fn a_hundred_thousand_spoofed_hellos_leave_nothing() {
    let (server, authority, _folder) = served();
    let hello = hello();
    let mut cookies = std::collections::HashSet::new();
    let mut send = |numbers: std::ops::Range<u32>| {
        let at = |number: u32| UdpSocket::bind((Ipv4Addr::from(0x7F64_0001 + number), 0)).unwrap();
        let sockets: Vec<UdpSocket> = numbers.map(at).collect();
        for (socket, first) in sockets.iter().zip([20, 21, 23, 32, 63].into_iter().cycle()) {
            socket.send_to(&[&[first][..], &hello[1..]].concat(), server.addr).unwrap();
            socket.send_to(&hello, server.addr).unwrap();
        }
        for socket in sockets {
            let mut answer = [0; 2048];
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let count = socket.recv(&mut answer).unwrap();
            assert!(count <= hello.len());
            assert!(cookies.insert(hello_verify(&answer[..count]).to_vec()), "every cookie is another");
        }
    };
    let mut send_all = |numbers: std::ops::Range<u32>| numbers.step_by(100).for_each(|first| send(first..first + 100));
    send_all(0..2_000);
    let before = server.memory();
    send_all(2_000..102_000);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB");
    flows(&mut Dtls::of(&authority).alice(server.addr));
}

/// TLS-003, SEC-36, PROXY-011: a hundred thousand clients that a proxy names, and that say hello, leave nothing.
#[test]
fn a_hundred_thousand_claimed_hellos_leave_nothing() {
    let (server, at, authority, _folder) = behind();
    let (hello, socket) = (hello(), Wire::to(at).socket);
    let mut cookies = std::collections::HashSet::new();
    let mut say = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let client = SocketAddr::from((Ipv4Addr::from(0xCB00_0000 | number), 4000));
            socket.send(&[binary(2, &client.to_string(), &[]), hello.clone()].concat()).unwrap();
            let mut answer = [0; 2048];
            let count = socket.recv(&mut answer).unwrap();
            assert!(cookies.insert(hello_verify(&answer[..count]).to_vec()), "every cookie is another");
        }
    };
    say(0..2_000);
    let before = server.memory();
    say(2_000..102_000);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB");
    flows(&mut by_proxy(&Dtls::of(&authority), &socket, "203.0.113.1:1000"));
}

/// SEC-43: handshakes of one source that are begun and left are few in a second.
#[test]
fn a_source_has_few_handshakes_in_a_second() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let left: Vec<UdpSocket> = (0..200).map(|_| dtls.leave(Wire::to(server.addr))).collect();
    // The one worker has looked at all of them.
    server.alice().binding();
    let begun = left.iter().filter(|socket| {
        socket.set_nonblocking(true).unwrap();
        socket.recv(&mut [0; 2048]).is_ok()
    });
    // Some more where a second has ended meanwhile.
    let begun = begun.count();
    assert!((1..150).contains(&begun), "{begun} of 200");
    eventually("others to be served again", || {
        let wire = Wire::from((Ipv4Addr::new(127, 9, 9, 9), 0).into(), server.addr);
        dtls.ssl(NAME).connect(wire).ok()
    });
}

/// SEC-43: a client that begins and ends again and again is one of those of its source that have begun, and no more.
#[test]
fn a_client_that_begins_again_counts_once() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let Wire { socket, .. } = Wire::from((Ipv4Addr::new(127, 66, 0, 1), 0).into(), server.addr);
    let begun = Instant::now();
    // More than may begin at a time, and most of them before the worker looks at who is through.
    for _ in 0..40 {
        let wire = Wire::on(socket.try_clone().unwrap());
        let mut sealed = dtls.on(wire, NAME);
        sealed.0.shutdown().unwrap();
        assert_eq!(sealed.receive(PATIENCE), None, "the goodbye is answered");
    }
    assert!(begun.elapsed() < PATIENCE, "no hello is left without an answer, to be sent again");
}

/// SEC-43: a handshake that has begun costs little, whatever comes before its keys.
#[test]
fn handshakes_that_have_begun_cost_little() {
    let (server, authority, _folder) = served();
    let dtls = Dtls::of(&authority);
    let early = |number: u8| [&[23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, number, 0, 1][..], &[0x5A]].concat();
    let many: Vec<u8> = (0..90).flat_map(early).collect();
    let begin = |source: u8| {
        let wire = Wire::from((Ipv4Addr::new(127, 77, 0, source), 0).into(), server.addr);
        dtls.leave(wire).send(&many).unwrap();
    };
    begin(1);
    let before = server.memory();
    (2..14).for_each(|source| (0..15).for_each(|_| begin(source)));
    server.alice().binding();
    let grown = server.memory().saturating_sub(before);
    // Some 55 KiB for each that has begun, of which a worker has a thousand at most.
    assert!(grown < 20 * 1024, "{grown} KiB");
}

/// A certificate that the server reads again is shown to new sessions; old ones go on.
#[test]
fn a_replaced_certificate_is_shown_after_sighup() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let server = Setup::new().certificates(std::slice::from_ref(&pair)).start();
    let dtls = Dtls::of(&authority);
    let mut old = dtls.alice(server.addr);
    flows(&mut old);
    let new = authority.issue(&folder, "first", NAME);
    server.signal("HUP");
    server.err.wait_for("certificates read");
    let shown = dtls.connect(server.addr).0.ssl().peer_certificate().unwrap().to_der().unwrap();
    assert_eq!(shown, leaf(&new.0).to_vec());
    assert_eq!(old.refresh(600), None);
}

/// Clients must show a certificate where they are asked for one.
#[test]
fn clients_show_a_certificate_where_they_must() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let own = authority.issue(&folder, "own", "client.example");
    let root = folder.write("root.pem", &authority.issuer.pem());
    let setup = Setup::new().certificates(&[pair]).set("tls.client-ca", &quoted(root.to_str().unwrap()));
    let server = setup.start();
    let without = Dtls::of(&authority).ssl(NAME).connect(Wire::to(server.addr));
    assert!(without.is_err());
    let with = Dtls::with(&authority, |builder| {
        builder.set_certificate_chain_file(&own.0).unwrap();
        builder.set_private_key_file(&own.1, openssl::ssl::SslFiletype::PEM).unwrap();
    });
    flows(&mut with.alice(server.addr));
}

/// Sessions on two workers, each with its own socket.
#[test]
fn every_worker_serves_dtls() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", NAME);
    let server = Setup::new().certificates(&[pair]).set("workers", "2").start();
    let dtls = Dtls::of(&authority);
    let mut clients: Vec<Client> = (0..12).map(|_| dtls.alice(server.addr)).collect();
    clients.iter_mut().for_each(|client| _ = flows(client));
}

/// A server for clients that come by a proxy at 127.0.0.1, in datagrams and under DTLS.
fn behind() -> (Server, SocketAddr, Authority, Folder) {
    behind_with("1")
}

/// The same with so many workers.
fn behind_with(workers: &str) -> (Server, SocketAddr, Authority, Folder) {
    let (authority, folder, setup) = (Authority::new(), Folder::new(), Setup::new());
    let at = SocketAddr::new(setup.ip, free_port());
    let setup = setup
        .certificates(&[authority.issue(&folder, "first", NAME)])
        .set("listen.extra", &quoted(&format!("proxy+udp+dtls://{at}")))
        .set("proxy.from", &quoted("127.0.0.1"))
        .set("protocol.mobility", "true")
        .set("workers", workers);
    (setup.start(), at, authority, folder)
}

/// A client for which the proxy, at this socket, says this.
fn by_proxy(dtls: &Dtls, socket: &UdpSocket, client: &str) -> Client {
    let wire = Wire { header: binary(2, client, &[]), ..Wire::on(socket.try_clone().unwrap()) };
    Client::with_records(dtls.on(wire, NAME), socket.peer_addr().unwrap()).named(ALICE)
}

/// TLS-004, PROXY-001, PROXY-011: the session is that of the client that the header names; what goes back leaves by the
/// proxy, without a header; and each client has its own, in clear and under DTLS.
#[test]
fn clients_under_dtls_come_by_a_proxy() {
    let (server, at, authority, _folder) = behind();
    let dtls = Dtls::of(&authority);
    let socket = Wire::to(at).socket;
    let names = ["203.0.113.1:1000", "[2001:db8::9]:50000"];
    let mut clients = names.map(|name| by_proxy(&dtls, &socket, name));
    for (client, name) in clients.iter_mut().zip(names) {
        assert_eq!(client.binding(), name.parse().unwrap());
        flows(client);
        server.err.wait_for(&format!("client={name} transport=Dtls"));
    }
    let plain = Client::with_socket(socket.try_clone().unwrap(), at);
    let mut plain = plain.behind(binary(2, names[0], &[])).named(ALICE);
    assert_eq!(plain.refresh(600), Some(437), "in clear it is another client");
    flows(&mut plain);
    let [mut first, mut second] = clients;
    assert_eq!(first.refresh(0), None);
    assert_eq!(plain.refresh(600), None);
    assert_eq!(second.refresh(600), None);
    flows(&mut first);
    assert_eq!(plain.refresh(0), None);
    assert_eq!(first.refresh(600), None, "the session stands when nothing in clear does");
}

/// TLS-010, PROXY-011: a goodbye ends the session of the client that is named with it, and no other.
#[test]
fn a_goodbye_by_a_proxy_ends_one_session() {
    let (server, at, authority, _folder) = behind();
    let dtls = Dtls::of(&authority);
    let socket = Wire::to(at).socket;
    let mut other = by_proxy(&dtls, &socket, "203.0.113.2:1000");
    other.allocate();
    for _ in 0..3 {
        let wire = Wire { header: binary(2, "203.0.113.1:1000", &[]), ..Wire::on(socket.try_clone().unwrap()) };
        let (sealed, goodbye) = Shared::of(dtls.on(wire, NAME));
        let mut client = Client::with_records(sealed, at).named(ALICE);
        client.allocate();
        goodbye.lock().unwrap().0.shutdown().unwrap();
        assert_eq!(goodbye.lock().unwrap().receive(PATIENCE), None, "the goodbye is answered");
    }
    server.err.wait_for("allocation ended client=203.0.113.1:1000");
    assert_eq!(other.refresh(600), None);
}

/// MICE-004, PROXY-011: under DTLS clients behind a proxy roam from worker to worker as well.
#[test]
fn clients_under_dtls_roam_behind_a_proxy() {
    let (_server, at, authority, _folder) = behind_with("2");
    let dtls = Dtls::of(&authority);
    let peer = peer();
    let mut client = by_proxy(&dtls, &Wire::to(at).socket, "203.0.113.1:1000");
    let (relayed, mut ticket) = roaming::mobile(&mut client);
    client.bind(0x4000, peer.local_addr().unwrap());
    for number in 0..20 {
        let name = format!("203.0.113.1:{}", 2000 + number);
        let socket = Wire::to(at).socket;
        let mut next = match number % 2 {
            0 => by_proxy(&dtls, &socket, &name),
            _ => Client::with_socket(socket, at).behind(binary(2, &name, &[])).named(ALICE),
        };
        ticket = roaming::show(&mut next, &ticket).expect("the ticket is good everywhere");
        roaming::flows(&mut client, &peer, relayed);
        roaming::flows(&mut next, &peer, relayed);
        assert_eq!(client.refresh(600), Some(437));
        client = next;
    }
}

/// TLS-003, PROXY-001: a cookie is good for the client that was named when it was sent, and for no other of its proxy.
#[test]
fn a_cookie_is_the_named_clients() {
    let (_server, at, ..) = behind();
    let socket = Wire::to(at).socket;
    let say = |client: &str, hello: Vec<u8>| {
        socket.send(&[binary(2, client, &[]), hello].concat()).unwrap();
        let mut answer = vec![0; 2048];
        let count = socket.recv(&mut answer).unwrap();
        answer.truncate(count);
        answer
    };
    let (first, second) = ("203.0.113.1:1000", "203.0.113.2:1000");
    let answer = say(first, hello());
    let cookie = hello_verify(&answer);
    let other = say(second, hello_with(cookie));
    assert_ne!(hello_verify(&other), cookie, "another's cookie is none");
    const SERVER_HELLO: u8 = 2;
    let flight = say(first, hello_with(cookie));
    assert_eq!((flight[0], flight[13]), (22, SERVER_HELLO), "{flight:02x?}");
}
