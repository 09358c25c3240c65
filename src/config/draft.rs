//! A configuration that is being put together: what the keys say, before it is resolved.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::setting::{Remark, Site};
use crate::auth::key::{NotAllowed, Part, opaque_string};
use crate::io;
use crate::turn::discovery::Quad;

use super::{
    Admin, Auth, Certificate, Config, DefaultFamily, Http, KernelPath, Limits, ListenKey, Listener, Log, Oauth, Peers,
    Protocol, Proxy, Redirect, Relay, Tls, User, UserSecret, value,
};

/// What the keys say. Most keys fill [`Config`] in place; the rest are resolved by [`Draft::finish`].
pub(crate) struct Draft {
    /// What needs no resolving.
    pub(crate) config: Config,
    /// Addresses, ports and transports of the listeners.
    pub(crate) listen: Listen,
    /// The lowest relay port.
    pub(crate) min_port: u16,
    /// The highest relay port.
    pub(crate) max_port: u16,
    /// At most so many workers; 0 means one for each core.
    pub(crate) workers: u32,
    /// Certificate chains, in the order of their keys.
    pub(crate) chains: Vec<PathBuf>,
    /// Private keys, in the order of their chains.
    pub(crate) keys: Vec<PathBuf>,
    /// Where each user stands.
    pub(crate) user_sites: Vec<Site>,
    /// A file of users.
    pub(crate) users_file: Option<PathBuf>,
    /// A file of shared secrets.
    pub(crate) secrets_file: Option<PathBuf>,
    /// A file with the nonce key.
    pub(crate) nonce_secret_file: Option<PathBuf>,
    /// The origins of a realm.
    pub(crate) origins: Vec<String>,
    /// The server names of a realm.
    pub(crate) server_names: Vec<String>,
    /// The listeners of a realm.
    pub(crate) listeners: Vec<SocketAddr>,
}

/// What is said about listeners.
#[derive(Default)]
pub(crate) struct Listen {
    /// Addresses that get both ports.
    pub(crate) addresses: Vec<IpAddr>,
    /// The port of UDP and TCP.
    pub(crate) port: u16,
    /// The port of TLS.
    pub(crate) tls_port: u16,
    /// The other port of NAT behaviour discovery.
    pub(crate) alternate_port: u16,
    /// The port of clients that come by a proxy; 0 for none.
    pub(crate) proxy_port: u32,
    /// Serve UDP.
    pub(crate) udp: bool,
    /// Serve TCP.
    pub(crate) tcp: bool,
    /// Serve TLS, if there is a certificate.
    pub(crate) tls: bool,
    /// Serve DTLS, if there is a certificate.
    pub(crate) dtls: bool,
    /// Further listeners.
    pub(crate) extra: Vec<Extra>,
}

/// What is served at a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transports {
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) tls: bool,
    pub(crate) dtls: bool,
}

/// A further listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    /// Its address and port.
    pub(crate) addr: SocketAddr,
    /// The transports; none means those that are on.
    pub(crate) transports: Option<Transports>,
    /// Clients come by a proxy.
    pub(crate) proxied: bool,
}

impl Draft {
    /// Makes a draft in which nothing is said, not even the defaults: those are in the table.
    pub(crate) fn blank() -> Self {
        Self {
            config: blank_config(),
            listen: Listen::default(),
            min_port: 0,
            max_port: 0,
            workers: 0,
            chains: Vec::new(),
            keys: Vec::new(),
            user_sites: Vec::new(),
            users_file: None,
            secrets_file: None,
            nonce_secret_file: None,
            origins: Vec::new(),
            server_names: Vec::new(),
            listeners: Vec::new(),
        }
    }

    /// Resolves listeners, certificates, secrets in files and users; errors go to `errors`.
    pub(crate) fn finish(mut self, errors: &mut Vec<Remark>) -> Config {
        self.read_files(errors);
        self.pair_certificates(errors);
        let users = std::mem::take(&mut self.config.auth.users).into_iter().zip(self.user_sites.drain(..));
        self.config.auth.users = join_users(users, errors);
        let dtls = io::dtls::SERVED && !self.config.tls.only_13;
        self.config.listen = self.listen.resolve(!self.config.tls.certificates.is_empty(), dtls);
        if self.config.protocol.discovery {
            self.config.discovery = self.listen.quads();
        }
        let alternates = self.listen.alternates(&self.config);
        self.config.listen.extend(alternates);
        self.config.relay.ports = self.min_port..=self.max_port;
        self.config.workers = cap_workers(self.workers);
        self.config
    }

    /// Notes where the users stand that have just been added.
    pub(crate) fn users_stand_at(&mut self, site: &Site) {
        self.user_sites.resize(self.config.auth.users.len(), site.clone());
    }

