//! What goes wrong between a client and a server: a sentence and a remedy for each.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The name has no address.
    NoName(String),
    /// Somebody said that nobody listens there.
    Closed,
    /// Nobody said anything.
    Silent,
    /// Something answers, in another language.
    NotStun,
    /// The port wants TLS.
    WantsTls,
    /// The port does not speak TLS.
    SpeaksPlain,
    /// The certificate is another host's.
    WrongName(String),
    /// The certificate has expired.
    Expired,
    /// Nobody who is trusted has issued the certificate.
    UnknownIssuer,
    /// Any other refusal of the handshake.
    Tls(String),
    /// Nobody has said who asks.
    NoCredentials,
    /// Another realm than the expected one.
    WrongRealm(String),
    /// The user or the password is refused.
    WrongPassword,
    /// The credential lasted until some seconds ago.
    Stale(u64),
    /// The server reaches no such peer.
    Forbidden(SocketAddr),
    /// The user has too many allocations.
    Quota,
    /// The server has too many.
    Capacity,
    /// The peer got nothing.
    NothingOut,
    /// What is sent to the relayed address does not arrive: the relayed address, and where the server sends from.
    NothingIn(SocketAddr, Option<IpAddr>),
    /// Nothing comes over UDP at all.
    NoUdp(SocketAddr),
    /// The server tells of no second address.
    NoOther,
    /// The second address that it tells of is none.
    WrongOther(SocketAddr),
    /// The second address does not answer.
    OtherSilent(SocketAddr),
    /// An answer comes from elsewhere than it must: whence it must, and whence it does.
    WrongSource(SocketAddr, SocketAddr),
    /// An answer says that it comes from elsewhere than it does: what it says, and whence it comes.
    WrongOrigin(SocketAddr, SocketAddr),
    /// Any other error response.
    Refused(u16),
    /// A success that lacks what it is for.
    Malformed(&'static str),
    /// Any other error of a socket.
    Socket(String),
}

