//! UDP sockets: listeners and relays, how they are opened and which of them a datagram reaches.

use super::sys::{instruction, set_option, steer};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Options that are alike for every UDP socket of the server, and how they are watched.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// Bytes of each socket buffer; zero leaves the system's default.
    pub buffer: u32,
    /// The network device to bind to.
    pub device: Option<String>,
    /// Lets the kernel hand over runs of equal datagrams as one (GRO).
    pub join: bool,
    /// How long a worker looks for packets again and again before it sleeps.
    pub busy_poll: Duration,
}

/// The two sockets of one worker on one listening address. TURN requests go to one and all else to the other, so that
/// a flood of media cannot push out the Refresh that keeps a call alive.
#[derive(Debug)]
pub struct ListenerPair {
    /// Receives the requests that allocations live by.
    pub control: UdpSocket,
    /// Receives ChannelData, Send indications, Binding requests and whatever else comes.
    pub media: UdpSocket,
}

/// Opens a listening address for `workers` workers: a `SO_REUSEPORT` group in which a client always meets
/// the same worker.
pub(super) fn listen(addr: SocketAddr, workers: usize, options: &SocketOptions) -> io::Result<Vec<ListenerPair>> {
    // A group can be joined by anybody of the same user, so a server that is running already would share its
    // clients with this one, and both would fail half of them. A socket outside the group finds that out.
    drop(bind(addr, options, false)?);
    let open = || member(addr, options);
    let pairs: Vec<_> =
        (0..workers).map(|_| Ok(ListenerPair { control: open()?, media: open()? })).collect::<io::Result<_>>()?;
    if let Some(first) = pairs.first() {
        // Without the program the kernel's own hash keeps a client at one socket of the group as well; only
        // the separation of requests from data is lost.
        if let Err(error) = steer(&first.control, &mut steering(addr, workers)) {
            tracing::warn!(%addr, %error, "listener: requests and data share one queue");
        }
    }
    Ok(pairs)
}

/// Opens a relay socket.
pub(crate) fn relay(addr: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = bind(addr, options, false)?;
    prepare_relay(&socket, addr)?;
    Ok(socket)
}

/// Asks for ICMP errors, and for datagrams that may be fragmented (see [`set_dont_fragment`]).
fn prepare_relay(socket: &UdpSocket, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv4() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
        set_dont_fragment(socket, addr.ip(), false)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
        allow_fragments(socket, addr)
    }
}

/// Opens a second socket on the port of a relay socket. Both must allow that for the moment of binding, and for no
/// longer: another program of the same user could join them.
pub(crate) fn twin(relay: &UdpSocket, options: &SocketOptions) -> io::Result<UdpSocket> {
    let addr = relay.local_addr()?;
    let socket = prepare(addr, options)?;
    let shared = SockRef::from(relay);
    shared.set_reuse_port(true)?;
    socket.set_reuse_port(true)?;
    let bound = socket.bind(&SockAddr::from(addr));
    socket.set_reuse_port(false)?;
    shared.set_reuse_port(false)?;
    bound?;
    let socket = socket.into();
    prepare_relay(&socket, addr)?;
    if options.join {
        join(&socket);
    }
    Ok(socket)
}

/// Opens, prepares and binds a socket.
fn bind(addr: SocketAddr, options: &SocketOptions, group: bool) -> io::Result<UdpSocket> {
    let socket = prepare(addr, options)?;
    if group {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket.into())
}

/// Opens a socket of a listener's group.
fn member(addr: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = bind(addr, options, true)?;
    allow_fragments(&socket, addr)?;
    if options.join {
        join(&socket);
    }
    Ok(socket)
}

/// Opens and prepares a socket.
fn prepare(addr: SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // IPv4 clients come by the IPv4 listener, so that no mapped address is ever seen.
        socket.set_only_v6(true)?;
    }
    set_buffers(&socket, options.buffer);
    if let Some(device) = &options.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    set_headers(&socket, addr)?;
    Ok(socket)
}

/// Asks for what is needed of IP headers.
fn set_headers(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let wildcard = addr.ip().is_unspecified();
    if addr.is_ipv4() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        if wildcard {
            set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        if wildcard {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
    }
    Ok(())
}

/// Sends datagrams that may be fragmented: "the DF bit … MUST be set to 0" where a client did not ask otherwise
/// (RFC 8656 §14), and Linux sets it by default.
fn allow_fragments(socket: &impl AsRawFd, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv4() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
    }
}

