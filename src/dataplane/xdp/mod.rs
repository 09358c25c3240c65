//! The kernel path: packets of established channels are relayed where they come in, and never reach this process.
//!
//! `relay.bpf.c` is the program and says what it carries. What the core tells of routes is written into its tables
//! here, and nothing else is: a route that is not there, or a packet that does not fit one, is user space's.
//!
//! The links that hold the program to its interfaces are descriptors of this process and end with it, however it ends.

mod abi;
mod device;
mod features;
mod sessions;

pub use device::Interface;

use crate::turn::{Path, Permission, Route, Transport};
use aya::maps::{Array, DevMapHash, HashMap, MapData, MapError, PerCpuArray};
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use sessions::Sessions;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Channels at most, and permissions as many. Of either, one has an entry for each direction: 58 MiB if all are there.
pub const ROUTES: u32 = 65_536;
/// The program, compiled by `make` in its folder.
const OBJECT: &[u8] = aya::include_bytes_aligned!("relay.bpf.o");

/// Where packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel, behind the driver.
    Generic,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
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
}

/// The program in the kernel, with its tables.
pub struct Kernel {
    mode: Mode,
    why: String,
    interfaces: Vec<Interface>,
    tables: Mutex<Tables>,
}

/// What is written, and by whom: whoever holds the lock. No packet waits for it.
struct Tables {
    routes: HashMap<MapData, abi::Flow, abi::Way>,
    sends: HashMap<MapData, abi::Send, abi::Way>,
    counts: Array<MapData, abi::Session>,
    counters: PerCpuArray<MapData, abi::Count>,
    sessions: Sessions,
    channels: u32,
    permissions: u32,
    refused: u64,
    /// Holds the program, and the links to its interfaces.
    program: Ebpf,
    /// Interfaces that packets may leave by.
    _interfaces: DevMapHash<MapData>,
}

/// Packets and bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// Why a packet of a route was left to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Padding that is none, a length that does not fit, a packet longer than any that is carried.
    Layout,
    /// No checksum where IPv6 needs one, or one that does not fit.
    Checksum,
    /// It had no hop left.
    Hops,
    /// No way leads there, or the neighbour is not known yet.
    NextHop,
    /// The next link carries no packet as long as this.
    TooBig,
    /// The way leads out by an interface without the program.
    Interface,
    /// The driver leaves no room before the packet.
    HeadRoom,
    /// The relay of this server that is the peer has no such route.
    Inward,
}

impl Left {
    /// Each of them, in the order of the program's counters.
    pub const ALL: [Self; 8] = [
        Self::Layout,
        Self::Checksum,
        Self::Hops,
        Self::NextHop,
        Self::TooBig,
        Self::Interface,
        Self::HeadRoom,
        Self::Inward,
    ];

    /// The name of its counter.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Checksum => "checksum",
            Self::Hops => "hops",
            Self::NextHop => "next_hop",
            Self::TooBig => "too_big",
            Self::Interface => "interface",
            Self::HeadRoom => "head_room",
            Self::Inward => "inward",
        }
    }
}

