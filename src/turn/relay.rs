//! Send, Data, ChannelData and ICMP: both directions (RFC 8656 §11, §12).

use super::Server;
use super::exchange::{Action, Icmp, Verdict};
use super::limits::Bucket;
use super::reply::Unknown;
use super::request;
use super::table::{Allocation, Id};
use super::types::{Head, Path, Reason, RelayId, Time, Transport};
use crate::wire::address::Family;
use crate::wire::{ChannelData, Class, Message, Method, Writer, attribute, padding, value};
use std::net::{IpAddr, SocketAddr};

/// The largest UDP payload: 65 535 less the headers of UDP and IPv4; IPv6 counts no header of its own.
fn largest_payload(to: IpAddr) -> usize {
    if to.is_ipv4() { 65_507 } else { 65_527 }
}

/// Directions of the buckets and the counts.
pub(super) const TO_PEER: usize = 0;
pub(super) const TO_CLIENT: usize = 1;
/// ICMP errors told to one client in a second; a flood of them is somebody's attack.
pub(super) const ICMP_RATE: u64 = 10;

impl Server {
    /// ChannelData from a client (RFC 8656 §12.6). The binding alone decides: the permission that came with
    /// it may have ended, and only what comes back needs one.
    pub(super) fn channel_data<'p>(&mut self, now: Time, path: Path, packet: &'p [u8]) -> Verdict<'p> {
        let Ok(data) = ChannelData::parse(packet) else { return Verdict::Drop(Reason::Malformed) };
        let Some(allocation) = self.allocation_at(now, &path) else { return Verdict::Drop(Reason::NoAllocation) };
        let Some(peer) = allocation.channel(data.number, now) else { return Verdict::Drop(Reason::NoChannel) };
        match exit(allocation, now, peer, data.body) {
            Ok(relay) => self.to_peer(relay, peer, data.body, false),
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// A Send indication (RFC 8656 §11.2): never answered, whatever is wrong with it.
    pub(super) fn send<'p>(&mut self, now: Time, path: Path, message: &Message<'p>) -> Verdict<'p> {
        self.try_send(now, path, message).unwrap_or_else(Verdict::Drop)
    }

    fn try_send<'p>(&mut self, now: Time, path: Path, message: &Message<'p>) -> Result<Verdict<'p>, Reason> {
        let peer = request::peer(message).ok_or(Reason::BadIndication)?;
        let body = message.attribute(attribute::DATA).ok_or(Reason::BadIndication)?;
        if Unknown::of(message).is_some() {
            return Err(Reason::BadIndication);
        }
        let id = self.found_at(now, &path).ok_or(Reason::NoAllocation)?;
        let allocation = self.table.get(id).filter(|a| a.expires() > now).ok_or(Reason::NoAllocation)?;
        if allocation.connections.is_some() {
            return Err(Reason::BadIndication);
        }
        if !allocation.permits(peer.ip(), now) {
            return Err(Reason::NoPermission);
        }
        if self.domain(allocation.realm).realm.policy.reaches(peer).is_err() {
            return Err(Reason::Denied);
        }
        let allocation = self.table.get_mut(id).ok_or(Reason::NoAllocation)?;
        let asked = message.attribute(attribute::DONT_FRAGMENT).is_some();
        let relay = exit(allocation, now, peer, body)?;
        Ok(self.to_peer(relay, peer, body, asked && may_forbid_fragments(&path, peer)))
    }

    /// Sends a payload; to a relay of this server by its local address, behind whatever NAT it is known. Only relay ports
    /// are turned: what else listens at the local address is no business of clients.
    fn to_peer<'p>(&self, relay: RelayId, peer: SocketAddr, body: &'p [u8], dont_fragment: bool) -> Verdict<'p> {
        Verdict::ToPeer { relay, peer: self.setup.options.on_the_wire(peer), body, dont_fragment }
    }

    /// A datagram from a peer (RFC 8656 §11.3, §12.5): ChannelData if there is a channel, else Data.
    pub(super) fn peer_data<'p>(
        &mut self,
        now: Time,
        relay: RelayId,
        peer: SocketAddr,
        packet: &'p [u8],
    ) -> Verdict<'p> {
        self.try_peer_data(now, relay, peer, packet).unwrap_or_else(Verdict::Drop)
    }

    fn try_peer_data<'p>(
        &mut self,
        now: Time,
        relay: RelayId,
        peer: SocketAddr,
        packet: &'p [u8],
    ) -> Result<Verdict<'p>, Reason> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer = self.setup.options.addresses.outward(peer);
        let id = self.table.at_relay(relay).ok_or(Reason::NoAllocation)?;
        let allocation = self.table.get_mut(id).ok_or(Reason::NoAllocation)?;
        allocation.relay(Family::of(peer.ip()), now).ok_or(Reason::NoAllocation)?;
        if !allocation.permits(peer.ip(), now) {
            return Err(Reason::NoPermission);
        }
        if !allocation.attached {
            return Err(Reason::NoClient);
        }
        let path = allocation.path;
        let number = allocation.number(&peer, now);
        admit(allocation, TO_CLIENT, packet.len(), now)?;
        let head = match number {
            Some(number) => Head::channel(number, packet.len(), path.transport.is_stream()),
            None => self.data_head(peer, packet.len()),
        };
        fits(&path, &head, packet.len())?;
        Ok(Verdict::ToClient { path, head, body: packet })
    }

    /// What goes before a payload in a Data indication, with a fresh transaction id.
    fn data_head(&mut self, peer: SocketAddr, len: usize) -> Head {
        let id = self.random.bytes();
        self.scratch.clear();
        Writer::new(&mut self.scratch, Method::DATA, Class::Indication, &id)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .announce(attribute::DATA, len);
        Head::new(&self.scratch, padding(len))
    }

    /// An ICMP error for what a relay socket sent (RFC 8656 §11.5). A channel does not matter here.
    pub(super) fn icmp(&mut self, now: Time, relay: RelayId, peer: SocketAddr, icmp: Icmp) {
        if let Err(reason) = self.try_icmp(now, relay, peer, icmp) {
            self.counters.drop(reason);
        }
    }

    fn try_icmp(&mut self, now: Time, relay: RelayId, peer: SocketAddr, icmp: Icmp) -> Result<(), Reason> {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer = self.setup.options.addresses.outward(peer);
        let id = self.table.at_relay(relay).ok_or(Reason::NoAllocation)?;
        let allocation = self.table.get_mut(id).ok_or(Reason::NoAllocation)?;
        allocation.relay(Family::of(peer.ip()), now).ok_or(Reason::NoAllocation)?;
        if !allocation.permits(peer.ip(), now) {
            return Err(Reason::NoPermission);
        }
        if !allocation.attached {
            return Err(Reason::NoClient);
        }
        let value = icmp_value(peer.ip(), icmp).ok_or(Reason::Icmp)?;
        if !allocation.icmp.take(1, ICMP_RATE, now) {
            return Err(Reason::Icmp);
        }
        let (path, transaction) = (allocation.path, self.random.bytes());
        let mut message = Vec::new();
        Writer::new(&mut message, Method::DATA, Class::Indication, &transaction)
            .xor_address(attribute::XOR_PEER_ADDRESS, peer)
            .attribute(attribute::ICMP, &value);
        self.actions.push_back(Action::Send { path, message });
        Ok(())
    }

    /// The allocation of a 5-tuple, to relay for.
    fn allocation_at(&mut self, now: Time, path: &Path) -> Option<&mut Allocation> {
        let id = self.found_at(now, path)?;
        self.table.get_mut(id).filter(|allocation| allocation.expires() > now)
    }

    /// Its place in the table, whether it has ended or not. It follows its client.
    fn found_at(&mut self, now: Time, path: &Path) -> Option<Id> {
        let id = self.table.at_path(path)?;
        if self.table.get(id)?.mobility.is_some() {
            self.arrived(now, id, path);
        }
        Some(id)
    }
}