/// Lets the kernel hand over runs of equal datagrams as one. An old kernel does not; then they come one by one.
pub(crate) fn join(socket: &UdpSocket) {
    _ = set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1);
}

/// Sets DF on what a relay socket sends, or clears it again. Cleared by OMIT and not by DONT: a socket with DONT
/// is not told of "fragmentation needed", which comes when DF has long been cleared again.
pub(crate) fn set_dont_fragment(socket: &UdpSocket, family: IpAddr, on: bool) -> io::Result<()> {
    match (family, on) {
        (IpAddr::V4(_), true) => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        (IpAddr::V4(_), false) => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        (IpAddr::V6(_), _) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, libc::c_int::from(on)),
    }
}

/// Asks for socket buffers of this size. A privileged process may exceed the system's limit; another gets
/// what the limit allows.
fn set_buffers(socket: &Socket, bytes: u32) {
    let Ok(size) = libc::c_int::try_from(bytes) else { return };
    if size == 0 {
        return;
    }
    for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        if set_option(socket, libc::SOL_SOCKET, force, size).is_err() {
            // A smaller buffer still works, so a refusal is no reason not to start.
            _ = set_option(socket, libc::SOL_SOCKET, plain, size);
        }
    }
}

/// The program that chooses a socket of the group: worker by source address and port, then control or media
/// by the first two bytes of the payload. The sockets stand in the order of [`listen`]: two for each worker.
fn steering(addr: SocketAddr, workers: usize) -> [libc::sock_filter; 22] {
    use libc::{
        BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_H, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_LSH,
    };
    use libc::{
        BPF_MEM, BPF_MISC, BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH, BPF_ST, BPF_TAX, BPF_TXA, BPF_W, BPF_X, BPF_XOR,
    };
    /// Offsets from here on are counted from the IP header.
    const NETWORK: u32 = libc::SKF_NET_OFF as u32;
    /// An odd constant that spreads what it multiplies over the upper bits.
    const SPREAD: u32 = 0x9E37_79B1;
    // The last four bytes of the source address, and the source port of a packet without options. With
    // options the port is read beside, which is as good: all packets of a flow have them or none.
    let (address, port) = if addr.is_ipv4() { (12, 20) } else { (20, 40) };
    let op = |code: u32, k: u32| instruction(code, 0, 0, k);
    let test = |code: u32, k: u32, jt: u8, jf: u8| instruction(BPF_JMP | code | BPF_K, jt, jf, k);
    [
        op(BPF_LD | BPF_W | BPF_ABS, NETWORK.wrapping_add(address)),
        op(BPF_MISC | BPF_TAX, 0),
        op(BPF_LD | BPF_H | BPF_ABS, NETWORK.wrapping_add(port)),
        op(BPF_ALU | BPF_XOR | BPF_X, 0),
        op(BPF_ALU | BPF_MUL | BPF_K, SPREAD),
        op(BPF_ALU | BPF_RSH | BPF_K, 16),
        op(BPF_ALU | BPF_MOD | BPF_K, workers as u32),
        op(BPF_ALU | BPF_LSH | BPF_K, 1),
        op(BPF_ST, 0),
        op(BPF_LDX | BPF_W | BPF_MEM, 0),
        op(BPF_LD | BPF_W | BPF_LEN, 0),
        test(BPF_JGE, 2, 0, 7),
        op(BPF_LD | BPF_H | BPF_ABS, 0),
        // Allocate, Refresh, CreatePermission, ChannelBind: what calls live by. Anything else is media, for
        // it may come in floods.
        test(BPF_JEQ, 0x0003, 3, 0),
        test(BPF_JEQ, 0x0004, 2, 0),
        test(BPF_JEQ, 0x0008, 1, 0),
        test(BPF_JEQ, 0x0009, 0, 2),
        op(BPF_MISC | BPF_TXA, 0),
        op(BPF_RET | BPF_A, 0),
        op(BPF_MISC | BPF_TXA, 0),
        op(BPF_ALU | BPF_ADD | BPF_K, 1),
        op(BPF_RET | BPF_A, 0),
    ]
}
