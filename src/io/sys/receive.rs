//! Batches of received datagrams, and what comes beside them.
#![expect(unsafe_code, reason = "recvmmsg and control messages exist in C only")]

use super::address::from_storage;
use super::{CONTROL, Control, check};
use crate::turn::Icmp;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

/// The largest UDP datagram.
const LARGEST: usize = 65_536;
/// The distance between two buffers. A little more than a datagram, so that the first lines of all buffers
/// do not compete for the same sets of the cache.
const STRIDE: usize = LARGEST + 17 * 64;

/// A received datagram, or several of equal size from one sender that the kernel has joined (GRO). Its payload
/// stands in the inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it came to, if the socket was asked to tell.
    pub to: Option<IpAddr>,
    /// The TOS or traffic class byte.
    pub tos: u8,
    /// Where the payload begins in the inbox.
    start: usize,
    /// Bytes of payload.
    len: usize,
    /// Bytes of each joined datagram but the last, which may have fewer.
    segment: usize,
}

impl Datagram {
    /// Where each of the joined datagrams stands in the inbox: start and length.
    pub(crate) fn segments(self) -> impl Iterator<Item = (usize, usize)> {
        let step = if self.segment == 0 { self.len.max(1) } else { self.segment };
        let count = self.len.div_ceil(step).max(1);
        (0..count).map(move |i| (self.start + i * step, step.min(self.len - i * step)))
    }
}

/// Buffers for a batch of received datagrams. Their payloads stay where they are until the next batch, so
/// that they can be sent from there.
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Inbox {
    /// Buffers for `slots` datagrams. Memory is used only as far as datagrams fill it.
    pub(crate) fn new(slots: usize) -> Self {
        // SAFETY: all-zero bytes are a valid value of these C structures.
        let (name, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let mut inbox = Self {
            buffer: vec![0; slots * STRIDE],
            names: vec![name; slots],
            controls: vec![Control([0; CONTROL]); slots],
            iovecs: Vec::with_capacity(slots),
            headers: vec![header; slots],
        };
        inbox.link(slots);
        inbox
    }

    /// Points every header at its buffers. Their vectors are never resized, so the pointers stay good.
    fn link(&mut self, slots: usize) {
        for slot in 0..slots {
            let base = self.buffer[slot * STRIDE..].as_mut_ptr().cast();
            self.iovecs.push(libc::iovec { iov_base: base, iov_len: LARGEST });
        }
        for slot in 0..slots {
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = (&raw mut self.names[slot]).cast();
            header.msg_iov = &raw mut self.iovecs[slot];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[slot]).cast();
        }
    }

    /// How many datagrams fit.
    pub(crate) fn slots(&self) -> usize {
        self.headers.len()
    }

    /// Receives up to `count` datagrams into the slots from `first` on, without waiting.
    pub(crate) fn receive(&mut self, socket: RawFd, first: usize, count: usize) -> io::Result<usize> {
        let headers = &mut self.headers[first..first + count];
        for header in headers.iter_mut() {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: every header points at buffers of this inbox, which live as long as it does.
        check(unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        })
    }

    /// A datagram that [`Inbox::receive`] put into this slot; none if its sender cannot be told.
    pub(crate) fn datagram(&self, slot: usize) -> Option<Datagram> {
        let header = &self.headers[slot];
        let Envelope { to, tos, segment } = read_control(&header.msg_hdr);
        let len = (header.msg_len as usize).min(LARGEST);
        Some(Datagram { from: from_storage(&self.names[slot])?, to, tos, start: slot * STRIDE, len, segment })
    }

    /// Where a part of a datagram stands in the whole buffer.
    pub(crate) fn offset(&self, part: &[u8]) -> usize {
        part.as_ptr() as usize - self.buffer.as_ptr() as usize
    }

    /// A part of the whole buffer.
    pub(crate) fn part(&self, start: usize, len: usize) -> &[u8] {
        &self.buffer[start..start + len]
    }
}

/// What the kernel tells beside a datagram.
#[derive(Default)]
struct Envelope {
    to: Option<IpAddr>,
    tos: u8,
    segment: usize,
}

/// Reads the destination address, the TOS byte and the size of joined datagrams.
fn read_control(header: &libc::msghdr) -> Envelope {
    let mut found = Envelope::default();
    // SAFETY: the kernel filled the control buffer up to msg_controllen; CMSG_NXTHDR stays inside it, and
    // each structure is read unaligned from a message of its type.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            let data = libc::CMSG_DATA(at);
            match ((*at).cmsg_level, (*at).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TOS) => found.tos = *data,
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    found.tos = data.cast::<libc::c_int>().read_unaligned() as u8
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    found.segment = usize::try_from(data.cast::<libc::c_int>().read_unaligned()).unwrap_or(0);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    found.to = Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    found.to = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                _ => {}
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    found
}

/// Takes one ICMP error from a socket's error queue: where the datagram went, and what came back. None when
/// the queue is empty; an inner none for an error that is not ICMP.
pub(crate) fn take_error(socket: RawFd) -> Option<Option<(SocketAddr, Icmp)>> {
    // SAFETY: all-zero bytes are a valid value of these C structures.
    let (mut name, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut control = Control([0; CONTROL]);
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = mem::size_of_val(&name) as libc::socklen_t;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL;
    // SAFETY: the header points at buffers of this function and no payload is asked for.
    check(unsafe { libc::recvmsg(socket, &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) } as libc::c_int)
        .ok()?;
    Some(read_error(&header).and_then(|icmp| from_storage(&name).map(|to| (to, icmp))))
}

/// Reads the extended error of a message from the error queue.
fn read_error(header: &libc::msghdr) -> Option<Icmp> {
    // SAFETY: as in `read_control`.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            let kind = ((*at).cmsg_level, (*at).cmsg_type);
            if kind == (libc::IPPROTO_IP, libc::IP_RECVERR) || kind == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) {
                let error = libc::CMSG_DATA(at).cast::<libc::sock_extended_err>().read_unaligned();
                let icmp = matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
                return icmp.then_some(Icmp { kind: error.ee_type, code: error.ee_code, mtu: error.ee_info });
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    None
}
