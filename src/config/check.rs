//! What is wrong or risky with a configuration as a whole.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::auth::key::{NotAllowed, Part, opaque_string};
use crate::io;
use crate::turn::Addresses;
use crate::turn::discovery::Quad;

use super::setting::{Remark, Setting};
use super::{Auth, Config, External, Limits, ListenKey, Listener, Oauth, Relay, UserSecret, reach};

/// What [`Config::validate`] found.
#[derive(Clone, Debug, Default)]
pub struct Review {
    /// What must be put right before anything starts.
    pub errors: Vec<Remark>,
    /// What may run but should be known.
    pub risks: Vec<Remark>,
}

impl Review {
    /// Adds what another review found.
    pub(crate) fn add(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.risks.extend(other.risks);
    }

    /// Gives every remark the place where its key was set.
    pub(crate) fn placed(self, settings: &[Setting]) -> Self {
        let place = |remarks: Vec<Remark>| remarks.into_iter().map(|r| r.placed(settings)).collect();
        Self { errors: place(self.errors), risks: place(self.risks) }
    }

    /// Notes an error if something is so.
    pub(crate) fn error(&mut self, is_so: bool, key: &'static str, text: &str) {
        if is_so {
            self.errors.push(Remark::about(key, text));
        }
    }

    /// Notes a risk if something is so.
    pub(crate) fn risk(&mut self, is_so: bool, key: &'static str, text: &str) {
        if is_so {
            self.risks.push(Remark::about(key, text));
        }
    }
}

impl Config {
    /// Looks for what is wrong or risky across keys. Nothing is looked up outside the configuration.
    #[must_use]
    pub fn validate(&self) -> Review {
        let mut review = Review::default();
        self.listeners(&mut review);
        self.certificates(&mut review);
        self.proxies(&mut review);
        relay(&self.relay, &mut review);
        externals(&self.relay, &mut review);
        auth(&self.auth, &mut review);
        passwords(&self.auth, &mut review);
        oauth(&self.oauth, &mut review);
        self.peers(&mut review);
        limits(&self.limits, &mut review);
        review.error(
            self.redirect.servers.is_empty() && !self.redirect.at.is_empty(),
            "redirect.at",
            "nowhere to send clients; name a server in redirect.servers, or remove the addresses",
        );
        review.error(
            !is_level(&self.log.level),
            "log.level",
            "not a level; write error, warn, info, debug, trace, or target=level",
        );
        review.error(
            !self.protocol.stun && !self.protocol.turn,
            "protocol.turn",
            "neither STUN nor TURN is served; leave protocol.stun or protocol.turn on",
        );
        self.discovery(&mut review);
        self.metrics(&mut review);
        review
    }

    /// Checks that NAT behaviour discovery has what it needs, and that a client can tell its addresses apart.
    fn discovery(&self, review: &mut Review) {
        review.error(
            self.protocol.discovery && self.discovery == [None; 2],
            "protocol.discovery",
            "needs two addresses of one family; name them in listen.addresses (listening-ip), without wildcards",
        );
        let addresses = Addresses { external: self.relay.external_pairs(), ..Addresses::default() };
        let is_one = |quad: &Quad| {
            let [one, other] = quad.addresses.map(|local| addresses.public(local));
            one == other
        };
        review.error(
            self.discovery.iter().flatten().any(is_one),
            "relay.external",
            "one public address stands for both of discovery's; give PUBLIC/LOCAL for each, or turn protocol.discovery off",
        );
    }

    /// Checks that metrics have a port that no client comes to.
    fn metrics(&self, review: &mut Review) {
        let Some(at) = self.admin.metrics else { return };
        let taken = self.listen.iter().find(|one| (one.tcp || one.tls) && overlap(at, one.addr));
        if let Some(Listener { addr, .. }) = taken {
            let text = format!("{at} is taken: clients are served at TCP {addr}; give another port");
            review.errors.push(Remark::about("admin.metrics", text));
        }
    }

