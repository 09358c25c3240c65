//! An allocation, as operators see it.

use super::status::both_ways;
use crate::dataplane::xdp::Count;
use crate::turn::{Protocol, Session};
use serde_json::{Value, json};

/// An allocation as JSON, with what the kernel carries of it, if that does.
pub(super) fn to_json(session: &Session, in_kernel: Option<[Count; 2]>) -> Value {
    let Session { path, owner, .. } = session;
    let relayed: Vec<String> = session.relayed.iter().flatten().map(ToString::to_string).collect();
    json!({
        "client": path.client.to_string(),
        "server": path.server.to_string(),
        "transport": path.transport.label(),
        "user": *owner.name,
        "realm": *owner.realm,
        "relayed": relayed,
        "protocol": match session.protocol { Protocol::Udp => "udp", Protocol::Tcp => "tcp" },
        "permissions": session.permissions,
        "channels": session.channels,
        "connections": session.connections,
        "age": session.age.as_secs(),
        "expires": session.left.as_secs(),
        "path": if in_kernel.is_some() { "kernel" } else { "user space" },
        "user_space": both_ways(&session.counts),
        "kernel": both_ways(&in_kernel.unwrap_or_default()),
    })
}
