//! Whether a driver leaves room before a packet for longer headers. Nobody can be asked: any packet that comes shows it.

use super::abi;
use super::attach::program;
use super::device::Interface;
use super::netlink;
use super::status::Left;
use aya::Ebpf;
use aya::maps::{MapData, MapError, PerCpuArray};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long a packet is waited for. A card may need a while after it has been given a program.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(2);
/// The program's counters `HAS_ROOM` and `LACKS_ROOM`: behind those of [`Left`] and the three around them.
const COUNTERS: [u32; 2] = [3 + Left::ALL.len() as u32, 4 + Left::ALL.len() as u32];

/// What packets have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is enough.
    Enough,
    /// There is too little.
    TooLittle,
    /// None has come.
    Unknown,
}

/// Attaches a program that tries the room before each packet and lets it pass, and waits for the first. The link that it
/// has is for the program that relays.
pub(super) fn probe(object: &mut Ebpf, interface: &Interface) -> Result<(XdpLink, Room), ProgramError> {
    let prober: &mut Xdp = program(object, "probe")?;
    let id = prober.attach_to_if_index(interface.index, XdpMode::Driver)?;
    let link = prober.take_link(id)?;
    let before = tried(object)?;
    ask_neighbours(interface);
    let until = Instant::now() + PATIENCE;
    loop {
        let now = tried(object)?;
        match [0, 1].map(|at| now[at] > before[at]) {
            [_, true] => return Ok((link, Room::TooLittle)),
            [true, false] => return Ok((link, Room::Enough)),
            [false, false] if Instant::now() >= until => return Ok((link, Room::Unknown)),
            [false, false] => thread::sleep(LOOK),
        }
    }
}

/// Packets that had room, and that had none.
fn tried(object: &Ebpf) -> Result<[u64; 2], MapError> {
    let map = object.map("counters").ok_or_else(|| MapError::InvalidName { name: "counters".to_owned() })?;
    let counters: PerCpuArray<&MapData, abi::Count> = PerCpuArray::try_from(map)?;
    let count = |at: u32| counters.get(&at, 0).map(|cores| cores.iter().map(|value| abi::count(value).0).sum());
    Ok([count(COUNTERS[0])?, count(COUNTERS[1])?])
}

/// Lets the kernel ask those neighbours that it knows by this interface whether they are there, so that a packet comes.
fn ask_neighbours(interface: &Interface) {
    let known = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    for line in known.lines().filter(|line| line.split_whitespace().last() == Some(&interface.name)).take(4) {
        if let Some(neighbour) = line.split_whitespace().next().and_then(|ip| ip.parse().ok()) {
            // Where that fails, others send packets in time.
            _ = netlink::probe_neighbour(interface.index, neighbour);
        }
    }
}
