//! A payload through the relay and back: from the client to a peer of its own, and from there to the relayed address.

use super::client::{Client, transaction};
use super::fault::Fault;
use crate::wire::{Class, Message, Method, Writer, address, attribute, channel};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The channel to the peer.
pub(super) const CHANNEL: u16 = 0x4000;
/// How often a payload is sent; each may be lost.
const TRIES: u32 = 4;
/// How long the answer to a Binding request of the peer may take.
const ANSWER: Duration = Duration::from_millis(300);

/// A peer.
pub(super) struct Peer {
    /// Its address, as the relay reaches it.
    pub addr: SocketAddr,
    socket: UdpSocket,
}

impl Peer {
    /// Opens a socket where the server is reached from; behind a NAT, asks how it is seen from there. A server that
    /// does not answer over UDP leaves the local address to try.
    pub(super) fn open(client: &Client<'_>, server: SocketAddr, nat: bool) -> Result<Self, Fault> {
        let socket = UdpSocket::bind((client.link.local()?.ip(), 0))?;
        let seen = if nat { reflexive(&socket, server) } else { None };
        let addr = seen.map_or_else(|| socket.local_addr(), Ok)?;
        Ok(Self { addr, socket })
    }

    /// Waits for the payload; says where it comes from.
    fn receive(&self, payload: &[u8], wait: Duration) -> Option<SocketAddr> {
        self.socket.set_read_timeout(Some(wait)).ok()?;
        let (mut bytes, end) = ([0; 2048], Instant::now() + wait);
        while Instant::now() < end {
            let (len, from) = self.socket.recv_from(&mut bytes).ok()?;
            if bytes[..len] == *payload {
                return Some(from);
            }
        }
        None
    }
}

/// Asks a server how it sees a socket, which stays open to everybody.
fn reflexive(socket: &UdpSocket, server: SocketAddr) -> Option<SocketAddr> {
    let (id, mut request, mut bytes) = (transaction().ok()?, Vec::new(), [0; 2048]);
    Writer::new(&mut request, Method::BINDING, Class::Request, &id);
    socket.set_read_timeout(Some(ANSWER)).ok()?;
    for _ in 0..TRIES {
        socket.send_to(&request, server).ok()?;
        let Ok(len) = socket.recv(&mut bytes) else { continue };
        if let Some(message) = Message::parse(&bytes[..len]).ok().filter(|message| message.transaction() == id) {
            return address::decode_xor(message.attribute(attribute::XOR_MAPPED_ADDRESS)?, &id);
        }
    }
    None
}

/// Sends both ways; returns how long there and back took. First the peer sends: that opens the NAT or firewall before
/// it for what the relay sends.
pub(super) fn measure(
    client: &mut Client<'_>,
    peer: &Peer,
    relayed: SocketAddr,
    timeout: Duration,
) -> Result<Duration, Fault> {
    let (opener, payload, wait) = (transaction()?, transaction()?, timeout / (3 * TRIES));
    let mut frame = channel::header(CHANNEL, payload.len()).to_vec();
    frame.extend_from_slice(&payload);
    let (mut seen, mut heard) = (None, false);
    for _ in 0..TRIES {
        // An address to which there is no way is as unreachable as one where nobody is.
        let _ = peer.socket.send_to(&opener, relayed);
        heard |= arrives(client, &opener, wait)?;
        let began = Instant::now();
        client.link.send(&frame)?;
        let Some(from) = peer.receive(&payload, wait) else { continue };
        seen = Some(from.ip());
        let _ = peer.socket.send_to(&payload, relayed);
        if arrives(client, &payload, wait)? {
            return Ok(began.elapsed());
        }
    }
    Err(if heard { Fault::NothingOut } else { Fault::NothingIn(relayed, seen) })
}

/// Waits until the client gets the payload: on its channel, or in an indication if a NAT gives the peer another port.
fn arrives(client: &mut Client<'_>, payload: &[u8], wait: Duration) -> Result<bool, Fault> {
    let end = Instant::now() + wait;
    while let Some(bytes) = client.link.receive(end)? {
        if bytes.windows(payload.len()).any(|part| part == payload) {
            return Ok(true);
        }
    }
    Ok(false)
}
