//! What the system says of interfaces, and whose routing the program may ask.

use super::netlink;
use std::fs;

/// A network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// There is hardware behind it, or what a virtual machine has for it. Elsewhere what a native program sends may be lost
    /// where the other end of a pair does not poll.
    pub hardware: bool,
}

impl Interface {
    /// An interface of this process's network.
    #[must_use]
    pub fn new(name: String, index: u32) -> Self {
        Self { name, index, hardware: netlink::is_hardware(index) }
    }
}

/// The loopback device's number, the same on every host.
const LOOPBACK: u32 = 1;

/// What this process needs: to load the program, and to attach it. The numbers are the kernel's.
const RIGHTS: [(&str, u64); 2] = [("CAP_BPF", 1 << 39), ("CAP_NET_ADMIN", 1 << 12)];
/// Of whoever lacks `CAP_PERFMON` the kernel expects attacks by speculation: it slows the program down, or refuses it.
const TRUST: u64 = 1 << 38;
/// `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`.
const ADMIN: u64 = 1 << 21;

/// Says which rights this process lacks, if any.
pub(super) fn rights() -> Result<(), String> {
    let has = capabilities();
    let lacks: Vec<&str> = RIGHTS.iter().filter(|(_, bit)| has & bit == 0).map(|(name, _)| *name).collect();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(format!("needs {} (systemd/hairpin-xdp.conf grants what is needed)", lacks.join(" and ")))
}

/// Whether the kernel takes programs of this process for what they are.
pub(super) fn is_trusted() -> bool {
    capabilities() & TRUST != 0
}

/// The capabilities of this process.
fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let has = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    // Where nothing is said, the kernel will say no itself.
    has.map_or(u64::MAX, |has| if has & ADMIN == 0 { has } else { has | 3 << 38 })
}

/// The oldest kernel that has all that the program calls (`bpf_xdp_get_buff_len`).
const OLDEST: (u32, u32) = (5, 18);

/// Says of a kernel that has refused the program that it is too old, if it is. One that claims to be old may have more.
pub(super) fn too_old() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let is_old = (numbers.next()?, numbers.next()?) < OLDEST;
    is_old.then(|| format!("needs Linux {}.{} or later, and this is {}", OLDEST.0, OLDEST.1, release.trim()))
}

/// Whose routing the program asks: that of what this host itself sends, which the kernel answers where the loopback
/// device may forward, or that of what the interfaces forward, where the host is a router anyway.
///
/// To let the loopback device forward opens nothing: what comes to it comes from this host.
pub(super) fn routing(interfaces: &[Interface]) -> Result<u32, String> {
    let families: Vec<_> = ["ipv4", "ipv6"].into_iter().filter(|family| forwarding(family, "lo").is_some()).collect();
    if families.iter().all(|family| allow_loopback(family)) {
        return Ok(LOOPBACK);
    }
    let forwards = |family: &&str| interfaces.iter().all(|at| forwarding(family, &at.name) == Some(true));
    if families.iter().all(forwards) {
        return Ok(0);
    }
    Err("the kernel does not answer questions of routing: set net.ipv4.conf.lo.forwarding=1 and \
         net.ipv6.conf.lo.forwarding=1 (of the loopback device alone)"
        .to_owned())
}

/// Lets the loopback device forward, if it does not; false if this process may not.
fn allow_loopback(family: &str) -> bool {
    forwarding(family, "lo") == Some(true) || fs::write(setting(family, "lo"), "1").is_ok()
}

/// Whether an interface forwards; none if it has no such setting.
fn forwarding(family: &str, interface: &str) -> Option<bool> {
    fs::read_to_string(setting(family, interface)).ok().map(|text| text.trim() != "0")
}

fn setting(family: &str, interface: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/forwarding")
}