/// The relay by which a payload leaves: that of the peer's family.
fn exit(allocation: &mut Allocation, now: Time, peer: SocketAddr, body: &[u8]) -> Result<RelayId, Reason> {
    let relay = allocation.relay(Family::of(peer.ip()), now).ok_or(Reason::NoAllocation)?.id;
    if body.len() > largest_payload(peer.ip()) {
        return Err(Reason::TooBig);
    }
    admit(allocation, TO_PEER, body.len(), now)?;
    Ok(relay)
}

/// Takes a payload from the allocation's bandwidth, if it is limited, and counts it.
fn admit(allocation: &mut Allocation, direction: usize, len: usize, now: Time) -> Result<(), Reason> {
    let rate = allocation.bandwidth;
    if rate != 0 {
        let buckets = allocation.buckets.get_or_insert([Bucket::new(rate, now); 2]);
        if !buckets[direction].take(len, rate, now) {
            return Err(Reason::Bandwidth);
        }
    }
    allocation.counts[direction].add(len);
    Ok(())
}

/// What a DTLS record holds at most: "the length MUST NOT exceed 2^14" (RFC 5246 §6.2.1).
const RECORD: usize = 1 << 14;

/// The payload fits what carries it to the client: one datagram, one record, or the 16 bits of a length field.
fn fits(path: &Path, head: &Head, len: usize) -> Result<(), Reason> {
    let whole = head.as_bytes().len() + len + head.pad();
    let limit = match path.transport {
        Transport::Udp => largest_payload(path.client.ip()),
        Transport::Tcp | Transport::Tls => usize::from(u16::MAX),
        Transport::Dtls => RECORD,
    };
    if whole > limit { Err(Reason::TooBig) } else { Ok(()) }
}

/// DONT-FRAGMENT counts between two IPv4 legs, and for stream clients; a datagram client with an IPv6 leg has a
/// translator between, which ignores it (RFC 8656 §13, §15).
fn may_forbid_fragments(path: &Path, peer: SocketAddr) -> bool {
    path.transport.is_stream() || (path.client.is_ipv4() && peer.is_ipv4())
}

/// The ICMP attribute, for the errors that are relayed: unreachable, too big, time exceeded.
fn icmp_value(peer: IpAddr, icmp: Icmp) -> Option<[u8; 8]> {
    let relayed = if peer.is_ipv4() { matches!(icmp.kind, 3 | 11) } else { matches!(icmp.kind, 1..=3) };
    let about_mtu = if peer.is_ipv4() { (icmp.kind, icmp.code) == (3, 4) } else { (icmp.kind, icmp.code) == (2, 0) };
    relayed.then(|| value::icmp(icmp.kind, icmp.code, if about_mtu { icmp.mtu } else { 0 }))
}
