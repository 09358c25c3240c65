//! The kernel path: packets of established channels are relayed where they come in, and never reach this process.
//!
//! `bpf/relay.bpf.c` is the program and says what it carries. What the core tells of routes is written into its tables
//! here, and nothing else is: a route that is not there, or a packet that does not fit one, is user space's.
//!
//! The links that hold the program to its interfaces are descriptors of this process and end with it, however it ends.

mod abi;
mod attach;
mod device;
mod netlink;
mod pairs;
mod room;
mod sessions;
mod status;
mod tables;

pub use device::Interface;
pub use status::{Count, Left, Status};
pub use tables::ROUTES;

use crate::turn::{Path, Permission, RelayId, Route, Transport};
use aya::programs::{TestRun, TestRunOptions};
use aya::util::nr_cpus;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tables::Tables;

/// Where packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// Behind the driver, before the kernel's stack.
    Generic,
    /// Where the kernel's stack takes packets in, beside programs of others.
    Tc,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        })
    }
}

/// What the program did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Left it to user space.
    Passed,
    /// Dropped it.
    Dropped,
    /// Sent it.
    Sent,
}

impl Fate {
    /// What a program's code means: `XDP_PASS`, `XDP_TX` and `XDP_REDIRECT`, or `TC_ACT_UNSPEC` and `TC_ACT_REDIRECT`.
    fn of(mode: Mode, code: u32) -> Self {
        match (mode, code) {
            (Mode::Native | Mode::Generic, 2) | (Mode::Tc, u32::MAX) => Self::Passed,
            (Mode::Native | Mode::Generic, 3 | 4) | (Mode::Tc, 7) => Self::Sent,
            _ => Self::Dropped,
        }
    }
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The mode; none takes the best that works.
    pub mode: Option<Mode>,
    /// Where packets come and go.
    pub interfaces: Vec<Interface>,
    /// The ports of relays.
    pub ports: RangeInclusive<u16>,
    /// Bytes of payload in a second that an allocation may send in either direction; 0 means any number.
    pub bandwidth: u64,
    /// This host's addresses: what claims on a wire to come from one of them is nobody's.
    pub own: Vec<IpAddr>,
}

/// The program in the kernel, with its tables.
pub struct Kernel {
    mode: Mode,
    why: String,
    interfaces: Vec<Interface>,
    own: Vec<IpAddr>,
    tables: Mutex<Tables>,
}

impl Kernel {
    /// Loads the program and attaches it to every interface.
    ///
    /// # Errors
    /// Why the kernel path cannot be had, and what to do; then nothing is attached.
    pub fn open(wish: &Wish) -> Result<Self, String> {
        if wish.interfaces.is_empty() {
            return Err("no interface carries a listener or a relay: loopback is served in user space".to_owned());
        }
        if let Some(at) = wish.interfaces.iter().find(|at| netlink::station(at.index).is_none()) {
            return Err(format!("{}: its packets have no Ethernet headers: name others in kernel-interfaces", at.name));
        }
        device::rights()?;
        // Tables have a part for each core.
        nr_cpus().map_err(|(path, error)| format!("cannot count the cores: {path}: {error}"))?;
        let routing = device::routing(&wish.interfaces)?;
        match wish.mode {
            Some(mode) => Self::attempt(wish, mode, routing, "as configured".to_owned()),
            None => Self::best(wish, routing),
        }
    }

    /// The best mode that works: in the driver, else in the stack, which knows what is joined and has room for programs of
    /// others, else behind the driver.
    fn best(wish: &Wish, routing: u32) -> Result<Self, String> {
        let virtual_one = wish.interfaces.iter().find(|at| !at.hardware);
        let why = match virtual_one {
            Some(at) => format!("{} is virtual, and a native program may lose what it sends there", at.name),
            None => match Self::attempt(wish, Mode::Native, routing, "every driver has it".to_owned()) {
                Ok(kernel) => return Ok(kernel),
                Err(error) => error,
            },
        };
        Self::attempt(wish, Mode::Tc, routing, why.clone()).or_else(|error| {
            let why = if why == error { why } else { format!("{why}; {error}") };
            Self::attempt(wish, Mode::Generic, routing, why)
        })
    }

