//! The steps, one after the other; after the first that fails there are no more.

use super::client::{Answer, Client};
use super::echo::{self, CHANNEL, Peer};
use super::fault::Fault;
use super::link::Link;
use super::{Entry, Options};
use crate::client::target::Transport;
use crate::client::tls;
use crate::wire::{Method, alpn, attribute};
use rustls::ClientConfig;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path as File;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where systems keep the roots that they trust.
const ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// REQUESTED-TRANSPORT: UDP.
const UDP: u32 = 17 << 24;

/// One step, and how it went.
pub(super) struct Step {
    /// What was tried.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// What was learnt, or why it failed.
    pub outcome: Result<String, Fault>,
}

/// One address of a server, and how far it was walked.
pub(super) struct Path {
    /// The URL.
    pub url: String,
    /// The address, if the name has one.
    pub server: Option<SocketAddr>,
    /// What was tried.
    pub steps: Vec<Step>,
    /// What a browser would gather here: kind and address.
    pub candidates: Vec<(&'static str, SocketAddr)>,
}

impl Path {
    /// A path of which nothing is known yet.
    fn new(entry: &Entry, server: Option<SocketAddr>) -> Self {
        Self { url: entry.target.to_string(), server, steps: Vec::new(), candidates: Vec::new() }
    }

    /// Everything that was tried works.
    pub(super) fn works(&self) -> bool {
        self.steps.iter().all(|step| step.outcome.is_ok())
    }

    /// Tries something, and writes down how it went and how long it took. None if it failed.
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<(T, String), Fault>) -> Option<T> {
        let began = Instant::now();
        let (value, outcome) = match work() {
            Ok((value, text)) => (Some(value), Ok(text)),
            Err(fault) => (None, Err(fault)),
        };
        self.steps.push(Step { name, took: began.elapsed(), outcome });
        value
    }
}

/// Walks to every address of every server.
pub(super) fn all(options: &Options) -> Result<Vec<Path>, String> {
    let needs_tls = options.entries.iter().any(|entry| entry.target.transport.is_secure());
    let tls = needs_tls.then(|| trust(options)).transpose()?;
    let paths = options.entries.iter().map(|entry| Walk { options, entry, tls: tls.as_ref() }.everywhere());
    Ok(paths.flatten().collect())
}

/// Reads whose certificates are trusted.
fn trust(options: &Options) -> Result<Arc<ClientConfig>, String> {
    let roots = roots(options);
    if roots.is_none() && !options.insecure {
        return Err("this system has no file of roots; give --ca FILE, or --insecure".to_owned());
    }
    let mut config = tls::settings(roots)?;
    config.alpn_protocols = alpn::NAMES.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The file of roots that count; none if any certificate is good, or there is no such file.
fn roots(options: &Options) -> Option<&File> {
    let system = || ROOTS.iter().map(File::new).find(|file| file.exists());
    options.roots.as_deref().or_else(system).filter(|_| !options.insecure)
}

/// What is the same for all addresses of a server.
struct Walk<'a> {
    options: &'a Options,
    entry: &'a Entry,
    tls: Option<&'a Arc<ClientConfig>>,
}

