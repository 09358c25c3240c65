//! Where clients are sent: what the configuration says.

use super::hosts::{Hosts, listeners_at};
use crate::config::{Alternate, Config};
use crate::turn::Transport;
use crate::turn::redirect::{Redirect, Target};
use std::net::SocketAddr;

/// What the core needs to know. A fleet may share one list: the server that a line means serves the clients in that line's
/// turn, or two of them would send each other's back and forth. Where only some addresses send clients away, the server's
/// others are good targets.
pub(super) fn of(config: &Config, hosts: &Hosts) -> Redirect {
    let redirect = &config.redirect;
    let own = if redirect.at.is_empty() { own(config, hosts) } else { Vec::new() };
    Redirect {
        targets: redirect.servers.iter().map(|server| target(server, own.contains(&server.addr))).collect(),
        at: redirect.at.clone(),
        before_auth: redirect.before_auth,
    }
}

/// Every address at which this server is reached.
fn own(config: &Config, hosts: &Hosts) -> Vec<SocketAddr> {
    config.listen.iter().flat_map(|at| listeners_at(config, at.addr, hosts.all.iter().copied())).collect()
}

/// A server as the core knows it.
fn target(server: &Alternate, here: bool) -> Target {
    let transports = [
        (server.udp, Transport::Udp),
        (server.tcp, Transport::Tcp),
        (server.tls, Transport::Tls),
        (server.dtls, Transport::Dtls),
    ];
    Target {
        addr: server.addr,
        transports: transports.into_iter().filter(|(served, _)| *served).map(|(_, transport)| transport).collect(),
        domain: server.name.clone(),
        weight: server.weight,
        here,
    }
}
