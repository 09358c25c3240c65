//! A user, as whatever belongs to somebody remembers it.

use super::key::Key;
use super::rest;
use std::sync::Arc;

/// A user, as allocations remember who made them. Two are the same if their names and realms are. A token names
/// nobody: whoever shows a good one may be anybody who has shown one of the same authorisation server, and renews a token
/// by one of another of its keys.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The user name, prepared; a time-limited one whole, as it was sent.
    pub name: Arc<str>,
    /// Whose quota is charged: the identity in a time-limited name, without the time; else the name.
    pub quota: Arc<str>,
    /// The realm in which the name means somebody; empty where it has not been said.
    pub realm: Arc<str>,
    /// The name is that of a key of a third party, who vouches for somebody unnamed: the group of the key.
    pub vouched: Option<Arc<str>>,
}

impl Owner {
    /// A user with a name of its own.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self { quota: Arc::clone(&name), name, realm: Arc::default(), vouched: None }
    }

    /// The same user, in this realm: the same name in another is somebody else.
    #[must_use]
    pub fn within(self, realm: &Arc<str>) -> Self {
        Self { realm: Arc::clone(realm), ..self }
    }

    /// Somebody for whom the holder of a key vouches. The token names nobody, so its session key stands for
    /// whose quota is charged: else all clients of one authorisation server would be one user.
    pub(super) fn vouched(kid: &str, group: Arc<str>, session: &Key) -> Self {
        let id = ring::digest::digest(&ring::digest::SHA256, session.as_bytes());
        let id: String = id.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: kid.into(), quota: format!("{kid} {id}").into(), realm: Arc::default(), vouched: Some(group) }
    }

    /// The holder of a time-limited name.
    pub(super) fn issued(username: &str, name: rest::Name<'_>) -> Self {
        let plain = Self::plain(username);
        let quota = name.id.map_or_else(|| Arc::clone(&plain.name), Arc::from);
        Self { quota, ..plain }
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        let known = self.vouched.is_some() || self.name == other.name;
        self.vouched == other.vouched && self.realm == other.realm && known
    }
}

impl Eq for Owner {}
