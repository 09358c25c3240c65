//! What the kernel says of interfaces: of their hardware (`RTM_GETLINK`), and of their drivers' XDP (the netlink family
//! `netdev`, Linux 6.3). Asked by number in this process's own network, where `/sys` may show another's.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read};
use std::time::Duration;

/// `CTRL_CMD_GETFAMILY` of the family that knows the others, with its attributes for number and name.
const CONTROL: (u16, u8) = (0x10, 3);
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NETDEV_CMD_DEV_GET`, with its attributes for interface and features.
const DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_NDO_XMIT`: a packet that came in elsewhere may leave here.
const TRANSMITS: u64 = 4;
/// `RTM_GETLINK`, with the attributes for an interface's own address (`IFLA_ADDRESS`), for its counters (`IFLA_STATS64`), and
/// for the name of the device on a bus behind it (`IFLA_PARENT_DEV_NAME`).
const LINK: u16 = 18;
const LINK_ADDRESS: u16 = 1;
const LINK_COUNTERS: u16 = 23;
const LINK_PARENT: u16 = 56;
/// Bytes of netlink's own header, and of what follows it: in generic messages, and in those about links.
const HEADER: usize = 16;
const GENERIC: usize = 4;
const LINK_HEADER: usize = 16;

/// Whether a packet that came in elsewhere may leave by this interface. Not so where the kernel cannot tell.
pub(super) fn transmits(index: u32) -> bool {
    features(index).is_ok_and(|features| features & TRANSMITS != 0)
}

/// Whether there is hardware behind an interface, or what a virtual machine has for it.
pub(super) fn is_hardware(index: u32) -> bool {
    link(index, LINK_PARENT).is_ok()
}

/// The Ethernet address of an interface; none if it is no Ethernet.
pub(super) fn station(index: u32) -> Option<[u8; 6]> {
    link(index, LINK_ADDRESS).and_then(|address| number(&address)).ok()
}

/// An attribute of an interface.
fn link(index: u32, wanted: u16) -> io::Result<Vec<u8>> {
    let mut about = [0; LINK_HEADER];
    about[4..8].copy_from_slice(&index.to_ne_bytes());
    exchange(&mut socket(libc::NETLINK_ROUTE)?, &message(LINK, &about), LINK_HEADER, wanted)
}

/// How many packets have come by an interface.
pub(super) fn received(index: u32) -> Option<u64> {
    let counters = link(index, LINK_COUNTERS).ok()?;
    number(counters.get(..8)?).map(u64::from_ne_bytes).ok()
}

fn features(index: u32) -> io::Result<u64> {
    let mut socket = socket(libc::NETLINK_GENERIC)?;
    let family = ask(&mut socket, CONTROL, (FAMILY_NAME, b"netdev\0"), FAMILY_ID)?;
    let family = u16::from_ne_bytes(number(&family)?);
    let features = ask(&mut socket, (family, DEVICE), (DEVICE_INDEX, &index.to_ne_bytes()), DEVICE_FEATURES)?;
    Ok(u64::from_ne_bytes(number(&features)?))
}

fn socket(protocol: libc::c_int) -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(protocol)))?;
    // The kernel answers at once or never.
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

/// Sends a generic command with one attribute, and returns another of the answer.
fn ask(
    socket: &mut Socket,
    (family, command): (u16, u8),
    (kind, value): (u16, &[u8]),
    wanted: u16,
) -> io::Result<Vec<u8>> {
    let mut body = vec![command, 1, 0, 0];
    body.extend((4 + value.len() as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
    exchange(socket, &message(family, &body), GENERIC, wanted)
}

/// Sends a message, and returns an attribute of the answer, whose own header is so long.
fn exchange(socket: &mut Socket, message: &[u8], header: usize, wanted: u16) -> io::Result<Vec<u8>> {
    socket.send(message)?;
    let mut answer = vec![0; 32_768];
    let len = socket.read(&mut answer)?;
    let attributes = answer.get(HEADER + header..len).ok_or(io::ErrorKind::InvalidData)?;
    find(attributes, wanted).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// A request of this type.
fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes.extend(body);
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes
}

/// The value of an attribute.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *attributes {
        let (len, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
    None
}

fn number<const N: usize>(bytes: &[u8]) -> io::Result<[u8; N]> {
    bytes.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
}
