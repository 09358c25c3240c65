//! What the kernel says of a driver's XDP (the netlink family `netdev`, Linux 6.3).

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
/// Bytes of the headers of netlink and of its generic kind.
const HEADERS: usize = 20;

/// Whether a packet that came in elsewhere may leave by this interface. Not so where the kernel cannot tell.
pub(super) fn transmits(index: u32) -> bool {
    features(index).is_ok_and(|features| features & TRANSMITS != 0)
}

fn features(index: u32) -> io::Result<u64> {
    let mut socket =
        Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_GENERIC)))?;
    // The kernel answers at once or never.
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let family = ask(&mut socket, CONTROL, (FAMILY_NAME, b"netdev\0"), FAMILY_ID)?;
    let family = u16::from_ne_bytes(number(&family)?);
    let features = ask(&mut socket, (family, DEVICE), (DEVICE_INDEX, &index.to_ne_bytes()), DEVICE_FEATURES)?;
    Ok(u64::from_ne_bytes(number(&features)?))
}

/// Sends a command with one attribute, and returns another of the answer.
fn ask(socket: &mut Socket, command: (u16, u8), attribute: (u16, &[u8]), wanted: u16) -> io::Result<Vec<u8>> {
    socket.send(&request(command, attribute))?;
    let mut answer = vec![0; 8192];
    let len = socket.read(&mut answer)?;
    let attributes = answer.get(HEADERS..len).ok_or(io::ErrorKind::InvalidData)?;
    find(attributes, wanted).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn request((family, command): (u16, u8), (kind, value): (u16, &[u8])) -> Vec<u8> {
    let mut bytes = vec![0; HEADERS + 4 + value.len().next_multiple_of(4)];
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes[4..6].copy_from_slice(&family.to_ne_bytes());
    bytes[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes[16] = command;
    bytes[17] = 1;
    bytes[20..22].copy_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    bytes[22..24].copy_from_slice(&kind.to_ne_bytes());
    bytes[24..24 + value.len()].copy_from_slice(value);
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
