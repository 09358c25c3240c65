//! Frames: made of parts that may be wrong one by one, and read as a host reads them.
//!
//! Nothing here is shared with the program or with the server: what both would get wrong is seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The host's own.
pub const HOST: Mac = [2, 0, 0, 0, 0, 5];
/// That of its next hop.
pub const GATEWAY: Mac = [2, 0, 0, 0, 0, 1];
/// Bytes of the header of Ethernet.
pub const ETHERNET: usize = 14;
const UDP: u8 = 17;

/// The checksum of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// As it must be.
    Right,
    /// None.
    Zero,
    /// Off by so much.
    Off(u16),
    /// That of addresses, protocol and length alone, which hardware would complete.
    Unfinished,
}

/// What a frame is made of.
#[derive(Clone, Debug)]
pub struct Frame {
    pub target: Mac,
    pub source: Mac,
    /// The number of an IEEE 802.1Q tag.
    pub vlan: Option<u16>,
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// TOS or traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Identification (IPv4).
    pub id: u16,
    /// Flags and offset (IPv4).
    pub fragment: u16,
    /// Flow label (IPv6).
    pub label: u32,
    /// What follows IP; 17 is UDP.
    pub protocol: u8,
    /// The first byte of IP, if it is to be another.
    pub first: Option<u8>,
    /// Options (IPv4); whole words.
    pub options: Vec<u8>,
    /// An extension header (IPv6): its number, and what it holds from its second byte on.
    pub extension: Option<(u8, Vec<u8>)>,
    pub payload: Vec<u8>,
    /// By how much the header of IP announces too many bytes.
    pub ip_len: i32,
    /// By how much the header of UDP does.
    pub udp_len: i32,
    /// Bits of the checksum of IPv4 that are turned over.
    pub ip_sum: u16,
    pub udp_sum: Sum,
    /// What follows the packet in its frame.
    pub trail: Vec<u8>,
}

impl Frame {
    /// A frame to the host, with nothing wrong.
    pub fn new(from: SocketAddr, to: SocketAddr, payload: Vec<u8>) -> Self {
        Self {
            target: HOST,
            source: GATEWAY,
            vlan: None,
            from,
            to,
            tos: 0,
            hops: 64,
            id: 0,
            fragment: 0,
            label: 0,
            protocol: UDP,
            first: None,
            options: Vec::new(),
            extension: None,
            payload,
            ip_len: 0,
            udp_len: 0,
            ip_sum: 0,
            udp_sum: Sum::Right,
            trail: Vec::new(),
        }
    }

