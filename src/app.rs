//! Assembly: build, run, reload, stop. The only place where all layers meet.

mod kernel;
mod redirect;
mod status;

use crate::admin::log;
use crate::auth::key::Algorithm;
use crate::auth::nonce::{BitOrder, Features, Nonces};
use crate::auth::peers::{Policy, Rules};
use crate::auth::token::Tokens;
use crate::auth::{Credentials, Secret, rest};
use crate::config::{self, Config, ListenKey, UserSecret};
use crate::io::dtls;
use crate::io::tls::{Acceptor, BadCertificate, Pair, Terms};
use crate::io::{self, Commons, ListenAddress, SocketOptions, Sockets, StreamListener, Web};
use crate::turn::limits::{Ledger, Quotas, Share};
use crate::turn::realm::{Doors, Realm};
use crate::turn::ticket::Tickets;
use crate::turn::{Addresses, DefaultFamily, Options, Server, Setup};
use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The user of a server that was told of none.
const FRESH_USER: &str = "hairpin";

/// Runs the server of this configuration until it is told to stop.
///
/// # Errors
/// What could not be built: nothing runs then.
pub fn run(mut config: Config, warnings: &[String]) -> Result<()> {
    let output = log::Output::open(config.log.file.as_deref())
        .with_context(|| format!("log.file: {}: cannot be opened", display(config.log.file.as_deref())))?;
    log::start(&config.log.level, config.log.json, &output).map_err(|error| anyhow!(error))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let fresh = fresh_user(&mut config)?;
    let plan = Plan::new(&config, fresh.is_some())?;
    let sockets = plan.open(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = Signals::catch(&runtime)?;
    write_pid(&config)?;
    announce(&config, fresh.as_deref());
    let result = plan.serve(sockets, &runtime, signals, &output);
    remove_pid(&config);
    result
}

/// Everything that workers are made of.
struct Plan {
    setup: Setup,
    commons: Arc<Commons>,
    listen: Vec<ListenAddress>,
    sockets: SocketOptions,
    workers: usize,
    tls: Option<Arc<Acceptor>>,
    dtls: Option<Arc<dtls::Acceptor>>,
}

impl Plan {
    /// Reads certificates and addresses of the host, and readies the kernel path; binds nothing.
    fn new(config: &Config, is_fresh: bool) -> Result<Self> {
        let hosts = Hosts::of(config)?;
        let (tls, dtls) = (acceptor(config)?, dtls_acceptor(config)?);
        let kernel = kernel::open(config, &hosts, is_fresh);
        let options = Options { routes: kernel.is_some(), ..options(config, &hosts) };
        let realms = realms(config, &hosts)?;
        Ok(Self {
            commons: Arc::new(
                Commons::new(
                    ledger(config, &realms),
                    config.limits.connections,
                    config.limits.source_connections,
                    kernel,
                )
                .with_web(web(config))
                .with_dtls(dtls.clone()),
            ),
            listen: config.listen.iter().map(|at| listen_address(config, at, tls.as_ref())).collect(),
            setup: Setup {
                credentials: Arc::new(credentials(config)?),
                nonces: Arc::new(nonces(config)?),
                policy: Arc::new(Policy::new(&rules(config, &hosts))),
                options: Arc::new(options),
                tickets: Arc::new(Tickets::new(random()?)),
                realms,
            },
            sockets: SocketOptions {
                buffer: config.limits.socket_buffer,
                device: config.relay.device.clone(),
                busy_poll: Duration::from_micros(config.busy_poll.into()),
            },
            workers: workers(config),
            tls,
            dtls,
        })
    }

    /// Binds every listening address.
    fn open(&self, config: &Config) -> Result<Vec<Sockets>> {
        io::raise_descriptor_limit();
        let options = SocketOptions { device: None, ..self.sockets.clone() };
        Sockets::open(&self.listen, self.workers, &options).map_err(|failed| {
            let is_udp = failed.protocol == "UDP";
            let is_it = |at: &&config::Listener| {
                at.addr == failed.addr && if is_udp { at.udp || at.dtls } else { at.tcp || at.tls }
            };
            let key = config.listen.iter().find(is_it).map_or(ListenKey::Port, |at| at.key);
            anyhow!("{failed}; {}", remedy(failed.error.kind(), key))
        })
    }

    /// Starts the workers and waits for signals.
    fn serve(&self, sockets: Vec<Sockets>, runtime: &Runtime, signals: Signals, output: &log::Output) -> Result<()> {
        let (failed, mut failures) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for (index, sockets) in sockets.into_iter().enumerate() {
            workers.push(self.spawn(index, sockets, failed.clone())?);
        }
        drop(failed);
        let result = runtime.block_on(self.wait(signals, &mut failures, output));
        // A worker ends when its line is closed. All are told before the first is waited for.
        let threads: Vec<_> = workers.into_iter().map(|(_line, thread)| thread).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a worker has panicked"))?;
        }
        status::tell(&self.commons);
        result
    }

    /// Starts one worker; it ends when the line to it is closed.
    fn spawn(
        &self,
        index: usize,
        sockets: Sockets,
        failed: mpsc::UnboundedSender<std::io::Error>,
    ) -> Result<(UnixStream, thread::JoinHandle<()>)> {
        let (line, owner) = UnixStream::pair().context("cannot start a worker")?;
        let server = Server::new(self.setup.clone(), random()?, io::clock::now());
        let (commons, options) = (Arc::clone(&self.commons), self.sockets.clone());
        let worker = move || {
            if let Err(error) = io::run(server, sockets, commons, options, &owner) {
                // If nobody listens any more, the server is stopping anyway.
                _ = failed.send(error);
            }
        };
        let thread = thread::Builder::new().name(format!("hairpin-{index}")).spawn(worker);
        Ok((line, thread.context("cannot start a worker")?))
    }

    /// Waits for a signal to stop; until then reopens the log and reloads certificates on SIGHUP, and tells how it stands
    /// on SIGUSR1.
    async fn wait(
        &self,
        mut signals: Signals,
        failures: &mut mpsc::UnboundedReceiver<std::io::Error>,
        output: &log::Output,
    ) -> Result<()> {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break tracing::info!("stopping: SIGTERM"),
                _ = signals.interrupt.recv() => break tracing::info!("stopping: SIGINT"),
                _ = signals.hangup.recv() => self.reload(output),
                _ = signals.status.recv() => status::tell(&self.commons),
                Some(error) = failures.recv() => bail!("a worker has failed: {error}"),
            }
        }
        Ok(())
    }

    /// Opens the log again and reads the certificates again. What cannot be had stays as it was.
    fn reload(&self, output: &log::Output) {
        match output.reopen() {
            Ok(()) => tracing::info!("reload: log reopened"),
            Err(error) => tracing::warn!(%error, "reload: the log file cannot be opened; the old one stays in use"),
        }
        if self.tls.is_none() && self.dtls.is_none() {
            return;
        }
        match self.reload_certificates() {
            Ok(()) => tracing::info!("reload: certificates read"),
            Err(error) => tracing::warn!(%error, "reload: certificates stay as they were"),
        }
    }

    /// Reads the certificates again, those of DTLS only if those of TLS are good: the files are the same.
    fn reload_certificates(&self) -> Result<(), BadCertificate> {
        self.tls.as_ref().map_or(Ok(()), |acceptor| acceptor.reload())?;
        self.dtls.as_ref().map_or(Ok(()), |acceptor| acceptor.reload())
    }
}

