//! Clients that come by a proxy, which says who they are.

use crate::certificates::{Authority, shake_on};
use crate::client::{Answer, Client, Heard};
use crate::harness::*;
use crate::roaming::{CROWD, flows, mobile, passes_over, show};
use hairpin::wire::{Class, Method, Writer, attribute};
use rustls::ClientConnection;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Who a client says it is.
const CLAIMED: &str = "203.0.113.9:40000";
const NAME: &str = "turn.example";

/// A server that serves clients behind a proxy, over everything.
struct Scene {
    server: Server,
    /// Where the proxy connects to.
    behind: SocketAddr,
    /// The proxy's own address.
    proxy: IpAddr,
    authority: Authority,
    _folder: Folder,
}

impl Scene {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(more: impl Fn(Setup) -> Setup) -> Self {
        let (authority, folder, proxy) = (Authority::new(), Folder::new(), IpAddr::V4(own_address()));
        let setup = Setup::new();
        let behind = SocketAddr::new(setup.ip, free_port());
        let listener = format!("proxy+udp+tcp+tls://{behind}");
        let setup = setup
            .certificates(&[authority.issue(&folder, "one", NAME)])
            .set("listen.extra", &quoted(&listener))
            .set("proxy.from", &quoted(&proxy.to_string()));
        let server = more(setup).start();
        Self { server, behind, proxy, authority, _folder: folder }
    }

    /// A connection of the proxy's that begins with these bytes.
    fn connect(&self, begin: &[u8]) -> TcpStream {
        connect_from(self.proxy, self.behind, begin)
    }

    /// A TCP client for which the proxy has said this.
    fn client(&self, header: &[u8]) -> Client {
        Client::with_stream(self.connect(header), self.behind).named(ALICE)
    }

    /// A UDP client for which the proxy says this before each datagram.
    fn datagrams(&self, header: Vec<u8>) -> Client {
        Client::udp_from(self.proxy, self.behind).behind(header).named(ALICE)
    }
}

/// A connection from this address that begins with these bytes.
fn connect_from(ip: IpAddr, to: SocketAddr, begin: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::new(ip, 0))).unwrap();
    socket.connect(&SockAddr::from(to)).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    // Whoever is sent away at once may be gone before this is written.
    _ = stream.write_all(begin);
    stream
}

/// The line of version 1.
fn line(client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, server) = if client.is_ipv4() { ("TCP4", "198.51.100.7") } else { ("TCP6", "2001:db8::7") };
    format!("PROXY {family} {} {server} {} 3478\r\n", client.ip(), client.port()).into_bytes()
}

/// The header of version 2 with this command and protocol (1 TCP, 2 UDP), and this after the addresses.
pub fn binary(protocol: u8, client: &str, extensions: &[u8]) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let (family, addresses) = match client.ip() {
        IpAddr::V4(ip) => (0x10, [ip.octets(), [198, 51, 100, 7]].concat()),
        IpAddr::V6(ip) => (0x20, [ip.octets(), ip.octets()].concat()),
    };
    let ports = [client.port().to_be_bytes(), 3478_u16.to_be_bytes()].concat();
    header(0x21, family | protocol, &[&addresses[..], &ports, extensions].concat())
}

/// A header of version 2.
fn header(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, content].concat()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Allocates and relays both ways.
fn relays(client: &mut Client) -> SocketAddr {
    let peer = peer();
    let relayed = client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_channel(0x4000, b"up");
    assert_eq!(receive(&peer), (b"up".to_vec(), relayed));
    peer.send_to(b"down!", relayed).unwrap();
    assert_eq!(client.hear(), Heard::Channel(0x4000, b"down!".to_vec()));
    relayed
}

/// Nothing is said to this connection, which ends.
fn ends_unheard(mut stream: TcpStream, what: &str) {
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{what}: not ended: {error}"),
    }
    assert_eq!(said, b"", "{what}");
}

/// A Binding request.
fn binding() -> Vec<u8> {
    let mut request = Vec::new();
    Writer::new(&mut request, Method::BINDING, Class::Request, &[0x33; 12]);
    request
}

