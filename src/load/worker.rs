//! One thread's share of the clients, and the loop that loads the server with them.
//!
//! In each turn a worker sends what is due (`send`), takes what has come, and looks after its allocations. It
//! spins while the next packet is due within a millisecond: a thread that slept would measure its own waking up.

use super::client::{CHANNEL, Client, Request};
use super::link::Link;
use super::meter::Counts;
use super::options::Workload;
use super::pace::Pace;
use super::peer::BuiltIn;
use super::plan::{Plan, SAMPLES};
use super::send::PARCELS;
use super::source::Source;
use super::traffic::{Clock, DOWN, Heard, Lane, Tag, UP, Wrap, hear};
use super::trouble::Stopped;
use crate::io::sys::{Courier, Epoll, Events, drops};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that are read of one socket in a turn.
const BATCH: usize = 64;
/// Nanoseconds without a packet after which a step is over, and how long that is waited for.
const QUIET: u64 = 200_000_000;
const PATIENCE: u64 = 1_500_000_000;
/// How often allocations, permissions and channels are refreshed: a permission lasts five minutes.
const REFRESH: Duration = Duration::from_secs(240);
/// Nanoseconds for which what comes by streams may gather while there is something to send: a read for every frame
/// would cost more than the frame did, and the clients of a busy server are many machines.
const GATHER: u64 = 1_000_000;
/// How often requests that wait are looked at, and how many clients begin to refresh each time.
const TICK: Duration = Duration::from_millis(100);
const REFRESHES: usize = 256;

/// A thread's share of the work.
pub(super) struct Worker {
    /// What is done.
    pub plan: Arc<Plan>,
    /// How many clients it is to have.
    pub share: usize,
    /// Its clients.
    pub clients: Vec<Client>,
    /// Everything that may be read.
    pub epoll: Epoll,
    /// Room for what is ready.
    pub events: Events,
    /// The built-in peer.
    pub built_in: BuiltIn,
    /// Whom clients talk to.
    pub peer: SocketAddr,
    /// What clients send.
    pub up: Lane,
    /// What the peer sends.
    pub down: Lane,
    /// The clock of the packets.
    pub clock: Clock,
    /// Clients whose streams have something to write.
    pub behind: Vec<usize>,
    /// What is counted in this step.
    pub counts: Counts,
    /// Room for one message.
    pub buffer: Vec<u8>,
    step: u16,
    upkeep: Upkeep,
}

/// When allocations were looked after.
struct Upkeep {
    refreshed: Instant,
    looked: Instant,
    /// The next client to refresh.
    next: usize,
}

/// What a worker is to do in a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    /// The number of the step.
    pub step: u16,
    /// Packets in a second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
}