    fn attempt(wish: &Wish, mode: Mode, routing: u32, why: String) -> Result<Self, String> {
        let program = attach::load(routing, mode, wish).map_err(|error| attach::cannot_load(&error))?;
        let tables = Tables::new(program).map_err(|error| format!("the kernel's tables: {error}"))?;
        let mut kernel =
            Self { mode, why, interfaces: wish.interfaces.clone(), own: wish.own.clone(), tables: Mutex::new(tables) };
        kernel.probe()?;
        let remarks = kernel.tables().attach(&wish.interfaces, mode)?;
        kernel.why = std::iter::once(kernel.why).chain(remarks).collect::<Vec<_>>().join("; ");
        Ok(kernel)
    }

    /// Lets the program find a route with a packet that goes nowhere, having no hop left. That it is counted so shows that
    /// program and tables mean the same by their bytes.
    fn probe(&self) -> Result<(), String> {
        let (client, server) = (SocketAddr::from(([192, 0, 2, 1], 40000)), SocketAddr::from(([192, 0, 2, 2], 3478)));
        let path = Path { client, server, transport: Transport::Udp, link: u32::MAX };
        let peer = SocketAddr::from(([192, 0, 2, 3], 5000));
        let local = SocketAddr::new(server.ip(), 50000);
        let route = Route { path, channel: 0x4000, relay: RelayId(u32::MAX), local, peer, wire: peer, inward: false };
        self.tables().add(&route);
        let station = self.interfaces.first().and_then(|at| netlink::station(at.index)).unwrap_or_default();
        let tried = self.try_frame(&[&station, &PROBE[..]].concat(), 1);
        let status = self.status();
        _ = self.tables().remove(&route);
        self.tables().forget_counters();
        tried.map_err(|error| format!("the kernel does not run the program: {error}"))?;
        let left = Left::ALL.iter().zip(status.left).find(|(why, _)| **why == Left::Hops);
        if left == Some((&Left::Hops, 1)) {
            Ok(())
        } else {
            Err("the program does not find its own entries in this kernel".to_owned())
        }
    }

    /// Where packets are taken.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether packets may be joined before the program sees them: before the stack, or by the card below a bridge, a bond
    /// or the like.
    #[must_use]
    pub fn may_see_joined(&self) -> bool {
        match self.mode {
            Mode::Native => false,
            Mode::Tc => true,
            Mode::Generic => self.interfaces.iter().any(|at| !at.hardware),
        }
    }

    /// Why there and not elsewhere.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The interfaces that have the program.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// What the program may carry: datagrams between addresses that a wire leads to. The kernel's own stack drops what says
    /// on a wire that it comes from this host, sends to groups otherwise than to anybody, and knows which link the
    /// address of a link is of; user space has all that from it.
    fn carries(&self, path: &Path, peer: IpAddr, inward: bool) -> bool {
        let distant = |ip: IpAddr| !is_near(ip) && !self.own.contains(&ip);
        path.transport == Transport::Udp && distant(path.client.ip()) && (inward || distant(peer))
    }

    /// Carries a channel from now on, if it may and there is a place.
    pub fn add(&self, route: &Route) {
        if self.carries(&route.path, route.wire.ip(), route.inward) {
            self.tables().add(route);
        }
    }

    /// Carries it no more.
    pub fn remove(&self, route: &Route) {
        if self.carries(&route.path, route.wire.ip(), route.inward) {
            let counts = self.tables().remove(route);
            tell(&route.path, counts);
        }
    }

    /// Carries the indications of a permission from now on, if it may and there is a place.
    pub fn permit(&self, permission: &Permission) {
        if self.carries(&permission.path, permission.peer, false) {
            self.tables().permit(permission);
        }
    }

    /// Carries them no more.
    pub fn forbid(&self, permission: &Permission) {
        if self.carries(&permission.path, permission.peer, false) {
            let counts = self.tables().forbid(permission);
            tell(&permission.path, counts);
        }
    }

    /// What it has done and holds.
    #[must_use]
    pub fn status(&self) -> Status {
        self.tables().status()
    }

    /// What went to the peers and to the client of this 5-tuple since its first route; none if it has no route.
    #[must_use]
    pub fn session(&self, path: &Path) -> Option<[Count; 2]> {
        self.tables().session(path)
    }

