//! Clients that come by a proxy: who they are, and by which way they are reached.
//!
//! A proxy is believed by its address. Limits count the client that it names and never the proxy: all of its clients would
//! share one budget, and a few of them could use it up. Over UDP an address can be spoofed, so whoever can send from that of
//! a proxy has any number of names, as whoever can send from any address has where there is no proxy. That is told nothing
//! and proves nothing, and each datagram costs what a stranger's does: strangers are not remembered.

use super::stream::StreamListener;
use super::sys::set_option;
use crate::turn::{Path, Time, Transport};
use crate::wire::proxy::{Carrier, Front, next};
use ipnet::IpNet;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The networks of the proxies of a listener.
pub type Proxies = Arc<[IpNet]>;

/// Whether this is the address of a proxy.
pub(super) fn knows(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address))
}

/// A connection whose header is not whole yet. It stays with the kernel until it is: nothing is kept of it here.
pub(super) struct Awaited {
    kind: StreamListener,
}

impl Awaited {
    /// A header before a connection of this kind.
    pub(super) fn before(kind: StreamListener) -> Self {
        Self { kind }
    }

    /// Looks at what has come, and takes the header once it is whole: the client that it names, if it names one, and
    /// what the connection is from then on. Until then the socket is told ready when there is more: or with no more than
    /// before, where the system is short of memory. Only its end says that no more will come.
    pub(super) fn look(
        &self,
        socket: &mut TcpStream,
        room: &mut [u8],
        ended: bool,
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
            Front::Incomplete { .. } if ended => Err(ErrorKind::UnexpectedEof.into()),
            Front::Incomplete { len } => {
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

/// The mark of a path that leads by a proxy: its link is a place among the [`Guests`] of a worker, not a listener. Below
/// the mark stands the place of the worker, so that no two workers give one path to two clients.
const GUEST: u32 = 1 << 31;
/// Bits of a place among the guests of one worker.
const PLACE: u32 = 20;
/// Guests of a worker that may wait at once for what another one says of them, and for how long. What one source may ask
/// in that time takes no more than a part of it.
const MOST_ASKED: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a client comes by a proxy over UDP, in clear or under DTLS.
pub(super) fn is_guest(path: &Path) -> bool {
    matches!(path.transport, Transport::Udp | Transport::Dtls) && path.link & GUEST != 0
}

/// Clients that come by a proxy over UDP: those with an allocation or a session of DTLS, those of whom another worker has
/// been asked, and the one that is being served.
pub(super) struct Guests {
    /// The mark, and the place of the worker; none if that is beyond what can be told apart.
    base: Option<u32>,
    slots: Slab<Guest>,
    /// By the way they come and who they say they are.
    places: HashMap<(Path, SocketAddr), usize, foldhash::quality::RandomState>,
    /// Those of whom another worker has been asked, and until when they are kept for that.
    asked: VecDeque<(Time, Path)>,
}

/// One of them.
struct Guest {
    /// The path of its proxy.
    way: Path,
    /// Its own, in clear; under DTLS it has the same but for the transport.
    path: Path,
    /// It is kept until then at least.
    until: Time,
}

impl Guests {
    /// None yet, of the worker at this place.
    pub(super) fn of(worker: usize) -> Self {
        let worker = u32::try_from(worker).ok().filter(|worker| *worker < GUEST >> PLACE);
        let base = worker.map(|worker| GUEST | worker << PLACE);
        Self { base, slots: Slab::new(), places: HashMap::default(), asked: VecDeque::new() }
    }

    /// The path of a client that came by this way; a proxy that names nobody speaks for itself. None if there are more
    /// than can be told apart.
    pub(super) fn enter(&mut self, way: Path, client: Option<SocketAddr>) -> Option<Path> {
        let client = client.unwrap_or(way.client);
        if let Some(guest) = self.places.get(&(way, client)).and_then(|place| self.slots.get(*place)) {
            return Some(guest.path);
        }
        let entry = self.slots.vacant_entry();
        let place = entry.key();
        let link = self.base? | u32::try_from(place).ok().filter(|place| place >> PLACE == 0)?;
        let path = Path { client, link, ..way };
        entry.insert(Guest { way, path, until: Time::default() });
        self.places.insert((way, client), place);
        Some(path)
    }

    /// Keeps a client for a moment, in which another worker says what it knows of it; false if too many are kept.
    pub(super) fn keep(&mut self, path: &Path, now: Time) -> bool {
        if self.is_kept(path, now) {
            return true;
        }
        let (room, until) = (self.asked.len() < MOST_ASKED, now.after(PATIENCE));
        let Some(guest) = self.slots.get_mut(place(path)).filter(|guest| room && guest.is_at(path)) else {
            return false;
        };
        guest.until = until;
        self.asked.push_back((until, *path));
        true
    }

    /// The next client that was kept for long enough.
    pub(super) fn next_kept(&mut self, now: Time) -> Option<Path> {
        self.asked.pop_front_if(|(until, _)| *until <= now).map(|(_, path)| path)
    }

    /// Forgets a client, if it is one of these.
    pub(super) fn leave(&mut self, path: &Path) {
        let Some(guest) = self.find(path) else { return };
        let key = (guest.way, guest.path.client);
        self.places.remove(&key);
        self.slots.remove(place(path));
    }

    /// A client is kept for a moment yet.
    pub(super) fn is_kept(&self, path: &Path, now: Time) -> bool {
        self.find(path).is_some_and(|guest| guest.until > now)
    }

    /// The listener and the address by which a client is reached.
    pub(super) fn way(&self, path: &Path) -> Option<(u32, SocketAddr)> {
        self.find(path).map(|guest| (guest.way.link, guest.way.client))
    }

    /// Another may have its place by now.
    fn find(&self, path: &Path) -> Option<&Guest> {
        self.slots.get(place(path)).filter(|guest| guest.is_at(path))
    }
}

impl Guest {
    /// This is its path, in clear or under DTLS.
    fn is_at(&self, path: &Path) -> bool {
        is_guest(path) && self.path == Path { transport: Transport::Udp, ..*path }
    }
}

/// The place of a client among the guests of its worker.
fn place(path: &Path) -> usize {
    (path.link & ((1 << PLACE) - 1)) as usize
}
