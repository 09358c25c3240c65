//! TCP: where messages begin and end, what closes a connection, and what a closed one leaves behind.

use crate::certificates::Authority;
use crate::client::{Client, Heard};
use crate::harness::*;
use hairpin::wire::{Class, Method, Writer, attribute, channel};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A Binding request with this transaction id.
fn binding(id: u8) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::BINDING, Class::Request, &[id; 12]);
    out
}

/// The answer to a Binding request that comes next.
fn next_id(client: &mut Client) -> u8 {
    match client.hear() {
        Heard::Message(answer) => answer.message().transaction()[0],
        other => panic!("an answer, not {other:?}"),
    }
}

/// FRAME-001, STUN-005.
#[test]
fn a_request_that_comes_byte_by_byte_is_answered_once_after_its_last_byte() {
    let server = Setup::new().start();
    let mut client = Client::tcp(server.addr);
    let request = binding(7);
    for byte in &request[..19] {
        client.send_raw(&[*byte]);
    }
    client.stream().socket().set_nonblocking(true).unwrap();
    assert!(client.stream().read(&mut [0]).is_err(), "nothing is said before the request is whole");
    client.stream().socket().set_nonblocking(false).unwrap();
    client.send_raw(&request[19..]);
    let Heard::Message(answer) = client.hear() else { panic!("an answer") };
    assert_eq!(answer.message().transaction(), [7; 12]);
    assert_eq!(answer.xor(attribute::XOR_MAPPED_ADDRESS), client.local());
    client.hears_nothing();
}

/// FRAME-002.
#[test]
fn three_requests_in_one_segment_get_three_answers() {
    let server = Setup::new().start();
    let mut client = Client::tcp(server.addr);
    client.send_raw(&[binding(1), binding(2), binding(3)].concat());
    let mut ids: Vec<u8> = (0..3).map(|_| next_id(&mut client)).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

/// FRAME-012.
#[test]
fn a_connection_stays_open_after_an_answer() {
    let server = Setup::new().start();
    let mut client = Client::tcp(server.addr);
    for _ in 0..10 {
        assert_eq!(client.binding(), client.local());
    }
}

/// FRAME-003, FRAME-006: padding is skipped, whatever it holds, and what follows it is understood.
#[test]
fn channel_data_of_any_length_is_followed_by_its_padding_and_then_by_a_request() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice_by_tcp(), peer());
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    for len in [0_usize, 1, 2, 3, 4, 5, 1200, 1201] {
        let body = vec![len as u8; len];
        let mut bytes = [&channel::header(0x4000, len)[..], &body].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0xA5);
        client.send_raw(&[bytes, binding(9)].concat());
        assert_eq!(receive(&peer).0, body);
        assert_eq!(next_id(&mut client), 9);
    }
}

/// FRAME-004, FRAME-005, FRAME-021: a client on a stream gets padding of zeros that the length does not count; a
/// UDP client gets none.
#[test]
fn channel_data_to_a_stream_is_padded_with_zeros_and_to_a_datagram_not_at_all() {
    let server = Setup::new().start();
    let peer = peer();
    let mut client = server.alice_by_tcp();
    let relayed = client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    for len in [1_usize, 2, 3, 5, 4, 0] {
        peer.send_to(&vec![0xEE; len], relayed).unwrap();
        let mut frame = vec![0; 4 + len.next_multiple_of(4)];
        client.stream().read_exact(&mut frame).unwrap();
        assert_eq!(frame[..4], [0x40, 0x01, 0, len as u8]);
        assert_eq!(frame[4..4 + len], vec![0xEE; len]);
        assert!(frame[4 + len..].iter().all(|byte| *byte == 0));
    }
    assert_eq!(client.binding(), client.local());

    let mut client = server.alice();
    let relayed = client.allocate();
    client.bind(0x4001, peer.local_addr().unwrap());
    peer.send_to(b"12345", relayed).unwrap();
    assert_eq!(receive(client.socket()).0, b"\x40\x01\x00\x0512345");
}

/// FRAME-007.
#[test]
fn padding_that_comes_late_is_swallowed_and_the_payload_does_not_wait_for_it() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice_by_tcp(), peer());
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    client.send_raw(b"\x40\x00\x00\x05hello");
    assert_eq!(receive(&peer).0, b"hello");
    for byte in [0x40, 0x00, 0xFF] {
        client.send_raw(&[byte]);
    }
    client.send_raw(&binding(3));
    assert_eq!(next_id(&mut client), 3);
    client.send_channel(0x4000, b"again");
    assert_eq!(receive(&peer).0, b"again");
}

