//! Datagrams between a client and its peer, many at a time, each of which must come.

use crate::client::Client;
use crate::harness::receive;
use hairpin::wire::channel;
use std::net::{SocketAddr, UdpSocket};

/// How many are sent before they are received: fewer than any queue holds.
const FLIGHT: usize = 25;

/// A datagram's content: its number, and as much more as makes every length up to a usual packet's.
pub fn body(number: u32) -> Vec<u8> {
    let filling = (0..number * 7 % 1200).map(|at| (at + number) as u8);
    number.to_be_bytes().into_iter().chain(filling).collect()
}

/// So many numbered datagrams by channel 0x4000, up and then down; each comes once, whole and from the right address.
pub fn exchange(many: u32, client: &mut Client, peer: &UdpSocket, relayed: SocketAddr) {
    let to = client.server();
    let sender = client.socket().try_clone().unwrap();
    let frame = |body: &[u8]| [&channel::header(0x4000, body.len())[..], body].concat();
    let up = |body: &[u8]| _ = sender.send_to(&frame(body), to).unwrap();
    all_come(many, up, || {
        let (body, from) = receive(peer);
        assert_eq!(from, relayed);
        body
    });
    all_come(many, |body| _ = peer.send_to(body, relayed).unwrap(), || client.data().0);
}

/// What is sent comes. One of a flight that goes by user space may be overtaken.
fn all_come(many: u32, mut send: impl FnMut(&[u8]), mut next: impl FnMut() -> Vec<u8>) {
    let numbers: Vec<u32> = (0..many).collect();
    for flight in numbers.chunks(FLIGHT) {
        flight.iter().for_each(|number| send(&body(*number)));
        let mut come: Vec<Vec<u8>> = flight.iter().map(|_| next()).collect();
        come.sort_unstable_by_key(|body| body[..4].to_vec());
        let all = come.iter().zip(flight).all(|(come, number)| *come == body(*number));
        assert!(all, "{flight:?}, but {:?}", come.iter().map(|body| &body[..4]).collect::<Vec<_>>());
    }
}
