//! Message to request: what a request holds exists only if it is right.

use super::reply::Refusal;
use super::types::{ConnectionId, Protocol, Token};
use crate::wire::address::{self, Family};
use crate::wire::{Message, attribute, value};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The protocol numbers of TCP and UDP.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The default lifetime of an allocation, and the shortest that is granted (RFC 8656 §7.2).
pub(super) const DEFAULT_LIFETIME: u32 = 600;

/// An Allocate request (RFC 8656 §7.2).
#[derive(Clone, Debug)]
pub(super) struct Allocate {
    /// What is to be relayed.
    pub(super) protocol: Protocol,
    /// Which relayed addresses are wanted.
    pub(super) families: Families,
    /// An even port, perhaps with its successor.
    pub(super) even: Option<Even>,
    /// The reservation to use.
    pub(super) token: Option<Token>,
    /// The lifetime that was asked for, in seconds.
    pub(super) lifetime: Option<u32>,
    /// The allocation is to have a mobility ticket.
    pub(super) mobile: bool,
    /// Bytes per second that suffice, each direction; zero means any number.
    pub(super) bandwidth: u64,
}

/// Which relayed addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    /// The server's default.
    Default,
    /// This one.
    One(Family),
    /// IPv4 and IPv6, as far as they can be had.
    Both,
}

/// EVEN-PORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Even {
    /// The next port is to be reserved.
    pub(super) reserve: bool,
}

impl Allocate {
    /// Reads the attributes in the order of RFC 8656 §7.2, steps 3 to 9.
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        let protocol = transport(message)?;
        let token = typed(message, attribute::RESERVATION_TOKEN, value::reservation_token)?;
        let even = typed(message, attribute::EVEN_PORT, value::reserve_next)?.map(|reserve| Even { reserve });
        let requested = typed(message, attribute::REQUESTED_ADDRESS_FAMILY, value::first_of_four)?;
        let additional = typed(message, attribute::ADDITIONAL_ADDRESS_FAMILY, value::first_of_four)?;
        if token.is_some() && (even.is_some() || requested.is_some() || additional.is_some()) {
            return Err(Refusal::BadRequest);
        }
        let families = families(requested, additional)?;
        if families == Families::Both && even.is_some_and(|e| e.reserve) {
            return Err(Refusal::BadRequest);
        }
        if protocol == Protocol::Tcp && (token.is_some() || even.is_some() || is_whole(message)) {
            return Err(Refusal::BadRequest);
        }
        // The attribute is in no standard: whoever writes it wrong has no wish.
        let bandwidth = message.attribute(attribute::NEW_BANDWIDTH).and_then(value::bandwidth).unwrap_or(0);
        Ok(Self { protocol, families, even, token, lifetime: lifetime(message)?, mobile: mobile(message)?, bandwidth })
    }
}

/// REQUESTED-TRANSPORT is UDP or TCP.
fn transport(message: &Message<'_>) -> Result<Protocol, Refusal> {
    match typed(message, attribute::REQUESTED_TRANSPORT, value::first_of_four)? {
        Some(UDP) => Ok(Protocol::Udp),
        Some(TCP) => Ok(Protocol::Tcp),
        Some(_) => Err(Refusal::Transport),
        None => Err(Refusal::BadRequest),
    }
}

/// DONT-FRAGMENT, which means datagrams (RFC 6062 §5.1).
fn is_whole(message: &Message<'_>) -> bool {
    message.attribute(attribute::DONT_FRAGMENT).is_some()
}

/// CONNECTION-ID.
pub(super) fn connection_id(message: &Message<'_>) -> Result<ConnectionId, Refusal> {
    typed(message, attribute::CONNECTION_ID, value::connection_id)?.map(ConnectionId).ok_or(Refusal::BadRequest)
}