/// FRAME-008, FRAME-009, FRAME-010, DEMUX-008, CLASSIC-009: there is no way back into a stream that is out of step,
/// and no waiting for a frame that nobody has asked leave for.
#[test]
fn bytes_that_begin_no_message_close_the_connection() {
    let server = Setup::new().start();
    let mut cookieless = binding(1);
    cookieless[4] ^= 1;
    let cases: [(&str, &[u8]); 9] = [
        ("no cookie", &cookieless),
        ("a wrong cookie alone", b"\x00\x01\x00\x00\x21\x12\xA4\x43"),
        ("a length that is no multiple of four", b"\x00\x01\x00\x02\x21\x12\xA4\x42"),
        ("the top bits", b"\x80\x01\x00\x00\x21\x12\xA4\x42"),
        ("a channel number above 0x4FFF", b"\x50\x00\x00\x04abcd"),
        ("TLS where there is none", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"),
        ("a STUN message of 65 532 bytes", b"\x00\x01\xFF\xFC\x21\x12\xA4\x42abcdefghijkl"),
        ("ChannelData of 65 535 bytes", b"\x40\x00\xFF\xFF"),
        ("ChannelData of more than 2 KiB", b"\x40\x00\x08\x01"),
    ];
    let begun = Instant::now();
    for (what, bytes) in cases {
        let mut client = Client::tcp(server.addr);
        client.send_raw(bytes);
        assert_eq!(client.hear(), Heard::End, "{what}");
    }
    let mut client = Client::tcp(server.addr);
    client.send_raw(&binding(5));
    assert_eq!(next_id(&mut client), 5, "others are served as ever");
    client.send_raw(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.hear(), Heard::End, "a good beginning changes nothing");
    assert!(begun.elapsed() < Duration::from_secs(9), "not for having waited too long");
}

/// FRAME-009: 65 535 bytes and four of header are more than 16 bits can count.
#[test]
fn the_largest_channel_data_of_a_client_with_an_allocation_is_counted_right() {
    let server = Setup::new().start();
    let (mut client, peer) = (server.alice_by_tcp(), peer());
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    // No datagram is so large: the frame is dropped, and the stream goes on behind it.
    client.send_channel(0x4000, &vec![1; 65_535]);
    client.send_raw(&binding(8));
    assert_eq!(next_id(&mut client), 8);
    client.send_channel(0x4000, &vec![2; 65_507]);
    assert_eq!(receive(&peer).0, vec![2; 65_507]);
}

/// FRAME-015.
#[test]
fn a_client_that_half_closes_gets_its_answers_and_then_the_end() {
    let server = Setup::new().start();
    let mut client = Client::tcp(server.addr);
    client.send_raw(&[binding(1), binding(2)].concat());
    client.stream().socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!([next_id(&mut client), next_id(&mut client)], [1, 2]);
    assert_eq!(client.hear(), Heard::End);

    // What it still had to say to its peer is said.
    let (mut client, peer) = (server.alice_by_tcp(), peer());
    client.allocate();
    client.bind(0x4000, peer.local_addr().unwrap());
    let last: Vec<u8> = (0..100).flat_map(|n| [0x40, 0, 0, 1, n, 0, 0, 0]).collect();
    client.send_raw(&last);
    client.stream().socket().shutdown(Shutdown::Write).unwrap();
    for n in 0..100 {
        assert_eq!(receive(&peer).0, [n]);
    }
    assert_eq!(client.hear(), Heard::End);
}

/// FRAME-014.
#[test]
fn a_client_that_is_gone_before_its_answer_harms_nobody() {
    let server = Setup::new().start();
    for id in 0..20 {
        let mut stream = TcpStream::connect(server.addr).unwrap();
        stream.write_all(&binding(id)).unwrap();
        reset(stream);
    }
    let mut client = Client::tcp(server.addr);
    assert_eq!(client.binding(), client.local());
}

/// Closes a connection with a reset.
fn reset(stream: TcpStream) {
    Socket::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// FRAME-016, SEC-40: what a client does not read is dropped in whole frames once enough waits, and nobody else
/// notices.
#[test]
fn a_client_that_stops_reading_while_its_peer_floods_holds_up_nobody_and_little_memory() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.issue(&folder, "one", "one.example");
    let server = Setup::new().certificates(&[pair]).set("workers", "1").start();
    let tls = authority.client().connect(server.tls, "one.example");
    for stalled in [Client::tcp(server.addr), Client::with_stream(tls, server.tls)] {
        stall(&server, stalled.named(ALICE));
    }
}

fn stall(server: &Server, mut stalled: Client) {
    let (flooder, quiet) = (peer(), peer());
    let relayed = stalled.allocate();
    stalled.bind(0x4000, flooder.local_addr().unwrap());
    let mut other = server.alice_by_tcp();
    let other_relayed = other.allocate();
    other.bind(0x4000, quiet.local_addr().unwrap());

    let before = server.memory();
    let mut sent = 0_u32;
    for round in 0..200_u32 {
        for _ in 0..100 {
            let mut body = [0x5A; 1203];
            body[..4].copy_from_slice(&sent.to_be_bytes());
            flooder.send_to(&body, relayed).unwrap();
            sent += 1;
        }
        quiet.send_to(&round.to_be_bytes(), other_relayed).unwrap();
        assert_eq!(other.hear(), Heard::Channel(0x4000, round.to_be_bytes().to_vec()));
    }
    let grown = server.memory().saturating_sub(before);
    // 24 MB were sent. The buffers of a worker's inbox are touched for the first time meanwhile.
    assert!(grown < 12 * 1024, "{grown} KiB more than before the flood");

    // The reader checks every frame: lengths, padding, and nothing cut short.
    let (mut frames, mut last) = (0, None);
    let answered = stalled.bare(Method::BINDING, |_| {});
    stalled.send_raw(&answered);
    loop {
        match stalled.hear() {
            Heard::Channel(0x4000, body) => {
                assert_eq!(body.len(), 1203);
                let number = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
                assert!(last < Some(number), "in order");
                (frames, last) = (frames + 1, Some(number));
            }
            Heard::Message(answer) => {
                assert_eq!(answer.bytes[8..20], answered[8..20]);
                break;
            }
            other => panic!("a whole frame, not {other:?}"),
        }
    }
    assert!(frames > 0 && frames < sent, "{frames} of {sent} frames");
    flooder.send_to(b"afterwards", relayed).unwrap();
    assert_eq!(stalled.hear(), Heard::Channel(0x4000, b"afterwards".to_vec()));
}

/// TURN-038, SEC-38: a closed or reset connection frees the relayed port and the quota at once.
#[test]
fn an_allocation_ends_with_its_connection() {
    let server = Setup::new().set("limits.user-allocations", "1").start();
    for reset_it in [false, true] {
        let mut first = server.alice_by_tcp();
        let relayed = first.allocate();
        assert_eq!(server.alice_by_tcp().try_allocate(), Err(486));
        if reset_it {
            first.stream().socket().shutdown(Shutdown::Both).unwrap();
        }
        drop(first);
        eventually("the relayed port is free", || std::net::UdpSocket::bind(relayed).ok());
        let mut second = server.alice_by_tcp();
        eventually("the quota is free", || second.try_allocate().ok());
        drop(second);
        let mut third = server.alice();
        eventually("and again", || third.try_allocate().ok());
        assert_eq!(third.refresh(0), None);
    }
}

/// TURN-039.
#[test]
fn a_client_may_come_back_from_the_same_port() {
    let server = Setup::new().start();
    let connect = |from: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SockAddr::from(from)).unwrap();
        socket.connect(&SockAddr::from(server.addr)).ok().map(|()| TcpStream::from(socket))
    };
    let mut from = SocketAddr::from((own_address(), 0));
    for _ in 0..5 {
        // A process that another test starts may hold the old socket until it is a program of its own.
        let stream = eventually("the port is free on this side", || connect(from));
        let mut client = Client::with_stream(stream.try_clone().unwrap(), server.addr).named(ALICE);
        from = client.local();
        client.allocate();
        drop(client);
        reset(stream);
    }
}

