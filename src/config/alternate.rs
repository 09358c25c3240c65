//! Other servers: what is known of each, and how a text becomes one, a URI of RFC 7065 with numbers for the host.

use std::net::{IpAddr, SocketAddr};

use super::value;

/// Other servers to which clients are sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redirect {
    /// The servers; without any, nobody is sent away.
    pub servers: Vec<Alternate>,
    /// Addresses of this server at which alone clients are sent away; empty means everywhere.
    pub at: Vec<IpAddr>,
    /// Clients are sent away before they have proved who they are.
    pub before_auth: bool,
}

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Its address and port.
    pub addr: SocketAddr,
    /// Clients over UDP are sent there.
    pub udp: bool,
    /// Clients over plain TCP are sent there.
    pub tcp: bool,
    /// Clients over TLS are sent there.
    pub tls: bool,
    /// Clients over DTLS are sent there.
    pub dtls: bool,
    /// The name in its certificate.
    pub name: Option<String>,
    /// Its share of clients.
    pub weight: u32,
}

/// Reads `turn:192.0.2.7:3478?transport=udp` or `turns:[2001:db8::7]?name=turn.example.org&weight=2`.
pub(crate) fn read(text: &str) -> Result<Alternate, String> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let secure = match scheme {
        "turn" => false,
        "turns" => true,
        _ => return Err(format!("{text:?} is not a server; write turn:ADDRESS:PORT or turns:ADDRESS:PORT")),
    };
    let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
    let addr = host_and_port(host, if secure { 5349 } else { 3478 })?;
    let mut server = Alternate { addr, udp: !secure, tcp: !secure, tls: secure, dtls: secure, name: None, weight: 1 };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        parameter(&mut server, part)?;
    }
    if server.name.is_some() && !secure {
        return Err(format!("{text:?} has a name, which only a certificate needs; remove it or write turns:"));
    }
    Ok(server)
}

/// Reads an address with a port or without one.
fn host_and_port(text: &str, default: u16) -> Result<SocketAddr, String> {
    let addr = text.parse().ok().filter(|addr: &SocketAddr| addr.port() != 0);
    let addr = addr.map_or_else(|| value::address(text).map(|ip| SocketAddr::new(ip, default)), Ok)?;
    if is_place(addr.ip()) { Ok(addr) } else { Err(format!("{text:?} is no address of a server; name one")) }
}

/// Whether a server can be there.
fn is_place(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Reads what stands after the question mark.
fn parameter(server: &mut Alternate, part: &str) -> Result<(), String> {
    match part.split_once('=') {
        Some(("transport", word)) => transport(server, word),
        Some(("name", name)) => {
            server.name = Some(certificate_name(name)?);
            Ok(())
        }
        Some(("weight", number)) => {
            let weight = number.parse().ok().filter(|weight| (1..=1000).contains(weight));
            server.weight = weight.ok_or_else(|| format!("weight {number:?} is not a whole number from 1 to 1000"))?;
            Ok(())
        }
        _ => Err(format!("{part:?} means nothing here; write transport=, name= or weight=")),
    }
}

/// Narrows a server to one transport.
fn transport(server: &mut Alternate, word: &str) -> Result<(), String> {
    match (word, server.tls) {
        ("udp", false) => server.tcp = false,
        ("tcp", false) => server.udp = false,
        ("tcp", true) => server.dtls = false,
        ("udp", true) => server.tls = false,
        _ => return Err(format!("transport {word:?} is neither udp nor tcp")),
    }
    Ok(())
}

/// Accepts a name as ALTERNATE-DOMAIN holds it (RFC 8489 §14.16): ASCII, at most 255 bytes.
fn certificate_name(name: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if (1..=255).contains(&name.len()) && name.chars().all(good) {
        return Ok(name.to_owned());
    }
    Err(format!("{name:?} is not the name of a host in ASCII; write a name with other letters as xn--…"))
}
