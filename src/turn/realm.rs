//! Realms: which one a request belongs to.
//!
//! An allocation belongs to the realm in which it was made, whatever its client says later. Without one, the client
//! chooses: by ORIGIN, else by the server name of its TLS handshake, else by the listener that it came to; else it is
//! the default realm. None of that proves anything: who is of a realm is decided by its credentials alone.

use super::reply::Refusal;
use super::table::Id;
use super::types::Path;
use super::{Server, Setup};
use crate::auth::Credentials;
use crate::auth::nonce::Nonces;
use crate::auth::peers::Policy;
use crate::wire::{Message, Method, attribute};
use std::net::SocketAddr;
use std::sync::Arc;

/// The longest ORIGIN that is looked at: a scheme, the longest name of a host, and a port.
pub const LONGEST_ORIGIN: usize = 267;

/// So many ORIGINs of a message are looked at.
const MOST_ORIGINS: usize = 8;

/// A realm's place in the list of them; the first is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RealmId(pub(super) u16);

impl RealmId {
    /// As an index.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A realm: who is known in it, and what they may do.
#[derive(Clone, Debug)]
pub struct Realm {
    /// Who is known. The name of the realm is theirs.
    pub credentials: Arc<Credentials>,
    /// Makes and judges its nonces, which are good in no other realm.
    pub nonces: Arc<Nonces>,
    /// Which peers may be reached.
    pub policy: Arc<Policy>,
    /// Bytes per second of one allocation, each direction; zero means any number.
    pub bandwidth: u64,
    /// How clients get there.
    pub doors: Doors,
}

/// By what clients get to a realm.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// The origins of web pages, without a path. The host may begin with `*.`, as names may.
    pub origins: Vec<String>,
    /// The server names of TLS handshakes; one that begins with `*.` stands for all with one label in its place.
    pub server_names: Vec<String>,
    /// Listening addresses; an unspecified one stands for all of its family.
    pub listeners: Vec<SocketAddr>,
}

impl Doors {
    /// A client that came to this address belongs here.
    fn has_listener(&self, server: SocketAddr) -> bool {
        let same_family = |own: &SocketAddr| own.is_ipv4() == server.is_ipv4() && own.ip().is_unspecified();
        let is_it = |own: &SocketAddr| own.ip() == server.ip() || same_family(own);
        self.listeners.iter().any(|own| own.port() == server.port() && is_it(own))
    }
}

/// A realm as a server has it, with its name at hand.
#[derive(Debug)]
pub(super) struct Domain {
    /// Its name, which owners of its allocations bear.
    pub(super) name: Arc<str>,
    /// The rest.
    pub(super) realm: Realm,
}

impl Domain {
    /// All realms of a server, the default one first.
    pub(super) fn all(setup: &Setup) -> Vec<Self> {
        let default = Realm {
            credentials: Arc::clone(&setup.credentials),
            nonces: Arc::clone(&setup.nonces),
            policy: Arc::clone(&setup.policy),
            bandwidth: setup.options.bandwidth,
            doors: Doors::default(),
        };
        let all = std::iter::once(default).chain(setup.realms.iter().cloned());
        all.map(|realm| Self { name: realm.credentials.realm().into(), realm }).collect()
    }
}

impl Server {
    /// A realm.
    pub(super) fn domain(&self, id: RealmId) -> &Domain {
        &self.domains[id.index()]
    }

    /// The realm of an allocation.
    pub(super) fn domain_of(&self, id: Id) -> &Domain {
        self.domain(self.table.get(id).map(|allocation| allocation.realm).unwrap_or_default())
    }

    /// A client has named this server in its handshake of TLS or DTLS.
    pub(super) fn named(&mut self, path: Path, name: &str) {
        if let Some(realm) = self.realm_called(|doors| &doors.server_names, name.as_bytes()) {
            self.named.insert(path, realm);
        }
    }

    /// The realm in which a request is judged.
    pub(super) fn realm_of(&self, message: &Message<'_>, path: &Path) -> RealmId {
        if self.domains.len() == 1 {
            return RealmId::default();
        }
        let held = self.table.at_path(path).or_else(|| self.shown(message)).and_then(|id| self.table.get(id));
        held.map_or_else(|| self.chosen(message, path), |allocation| allocation.realm)
    }