/// What to do where a listener cannot be opened, by the key that it comes from.
fn remedy(error: std::io::ErrorKind, key: ListenKey) -> String {
    let port = key.names();
    let address = if key == ListenKey::Extra { port } else { "listen.addresses (listening-ip)" };
    match error {
        std::io::ErrorKind::AddrInUse => {
            format!("another program has this port: stop it, or choose another with {port}")
        }
        std::io::ErrorKind::AddrNotAvailable => format!("this host does not have the address: see {address}"),
        std::io::ErrorKind::PermissionDenied => {
            format!("a port below 1024 needs the capability CAP_NET_BIND_SERVICE, or choose another with {port}")
        }
        _ if address == port => format!("see {port}"),
        _ => format!("see {address} and {port}"),
    }
}

/// The signals of whoever runs the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    status: Signal,
}

impl Signals {
    /// Catches them from now on: before anybody learns of this process by its pidfile or its answers, for until
    /// then each of them ends it on the spot.
    fn catch(runtime: &Runtime) -> Result<Self> {
        let _inside = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            status: signal(SignalKind::user_defined1())?,
        })
    }
}

/// The host's addresses, as far as the configuration leaves them open.
struct Hosts {
    /// Every address of the host, with its interface.
    named: Vec<(String, IpAddr)>,
    /// Every address of the host.
    all: Vec<IpAddr>,
    /// Where relay sockets are bound.
    relays: Vec<IpAddr>,
}

