//! TCP relays (RFC 6062) on real sockets.

use crate::certificates::*;
use crate::client::{Client, Heard, Stream};
use crate::harness::*;
use hairpin::wire::{Method, address, attribute};
use socket2::SockRef;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than all buffers on the way hold.
const MUCH: usize = 32 << 20;

/// Allocates a TCP relay of the family of this address.
fn allocate(client: &mut Client, like: IpAddr) -> SocketAddr {
    let family = if like.is_ipv4() { 1 } else { 2 };
    let answer = client.request(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
        w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0]);
    });
    assert_eq!(answer.code(), None);
    answer.xor(attribute::XOR_RELAYED_ADDRESS)
}

/// A client with a TCP relay.
fn alice(server: &Server) -> (Client, SocketAddr) {
    let mut client = server.alice_by_tcp();
    let relayed = allocate(&mut client, server.addr.ip());
    (client, relayed)
}

/// Connect: the CONNECTION-ID, or the code of the refusal.
fn connect(client: &mut Client, peer: SocketAddr) -> Result<Vec<u8>, u16> {
    let answer = client.request(Method::CONNECT, |w| _ = w.xor_address(attribute::XOR_PEER_ADDRESS, peer));
    answer.code().map_or_else(|| Ok(answer.get(attribute::CONNECTION_ID).unwrap()), Err)
}

/// Binds a connection to this one.
fn bind(mut data: Client, connection: &[u8]) -> Data {
    let answer = data.request(Method::CONNECTION_BIND, |w| _ = w.attribute(attribute::CONNECTION_ID, connection));
    assert_eq!(answer.code(), None);
    let (stream, ahead) = data.into_stream();
    stream.socket().set_read_timeout(Some(PATIENCE)).unwrap();
    Data { stream, ahead }
}

/// A connection that carries data: what was read with the answer to the request, and the rest.
struct Data {
    stream: Box<dyn Stream>,
    ahead: Vec<u8>,
}

impl Data {
    /// Reads so many bytes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.ahead);
        let rest = bytes.split_off(count.min(bytes.len()));
        self.ahead = rest;
        let have = bytes.len();
        bytes.resize(count, 0);
        self.stream.read_exact(&mut bytes[have..]).unwrap();
        bytes
    }

    /// Reads to the end.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.ahead);
        self.stream.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }
}

/// A peer that listens at an address of its own.
fn listener() -> TcpListener {
    TcpListener::bind((own_address(), 0)).unwrap()
}

/// The next connection to a peer.
fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, from) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (stream, from)
}

fn exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Bytes that tell if one is missing, twice there or in the wrong place.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Both say much at once, and everything arrives; each in its turn says that it is over.
fn converse(data: &mut Data, peer: &mut TcpStream) {
    let (up, down) = (pattern(3 << 20), pattern(5 << 20));
    thread::scope(|scope| {
        let (mut writes, sent) = (peer.try_clone().unwrap(), &down);
        let mut reads = peer.try_clone().unwrap();
        scope.spawn(move || writes.write_all(sent).unwrap());
        let heard = scope.spawn(move || exactly(&mut reads, 3 << 20));
        // A client under TLS has one hand only, so it takes turns.
        for (part, expected) in up.chunks(up.len() / 16).zip(down.chunks(down.len() / 16)) {
            data.say(part);
            assert!(data.take(expected.len()) == expected, "the client gets what the peer has said");
        }
        assert!(heard.join().unwrap() == up, "the peer gets what the client has said");
    });
}

