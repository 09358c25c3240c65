//! Clients that come by a proxy: who they are, and by which way they are reached.

use super::stream::StreamListener;
use super::sys::set_option;
use crate::turn::{Path, Transport};
use crate::wire::proxy::{Carrier, Front, next};
use ipnet::IpNet;
use slab::Slab;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

/// The networks of the proxies of a listener.
pub type Proxies = Arc<[IpNet]>;

/// Whether this is the address of a proxy.
pub(super) fn knows(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// A connection whose header is not whole yet. It stays with the kernel until it is: nothing is kept of it here.
pub(super) struct Awaited {
    kind: StreamListener,
    /// Bytes that were there at the last look.
    seen: usize,
}

impl Awaited {
    /// A header before a connection of this kind.
    pub(super) fn before(kind: StreamListener) -> Self {
        Self { kind, seen: 0 }
    }

    /// Looks at what has come, and takes the header once it is whole: the client that it names, if it names one, and
    /// what the connection is from then on. Until then the socket is told ready when there is more.
    pub(super) fn look(
        &mut self,
        socket: &mut TcpStream,
        room: &mut [u8],
    ) -> io::Result<Option<(Option<SocketAddr>, StreamListener)>> {
        let count = match socket.peek(room) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        };
        match next(&room[..count], Carrier::Stream) {
            Front::Whole { len, client } => {
                socket.read_exact(&mut room[..len])?;
                wake_at(socket, 1)?;
                Ok(Some((client, self.kind.clone())))
            }
            // It was told ready and there is no more than before: no more will come.
            Front::Incomplete { .. } if count == self.seen => Err(ErrorKind::UnexpectedEof.into()),
            Front::Incomplete { len } => {
                self.seen = count;
                wake_at(socket, len)?;
                Ok(None)
            }
            Front::Invalid => Err(io::Error::new(ErrorKind::InvalidData, "no header of a proxy")),
        }
    }
}

/// Has a socket told ready once so many bytes are there, or the end.
fn wake_at(socket: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

/// The mark of a path that leads by a proxy: its link is a place among the [`Guests`], not a listener.
const GUEST: u32 = 1 << 31;

/// Whether a client comes by a proxy over UDP, in clear or under DTLS.
pub(super) fn is_guest(path: &Path) -> bool {
    matches!(path.transport, Transport::Udp | Transport::Dtls) && path.link & GUEST != 0
}

/// Clients that come by a proxy over UDP: those with an allocation or a session of DTLS, and the one that is being served.
#[derive(Default)]
pub(super) struct Guests {
    slots: Slab<Guest>,
    /// By the way they come and who they say they are.
    places: HashMap<(Path, SocketAddr), u32, foldhash::quality::RandomState>,
}

/// One of them.
struct Guest {
    /// The path of its proxy.
    way: Path,
    /// Its own, in clear; under DTLS it has the same but for the transport.
    path: Path,
}

impl Guests {
    /// The path of a client that came by this way; a proxy that names nobody speaks for itself.
    pub(super) fn enter(&mut self, way: Path, client: Option<SocketAddr>) -> Path {
        let client = client.unwrap_or(way.client);
        if let Some(guest) = self.places.get(&(way, client)).and_then(|index| self.slots.get(*index as usize)) {
            return guest.path;
        }
        let entry = self.slots.vacant_entry();
        let index = entry.key() as u32;
        let path = Path { client, link: GUEST | index, ..way };
        entry.insert(Guest { way, path });
        self.places.insert((way, client), index);
        path
    }

    /// Forgets a client, if it is one of these.
    pub(super) fn leave(&mut self, path: &Path) {
        let Some(guest) = self.find(path) else { return };
        let key = (guest.way, guest.path.client);
        self.places.remove(&key);
        self.slots.remove((path.link & !GUEST) as usize);
    }

    /// The listener and the address by which a client is reached.
    pub(super) fn way(&self, path: &Path) -> Option<(u32, SocketAddr)> {
        self.find(path).map(|guest| (guest.way.link, guest.way.client))
    }

    /// Another may have its place by now.
    fn find(&self, path: &Path) -> Option<&Guest> {
        let guest = self.slots.get((path.link & !GUEST) as usize).filter(|_| is_guest(path))?;
        (guest.path == Path { transport: Transport::Udp, ..*path }).then_some(guest)
    }
}
