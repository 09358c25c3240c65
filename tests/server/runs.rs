//! Runs of datagrams that the kernel joins (GRO): each of them is judged by itself.

use crate::client::Heard;
use crate::harness::*;
use crate::space::divide;
use hairpin::wire::channel;

/// TURN-063, TURN-112: ChannelData of several channels, one of them not bound, and junk, in one run from a client.
#[test]
fn a_run_of_mixed_channel_data_reaches_every_peer_and_says_what_was_wrong() {
    let server = Setup::new().set("log.level", "\"trace\"").start();
    let (mut client, peers) = (server.alice(), [peer(), peer()]);
    let relayed = client.allocate();
    for (number, peer) in [0x4000, 0x4001].into_iter().zip(&peers) {
        client.bind(number, peer.local_addr().unwrap());
    }
    let frame = |number: u16, body: &[u8]| [&channel::header(number, body.len())[..], body].concat();
    let run = [
        frame(0x4000, b"to one, 1."),
        frame(0x4001, b"to two, 1."),
        frame(0x4FFF, b"to nobody."),
        b"\x40\x00\xFF\xFFtoo short.".to_vec(),
        b"\xFFno protocol.".to_vec(),
        frame(0x4001, b"to two, 2."),
        // Padded, as it may be on UDP; and the last one of a run may be shorter.
        frame(0x4000, b"padd"),
    ];
    let mut run: Vec<Vec<u8>> = run.into();
    run[4].resize(14, 0);
    divide(client.socket(), 14);
    client.send_raw(&run.concat());
    divide(client.socket(), 0);
    for body in [&b"to one, 1."[..], b"padd"] {
        assert_eq!(receive(&peers[0]), (body.to_vec(), relayed));
    }
    for body in [b"to two, 1.", b"to two, 2."] {
        assert_eq!(receive(&peers[1]), (body.to_vec(), relayed));
    }
    for reason in ["no_channel", "malformed", "unknown_protocol"] {
        server.err.wait_for(&format!("reason=\"{reason}\""));
    }
}

/// A peer's run whose last datagram is of another size, again and again, and datagrams of no bytes between.
#[test]
fn a_run_of_a_peer_in_odd_sizes_comes_to_the_client_as_it_was_sent() {
    let server = Setup::new().start();
    for mut client in [server.alice(), server.alice_by_tcp()] {
        let peer = peer();
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        peer.connect(relayed).unwrap();
        for (size, total) in [(1, 7), (99, 1000), (100, 301), (1200, 1200 * 5 + 1), (7, 14), (1, 1)] {
            let bytes: Vec<u8> = (0..total).map(|index| index as u8).collect();
            divide(&peer, size);
            peer.send(&bytes).unwrap();
            divide(&peer, 0);
            peer.send(b"").unwrap();
            for part in bytes.chunks(usize::from(size)).chain([&b""[..]]) {
                assert_eq!(client.hear(), Heard::Channel(0x4000, part.to_vec()));
            }
        }
    }
}

/// A client's datagram of no bytes is dropped, and what follows is served.
#[test]
fn a_datagram_without_a_byte_is_no_message() {
    let server = Setup::new().set("log.level", "\"trace\"").start();
    let mut client = server.alice();
    client.send_raw(b"");
    server.err.wait_for("reason=\"unknown_protocol\"");
    assert_eq!(client.binding().port(), client.local().port());
}
