//! How a server stands, in one value.

use crate::dataplane::xdp::{Count, Left, Mode, Status as Carried};
use crate::io::ByTransport;
use crate::turn::{Counters, Reason, Transport};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// How a server stands.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Its version.
    pub version: &'static str,
    /// The number of its process.
    pub process: u32,
    /// How long it has run.
    pub uptime: Duration,
    /// How many workers it has.
    pub workers: usize,
    /// Where clients are served.
    pub listeners: Vec<Listener>,
    /// Allocations by the transport of their clients.
    pub allocations: ByTransport,
    /// Connections of TCP and TLS clients, and sessions of DTLS.
    pub connections: u32,
    /// What the workers have counted.
    pub counters: Counters,
    /// The kernel path.
    pub kernel: KernelPath,
}

/// Where clients are served.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Address and port.
    pub addr: SocketAddr,
    /// The transports.
    pub transports: Vec<Transport>,
    /// Clients come by a proxy.
    pub proxied: bool,
}

/// The kernel path: whether there is one, why so, and what it has done.
#[derive(Clone, Debug, Default)]
pub struct KernelPath {
    /// Where it takes packets; none if it is off.
    pub mode: Option<Mode>,
    /// Why there, or why not.
    pub why: String,
    /// The interfaces that have it.
    pub interfaces: Vec<String>,
    /// What it has done and holds.
    pub carried: Carried,
}

impl KernelPath {
    /// Its mode in a word.
    #[must_use]
    pub fn word(&self) -> String {
        self.mode.map_or_else(|| "off".to_owned(), |mode| mode.to_string())
    }
}

impl Status {
    /// What was relayed in user space: to peers, to clients.
    #[must_use]
    pub fn user_space(&self) -> [Count; 2] {
        let all = &self.counters;
        [
            Count { packets: all.to_peer_packets, bytes: all.to_peer_bytes },
            Count { packets: all.to_client_packets, bytes: all.to_client_bytes },
        ]
    }

    /// What the kernel has relayed: to peers, to clients.
    #[must_use]
    pub fn in_kernel(&self) -> [Count; 2] {
        [self.kernel.carried.to_peer, self.kernel.carried.to_client]
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let all = &self.counters;
        json!({
            "version": self.version,
            "process": self.process,
            "uptime": self.uptime.as_secs(),
            "workers": self.workers,
            "listeners": self.listeners.iter().map(listener).collect::<Vec<_>>(),
            "allocations": allocations(&self.allocations),
            "connections": self.connections,
            "requests": { "successes": all.successes, "errors": all.errors, "bindings": all.bindings },
            "user_space": both_ways(&self.user_space()),
            "kernel": kernel(&self.kernel),
            "drops": {
                "user_space": counts(Reason::ALL.iter().map(|reason| reason.label()).zip(all.drops)),
                "kernel": counts([(Reason::Bandwidth.label(), self.kernel.carried.bandwidth)]),
            },
        })
    }
}

/// Packets and bytes to the peers and to the client.
pub(super) fn both_ways([to_peer, to_client]: &[Count; 2]) -> Value {
    let count = |count: &Count| json!({ "packets": count.packets, "bytes": count.bytes });
    json!({ "to_peer": count(to_peer), "to_client": count(to_client) })
}

fn listener(listener: &Listener) -> Value {
    let transports: Vec<&str> = listener.transports.iter().map(|one| one.label()).collect();
    json!({ "address": listener.addr.to_string(), "transports": transports, "proxied": listener.proxied })
}

/// All, and those of each transport.
fn allocations(all: &ByTransport) -> Value {
    let each = Transport::ALL.iter().zip(all).map(|(transport, count)| (transport.label().to_owned(), json!(count)));
    let sum: usize = all.iter().sum();
    Value::Object([("all".to_owned(), json!(sum))].into_iter().chain(each).collect())
}

fn kernel(path: &KernelPath) -> Value {
    let KernelPath { why, interfaces, carried, .. } = path;
    let left = Left::ALL.iter().map(|why| why.label()).zip(carried.left);
    json!({
        "mode": path.word(),
        "why": why,
        "interfaces": interfaces,
        "channels": carried.channels,
        "permissions": carried.permissions,
        "sessions": carried.sessions,
        "refused": carried.refused,
        "carried": both_ways(&[carried.to_peer, carried.to_client]),
        "left": counts(left),
    })
}

/// Those that there were.
fn counts(counts: impl IntoIterator<Item = (&'static str, u64)>) -> Map<String, Value> {
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    some.map(|(name, count)| (name.to_owned(), json!(count))).collect()
}