    /// Checks that something is listened to, once.
    fn listeners(&self, review: &mut Review) {
        review.error(
            self.listen.is_empty(),
            "listen.addresses",
            "nothing is listened to; give an address, and leave udp, tcp or tls (with a certificate) on",
        );
        for (at, one) in self.listen.iter().enumerate() {
            if self.listen[..at].iter().any(|other| collide(one, other)) {
                let (key, remedy) = match one.key {
                    ListenKey::AlternatePort => ("listen.alternate-port", "give another"),
                    ListenKey::ProxyPort => ("proxy.port", "remove one"),
                    _ => ("listen.extra", "remove one"),
                };
                review.errors.push(Remark::about(key, format!("{} is given twice; {remedy}", one.addr)));
            }
        }
    }

    /// Checks that TLS has certificates and certificates have TLS.
    fn certificates(&self, review: &mut Review) {
        let tls = self.listen.iter().any(|l| l.tls || l.dtls);
        let dtls = self.listen.iter().any(|l| l.dtls);
        let none = self.tls.certificates.is_empty();
        review.error(tls && none, "listen.extra", "TLS needs a certificate; give tls.certificate and tls.key");
        review.error(dtls && !io::dtls::SERVED, "listen.extra", NO_DTLS);
        review.error(dtls && self.tls.only_13, "listen.extra", NO_DTLS_13);
        review.risk(
            !tls && !none,
            "tls.certificate",
            "not used: TLS is off; set listen.tls = true or remove the certificate",
        );
        review.risk(
            self.tls.only_13 && self.tls.suites.iter().any(|suite| !suite.is_13()),
            "tls.ciphers",
            "some belong to TLS 1.2, which tls.require-1-3 (no-tlsv1_2) refuses; remove them",
        );
    }

    /// Checks that listeners behind proxies know their proxies, and proxies have listeners.
    fn proxies(&self, review: &mut Review) {
        let (from, behind) = (&self.proxy.from, self.listen.iter().any(|l| l.proxied));
        review.error(
            behind && from.is_empty(),
            "proxy.from",
            "nobody could connect: a listener expects a proxy's header (see proxy.port and listen.extra); \
             give the addresses of the proxies, as in proxy.from = [\"10.0.0.7\"]",
        );
        review.risk(
            !behind && !from.is_empty(),
            "proxy.from",
            "not used: no listener expects a proxy's header; give proxy.port, or proxy+tcp:// in listen.extra",
        );
        review.risk(
            behind && !self.redirect.servers.is_empty(),
            "redirect.servers",
            "clients that come by a proxy are known by the listener behind it, so the proxy's own address on this list \
             would send them in circles; leave it out",
        );
        review.risk(
            from.iter().any(|net| net.prefix_len() == 0),
            "proxy.from",
            "anybody may claim to be any client; name the proxies alone",
        );
    }

    /// Tells of peers that are usually out of reach.
    fn peers(&self, review: &mut Review) {
        let peers = &self.peers;
        review.risk(
            peers.allow_loopback,
            "peers.allow-loopback",
            "clients may reach every service of this host; for tests alone",
        );
        review.risk(
            peers.allow_private,
            "peers.allow-private",
            "clients may reach private networks; prefer single ranges in peers.allow",
        );
        review.risk(
            peers.allow_multicast,
            "peers.allow-multicast",
            "clients may send to groups; one packet becomes many",
        );
        for (nth, range) in peers.allow.iter().enumerate() {
            let dangers = reach::dangers(range);
            if !dangers.is_empty() {
                let text = format!(
                    "{range} opens {} addresses: clients may reach services of this host or keys of its cloud; \
                     allow narrower ranges",
                    dangers.join(", ")
                );
                review.risks.push(Remark::about("peers.allow", text).item(nth));
            }
        }
    }
}

/// Returns whether two listeners want the same socket.
fn collide(a: &Listener, b: &Listener) -> bool {
    let streams = (a.tcp || a.tls) && (b.tcp || b.tls);
    a.addr == b.addr && (streams || ((a.udp || a.dtls) && (b.udp || b.dtls)))
}

