//! Socket addresses as the kernel writes them.
#![expect(unsafe_code, reason = "sockaddr_storage is a union in all but name")]

use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Reads a socket address of either family.
pub(super) fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
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
pub(super) fn to_storage(addr: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
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
