//! The program comes into the kernel and to its interfaces, or it is said why not.

use super::device::{self, Interface};
use super::netlink;
use super::room::{self, Counters, Room};
use super::{Mode, Wish};
use aya::maps::{DevMapHash, MapData, MapError};
use aya::programs::links::LinkOrder;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{Program, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use std::io;

/// The program, compiled by `make` in its folder.
const OBJECT: &[u8] = aya::include_bytes_aligned!("bpf/relay.bpf.o");

/// Takes a table out of the object.
pub(super) fn take(program: &mut Ebpf, name: &str) -> Result<aya::maps::Map, MapError> {
    program.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

/// Loads the program into the kernel, with its constants.
pub(super) fn load(routing: u32, mode: Mode, wish: &Wish) -> Result<Ebpf, EbpfError> {
    let redirects_back = u32::from(wish.interfaces.iter().any(|at| !at.hardware));
    let mut program = EbpfLoader::new()
        .override_global("routing", &routing, true)
        .override_global("redirects_back", &redirects_back, true)
        .override_global("byte_time", &byte_time(wish.bandwidth), true)
        .override_global("first_relay_port", wish.ports.start(), true)
        .override_global("last_relay_port", wish.ports.end(), true)
        .load(OBJECT)?;
    match mode {
        Mode::Native => {
            xdp(&mut program)?.load()?;
            self::program::<Xdp>(&mut program, "probe")?.load()?;
        }
        Mode::Generic => xdp(&mut program)?.load()?,
        Mode::Tc => tc(&mut program)?.load()?,
    }
    Ok(program)
}

/// How long a byte takes where so many may come in a second, as the program counts it; 0 where any number may.
fn byte_time(bandwidth: u64) -> u64 {
    (1_000_000_000_u64 << 20).div_ceil(bandwidth.max(1)) * u64::from(bandwidth > 0)
}

/// Attaches the program to each interface, and lets packets leave by those that can send them; what there is to be said of
/// that. If one refuses, none has the program: dropping it takes its links away.
pub(super) fn attach(
    program: &mut Ebpf,
    table: &mut DevMapHash<MapData>,
    counters: &Counters,
    interfaces: &[Interface],
    mode: Mode,
) -> Result<Vec<String>, String> {
    let mut remarks = Vec::new();
    for interface @ Interface { name, index, hardware } in interfaces {
        remarks.extend(others(name, mode));
        let room = attach_to(program, counters, interface, mode);
        remarks.extend(judge(name, room.map_err(|error| cannot_attach(name, mode, &error))?)?);
        if mode == Mode::Native && !hardware && !netlink::transmits(*index) {
            return Err(format!(
                "{name}: its other end would not take what a native program sends: it needs `ethtool -K DEVICE gro on`"
            ));
        }
    }
    for Interface { name, index, .. } in interfaces.iter().filter(|at| may_leave(at, interfaces, mode)) {
        table.insert(*index, *index, None, 0).map_err(|error| format!("{name}: {error}"))?;
    }
    remarks.extend((!device::is_trusted()).then(|| "slower than with CAP_PERFMON".to_owned()));
    Ok(remarks)
}

/// Whether an interface can do with the room before its packets, and what there is to be said.
fn judge(name: &str, room: Room) -> Result<Option<String>, String> {
    match room {
        Room::Enough => Ok(None),
        Room::Unknown => {
            Ok(Some(format!("{name}: no packet showed at the start whether there is room for longer headers")))
        }
        Room::TooLittle => Err(format!("{name}: its driver leaves too little room for longer headers")),
        Room::Unseen => Err(format!("{name}: its driver takes a native program, but does not run it")),
    }
}

/// Whether others stand in the stack already, and may keep packets from this program. Only who has every right is told
/// which: to others it is refused, and that tells it as well.
fn others(name: &str, mode: Mode) -> Option<String> {
    let are_there = match SchedClassifier::query_tcx(name, TcAttachType::Ingress) {
        Ok((_, programs)) => !programs.is_empty(),
        Err(ProgramError::SyscallError(error)) => error.call != "bpf_prog_query",
        Err(_) => false,
    };
    (mode == Mode::Tc && are_there).then(|| format!("{name}: another tcx program sees each packet before"))
}

/// Attaches the program to one interface. In the driver, packets show first whether there is room before them; elsewhere the
/// kernel makes it. In the stack, others that are there already keep their turn before this one.
fn attach_to(program: &mut Ebpf, counters: &Counters, interface: &Interface, mode: Mode) -> Result<Room, ProgramError> {
    match mode {
        Mode::Native => {
            let (link, room) = room::probe(program, counters, interface)?;
            xdp(program)?.attach_to_link(link)?;
            return Ok(room);
        }
        Mode::Generic => _ = xdp(program)?.attach_to_if_index(interface.index, XdpMode::Skb)?,
        Mode::Tc => {
            let last = TcAttachOptions::TcxOrder(LinkOrder::last());
            tc(program)?.attach_with_options(&interface.name, TcAttachType::Ingress, last)?;
        }
    }
    Ok(Room::Enough)
}

/// Whether packets that came in by another interface may leave by this one. A driver that cannot send them would lose
/// them without a word.
fn may_leave(interface: &Interface, all: &[Interface], mode: Mode) -> bool {
    let may = mode != Mode::Native || netlink::transmits(interface.index);
    if !may && all.len() > 1 {
        tracing::warn!(interface = interface.name, "kernel path: what comes in elsewhere leaves here by user space");
    }
    may
}

/// The program of the driver, in the object.
pub(super) fn xdp(program: &mut Ebpf) -> Result<&mut Xdp, ProgramError> {
    self::program(program, "relay")
}

/// That of the stack.
pub(super) fn tc(program: &mut Ebpf) -> Result<&mut SchedClassifier, ProgramError> {
    self::program(program, "relay_stack")
}

/// A program of the object, by its name.
pub(super) fn program<'o, T>(object: &'o mut Ebpf, name: &str) -> Result<&'o mut T, ProgramError>
where
    &'o mut T: TryFrom<&'o mut Program, Error = ProgramError>,
{
    object.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?.try_into()
}

/// Why the kernel does not take the program, and what to do.
pub(super) fn cannot_load(error: &EbpfError) -> String {
    // What an old kernel says of a program that it does not understand says nothing to a person.
    device::too_old().unwrap_or_else(|| refusal(error))
}

/// What the kernel says of the program.
fn refusal(error: &EbpfError) -> String {
    match system_error(error) {
        Some(libc::EPERM) => {
            "the kernel lets nobody load programs, or not from here (a container, kernel.unprivileged_bpf_disabled, lockdown)".to_owned()
        }
        Some(libc::EACCES | libc::EINVAL) if !device::is_trusted() => {
            "this kernel takes the program only with CAP_PERFMON, too (systemd/hairpin-xdp.conf grants what is needed)"
                .to_owned()
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
        Some(libc::EINVAL) if mode == Mode::Tc => format!("{interface}: tc mode needs Linux 6.6 (tcx)"),
        Some(libc::EOPNOTSUPP) => format!("{interface}: its driver has no {mode} mode, or not with LRO or rx-gro-hw"),
        Some(libc::EINVAL | libc::ERANGE) if mode == Mode::Native => {
            format!("{interface}: its driver refuses {mode} mode: an MTU above about 3,500 bytes, or too few queues?")
        }
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