/// Returns whether the port of metrics is that of a listener, at an address of both. For metrics `[::]` is every address of
/// either family, for a listener it is every one of IPv6.
fn overlap(metrics: SocketAddr, listener: SocketAddr) -> bool {
    let (ip, other) = (metrics.ip(), listener.ip());
    let either = ip.is_unspecified() || other.is_unspecified();
    let both_families = ip.is_unspecified() && ip.is_ipv6();
    let meet = ip == other || both_families || (either && ip.is_ipv4() == other.is_ipv4());
    meet && metrics.port() == listener.port()
}

/// Why DTLS is refused.
pub(super) const NO_DTLS: &str =
    "this build serves no DTLS; build with `cargo build --release --features dtls`, or leave DTLS out";

/// Why DTLS is refused beside TLS 1.3 alone.
pub(super) const NO_DTLS_13: &str =
    "DTLS is served in version 1.2, which tls.require-1-3 (no-tlsv1_2) refuses; leave one out";

/// Checks relay addresses and ports.
fn relay(relay: &Relay, review: &mut Review) {
    let (low, high) = (relay.ports.start(), relay.ports.end());
    if low > high {
        let text = format!("{low} is above relay.max-port, which is {high}; exchange them");
        review.errors.push(Remark::about("relay.min-port", text));
    } else if high - low < 100 {
        let text = format!("there are {} relay ports only; each allocation takes one", high - low + 1);
        review.risks.push(Remark::about("relay.max-port", text));
    }
    review.risk(*low < 1024, "relay.min-port", "the range holds ports of system services; begin at 1024 or above");
    review.error(
        !relay.udp && !relay.tcp,
        "relay.udp",
        "nothing would be relayed, for relay.tcp is off as well; leave one on, or set protocol.turn = false (coturn: \
         stun-only)",
    );
    review.error(
        relay.addresses.iter().any(IpAddr::is_unspecified),
        "relay.addresses",
        "0.0.0.0 and :: cannot be told to peers; name addresses of this host, or none",
    );
    review.risk(
        !relay.addresses.is_empty() && relay.addresses.iter().all(IpAddr::is_loopback),
        "relay.addresses",
        "only this host can reach a loopback address; for tests alone",
    );
}

/// Checks that each public address stands for a local one.
fn externals(relay: &Relay, review: &mut Review) {
    for (at, external) in relay.external.iter().enumerate() {
        let fault = if relay.external[..at].iter().any(|other| same_local(external, other)) {
            "stands for a local address that has one; give each local address one public address, as PUBLIC/LOCAL"
        } else if !has_local(relay, external) {
            "stands for no relay address; add the local one to relay.addresses or remove this entry"
        } else {
            continue;
        };
        review.errors.push(Remark::about("relay.external", format!("{} {fault}", external.public)));
    }
}

/// Returns whether two entries stand for the same local address.
fn same_local(a: &External, b: &External) -> bool {
    a.public.is_ipv4() == b.public.is_ipv4() && a.local == b.local
}

/// Returns whether an entry stands for a relay address; without any every local address may be one.
fn has_local(relay: &Relay, external: &External) -> bool {
    let fits =
        |addr: &IpAddr| external.local.map_or(addr.is_ipv4() == external.public.is_ipv4(), |local| local == *addr);
    relay.addresses.is_empty() || relay.addresses.iter().any(fits)
}

