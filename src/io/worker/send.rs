//! Sending: messages to clients, by whatever leads there, and payloads to peers, from relay sockets.

use super::{Listener, Worker};
use crate::io::outbox::{Address, Outbox};
use crate::io::proxy::{Guests, is_guest};
use crate::io::relay::{Exit, Relays};
use crate::io::sys::Inbox;
use crate::io::udp;
use crate::turn::{Head, Path, Reason, RelayId, Server, Transport};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

impl Worker {
    /// Sends the reply buffer to a client.
    pub(super) fn answer(&mut self, path: Path) {
        let reply = std::mem::take(&mut self.reply);
        self.send(path, &reply);
        self.reply = reply;
        self.reply.clear();
    }

    /// Sends a message to a client.
    pub(super) fn send(&mut self, path: Path, message: &[u8]) {
        match path.transport {
            Transport::Udp => {
                if let Some(address) = client_address(&self.listeners, &self.guests, &path, 0) {
                    self.outbox.push_copy(address, Head::EMPTY, message);
                }
            }
            Transport::Dtls => self.say(path, message, 0),
            Transport::Tcp | Transport::Tls => self.streams.push_message(&path, message),
        }
    }

    /// Sends a message to a client from the listener at this address, if there is one.
    pub(super) fn send_from(&mut self, path: Path, message: &[u8]) {
        if let Some(link) = self.listeners.iter().position(|listener| listener.addr == path.server) {
            self.send(Path { link: link as u32, ..path }, message);
        }
    }

    /// Sends a stream client's payload, which does not stand in the inbox, to a peer.
    pub(super) fn copy_to_peer(&mut self, relay: RelayId, peer: SocketAddr, body: &[u8], dont_fragment: bool) {
        if dont_fragment {
            let Some(socket) = self.relays.socket(relay) else { return };
            send_whole(&mut self.server, &mut self.outbox, &self.inbox, socket, (peer, 0), body);
        } else if let Some(exit) = exit(&mut self.relays, (relay, peer), || {
            send_all(&mut self.server, &mut self.outbox, &self.inbox);
        }) {
            self.outbox.push_copy(peer_address(exit, peer, 0), Head::EMPTY, body);
        }
    }
}

/// Sends what waits; the datagrams stay in the inbox.
pub(super) fn send_all(server: &mut Server, outbox: &mut Outbox, inbox: &Inbox) {
    if outbox.len() > 0 {
        outbox.flush(inbox, &mut |reason| server.count_drop(reason));
    }
}

/// Sends one datagram with DF: a property of the socket, so what waits goes first and it goes alone.
pub(super) fn send_whole(
    server: &mut Server,
    outbox: &mut Outbox,
    inbox: &Inbox,
    socket: &UdpSocket,
    (peer, tos): (SocketAddr, u8),
    body: &[u8],
) {
    send_all(server, outbox, inbox);
    let address = peer_address(Exit { socket: socket.as_raw_fd(), connected: false }, peer, tos);
    for on in [true, false] {
        if udp::set_dont_fragment(socket, peer.ip(), on).is_err() {
            server.count_drop(Reason::SendFailed);
        }
        if on {
            outbox.push_copy(address, Head::EMPTY, body);
            send_all(server, outbox, inbox);
        }
    }
}

/// What a datagram to a peer leaves by. A peer that has earned a socket of its own gets it, after a flush.
pub(super) fn exit(relays: &mut Relays, (relay, peer): (RelayId, SocketAddr), flush: impl FnOnce()) -> Option<Exit> {
    if relays.count(relay, peer) {
        flush();
        relays.favour(relay, peer);
    }
    relays.exit(relay, peer)
}

/// How to send to a peer.
pub(super) fn peer_address(Exit { socket, connected }: Exit, peer: SocketAddr, tos: u8) -> Address {
    Address { socket, to: peer, connected, source: None, tos }
}

/// How to send to a client: from the address that it used (RFC 8489 §6.3.1.2), by the proxy through which it came.
/// None if that has been forgotten.
pub(super) fn client_address(listeners: &[Listener], guests: &Guests, path: &Path, tos: u8) -> Option<Address> {
    let (link, to) = if is_guest(path) { guests.way(path)? } else { (path.link, path.client) };
    let listener = &listeners[link as usize];
    let source = listener.addr.ip().is_unspecified().then_some(path.server.ip());
    Some(Address { socket: listener.sockets.media.as_raw_fd(), to, connected: false, source, tos })
}