impl Hosts {
    fn of(config: &Config) -> Result<Self> {
        let named = io::host_addresses().context("cannot list the addresses of this host")?;
        let all: Vec<IpAddr> = named.iter().map(|(_, ip)| *ip).collect();
        let relays = if config.relay.addresses.is_empty() {
            [true, false].into_iter().filter_map(|v4| likely_relay(config, &all, v4)).collect()
        } else {
            config.relay.addresses.clone()
        };
        Ok(Self { named, all, relays })
    }
}

/// The relay address of a family where none is configured: one that clients are served on, else the host's
/// most public one.
fn likely_relay(config: &Config, all: &[IpAddr], v4: bool) -> Option<IpAddr> {
    let listening = config.listen.iter().map(|at| at.addr.ip());
    if let Some(ip) = listening.clone().find(|ip| ip.is_ipv4() == v4 && !ip.is_unspecified()) {
        return Some(ip);
    }
    // Who listens on addresses of one family alone has not said that the other may be used.
    let everywhere = listening.clone().any(|ip| ip.is_unspecified());
    let open = all.iter().copied().filter(|ip| everywhere && ip.is_ipv4() == v4 && privacy(*ip) < LINK_LOCAL);
    open.min_by_key(|ip| privacy(*ip))
}

/// How far from public an address of the host is.
fn privacy(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_loopback() => LOOPBACK,
        IpAddr::V4(ip) if ip.is_link_local() => LINK_LOCAL,
        IpAddr::V4(ip) => u8::from(ip.is_private()),
        IpAddr::V6(ip) if ip.is_loopback() => LOOPBACK,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(ip) => u8::from(ip.is_unique_local()),
    }
}

/// An address that only its own link knows.
const LINK_LOCAL: u8 = 2;
/// An address that only this host knows.
const LOOPBACK: u8 = 3;

/// The choices and limits of the core.
fn options(config: &Config, hosts: &Hosts) -> Options {
    let (limits, protocol) = (&config.limits, &config.protocol);
    Options {
        addresses: Addresses {
            local: hosts.relays.clone(),
            follow_client: config.relay.addresses.is_empty(),
            external: config.relay.external_pairs(),
            own: own_relays(config, hosts),
        },
        ports: config.relay.ports.clone(),
        default_family: match config.relay.default_family {
            config::DefaultFamily::Ipv4 => DefaultFamily::Ipv4,
            config::DefaultFamily::Ipv6 => DefaultFamily::Ipv6,
            config::DefaultFamily::Client => DefaultFamily::Client,
        },
        quotas: quotas(limits),
        permissions: limits.permissions as usize,
        channels: limits.channels as usize,
        connections: limits.peer_connections as usize,
        udp_relays: config.relay.udp,
        tcp_relays: config.relay.tcp,
        own_streams: own_streams(config, hosts),
        lifetime: limits.lifetime,
        permission_lifetime: limits.permission_lifetime,
        channel_lifetime: limits.channel_lifetime,
        bandwidth: limits.bandwidth,
        // Each worker counts for itself, and a source can reach them all.
        unauthenticated: limits.unauthenticated.div_ceil(workers(config) as u32),
        algorithms: algorithms(config),
        anonymous: config.auth.anonymous,
        binding_auth: config.auth.binding,
        software: protocol.software.clone(),
        fingerprint: protocol.fingerprint,
        classic: protocol.classic,
        legacy_channels: protocol.legacy_channels,
        discovery: config.discovery,
        stun: protocol.stun,
        turn: protocol.turn,
        mapped_address: protocol.mapped_address,
        reasons: protocol.reasons,
        mobility: protocol.mobility,
        routes: false,
        check_origin: protocol.check_origin,
        redirect: redirect::of(config, hosts),
    }
}

