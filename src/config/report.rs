//! What would run, in words: the answer of `hairpin check`.

use std::fmt::Display;
use std::time::Duration;

use super::reach::Opened;
use super::{Config, ControlSocket, External, KernelPath, Listener, Realm};
use crate::auth::peers::Denied;

/// Writes what would run with a configuration, a line for each concern. Secrets are counted, not shown.
#[must_use]
pub fn report(config: &Config) -> String {
    let mut lines = Vec::new();
    for listener in &config.listen {
        lines.push(("listen", listener_line(listener)));
    }
    lines.push(("relay", relay_line(config)));
    lines.extend(config.relay.external.iter().map(|e| ("external", external_line(e))));
    lines.push(("kernel", kernel_line(config)));
    lines.push(("users", auth_line(config)));
    if config.oauth.enabled {
        let name = config.oauth.name(&config.auth.realm);
        lines.push(("oauth", format!("{} keys, tokens sealed for {name}", config.oauth.keys.len())));
    }
    lines.push(("peers", peers_line(config)));
    lines.push(("limits", limits_line(config)));
    lines.push(("lifetimes", lifetimes_line(config)));
    lines.extend(config.realms.iter().flat_map(|realm| realm_lines(realm, config)));
    lines.extend(config.tls.certificates.iter().map(|c| ("certificate", c.chain.display().to_string())));
    lines.push(("admin", admin_line(config)));
    lines.push(("log", log_line(config)));
    lines.iter().map(|(name, text)| format!("{name:<12} {text}\n")).collect()
}

/// Writes an address with its transports, and whether clients come there by a proxy.
fn listener_line(listener: &Listener) -> String {
    let named = [(listener.udp, "udp"), (listener.tcp, "tcp"), (listener.tls, "tls"), (listener.dtls, "dtls")];
    let on: Vec<&str> = named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    let behind = if listener.proxied { ", behind a proxy" } else { "" };
    format!("{} {}{behind}", listener.addr, on.join(" "))
}

/// Writes what operators are served.
fn admin_line(config: &Config) -> String {
    let socket = match &config.admin.socket {
        ControlSocket::Off => "no control socket".to_owned(),
        ControlSocket::Auto => format!("control socket {}, if there is that folder", ControlSocket::usual().display()),
        ControlSocket::At(path) => format!("control socket {}", path.display()),
    };
    let metrics = config.admin.metrics.map(|addr| format!(", metrics at http://{addr}/metrics"));
    socket + &metrics.unwrap_or_default()
}

/// Writes relay addresses and ports.
fn relay_line(config: &Config) -> String {
    let relay = &config.relay;
    if !config.protocol.turn {
        return "none: STUN alone is served".to_owned();
    }
    let addresses = if relay.addresses.is_empty() {
        "the address that the client came to".to_owned()
    } else {
        join(&relay.addresses)
    };
    let device = relay.device.as_ref().map(|d| format!(" on {d}")).unwrap_or_default();
    format!("{addresses}{device}, ports {} to {}", relay.ports.start(), relay.ports.end())
}

/// Writes whether established channels are relayed in the kernel. What can be had is known when the server runs.
fn kernel_line(config: &Config) -> String {
    let path = match config.kernel_path {
        KernelPath::Off => return "off: every packet is relayed in user space".to_owned(),
        KernelPath::Auto => "auto: the best mode that works",
        KernelPath::Native => "native, or user space",
        KernelPath::Generic => "generic, or user space",
        KernelPath::Tc => "tc, or user space",
    };
    match config.kernel_interfaces.is_empty() {
        true => format!("{path}, on the interfaces of listeners and relays"),
        false => format!("{path}, on {}", config.kernel_interfaces.join(" ")),
    }
}

/// Writes what a public address stands for.
fn external_line(external: &External) -> String {
    match external.local {
        Some(local) => format!("{} stands for {local}", external.public),
        None => format!("{} stands for every local address of its family", external.public),
    }
}

/// Writes who may allocate.
fn auth_line(config: &Config) -> String {
    let auth = &config.auth;
    if auth.anonymous {
        return "anybody, without credentials".to_owned();
    }
    if config.wants_fresh_user() {
        return format!("a fresh random one at each start, realm {}", auth.realm);
    }
    format!("{} by name, {} shared secrets, realm {}", auth.users.len(), auth.secrets.len(), auth.realm)
}

/// Writes the policy for peers.
fn peers_line(config: &Config) -> String {
    let peers = &config.peers;
    let kinds: [(&str, bool, &[Denied]); 5] = [
        ("private", peers.allow_private, &[Denied::Private, Denied::Shared]),
        ("loopback", peers.allow_loopback, &[Denied::Loopback]),
        ("link-local", false, &[Denied::LinkLocal]),
        ("metadata", false, &[Denied::Metadata]),
        ("multicast", peers.allow_multicast, &[Denied::Multicast]),
    ];
    let word = |on, classes| match peers.opens(classes) {
        _ if on => "allowed",
        Opened::All => "allowed",
        Opened::Part => "allowed in part",
        Opened::None => "denied",
    };
    let words: Vec<String> = kinds.iter().map(|(kind, on, classes)| format!("{kind} {}", word(*on, classes))).collect();
    format!("{}, {} ranges allowed and {} denied by name", words.join(", "), peers.allow.len(), peers.deny.len())
}

/// Writes how much may be taken.
fn limits_line(config: &Config) -> String {
    let limits = &config.limits;
    format!(
        "allocations: {} in all, {} of a user, {} from a source; bytes/s: {} of an allocation, {} in all",
        bound(limits.allocations),
        bound(limits.user_allocations),
        bound(limits.source_allocations),
        bound(limits.bandwidth),
        bound(limits.total_bandwidth)
    )
}

/// Writes how clients come to a realm, and where it differs.
fn realm_lines(realm: &Realm, config: &Config) -> Vec<(&'static str, String)> {
    let listeners: Vec<String> = realm.listeners.iter().map(ToString::to_string).collect();
    let doors = [("origin", &realm.origins), ("server name", &realm.server_names), ("listener", &listeners)];
    let doors = doors.into_iter().filter(|(_, all)| !all.is_empty());
    let doors: Vec<String> = doors.map(|(kind, all)| format!("by {kind} {}", all.join(", "))).collect();
    let own = realm.applied_to(config);
    let mut lines = vec![("realm", format!("{}: {}", realm.auth.realm, doors.join("; ")))];
    lines.push(("  users", auth_line(&own)));
    if realm.peers != config.peers {
        lines.push(("  peers", peers_line(&own)));
    }
    if realm.limits != config.limits {
        lines.push(("  limits", limits_line(&own)));
    }
    lines
}

/// Writes how long things last.
fn lifetimes_line(config: &Config) -> String {
    let limits = &config.limits;
    let seconds = |time: Duration| bound(time.as_secs());
    format!(
        "allocation {} s, permission {} s, channel {} s, nonce {} s",
        seconds(limits.lifetime),
        seconds(limits.permission_lifetime),
        seconds(limits.channel_lifetime),
        seconds(config.auth.nonce_lifetime)
    )
}

/// Writes what is logged and where.
fn log_line(config: &Config) -> String {
    let file = config.log.file.as_ref().map_or("standard error".to_owned(), |f| f.display().to_string());
    format!("{} to {file}{}", config.log.level, if config.log.json { ", as JSON" } else { "" })
}

/// Writes a limit, of which 0 means none.
fn bound(limit: impl Into<u64>) -> String {
    match limit.into() {
        0 => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}

/// Joins values with commas.
fn join(values: &[impl Display]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