    /// The bytes of the frame.
    pub fn bytes(&self) -> Vec<u8> {
        let udp = self.udp();
        let (kind, ip) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => (0x0800_u16, self.ipv4(from, to, udp.len())),
            (IpAddr::V6(from), IpAddr::V6(to)) => (0x86dd, self.ipv6(from, to, udp.len())),
            mixed => panic!("{mixed:?} are of two families"),
        };
        let tag = self.vlan.map(|vlan| [[0x81, 0], vlan.to_be_bytes()].concat()).unwrap_or_default();
        [&self.target[..], &self.source, &tag, &kind.to_be_bytes(), &ip, &udp, &self.trail].concat()
    }

    fn ipv4(&self, from: Ipv4Addr, to: Ipv4Addr, udp: usize) -> Vec<u8> {
        let header = 20 + self.options.len();
        let len = ((header + udp) as i32 + self.ip_len) as u16;
        let mut ip = vec![self.first.unwrap_or(0x40 | (header / 4) as u8), self.tos];
        for word in [len, self.id, self.fragment, u16::from_be_bytes([self.hops, self.protocol]), 0] {
            ip.extend(word.to_be_bytes());
        }
        ip.extend([from.octets(), to.octets()].concat());
        ip.extend(&self.options);
        let sum = !sum(&[&ip]) ^ self.ip_sum;
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip
    }

    fn ipv6(&self, from: Ipv6Addr, to: Ipv6Addr, udp: usize) -> Vec<u8> {
        let (next, more) = match &self.extension {
            Some((number, rest)) => (*number, [&[self.protocol][..], rest].concat()),
            None => (self.protocol, Vec::new()),
        };
        let len = ((more.len() + udp) as i32 + self.ip_len) as u16;
        let mut ip = (6 << 28 | u32::from(self.tos) << 20 | self.label).to_be_bytes().to_vec();
        ip.extend(len.to_be_bytes());
        ip.extend([next, self.hops]);
        ip.extend([from.octets(), to.octets()].concat());
        ip.extend(more);
        ip[0] = self.first.unwrap_or(ip[0]);
        ip
    }

    fn udp(&self) -> Vec<u8> {
        let len = (8 + self.payload.len() as i32 + self.udp_len) as u16;
        let ports = [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat();
        let mut udp = [&ports, &len.to_be_bytes()[..], &[0, 0], &self.payload].concat();
        let covered = usize::from(len).min(udp.len());
        let pseudo = pseudo(self.from.ip(), self.to.ip(), len);
        let check = !sum(&[&pseudo, &udp[..covered]]);
        let check = match self.udp_sum {
            Sum::Right => written(check),
            Sum::Zero => 0,
            Sum::Off(error) => written(sum(&[&check.to_be_bytes(), &error.to_be_bytes()])),
            Sum::Unfinished => sum(&[&pseudo]),
        };
        udp[6..8].copy_from_slice(&check.to_be_bytes());
        udp
    }

    /// What two bytes of the payload, which are zero now and begin at an even place, must be so that the checksum of
    /// the datagram would be zero, and is written as 0xffff.
    pub fn balance(&self) -> [u8; 2] {
        let udp = self.udp();
        [udp[6], udp[7]]
    }
}

/// A datagram as a socket gets it if its checksum is right, with what its frame said besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub tos: u8,
    pub hops: u8,
    /// None where it has none; right, or off by something.
    pub sum: Sum,
    pub payload: Vec<u8>,
}

/// Reads a frame as a host does; none if no socket would get what is in it, or not from this frame alone.
pub fn read(frame: &[u8]) -> Option<Datagram> {
    let is_group = frame.first()? & 1 != 0;
    let packet = frame.get(ETHERNET..)?;
    match word(frame, 12)? {
        0x0800 if !is_group => read_ipv4(packet),
        0x86dd if !is_group => read_ipv6(packet),
        _ => None,
    }
}

fn read_ipv4(packet: &[u8]) -> Option<Datagram> {
    let first = *packet.first()?;
    let header = packet.get(..usize::from(first & 15) * 4).filter(|header| header.len() >= 20)?;
    let is_fragment = word(header, 6)? & 0x3fff != 0;
    if first >> 4 != 4 || sum(&[header]) != 0xffff || is_fragment || header[9] != UDP {
        return None;
    }
    let data = packet.get(header.len()..usize::from(word(header, 2)?))?;
    let ip = |at: usize| IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (from, to, sum, payload) = read_udp(ip(12), ip(16), data)?;
    Some(Datagram { from, to, tos: header[1], hops: header[8], sum, payload })
}

fn read_ipv6(packet: &[u8]) -> Option<Datagram> {
    let header = packet.get(..40)?;
    let (end, mut next, mut at) = (40 + usize::from(word(header, 4)?), header[6], 40);
    let packet = packet.get(..end)?;
    // Options of each hop, and of the target.
    while matches!(next, 0 | 60) {
        next = *packet.get(at)?;
        at += 8 * (usize::from(*packet.get(at + 1)?) + 1);
    }
    if header[0] >> 4 != 6 || next != UDP {
        return None;
    }
    let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap());
    let (from, to, sum, payload) = read_udp(ip(8), ip(24), packet.get(at..)?)?;
    let tos = header[0] << 4 | header[1] >> 4;
    (sum != Sum::Zero).then(|| Datagram { from, to, tos, hops: header[7], sum, payload })
}