/// Every address at which this server listens for streams.
fn own_streams(config: &Config, hosts: &Hosts) -> Vec<SocketAddr> {
    let streams = config.listen.iter().filter(|at| at.tcp || at.tls);
    streams.flat_map(|at| listeners_at(config, at.addr, hosts.all.iter().copied())).collect()
}

/// Quotas; a total bandwidth admits as many allocations as may each use their own.
fn quotas(limits: &config::Limits) -> Quotas {
    let by_bandwidth = limits.total_bandwidth.checked_div(limits.bandwidth).filter(|_| limits.total_bandwidth != 0);
    let by_bandwidth = by_bandwidth.map(|count| u32::try_from(count).unwrap_or(u32::MAX).max(1));
    let total = match (limits.allocations, by_bandwidth) {
        (count, None) => count,
        (0, Some(count)) => count,
        (a, Some(b)) => a.min(b),
    };
    Quotas { user: limits.user_allocations, source: limits.source_allocations, total }
}

/// Who may have how many allocations: in all, and in each realm.
fn ledger(config: &Config, realms: &[Realm]) -> Ledger {
    let shares = config.realms.iter().zip(realms).map(|(told, realm)| {
        let limits = &told.limits;
        (realm.credentials.realm().into(), Share { user: limits.user_allocations, total: limits.allocations })
    });
    Ledger::new(quotas(&config.limits)).with_shares(shares)
}

/// The realms beside the default one.
fn realms(config: &Config, hosts: &Hosts) -> Result<Arc<[Realm]>> {
    config.realms.iter().map(|realm| domain(realm, config, hosts)).collect()
}

/// A realm.
fn domain(realm: &config::Realm, whole: &Config, hosts: &Hosts) -> Result<Realm> {
    let config = realm.applied_to(whole);
    let doors = Doors {
        origins: realm.origins.clone(),
        server_names: realm.server_names.clone(),
        listeners: realm.listeners.clone(),
    };
    Ok(Realm {
        credentials: Arc::new(credentials(&config)?),
        nonces: Arc::new(nonces(&config)?),
        policy: Arc::new(Policy::new(&rules(&config, hosts))),
        bandwidth: config.limits.bandwidth,
        doors,
    })
}

/// The password algorithms that are offered, best first.
fn algorithms(config: &Config) -> Vec<Algorithm> {
    if config.auth.sha256_only { vec![Algorithm::Sha256] } else { vec![Algorithm::Sha256, Algorithm::Md5] }
}

/// Who is known.
fn credentials(config: &Config) -> Result<Credentials> {
    let auth = &config.auth;
    let mut credentials = Credentials::new(&auth.realm, random()?);
    credentials.rest(rest::Rules { separator: auth.rest_separator, max_ttl: auth.rest_max_ttl, ..Default::default() });
    for user in &auth.users {
        let secret = match &user.secret {
            UserSecret::Password(password) => Secret::Password(password.clone()),
            UserSecret::Md5(key) => Secret::Md5(*key),
            UserSecret::Sha256(key) => Secret::Sha256(*key),
            UserSecret::Both(md5, sha256) => Secret::Both(*md5, *sha256),
        };
        credentials.add_user(&user.name, &secret).map_err(|error| anyhow!("auth.users: {}: {error}", user.name))?;
    }
    for secret in &auth.secrets {
        credentials.add_secret(secret);
    }
    if config.oauth.enabled {
        credentials.accept_tokens(tokens(config)?);
    }
    Ok(credentials)
}