/// TCP-001, TCP-005, TCP-012, TCP-013, TCP-019, TCP-022: the peer sees the relayed address; what looks like STUN is not
/// looked at; either side may end first and still be answered.
#[test]
fn a_client_and_a_peer_are_one_connection() {
    let server = Setup::new().start();
    let (mut alice, relayed) = alice(&server);
    for client_ends_first in [true, false] {
        let listener = listener();
        let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
        let (mut peer, from) = accept(&listener);
        assert_eq!(from, relayed);
        let mut data = bind(server.alice_by_tcp(), &connection);
        let stun = alice.bare(Method::BINDING, |_| {});
        data.say(&stun);
        assert_eq!(exactly(&mut peer, stun.len()), stun);
        converse(&mut data, &mut peer);
        if client_ends_first {
            data.say(b"question");
            data.stream.socket().shutdown(Shutdown::Write).unwrap();
            let mut question = String::new();
            peer.read_to_string(&mut question).unwrap();
            assert_eq!(question, "question");
            peer.write_all(b"answer").unwrap();
            drop(peer);
            assert_eq!(data.rest(), b"answer");
        } else {
            peer.write_all(b"question").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            assert_eq!(data.rest(), b"question");
            data.say(b"answer");
            drop(data);
            let mut answer = String::new();
            peer.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "answer");
        }
        // The connection is over, so the same peer may be reached again.
        eventually("the peer to be free", || connect_free(&mut alice, &listener));
    }
}

/// Connects again, once the last connection to the peer is over.
fn connect_free(alice: &mut Client, listener: &TcpListener) -> Option<()> {
    match connect(alice, listener.local_addr().unwrap()) {
        Ok(connection) => {
            drop(accept(listener));
            let server = alice.server();
            assert_eq!(bind(Client::tcp(server).named(ALICE), &connection).rest(), b"");
            Some(())
        }
        Err(code) => {
            assert_eq!(code, 446);
            None
        }
    }
}

/// TCP-001, TCP-013, TLS-001: the client under TLS, on both of its connections.
#[test]
fn a_client_under_tls_and_a_peer_are_one_connection() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", "turn.example");
    let server = Setup::new().certificates(&[pair]).start();
    let tls = || Client::with_stream(authority.client().connect(server.tls, "turn.example"), server.tls).named(ALICE);
    let mut alice = tls();
    allocate(&mut alice, server.addr.ip());
    let listener = listener();
    let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = accept(&listener);
    let mut data = bind(tls(), &connection);
    converse(&mut data, &mut peer);
    peer.write_all(b"over").unwrap();
    drop(peer);
    assert_eq!(data.rest(), b"over");
}

/// The ConnectionAttempt that comes next: who, and by which number.
fn attempt(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let Heard::Message(heard) = client.hear() else { panic!("an indication") };
    let message = heard.message();
    assert_eq!(message.method(), Method::CONNECTION_ATTEMPT);
    let peer = address::decode_xor(message.attribute(attribute::XOR_PEER_ADDRESS).unwrap(), &message.transaction());
    (peer.unwrap(), heard.get(attribute::CONNECTION_ID).unwrap())
}

/// TCP-017, TCP-020: what a peer says early comes after the answer, and none of it is lost.
#[test]
fn a_peer_connects_to_a_client() {
    let server = Setup::new().start();
    let (mut alice, relayed) = alice(&server);
    let early = pattern(100_000);
    alice.permit((own_address(), 1).into());
    alice.permit((std::net::Ipv4Addr::LOCALHOST, 1).into());
    let mut peer = TcpStream::connect(relayed).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(&early).unwrap();
    let (from, connection) = attempt(&mut alice);
    assert_eq!(from, peer.local_addr().unwrap());
    let mut data = bind(server.alice_by_tcp(), &connection);
    assert!(data.take(early.len()) == early);
    converse(&mut data, &mut peer);
    // The relay that peers have connected to reaches others.
    let listener = listener();
    let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
    let (mut other, from) = accept(&listener);
    assert_eq!(from, relayed);
    converse(&mut bind(server.alice_by_tcp(), &connection), &mut other);
}

/// TCP-021.
#[test]
fn a_peer_without_permission_is_let_go_at_once() {
    let server = Setup::new().start();
    let (mut alice, relayed) = alice(&server);
    let mut peer = TcpStream::connect(relayed).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(alice.hear_within(Duration::from_millis(1)), None);
}

/// TCP-018: what comes in one segment with ConnectionBind.
#[test]
fn what_a_client_says_early_is_passed_on() {
    let server = Setup::new().start();
    let (mut alice, _) = alice(&server);
    let listener = listener();
    let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = accept(&listener);
    let mut data = server.alice_by_tcp();
    // It learns a nonce first.
    assert_eq!(data.refresh(600), Some(437));
    let mut request = data.signed(Method::CONNECTION_BIND, |w| _ = w.attribute(attribute::CONNECTION_ID, &connection));
    request.extend(pattern(10_000));
    data.send_raw(&request);
    assert!(exactly(&mut peer, 10_000) == pattern(10_000));
}

