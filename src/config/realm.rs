//! Further realms: tables `[[realm]]` with keys of their own, and some of the others' for themselves.

use super::check::Review;
use super::draft::Draft;
use super::key::{Key, key};
use super::kind::Kind::List;
use super::setting::{Remark, Setting, Site};
use super::{Auth, Config, Limits, Listener, Oauth, Peers, UserSecret, load, table, value};
use crate::auth::key::opaque_string;
use crate::turn::realm::{LONGEST_ORIGIN, plain_origin};
use std::net::SocketAddr;

/// A further realm, with everything that it may have for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Realm {
    /// The origins of the web pages whose clients belong to it.
    pub origins: Vec<String>,
    /// The server names by which clients of TLS come to it.
    pub server_names: Vec<String>,
    /// The listeners where clients come to it.
    pub listeners: Vec<SocketAddr>,
    /// Who may allocate; its name stands there.
    pub auth: Auth,
    /// Third parties that may authorise clients.
    pub oauth: Oauth,
    /// Which peers may be reached.
    pub peers: Peers,
    /// What may be taken.
    pub limits: Limits,
}

impl Realm {
    /// Returns the whole as it is for clients of this realm.
    #[must_use]
    pub fn applied_to(&self, config: &Config) -> Config {
        let Self { auth, oauth, peers, limits, .. } = self.clone();
        Config { auth, oauth, peers, limits, ..config.clone() }
    }
}

/// The path of the tables.
pub(crate) const REALM: &str = "realm";

/// The key that names a realm: within its table it is called `name`.
pub(crate) const NAME: &str = "auth.realm";

/// The keys that realms alone have. None of them is a flag or a variable.
#[rustfmt::skip] // a table: what belongs to a key stands together
pub(crate) static DOORS: [Key; 3] = [
    key("origins", List("an origin such as https://example.org", |d, t| table::push(&mut d.origins, origin(t))), &[],
        "The web pages whose clients belong to it, by their ORIGIN, which comes before all else. https://*.example.org stands for one label in its place; what is written out comes before that."),
    key("server-names", List("a server name such as turn.example.org", |d, t| table::push(&mut d.server_names, server_name(t))), &[],
        "The names of this server by which clients of TLS and DTLS come to it (SNI). *.example.org stands for one label in its place; what is written out comes before that."),
    key("listeners", List("a listener's address and port such as 192.0.2.1:3478 or [::]:3478", |d, t| table::push(&mut d.listeners, value::socket(t))), &[],
        "The listeners where clients come to it; 0.0.0.0 and :: mean all of a family."),
];

/// The keys of other sections that a realm may have for itself.
pub(crate) const OWN: [&str; 18] = [
    "auth.users",
    "auth.users-file",
    "auth.secrets",
    "auth.secrets-file",
    "auth.rest-separator",
    "auth.rest-max-ttl",
    "oauth.enabled",
    "oauth.server-name",
    "oauth.keys",
    "peers.allow",
    "peers.deny",
    "peers.allow-private",
    "peers.allow-loopback",
    "peers.allow-multicast",
    "peers.nat64",
    "limits.user-allocations",
    "limits.allocations",
    "limits.bandwidth",
];

/// Those by which users are known. A realm that has one of them takes none of them from above.
const CREDENTIALS: [&str; 5] = ["auth.users", "auth.users-file", "auth.secrets", "auth.secrets-file", "oauth.keys"];

/// What a realm must say for itself: a token for one is none for another.
const NEVER_INHERITED: &str = "oauth.server-name";

/// What a table `[[realm]]` says.
pub(crate) struct Told {
    /// Where it stands.
    pub(crate) site: Site,
    /// What it sets.
    pub(crate) settings: Vec<Setting>,
}

/// Looks up a key by its path within a realm.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    match path {
        "name" => table::find(NAME),
        _ => DOORS.iter().find(|key| key.path == path).or_else(|| table::find(path).filter(|_| OWN.contains(&path))),
    }
}

/// Returns whether a path within a realm is that of a section.
pub(crate) fn is_section(path: &str) -> bool {
    OWN.iter().any(|own| own.split_once('.').is_some_and(|(section, _)| section == path))
}

/// Returns every path within a realm.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ["name"].into_iter().chain(DOORS.iter().map(|key| key.path)).chain(OWN)
}

/// Adds the realms to a configuration, and to a review what is wrong with them.
pub(crate) fn add(config: &mut Config, told: &[&Told], above: &[Setting], review: &mut Review) {
    for told in told {
        let mut found = Review::default();
        let (realm, settings) = resolve(told, above, &mut found);
        // A realm that is wrong in itself is not compared: what it lacks is as above there.
        if found.errors.is_empty() {
            realm.check(config, told, &mut found);
        }
        config.realms.push(realm);
        add_new(review, found.placed(&settings));
    }
}

/// Adds what has not been said of the whole already.
fn add_new(review: &mut Review, found: Review) {
    let new = |known: &mut Vec<Remark>, found: Vec<Remark>| {
        let unsaid: Vec<Remark> = found.into_iter().filter(|remark| !known.contains(remark)).collect();
        known.extend(unsaid);
    };
    new(&mut review.errors, found.errors);
    new(&mut review.risks, found.risks);
}

/// Makes a realm of what its table says and what it takes from above, and returns all that counts for it.
fn resolve(told: &Told, above: &[Setting], found: &mut Review) -> (Realm, Vec<Setting>) {
    let mut settings: Vec<Setting> = above.iter().filter(|s| told.inherits(s.key.path)).cloned().collect();
    settings.extend(told.settings.iter().cloned());
    let mut draft = Draft::blank();
    load::store(&settings, &mut draft, &mut found.errors);
    let doors = [&mut draft.origins, &mut draft.server_names].map(std::mem::take);
    let listeners = std::mem::take(&mut draft.listeners);
    let whole = draft.finish(&mut found.errors);
    found.add(whole.validate());
    told.judge(&whole, found);
    let [origins, server_names] = doors;
    let Config { auth, oauth, peers, limits, .. } = whole;
    (Realm { origins, server_names, listeners, auth, oauth, peers, limits }, settings)
}

