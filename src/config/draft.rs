//! A configuration that is being put together: what the keys say, before it is resolved.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::listen::Listen;
use super::setting::{Remark, Site};
use super::users::join_users;
use crate::io;

use super::{
    Admin, Auth, Certificate, Config, DefaultFamily, Http, KernelPath, Limits, Log, Oauth, Peers, Protocol, Proxy,
    Redirect, Relay, Tls, value,
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