/// TCP-010.
#[test]
fn a_peer_that_refuses_fails_the_request() {
    let server = Setup::new().start();
    let (mut alice, _) = alice(&server);
    let nobody = listener().local_addr().unwrap();
    assert_eq!(connect(&mut alice, nobody), Err(447));
    assert_eq!(alice.refresh(600), None);
}

/// TCP-023: the relay, what waits and what is bound.
#[test]
fn everything_ends_with_the_allocation() {
    let server = Setup::new().start();
    let (mut alice, relayed) = alice(&server);
    let (first, second) = (listener(), listener());
    let connection = connect(&mut alice, first.local_addr().unwrap()).unwrap();
    let (mut bound, _) = accept(&first);
    let mut data = bind(server.alice_by_tcp(), &connection);
    connect(&mut alice, second.local_addr().unwrap()).unwrap();
    let (mut waiting, _) = accept(&second);
    assert_eq!(alice.refresh(0), None);
    assert_eq!(bound.read(&mut [0]).unwrap(), 0);
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0);
    assert_eq!(data.rest(), b"");
    assert_eq!(TcpStream::connect(relayed).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// Connections for data land on any worker, and are bound where their peers are.
#[test]
fn a_client_may_bind_on_any_worker() {
    let server = Setup::new().set("workers", "2").start();
    let (mut alice, _) = alice(&server);
    let listener = listener();
    for number in 0..20 {
        let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = accept(&listener);
        let mut data = bind(server.alice_by_tcp(), &connection);
        data.say(&[number]);
        assert_eq!(exactly(&mut peer, 1), [number]);
        peer.write_all(&[number]).unwrap();
        assert_eq!(data.take(1), [number]);
        drop(peer);
        assert_eq!(data.rest(), b"");
    }
}

/// TCP-014: whoever has an allocation, or is about to take one over, binds nothing to its connection, on whatever worker
/// either of them is; and nobody else's connection is taken for it.
#[test]
fn a_connection_that_is_somebodys_is_not_bound() {
    let server = Setup::new().set("workers", "2").set("protocol.mobility", "true").start();
    let mut bystanders: Vec<Client> = (0..8).map(|_| server.alice_by_tcp()).collect();
    bystanders.iter_mut().for_each(|client| _ = client.allocate());
    let listener = listener();
    for _ in 0..12 {
        let (mut alice, _) = alice(&server);
        let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = accept(&listener);
        let refused = |client: &mut Client| {
            let answer =
                client.request(Method::CONNECTION_BIND, |w| _ = w.attribute(attribute::CONNECTION_ID, &connection));
            assert_eq!(answer.code(), Some(400));
        };
        let mut other = server.alice_by_tcp();
        other.allocate();
        refused(&mut other);
        assert_eq!(other.refresh(600), None, "its allocation is where it was");
        let mut mobile = server.alice();
        let ticket = mobile.allocate_with(|w| _ = w.attribute(attribute::MOBILITY_TICKET, &[]));
        let ticket = ticket.get(attribute::MOBILITY_TICKET).unwrap();
        let mut next = server.alice_by_tcp();
        let shown = next.request(Method::REFRESH, |w| _ = w.attribute(attribute::MOBILITY_TICKET, &ticket));
        assert_eq!(shown.code(), None);
        refused(&mut next);
        for bystander in &mut bystanders {
            assert_eq!(bystander.refresh(600), None);
        }
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Urgent data, which splicing stops at, stops nothing.
#[test]
fn urgent_data_stops_nothing() {
    let server = Setup::new().start();
    let (mut alice, _) = alice(&server);
    let listener = listener();
    let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = accept(&listener);
    let mut data = bind(server.alice_by_tcp(), &connection);
    let urgently = |socket: &TcpStream| assert_eq!(socket2::SockRef::from(socket).send_out_of_band(b"!").unwrap(), 1);
    peer.write_all(b"before").unwrap();
    urgently(&peer);
    peer.write_all(b"after").unwrap();
    assert_eq!(data.take(11), b"beforeafter");
    data.say(b"before");
    urgently(data.stream.socket());
    data.say(b"after");
    assert_eq!(exactly(&mut peer, 11), b"beforeafter");
    converse(&mut data, &mut peer);
}

/// TCP-022: who fails takes nothing with it of what it has said.
#[test]
fn the_last_words_of_who_fails_are_passed_on() {
    let server = Setup::new().start();
    let (mut alice, _) = alice(&server);
    for peer_fails in [true, false] {
        let listener = listener();
        let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
        let (peer, _) = accept(&listener);
        let data = bind(server.alice_by_tcp(), &connection).stream.socket().try_clone().unwrap();
        let (mut fails, mut stays) = if peer_fails { (peer, data) } else { (data, peer) };
        let watched = fails.try_clone().unwrap();
        let sent = until_blocked(&mut fails, &watched);
        let arrived = sent - unsent(&fails);
        drop(watched);
        SockRef::from(&fails).set_linger(Some(Duration::ZERO)).unwrap();
        drop(fails);
        // It is found out by who says something.
        stays.write_all(b"still there?").unwrap();
        let mut heard = Vec::new();
        stays.read_to_end(&mut heard).unwrap();
        assert!(heard.len() >= arrived, "{} of {arrived} bytes", heard.len());
    }
}

/// Bytes that a socket has sent and that have not arrived, as the kernel lists them.
fn unsent(socket: &TcpStream) -> usize {
    let port = |addr: SocketAddr| format!(":{:04X}", addr.port());
    let (local, remote) = (port(socket.local_addr().unwrap()), port(socket.peer_addr().unwrap()));
    let list = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let mut fields = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mine = fields.find(|f| f[1].ends_with(&local) && f[2].ends_with(&remote)).unwrap();
    usize::from_str_radix(mine[4].split_once(':').unwrap().0, 16).unwrap()
}

/// The pipes of a server.
fn pipes(server: &Server) -> usize {
    let all = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
    let names = all.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("pipe:")).count()
}

/// Between plain connections bytes stay with the kernel, in pipes; under TLS there is nothing that it could pass on.
#[test]
fn the_kernel_passes_on_what_is_plain() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", "turn.example");
    let server = Setup::new().certificates(&[pair]).set("workers", "1").start();
    let secure = || Client::with_stream(authority.client().connect(server.tls, "turn.example"), server.tls);
    let plain = || Client::tcp(server.addr);
    let carry = |reach: &dyn Fn() -> Client| {
        let (listener, mut alice) = (listener(), reach().named(ALICE));
        allocate(&mut alice, server.addr.ip());
        let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = accept(&listener);
        converse(&mut bind(reach().named(ALICE), &connection), &mut peer);
        pipes(&server)
    };
    let none = pipes(&server);
    assert_eq!(carry(&secure), none);
    assert!(carry(&plain) > none);
}

/// TCP-028: who takes nothing stops whoever sends to it, and nobody else; memory does not grow.
#[test]
fn a_receiver_that_takes_nothing_stops_its_sender_alone() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "first", "turn.example");
    let server = Setup::new().certificates(&[pair]).set("workers", "1").start();
    for under_tls in [false, true] {
        let reach = |server: &Server| match under_tls {
            true => Client::with_stream(authority.client().connect(server.tls, "turn.example"), server.tls),
            false => Client::tcp(server.addr),
        };
        let mut alice = reach(&server).named(ALICE);
        allocate(&mut alice, server.addr.ip());
        let (slow, quick) = (listener(), listener());
        let connection = connect(&mut alice, slow.local_addr().unwrap()).unwrap();
        let (mut lazy, _) = accept(&slow);
        let mut stuck = bind(reach(&server).named(ALICE), &connection);
        let before = server.memory();
        let sent = until_blocked(&mut lazy.try_clone().unwrap(), &lazy);
        let socket = stuck.stream.socket().try_clone().unwrap();
        let also = until_blocked(&mut stuck.stream, &socket);
        assert!(sent < MUCH && also < MUCH);
        assert!(server.memory() < before + 4096, "{} KiB, and {} before", server.memory(), before);

        let connection = connect(&mut alice, quick.local_addr().unwrap()).unwrap();
        let (mut peer, _) = accept(&quick);
        let mut data = bind(reach(&server).named(ALICE), &connection);
        converse(&mut data, &mut peer);
        if !under_tls {
            assert_eq!(exactly(&mut lazy, also).len(), also, "what waited arrives");
            assert_eq!(stuck.take(sent).len(), sent);
        }
    }
}