/// MOBILITY-TICKET in an Allocate request is empty: there is no ticket yet.
fn mobile(message: &Message<'_>) -> Result<bool, Refusal> {
    let empty = |value: &[u8]| value.is_empty().then_some(());
    Ok(typed(message, attribute::MOBILITY_TICKET, empty)?.is_some())
}

/// The two ways to name families exclude each other; the additional one can only be IPv6.
fn families(requested: Option<u8>, additional: Option<u8>) -> Result<Families, Refusal> {
    match (requested, additional) {
        (None, None) => Ok(Families::Default),
        (Some(code), None) => Family::from_code(code).map(Families::One).ok_or(Refusal::Family),
        (None, Some(code)) if code == Family::V6 as u8 => Ok(Families::Both),
        _ => Err(Refusal::BadRequest),
    }
}

/// A Refresh request (RFC 8656 §8.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Refresh {
    /// Only this relayed address is meant.
    pub(super) family: Option<Family>,
    /// The lifetime that was asked for, in seconds; zero deletes.
    pub(super) lifetime: Option<u32>,
}

impl Refresh {
    /// Reads the attributes. A family that does not exist is one that the allocation does not have.
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        let family = match typed(message, attribute::REQUESTED_ADDRESS_FAMILY, value::first_of_four)? {
            Some(code) => Some(Family::from_code(code).ok_or(Refusal::PeerFamily)?),
            None => None,
        };
        Ok(Self { family, lifetime: lifetime(message)? })
    }
}

/// A ChannelBind request (RFC 8656 §12.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelBind {
    /// The channel number, whatever it is.
    pub(super) number: u16,
    /// The peer; its port is not zero.
    pub(super) peer: SocketAddr,
}

impl ChannelBind {
    /// Reads the attributes.
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        let number = typed(message, attribute::CHANNEL_NUMBER, value::channel_number)?.ok_or(Refusal::BadRequest)?;
        let peer = peer(message).ok_or(Refusal::BadRequest)?;
        if peer.port() == 0 { Err(Refusal::BadRequest) } else { Ok(Self { number, peer }) }
    }
}

/// Every peer of a CreatePermission request; at least one (RFC 8656 §10.2). Ports mean nothing.
pub(super) fn permission_peers(message: &Message<'_>) -> Result<Vec<IpAddr>, Refusal> {
    let id = message.transaction();
    let peers = message.attributes().filter(|(code, _)| *code == attribute::XOR_PEER_ADDRESS);
    let mut found = Vec::new();
    for (_, value) in peers {
        found.push(address::decode_xor(value, &id).ok_or(Refusal::BadRequest)?.ip().to_canonical());
    }
    if found.is_empty() { Err(Refusal::BadRequest) } else { Ok(found) }
}

/// The first XOR-PEER-ADDRESS, if it is well formed. An IPv4-mapped address is that IPv4 address.
#[must_use]
pub(super) fn peer(message: &Message<'_>) -> Option<SocketAddr> {
    let value = message.attribute(attribute::XOR_PEER_ADDRESS)?;
    let addr = address::decode_xor(value, &message.transaction())?;
    Some(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
}

/// The lifetime that is granted: "the server MUST NOT grant less than the default" (RFC 8656 §7.2), nor
/// more than the limit.
#[must_use]
pub(super) fn grant_lifetime(asked: Option<u32>, longest: Duration) -> Duration {
    let asked = Duration::from_secs(u64::from(asked.unwrap_or(DEFAULT_LIFETIME).max(DEFAULT_LIFETIME)));
    asked.min(longest)
}

/// LIFETIME.
fn lifetime(message: &Message<'_>) -> Result<Option<u32>, Refusal> {
    typed(message, attribute::LIFETIME, value::lifetime)
}

/// An attribute's value: absent, right, or a refusal.
pub(super) fn typed<T>(
    message: &Message<'_>,
    code: u16,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    message.attribute(code).map(|value| read(value).ok_or(Refusal::BadRequest)).transpose()
}
