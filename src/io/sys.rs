//! The system calls that the standard library lacks: batches of datagrams, control messages, epoll,
//! steering. Every `unsafe` of hairpin is in this file.
#![expect(unsafe_code, reason = "recvmmsg, sendmmsg, epoll and socket options exist in C only")]

use crate::turn::Icmp;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use tokio::io::unix::AsyncFd;

/// Room for the control messages of one datagram: PKTINFO of IPv6, TOS or TCLASS, and on the error queue an
/// extended error with an address.
const CONTROL: usize = 128;
/// The largest UDP datagram.
const LARGEST: usize = 65_536;
/// The distance between two buffers. A little more than a datagram, so that the first lines of all buffers
/// do not compete for the same sets of the cache.
const STRIDE: usize = LARGEST + 17 * 64;

/// An aligned place for control messages.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Turns -1 into the error of the last call.
fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

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

/// Reads a socket address of either family.
fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    let pointer: *const libc::sockaddr_storage = storage;
    // SAFETY: the family says which structure the storage holds, and the storage is large enough for both.
    unsafe {
        match libc::c_int::from(storage.ss_family) {
            libc::AF_INET => {
                let addr = pointer.cast::<libc::sockaddr_in>().read();
                let ip = Ipv4Addr::from(addr.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(addr.sin_port))))
            }
            libc::AF_INET6 => {
                let addr = pointer.cast::<libc::sockaddr_in6>().read();
                let ip = Ipv6Addr::from(addr.sin6_addr.s6_addr);
                Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(addr.sin6_port), 0, addr.sin6_scope_id)))
            }
            _ => None,
        }
    }
}

/// Writes a socket address; says how long it is.
fn to_storage(addr: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let pointer: *mut libc::sockaddr_storage = storage;
    // SAFETY: the storage is large enough and aligned for both structures.
    unsafe {
        match addr {
            SocketAddr::V4(addr) => {
                pointer.cast::<libc::sockaddr_in>().write(libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                    sin_zero: [0; 8],
                });
                mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(addr) => {
                pointer.cast::<libc::sockaddr_in6>().write(libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                    sin6_scope_id: addr.scope_id(),
                });
                mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }
}

/// A datagram to send, or several of equal size to one destination that the kernel divides (GSO). Its parts are
/// gathered by the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<P> {
    /// Where it goes.
    pub to: SocketAddr,
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
        // SAFETY: the first `count` headers point at this courier's buffers and at parts that the iterator
        // borrowed for 'a, which outlives this call.
        check(unsafe { libc::sendmmsg(socket, self.headers.as_mut_ptr(), count as libc::c_uint, libc::MSG_DONTWAIT) })
    }

    /// Makes the header of one parcel, but for where its parts are.
    fn load<'a, P: Iterator<Item = &'a [u8]>>(&mut self, slot: usize, parcel: Parcel<P>) {
        let namelen = to_storage(parcel.to, &mut self.names[slot]);
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

/// Sets a socket option that is a number.
pub(crate) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) }).map(drop)
}

/// One instruction of a classic BPF program.
pub(crate) fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Gives a `SO_REUSEPORT` group a program that chooses the socket for a datagram.
pub(crate) fn steer(socket: &impl AsRawFd, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let size = mem::size_of_val(&program) as libc::socklen_t;
    // SAFETY: the kernel copies the program, which lives until the call returns.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size,
        )
    })
    .map(drop)
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// Lets the runtime wait for the set.
pub(crate) fn watch(epoll: Rc<Epoll>) -> io::Result<AsyncFd<Rc<Epoll>>> {
    // SAFETY: an `Epoll` keeps its one descriptor open as long as it lives, and this keeps the `Epoll`.
    unsafe { AsyncFd::register_with_interest(epoll, tokio::io::Interest::READABLE) }.map_err(Into::into)
}

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// What it was added with.
    pub token: u64,
    /// There is something to read.
    pub readable: bool,
    /// There is something on the error queue.
    pub failed: bool,
}

impl Epoll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new, so nobody else owns it.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Adds a descriptor. It leaves the set when it is closed.
    pub(crate) fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: the kernel copies the event.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Takes a descriptor out of the set.
    pub(crate) fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        // SAFETY: no event is read for a removal.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) })
            .map(drop)
    }

    /// What is ready now, without waiting; at most as many as `events` has room for.
    pub(crate) fn ready(&self, events: &mut Events) -> io::Result<usize> {
        let room = events.0.len() as libc::c_int;
        // SAFETY: the kernel writes at most `room` events.
        check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.0.as_mut_ptr(), room, 0) })
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Room for what is ready.
pub(crate) struct Events(Vec<libc::epoll_event>);

impl Events {
    /// Room for so many.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![libc::epoll_event { events: 0, u64: 0 }; count])
    }

    /// One of those that [`Epoll::ready`] counted.
    pub(crate) fn at(&self, index: usize) -> Ready {
        let event = self.0[index];
        let has = |flag: libc::c_int| event.events & flag as u32 != 0;
        Ready { token: event.u64, readable: has(libc::EPOLLIN), failed: has(libc::EPOLLERR) }
    }
}

/// Every address of the host's interfaces.
pub(crate) fn host_addresses() -> io::Result<Vec<IpAddr>> {
    let (mut list, mut found) = (std::ptr::null_mut(), Vec::new());
    // SAFETY: the kernel's list is read until its end, each address by its family, and freed once.
    unsafe {
        check(libc::getifaddrs(&mut list))?;
        let mut at: *const libc::ifaddrs = list;
        while let Some(entry) = at.as_ref() {
            found.extend(interface_address(entry.ifa_addr));
            at = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(found)
}

/// Reads an interface's address. Shorter than a `sockaddr_storage`, so it is copied by family.
///
/// # Safety
/// The pointer is null or leads to an address as long as its family's structure.
unsafe fn interface_address(addr: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: see above.
    unsafe {
        match libc::c_int::from(addr.as_ref()?.sa_family) {
            libc::AF_INET => {
                let addr = addr.cast::<libc::sockaddr_in>().read_unaligned();
                Some(IpAddr::V4(Ipv4Addr::from(addr.sin_addr.s_addr.to_ne_bytes())))
            }
            libc::AF_INET6 => {
                let addr = addr.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(IpAddr::V6(Ipv6Addr::from(addr.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

/// Raises the limit of open descriptors as far as the system lets this process: each allocation has one.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads and writes one rlimit. If it refuses, the limit stays as it was.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Milliseconds of the clock that counts through suspension and means the same to every process.
pub(crate) fn boot_milliseconds() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
