//! Which server is meant: the URLs of RFC 7064 and RFC 7065.

use crate::io::dtls;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A server, as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port; 3478, or 5349 for TLS, if none is given.
    pub port: u16,
    /// How it is reached.
    pub transport: Transport,
    /// The scheme is `stun`, so nothing can be relayed.
    pub stun: bool,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A TLS connection over TCP.
    Tls,
    /// Datagrams under DTLS.
    Dtls,
}

impl Transport {
    /// Messages follow one another in a stream of bytes.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// A certificate is shown.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Dtls)
    }
}

/// What is wrong with a URL that names no server.
const FORM: &str = "write turn:HOST[:PORT][?transport=udp|tcp], turns:HOST[:PORT][?transport=udp|tcp] or stun:HOST[:PORT], with an \
    IPv6 address in brackets";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not the URL of a server; {FORM}");
        let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = match (scheme, query) {
            ("turn" | "stun", "" | "transport=udp") => Transport::Udp,
            ("turn" | "stun", "transport=tcp") => Transport::Tcp,
            ("turns" | "stuns", "" | "transport=tcp") => Transport::Tls,
            ("turns" | "stuns", "transport=udp") if dtls::SERVED => Transport::Dtls,
            ("turns" | "stuns", "transport=udp") => {
                return Err(format!(
                    "{text:?} asks for DTLS, of which this build has none; build with --features dtls"
                ));
            }
            _ => return Err(wrong()),
        };
        let (host, port) = split_port(place).ok_or_else(wrong)?;
        let default = if transport.is_secure() { 5349 } else { 3478 };
        let port = port.map_or(Some(default), |port| port.parse().ok().filter(|p| *p > 0)).ok_or_else(wrong)?;
        Ok(Self { host: host.to_owned(), port, transport, stun: scheme.starts_with("stun") })
    }
}

/// Takes host and port apart; an address in brackets loses them.
fn split_port(place: &str) -> Option<(&str, Option<&str>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    (!host.is_empty() && !host.contains('/')).then_some((host, port))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.stun { "stun" } else { "turn" };
        let secure = if self.transport.is_secure() { "s" } else { "" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let query = match self.transport {
            Transport::Udp | Transport::Tls => "",
            Transport::Tcp => "?transport=tcp",
            Transport::Dtls => "?transport=udp",
        };
        write!(f, "{scheme}{secure}:{host}:{}{query}", self.port)
    }
}

/// Every address of the family.
pub(crate) fn any(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