/// PROXY-001, PROXY-004, SEC-25: both versions, both families: the client is who the proxy says it is, and proves by its
/// password that it may allocate as anybody does.
#[test]
fn the_client_is_who_the_proxy_says_it_is() {
    let scene = Scene::new();
    for client in [CLAIMED, "[2001:db8::9]:50000"] {
        for begin in [line(client), binary(1, client, &[])] {
            let mut served = scene.client(&begin);
            assert_eq!(served.binding(), addr(client));
            let answer = served.allocate_with(|_| {});
            assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), addr(client));
            assert_eq!(served.refresh(0), None);
            relays(&mut served);
            scene.server.err.wait_for(&format!("allocation made client={client} transport=Tcp user=alice"));
            let mut stranger = scene.client(&begin).named(("mallory", "a guess"));
            assert_eq!(stranger.try_allocate(), Err(401));
        }
    }
}

/// PROXY-003, PROXY-005, PROXY-006: a proxy that names nobody has its own address, as in a check of its own.
#[test]
fn a_proxy_that_names_nobody_has_its_own_address() {
    let scene = Scene::new();
    for begin in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 anything at all\r\n".to_vec(),
        header(0x20, 0x00, b""),
        header(0x20, 0x11, b"whatever it is, it is skipped"),
        header(0x21, 0x00, b""),
        header(0x21, 0x31, &[b'/'; 216]),
    ] {
        let mut client = scene.client(&begin);
        assert_eq!(client.binding(), client.local());
        relays(&mut client);
    }
}

/// PROXY-007: the longest header is skipped; nothing of it is taken for a message.
#[test]
fn extensions_are_skipped_however_long_they_are() {
    let scene = Scene::new();
    for len in [0, 9, 4000, 0xFFFF - 15] {
        let extension = [&[0x04][..], &u16::try_from(len).unwrap().to_be_bytes(), &vec![0; len]].concat();
        let mut client = scene.client(&binary(1, CLAIMED, &extension));
        assert_eq!(client.binding(), addr(CLAIMED), "{len}");
    }
}

/// PROXY-010: the header is in clear and before the handshake, whole with the hello behind it or byte by byte.
#[test]
fn the_header_comes_before_the_handshake_in_pieces_or_with_it() {
    let scene = Scene::new();
    let config = Arc::new(scene.authority.client().alpn(&["stun.turn"]).config());
    for begin in [line(CLAIMED), binary(1, CLAIMED, &[])] {
        let together = {
            let mut tls = ClientConnection::new(Arc::clone(&config), NAME.try_into().unwrap()).unwrap();
            let mut first = begin.clone();
            tls.write_tls(&mut first).unwrap();
            let mut tls = rustls::StreamOwned::new(tls, scene.connect(&first));
            while tls.conn.is_handshaking() {
                tls.conn.complete_io(&mut tls.sock).unwrap();
            }
            tls
        };
        let mut stream = scene.connect(b"");
        for byte in &begin {
            stream.write_all(&[*byte]).unwrap();
        }
        let in_pieces = shake_on(Arc::clone(&config), stream, NAME).unwrap();
        for tls in [together, in_pieces] {
            assert_eq!(tls.conn.alpn_protocol(), Some(&b"stun.turn"[..]));
            let mut client = Client::with_stream(tls, scene.behind).named(ALICE);
            assert_eq!(client.binding(), addr(CLAIMED));
            relays(&mut client);
        }
    }
    scene.server.err.wait_for(&format!("client={CLAIMED} transport=Tls"));
    // The header and the first requests in one segment, in clear.
    let mut client = scene.client(&[line(CLAIMED), binding(), binding()].concat());
    for _ in 0..2 {
        let Heard::Message(answer) = client.hear() else { panic!("an answer") };
        assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), addr(CLAIMED));
    }
}

