//! Batches of datagrams to send, gathered and divided by the kernel.
#![expect(unsafe_code, reason = "sendmmsg and control messages exist in C only")]

use super::address::to_storage;
use super::{CONTROL, Control, check};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

/// A datagram to send, or several of equal size to one destination that the kernel divides (GSO). Its parts are
/// gathered by the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<P> {
    /// Where it goes.
    pub to: SocketAddr,
    /// The socket is connected to it already, so the kernel need not be told.
    pub connected: bool,
    /// The local address that it leaves from, where the socket has several.
    pub source: Option<IpAddr>,
    /// The TOS or traffic class byte; zero is what a socket sends anyway.
    pub tos: u8,
    /// Bytes of each datagram but the last, if there are several.
    pub segment: Option<u16>,
    /// What it consists of, in order.
    pub parts: P,
}

/// Space to send batches from, used again and again.
pub(crate) struct Courier {
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Courier {
    /// Space for batches of `slots` parcels.
    pub(crate) fn new(slots: usize) -> Self {
        // SAFETY: all-zero bytes are a valid value of these C structures.
        let (name, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            names: vec![name; slots],
            controls: vec![Control([0; CONTROL]); slots],
            iovecs: Vec::new(),
            headers: vec![header; slots],
        }
    }

    /// Sends a batch from one socket without waiting; says how many parcels were sent before one failed. More
    /// than fit are left out.
    pub(crate) fn send<'a, P>(&mut self, socket: RawFd, parcels: impl Iterator<Item = Parcel<P>>) -> io::Result<usize>
    where
        P: Iterator<Item = &'a [u8]>,
    {
        let mut count = 0;
        self.iovecs.clear();
        for (slot, parcel) in parcels.take(self.headers.len()).enumerate() {
            self.load(slot, parcel);
            count = slot + 1;
        }
        let mut start = self.iovecs.as_mut_ptr();
        for header in &mut self.headers[..count] {
            header.msg_hdr.msg_iov = start;
            // Each header counted its parts above; together they are all of the vector, which rests now.
            start = start.wrapping_add(header.msg_hdr.msg_iovlen);
        }
        if count == 1 {
            return self.send_one(socket).map(|()| 1);
        }
        // SAFETY: the first `count` headers point at this courier's buffers and at parts that the iterator
        // borrowed for 'a, which outlives this call.
        check(unsafe { libc::sendmmsg(socket, self.headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT) })
    }

    /// Sends the first parcel by the cheapest call that can: the kernel copies a header, a vector and control
    /// messages only where they are needed.
    fn send_one(&self, socket: RawFd) -> io::Result<()> {
        let header = &self.headers[0].msg_hdr;
        // SAFETY: as for a batch.
        let result = unsafe {
            match &self.iovecs[..] {
                [body] if header.msg_controllen == 0 => {
                    let to = if header.msg_namelen == 0 { std::ptr::null() } else { header.msg_name.cast() };
                    libc::sendto(socket, body.iov_base, body.iov_len, libc::MSG_DONTWAIT, to, header.msg_namelen)
                }
                _ => libc::sendmsg(socket, header, libc::MSG_DONTWAIT),
            }
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Makes the header of one parcel, but for where its parts are.
    fn load<'a, P: Iterator<Item = &'a [u8]>>(&mut self, slot: usize, parcel: Parcel<P>) {
        let namelen = if parcel.connected { 0 } else { to_storage(parcel.to, &mut self.names[slot]) };
        let controllen = write_control(&parcel, &mut self.controls[slot]);
        let before = self.iovecs.len();
        let full = parcel.parts.filter(|part| !part.is_empty());
        self.iovecs.extend(full.map(|p| libc::iovec { iov_base: p.as_ptr().cast_mut().cast(), iov_len: p.len() }));
        let control = self.controls[slot].0.as_mut_ptr().cast();
        let header = &mut self.headers[slot].msg_hdr;
        header.msg_name = (&raw mut self.names[slot]).cast();
        header.msg_namelen = namelen;
        header.msg_iovlen = self.iovecs.len() - before;
        header.msg_control = if controllen == 0 { std::ptr::null_mut() } else { control };
        header.msg_controllen = controllen;
    }
}

/// Writes source address, TOS and segment size; says how many bytes that took.
fn write_control<P>(parcel: &Parcel<P>, control: &mut Control) -> usize {
    let mut used = 0;
    match parcel.source {
        Some(IpAddr::V4(ip)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            used = put_control(control, used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(ip)) => {
            let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
            used = put_control(control, used, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        None => {}
    }
    if parcel.tos != 0 {
        let (level, kind) = if parcel.to.is_ipv4() {
            (libc::IPPROTO_IP, libc::IP_TOS)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        };
        used = put_control(control, used, level, kind, libc::c_int::from(parcel.tos));
    }
    if let Some(segment) = parcel.segment {
        used = put_control(control, used, libc::SOL_UDP, libc::UDP_SEGMENT, segment);
    }
    used
}

/// Appends one control message.
fn put_control<T>(control: &mut Control, used: usize, level: libc::c_int, kind: libc::c_int, value: T) -> usize {
    let size = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: CONTROL has room for the largest PKTINFO and a number, and the buffer is aligned for cmsghdr.
    unsafe {
        let at = control.0.as_mut_ptr().add(used).cast::<libc::cmsghdr>();
        (*at).cmsg_level = level;
        (*at).cmsg_type = kind;
        (*at).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(at).cast::<T>().write_unaligned(value);
        used + libc::CMSG_SPACE(size) as usize
    }
}