    /// Adds what stands in files of secrets.
    fn read_files(&mut self, errors: &mut Vec<Remark>) {
        for (site, line) in read_lines("auth.users-file", self.users_file.as_deref(), errors) {
            match value::user(&line) {
                Ok(user) => {
                    self.config.auth.users.push(user);
                    self.users_stand_at(&site);
                }
                Err(text) => errors.push(site.remark(text)),
            }
        }
        let secrets = read_lines("auth.secrets-file", self.secrets_file.as_deref(), errors);
        self.config.auth.secrets.extend(secrets.into_iter().map(|(_, line)| line));
        let nonce = read_lines("auth.nonce-secret-file", self.nonce_secret_file.as_deref(), errors);
        let nonce = nonce.into_iter().next().map(|(_, line)| line);
        self.config.auth.nonce_secret = nonce.or(self.config.auth.nonce_secret.take());
    }

    /// Pairs each certificate chain with its key.
    fn pair_certificates(&mut self, errors: &mut Vec<Remark>) {
        if self.chains.len() != self.keys.len() {
            let text = format!(
                "{} given, but tls.key {} times; give one key for each certificate, in the same order",
                times(self.chains.len()),
                self.keys.len()
            );
            errors.push(Remark::about("tls.certificate", text));
        }
        let pairs = self.chains.drain(..).zip(self.keys.drain(..));
        self.config.tls.certificates = pairs.map(|(chain, key)| Certificate { chain, key }).collect();
    }
}

/// Returns a number of times in words.
fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

impl Listen {
    /// Two addresses and both ports of either family, for NAT behaviour discovery.
    fn quads(&self) -> [Option<Quad>; 2] {
        let ports = [self.port, self.alternate_port];
        [IpAddr::is_ipv4 as fn(&IpAddr) -> bool, IpAddr::is_ipv6]
            .map(|family| pair(&self.addresses, family).map(|addresses| Quad { addresses, ports }))
    }

    /// The listeners that only NAT behaviour discovery needs: the other port of each of its addresses.
    fn alternates(&self, config: &Config) -> Vec<Listener> {
        let addresses = config.discovery.iter().flatten().flat_map(|quad| quad.addresses);
        let at = |ip| Listener {
            addr: SocketAddr::new(ip, self.alternate_port),
            udp: self.udp,
            tcp: self.tcp,
            tls: false,
            dtls: false,
            proxied: false,
            key: ListenKey::AlternatePort,
        };
        addresses.map(at).filter(|l| l.udp || l.tcp).collect()
    }

    /// Returns the listeners: both ports of every address, then the further ones.
    ///
    /// TLS is served where TCP is, as coturn does it: the first byte of a connection tells.
    /// DTLS is served where UDP is, and on the port of TLS.
    fn resolve(&self, certificate: bool, dtls: bool) -> Vec<Listener> {
        let tls = self.tls && certificate;
        let dtls = self.dtls && self.udp && certificate && dtls;
        let mut listeners = Vec::new();
        for &addr in &self.addresses {
            let addr = SocketAddr::new(addr, self.port);
            let (udp, tcp, key) = (self.udp, self.tcp, ListenKey::Port);
            merge(&mut listeners, Listener { addr, udp, tcp, tls, dtls, proxied: false, key });
        }
        for &addr in self.addresses.iter().filter(|_| tls || dtls) {
            let addr = SocketAddr::new(addr, self.tls_port);
            let (udp, tcp, key) = (false, self.tcp && tls, ListenKey::TlsPort);
            merge(&mut listeners, Listener { addr, udp, tcp, tls, dtls, proxied: false, key });
        }
        listeners.extend(self.behind_proxies(tls));
        listeners.extend(self.extra.iter().map(|extra| {
            let on = Transports { udp: self.udp, tcp: self.tcp, tls, dtls: dtls && !extra.proxied };
            let Transports { udp, tcp, tls, dtls } = extra.transports.unwrap_or(on);
            Listener { addr: extra.addr, udp, tcp, tls, dtls, proxied: extra.proxied, key: ListenKey::Extra }
        }));
        listeners.retain(|l| l.udp || l.tcp || l.tls || l.dtls);
        listeners
    }

    /// Returns the listeners on the port of clients that come by a proxy, if there is one.
    fn behind_proxies(&self, tls: bool) -> impl Iterator<Item = Listener> {
        let port = u16::try_from(self.proxy_port).ok().filter(|port| *port != 0);
        let (udp, tcp, proxied, key) = (false, self.tcp, true, ListenKey::ProxyPort);
        let addresses = self.addresses.iter();
        let all = addresses.filter_map(move |ip| Some(SocketAddr::new(*ip, port?)));
        all.map(move |addr| Listener { addr, udp, tcp, tls, dtls: false, proxied, key })
    }
}

/// The first two of these addresses that are of one family.
fn pair(addresses: &[IpAddr], is_it: fn(&IpAddr) -> bool) -> Option<[IpAddr; 2]> {
    let mut found = addresses.iter().copied().filter(is_it).filter(|ip| !ip.is_unspecified());
    Some([found.next()?, found.next()?])
}

/// Adds a listener, to one of the same address if there is one: both ports may be the same.
fn merge(listeners: &mut Vec<Listener>, new: Listener) {
    match listeners.iter_mut().find(|l| l.addr == new.addr) {
        Some(old) => {
            old.udp |= new.udp;
            old.tcp |= new.tcp;
            old.tls |= new.tls;
            old.dtls |= new.dtls;
        }
        None => listeners.push(new),
    }
}