impl Told {
    /// Returns whether it takes this key from above.
    fn inherits(&self, path: &str) -> bool {
        let names = |path: &str| self.settings.iter().any(|s| s.key.path == path);
        let own_users = CREDENTIALS.contains(&path) && CREDENTIALS.into_iter().any(names);
        !names(path) && !own_users && path != NEVER_INHERITED
    }

    /// Returns a remark about the whole of it.
    fn remark(&self, text: impl Into<String>) -> Remark {
        self.site.remark(text)
    }

    /// Says whether anybody may allocate in it.
    fn judge(&self, config: &Config, found: &mut Review) {
        if !self.settings.iter().any(|s| s.key.path == NAME) {
            found.errors.push(self.remark("the realm has no name; add name = \"…\""));
        }
        if config.wants_fresh_user() {
            found.errors.push(self.remark("nobody may allocate in it; give it auth.users or auth.secrets"));
        }
        let stored = config.auth.users.iter().any(|user| !matches!(user.secret, UserSecret::Password(_)));
        if stored && self.inherits("auth.users") {
            let text = "it takes its users from above, whose stored keys hold another realm; give it auth.users";
            found.errors.push(self.remark(text));
        }
    }
}

impl Realm {
    /// Checks it against the whole and the realms before it.
    fn check(&self, config: &Config, told: &Told, found: &mut Review) {
        let mut error = |text: String| found.errors.push(told.remark(text));
        let before = &config.realms;
        let mut names = before.iter().map(|other| &other.auth.realm).chain([&config.auth.realm]);
        if names.any(|name| opaque_string(name).ok() == opaque_string(&self.auth.realm).ok()) {
            error(format!("{:?} is the name of two realms; give each its own", self.auth.realm));
        }
        for origin in self.origins.iter().filter(|o| before.iter().any(|other| other.origins.contains(o))) {
            error(format!("{origin} belongs to two realms; leave it with one"));
        }
        for name in self.server_names.iter().filter(|n| before.iter().any(|other| other.server_names.contains(n))) {
            error(format!("{name} belongs to two realms; leave it with one"));
        }
        for at in &self.listeners {
            if before.iter().any(|other| other.listeners.contains(at)) {
                error(format!("{at} belongs to two realms; leave it with one"));
            }
            if !config.listen.iter().any(|listener| covers(listener, *at)) {
                error(format!("nothing is listened to on {at}; add it to listen.extra"));
            }
        }
        if config.limits.total_bandwidth > 0 && self.limits.bandwidth != config.limits.bandwidth {
            error("limits.total-bandwidth counts every allocation with the same bandwidth; remove one of them".into());
        }
        let risk = &mut found.risks;
        if self.origins.is_empty() && self.server_names.is_empty() && self.listeners.is_empty() {
            risk.push(told.remark("no client comes to it; give it origins, server-names or listeners"));
        }
        if !self.server_names.is_empty() && !config.listen.iter().any(|listener| listener.tls) {
            risk.push(
                told.remark("its server-names are not used: TLS is not served; give tls.certificate and tls.key"),
            );
        }
    }
}

/// Returns whether clients can come to an address by this listener.
fn covers(listener: &Listener, at: SocketAddr) -> bool {
    let (own, other) = (listener.addr.ip(), at.ip());
    let same = own == other || own.is_unspecified() || other.is_unspecified();
    listener.addr.port() == at.port() && own.is_ipv4() == other.is_ipv4() && same
}

/// Reads an origin as browsers write it (RFC 6454 §6.2): without a path, and without the port that is the scheme's.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not an origin; write https://example.org, with a port if it is another");
    let lower = text.to_ascii_lowercase();
    let bare = std::str::from_utf8(plain_origin(lower.as_bytes())).map_err(|_| wrong())?;
    let (scheme, host) = bare.split_once("://").ok_or_else(wrong)?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if !plain(scheme) || !plain(host) || bare.len() > LONGEST_ORIGIN {
        return Err(wrong());
    }
    if scheme.contains('*') {
        return Err(misplaced(text, "https://*.example.org"));
    }
    after_wildcard(host).ok_or_else(|| misplaced(text, "https://*.example.org"))?;
    Ok(bare.to_owned())
}

/// Reads a server name, as it stands in a handshake, or a wildcard for such names.
fn server_name(text: &str) -> Result<String, String> {
    let name = after_wildcard(text).ok_or_else(|| misplaced(text, "*.example.org"))?;
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    if name.is_empty() || name.ends_with('.') || is_address || !is_name {
        return Err(format!("{text:?} is not a server name; write turn.example.org, in ASCII and without a last dot"));
    }
    Ok(text.to_ascii_lowercase())
}

/// The name of a host without the `*.` that it may begin with; none if a wildcard stands elsewhere (RFC 9525 §6.3).
fn after_wildcard(host: &str) -> Option<&str> {
    let rest = host.strip_prefix("*.").unwrap_or(host);
    let has_label = rest.starts_with(|first: char| first != '.' && first != ':');
    (!rest.contains('*') && (has_label || rest == host)).then_some(rest)
}

/// Says where a wildcard may stand.
fn misplaced(text: &str, instead: &str) -> String {
    format!("{text:?}: * stands for the whole first label of a host's name; write {instead}")
}