/// What opens access tokens.
fn tokens(config: &Config) -> Result<Tokens> {
    let oauth = &config.oauth;
    let mut tokens = Tokens::new(oauth.name(&config.auth.realm));
    for key in &oauth.keys {
        let added = tokens.add(&key.kid, key.cipher, &key.key, key.end);
        added.map_err(|_| anyhow!("oauth.keys: {}: the key is too short", key.kid))?;
    }
    Ok(tokens)
}

/// Nonces, with a key of this process or of a fleet.
fn nonces(config: &Config) -> Result<Nonces> {
    let key = match &config.auth.nonce_secret {
        None => random()?,
        Some(secret) => {
            let mut key = [0; 32];
            key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref());
            key
        }
    };
    // A time-limited name is made by somebody else, so its hash tells nobody whose it is: where there are such
    // names, clients must not be invited to hide theirs. The same goes for the keys of third parties.
    let anonymity = config.auth.secrets.is_empty() && !config.oauth.enabled;
    let features = Features { password_algorithms: algorithms(config), anonymity, order: BitOrder::Both };
    Ok(Nonces::new(key, &config.auth.realm, config.auth.nonce_lifetime, &features))
}

/// Which peers may be reached: never the server's own listeners, always its own relays.
fn rules(config: &Config, hosts: &Hosts) -> Rules {
    let public = config.relay.external.iter().map(|e| e.public);
    let mut relays = own_relays(config, hosts);
    relays.extend(public.clone());
    let (peers, own) = (&config.peers, hosts.all.iter().copied().chain(public));
    // A port that serves TCP alone may be any client's and any peer's on UDP.
    let udp = config.listen.iter().filter(|at| at.udp || at.dtls);
    Rules {
        allow: peers.allow.clone(),
        deny: peers.deny.clone(),
        loopback: peers.allow_loopback,
        multicast: peers.allow_multicast,
        private: peers.allow_private,
        nat64: peers.nat64.clone(),
        own_listeners: udp.flat_map(|at| listeners_at(config, at.addr, own.clone())).collect(),
        own_hosts: own.filter(|ip| privacy(*ip) < LOOPBACK).collect(),
        relays,
        relay_ports: Some(config.relay.ports.clone()),
    }
}

/// Every local address that a relay may have. Where relays follow the client, that is whatever a client can
/// come to.
fn own_relays(config: &Config, hosts: &Hosts) -> Vec<IpAddr> {
    let mut relays = hosts.relays.clone();
    if config.relay.addresses.is_empty() {
        let everywhere = config.listen.iter().any(|at| at.addr.ip().is_unspecified());
        relays.extend(hosts.all.iter().filter(|ip| everywhere && privacy(**ip) < LOOPBACK));
        relays.extend(config.listen.iter().map(|at| at.addr.ip()).filter(|ip| !ip.is_unspecified()));
    }
    relays.sort_unstable();
    relays.dedup();
    relays
}

/// A listening address, the public one before it, and each address of the host that it stands for.
fn listeners_at(config: &Config, addr: SocketAddr, own: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let everywhere = addr.ip().is_unspecified();
    let before = |e: &&config::External| e.local.map_or(e.public.is_ipv4() == addr.is_ipv4(), |l| l == addr.ip());
    let public = config.relay.external.iter().filter(before).map(|e| e.public);
    let stands_for = own.filter(|ip| everywhere && ip.is_ipv4() == addr.is_ipv4());
    let all = stands_for.chain(public).chain([addr.ip()]);
    all.map(|ip| SocketAddr::new(ip, addr.port())).collect()
}

/// The certificates, if TLS is served anywhere.
fn acceptor(config: &Config) -> Result<Option<Arc<Acceptor>>> {
    if !config.listen.iter().any(|at| at.tls) {
        return Ok(None);
    }
    Ok(Some(Arc::new(Acceptor::new(terms(config)).map_err(|error| anyhow!("TLS: {error}"))?)))
}