/// PROXY-010: what may stand in the place of STUN may stand behind a header too.
#[test]
fn http_is_answered_behind_a_header() {
    let scene = Scene::new();
    let mut stream = scene.connect(&[&line(CLAIMED)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    scene.server.err.wait_for(&format!("http: answered client={CLAIMED}"));
}

/// PROXY-002, PROXY-006, PROXY-007, PROXY-008, PROXY-009, PROXY-011: no header, a broken one, one for datagrams, or one
/// from elsewhere: the connection ends and nothing is said. Where nothing is configured a header is none.
#[test]
fn whoever_has_no_good_header_is_sent_away_unheard() {
    let scene = Scene::new();
    let crc = [&[0x03, 0, 4][..], &[1, 2, 3, 4]].concat();
    let cases = [
        ("STUN at once", binding()),
        ("TLS at once", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec()),
        ("a bare line feed", b"PROXY TCP4 203.0.113.9 198.51.100.7 1 2\n".to_vec()),
        ("two blanks", b"PROXY TCP4  203.0.113.9 198.51.100.7 1 2\r\n".to_vec()),
        ("port 65536", b"PROXY TCP4 203.0.113.9 198.51.100.7 65536 2\r\n".to_vec()),
        ("another family", b"PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n".to_vec()),
        ("a line of 108 bytes", format!("PROXY UNKNOWN {:92}\r\n", 0).into_bytes()),
        ("a line without an end", vec![b'P'; 200]),
        ("a line that goes on", [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat()),
        ("version 3", header(0x31, 0x11, &[1; 12])),
        ("an unknown command", header(0x22, 0x11, &[1; 12])),
        ("an unknown family", header(0x21, 0x41, &[1; 12])),
        ("too short for its addresses", header(0x21, 0x11, &[1; 11])),
        ("a header of datagrams", binary(2, CLAIMED, &[])),
        ("an extension beyond the end", binary(1, CLAIMED, &[4, 0, 9, 1])),
        ("a wrong checksum", binary(1, CLAIMED, &crc)),
    ];
    for (what, begin) in cases {
        ends_unheard(scene.connect(&begin), what);
    }
    let half = scene.connect(&line(CLAIMED)[..20]);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    ends_unheard(half, "a header that ends too early");

    let good = [line(CLAIMED), binding()].concat();
    ends_unheard(connect_from(own_address().into(), scene.behind, &good), "from elsewhere");
    let plain = scene.server.addr;
    for begin in [good, [binary(1, CLAIMED, &[]), binding()].concat()] {
        ends_unheard(connect_from(scene.proxy, plain, &begin), "where no header is expected");
    }
    let mut other = Client::with_stream(connect_from(scene.proxy, plain, b""), plain);
    assert_eq!(other.binding(), other.local(), "a proxy may be a client elsewhere");
    assert_eq!(scene.client(&line(CLAIMED)).binding(), addr(CLAIMED), "others are served as ever");
}

/// PROXY-001, PROXY-012: limits are those of the client, not of the proxy that all of them come by.
#[test]
fn limits_count_the_client_and_not_its_proxy() {
    let scene = Scene::with(|s| s.set("limits.source-connections", "2").set("limits.source-allocations", "1"));
    let mut clients: Vec<Client> = (1..9).map(|n| scene.client(&line(&format!("203.0.113.{n}:1000")))).collect();
    for client in &mut clients {
        client.allocate();
    }
    let mut second = scene.client(&line("203.0.113.1:2000"));
    assert_eq!(second.try_allocate(), Err(486), "an allocation of this client stands");
    ends_unheard(scene.connect(&[line("203.0.113.1:3000"), binding()].concat()), "two connections stand");
    drop(clients);
    eventually("its places are free", || {
        let mut next = scene.connect(&[line("203.0.113.1:4000"), binding()].concat());
        next.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(next.read(&mut [0; 100]), Ok(1..)).then_some(())
    });
}

/// PROXY-012: who cannot be a client cannot be one by a proxy either.
#[test]
fn who_cannot_be_a_client_cannot_be_one_by_a_proxy() {
    let scene = Scene::new();
    let own = scene.server.addr.to_string();
    for claimed in ["203.0.113.9:0", "224.0.0.1:1000", "255.255.255.255:1000", "0.0.0.0:1000", &own] {
        let mut tcp = scene.client(&line(claimed));
        let request = tcp.bare(Method::BINDING, |_| {});
        tcp.send_raw(&request);
        assert_eq!(tcp.hear_within(Duration::from_millis(300)), None, "{claimed}");
        let mut udp = scene.datagrams(binary(2, claimed, &[]));
        assert_eq!(udp.try_once(&request, Duration::from_millis(300)), None, "{claimed}");
    }
}

/// PROXY-013: a proxy that gives two clients one name has two clients still.
#[test]
fn two_connections_that_claim_one_address_are_two_clients() {
    let scene = Scene::new();
    let mut clients = [scene.client(&line(CLAIMED)), scene.client(&line(CLAIMED))];
    let relayed = clients.each_mut().map(relays);
    assert_ne!(relayed[0], relayed[1]);
    let [mut first, second] = clients;
    drop(second);
    assert_eq!(first.refresh(600), None, "the end of one is not that of the other");
}

/// PROXY-011: each datagram has its header, answers go to the proxy without one, and clients behind one socket of the
/// proxy are told apart by what it says.
#[test]
fn a_header_stands_before_each_datagram() {
    let scene = Scene::new();
    for client in [CLAIMED, "[2001:db8::9]:50000"] {
        let mut served = scene.datagrams(binary(2, client, &[4, 0, 2, 0, 0]));
        assert_eq!(served.binding(), addr(client));
        relays(&mut served);
        scene.server.err.wait_for(&format!("client={client} transport=Udp"));
        assert_eq!(served.refresh(0), None);
        relays(&mut served);
    }
    let mut itself = scene.datagrams(header(0x20, 0, b""));
    assert_eq!(itself.binding(), itself.local());
    relays(&mut itself);

    let socket = UdpSocket::bind((scene.proxy, 0)).unwrap();
    let by = |client: &str| {
        let socket = socket.try_clone().unwrap();
        Client::with_socket(socket, scene.behind).behind(binary(2, client, &[])).named(ALICE)
    };
    let (mut first, mut second) = (by("203.0.113.1:1000"), by("203.0.113.2:1000"));
    let (at_first, at_second) = (first.allocate(), second.allocate());
    assert_ne!(at_first, at_second);
    let peer = peer();
    for (client, number) in [(&mut first, 0x4001), (&mut second, 0x4002)] {
        client.bind(number, peer.local_addr().unwrap());
        client.send_channel(number, b"from whom");
        let (_, from) = receive(&peer);
        peer.send_to(b"to whom", from).unwrap();
        assert_eq!(client.hear(), Heard::Channel(number, b"to whom".to_vec()));
    }
    assert_eq!(first.refresh(0), None);
    assert_eq!(first.refresh(600), Some(437));
    assert_eq!(second.refresh(600), None, "the end of one is not that of the other");
}

/// A client that allocates in the moment in which its old allocation has ended gets its answer: the way to it is not
/// forgotten with what has ended.
#[test]
fn an_allocation_follows_another_at_once() {
    let scene = Scene::with(|setup| setup.set("limits.lifetime", "\"1s\"").set("workers", "1"));
    let mut client = scene.datagrams(binary(2, CLAIMED, &[]));
    client.allocate();
    for _ in 0..3 {
        eventually("the old one to end", || match client.try_allocate() {
            Ok(_) => Some(()),
            Err(code) => {
                assert_eq!(code, 437);
                None
            }
        });
    }
}

/// MICE-004, MICE-010, PROXY-011: clients behind a proxy roam as others do, to whatever worker the proxy's datagrams go, and
/// from there to one without a proxy and back.
#[test]
fn clients_behind_a_proxy_roam_from_worker_to_worker_without_losing_a_packet() {
    let scene = Scene::with(|setup| setup.set("protocol.mobility", "true").set("workers", "2"));
    let by_proxy = |port: u16| scene.datagrams(binary(2, &format!("203.0.113.9:{port}"), &[]));
    let peer = peer();
    for _ in 0..CROWD {
        let mut client = by_proxy(1000);
        let (relayed, mut ticket) = mobile(&mut client);
        client.bind(0x4000, peer.local_addr().unwrap());
        // The same name by another socket of the proxy's is another 5-tuple too.
        for next in [by_proxy(1000), by_proxy(2000), scene.server.alice(), by_proxy(1000)] {
            let mut next = next.named(ALICE);
            ticket = show(&mut next, &ticket).expect("the ticket is good everywhere");
            flows(&mut client, &peer, relayed);
            passes_over(&mut client, &mut next, &peer, relayed);
            flows(&mut next, &peer, relayed);
            assert_eq!(next.refresh(600), None);
            assert_eq!(client.refresh(600), Some(437));
            client = next;
        }
        assert_eq!(client.refresh(0), None);
    }
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        scene.server.err.wait_for("allocation came from another worker");
    }
}

/// MICE-006, MICE-018, PROXY-011: what another worker expects of a client behind a proxy ends with its next 5-tuple, and
/// then the client may begin anew; and so may one whose ticket is refused.
#[test]
fn a_5_tuple_by_a_proxy_that_was_never_used_is_forgotten_everywhere() {
    let scene = Scene::with(|setup| setup.set("protocol.mobility", "true").set("workers", "2"));
    let by_proxy = || scene.datagrams(binary(2, CLAIMED, &[])).named(ALICE);
    let peer = peer();
    let mut client = by_proxy();
    let (relayed, first) = mobile(&mut client);
    let mut ticket = first.clone();
    client.bind(0x4000, peer.local_addr().unwrap());
    // A port that another has left could be that of an allocation which stands.
    let mut all = Vec::new();
    for _ in 0..CROWD {
        let mut next = by_proxy();
        ticket = show(&mut next, &ticket).expect("the ticket is good everywhere");
        let mut other = by_proxy();
        ticket = show(&mut other, &ticket).expect("the ticket is good everywhere");
        assert_eq!(next.refresh(600), Some(437));
        assert!(next.try_allocate().is_ok());
        let mut late = by_proxy();
        assert_eq!(show(&mut late, &first), Err(400), "an old ticket");
        flows(&mut client, &peer, relayed);
        all.extend([next, other, late]);
    }
}

/// PROXY-008, PROXY-009, PROXY-011: silence for datagrams without a header, with one of connections, or from elsewhere.
#[test]
fn datagrams_without_a_good_header_are_dropped_unheard() {
    let scene = Scene::new();
    let mut good = scene.datagrams(binary(2, CLAIMED, &[]));
    let elsewhere = UdpSocket::bind((own_address(), 0)).unwrap();
    elsewhere.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    elsewhere.send_to(&[binary(2, CLAIMED, &[]), binding()].concat(), scene.behind).unwrap();
    let all: [Vec<u8>; 7] = [
        binding(),
        [binary(1, CLAIMED, &[]), binding()].concat(),
        [line(CLAIMED), binding()].concat(),
        binary(2, CLAIMED, &[])[..20].to_vec(),
        [header(0x21, 0x12, &[1; 11]), binding()].concat(),
        b"\r\n".to_vec(),
        Vec::new(),
    ];
    for datagram in &all {
        good.socket().send_to(datagram, scene.behind).unwrap();
    }
    good.hears_nothing();
    assert!(elsewhere.recv(&mut [0; 100]).is_err(), "nobody but the proxy is heard");
    eventually("what was dropped is counted", || {
        (dropped(&scene.server, "proxy_header") as usize == all.len() + 1).then_some(())
    });
    let mut plain = Client::udp(scene.server.addr);
    plain.send_raw(&[binary(2, CLAIMED, &[]), binding()].concat());
    plain.hears_nothing();
}

/// How many packets were dropped for this reason, as the server tells it now.
fn dropped(server: &Server, reason: &str) -> u32 {
    const STATUS: &str = "user space: status";
    let before = server.err.text().matches(STATUS).count();
    server.signal("USR1");
    let told = eventually("the server to tell", || {
        let text = server.err.text();
        text.lines().filter(|line| line.contains(STATUS)).nth(before).map(ToOwned::to_owned)
    });
    let count = told.split([' ', '"']).find_map(|word| word.strip_prefix(reason)?.strip_prefix('='));
    count.map_or(0, |count| count.parse().unwrap())
}

/// SEC-36, PROXY-011: clients that a proxy names and that prove nothing leave nothing behind, and neither do broken
/// headers.
#[test]
fn a_hundred_thousand_claimed_clients_leave_the_memory_as_it_was() {
    let scene = Scene::with(|setup| setup.set("workers", "1"));
    let mut stranger = scene.datagrams(Vec::new());
    let request = stranger.bare(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    let socket = stranger.socket().try_clone().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (mut answered, mut before) = (0, 0);
    for n in 0..100_000_u32 {
        if n == 10_000 {
            before = scene.server.memory();
        }
        let client = SocketAddr::from((std::net::Ipv4Addr::from(0xCB00_0000 | n), 4000));
        let header = binary(2, &client.to_string(), &[4, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        socket.send_to(&header[..n as usize % header.len()], scene.behind).unwrap();
        socket.send_to(&[header, request.clone()].concat(), scene.behind).unwrap();
        let mut buffer = vec![0; 600];
        if let Ok(len) = socket.recv(&mut buffer) {
            buffer.truncate(len);
            assert_eq!(Answer { bytes: buffer }.code(), Some(401));
            answered += 1;
        }
        assert!(answered > n * 9 / 10 || n < 100, "{answered} answers of {n}");
    }
    assert!(answered > 90_000, "{answered} answers");
    let grown = scene.server.memory().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB for 90 000 clients that proved nothing");
    eventually("what was broken is counted", || (dropped(&scene.server, "proxy_header") > 90_000).then_some(()));
}

/// SEC-36, MICE-018, PROXY-011: a ticket makes a worker ask another one, and remember who is to be answered: for a moment,
/// and no more than so many.
#[test]
fn a_ticket_that_is_shown_by_many_claimed_clients_costs_little() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        return;
    }
    let scene = Scene::with(|setup| setup.set("protocol.mobility", "true").set("workers", "2"));
    let mut alice = scene.datagrams(binary(2, CLAIMED, &[]));
    let (_, ticket) = mobile(&mut alice);
    let request = alice.bare(Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket));
    // Some of these reach the worker that must ask.
    let sockets: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind((scene.proxy, 0)).unwrap()).collect();
    let mut claim = 0xCB00_0000_u32;
    let mut show_many = |count: u32| {
        for socket in sockets.iter().cycle().take(count as usize) {
            claim += 1;
            let client = SocketAddr::from((std::net::Ipv4Addr::from(claim), 4000));
            socket.send_to(&[&binary(2, &client.to_string(), &[])[..], &request].concat(), scene.behind).unwrap();
        }
    };
    let mut reach_the_bound = || {
        let before = dropped(&scene.server, "too_many");
        eventually("the most that may wait", || {
            show_many(2000);
            (dropped(&scene.server, "too_many") > before).then_some(())
        });
    };
    reach_the_bound();
    let before = scene.server.memory();
    for _ in 0..5 {
        reach_the_bound();
    }
    let grown = scene.server.memory().saturating_sub(before);
    assert!(grown < 2048, "{grown} KiB");
    // After that moment a good one is heard, wherever it lands.
    let mut ticket = ticket;
    for _ in 0..CROWD {
        let mut next = scene.datagrams(binary(2, CLAIMED, &[]));
        ticket = show(&mut next, &ticket).expect("the ticket is good");
    }
}

/// A file of coturn's: its own option for the port, and ours for who may use it, without which it does not start.
#[test]
fn a_file_of_coturns_needs_to_name_the_proxies() {
    let (ip, folder) = (own_address(), Folder::new());
    let (port, behind) = (free_port(), SocketAddr::new(ip.into(), free_port()));
    let text = format!(
        "listening-ip={ip}\nlistening-port={port}\ntcp-proxy-port={}\nlt-cred-mech\nuser={}:{}\nrealm={REALM}\n\
         allow-loopback-peers\nkernel-path=off\n",
        behind.port(),
        ALICE.0,
        ALICE.1
    );
    let file = folder.write("turnserver.conf", &text);
    let (code, _, said) = finish(&["-c", file.to_str().unwrap()]);
    assert!(code == 1 && said.contains("proxy.from") && said.contains("nobody could connect"), "{said}");
    let file = folder.write("turnserver.conf", &format!("{text}proxy.from=127.0.0.1/32\n"));
    let mut server = Server::spawn(&["-c", file.to_str().unwrap()], None);
    server.addr = SocketAddr::new(ip.into(), port);
    server.answers(None).unwrap();
    let stream = connect_from("127.0.0.1".parse().unwrap(), behind, &binary(1, CLAIMED, &[]));
    let mut client = Client::with_stream(stream, behind).named(ALICE);
    assert_eq!(client.binding(), addr(CLAIMED));
    relays(&mut client);
}
