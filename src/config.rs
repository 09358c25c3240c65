//! The configuration: what it means.
//!
//! [`Config`] is plain data. [`Sources::load`] makes one from a file (TOML or coturn's), the environment
//! and the command line. Every reader and writer works from one table of keys. To read on: `table` (every
//! key), `load` (from sources to a configuration), `native` and `coturn` (the two formats), `options` (the
//! options of coturn that are no key), `draft` with `listen` and `users` (what follows from the keys), `check` (what is
//! wrong or risky as a whole).

pub(crate) mod admin;
mod alternate;
mod check;
pub(crate) mod coturn;
mod draft;
mod environment;
mod host;
mod ice;
pub(crate) mod key;
pub(crate) mod kind;
mod listen;
mod load;
mod native;
mod near;
mod options;
mod reach;
mod realm;
mod report;
pub(crate) mod setting;
pub(crate) mod table;
mod users;
mod value;
mod write;

use crate::auth::peers::Range;
use crate::auth::token::Cipher;
use crate::io::tls::Suite;
use crate::turn::discovery::Quad;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use admin::{Admin, ControlSocket};
pub use alternate::{Alternate, Redirect};
pub use check::Review;
pub use ice::{Hosts, ice_server};
pub use listen::{ListenKey, Listener};
pub use load::{Failed, Loaded, Sources, from_text};
pub use realm::Realm;
pub use report::report;
pub use setting::{Reading, Remark};
pub use users::{User, UserSecret};
pub(crate) use value::{duration, oauth_key};
pub use write::{convert, reference};

/// Everything hairpin was told, defaults filled in. Plain data; `app` hands each layer its part.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients are served.
    pub listen: Vec<Listener>,
    /// Those of them that serve NAT behaviour discovery: two addresses and two ports of IPv4, and of IPv6.
    pub discovery: [Option<Quad>; 2],
    /// Proxies that say for whom they connect.
    pub proxy: Proxy,
    /// Relay addresses and ports.
    pub relay: Relay,
    /// Who may allocate.
    pub auth: Auth,
    /// Third parties that may authorise clients.
    pub oauth: Oauth,
    /// Which peers may be reached.
    pub peers: Peers,
    /// What a client, a user and all together may take.
    pub limits: Limits,
    /// Certificates for TLS.
    pub tls: Tls,
    /// What is served by HTTP beside TURN.
    pub http: Http,
    /// Choices of protocol.
    pub protocol: Protocol,
    /// Other servers to which clients are sent.
    pub redirect: Redirect,
    /// Further realms; the default one is what is said above.
    pub realms: Vec<Realm>,
    /// What operators are served.
    pub admin: Admin,
    /// What is logged, how and where.
    pub log: Log,
    /// Worker threads, never more than cores; 0 means one for each core.
    pub workers: usize,
    /// Microseconds for which a worker looks for packets before it sleeps.
    pub busy_poll: u32,
    /// Where the process id is written, if anywhere.
    pub pidfile: Option<PathBuf>,
    /// Whether the kernel forwards established flows.
    pub kernel_path: KernelPath,
    /// Interfaces with the kernel path; empty stands for those that carry an address of this server.
    pub kernel_interfaces: Vec<String>,
}

impl Default for Config {
    /// Returns the defaults of the table: what runs without a file.
    fn default() -> Self {
        load::built_in()
    }
}

impl Config {
    /// Returns whether nobody could allocate, so that a fresh random user should be made at the start.
    #[must_use]
    pub fn wants_fresh_user(&self) -> bool {
        let auth = &self.auth;
        let third_parties = self.oauth.enabled && !self.oauth.keys.is_empty();
        self.protocol.turn && !auth.anonymous && auth.users.is_empty() && auth.secrets.is_empty() && !third_parties
    }
}

/// Returns the TOML path of every key.
pub fn keys() -> impl Iterator<Item = &'static str> {
    table::KEYS.iter().map(|key| key.path)
}