/// What the kernel path has done and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Relayed to peers.
    pub to_peer: Count,
    /// Relayed to clients.
    pub to_client: Count,
    /// Packets of routes left to user space, in the order of [`Left::ALL`].
    pub left: [u64; Left::ALL.len()],
    /// Packets dropped because the allocation's bandwidth was used up.
    pub bandwidth: u64,
    /// Channels that it carries.
    pub channels: u32,
    /// Permissions that it carries.
    pub permissions: u32,
    /// Allocations with routes.
    pub sessions: usize,
    /// Channels and permissions that found no place and are relayed in user space.
    pub refused: u64,
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
        let routing = device::routing(&wish.interfaces)?;
        match wish.mode {
            Some(mode) => Self::attempt(wish, mode, routing, "as configured".to_owned()),
            None => Self::best(wish, routing),
        }
    }

    /// The best mode that works.
    fn best(wish: &Wish, routing: u32) -> Result<Self, String> {
        let virtual_one = wish.interfaces.iter().find(|at| at.is_virtual());
        let why = match virtual_one {
            Some(at) => format!("{} is virtual, and a native program may lose what it sends there", at.name),
            None => match Self::attempt(wish, Mode::Native, routing, "every driver has it".to_owned()) {
                Ok(kernel) => return Ok(kernel),
                Err(error) => error,
            },
        };
        Self::attempt(wish, Mode::Generic, routing, why)
    }

    fn attempt(wish: &Wish, mode: Mode, routing: u32, why: String) -> Result<Self, String> {
        let verify = mode == Mode::Generic || wish.interfaces.iter().any(Interface::is_virtual);
        let mut program = load(routing, verify, wish).map_err(|error| cannot_load(&error))?;
        let interfaces = attach(&mut program, &wish.interfaces, mode)?;
        let tables = Tables::new(program, interfaces).map_err(|error| format!("the kernel's tables: {error}"))?;
        Ok(Self { mode, why, interfaces: wish.interfaces.clone(), tables: Mutex::new(tables) })
    }

    /// Where packets are taken.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
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

    /// Carries a channel from now on, if it is one of datagrams and there is a place.
    pub fn add(&self, route: &Route) {
        if route.path.transport == Transport::Udp {
            self.tables().add(route);
        }
    }

    /// Carries it no more.
    pub fn remove(&self, route: &Route) {
        if route.path.transport == Transport::Udp {
            self.tables().remove(route);
        }
    }

    /// Carries the indications of a permission from now on, if they are datagrams and there is a place.
    pub fn permit(&self, permission: &Permission) {
        if permission.path.transport == Transport::Udp {
            self.tables().permit(permission);
        }
    }

    /// Carries them no more.
    pub fn forbid(&self, permission: &Permission) {
        if permission.path.transport == Transport::Udp {
            self.tables().forbid(permission);
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

    /// Runs the program on a frame that comes in by the first interface and is sent nowhere: what it returned (`XDP_PASS` is 2, `XDP_TX` 3), what became of
    /// the frame, and the nanoseconds of each of `repeat` runs, one upon what the other left. For tests and benches.
    ///
    /// # Errors
    /// The kernel does not run it.
    pub fn try_frame(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, Vec<u8>, f64)> {
        let mut tables = self.tables();
        let mut out = vec![0; 4096];
        let context = context(frame.len() as u32, self.interfaces.first().map_or(0, |at| at.index));
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::new()
        };
        let program = xdp(&mut tables.program).map_err(io::Error::other)?;
        let result = program.test_run(options).map_err(io::Error::other)?;
        out.truncate(result.data_size_out as usize);
        Ok((result.return_value, out, result.duration.as_nanos() as f64))
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

impl Tables {
    fn new(mut program: Ebpf, interfaces: DevMapHash<MapData>) -> Result<Self, MapError> {
        Ok(Self {
            routes: HashMap::try_from(take(&mut program, "routes")?)?,
            counts: Array::try_from(take(&mut program, "sessions")?)?,
            counters: PerCpuArray::try_from(take(&mut program, "counters")?)?,
            sends: HashMap::try_from(take(&mut program, "sends")?)?,
            sessions: Sessions::default(),
            channels: 0,
            permissions: 0,
            refused: 0,
            program,
            _interfaces: interfaces,
        })
    }

    fn add(&mut self, route: &Route) {
        let session = if self.channels < ROUTES { self.enter(route.path) } else { None };
        let Some(session) = session else { return self.refuse_channel(route) };
        let [to_peer, to_client] = abi::entries(route, session);
        if self.insert(to_client) && self.insert(to_peer) {
            self.channels += 1;
            return;
        }
        // One direction alone would count for half of what went.
        _ = self.routes.remove(&to_client.0);
        self.leave(&route.path);
        self.refuse_channel(route);
    }

    /// One route less of a 5-tuple; with the last goes its count, into the log.
    fn leave(&mut self, path: &Path) {
        let counts = self.session(path);
        if self.sessions.leave(path)
            && let Some([to_peer, to_client]) = counts
        {
            tracing::debug!(
                client = %path.client,
                to_peer_packets = to_peer.packets,
                to_client_packets = to_client.packets,
                "kernel path: carried"
            );
        }
    }

    /// User space serves the channel. What its peer sends must not be carried by its permission instead: it would reach
    /// the client as an indication.
    fn refuse_channel(&mut self, route: &Route) {
        self.forbid(&route.permission());
        self.refuse();
    }

    fn insert(&mut self, (flow, way): (abi::Flow, abi::Way)) -> bool {
        self.routes.insert(flow, way, 0).is_ok()
    }

    fn permit(&mut self, permission: &Permission) {
        let session = if self.permissions < ROUTES { self.enter(permission.path) } else { None };
        let Some(session) = session else { return self.refuse() };
        let (to_peer, to_client) = abi::permission(permission, session);
        if self.sends.insert(to_peer.0, to_peer.1, 0).is_ok() && self.insert(to_client) {
            self.permissions += 1;
            return;
        }
        _ = self.sends.remove(&to_peer.0);
        self.leave(&permission.path);
        self.refuse();
    }

    fn forbid(&mut self, permission: &Permission) {
        let (to_peer, to_client) = abi::permission(permission, 0);
        // Not there: it had found no place.
        if self.sends.remove(&to_peer.0).is_ok() {
            _ = self.routes.remove(&to_client.0);
            self.leave(&permission.path);
            self.permissions -= 1;
        }
    }

    /// A place for the counts of a 5-tuple; a new one counts from zero.
    fn enter(&mut self, path: Path) -> Option<u32> {
        let (place, new) = self.sessions.enter(path, ROUTES)?;
        if new && self.counts.set(place, [0; 48], 0).is_err() {
            self.leave(&path);
            return None;
        }
        Some(place)
    }

    /// User space serves the channel or permission.
    fn refuse(&mut self) {
        if self.refused == 0 {
            let (channels, permissions) = (self.channels, self.permissions);
            tracing::warn!(channels, permissions, "kernel path: full; what is new is relayed in user space");
        }
        self.refused += 1;
    }

    fn remove(&mut self, route: &Route) {
        let [to_peer, to_client] = abi::entries(route, 0);
        // Not there: it had found no place.
        if self.routes.remove(&to_peer.0).is_ok() {
            _ = self.routes.remove(&to_client.0);
            self.leave(&route.path);
            self.channels -= 1;
        }
    }

    fn status(&self) -> Status {
        Status {
            to_peer: self.counter(0),
            to_client: self.counter(1),
            left: std::array::from_fn(|at| self.counter(2 + at as u32).packets),
            bandwidth: self.counter(2 + Left::ALL.len() as u32).packets,
            channels: self.channels,
            permissions: self.permissions,
            sessions: self.sessions.len(),
            refused: self.refused,
        }
    }

    /// A counter, of all cores.
    fn counter(&self, index: u32) -> Count {
        let mut sum = Count::default();
        for value in self.counters.get(&index, 0).iter().flat_map(|values| values.iter()) {
            let (packets, bytes) = abi::count(value);
            sum.packets += packets;
            sum.bytes += bytes;
        }
        sum
    }

    fn session(&self, path: &Path) -> Option<[Count; 2]> {
        let value = self.counts.get(&self.sessions.place(path)?, 0).ok()?;
        Some(abi::counts(&value).map(|(packets, bytes)| Count { packets, bytes }))
    }
}

/// A `struct xdp_md`: where a frame begins and ends, and the interface that it came by.
fn context(len: u32, interface: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[4..8].copy_from_slice(&len.to_ne_bytes());
    bytes[12..16].copy_from_slice(&interface.to_ne_bytes());
    bytes
}

/// Takes a table out of the object.
fn take(program: &mut Ebpf, name: &str) -> Result<aya::maps::Map, MapError> {
    program.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

/// Loads the program into the kernel, with its constants.
fn load(routing: u32, verify: bool, wish: &Wish) -> Result<Ebpf, EbpfError> {
    let verify = u32::from(verify);
    let mut program = EbpfLoader::new()
        .override_global("routing", &routing, true)
        .override_global("verify", &verify, true)
        .override_global("rate", &wish.bandwidth, true)
        .override_global("first_relay_port", wish.ports.start(), true)
        .override_global("last_relay_port", wish.ports.end(), true)
        .load(OBJECT)?;
    xdp(&mut program)?.load()?;
    Ok(program)
}

/// Attaches the program to each interface. If one refuses, none has it: dropping the program takes its links away.
fn attach(program: &mut Ebpf, interfaces: &[Interface], mode: Mode) -> Result<DevMapHash<MapData>, String> {
    let table = take(program, "interfaces").and_then(DevMapHash::try_from);
    let mut table = table.map_err(|error| format!("the kernel's tables: {error}"))?;
    let relay = xdp(program).map_err(|error| error.to_string())?;
    let flags = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    for interface @ Interface { name, index } in interfaces {
        relay.attach_to_if_index(*index, flags).map_err(|error| cannot_attach(name, mode, &error))?;
        if mode == Mode::Native && interface.is_virtual() && !features::transmits(*index) {
            return Err(format!("{name}: its other end would not take what a native program sends: it needs GRO on"));
        }
    }
    for Interface { name, index } in interfaces.iter().filter(|at| may_leave(at, interfaces, mode)) {
        table.insert(*index, *index, None, 0).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(table)
}

/// Whether packets that came in by another interface may leave by this one. A driver that cannot send them would lose
/// them without a word.
fn may_leave(interface: &Interface, all: &[Interface], mode: Mode) -> bool {
    let may = mode == Mode::Generic || features::transmits(interface.index);
    if !may && all.len() > 1 {
        tracing::warn!(interface = interface.name, "kernel path: what comes in elsewhere leaves here by user space");
    }
    may
}

/// The program in the object.
fn xdp(program: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    program.program_mut("relay").ok_or(ProgramError::UnexpectedProgramType)?.try_into()
}

/// Why the kernel does not take the program, and what to do.
fn cannot_load(error: &EbpfError) -> String {
    match system_error(error) {
        Some(libc::EPERM) => {
            "needs the capabilities CAP_BPF and CAP_NET_ADMIN (systemd/hairpin-xdp.conf grants them)".to_owned()
        }
        _ => format!("this kernel does not take the program: {}", end(&error.to_string())),
    }
}

/// The end of a long text: of what the verifier says only that matters.
fn end(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(6);
    lines[from..].join("; ")
}

/// Why an interface does not take the program.
fn cannot_attach(interface: &str, mode: Mode, error: &ProgramError) -> String {
    match system_error(error) {
        Some(libc::EBUSY | libc::EEXIST) => {
            format!("{interface}: another program is attached already: `ip link show {interface}` names it")
        }
        Some(libc::EOPNOTSUPP) => format!("{interface}: its driver has no {mode} mode"),
        Some(libc::EPERM | libc::EACCES) => format!("{interface}: needs the capability CAP_NET_ADMIN"),
        Some(libc::ENODEV) => format!("{interface}: there is no such interface any more"),
        _ => format!("{interface}: {mode} mode: {}", root(error)),
    }
}

/// The system's number for what is behind an error.
fn system_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    root(error).downcast_ref::<io::Error>().and_then(io::Error::raw_os_error)
}

/// The innermost cause.
fn root<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}
