//! `hairpin nat`: what a NAT on the way to a server does (RFC 5780), and what that means for calls.

use super::client::transaction;
use super::fault::Fault;
use crate::wire::{Class, Message, Method, Writer, address, attribute};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// How often a request is sent.
const TRIES: u32 = 3;
/// CHANGE-REQUEST: answer from the other address.
const CHANGE_ADDRESS: u32 = 4;
/// CHANGE-REQUEST: answer from the other port.
const CHANGE_PORT: u32 = 2;
/// How long hairpinned packets and answers to a request are waited for, all tries together, unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Which server is asked, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Only this family.
    pub v6: Option<bool>,
    /// How long all tries of one request take.
    pub timeout: Duration,
}

/// An answer to a Binding request.
struct Answer {
    mapped: SocketAddr,
    other: Option<SocketAddr>,
}

/// The socket of a client, and how long it waits.
struct Client {
    socket: UdpSocket,
    timeout: Duration,
}

impl Client {
    /// A socket of a server's family that has sent nothing yet.
    fn open(server: SocketAddr, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { socket: UdpSocket::bind((any(server), 0))?, timeout })
    }

    /// Asks, until an answer comes from where it must come from; none if nothing does. An answer from elsewhere says
    /// nothing about what a NAT lets through, nor does one whose RESPONSE-ORIGIN is another.
    fn ask(&self, to: SocketAddr, change: u32, from: SocketAddr) -> Result<Option<Answer>, Fault> {
        let (id, mut request) = (transaction()?, Vec::new());
        let mut writer = Writer::new(&mut request, Method::BINDING, Class::Request, &id);
        if change != 0 {
            writer.number(attribute::CHANGE_REQUEST, change);
        }
        for _ in 0..TRIES {
            self.socket.send_to(&request, to)?;
            if let Some(answer) = self.receive(|bytes, source| read(bytes, &id, from).filter(|_| source == from))? {
                return answer.map(Some);
            }
        }
        Ok(None)
    }

    /// Waits for one try's time until something that counts arrives.
    fn receive<T>(&self, counts: impl Fn(&[u8], SocketAddr) -> Option<T>) -> Result<Option<T>, Fault> {
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

/// Reads the answer to a request: none if it is another's.
fn read(bytes: &[u8], id: &[u8; 12], from: SocketAddr) -> Option<Result<Answer, Fault>> {
    let message = Message::parse(bytes).ok().filter(|message| message.transaction() == *id)?;
    let plain = |code| message.attribute(code).and_then(address::decode);
    if let Some([_, _, class, number, ..]) = message.attribute(attribute::ERROR_CODE) {
        return Some(Err(Fault::Refused(u16::from(class & 7) * 100 + u16::from(*number))));
    }
    let mapped = message.attribute(attribute::XOR_MAPPED_ADDRESS).and_then(|value| address::decode_xor(value, id));
    let other = plain(attribute::OTHER_ADDRESS);
    if plain(attribute::RESPONSE_ORIGIN).is_some_and(|origin| origin != from) {
        return None;
    }
    Some(mapped.map(|mapped| Answer { mapped, other }).ok_or(Fault::Malformed("XOR-MAPPED-ADDRESS")))
}

/// Finds out and prints each result as it comes; true if everything could be told.
///
/// # Errors
/// Why nothing can be told, for a person.
pub fn run(options: &Options) -> Result<bool, String> {
    let server = server(options)?;
    let fault = |fault: Fault| fault.to_string();
    let client = Client::open(server, options.timeout).map_err(fault)?;
    let Some(first) = client.ask(server, 0, server).map_err(fault)? else {
        return Err(format!(
            "{server} does not answer over UDP, so nothing can be told: UDP is blocked on the way, or nobody listens \
             there; calls from here need TURN over TCP or TLS (see `hairpin probe`)"
        ));
    };
    let is_direct = local(server).is_ok_and(|ip| first.mapped.ip() == ip);
    say("address", &format!("seen as {}: {}", first.mapped, if is_direct { "no NAT" } else { "behind a NAT" }));
    let Some(other) = first.other.filter(|other| other.ip() != server.ip() && other.port() != server.port()) else {
        say(
            "mapping",
            "cannot be told: the server has no second address (hairpin: protocol.discovery, two addresses in \
             listen.addresses, listen.alternate-port)",
        );
        return Ok(false);
    };
    say("mapping", mapping(&client, server, other, first.mapped).map_err(fault)?);
    say("filtering", filtering(server, other, options.timeout).map_err(fault)?);
    say("hairpinning", hairpinning(&client, server, first.mapped).map_err(fault)?);
    Ok(true)
}

/// The address of the server.
fn server(options: &Options) -> Result<SocketAddr, String> {
    let found = (options.host.as_str(), options.port).to_socket_addrs().map_err(|error| error.to_string());
    let mut found = found.map_err(|error| format!("{}: {error}", options.host))?;
    let fits = |addr: &SocketAddr| options.v6.is_none_or(|v6| addr.is_ipv6() == v6);
    found.find(fits).ok_or_else(|| format!("{} has no address of this family", options.host))
}

/// The own address on the way to the server.
fn local(server: SocketAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind((any(server), 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// Every address of the family.
fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Prints a result.
fn say(what: &str, text: &str) {
    println!("{what:<12} {text}");
}

/// RFC 5780 §4.3: whether one socket is seen as one address from everywhere.
fn mapping(client: &Client, server: SocketAddr, other: SocketAddr, first: SocketAddr) -> Result<&'static str, Fault> {
    let at = SocketAddr::new(other.ip(), server.port());
    let Some(second) = client.ask(at, 0, at)? else {
        return Ok("cannot be told: the server's other address is silent");
    };
    if second.mapped == first {
        return Ok("endpoint-independent: others can be told where to send, so direct calls usually work");
    }
    let Some(third) = client.ask(other, 0, other)? else {
        return Ok("cannot be told: the server's other port is silent");
    };
    Ok(if third.mapped == second.mapped {
        "address-dependent: every host sees another address, so many direct calls fail and need a relay"
    } else {
        "address- and port-dependent: everybody sees another address, so many direct calls fail and need a relay"
    })
}

/// RFC 5780 §4.4: who may answer a socket that has sent to the server alone.
fn filtering(server: SocketAddr, other: SocketAddr, timeout: Duration) -> Result<&'static str, Fault> {
    let client = Client::open(server, timeout)?;
    client.ask(server, 0, server)?.ok_or(Fault::Silent)?;
    if client.ask(server, CHANGE_ADDRESS | CHANGE_PORT, other)?.is_some() {
        return Ok("endpoint-independent: anybody may send here once this side has sent to somebody");
    }
    let port = SocketAddr::new(server.ip(), other.port());
    Ok(if client.ask(server, CHANGE_PORT, port)?.is_some() {
        "address-dependent: only hosts to which this side has sent may send here; usual, and no harm to calls"
    } else {
        "address- and port-dependent: only whom this side has sent to may send here; usual, and seldom harmful to calls"
    })
}

/// RFC 5780 §4.5 (hairpinning): whether two clients behind this NAT reach each other by their outer addresses.
fn hairpinning(client: &Client, server: SocketAddr, mapped: SocketAddr) -> Result<&'static str, Fault> {
    let (sender, payload) = (Client::open(server, client.timeout)?, transaction()?);
    for _ in 0..TRIES {
        // No way there is as good an answer as silence.
        let _ = sender.socket.send_to(&payload, mapped);
        if client.receive(|bytes, _| (bytes == payload).then_some(()))?.is_some() {
            return Ok("yes: two callers behind this NAT reach each other by their public addresses");
        }
    }
    Ok("no: two callers behind this NAT reach each other by private addresses or a relay alone")
}