/// The certificates for DTLS, if it is served anywhere.
fn dtls_acceptor(config: &Config) -> Result<Option<Arc<dtls::Acceptor>>> {
    if !config.listen.iter().any(|at| at.dtls) {
        return Ok(None);
    }
    Ok(Some(Arc::new(dtls::Acceptor::new(terms(config)).map_err(|error| anyhow!("DTLS: {error}"))?)))
}

/// On what terms both are served.
fn terms(config: &Config) -> Terms {
    let pair = |c: &config::Certificate| Pair { chain: c.chain.clone(), key: c.key.clone() };
    let tls = &config.tls;
    Terms {
        pairs: tls.certificates.iter().map(pair).collect(),
        authorities: tls.client_authorities.clone(),
        only_13: tls.only_13,
        suites: tls.suites.clone(),
    }
}

/// What is served by HTTP.
fn web(config: &Config) -> Web {
    let config::Http { challenges, redirect } = config.http.clone();
    if let Some(folder) = challenges.as_deref().filter(|folder| !folder.is_dir()) {
        tracing::warn!(folder = %folder.display(), "http.acme-directory: is no directory now; no challenge is answered");
    }
    Web { challenges, redirect }
}

/// Reads the certificates as a start would, and forgets them.
///
/// # Errors
/// Which file is wrong, and why: the server would not start.
pub fn certificates(config: &Config) -> Result<(), String> {
    acceptor(config).and_then(|_| dtls_acceptor(config)).map(drop).map_err(|error| error.to_string())
}

/// What is served at a listening address.
fn listen_address(config: &Config, at: &config::Listener, tls: Option<&Arc<Acceptor>>) -> ListenAddress {
    let tls = tls.filter(|_| at.tls).cloned();
    let legacy = config.protocol.legacy_channels;
    let proxies = at.proxied.then(|| Arc::from(config.proxy.from.as_slice()));
    let stream =
        (at.tcp || tls.is_some()).then(|| StreamListener { tcp: at.tcp, tls, legacy, proxies: proxies.clone() });
    ListenAddress { addr: at.addr, udp: at.udp, dtls: at.dtls, stream, proxies }
}

/// How many workers there are: one for each core, unless fewer are wanted.
fn workers(config: &Config) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if config.workers == 0 { cores } else { config.workers.min(cores) }
}

/// Gives a server that knows nobody one user with a random password.
fn fresh_user(config: &mut Config) -> Result<Option<String>> {
    if !config.wants_fresh_user() {
        return Ok(None);
    }
    let password = URL_SAFE_NO_PAD.encode(random::<18>()?);
    let secret = UserSecret::Password(password.clone());
    config.auth.users.push(config::User { name: FRESH_USER.to_owned(), secret });
    Ok(Some(password))
}

/// Says what runs; to whom nobody was named, also how to use it.
fn announce(config: &Config, fresh: Option<&str>) {
    for listener in &config.listen {
        let config::Listener { addr, udp, tcp, tls, dtls, proxied, .. } = listener;
        tracing::info!(address = %addr, udp, tcp, tls, dtls, proxied, "serving");
    }
    let Some(password) = fresh else { return };
    let hosts = config::Hosts::find(config, None);
    let Some(entry) = config::ice_server(config, &hosts, FRESH_USER, password) else {
        println!("user {FRESH_USER}, password {password}");
        return;
    };
    println!("iceServers: [{entry:#}]");
    println!("This user lasts until the server stops. To keep one: hairpin reference > hairpin.toml, then auth.users.");
}

/// Writes the process id, where that is wanted.
fn write_pid(config: &Config) -> Result<()> {
    let Some(path) = &config.pidfile else { return Ok(()) };
    std::fs::write(path, format!("{}\n", std::process::id()))
        .with_context(|| format!("pidfile: {}: cannot be written", path.display()))
}

/// Removes what [`write_pid`] wrote.
fn remove_pid(config: &Config) {
    if let Some(path) = &config.pidfile {
        // A file that has gone already is as good as removed.
        _ = std::fs::remove_file(path);
    }
}

/// Secret random bytes of the system.
fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

/// A path for a message.
fn display(path: Option<&std::path::Path>) -> String {
    path.map(|p| p.display().to_string()).unwrap_or_default()
}
