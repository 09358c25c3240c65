//! What the configuration means for the core: choices, limits and rules.

use super::hosts::{Hosts, LOOPBACK, listeners_at, own_relays, own_streams, privacy};
use super::realms::algorithms;
use super::{redirect, workers};
use crate::auth::peers::Rules;
use crate::config::{self, Config};
use crate::io;
use crate::turn::limits::{Ledger, Quotas, Share};
use crate::turn::realm::Realm;
use crate::turn::{Addresses, DefaultFamily, Options};

/// The choices and limits of the core.
pub(super) fn options(config: &Config, hosts: &Hosts) -> Options {
    let (limits, protocol) = (&config.limits, &config.protocol);
    Options {
        addresses: Addresses {
            local: hosts.relays.clone(),
            follow_client: config.relay.addresses.is_empty(),
            external: config.relay.external_pairs(),
            own: own_relays(config, hosts),
        },
        ports: config.relay.ports.clone(),
        default_family: match config.relay.default_family {
            config::DefaultFamily::Ipv4 => DefaultFamily::Ipv4,
            config::DefaultFamily::Ipv6 => DefaultFamily::Ipv6,
            config::DefaultFamily::Client => DefaultFamily::Client,
        },
        quotas: quotas(limits),
        permissions: limits.permissions as usize,
        channels: limits.channels as usize,
        connections: limits.peer_connections as usize,
        udp_relays: config.relay.udp,
        tcp_relays: config.relay.tcp,
        own_streams: own_streams(config, hosts),
        lifetime: limits.lifetime,
        permission_lifetime: limits.permission_lifetime,
        channel_lifetime: limits.channel_lifetime,
        bandwidth: limits.bandwidth,
        // Each worker counts for itself, and a source can reach them all.
        unauthenticated: limits.unauthenticated.div_ceil(workers(config) as u32),
        algorithms: algorithms(config),
        anonymous: config.auth.anonymous,
        binding_auth: config.auth.binding,
        software: protocol.software.clone(),
        fingerprint: protocol.fingerprint,
        classic: protocol.classic,
        legacy_channels: protocol.legacy_channels,
        discovery: config.discovery,
        stun: protocol.stun,
        turn: protocol.turn,
        mapped_address: protocol.mapped_address,
        reasons: protocol.reasons,
        mobility: protocol.mobility,
        routes: false,
        check_origin: protocol.check_origin,
        redirect: redirect::of(config, hosts),
    }
}

/// How many connections and handshakes there may be.
pub(super) fn connection_limits(limits: &config::Limits) -> io::Limits {
    io::Limits {
        connections: limits.connections,
        source_connections: limits.source_connections,
        source_handshakes: limits.source_handshakes,
    }
}

/// Quotas; a total bandwidth admits as many allocations as may each use their own.
fn quotas(limits: &config::Limits) -> Quotas {
    let by_bandwidth = limits.total_bandwidth.checked_div(limits.bandwidth).filter(|_| limits.total_bandwidth != 0);
    let by_bandwidth = by_bandwidth.map(|count| u32::try_from(count).unwrap_or(u32::MAX).max(1));
    let total = match (limits.allocations, by_bandwidth) {
        (count, None) => count,
        (0, Some(count)) => count,
        (a, Some(b)) => a.min(b),
    };
    Quotas { user: limits.user_allocations, source: limits.source_allocations, total }
}

/// Who may have how many allocations: in all, and in each realm.
pub(super) fn ledger(config: &Config, realms: &[Realm]) -> Ledger {
    let shares = config.realms.iter().zip(realms).map(|(told, realm)| {
        let limits = &told.limits;
        (realm.credentials.realm().into(), Share { user: limits.user_allocations, total: limits.allocations })
    });
    Ledger::new(quotas(&config.limits)).with_shares(shares)
}

/// Which peers may be reached: never the server's own listeners, always its own relays.
pub(super) fn rules(config: &Config, hosts: &Hosts) -> Rules {
    let public = config.relay.external.iter().map(|e| e.public);
    let mut relays = own_relays(config, hosts);
    relays.extend(public.clone());
    let (peers, own) = (&config.peers, hosts.all.iter().copied().chain(public));
    // A port that serves TCP alone may be any client's and any peer's on UDP.
    let udp = config.listen.iter().filter(|at| at.udp || at.dtls);
    Rules {
        allow: peers.allow.clone(),
        deny: peers.deny.clone(),
        loopback: peers.allow_loopback,
        multicast: peers.allow_multicast,
        private: peers.allow_private,
        nat64: peers.nat64.clone(),
        own_listeners: udp.flat_map(|at| listeners_at(config, at.addr, own.clone())).collect(),
        own_hosts: own.filter(|ip| privacy(*ip) < LOOPBACK).collect(),
        relays,
        relay_ports: Some(config.relay.ports.clone()),
    }
}
