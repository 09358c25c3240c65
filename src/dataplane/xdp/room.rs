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
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// How long a packet is waited for. A card may need a while after it has been given a program.
const PATIENCE: Duration = Duration::from_secs(1);
/// The port of a service that says nothing (RFC 863).
const DISCARD: u16 = 9;
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(2);
/// The program's counters `HAS_ROOM` and `LACKS_ROOM`: behind those of [`Left`] and the three around them.
const COUNTERS: [u32; 2] = [3 + Left::ALL.len() as u32, 4 + Left::ALL.len() as u32];

/// The program's counters.
pub(super) type Counters = PerCpuArray<MapData, abi::Count>;

/// What packets have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is enough.
    Enough,
    /// There is too little.
    TooLittle,
    /// None has come.
    Unknown,
    /// The driver has taken the program, and does not run it.
    Unseen,
}

/// Attaches a program that tries the room before each packet and lets it pass, and waits for the first. The link that it
/// has is for the program that relays.
pub(super) fn probe(
    object: &mut Ebpf,
    counters: &Counters,
    interface: &Interface,
) -> Result<(XdpLink, Room), ProgramError> {
    let prober: &mut Xdp = program(object, "probe")?;
    let id = prober.attach_to_if_index(interface.index, XdpMode::Driver)?;
    let link = prober.take_link(id)?;
    let before = tried(counters)?;
    call_neighbours(interface);
    let (begin, mut received) = (Instant::now(), None);
    loop {
        let now = tried(counters)?;
        match [0, 1].map(|at| now[at] > before[at]) {
            [_, true] => return Ok((link, Room::TooLittle)),
            [true, false] => return Ok((link, Room::Enough)),
            [false, false] if begin.elapsed() >= PATIENCE => break,
            // A driver may count late what came before.
            [false, false] if begin.elapsed() >= PATIENCE / 2 && received.is_none() => {
                received = netlink::received(interface.index);
            }
            [false, false] => thread::sleep(LOOK),
        }
    }
    let has_come = received.zip(netlink::received(interface.index)).is_some_and(|(then, now)| then < now);
    // One that has come since the last look is seen by now, if ever.
    let is_seen = tried(counters)? != before;
    Ok((link, if has_come && !is_seen { Room::Unseen } else { Room::Unknown }))
}

/// Packets that had room, and that had none.
fn tried(counters: &Counters) -> Result<[u64; 2], MapError> {
    let count = |at: u32| counters.get(&at, 0).map(|cores| cores.iter().map(|value| abi::count(value).0).sum());
    Ok([count(COUNTERS[0])?, count(COUNTERS[1])?])
}

/// Sends an empty datagram to the port `discard` of some neighbours of IPv4 that are known by this interface, so that a
/// packet comes: an answer, be it that nothing is there.
fn call_neighbours(interface: &Interface) {
    let known = fs::read_to_string("/proc/thread-self/net/arp").unwrap_or_default();
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else { return };
    for neighbour in known.lines().filter_map(|line| neighbour(line, &interface.name)).take(4) {
        // Where that fails, others send packets in time.
        _ = socket.send_to(&[], (neighbour, DISCARD));
    }
}

/// The address in a line of the kernel's list, if its station is known (`ATF_COM`) by this interface.
fn neighbour(line: &str, interface: &str) -> Option<Ipv4Addr> {
    let [ip, _kind, flags, _station, _mask, at] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    let flags = u8::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
    (at == interface && flags & 2 != 0).then(|| ip.parse().ok())?
}