fn read_udp(from: IpAddr, to: IpAddr, data: &[u8]) -> Option<(SocketAddr, SocketAddr, Sum, Vec<u8>)> {
    let len = word(data, 4)?;
    let udp = data.get(..usize::from(len)).filter(|udp| udp.len() >= 8)?;
    let sum = match (word(udp, 6)?, sum(&[&pseudo(from, to, len), udp])) {
        (0, _) => Sum::Zero,
        (_, 0xffff) => Sum::Right,
        (_, error) => Sum::Off(error),
    };
    let at = |ip, port| Some(SocketAddr::new(ip, word(udp, port)?));
    Some((at(from, 0)?, at(to, 2)?, sum, udp[8..].to_vec()))
}

/// Whether a frame ends within the header of IP that it announces.
pub fn is_stub(frame: &[u8]) -> bool {
    let header = match word(frame, 12) {
        Some(0x0800) => 20,
        Some(0x86dd) => 40,
        _ => 0,
    };
    frame.len() < ETHERNET + header
}

/// Puts right the checksums of a frame that has room for them, as far as its own words tell where they are.
pub fn mend(frame: &mut [u8]) {
    let Some(packet) = frame.get(ETHERNET..).map(<[u8]>::to_vec) else { return };
    let is_ipv4 = frame[12..14] == [8, 0];
    let header = if is_ipv4 { 20 } else { 40 };
    let Some(data) = packet.get(header..).filter(|data| data.len() >= 8) else { return };
    let (from, to) = if is_ipv4 { (&packet[12..16], &packet[16..20]) } else { (&packet[8..24], &packet[24..40]) };
    let len = word(data, 4).unwrap();
    let end = usize::from(len).clamp(8, data.len());
    let check = written(!sum(&[from, to, &[0, UDP], &len.to_be_bytes(), &data[..6], &data[8..end]]));
    frame[ETHERNET + header + 6..][..2].copy_from_slice(&check.to_be_bytes());
    if is_ipv4 {
        let check = !sum(&[&packet[..10], &packet[12..20]]);
        frame[ETHERNET + 10..][..2].copy_from_slice(&check.to_be_bytes());
    }
}

/// What a checksum goes before (RFC 768, RFC 8200 §8.1).
fn pseudo(from: IpAddr, to: IpAddr, len: u16) -> Vec<u8> {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => Ipv4Addr::octets(&ip).to_vec(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip).to_vec(),
    };
    [octets(from), octets(to), vec![0, UDP], len.to_be_bytes().to_vec()].concat()
}

/// Zero is written as the other form of zero.
fn written(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

/// The sum of RFC 1071; every part but the last has an even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 = words.map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[test]
fn what_is_made_is_read() {
    for (from, to) in [("192.0.2.1:5", "192.0.2.2:6"), ("[2001:db8::1]:5", "[2001:db8::2]:6")] {
        for len in [0, 1, 2, 3, 1472] {
            let mut frame = Frame::new(from.parse().unwrap(), to.parse().unwrap(), vec![0xa5; len]);
            (frame.tos, frame.hops, frame.trail) = (0xb9, 7, vec![1; 3]);
            let Frame { from, to, tos, hops, payload, .. } = frame.clone();
            let datagram = Some(Datagram { from, to, tos, hops, sum: Sum::Right, payload: payload.clone() });
            assert_eq!(read(&frame.bytes()), datagram);
            frame.udp_sum = Sum::Off(1);
            let mut broken = frame.bytes();
            assert_eq!(read(&broken), Some(Datagram { from, to, tos, hops, sum: Sum::Off(1), payload }));
            mend(&mut broken);
            assert_eq!(read(&broken), datagram);
            frame.ip_sum = 1;
            broken = frame.bytes();
            assert!(from.is_ipv6() || read(&broken).is_none());
            mend(&mut broken);
            assert_eq!(read(&broken), datagram);
        }
    }
}

/// RFC 1071 §3, and a header that is known.
#[test]
fn sums_are_those_of_others() {
    assert_eq!(sum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), 0xddf2);
    let frame = Frame {
        fragment: 0x4000,
        ..Frame::new("192.168.0.1:1".parse().unwrap(), "192.168.0.199:2".parse().unwrap(), vec![0; 87])
    };
    assert_eq!(frame.bytes()[ETHERNET..][..12], [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 17, 0xb8, 0x61]);
}