/// Returns every name of coturn's that is known, whatever becomes of it.
pub fn coturn_names() -> impl Iterator<Item = &'static str> {
    coturn::names().map(|(name, _)| name)
}

/// Whether the kernel relays established channels (XDP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelPath {
    /// The best that works, found out at the start.
    #[default]
    Auto,
    /// Never: packets are relayed in user space.
    Off,
    /// In the driver, or not at all.
    Native,
    /// In the kernel's generic hook, or not at all.
    Generic,
    /// Where the kernel's stack takes packets in, or not at all.
    Tc,
}

/// Who may say for whom they connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proxy {
    /// The addresses of the proxies.
    pub from: Vec<ipnet::IpNet>,
}

/// Where relayed addresses come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Relay {
    /// Local addresses of relay sockets; empty means the address that the client came to and, for the
    /// other family, the first suitable one of the host.
    pub addresses: Vec<IpAddr>,
    /// UDP ports of relay sockets.
    pub ports: RangeInclusive<u16>,
    /// Public addresses of local ones, where a 1:1 NAT stands before the server.
    pub external: Vec<External>,
    /// Network device to which relay sockets are bound (SO_BINDTODEVICE), if any.
    pub device: Option<String>,
    /// The family of an allocation that names none (RFC 8656 §7.2 says IPv4).
    pub default_family: DefaultFamily,
    /// Relay UDP.
    pub udp: bool,
    /// Relay TCP (RFC 6062).
    pub tcp: bool,
}

impl Relay {
    /// The public addresses, each with the local one that it stands for, if it is named.
    #[must_use]
    pub fn external_pairs(&self) -> Vec<(IpAddr, Option<IpAddr>)> {
        self.external.iter().map(|one| (one.public, one.local)).collect()
    }
}

/// A public address and the local one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    /// What clients are told.
    pub public: IpAddr,
    /// The local address it stands for; none means every local address of the same family.
    pub local: Option<IpAddr>,
}

/// The family of an allocation that names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultFamily {
    /// IPv4, as RFC 8656 says.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
    /// That of the client.
    Client,
}

/// Who may use the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The realm of long-term credentials.
    pub realm: String,
    /// Users with a password or stored keys.
    pub users: Vec<User>,
    /// Shared secrets of time-limited credentials; any of them is good.
    pub secrets: Vec<String>,
    /// What stands between expiry and identity in a time-limited user name.
    pub rest_separator: char,
    /// How far ahead the expiry of a time-limited user name may lie; zero means any.
    pub rest_max_ttl: Duration,
    /// Anybody may allocate without credentials (an open relay).
    pub anonymous: bool,
    /// Binding requests need credentials too.
    pub binding: bool,
    /// How long a nonce is good; zero means for ever.
    pub nonce_lifetime: Duration,
    /// A nonce key shared by a fleet (any text; hashed); none means a random one for this process.
    pub nonce_secret: Option<String>,
    /// Refuse clients that use MD5 keys or SHA-1 integrity.
    pub sha256_only: bool,
}

/// Third-party authorisation (RFC 7635).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oauth {
    /// Clients are told of it, and their tokens are opened.
    pub enabled: bool,
    /// The name for which tokens are sealed; none means the realm.
    pub server_name: Option<String>,
    /// The keys shared with authorisation servers.
    pub keys: Vec<OauthKey>,
}

impl Oauth {
    /// The name for which tokens are sealed in this realm.
    #[must_use]
    pub fn name<'a>(&'a self, realm: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(realm)
    }
}

/// A key shared with an authorisation server.
#[derive(Clone, PartialEq, Eq)]
pub struct OauthKey {
    /// Its identifier, which clients send as their user name.
    pub kid: String,
    /// What tokens are sealed with.
    pub cipher: Cipher,
    /// The key; it is long enough, and only its first bytes count.
    pub key: Vec<u8>,
    /// The last second, in Unix time, at which its tokens are good; none for ever.
    pub end: Option<u64>,
    /// The authorisation server whose it is; empty where all keys are one's.
    pub group: String,
}

