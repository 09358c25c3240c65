//! Networks that a test makes: namespaces, which end when the last socket, process and handle in them does.
#![expect(unsafe_code, reason = "unshare, setns and recvmsg exist in C only")]

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;

/// A network namespace with a loopback interface.
#[derive(Debug)]
pub struct Space(File);

impl Space {
    /// Whether this process may make one.
    pub fn allowed() -> bool {
        Self::make().is_some()
    }

    /// A network that holds nothing but loopback.
    pub fn new() -> Self {
        let space = Self::make().expect("`requires` has found that namespaces can be made");
        space.ip("link set lo up");
        space
    }

    fn make() -> Option<Self> {
        // The thread's own namespace ends with the thread; the handle keeps it.
        std::thread::spawn(|| {
            // SAFETY: takes no pointers; changes this thread alone, which ends at once.
            let made = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            made.then(|| Self(File::open("/proc/thread-self/ns/net").unwrap()))
        })
        .join()
        .unwrap()
    }

    /// Two networks and a cable: `eth0` of the first is connected with `eth0` of the second.
    pub fn pair() -> (Self, Self) {
        let (near, far) = (Self::new(), Self::new());
        let path = format!("/proc/{}/fd/{}", std::process::id(), far.0.as_raw_fd());
        near.ip("link add eth0 type veth peer name far0");
        near.ip(&format!("link set far0 netns {path}"));
        far.ip("link set far0 name eth0");
        for space in [&near, &far] {
            space.ip("link set eth0 mtu 1500 up");
        }
        (near, far)
    }

    /// Runs `ip` with these words.
    pub fn ip(&self, words: &str) {
        self.tool("ip", words);
    }

    /// Runs a program with these words.
    pub fn tool(&self, program: &str, words: &str) {
        let output = self.run(|| Command::new(program).args(words.split(' ')).output().unwrap());
        assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Gives `eth0` an address that can be used at once.
    pub fn address(&self, address: &str) {
        let at_once = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("addr add {address} dev eth0{at_once}"));
    }

    /// Does something in this network. Sockets made there stay there; so do processes.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: takes no pointers; changes this thread alone, which ends with the work.
                assert_eq!(unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Receives a datagram with its TOS or traffic class byte. The socket must have asked to be told.
pub fn receive_tos(socket: &UdpSocket) -> (Vec<u8>, u8) {
    let (mut buffer, mut control) = ([0; 2000], [0_u64; 32]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero bytes are a valid msghdr; it points at buffers of this function, which the kernel fills.
    // The control messages are walked as it left them.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        let len = libc::recvmsg(socket.as_raw_fd(), &mut header, 0);
        let len = usize::try_from(len).expect("a datagram comes");
        let mut at = libc::CMSG_FIRSTHDR(&header);
        while !at.is_null() {
            match ((*at).cmsg_level, (*at).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    return (buffer[..len].to_vec(), *libc::CMSG_DATA(at));
                }
                _ => at = libc::CMSG_NXTHDR(&header, at),
            }
        }
    }
    panic!("the kernel tells the TOS byte");
}

/// Sends and receives TOS or traffic class bytes from now on.
pub fn tell_tos(socket: &UdpSocket) {
    let (level, name) = match socket.local_addr().unwrap().is_ipv4() {
        true => (libc::IPPROTO_IP, libc::IP_RECVTOS),
        false => (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    };
    set(socket, level, name, 1);
}

/// Marks what a socket sends.
pub fn set_tos(socket: &UdpSocket, tos: u8) {
    let (level, name) = match socket.local_addr().unwrap().is_ipv4() {
        true => (libc::IPPROTO_IP, libc::IP_TOS),
        false => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    };
    set(socket, level, name, libc::c_int::from(tos));
}

/// Lets the kernel divide what a socket sends into datagrams of so many bytes.
pub fn divide(socket: &UdpSocket, size: u16) {
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, libc::c_int::from(size));
}

fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
