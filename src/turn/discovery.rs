//! NAT behaviour discovery (RFC 5780): which of four addresses an answer leaves from, and which port it goes to.
//!
//! A client learns how its NAT maps and filters from answers that come from where it did not ask. Nothing is reflected
//! beyond that: an answer goes to the address that the request came from, to no well-known port, and its padding is
//! never longer than what was asked with.

use super::Server;
use super::options::Addresses;
use super::reply::{Refusal, Unknown};
use super::request::typed;
use super::types::{Path, Transport};
use crate::wire::{Message, Method, Writer, attribute, value};
use std::net::{IpAddr, SocketAddr};

/// What a Binding request may ask for where discovery is served, and nowhere else.
const ASKED: [u16; 3] = [attribute::CHANGE_REQUEST, attribute::PADDING, attribute::RESPONSE_PORT];
/// CHANGE-REQUEST: the answer is to come from the other address (RFC 5780 §7.2).
const CHANGE_IP: u32 = 4;
/// CHANGE-REQUEST: the answer is to come from the other port.
const CHANGE_PORT: u32 = 2;
/// The longest padding in bytes: about what a link carries.
const LONGEST_PADDING: usize = 1400;
/// RESPONSE-PORT may name none below: services are there.
const FIRST_PORT: u16 = 1024;
/// Padding.
static ZEROS: [u8; LONGEST_PADDING] = [0; LONGEST_PADDING];

/// Two addresses of one family and two ports; all four pairs are listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quad {
    /// The addresses.
    pub addresses: [IpAddr; 2],
    /// The ports.
    pub ports: [u16; 2],
}

impl Quad {
    /// One of the four as seen from another: with the other address, the other port, or both.
    fn other(&self, than: SocketAddr, ip: bool, port: bool) -> Option<SocketAddr> {
        let address = self.addresses.iter().position(|one| *one == than.ip())?;
        let place = self.ports.iter().position(|one| *one == than.port())?;
        Some(SocketAddr::new(self.addresses[address ^ usize::from(ip)], self.ports[place ^ usize::from(port)]))
    }
}

/// A Binding request to one of the four, and what it asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Where the answer leaves, and where it goes.
    path: Path,
    /// The address that has neither the request's address nor its port.
    farthest: SocketAddr,
    /// Bytes of padding in the answer.
    padding: Option<usize>,
}

impl Asked {
    /// Reads what a request asks for.
    fn parse(message: &Message<'_>, path: Path, quad: &Quad) -> Result<Self, Refusal> {
        let flags = typed(message, attribute::CHANGE_REQUEST, |v| Some(u32::from_be_bytes(v.try_into().ok()?)))?;
        let port = typed(message, attribute::RESPONSE_PORT, value::response_port)?;
        let padding = message.attribute(attribute::PADDING).map(|padding| padding.len().min(LONGEST_PADDING));
        let flags = flags.unwrap_or(0);
        let moves = flags & (CHANGE_IP | CHANGE_PORT) != 0 || port.is_some();
        let wrong = port.is_some_and(|port| padding.is_some() || port < FIRST_PORT);
        // The answer on a connection, or in a DTLS session, can only come from its other end.
        if wrong || moves && path.transport != Transport::Udp {
            return Err(Refusal::BadRequest);
        }
        let other = |ip, port| quad.other(path.server, ip, port).ok_or(Refusal::BadRequest);
        let server = other(flags & CHANGE_IP != 0, flags & CHANGE_PORT != 0)?;
        let client = SocketAddr::new(path.client.ip(), port.unwrap_or(path.client.port()));
        Ok(Self { path: Path { server, client, ..path }, farthest: other(true, true)?, padding })
    }

    /// The path that the answer takes, if it is not the one that the request took.
    pub(super) fn detour(&self, path: &Path) -> Option<Path> {
        (self.path != *path).then_some(self.path)
    }

    /// Writes RESPONSE-ORIGIN, OTHER-ADDRESS and PADDING. What stands before a NAT of the server's is called by its
    /// public address.
    pub(super) fn write(&self, addresses: &Addresses, writer: &mut Writer<'_>) {
        let shown = |local: SocketAddr| SocketAddr::new(addresses.public(local.ip()), local.port());
        writer.address(attribute::RESPONSE_ORIGIN, shown(self.path.server));
        writer.address(attribute::OTHER_ADDRESS, shown(self.farthest));
        if let Some(len) = self.padding {
            writer.attribute(attribute::PADDING, &ZEROS[..len]);
        }
    }
}

impl Server {
    /// The four addresses of which a request came to one.
    fn quad(&self, path: &Path) -> Option<&Quad> {
        let quads = self.setup.options.discovery.iter().flatten();
        quads.into_iter().find(|quad| quad.other(path.server, false, false).is_some())
    }

    /// What a Binding request asks for beyond its address, where that is served.
    pub(super) fn asked(&self, message: &Message<'_>, path: &Path) -> Result<Option<Asked>, Refusal> {
        let asked = self.quad(path).map(|quad| Asked::parse(message, *path, quad)).transpose()?;
        // An answer to an own listener, or to a port that nobody sends from, is nobody's.
        if asked.as_ref().is_some_and(|asked| !self.plausible(&asked.path)) {
            Err(Refusal::BadRequest)
        } else {
            Ok(asked)
        }
    }

    /// The required attributes of a request that are not known here.
    pub(super) fn unknown(&self, message: &Message<'_>, path: &Path) -> Option<Unknown> {
        let discovers = message.method() == Method::BINDING && self.quad(path).is_some();
        let tokens = self.takes_tokens();
        Unknown::beyond(message, |code| discovers && ASKED.contains(&code) || tokens && code == attribute::ACCESS_TOKEN)
    }
}