/// Joins the MD5 and the SHA-256 key of one user; a user given twice otherwise is an error.
fn join_users(given: impl Iterator<Item = (User, Site)>, errors: &mut Vec<Remark>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for (user, site) in given {
        if let Err(refused) = prepared(&user) {
            errors.push(site.remark(format!("{:?}: {refused}; use letters, digits and signs", user.name)));
        }
        let at = *index.entry(user.name.clone()).or_insert(users.len());
        let Some(known) = users.get_mut(at) else {
            users.push(user);
            continue;
        };
        match join_secrets(&known.secret, &user.secret) {
            Some(both) => known.secret = both,
            None => {
                let text = format!("{:?} is given twice; keep one password, or one MD5 and one SHA-256 key", user.name);
                errors.push(site.remark(text));
            }
        }
    }
    users
}

/// Checks that clients can send the name of a user and make a key of its password (RFC 8489 §9.2.2).
fn prepared(user: &User) -> Result<(), NotAllowed> {
    let of = |part| move |refused: NotAllowed| NotAllowed { part, ..refused };
    opaque_string(&user.name).map_err(of(Part::User))?;
    if let UserSecret::Password(password) = &user.secret {
        opaque_string(password).map(drop).map_err(of(Part::Password))?;
    }
    Ok(())
}

/// Joins two keys of different algorithms; the same one twice is itself.
fn join_secrets(a: &UserSecret, b: &UserSecret) -> Option<UserSecret> {
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (UserSecret::Md5(md5), UserSecret::Sha256(sha)) | (UserSecret::Sha256(sha), UserSecret::Md5(md5)) => {
            Some(UserSecret::Both(*md5, *sha))
        }
        _ => None,
    }
}

/// Reads the lines of a file of secrets with their places, without comments and empty lines.
fn read_lines(key: &'static str, path: Option<&Path>, errors: &mut Vec<Remark>) -> Vec<(Site, String)> {
    let Some(path) = path else {
        return Vec::new();
    };
    let lines = match std::fs::read_to_string(path) {
        Ok(text) => significant_lines(&text),
        Err(error) => {
            let text = format!("{} cannot be read: {error}; name a text file that this user may read", path.display());
            errors.push(Remark::about(key, text));
            return Vec::new();
        }
    };
    if lines.is_empty() {
        errors.push(Remark::about(key, format!("{} holds nothing; write one entry on each line", path.display())));
    }
    let site = |number| Site::new(format!("{}:{number}", path.display()), key);
    lines.into_iter().map(|(number, line)| (site(number), line)).collect()
}

/// Returns the lines of a text that are neither empty nor comments, with their numbers.
fn significant_lines(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Bounds the number of workers by the number of cores: files written for coturn ask for 50 on two.
fn cap_workers(asked: u32) -> usize {
    (asked as usize).min(cores())
}

/// Returns how many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Makes a configuration that says nothing. Never handed out: the table's defaults are put on it first.
fn blank_config() -> Config {
    Config {
        listen: Vec::new(),
        discovery: [None; 2],
        proxy: Proxy::default(),
        relay: Relay {
            addresses: Vec::new(),
            ports: 0..=0,
            external: Vec::new(),
            device: None,
            default_family: DefaultFamily::Ipv4,
            udp: false,
            tcp: false,
        },
        auth: blank_auth(),
        oauth: Oauth::default(),
        peers: Peers::default(),
        limits: blank_limits(),
        tls: Tls::default(),
        http: Http::default(),
        protocol: blank_protocol(),
        redirect: Redirect::default(),
        realms: Vec::new(),
        admin: Admin::default(),
        log: Log { level: String::new(), json: false, file: None },
        workers: 0,
        busy_poll: 0,
        pidfile: None,
        kernel_path: KernelPath::Auto,
        kernel_interfaces: Vec::new(),
    }
}

/// Makes the blank part about users.
fn blank_auth() -> Auth {
    Auth {
        realm: String::new(),
        users: Vec::new(),
        secrets: Vec::new(),
        rest_separator: ':',
        rest_max_ttl: Duration::ZERO,
        anonymous: false,
        binding: false,
        nonce_lifetime: Duration::ZERO,
        nonce_secret: None,
        sha256_only: false,
    }
}

/// Makes the blank part about limits.
fn blank_limits() -> Limits {
    Limits {
        user_allocations: 0,
        source_allocations: 0,
        allocations: 0,
        permissions: 0,
        channels: 0,
        peer_connections: 0,
        lifetime: Duration::ZERO,
        permission_lifetime: Duration::ZERO,
        channel_lifetime: Duration::ZERO,
        bandwidth: 0,
        total_bandwidth: 0,
        unauthenticated: 0,
        connections: 0,
        source_connections: 0,
        source_handshakes: 0,
        socket_buffer: 0,
    }
}

/// Makes the blank part about the protocol.
fn blank_protocol() -> Protocol {
    Protocol {
        software: None,
        fingerprint: false,
        classic: false,
        legacy_channels: false,
        discovery: false,
        stun: false,
        turn: false,
        mapped_address: false,
        mobility: false,
        check_origin: false,
        reasons: false,
    }
}