/// Writes until nothing is taken any more, or too much was.
fn until_blocked(stream: &mut dyn Write, socket: &TcpStream) -> usize {
    let (mut sent, part) = (0, [0x5A; 65_536]);
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while sent < MUCH {
        match stream.write(&part) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            // A process that was stopped meanwhile goes on so, where a socket has a time limit.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    socket.set_write_timeout(None).unwrap();
    sent
}

/// TCP-005: a peer of IPv6.
#[test]
fn a_peer_may_be_of_ipv6() {
    let server = Setup::at(IpAddr::V6(Ipv6Addr::LOCALHOST)).start();
    let (mut alice, relayed) = alice(&server);
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let connection = connect(&mut alice, listener.local_addr().unwrap()).unwrap();
    let (mut peer, from) = accept(&listener);
    assert_eq!(from, relayed);
    converse(&mut bind(server.alice_by_tcp(), &connection), &mut peer);
}

/// What an allocation may use in a test of that, in bytes per second.
const BANDWIDTH: u64 = 1_200_000;

/// A client and a peer that are one connection, with the server's two ends of it: where each stands and leads to.
struct Pair {
    data: Data,
    peer: TcpStream,
    ends: [(SocketAddr, SocketAddr); 2],
}

/// A further connection of alice's.
fn pair(server: &Server, alice: &mut Client) -> Pair {
    let listener = listener();
    let connection = connect(alice, listener.local_addr().unwrap()).unwrap();
    let (peer, relayed) = accept(&listener);
    let data = bind(server.alice_by_tcp(), &connection);
    let client = data.stream.socket().local_addr().unwrap();
    let ends = [(server.addr, client), (relayed, peer.local_addr().unwrap())];
    Pair { data, peer, ends }
}

/// How many bytes per second a socket may send at the most, as the kernel tells it.
fn most((local, remote): (SocketAddr, SocketAddr)) -> Option<u64> {
    let (from, to) = (local.to_string(), remote.to_string());
    let shown = Command::new("ss").args(["-tinH", "src", &from, "dst", &to]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let rates = shown.split_once("pacing_rate ")?.1.split_whitespace().next()?;
    let bits: u64 = rates.split_once('/')?.1.strip_suffix("bps")?.parse().unwrap();
    Some(bits / 8)
}

/// Both ends of each of these come to have an even share.
#[track_caller]
fn share(pairs: &[Pair]) {
    let expected = vec![[Some(BANDWIDTH / pairs.len() as u64); 2]; pairs.len()];
    let even = || pairs.iter().map(|pair| pair.ends.map(most)).eq(expected.iter().copied());
    eventually(&format!("{expected:?}"), || even().then_some(()));
}

/// The connections of an allocation share its bandwidth evenly in both directions, as they come and go, and the kernel
/// holds them to it.
#[test]
fn bandwidth_is_shared_by_pacing() {
    if !requires(&name(), &[Need::Sockets]) {
        return;
    }
    let server = Setup::new().set("limits.bandwidth", &BANDWIDTH.to_string()).start();
    let (mut alice, _) = alice(&server);
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let pair = pair(&server, &mut alice);
        pairs.push(pair);
        share(&pairs);
    }
    for _ in 0..2 {
        let mut gone = pairs.remove(0);
        gone.peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(gone.data.rest(), b"");
        drop(gone);
        share(&pairs);
    }
    let [Pair { data, peer, .. }] = &mut pairs[..] else { unreachable!() };
    let (begun, bytes) = (Instant::now(), pattern(BANDWIDTH as usize));
    thread::scope(|scope| {
        scope.spawn(|| peer.write_all(&bytes).unwrap());
        assert!(data.take(bytes.len()) == bytes);
    });
    // What leaves at once before the pace counts is much less than half of it.
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
}
