//! A socket behind the NAT, and what is asked through it.

use super::super::client::transaction;
use super::super::fault::Fault;
use crate::client::target::any;
use crate::wire::{Class, Message, Method, Writer, address, attribute, value};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How often a request is sent.
pub(super) const TRIES: u32 = 3;
/// CHANGE-REQUEST: answer from the other address.
pub(super) const CHANGE_ADDRESS: u32 = 4;
/// CHANGE-REQUEST: answer from the other port.
pub(super) const CHANGE_PORT: u32 = 2;

/// An answer to a Binding request.
pub(super) struct Answer {
    /// Who the client is to the server.
    pub(super) mapped: SocketAddr,
    /// Where it came from.
    source: SocketAddr,
    /// Where it says that it came from.
    origin: Option<SocketAddr>,
    /// The server's other address and port.
    other: Option<SocketAddr>,
}

impl Answer {
    /// It came from there, and says so.
    pub(super) fn is_from(&self, expected: SocketAddr) -> Result<(), Fault> {
        if self.source != expected {
            return Err(Fault::WrongSource(expected, self.source));
        }
        match self.origin.filter(|origin| *origin != self.source) {
            Some(origin) => Err(Fault::WrongOrigin(origin, self.source)),
            None => Ok(()),
        }
    }

    /// The other address of this server, if there is one and it can be.
    pub(super) fn other(&self, server: SocketAddr) -> Result<SocketAddr, Fault> {
        let other = self.other.ok_or(Fault::NoOther)?;
        let differs = other.ip() != server.ip() && other.port() != server.port();
        if differs && other.is_ipv4() == server.is_ipv4() { Ok(other) } else { Err(Fault::WrongOther(other)) }
    }
}

/// The socket of a client, and how long it waits.
pub(super) struct Client {
    /// The socket.
    pub(super) socket: UdpSocket,
    /// How long all tries of one request take.
    pub(super) timeout: Duration,
}

impl Client {
    /// A socket of a server's family that has sent nothing yet.
    pub(super) fn open(server: SocketAddr, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { socket: UdpSocket::bind((any(server), 0))?, timeout })
    }

    /// Asks with CHANGE-REQUEST, until an answer comes from wherever; none if nothing does.
    pub(super) fn ask(&self, to: SocketAddr, change: u32) -> Result<Option<Answer>, Fault> {
        let (request, id) = binding(|writer| {
            if change != 0 {
                writer.number(attribute::CHANGE_REQUEST, change);
            }
        })?;
        for _ in 0..TRIES {
            // A firewall of this machine's that lets nothing out is as good as one farther away.
            let _ = self.socket.send_to(&request, to);
            if let Some(answer) = self.receive(|bytes, source| read(bytes, &id, source))? {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    /// Asks what is always answered.
    pub(super) fn must_ask(&self, to: SocketAddr, change: u32) -> Result<Answer, Fault> {
        self.ask(to, change)?.ok_or(Fault::Silent)
    }

    /// Waits for one try's time until something that counts arrives.
    pub(super) fn receive<T>(&self, counts: impl Fn(&[u8], SocketAddr) -> Option<T>) -> Result<Option<T>, Fault> {
        let (mut bytes, end) = ([0; 2048], Instant::now() + self.timeout / TRIES);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            // What is refused at one try may be heard at the next.
            let Ok((len, source)) = self.socket.recv_from(&mut bytes) else { continue };
            if let Some(found) = counts(&bytes[..len], source) {
                return Ok(Some(found));
            }
        }
    }
}

/// A Binding request, and its id.
pub(super) fn binding(fill: impl FnOnce(&mut Writer<'_>)) -> Result<(Vec<u8>, [u8; 12]), Fault> {
    let (id, mut request) = (transaction()?, Vec::new());
    fill(&mut Writer::new(&mut request, Method::BINDING, Class::Request, &id));
    Ok((request, id))
}

/// Reads the answer to a request: none if it is another's.
pub(super) fn read(bytes: &[u8], id: &[u8; 12], source: SocketAddr) -> Option<Result<Answer, Fault>> {
    let message = Message::parse(bytes).ok().filter(|message| message.transaction() == *id)?;
    let plain = |code| message.attribute(code).and_then(address::decode);
    if let Some(code) = message.attribute(attribute::ERROR_CODE).and_then(value::error_code) {
        return Some(Err(Fault::Refused(code)));
    }
    let mapped = message.attribute(attribute::XOR_MAPPED_ADDRESS).and_then(|value| address::decode_xor(value, id));
    let (origin, other) = (plain(attribute::RESPONSE_ORIGIN), plain(attribute::OTHER_ADDRESS));
    let answer = mapped.map(|mapped| Answer { mapped, source, origin, other });
    Some(answer.ok_or(Fault::Malformed("XOR-MAPPED-ADDRESS")))
}