impl Fault {
    /// A short name that programs can rely on.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::NoName(_) => "no-address",
            Self::Closed => "port-closed",
            Self::Silent => "no-answer",
            Self::NotStun => "not-stun",
            Self::WantsTls => "tls-port",
            Self::SpeaksPlain => "plain-port",
            Self::WrongName(_) => "certificate-name",
            Self::Expired => "certificate-expired",
            Self::UnknownIssuer => "certificate-issuer",
            Self::Tls(_) => "tls",
            Self::NoCredentials => "no-credentials",
            Self::WrongRealm(_) => "wrong-realm",
            Self::WrongPassword => "wrong-password",
            Self::Stale(_) => "credential-expired",
            Self::Forbidden(_) => "peer-refused",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::NothingOut => "peer-not-reached",
            Self::NothingIn(..) => "relay-not-reachable",
            Self::NoUdp(_) => "udp-blocked",
            Self::NoOther => "no-other-address",
            Self::WrongOther(_) => "wrong-other-address",
            Self::OtherSilent(_) => "other-address-silent",
            Self::WrongSource(..) => "wrong-source",
            Self::WrongOrigin(..) => "wrong-origin",
            Self::Refused(_) => "refused",
            Self::Malformed(_) => "malformed",
            Self::Socket(_) => "socket",
        }
    }

    /// What to change.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::NoName(_) => "see the host of the URL and its A and AAAA records",
            Self::Closed => "start the server, or put the port and the transport of the URL right",
            Self::Silent => {
                "open the port for this transport in the firewalls between, and see that the server runs there"
            }
            Self::NotStun => "put the port of the URL right: another service has this one",
            Self::WantsTls => "write turns: (stuns:) instead of turn: (stun:), or the port for plain TCP",
            Self::SpeaksPlain => {
                "write turn: with ?transport=tcp, or the port for TLS, or configure a certificate there"
            }
            Self::WrongName(_) => "name that host in the URL, or issue a certificate for the host of the URL",
            Self::Expired => "renew the certificate, and have the server read it again",
            Self::UnknownIssuer => {
                "serve the whole chain with intermediates, or say with --ca which roots vouch for this server"
            }
            Self::Tls(_) => "see the server's certificate, key and TLS versions",
            Self::NoCredentials => "give --user and --password, --secret, or --ice",
            Self::WrongRealm(_) => "set the server's realm (hairpin: auth.realm; coturn: realm), or expect this one",
            Self::WrongPassword => {
                "compare user name, password and shared secret with the server's; stored keys also depend on the realm"
            }
            Self::Stale(_) => "ask the application for a new credential; see the clocks of both machines",
            Self::Forbidden(_) => {
                "allow it on the server (hairpin: peers.allow; coturn: allowed-peer-ip), or probe from a public address"
            }
            Self::Quota => "raise the quota (hairpin: limits.user-allocations; coturn: user-quota), or wait",
            Self::Capacity => "give the server more relay ports or raise its limits",
            Self::NothingOut => {
                "let the server send UDP from its relay ports; if it may, a firewall on this side keeps the packets out"
            }
            Self::NothingIn(..) => {
                "set the address by which the relay is reached (hairpin: relay.external; coturn: external-ip), and open its relay ports for UDP"
            }
            Self::NoUdp(_) => {
                "open UDP in the firewalls between; until then, calls need TURN over TCP or TLS (see `hairpin probe`)"
            }
            Self::NoOther => {
                "ask a server with two addresses (hairpin: protocol.discovery, two addresses in listen.addresses, listen.alternate-port)"
            }
            Self::WrongOther(_) | Self::WrongSource(..) | Self::WrongOrigin(..) => {
                "let the server know the addresses by which it is reached (hairpin: relay.external for each), and let nothing on the way translate them"
            }
            Self::OtherSilent(_) => {
                "let clients reach both addresses and both ports of the server, by the addresses that it tells of"
            }
            Self::Refused(_) => "see the server's log",
            Self::Malformed(_) => "see whether this is a TURN server",
            Self::Socket(_) => "see the network of this machine",
        }
    }

    /// What an error response means; the peer is the one that was asked for.
    pub(super) fn refused(code: u16, peer: Option<SocketAddr>) -> Self {
        match (code, peer) {
            (401, _) => Self::WrongPassword,
            (403, Some(peer)) => Self::Forbidden(peer),
            (486, _) => Self::Quota,
            (508, _) => Self::Capacity,
            _ => Self::Refused(code),
        }
    }

    /// What a broken handshake means.
    pub(super) fn tls(error: &io::Error) -> Self {
        use rustls::CertificateError as Bad;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(bad)) => match bad {
                Bad::NotValidForName => Self::WrongName("for another host".to_owned()),
                Bad::NotValidForNameContext { presented, .. } => {
                    Self::WrongName(format!("for {}, and not for the host of the URL", presented.join(", ")))
                }
                Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
                Bad::UnknownIssuer => Self::UnknownIssuer,
                other if other.to_string().contains("CaUsedAsEndEntity") => Self::Tls(
                    "the certificate is an authority's and not a server's: make one with basicConstraints=CA:FALSE"
                        .to_owned(),
                ),
                other => Self::Tls(other.to_string()),
            },
            Some(other) => Self::Tls(other.to_string()),
            None => Self::from(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Closed,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silent,
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Self::NotStun,
            _ => Self::Socket(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoName(why) => write!(f, "the name has no address: {why}"),
            Self::Closed => f.write_str("the port is closed: nothing listens there, and the host says so"),
            Self::Silent => f.write_str("nothing answers: the packets are lost or filtered on the way"),
            Self::NotStun => f.write_str("what answers there does not speak STUN"),
            Self::WantsTls => f.write_str("this port speaks TLS, and was asked for plain TCP"),
            Self::SpeaksPlain => f.write_str("this port speaks STUN over plain TCP, and was asked for TLS"),
            Self::WrongName(names) => write!(f, "the certificate is {names}"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::UnknownIssuer => f.write_str("the certificate was issued by nobody who is trusted here"),
            Self::Tls(why) => write!(f, "the TLS handshake failed: {why}"),
            Self::NoCredentials => f.write_str("the server wants to know who asks"),
            Self::WrongRealm(realm) => write!(f, "the server's realm is {realm:?}, and not the expected one"),
            Self::WrongPassword => f.write_str("user name or password is wrong (401)"),
            Self::Stale(ago) => write!(f, "the credential expired {ago} s ago (401)"),
            Self::Forbidden(peer) => write!(f, "the server's policy refuses the peer {} (403)", peer.ip()),
            Self::Quota => f.write_str("the user's quota of allocations is reached (486)"),
            Self::Capacity => f.write_str("the server has no capacity left (508)"),
            Self::NothingOut => f.write_str("what the relay sends does not reach its peer"),
            Self::NothingIn(relayed, from) => unreachable(f, *relayed, *from),
            Self::NoUdp(server) => {
                write!(f, "{server} does not answer over UDP: UDP is blocked on the way, or nobody listens there")
            }
            Self::NoOther => f.write_str("the server tells of no second address"),
            Self::WrongOther(other) => {
                write!(
                    f,
                    "the server tells of {other} as its other address, which has to differ in address and in port"
                )
            }
            Self::OtherSilent(addr) => write!(f, "the server's other address {addr} does not answer"),
            Self::WrongSource(expected, source) => {
                write!(f, "an answer came from {source}, and by what the server tells it had to come from {expected}")
            }
            Self::WrongOrigin(origin, source) => {
                write!(f, "the server says that it answers from {origin}, and the answer came from {source}")
            }
            Self::Refused(code) => write!(f, "the server refuses ({code})"),
            Self::Malformed(what) => write!(f, "the answer has no {what}"),
            Self::Socket(why) => f.write_str(why),
        }
    }
}

/// Says that a relayed address is not reached, and what is odd about it.
fn unreachable(f: &mut fmt::Formatter<'_>, relayed: SocketAddr, from: Option<IpAddr>) -> fmt::Result {
    write!(f, "the relayed address {relayed} is not reachable: what is sent there does not arrive")?;
    match from {
        Some(ip) if ip != relayed.ip() => write!(f, "; the relay itself sends from {ip}"),
        _ => Ok(()),
    }
}
