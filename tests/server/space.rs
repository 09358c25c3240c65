//! Networks that a test makes: namespaces, which end when the last socket, process and handle in them does.
#![expect(unsafe_code, reason = "unshare, setns, bpf and recvmsg exist in C only")]

use std::ffi::CString;
use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
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
        near.cable("eth0", &far, "eth0");
        (near, far)
    }

    /// A cable from an interface of this name to one of the other network.
    pub fn cable(&self, name: &str, other: &Self, far: &str) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!("link add {name} type veth peer name far0"));
        self.ip(&format!("link set far0 netns {path}"));
        if far != "far0" {
            other.ip(&format!("link set far0 name {far}"));
        }
        for (space, name) in [(self, name), (other, far)] {
            space.ip(&format!("link set {name} mtu 1500 up"));
        }
    }

    /// Runs `ip` with these words.
    pub fn ip(&self, words: &str) {
        self.tool("ip", words);
    }

    /// Runs a program with these words; what it says.
    pub fn tool(&self, program: &str, words: &str) -> String {
        let output = self.run(|| Command::new(program).args(words.split(' ')).output().unwrap());
        assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Gives `eth0` an address that can be used at once.
    pub fn address(&self, address: &str) {
        self.address_on("eth0", address);
    }

    /// Gives an interface an address that can be used at once.
    pub fn address_on(&self, name: &str, address: &str) {
        let at_once = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {name}{at_once}"));
    }

    /// Attaches a program to an interface that lets everything pass, for as long as this is kept. A virtual one then
    /// takes what a program at the other end of its cable sends, as any real one does.
    pub fn pass_all(&self, name: &str) -> OwnedFd {
        self.run(|| {
            // r0 = XDP_PASS; exit
            let (code, licence) = ([0x2_0000_00b7_u64, 0x95], c"GPL");
            let (code, licence) = (code.as_ptr() as u64, licence.as_ptr() as u64);
            let program = bpf(5, &[6 | 2 << 32, code, licence]); // BPF_PROG_LOAD, BPF_PROG_TYPE_XDP
            let program = program.as_raw_fd() as u64;
            bpf(28, &[program | u64::from(index(name)) << 32, 37 | 4 << 32]) // BPF_LINK_CREATE, BPF_XDP, XDP_FLAGS_DRV_MODE
        })
    }

    /// The first program where the kernel's stack begins on an interface (tcx), by its number.
    pub fn program_of_stack(&self, name: &str) -> Option<u32> {
        self.run(|| {
            let mut programs = [0_u32; 8];
            let (place, room) = (programs.as_mut_ptr() as u64, programs.len() as u64);
            // BPF_PROG_QUERY, BPF_TCX_INGRESS
            let (_, words) = call_bpf(16, &[u64::from(index(name)) | 46 << 32, 0, place, room]).unwrap();
            (words[3] as u32 > 0).then_some(programs[0])
        })
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

/// The number of an interface of the thread's network.
fn index(name: &str) -> u32 {
    let name = CString::new(name).unwrap();
    // SAFETY: the name ends with a zero and outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Whether the kernel still has the program of this number, attached or not.
pub fn is_loaded(program: u32) -> bool {
    try_bpf(13, &[program.into()]).is_ok() // BPF_PROG_GET_FD_BY_ID
}

/// Asks the kernel for a descriptor of a program or a link. Whatever the words point at must be there.
fn bpf(command: libc::c_int, words: &[u64]) -> OwnedFd {
    try_bpf(command, words).unwrap_or_else(|error| panic!("bpf {command}: {error}"))
}

fn try_bpf(command: libc::c_int, words: &[u64]) -> std::io::Result<OwnedFd> {
    let (fd, _) = call_bpf(command, words)?;
    // SAFETY: the commands that this is for return a descriptor, which is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks the kernel; what it returns, and the words as it left them. Whatever they point at must be there.
fn call_bpf(command: libc::c_int, words: &[u64]) -> std::io::Result<(libc::c_int, [u64; 16])> {
    let mut attributes = [0_u64; 16];
    attributes[..words.len()].copy_from_slice(words);
    // SAFETY: the kernel reads and writes the attributes, which outlive the call, and what they point at.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok((result as libc::c_int, attributes)) }
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

/// Lets a socket hold so many bytes that nobody has received yet, whatever the system would rather have.
pub fn widen(socket: &UdpSocket, bytes: u32) {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as libc::c_int);
}

fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
    let size = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `value`.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
