//! What a worker does for TCP relays (RFC 6062).

use super::Worker;
use super::act::open_error;
use crate::io::connection::Connection;
use crate::io::joint::Told;
use crate::io::mail::Mail;
use crate::io::tcp::News;
use crate::turn::{ConnectionId, Event, OpenError, Path, RelayId};
use std::net::SocketAddr;

/// Peers accepted at one relay before others have their turn.
const ACCEPTED: usize = 16;

/// What a client's connection is to become once its request has been taken.
pub(super) enum Turning {
    /// One with this connection to a peer.
    Bound(ConnectionId),
    /// Another worker's, which is to take this request again.
    Moved { to: usize, request: Vec<u8> },
}

impl Worker {
    /// Listens for peers.
    pub(super) fn listen(&mut self, relay: RelayId, addr: SocketAddr) -> Result<(), OpenError> {
        self.tcp.listen(relay, addr).map_err(|error| open_error(addr, &error))
    }

    /// Begins to connect to a peer.
    pub(super) fn connect(&mut self, connection: ConnectionId, relay: RelayId, to: SocketAddr) {
        if let Err(error) = self.tcp.connect(connection, relay, to) {
            tracing::debug!(peer = %to, %error, "connect: not begun");
            self.server.handle_event(self.now, Event::Connected { connection, reached: false });
        }
    }

    /// Asks the core about peers that have connected to a relay. Those that may not are let go at once.
    pub(super) fn accept_peers(&mut self, relay: RelayId) {
        for _ in 0..ACCEPTED {
            let Some((socket, peer)) = self.tcp.accept(relay) else { return };
            if let Ok(connection) = self.server.accept(self.now, relay, peer) {
                self.tcp.wait(connection, socket);
            }
            self.drain();
        }
    }

    /// Goes on with a connection of which a socket has something to tell.
    pub(super) fn serve_connection(&mut self, connection: ConnectionId, told: Told) {
        let news = self.tcp.serve(connection, told);
        self.tell_news(connection, news);
    }

    fn tell_news(&mut self, connection: ConnectionId, news: Option<News>) {
        match news {
            None => return,
            Some(News::Connected(reached)) => {
                self.server.handle_event(self.now, Event::Connected { connection, reached });
            }
            Some(News::Passed(bytes)) => return self.server.count_stream(connection, bytes),
            Some(News::Ended(bytes)) => {
                self.server.count_stream(connection, bytes);
                self.server.handle_event(self.now, Event::Disconnected { connection });
            }
        }
        self.drain();
    }

    /// A client's connection is to carry what it and a peer say, once what has come with its request is cut.
    pub(super) fn bind(&mut self, connection: ConnectionId, path: Path) {
        self.turning = Some((path, Turning::Bound(connection)));
    }

    /// A client's connection is for another worker.
    pub(super) fn hand_over(&mut self, path: Path, to: usize, request: Vec<u8>) {
        self.turning = Some((path, Turning::Moved { to, request }));
    }

    /// Makes of a client's connection what its request has turned it into; false if nothing. `ended`: the client will
    /// send no more.
    pub(super) fn turn(&mut self, ended: bool) -> bool {
        let Some((path, turning)) = self.turning.take() else { return false };
        match (self.streams.detach(&path), turning) {
            (Some(client), Turning::Bound(connection)) => {
                let news = self.tcp.bind(connection, client, ended);
                self.tell_news(connection, news);
            }
            (Some(client), Turning::Moved { to, request }) => self.send_stream(to, client, &request, ended),
            // The client has gone meanwhile.
            (None, Turning::Bound(connection)) => {
                self.tcp.remove(connection);
                self.tell_news(connection, Some(News::Ended([0; 2])));
            }
            (None, Turning::Moved { .. }) => {}
        }
        true
    }

    /// Sends a client's connection to another worker, with the request that is to be taken there.
    fn send_stream(&mut self, to: usize, mut client: Connection, request: &[u8], ended: bool) {
        client.incoming.put_before(request);
        self.server.handle_event(self.now, Event::Closed { path: client.path });
        self.drain();
        self.commons.post(to, Mail::Stream { client: Box::new(client), ended });
    }

    /// Takes in a client's connection from another worker, and what has come on it.
    pub(super) fn take_stream(&mut self, client: Connection, ended: bool) {
        let Ok(index) = self.streams.take_in(client, self.now.time) else { return };
        let in_step = self.take_frames(index, 0);
        if !self.turn(ended) && (ended || !in_step) {
            self.end_stream(index);
        }
    }
}