impl Worker {
    /// A worker without clients yet.
    pub(super) fn new(plan: &Arc<Plan>, share: usize, clock: Clock) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let (built_in, peer) = BuiltIn::open(plan, share)?;
        built_in.watch(&epoll)?;
        let down = if built_in.has_connections() { wrap(plan, peer) } else { Wrap::Bare };
        let sizes = plan.options.sizes.list();
        let now = Instant::now();
        Ok(Self {
            plan: Arc::clone(plan),
            share,
            clients: Vec::with_capacity(share),
            epoll,
            events: Events::new(256),
            built_in,
            peer,
            up: Lane::new(wrap(plan, peer), UP, &sizes),
            down: Lane::new(down, DOWN, &sizes),
            clock,
            behind: Vec::new(),
            counts: Counts::default(),
            buffer: vec![0; 1 << 16],
            step: 0,
            upkeep: Upkeep { refreshed: now, looked: now, next: share },
        })
    }

    /// Loads the server for one step.
    pub(super) fn run(&mut self, order: Order) -> Result<Counts, Stopped> {
        // It points at itself, so it stays with the thread that made it.
        let mut courier = Courier::new(PARCELS);
        let start = self.start(order)?;
        let end = start + order.duration.as_nanos() as u64;
        let (mut now, mut last, mut worked, mut heard) = (start, start, true, start);
        while now < end {
            if !worked {
                self.counts.idle += now - last;
            }
            last = now;
            let received = self.counts.received;
            let sent = self.send(now, &mut courier)?;
            if !sent || !self.streams() || now >= heard + GATHER {
                self.receive(if sent { Duration::ZERO } else { self.rest(now) })?;
                heard = now;
            }
            worked = sent || self.counts.received != received;
            self.look_after()?;
            now = self.clock.now();
        }
        self.drain(start, end)?;
        self.count_drops()?;
        Ok(std::mem::take(&mut self.counts))
    }

    /// Clients have a stream each.
    fn streams(&self) -> bool {
        self.plan.options.target.transport.is_stream()
    }

    /// Prepares a step; says when it began.
    fn start(&mut self, order: Order) -> io::Result<u64> {
        for client in &mut self.clients {
            client.drops = if client.link.is_datagram() { drops(&client.link)? } else { 0 };
        }
        self.built_in.uncounted()?;
        (self.step, self.counts) = (order.step, Counts::default());
        let now = self.clock.now();
        let (up, down) = self.shares();
        for (lane, share) in [(&mut self.up, up), (&mut self.down, down)] {
            let rate = order.rate * share;
            // An odd number, so that samples do not always fall on the same packet of a burst.
            let every = (rate / SAMPLES) as u32 | 1;
            lane.start(order.step, Pace::new(now, rate, self.plan.options.burst), every);
        }
        Ok(now)
    }

    /// How much of the rate goes up and down.
    fn shares(&self) -> (f64, f64) {
        let one_way = self.plan.options.workload == Workload::Binding || self.plan.is_echoed();
        if one_way { (1.0, 0.0) } else { self.plan.options.direction.shares() }
    }

    /// How long may be slept, in whole milliseconds: not at all while streams have something to write.
    fn rest(&self, now: u64) -> Duration {
        let rests = [self.up.pace.rest(now), self.down.pace.rest(now)];
        let rest = rests.into_iter().flatten().min().unwrap_or(0) / 1_000_000;
        let behind = !self.behind.is_empty() || self.built_in.is_behind();
        if !behind { Duration::from_millis(rest.min(10)) } else { Duration::ZERO }
    }

    /// Takes what has come.
    fn receive(&mut self, timeout: Duration) -> Result<(), Stopped> {
        let ready = self.epoll.wait(&mut self.events, timeout)?;
        for index in 0..ready {
            self.take_from(Source::of(self.events.at(index).token))?;
        }
        Ok(())
    }

    /// Takes what has come to a socket.
    pub(super) fn take_from(&mut self, source: Source) -> io::Result<()> {
        match source {
            Source::Peer if self.built_in.has_connections() => self.accept(),
            Source::Peer => self.receive_peer(),
            Source::Client(index) | Source::Data(index) => self.receive_client(index, source),
            Source::End(end) => self.receive_end(end).or_else(|error| self.forgive(end, error)),
        }
    }

    /// The end of a stranger's connection is no business of the measurement.
    fn forgive(&mut self, end: usize, error: io::Error) -> io::Result<()> {
        match self.built_in.ends() {
            Some(ends) if !ends.is_known(end) => {
                ends.close(end);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Takes what has come to a client, and everything that was read with it.
    fn receive_client(&mut self, index: usize, source: Source) -> io::Result<()> {
        for count in 0.. {
            let (client, buffer) = (&mut self.clients[index], &mut self.buffer);
            let link = if source == Source::Client(index) { Some(&mut client.link) } else { client.data.as_mut() };
            let Some(link) = link else { break };
            let Some(len) = (if count < BATCH { link.receive(buffer)? } else { link.take(buffer)? }) else { break };
            match hear(&self.buffer[..len]) {
                Heard::Packet(tag) => self.take(tag),
                Heard::Message => self.handle(index, len)?,
                Heard::Other => self.clients[index].hear(),
            }
        }
        Ok(())
    }

    /// Hands a client a message, and opens the connection that leads to the peer once the server has reached it.
    fn handle(&mut self, index: usize, len: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        client.handle(&self.buffer[..len], &self.plan, self.peer);
        if client.wants_data() {
            let data = Link::open(&self.plan)?;
            self.epoll.add(&data, Source::Data(index).token())?;
            client.bind(data, &self.plan, self.peer);
        }
        Ok(())
    }

    /// Takes the connections that the server has made.
    fn accept(&mut self) -> io::Result<()> {
        let Some(ends) = self.built_in.ends() else { return Ok(()) };
        while let Some(end) = ends.accept()? {
            if let Some(stream) = ends.stream(end) {
                self.epoll.add(stream, Source::End(end).token())?;
            }
        }
        Ok(())
    }

    /// Takes what has come by a connection that the server has made.
    fn receive_end(&mut self, end: usize) -> io::Result<()> {
        for count in 0.. {
            let Some(stream) = self.built_in.ends().and_then(|ends| ends.stream(end)) else { break };
            let buffer = &mut self.buffer;
            let Some(len) = (if count < BATCH { stream.receive(buffer)? } else { stream.take(buffer)? }) else { break };
            match (hear(&self.buffer[..len]), self.built_in.ends()) {
                (Heard::Packet(tag), Some(ends)) if ends.is_known(end) => self.take(tag),
                (Heard::Packet(_), _) | (_, None) => {}
                (_, Some(ends)) => ends.greet(end, &self.buffer[..len])?,
            }
        }
        Ok(())
    }

    /// Takes what has come to the peer.
    fn receive_peer(&mut self) -> io::Result<()> {
        for _ in 0..BATCH {
            let BuiltIn::Datagrams { socket, .. } = &self.built_in else { break };
            match socket.recv(&mut self.buffer) {
                Ok(len) => {
                    if let Some(tag) = Tag::of_payload(&self.buffer[..len]) {
                        self.take(tag);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts a packet, if it is one of this step.
    fn take(&mut self, tag: Tag) {
        if tag.step != self.step {
            return;
        }
        self.counts.received += 1;
        if tag.sampled {
            let now = self.clock.now();
            self.counts.last = now;
            self.counts.latency.saturating_record(now.saturating_sub(tag.time));
        }
    }

    /// Waits for what is still under way.
    fn drain(&mut self, start: u64, end: u64) -> Result<(), Stopped> {
        loop {
            let now = self.clock.now();
            if now > end + PATIENCE || now.saturating_sub(self.counts.last.max(end)) > QUIET {
                break;
            }
            self.flush()?;
            self.receive(Duration::from_millis(5))?;
        }
        self.counts.elapsed = self.counts.last.max(end) - start;
        Ok(())
    }

    /// Adds what the sockets only counted.
    fn count_drops(&mut self) -> io::Result<()> {
        for client in &mut self.clients {
            if client.link.is_datagram() {
                let after = drops(&client.link)?;
                self.counts.received += u64::from(after.wrapping_sub(client.drops));
                client.drops = after;
            }
        }
        self.counts.received += self.built_in.uncounted()?;
        Ok(())
    }

    /// Refreshes allocations in time, and sends again what was not answered.
    fn look_after(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        if now < self.upkeep.looked + TICK {
            return Ok(());
        }
        self.upkeep.looked = now;
        for client in &mut self.clients {
            client.handle_timeout(now);
            if let Some(Err(trouble)) = client.outcome.take_if(|outcome| outcome.is_err()) {
                return Err(trouble.into());
            }
        }
        if now > self.upkeep.refreshed + REFRESH {
            // Also before a counter of 32 bits can have gone round.
            self.count_drops()?;
            (self.upkeep.refreshed, self.upkeep.next) = (now, 0);
        }
        let end = (self.upkeep.next + REFRESHES).min(self.clients.len());
        for client in self.clients.get_mut(self.upkeep.next..end).unwrap_or_default() {
            if client.relayed.is_some() {
                client.begin(Request::Refresh, &self.plan, self.peer);
            }
        }
        self.upkeep.next = end;
        Ok(())
    }
}

/// How clients wrap what they send.
fn wrap(plan: &Plan, peer: SocketAddr) -> Wrap {
    let stream = plan.options.target.transport.is_stream();
    match plan.options.workload {
        Workload::Binding => Wrap::Binding,
        _ if plan.options.indications => Wrap::Indication(peer),
        _ => Wrap::Channel { number: CHANNEL, stream },
    }
}