impl<'a> Walk<'a> {
    /// Looks the name up and walks to each address.
    fn everywhere(&self) -> Vec<Path> {
        let target = &self.entry.target;
        let began = Instant::now();
        let found = (target.host.as_str(), target.port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let took = began.elapsed();
        match found {
            Ok(list) if !list.is_empty() => list.into_iter().map(|server| self.to(server, took)).collect(),
            Ok(_) => vec![self.nowhere("none was found".to_owned(), took)],
            Err(error) => vec![self.nowhere(error.to_string(), took)],
        }
    }

    /// The path to a name without address.
    fn nowhere(&self, why: String, took: Duration) -> Path {
        let mut path = Path::new(self.entry, None);
        path.steps.push(Step { name: "resolve", took, outcome: Err(Fault::NoName(why)) });
        path
    }

    /// Walks to one address.
    fn to(&self, server: SocketAddr, took: Duration) -> Path {
        let mut path = Path::new(self.entry, Some(server));
        path.steps.push(Step { name: "resolve", took, outcome: Ok(server.ip().to_string()) });
        self.walk(&mut path, server);
        path
    }

    /// Takes the steps, as far as they lead.
    fn walk(&self, path: &mut Path, server: SocketAddr) -> Option<()> {
        let link = self.connect(path, server)?;
        let mut client = Client::new(link, self.entry.user.as_ref(), self.options.timeout);
        let mapped = path.step("binding", || self.binding(&mut client, server))?;
        let local = client.link.local().ok()?;
        path.candidates.push(("host", local));
        if client.link.is_datagram() && mapped != local {
            path.candidates.push(("srflx", mapped));
        }
        if self.entry.target.stun {
            return Some(());
        }
        let relayed = path.step("allocate", || self.allocate(&mut client))?;
        path.candidates.push(("relay", relayed));
        self.relay(path, &mut client, (server, mapped != local), relayed);
        path.step("refresh", || delete(&mut client))
    }

    /// Opens the way: a connection is made, and TLS spoken.
    fn connect(&self, path: &mut Path, server: SocketAddr) -> Option<Link> {
        let (transport, timeout) = (self.entry.target.transport, self.options.timeout);
        let open = || Ok((Link::open(transport, server, timeout)?, server.to_string()));
        if matches!(transport, Transport::Udp | Transport::Dtls) {
            let link = open().map_err(|fault| path.step::<()>("open", || Err(fault))).ok().map(|(link, _)| link)?;
            return if transport == Transport::Udp { Some(link) } else { path.step("dtls", || self.seal(link)) };
        }
        let link = path.step("connect", open)?;
        match self.tls {
            Some(config) if transport == Transport::Tls => path.step("tls", || self.secure(link, config, server)),
            _ => Some(link),
        }
    }

    /// Goes through the handshake of DTLS.
    #[cfg(feature = "dtls")]
    fn seal(&self, link: Link) -> Result<(Link, String), Fault> {
        let Link::Datagram(socket) = link else { return Ok((link, String::new())) };
        let host = &self.entry.target.host;
        let records = super::dtls::shake(socket, host, roots(self.options), self.options.timeout)?;
        let agreed = records.agreed();
        Ok((Link::Records(records), agreed))
    }

    /// There is no DTLS in this build, and no URL that asks for it is taken.
    #[cfg(not(feature = "dtls"))]
    fn seal(&self, _link: Link) -> Result<(Link, String), Fault> {
        Err(Fault::Tls("this build has no DTLS".to_owned()))
    }

    /// Goes through the handshake; where it fails, finds out whether the port speaks STUN without it.
    fn secure(&self, link: Link, config: &Arc<ClientConfig>, server: SocketAddr) -> Result<(Link, String), Fault> {
        match link.secure(Arc::clone(config), &self.entry.target.host, self.options.timeout) {
            Ok(link) => {
                let agreed = link.agreed();
                Ok((link, agreed))
            }
            Err(Fault::Tls(_) | Fault::NotStun | Fault::Silent)
                if !self.speaks_tls(server) && self.speaks_plain(server) =>
            {
                Err(Fault::SpeaksPlain)
            }
            Err(Fault::NotStun) => Err(Fault::Tls("the server closed the connection".to_owned())),
            Err(fault) => Err(fault),
        }
    }

    /// The port answers Binding over plain TCP.
    fn speaks_plain(&self, server: SocketAddr) -> bool {
        let link = Link::open(Transport::Tcp, server, self.options.timeout);
        link.is_ok_and(|link| Client::new(link, None, self.options.timeout).binding().is_ok())
    }

    /// The port goes through a handshake.
    fn speaks_tls(&self, server: SocketAddr) -> bool {
        let timeout = self.options.timeout;
        let (Ok(link), Ok(config)) = (Link::open(Transport::Tcp, server, timeout), tls::settings(None)) else {
            return false;
        };
        link.secure(Arc::new(config), &self.entry.target.host, timeout).is_ok()
    }

    /// Asks for the own address.
    fn binding(&self, client: &mut Client<'_>, server: SocketAddr) -> Result<(SocketAddr, String), Fault> {
        let answer = match client.binding() {
            Ok(answer) if answer.code == 0 => answer,
            Ok(answer) => return Err(Fault::Refused(answer.code)),
            Err(Fault::NotStun | Fault::Silent)
                if self.entry.target.transport == Transport::Tcp && self.speaks_tls(server) =>
            {
                return Err(Fault::WantsTls);
            }
            Err(fault) => return Err(fault),
        };
        let mapped = answer.mapped.ok_or(Fault::Malformed("XOR-MAPPED-ADDRESS"))?;
        let nat = if mapped == client.link.local()? { "no NAT" } else { "behind a NAT" };
        Ok((mapped, format!("seen as {mapped}, {nat}")))
    }

    /// Asks for a relay.
    fn allocate(&self, client: &mut Client<'_>) -> Result<(SocketAddr, String), Fault> {
        let family = if client.link.local()?.is_ipv4() { 1_u32 } else { 2 };
        let answer = client.ask(
            Method::ALLOCATE,
            &|writer| {
                writer.number(attribute::REQUESTED_TRANSPORT, UDP);
                // An IPv4 relay is what comes without asking, and old servers know no families.
                if family == 2 {
                    writer.number(attribute::REQUESTED_ADDRESS_FAMILY, family << 24);
                }
            },
            None,
            self.options.realm.as_deref(),
        )?;
        let relayed = answer.relayed.ok_or(Fault::Malformed("XOR-RELAYED-ADDRESS"))?;
        Ok((relayed, describe(&answer, relayed, client.realm.as_deref())))
    }

    /// Admits a peer, binds a channel, and sends through the relay. It is deleted whatever comes of that.
    fn relay(
        &self,
        path: &mut Path,
        client: &mut Client<'a>,
        (server, nat): (SocketAddr, bool),
        relayed: SocketAddr,
    ) -> Option<()> {
        let peer = path.step("permission", || permit(client, server, nat))?;
        path.step("channel", || bind(client, peer.addr))?;
        path.step("echo", || {
            let round = echo::measure(client, &peer, relayed, self.options.timeout)?.as_secs_f64() * 1000.0;
            Ok(((), format!("there and back through the relay in {round:.1} ms")))
        })
    }
}

/// What is to be said of an allocation.
fn describe(answer: &Answer, relayed: SocketAddr, realm: Option<&str>) -> String {
    let realm = realm.map_or("no authentication".to_owned(), |realm| format!("realm {realm:?}"));
    let lifetime = answer.lifetime.map_or_else(String::new, |seconds| format!(", {seconds} s"));
    let software = answer.software.as_ref().map_or_else(String::new, |name| format!(", {}", shown(name)));
    format!("relay {relayed}, {realm}{lifetime}{software}")
}

/// What a server calls itself, cut and without what a terminal would obey.
fn shown(name: &str) -> String {
    name.chars().take(128).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Opens a peer, and asks the server to admit it.
fn permit(client: &mut Client<'_>, server: SocketAddr, nat: bool) -> Result<(Peer, String), Fault> {
    let peer = Peer::open(client, server, nat)?;
    let addr = peer.addr;
    client.ask(
        Method::CREATE_PERMISSION,
        &|writer| _ = writer.xor_address(attribute::XOR_PEER_ADDRESS, addr),
        Some(addr),
        None,
    )?;
    Ok((peer, format!("peer {addr}")))
}

/// Binds the channel to the peer.
fn bind(client: &mut Client<'_>, peer: SocketAddr) -> Result<((), String), Fault> {
    client.ask(
        Method::CHANNEL_BIND,
        &|writer| {
            writer.number(attribute::CHANNEL_NUMBER, u32::from(CHANNEL) << 16);
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        },
        Some(peer),
        None,
    )?;
    Ok(((), format!("channel {CHANNEL:#06x}")))
}

/// Deletes the allocation.
fn delete(client: &mut Client<'_>) -> Result<((), String), Fault> {
    client.ask(Method::REFRESH, &|writer| _ = writer.number(attribute::LIFETIME, 0), None, None)?;
    Ok(((), "the allocation is given back".to_owned()))
}