/// TLS-009, SEC-37: connections are counted from their first moment, whatever has been said on them.
#[test]
fn connections_from_one_address_are_capped_and_a_closed_one_makes_room() {
    // One worker: two would accept in no particular order.
    let setup = Setup::new().set("workers", "1");
    let server = setup.set("limits.source-connections", "3").set("limits.connections", "5").start();
    let (here, there) = (own_address(), own_address());
    let connect = |from: std::net::Ipv4Addr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::from((from, 0)))).unwrap();
        socket.connect(&SockAddr::from(server.addr)).unwrap();
        Client::with_stream(TcpStream::from(socket), server.addr)
    };
    let served = |from| {
        let mut client = connect(from);
        let written = client.stream().write_all(&binding(1)).is_ok();
        (written && client.hear() != Heard::End).then_some(client)
    };
    let silent = [connect(here), connect(here)];
    let third = served(here).expect("a third from one address");
    assert!(served(here).is_none(), "a fourth from one address");
    let more = [served(there).expect("one from another address"), served(there).expect("a fifth in all")];
    assert!(served(own_address()).is_none(), "a sixth in all");
    drop(silent);
    eventually("room for one", || served(here));
    drop((third, more));
}

/// SEC-40: who asks and asks and takes no answer is cut off, with everything that was asked in the same breath.
#[test]
fn an_allocation_made_behind_too_many_requests_ends_with_the_connection() {
    let server = Setup::new().start();
    let mut client = server.alice_by_tcp();
    // The challenge that the request below answers.
    client.request(Method::REFRESH, |_| {});
    let allocate = client.signed(Method::ALLOCATE, |w| {
        w.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    });
    let mut breath = binding(1).repeat(900);
    breath.extend_from_slice(&allocate);
    client.send_raw(&breath);
    eventually("the end", || (client.hear_within(PATIENCE)? == Heard::End).then_some(()));
    server.err.wait_for("allocation made");
    server.err.wait_for("allocation ended");
    assert_eq!(server.alice_by_tcp().try_allocate().map(|addr| addr.ip()), Ok(server.addr.ip()));
}
