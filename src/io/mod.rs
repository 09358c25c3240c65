//! SOCKETS: carry, do not decide.
//!
//! [`Sockets::open`] binds everything before anything runs; [`run`] is one worker's thread. In each turn a
//! worker (1) waits until a socket is ready, (2) reads the clock once, (3) reads a batch, (4) asks the core
//! about each datagram, (5) does what the core asks for, (6) sends what has gathered, by socket.

pub mod clock;
mod commons;
mod outbox;
mod outgoing;
mod relay;
mod source;
mod stream;
mod sys;
pub mod tls;
mod udp;
mod worker;

pub use commons::Commons;
pub use stream::StreamListener;
pub use udp::{ListenerPair, SocketOptions};

use crate::turn::Server;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use sys::Epoll;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use worker::Worker;

/// Every address of the host's interfaces.
///
/// # Errors
/// The system does not tell.
pub fn host_addresses() -> io::Result<Vec<std::net::IpAddr>> {
    sys::host_addresses()
}

/// Raises the limit of open descriptors as far as the system lets this process.
pub fn raise_descriptor_limit() {
    sys::raise_descriptor_limit();
}

/// Connections that wait to be accepted.
const ACCEPT_QUEUE: libc::c_int = 1024;
/// How often a worker looks whether something has ended.
const TICK: Duration = Duration::from_millis(250);

/// Where clients are served.
#[derive(Clone)]
pub struct ListenAddress {
    /// Address and port.
    pub addr: SocketAddr,
    /// UDP is served.
    pub udp: bool,
    /// Streams that are served.
    pub stream: Option<StreamListener>,
}

/// The listening sockets of one worker.
#[derive(Default)]
pub struct Sockets {
    udp: Vec<(SocketAddr, ListenerPair)>,
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
            if address.udp {
                let pairs = udp::listen(address.addr, workers, options).map_err(failed("UDP"))?;
                all.iter_mut().zip(pairs).for_each(|(sockets, pair)| sockets.udp.push((address.addr, pair)));
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

/// Serves until `stop` says so; the thread is this worker's alone.
pub fn run(
    server: Server,
    sockets: Sockets,
    commons: Arc<Commons>,
    options: SocketOptions,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let worker = Worker::new(server, Arc::clone(&commons), options, sockets.udp)?;
        let ready = sys::watch(worker.epoll())?;
        let worker = Rc::new(RefCell::new(worker));
        for (listener, kind) in sockets.streams {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            spawn_local(stream::accept(listener, kind, Arc::clone(&commons), Rc::clone(&worker)));
        }
        spawn_local(tick(Rc::clone(&worker)));
        tokio::select! {
            result = pump(&worker, &ready) => result,
            // An error means that whoever could say so has gone: that is the end too.
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        }
    })
}

/// Serves the UDP sockets whenever one is ready.
async fn pump(worker: &Rc<RefCell<Worker>>, ready: &AsyncFd<Rc<Epoll>>) -> io::Result<()> {
    loop {
        let mut guard = ready.readable().await?;
        while worker.borrow_mut().pump() {
            // Streams and timers have their turn after each round.
            tokio::task::yield_now().await;
        }
        guard.clear_ready();
    }
}

/// Ends what has ended, a few times a second.
async fn tick(worker: Rc<RefCell<Worker>>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        worker.borrow_mut().tick();
    }
}