/// Checks who may use the server.
fn auth(auth: &Auth, review: &mut Review) {
    let known = !auth.users.is_empty() || !auth.secrets.is_empty();
    review.error(
        auth.anonymous && known,
        "auth.anonymous",
        "anybody may allocate, so users and secrets mean nothing; remove it or them",
    );
    review.risk(
        auth.anonymous && !known,
        "auth.anonymous",
        "an open relay: anybody may allocate; for closed networks alone",
    );
    review.error(
        auth.realm.is_empty() || auth.realm.chars().count() > 127 || auth.realm.contains(['"', '\0']),
        "auth.realm",
        "not a realm; write up to 127 characters without quotes (RFC 8489 §14.9)",
    );
    if let (false, Err(refused)) = (auth.realm.is_empty(), opaque_string(&auth.realm)) {
        let refused = NotAllowed { part: Part::Realm, ..refused };
        review.errors.push(Remark::about("auth.realm", format!("{refused}; use letters, digits and signs")));
    }
    review.error(
        auth.rest_separator.is_ascii_digit(),
        "auth.rest-separator",
        "a digit cannot be told from the expiry; use another character",
    );
    review.risk(
        auth.nonce_lifetime.is_zero(),
        "auth.nonce-lifetime",
        "nonces are good for ever; RFC 8656 asks for an hour at most",
    );
    review.risk(auth.nonce_lifetime > HOUR, "auth.nonce-lifetime", "RFC 8656 asks for an hour at most");
}

/// An hour.
const HOUR: Duration = Duration::from_secs(3600);

/// Checks that tokens can be opened, each by one key.
fn oauth(oauth: &Oauth, review: &mut Review) {
    review.risk(
        oauth.enabled && oauth.keys.is_empty(),
        "oauth.enabled",
        "no token can be opened without a key; give oauth.keys (coturn has them in its database)",
    );
    review.risk(
        !oauth.enabled && !oauth.keys.is_empty(),
        "oauth.keys",
        "not used: set oauth.enabled = true or remove the keys",
    );
    for (at, key) in oauth.keys.iter().enumerate() {
        if oauth.keys[..at].iter().any(|other| other.kid == key.kid) {
            review.errors.push(Remark::about("oauth.keys", format!("{} is given twice; remove one", key.kid)));
        }
    }
}

/// Checks users and secrets; names are told, secrets are not.
fn passwords(auth: &Auth, review: &mut Review) {
    for user in &auth.users {
        let fault = match &user.secret {
            UserSecret::Password(password) if password.chars().count() < 8 => {
                review
                    .risks
                    .push(Remark::about("auth.users", "a password is short; use 8 characters or more".to_owned()));
                continue;
            }
            UserSecret::Md5(_) if auth.sha256_only => {
                "has an MD5 key, which auth.sha256-only refuses; make one with `hairpin key --sha256`"
            }
            _ if user.name.len() > 508 => "is longer than a user name may be (508 bytes); shorten it",
            _ => continue,
        };
        review.errors.push(Remark::about("auth.users", format!("{:?} {fault}", user.name)));
    }
    review.risk(
        auth.secrets.iter().any(|s| s.len() < 16),
        "auth.secrets",
        "a secret is short; use 16 characters or more, for example from `openssl rand -hex 32`",
    );
}

/// Checks limits against each other.
fn limits(limits: &Limits, review: &mut Review) {
    let total = limits.total_bandwidth;
    review.error(
        total > 0 && limits.bandwidth == 0,
        "limits.total-bandwidth",
        "it sums limits.bandwidth (coturn: max-bps), which is not set; set it",
    );
    review.error(
        total > 0 && total < limits.bandwidth,
        "limits.total-bandwidth",
        "no allocation fits; make it limits.bandwidth (coturn: max-bps) or more",
    );
    review.risk(
        limits.lifetime < Duration::from_secs(600),
        "limits.lifetime",
        "clients ask for 10 minutes and refresh late; use 10m or more",
    );
    let permission = limits.permission_lifetime != Duration::from_secs(300);
    review.risk(permission, "limits.permission-lifetime", "clients count on 5 minutes (RFC 8656 §9); for tests alone");
    let channel = limits.channel_lifetime != Duration::from_secs(600);
    review.risk(channel, "limits.channel-lifetime", "clients count on 10 minutes (RFC 8656 §12); for tests alone");
}

/// Returns whether a text is a level, or a filter of targets with levels.
fn is_level(text: &str) -> bool {
    let level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    text.split(',').all(|part| level(part.rsplit('=').next().unwrap_or(part).trim()))
}
