//! How a connection begins: accepted, told apart from those that may not be, and known for who it is and how it speaks.

use super::{StreamListener, Streams};
use crate::io::connection::{Connection, Place};
use crate::io::proxy::{Awaited, knows};
use crate::io::session::{Buffers, Session};
use crate::io::source::Source;
use crate::turn::{Path, Time, Transport};
use std::io;
use std::net::{SocketAddr, TcpStream};

/// Connections accepted from one listener before others have their turn.
const ACCEPTED: usize = 64;

impl Streams {
    /// Accepts what waits at a listener.
    pub(in crate::io) fn accept(&mut self, index: u32, now: Time) {
        for _ in 0..ACCEPTED {
            let Some(listener) = self.listeners.get(index as usize) else { return };
            match listener.socket.accept() {
                Ok((socket, client)) => {
                    let kind = listener.kind.clone();
                    if let Err(error) = self.open(socket, client, &kind, now) {
                        tracing::debug!(%client, %error, "stream: connection ended");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client has gone already; there may be others.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return self.pause(index, &error),
            }
        }
    }

    /// Watches again what could not accept.
    pub(in crate::io) fn resume(&mut self) {
        for (listener, index) in self.listeners.iter_mut().zip(0..) {
            if listener.paused {
                listener.paused = self.epoll.add(&listener.socket, Source::Accept(index).token()).is_err();
            }
        }
    }

    /// Gives a new connection its place.
    fn open(&mut self, socket: TcpStream, client: SocketAddr, kind: &StreamListener, now: Time) -> io::Result<()> {
        if kind.proxies.as_ref().is_some_and(|proxies| !knows(proxies, client.ip())) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not one of the proxies in proxy.from"));
        }
        let Some(place) = Place::take(&self.commons) else { return Ok(()) };
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let entry = self.connections.vacant_entry();
        let index = entry.key() as u32;
        let path = Path { client, server: socket.local_addr()?, transport: Transport::Tcp, link: index };
        let session = Session::Proxied(Awaited::before(kind.clone()));
        let mut connection = Connection::new(socket, session, path, kind.legacy, place, now);
        if kind.proxies.is_none() {
            begin(&mut connection, kind, now)?;
        }
        self.epoll.add(&connection.socket, Source::Stream(index).token())?;
        entry.insert(connection);
        self.set_timer(index, now, false);
        Ok(())
    }

    /// Stops watching a listener for a moment: descriptors have run out, most likely, and nothing can be accepted
    /// until some are closed.
    fn pause(&mut self, index: u32, error: &io::Error) {
        tracing::warn!(%error, "stream: cannot accept");
        let listener = &mut self.listeners[index as usize];
        listener.paused = self.epoll.remove(&listener.socket).is_ok();
    }
}

/// Begins to serve a client whose address is known now.
fn begin(connection: &mut Connection, kind: &StreamListener, now: Time) -> io::Result<()> {
    connection.session = Session::of(kind);
    let admitted = connection.place.attribute(connection.path.client.ip());
    if !admitted || (matches!(connection.session, Session::Greeting(_)) && !begin_tls(connection, now)) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    Ok(())
}

/// Whether it is known who a client is and how it speaks, so that it can be read.
pub(super) fn decide(connection: &mut Connection, buffers: &mut Buffers, ended: bool, now: Time) -> io::Result<bool> {
    if let Session::Proxied(awaited) = &connection.session {
        let seen = awaited.look(&mut connection.socket, buffers.room(), ended)?;
        let Some((client, kind)) = seen else { return Ok(false) };
        connection.path.client = client.unwrap_or(connection.path.client);
        begin(connection, &kind, now)?;
    }
    if !matches!(connection.session, Session::Undecided(_)) {
        return Ok(true);
    }
    match connection.session.decide(&connection.socket)? {
        None => Ok(false),
        Some(true) if !begin_tls(connection, now) => Err(io::ErrorKind::QuotaExceeded.into()),
        Some(_) => Ok(true),
    }
}

/// Begins a TLS handshake; false if the source has had enough of them.
fn begin_tls(connection: &mut Connection, now: Time) -> bool {
    connection.path.transport = Transport::Tls;
    connection.begin_handshake(now)
}
