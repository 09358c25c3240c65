//! The kernel path: whether there is one, on which interfaces, and what is said of it.

use super::hosts::Hosts;
use crate::config::{Config, KernelPath};
use crate::dataplane::xdp::{Interface, Kernel, Mode, Wish};
use crate::io;
use std::net::IpAddr;

/// Opens the kernel path, if it is wanted and can be had, and says which way packets take and why.
///
/// # Errors
/// Why there is none; packets are relayed in user space then.
pub(super) fn open(config: &Config, hosts: &Hosts, is_fresh: bool) -> Result<Kernel, String> {
    if config.kernel_path == KernelPath::Off {
        return Err("as configured".to_owned());
    }
    let opened = attempt(config, hosts, is_fresh);
    match &opened {
        Ok(kernel) => {
            let names = names(kernel.interfaces());
            tracing::info!(mode = %kernel.mode(), interfaces = names, why = kernel.why(), "kernel path: on");
        }
        Err(why) if config.kernel_path == KernelPath::Auto && config.kernel_interfaces.is_empty() => {
            tracing::info!(why, "kernel path: off; packets are relayed in user space");
        }
        Err(why) => tracing::warn!(why, "kernel path: cannot be had; packets are relayed in user space"),
    }
    opened
}

fn attempt(config: &Config, hosts: &Hosts, is_fresh: bool) -> Result<Kernel, String> {
    let mode = match config.kernel_path {
        KernelPath::Native => Some(Mode::Native),
        KernelPath::Generic => Some(Mode::Generic),
        KernelPath::Tc => Some(Mode::Tc),
        KernelPath::Auto | KernelPath::Off => None,
    };
    if is_fresh && mode.is_none() && config.kernel_interfaces.is_empty() {
        return Err("no users or secrets are configured, so no interface is touched unless kernel-interfaces names it"
            .to_owned());
    }
    if let Some(device) = &config.relay.device {
        return Err(format!("relay.device binds relays to {device}, which only sockets can be"));
    }
    let interfaces = interfaces(config, hosts)?;
    let (ports, bandwidth) = (config.relay.ports.clone(), config.limits.bandwidth);
    Kernel::open(&Wish { mode, interfaces, ports, bandwidth, own: hosts.all.clone() })
}

/// The interfaces that are named, or those that carry an address of this server.
fn interfaces(config: &Config, hosts: &Hosts) -> Result<Vec<Interface>, String> {
    let mut names = config.kernel_interfaces.clone();
    if names.is_empty() {
        names =
            hosts.named.iter().filter(|(name, ip)| carries(config, hosts, name, *ip)).map(|at| at.0.clone()).collect();
    }
    // An address may have a label of its own: eth0:1 is eth0.
    names.iter_mut().for_each(|name| name.truncate(name.find(':').unwrap_or(name.len())));
    names.sort_unstable();
    names.dedup();
    let find = |name: String| match io::interface_index(&name) {
        Some(index) => Ok(Interface::new(name, index)),
        None => Err(format!("kernel-interfaces: this host has no interface {name} (`ip link` lists them)")),
    };
    names.into_iter().map(find).collect()
}

/// Whether this address of an interface is one that clients or peers come to. A listener on every address means the
/// network cards: bridges and tunnels have their own business.
fn carries(config: &Config, hosts: &Hosts, name: &str, ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return false;
    }
    let everywhere = || {
        let wildcard =
            |at: &crate::config::Listener| at.addr.ip().is_unspecified() && at.addr.is_ipv4() == ip.is_ipv4();
        config.listen.iter().any(wildcard)
            && io::interface_index(name).is_some_and(|index| Interface::new(name.to_owned(), index).hardware)
    };
    hosts.relays.contains(&ip) || config.listen.iter().any(|at| at.addr.ip() == ip) || everywhere()
}

/// The names of interfaces.
pub(super) fn names(interfaces: &[Interface]) -> String {
    interfaces.iter().map(|at| at.name.as_str()).collect::<Vec<_>>().join(" ")
}
