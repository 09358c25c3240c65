//! What goes wrong between a client and the server, for people.

use super::client::Request;
use std::fmt;
use std::io::ErrorKind;

/// An errand that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What was asked.
    pub request: Request,
    /// What came of it.
    pub what: What,
}

/// Why an errand failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An error response.
    Refused(u16),
    /// No response.
    Silence,
    /// No way to the server any more.
    Broken(ErrorKind, String),
    /// A success without XOR-RELAYED-ADDRESS.
    NoRelay,
    /// A success without CONNECTION-ID.
    NoConnection,
    /// A 401 or 438 without REALM or NONCE.
    NoChallenge,
    /// User, realm or password are no text that a key is made of.
    BadText(String),
}

/// Why a step ended early.
#[derive(Debug)]
pub(super) enum Stopped {
    /// A client's errand failed.
    Errand(Trouble),
    /// A socket did.
    Socket(std::io::Error),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Errand(trouble)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Socket(error)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errand(trouble) => trouble.fmt(f),
            Self::Socket(error) => f.write_str(&broken(error.kind(), &error.to_string())),
        }
    }
}

impl std::error::Error for Stopped {}

impl Trouble {
    /// A short name, to count by.
    pub(super) fn label(&self) -> String {
        match &self.what {
            What::Refused(code) => code.to_string(),
            What::Silence => "no answer".to_owned(),
            What::Broken(..) => "connection".to_owned(),
            What::NoRelay | What::NoConnection | What::NoChallenge | What::BadText(_) => "malformed".to_owned(),
        }
    }

    /// Another socket may do better: a port whose allocation of an earlier run still lives, or a server that takes
    /// only so many connections at a time.
    pub(super) fn may_pass(&self) -> bool {
        let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        match &self.what {
            What::Refused(code) => *code == 437 && self.request == Request::Allocate,
            What::Broken(kind, _) => closed.contains(kind) && self.request == Request::Allocate,
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = match self.request {
            Request::Binding => "binding",
            Request::Allocate => "allocate",
            Request::Admit => "channel bind or create permission",
            Request::Connect => "connect",
            Request::Bind => "connection bind",
            Request::Greet => "the first bytes to the peer",
            Request::Refresh => "refresh",
            Request::Delete => "refresh to delete",
        };
        write!(f, "{request}: ")?;
        match &self.what {
            What::Refused(code) => f.write_str(&refusal(*code)),
            What::Silence => {
                f.write_str("no answer within 4 seconds: is a server there, does a firewall let it answer, and does it limit what one source may ask (hairpin: limits.unauthenticated, limits.source-handshakes, limits.source-connections)?")
            }
            What::Broken(kind, text) => f.write_str(&broken(*kind, text)),
            What::NoRelay => f.write_str("a success without a relayed address: this is no TURN server"),
            What::NoConnection => f.write_str("a success without a connection: this server relays no TCP"),
            What::NoChallenge => f.write_str("a challenge without realm or nonce: this is no TURN server"),
            What::BadText(text) => write!(f, "{text}; see --user and --password"),
        }
    }
}

/// What an error code means, and what to do.
fn refusal(code: u16) -> String {
    let why = match code {
        401 => "again after the challenge: the user or the password is wrong; see --user, --password and --secret",
        403 => {
            "the server forbids this peer: allow it there (hairpin: peers.allow; coturn: allowed-peer-ip), or choose another with --peer-address"
        }
        437 => "an allocation of an earlier run holds this port: wait some minutes",
        438 => "again and again: the server's nonces grow stale at once",
        440 | 443 => "the server has no relay of this family: see --relay-family and --peer-address",
        442 => "the server relays no TCP: switch it on (hairpin: relay.tcp; coturn: without no-tcp-relay)",
        447 => "the server does not reach the peer, or not in time: see --peer-address",
        486 => {
            "the user's quota is reached: raise it on the server (hairpin: limits.user-allocations; coturn: user-quota), or use fewer --clients"
        }
        508 => "the server has no more ports or room: raise its limits, or use fewer --clients",
        _ => "the server refuses",
    };
    format!("{code} {why}")
}

/// What a broken link means, and what to do.
fn broken(kind: ErrorKind, text: &str) -> String {
    match kind {
        ErrorKind::ConnectionRefused => {
            "connection refused: no server listens there; see the port and the transport of the URL".to_owned()
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the server closed the connection: it takes no more of them from one source (hairpin: limits.source-connections, limits.source-handshakes), or speaks something else on this port"
                .to_owned()
        }
        ErrorKind::InvalidData => {
            format!("{text}: see --ca, --tls-name and --insecure, and whether the port is one for TLS")
        }
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => {
            format!("{text}: this machine has no more ports; use fewer --clients")
        }
        _ => text.to_owned(),
    }
}
