//! The `iceServers` a browser is given, with credentials that expire.
//!
//! The scheme is the one that TURN servers call the REST API: the user name is the time of expiry
//! and a name, the password is a MAC over the user name, and the server that shares the secret
//! checks both without having heard of the user. Whoever may open the page gets credentials; a
//! service with accounts would ask who it is first.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hairpin::auth::rest;
use serde_json::{Value, json};

/// How a browser shows that it may use the relay.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    /// Credentials made per member from the secret shared with the relay.
    Secret(String),
    /// One user for everybody: enough to try things out.
    User(String, String),
}

/// The servers a browser is told, and how it logs in there.
#[derive(Clone, Debug)]
pub(crate) struct IceServers {
    /// `turn:`, `turns:`, `stun:` and `stuns:` URLs.
    pub(crate) urls: Vec<String>,
    /// How to log in to the `turn:` and `turns:` ones.
    pub(crate) login: Login,
    /// How long credentials are good for.
    pub(crate) ttl: Duration,
}

impl IceServers {
    /// The list for the member `id`, good from `now` on.
    pub(crate) fn mint(&self, now: SystemTime, id: &str) -> Value {
        let (username, credential) = match &self.login {
            Login::Secret(secret) => rest_credentials(secret, expiry(now, self.ttl), id),
            Login::User(name, password) => (name.clone(), password.clone()),
        };
        let (relays, mirrors): (Vec<_>, Vec<_>) = self.urls.iter().partition(|url| is_relay(url));
        let mut servers = Vec::new();
        if !relays.is_empty() {
            servers.push(json!({"urls": relays, "username": username, "credential": credential}));
        }
        if !mirrors.is_empty() {
            servers.push(json!({"urls": mirrors}));
        }
        Value::from(servers)
    }
}

/// Whether a URL names a relay, which wants a login; the others only tell a client its address.
fn is_relay(url: &str) -> bool {
    url.starts_with("turn:") || url.starts_with("turns:")
}

/// The Unix time `ttl` from `now`.
fn expiry(now: SystemTime, ttl: Duration) -> u64 {
    (now + ttl).duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// User name and password for `id`, good until the Unix time `expiry`.
pub(crate) fn rest_credentials(secret: &str, expiry: u64, id: &str) -> (String, String) {
    rest::mint(secret, id, expiry, ':')
}