    /// Runs the program on a frame that comes in by the first interface and is sent nowhere: what it did, what became of
    /// the frame, and the nanoseconds of each of `repeat` runs, one upon what the other left. For tests and benches.
    ///
    /// # Errors
    /// The kernel does not run it.
    pub fn try_frame(&self, frame: &[u8], repeat: u32) -> io::Result<(Fate, Vec<u8>, f64)> {
        self.run(frame, &self.context(frame.len(), 0, 0), repeat)
    }

    /// The same with a frame that the stack has joined of datagrams of `segment` bytes, which only mode `tc` meets.
    ///
    /// # Errors
    /// The kernel does not run it.
    pub fn try_joined(&self, frame: &[u8], segment: u32) -> io::Result<(Fate, Vec<u8>)> {
        let (fate, out, _) = self.run(frame, &self.context(frame.len(), 0, segment), 1)?;
        Ok((fate, out))
    }

    /// The same with a frame that has so many bytes of something else right before it, as drivers leave there, which only the
    /// modes of XDP meet. At 216 there is no room left for longer headers.
    ///
    /// # Errors
    /// The kernel does not run it; before Linux 6.3 it takes 32 bytes at most.
    pub fn try_cramped(&self, frame: &[u8], before: u32) -> io::Result<(Fate, Vec<u8>)> {
        let input = [&vec![0; before as usize][..], frame].concat();
        let (fate, mut out, _) = self.run(&input, &self.context(frame.len(), before, 0), 1)?;
        out.drain(..(before as usize).min(out.len()));
        Ok((fate, out))
    }

    /// Runs the program on bytes.
    fn run(&self, frame: &[u8], context: &[u8], repeat: u32) -> io::Result<(Fate, Vec<u8>, f64)> {
        let mut tables = self.tables();
        let mut out = vec![0; 4096];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(context),
            repeat,
            ..TestRunOptions::new()
        };
        let program = &mut tables.program;
        let result = match self.mode {
            Mode::Native | Mode::Generic => attach::xdp(program).and_then(|program| program.test_run(options)),
            Mode::Tc => attach::tc(program).and_then(|program| program.test_run(options)),
        };
        let result = result.map_err(io::Error::other)?;
        out.truncate(result.data_size_out as usize);
        Ok((Fate::of(self.mode, result.return_value), out, result.duration.as_nanos() as f64))
    }

    /// What the kernel says beside a frame. A `struct xdp_md`: where it begins and ends, and the interface that it came by; or
    /// a `struct __sk_buff`: that interface, and of what size it was joined.
    fn context(&self, len: usize, before: u32, segment: u32) -> Vec<u8> {
        let interface = self.interfaces.first().map_or(0, |at| at.index);
        let (size, words) = match self.mode {
            Mode::Native | Mode::Generic => (24, [(0, before), (4, before + len as u32), (12, interface)]),
            Mode::Tc => (192, [(40, interface), (176, segment), (0, 0)]),
        };
        let mut bytes = vec![0; size];
        for (at, word) in words {
            bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(word));
        }
        bytes
    }

    /// A worker that panicked left no entry half-written: each is one call.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("mode", &self.mode).field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

/// An address that is no single station's somewhere beyond a link.
fn is_near(ip: IpAddr) -> bool {
    let link = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    link || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified()
}

/// Logs what an allocation has sent and received this way, when it has no more routes.
fn tell(path: &Path, counts: Option<[Count; 2]>) {
    let Some([to_peer, to_client]) = counts else { return };
    tracing::debug!(
        client = %path.client,
        to_peer_packets = to_peer.packets,
        to_client_packets = to_client.packets,
        "kernel path: carried"
    );
}

/// ChannelData without a payload on its last hop, from 192.0.2.1:40000 to 192.0.2.2:3478.
/// The station that it is for is to stand before it.
const PROBE: [u8; 40] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x45, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x01, 0x11, 0x35,
    0xca, 0xc0, 0x00, 0x02, 0x01, 0xc0, 0x00, 0x02, 0x02, 0x9c, 0x40, 0x0d, 0x96, 0x00, 0x0c, 0x91, 0xfb, 0x40, 0x00,
    0x00, 0x00,
];
