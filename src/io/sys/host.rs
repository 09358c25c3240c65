//! What the system tells of the host and of this process.
#![expect(unsafe_code, reason = "getifaddrs, rlimits and CLOCK_BOOTTIME exist in C only")]

use super::check;
use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Every address of the host's interfaces, with the interface's name.
pub(crate) fn host_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let (mut list, mut found) = (std::ptr::null_mut(), Vec::new());
    // SAFETY: the kernel's list is read until its end, each address by its family, and freed once.
    unsafe {
        check(libc::getifaddrs(&mut list))?;
        let mut at: *const libc::ifaddrs = list;
        while let Some(entry) = at.as_ref() {
            let name = || CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned();
            found.extend(interface_address(entry.ifa_addr).map(|ip| (name(), ip)));
            at = entry.ifa_next;
        }
        libc::freeifaddrs(list);
    }
    Ok(found)
}

/// The number of an interface; none if there is no such interface.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero and outlives the call.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|index| *index != 0)
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

/// How many descriptors this process may have open; none if that cannot be told.
pub(crate) fn descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit.
    (unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0).then_some(limit.rlim_cur)
}

/// Raises the limit of open descriptors as far as the system lets this process: each allocation has one or two.
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
