//! The bytes of keys and values, as `bpf/tables.h` declares them.

use super::pairs::Inward;
use crate::turn::{Permission, Route};
use std::net::{IpAddr, SocketAddr};

/// `struct flow`.
pub(super) type Flow = [u8; 40];
/// `struct send`.
pub(super) type Send = [u8; 52];
/// `struct route`.
pub(super) type Way = [u8; 88];
/// `struct count`.
pub(super) type Count = [u8; 16];
/// `struct session`: a count for either direction, and what is left of its bandwidth.
pub(super) type Session = [u8; 48];

/// The two entries of a route: ChannelData of the client, and datagrams of the peer.
pub(super) fn entries(route: &Route, session: u32) -> [(Flow, Way); 2] {
    let Route { path, channel, local, wire, .. } = *route;
    let (client, server) = (path.client, path.server);
    let to_peer = way((server, client), (local, wire), 0, session);
    let to_client = way((local, wire), (server, client), channel, session);
    [entry(flow(server, client, channel), to_peer), entry(flow(local, wire, 0), to_client)]
}

/// The entry of a channel whose peer is a relay of this server: where the client of that relay is, if it has a channel
/// for what comes from this one.
pub(super) fn inward(near: &Inward, far: Option<&Inward>) -> (Flow, Way) {
    let Route { path, channel, .. } = near.route;
    let (client, server) = (path.client, path.server);
    let mut way = match far {
        Some(Inward { route, .. }) => {
            way((server, client), (route.path.server, route.path.client), route.channel, near.session)
        }
        None => [0; 88],
    };
    way[43] = 1;
    way[48..52].copy_from_slice(&far.map_or(0, |far| far.session).to_ne_bytes());
    entry(flow(server, client, channel), way)
}

/// The two entries of a permission: Send indications of the client, and datagrams of the peer. The peer's port is
/// zero in both, and what it is comes with a packet.
pub(super) fn permission(permission: &Permission, session: u32) -> ((Send, Way), (Flow, Way)) {
    let Permission { path, local, peer, .. } = *permission;
    let (client, server, peer) = (path.client, path.server, SocketAddr::new(peer, 0));
    let to_peer = way((server, client), (local, peer), 0, session);
    let to_client = way((local, peer), (server, client), 0, session);
    (entry(send(server, client, peer.ip()), to_peer), entry(flow(local, peer, 0), to_client))
}

/// A key and its value, which begins with a number that tells whose it is.
fn entry<const N: usize>(key: [u8; N], mut value: Way) -> ([u8; N], Way) {
    for word in key.chunks_exact(4) {
        value[..4].iter_mut().zip(word).for_each(|(tag, byte)| *tag ^= byte);
    }
    (key, value)
}

/// A key: where a packet comes to, where from, and its channel if it is ChannelData.
fn flow(local: SocketAddr, remote: SocketAddr, channel: u16) -> Flow {
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&mapped(local.ip()));
    bytes[16..32].copy_from_slice(&mapped(remote.ip()));
    bytes[32..34].copy_from_slice(&local.port().to_be_bytes());
    bytes[34..36].copy_from_slice(&remote.port().to_be_bytes());
    bytes[36..38].copy_from_slice(&channel.to_be_bytes());
    bytes
}

/// A key: a client's addresses, and the peer that it names.
fn send(local: SocketAddr, remote: SocketAddr, peer: IpAddr) -> Send {
    let mut bytes = [0; 52];
    bytes[..16].copy_from_slice(&mapped(local.ip()));
    bytes[16..32].copy_from_slice(&mapped(remote.ip()));
    bytes[32..48].copy_from_slice(&mapped(peer));
    bytes[48..50].copy_from_slice(&local.port().to_be_bytes());
    bytes[50..].copy_from_slice(&remote.port().to_be_bytes());
    bytes
}

/// A value: between which addresses a packet came and leaves, and the channel that it gets.
fn way(before: (SocketAddr, SocketAddr), after: (SocketAddr, SocketAddr), channel: u16, session: u32) -> Way {
    let (source, target) = after;
    let mut bytes = [0; 88];
    bytes[4..20].copy_from_slice(&mapped(source.ip()));
    bytes[20..36].copy_from_slice(&mapped(target.ip()));
    bytes[36..38].copy_from_slice(&source.port().to_be_bytes());
    bytes[38..40].copy_from_slice(&target.port().to_be_bytes());
    bytes[40..42].copy_from_slice(&channel.to_be_bytes());
    bytes[42] = u8::from(target.is_ipv4());
    bytes[44..48].copy_from_slice(&session.to_ne_bytes());
    bytes[52..56].copy_from_slice(&change(before, after).to_ne_bytes());
    bytes
}

/// An address of either family in the form of IPv6.
fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// What the sum of a datagram gains when it leaves between other addresses and ports (RFC 1624). The words are summed as
/// they lie in memory, which is how the program loads them. What a mapped address has before it counts as zero in such
/// a sum.
fn change(before: (SocketAddr, SocketAddr), after: (SocketAddr, SocketAddr)) -> u32 {
    words(before).map(|word| !word).chain(words(after)).map(u32::from).sum()
}

/// The words of two socket addresses.
fn words((one, other): (SocketAddr, SocketAddr)) -> impl Iterator<Item = u16> {
    [one, other].into_iter().flat_map(|addr| {
        let ip = mapped(addr.ip());
        let ip: Vec<u16> = ip.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect();
        ip.into_iter().chain([addr.port().to_be()])
    })
}

/// The counts of a `struct session`: to the peers, to the client.
pub(super) fn counts(session: &Session) -> [(u64, u64); 2] {
    [count(session), count(&session[24..])]
}

/// Packets and bytes of a `struct count`.
pub(super) fn count(bytes: &[u8]) -> (u64, u64) {
    let number = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_ne_bytes);
    (number(0), number(8))
}