impl std::fmt::Debug for OauthKey {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OauthKey({:?})", self.kid)
    }
}

/// Which peers may be reached; allow wins over deny, both over the built-in list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peers {
    /// Reachable whatever else is said.
    pub allow: Vec<Range>,
    /// Not reachable, beyond the built-in list.
    pub deny: Vec<Range>,
    /// Loopback addresses are reachable (for tests).
    pub allow_loopback: bool,
    /// Multicast groups are reachable.
    pub allow_multicast: bool,
    /// Private and CGNAT ranges (RFC 1918, RFC 6598, ULA) are reachable.
    pub allow_private: bool,
    /// Further NAT64 prefixes whose embedded IPv4 addresses are judged (RFC 6052).
    pub nat64: Vec<ipnet::Ipv6Net>,
}

/// What may be taken. Zero means no limit, where not said otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Allocations of one user.
    pub user_allocations: u32,
    /// Allocations from one source address.
    pub source_allocations: u32,
    /// Allocations in all.
    pub allocations: u32,
    /// Permissions of one allocation (never unlimited).
    pub permissions: u32,
    /// Channels of one allocation (never unlimited).
    pub channels: u32,
    /// Connections to peers of one allocation.
    pub peer_connections: u32,
    /// Longest lifetime of an allocation.
    pub lifetime: Duration,
    /// How long a permission lasts (RFC 8656 §9 says 300 s; other values are for tests).
    pub permission_lifetime: Duration,
    /// How long a channel lasts (RFC 8656 §12 says 600 s; other values are for tests).
    pub channel_lifetime: Duration,
    /// Bytes per second of one allocation, each direction.
    pub bandwidth: u64,
    /// Sum of the bandwidth of all allocations, bytes per second, at admission.
    pub total_bandwidth: u64,
    /// Unauthenticated requests answered per second and source address.
    pub unauthenticated: u32,
    /// TCP and TLS connections in all.
    pub connections: u32,
    /// TCP and TLS connections from one source address.
    pub source_connections: u32,
    /// TLS and DTLS handshakes that one source address begins in a second.
    pub source_handshakes: u32,
    /// Socket buffers, bytes.
    pub socket_buffer: u32,
}

/// Certificates, and who is served with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// Pairs of PEM files; the first is used where no name fits.
    pub certificates: Vec<Certificate>,
    /// TLS 1.3 only.
    pub only_13: bool,
    /// Authorities of which clients must show a certificate; none if they need not show any.
    pub client_authorities: Option<PathBuf>,
    /// Cipher suites; of a version that has none here, all.
    pub suites: Vec<Suite>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM file with the chain, leaf first.
    pub chain: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// What is served by HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Http {
    /// The folder with the answers to ACME's challenges.
    pub challenges: Option<PathBuf>,
    /// Where challenges are redirected to; the name of the challenge follows.
    pub redirect: Option<String>,
}

/// Choices of protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// The SOFTWARE attribute; none is sent if absent.
    pub software: Option<String>,
    /// FINGERPRINT in every answer, not only to those who send it.
    pub fingerprint: bool,
    /// Answer RFC 3489 clients.
    pub classic: bool,
    /// Allow channel numbers up to 0x7FFE (RFC 5766).
    pub legacy_channels: bool,
    /// Serve NAT behaviour discovery (RFC 5780).
    pub discovery: bool,
    /// Answer Binding requests.
    pub stun: bool,
    /// Serve TURN.
    pub turn: bool,
    /// MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS in Binding answers.
    pub mapped_address: bool,
    /// Allocations may move to another address of their client (RFC 8016).
    pub mobility: bool,
    /// The requests about an allocation must all have the ORIGIN of the one that made it.
    pub check_origin: bool,
    /// Reason phrases in error answers.
    pub reasons: bool,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// error, warn, info, debug, trace, or a tracing filter.
    pub level: String,
    /// JSON lines instead of text.
    pub json: bool,
    /// A file; none means standard error.
    pub file: Option<PathBuf>,
}
