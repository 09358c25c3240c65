//! TCP and TLS clients: accept, read, write, and what happens to those who are slow.

use super::clock;
use super::commons::Commons;
use super::outgoing::Outgoing;
use super::tls::Acceptor;
use super::worker::Worker;
use crate::turn::{Path, Transport};
use crate::wire::stream::{Frame, next};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long an unfinished frame, a first byte or a TLS handshake may take, however many bytes trickle in.
const UNFINISHED: Duration = Duration::from_secs(10);
/// How long a connection without an allocation may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// How long what is owed to a client that has stopped sending may take to leave.
const LINGER: Duration = Duration::from_secs(5);
/// The largest frame before there is an allocation; afterwards any that 16 bits can tell.
const FIRST_FRAMES: usize = 2048;
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;

/// A listening address for streams.
#[derive(Clone)]
pub struct StreamListener {
    /// Plain TCP is served.
    pub tcp: bool,
    /// TLS is served.
    pub tls: Option<Arc<Acceptor>>,
    /// Channel numbers up to 0x7FFE are allowed.
    pub legacy: bool,
}

/// Accepts connections until the worker ends.
pub(crate) async fn accept(
    listener: TcpListener,
    kind: StreamListener,
    commons: Arc<Commons>,
    worker: Rc<RefCell<Worker>>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let Some(place) = Place::take(&commons, client.ip()) else { continue };
                let (kind, worker) = (kind.clone(), Rc::clone(&worker));
                spawn_local(async move {
                    if let Err(error) = serve(stream, client, kind, worker, &place).await {
                        tracing::debug!(%client, %error, "stream: connection ended");
                    }
                });
            }
            Err(error) => {
                // Descriptors have run out, most likely: nothing can be accepted until some are closed.
                tracing::warn!(%error, "stream: cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection's place among all connections.
struct Place {
    commons: Arc<Commons>,
    source: IpAddr,
}

impl Place {
    fn take(commons: &Arc<Commons>, source: IpAddr) -> Option<Self> {
        commons.connect(source).ok()?;
        Some(Self { commons: Arc::clone(commons), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.commons.disconnect(self.source);
    }
}

/// Serves one connection: plain or TLS, told apart by the first byte where both are served.
async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    kind: StreamListener,
    worker: Rc<RefCell<Worker>>,
    place: &Place,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut conversation =
        Conversation { worker, client, server: stream.local_addr()?, transport: Transport::Tcp, legacy: kind.legacy };
    let handshake = match kind.tls {
        Some(acceptor) if !kind.tcp || begins_tls(&stream).await? => acceptor,
        _ => {
            let (reader, writer) = stream.into_split();
            return conversation.run(reader, writer).await;
        }
    };
    if !place.commons.admit_handshake(client.ip(), clock::now().time) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    conversation.transport = Transport::Tls;
    let stream = timeout(UNFINISHED, handshake.accept(stream)).await??;
    let (reader, writer) = tokio::io::split(stream);
    conversation.run(reader, writer).await
}

/// The first byte is that of a TLS handshake record.
async fn begins_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    timeout(UNFINISHED, stream.peek(&mut first)).await??;
    Ok(first[0] == 0x16)
}

/// One client on a stream.
struct Conversation {
    worker: Rc<RefCell<Worker>>,
    client: SocketAddr,
    server: SocketAddr,
    transport: Transport,
    legacy: bool,
}

impl Conversation {
    /// Reads until the client ends, fails or breaks the rules; then writes what is owed and closes.
    async fn run<R, W>(self, reader: R, writer: W) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + 'static,
    {
        let outgoing = Rc::new(Outgoing::default());
        let link = self.worker.borrow_mut().open_stream(Rc::clone(&outgoing));
        let path = Path { client: self.client, server: self.server, transport: self.transport, link };
        let mut writing = spawn_local(Rc::clone(&outgoing).write(writer));
        let mut reading = Reading { path, legacy: self.legacy, buffer: Vec::new(), skip: 0, since: None };
        let result = tokio::select! {
            result = reading.run(reader, &self.worker) => result,
            () = outgoing.broken() => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.worker.borrow_mut().close_stream(path);
        outgoing.close();
        if timeout(LINGER, &mut writing).await.is_err() {
            writing.abort();
        }
        result
    }
}

/// The incoming half of a stream.
struct Reading {
    path: Path,
    legacy: bool,
    buffer: Vec<u8>,
    /// Bytes of padding that are still to come.
    skip: usize,
    /// Since when a frame is unfinished.
    since: Option<Instant>,
}

impl Reading {
    async fn run<R: AsyncRead + Unpin>(&mut self, mut reader: R, worker: &Rc<RefCell<Worker>>) -> io::Result<()> {
        let mut heard = Instant::now();
        loop {
            self.buffer.reserve(CHUNK);
            let deadline = self.since.map_or(heard + IDLE, |since| since + UNFINISHED);
            match timeout_at(deadline, reader.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(result) => _ = result?,
                Err(_) if self.since.is_none() && worker.borrow().server().has_allocation(&self.path) => {}
                Err(elapsed) => return Err(elapsed.into()),
            }
            heard = Instant::now();
            self.take_frames(&mut worker.borrow_mut())?;
        }
    }

    /// Takes every whole frame out of the buffer.
    fn take_frames(&mut self, worker: &mut Worker) -> io::Result<()> {
        worker.begin_frames();
        let (mut at, mut result) = (0, Ok(()));
        loop {
            let skipped = self.skip.min(self.buffer.len() - at);
            at += skipped;
            self.skip -= skipped;
            match next(&self.buffer[at..], self.legacy) {
                Frame::Complete { len, pad } => {
                    worker.frame(self.path, &self.buffer[at..at + len]);
                    at += len;
                    self.skip = pad;
                }
                Frame::Incomplete { len } if len <= self.limit(worker) => break,
                Frame::Incomplete { .. } | Frame::Invalid => {
                    result = Err(io::ErrorKind::InvalidData.into());
                    break;
                }
            }
        }
        worker.flush();
        self.buffer.drain(..at);
        // A frame's time runs from its first byte, however many more trickle in.
        let begun = self.since.filter(|_| at == 0);
        self.since = (!self.buffer.is_empty()).then(|| begun.unwrap_or_else(Instant::now));
        result
    }

    /// The largest frame that is waited for.
    fn limit(&self, worker: &Worker) -> usize {
        if worker.server().has_allocation(&self.path) { usize::MAX } else { FIRST_FRAMES }
    }
}
