//! SOCKETS: carry, do not decide.
//!
//! [`Sockets::open`] binds everything before anything runs; [`run`] is one worker's thread. In each turn a
//! worker (1) waits until a socket is ready, (2) reads the clock once, (3) reads a batch, (4) asks the core
//! about each datagram, (5) does what the core asks for, (6) sends what has gathered, by socket.
//!
//! To read in this order: `worker`, then `udp`, `relay` and `outbox` for datagrams, then `stream`, `connection`,
//! `session`, `incoming` and `outgoing` for TCP and TLS, `proxy` for clients that come by one, `dtls` for clients under DTLS, `mail` for what workers tell each other, `tcp` and `joint` for TCP relays, and `http` for who
//! is no client. The system calls are in `sys`.

mod ask;
pub mod clock;
mod commons;
mod connection;
pub mod dtls;
mod http;
mod incoming;
mod joint;
mod mail;
mod outbox;
mod outgoing;
mod proxy;
mod relay;
mod session;
mod source;
mod stream;
pub(crate) mod sys;
mod tcp;
pub mod tls;
mod udp;
mod worker;

pub use commons::{ByTransport, Commons, Limits};
pub use http::Web;
pub use proxy::Proxies;
pub use stream::StreamListener;
pub use udp::{ListenerPair, SocketOptions};

use crate::turn::Server;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use worker::Worker;

/// Every address of the host's interfaces, with the interface's name.
///
/// # Errors
/// The system does not tell.
pub fn host_addresses() -> io::Result<Vec<(String, std::net::IpAddr)>> {
    sys::host_addresses()
}

/// The number of an interface; none if there is no such interface.
#[must_use]
pub fn interface_index(name: &str) -> Option<u32> {
    sys::interface_index(name)
}

/// Raises the limit of open descriptors as far as the system lets this process.
pub fn raise_descriptor_limit() {
    sys::raise_descriptor_limit();
}

/// Connections that wait to be accepted.
const ACCEPT_QUEUE: libc::c_int = 1024;
/// Where clients are served.
#[derive(Clone)]
pub struct ListenAddress {
    /// Address and port.
    pub addr: SocketAddr,
    /// UDP is served.
    pub udp: bool,
    /// DTLS is served beside it; the first byte of a datagram tells.
    pub dtls: bool,
    /// Streams that are served.
    pub stream: Option<StreamListener>,
    /// The proxies by which clients come over UDP, if they come so and no other way.
    pub proxies: Option<Proxies>,
}

/// The listening sockets of one worker.
#[derive(Default)]
pub struct Sockets {
    udp: Vec<worker::Listener>,
    streams: Vec<(TcpListener, StreamListener)>,
}

/// A listening socket could not be bound.
#[derive(Debug)]
pub struct CannotListen {
    /// Where.
    pub addr: SocketAddr,
    /// UDP or TCP.
    pub protocol: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {} {}: {}", self.protocol, self.addr, self.error)
    }
}

impl std::error::Error for CannotListen {}

impl Sockets {
    /// Binds every listening address for every worker, or says which one cannot be bound.
    pub fn open(
        addresses: &[ListenAddress],
        workers: usize,
        options: &SocketOptions,
    ) -> Result<Vec<Self>, CannotListen> {
        let mut all: Vec<Self> = (0..workers).map(|_| Self::default()).collect();
        for address in addresses {
            if address.addr.ip().is_unspecified() && !family_exists(address.addr) {
                tracing::warn!(address = %address.addr, "not served: this host has no such address family");
                continue;
            }
            let failed = |protocol| move |error| CannotListen { addr: address.addr, protocol, error };
            if address.udp || address.dtls {
                let pairs = udp::listen(address.addr, workers, options).map_err(failed("UDP"))?;
                let listener = |sockets| worker::Listener::new(address, sockets);
                all.iter_mut().zip(pairs).for_each(|(all, pair)| all.udp.push(listener(pair)));
            }
            if let Some(kind) = &address.stream {
                let listeners = listen_stream(address.addr, workers, options).map_err(failed("TCP"))?;
                all.iter_mut().zip(listeners).for_each(|(s, listener)| s.streams.push((listener, kind.clone())));
            }
        }
        Ok(all)
    }
}

/// The system can open sockets of this family; IPv6 may be switched off.
fn family_exists(addr: SocketAddr) -> bool {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP));
    !socket.is_err_and(|error| error.raw_os_error() == Some(libc::EAFNOSUPPORT))
}

/// Opens a stream listener for each worker.
fn listen_stream(addr: SocketAddr, workers: usize, options: &SocketOptions) -> io::Result<Vec<TcpListener>> {
    // As for UDP: a server that runs already must not share its clients with this one.
    drop(bind_stream(addr, options, false)?);
    (0..workers).map(|_| bind_stream(addr, options, true)).collect()
}

fn bind_stream(addr: SocketAddr, options: &SocketOptions, group: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier process that are still closing do not hold the port.
    socket.set_reuse_address(true)?;
    if group {
        socket.set_reuse_port(true)?;
    }
    if let Some(device) = &options.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.bind(&SockAddr::from(addr))?;
    if group {
        socket.listen(ACCEPT_QUEUE)?;
    }
    Ok(socket.into())
}

/// Serves until the other end of `owner` is closed; the thread is this worker's alone.
///
/// # Errors
/// The system lets the worker watch or wait no longer.
pub fn run(
    server: Server,
    sockets: Sockets,
    commons: Arc<Commons>,
    options: SocketOptions,
    owner: &UnixStream,
) -> io::Result<()> {
    Worker::new(server, commons, options, sockets, owner)?.run()
}