    /// The allocation that a request from elsewhere is about: by its mobility ticket, or by its connection to a peer.
    fn shown(&self, message: &Message<'_>) -> Option<Id> {
        match message.method() {
            Method::REFRESH if self.setup.options.mobility => {
                let ticket = message.attribute(attribute::MOBILITY_TICKET)?;
                self.table.at_serial(self.setup.tickets.open(ticket)?)
            }
            Method::CONNECTION_BIND => self.allocation_of(message),
            _ => None,
        }
    }

    /// The realm that a client without an allocation chooses.
    fn chosen(&self, message: &Message<'_>, path: &Path) -> RealmId {
        let of_page = |origin| self.realm_called(|doors| &doors.origins, plain_origin(origin));
        let by_origin = origins(message).find_map(of_page);
        let by_name = || self.named.get(path).copied();
        let by_listener = || self.realm_where(|doors| doors.has_listener(path.server));
        by_origin.or_else(by_name).or_else(by_listener).unwrap_or_default()
    }

    /// The realm with this name on its doors. One that is written out comes before one with a wildcard.
    fn realm_called(&self, names: impl Fn(&Doors) -> &[String], name: &[u8]) -> Option<RealmId> {
        let find = |is_it: fn(&[u8], &[u8]) -> bool| {
            self.realm_where(|doors| names(doors).iter().any(|own| is_it(own.as_bytes(), name)))
        };
        find(<[u8]>::eq_ignore_ascii_case).or_else(|| find(covers))
    }

    /// The first realm with such doors.
    fn realm_where(&self, is_it: impl Fn(&Doors) -> bool) -> Option<RealmId> {
        let at = self.domains.iter().position(|domain| is_it(&domain.realm.doors))?;
        u16::try_from(at).ok().map(RealmId)
    }

    /// What an allocation remembers of the ORIGIN of its request, if later ones must have the same.
    pub(super) fn pinned_origin(&self, message: &Message<'_>) -> Option<Box<[u8]>> {
        origin(message).filter(|_| self.setup.options.check_origin).map(Into::into)
    }

    /// The request has the ORIGIN that made the allocation, where that matters. Asked of those alone who have proved
    /// whose the request is.
    pub(super) fn has_same_origin(&self, id: Id, message: &Message<'_>) -> Result<(), Refusal> {
        let pinned = self.table.get(id).and_then(|allocation| allocation.origin.as_deref());
        if pinned.is_none_or(|pinned| origin(message) == Some(pinned)) {
            Ok(())
        } else {
            Err(Refusal::WrongCredentials)
        }
    }
}

/// The first ORIGIN of a message, unless none of them could be a web page's.
fn origin<'m>(message: &Message<'m>) -> Option<&'m [u8]> {
    origins(message).next()
}

/// The ORIGINs of a message that could be a web page's: coturn's client sends several, and the one that it was told
/// stands second.
fn origins<'m>(message: &Message<'m>) -> impl Iterator<Item = &'m [u8]> {
    let all = message.attributes().filter(|(code, _)| *code == attribute::ORIGIN).take(MOST_ORIGINS);
    all.map(|(_, value)| value).filter(|value| (1..=LONGEST_ORIGIN).contains(&value.len()))
}

/// Whether a name is one of those that a wildcard stands for: "the complete content of the left-most label" (RFC 9525
/// §6.3), whatever it is, and no less and no more than that.
fn covers(wildcard: &[u8], name: &[u8]) -> bool {
    let Some(star) = wildcard.iter().position(|byte| *byte == b'*') else { return false };
    let (start, end) = (&wildcard[..star], &wildcard[star + 1..]);
    let Some(label) = name.len().checked_sub(end.len()).and_then(|until| name.get(star..until)) else { return false };
    let is_label = !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    is_label && name[..star].eq_ignore_ascii_case(start) && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// An origin without what browsers leave out: a slash at the end, and the port that is the scheme's.
pub(crate) fn plain_origin(origin: &[u8]) -> &[u8] {
    let bare = origin.strip_suffix(b"/").unwrap_or(origin);
    let is = |scheme: &[u8]| bare.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    let usual: &[u8] = match () {
        () if is(b"https://") => b":443",
        () if is(b"http://") => b":80",
        () => b"",
    };
    bare.strip_suffix(usual).unwrap_or(bare)
}
