//! Errands of many clients at once: set-up, refresh, deletion.

use super::client::{Client, Request};
use super::link::Link;
use super::meter::histogram;
use super::source::Source;
use super::trouble::Trouble;
use super::worker::Worker;
use crate::client::target::Transport;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// How long a client waits before it takes another socket.
const PAUSE: Duration = Duration::from_millis(250);
/// How long answers are waited for after an errand has failed.
const FINISH: Duration = Duration::from_secs(1);
/// How many sockets it tries.
const SOCKETS: u8 = 12;
/// So many failures without one success are enough to give up.
const HOPELESS: u64 = 64;

/// What came of an errand of many.
pub(super) struct Tally {
    /// How many clients succeeded.
    pub done: u64,
    /// How long each took, in nanoseconds.
    pub latency: Histogram<u64>,
    /// Failures by their kind.
    pub errors: BTreeMap<String, u64>,
    /// The first failure.
    pub first: Option<Trouble>,
    /// How much of its time the busiest thread worked, in percent.
    pub busy: f64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { done: 0, latency: histogram(), errors: BTreeMap::new(), first: None, busy: 0.0 }
    }
}

impl Tally {
    /// Counts one client.
    fn count(&mut self, outcome: Result<(), Trouble>, began: Instant) {
        match outcome {
            Ok(()) => {
                self.done += 1;
                self.latency.saturating_record(began.elapsed().as_nanos() as u64);
            }
            Err(trouble) => {
                *self.errors.entry(trouble.label()).or_default() += 1;
                self.first.get_or_insert(trouble);
            }
        }
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        self.done += other.done;
        // Both have the same bounds.
        _ = self.latency.add(&other.latency);
        for (label, count) in other.errors {
            *self.errors.entry(label).or_default() += count;
        }
        self.first = self.first.take().or(other.first);
        self.busy = self.busy.max(other.busy);
    }

    /// How many clients failed.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// The clients that are under way.
#[derive(Default)]
struct UnderWay {
    /// Those that wait for an answer.
    active: Vec<usize>,
    /// Those that wait before they try another socket.
    paused: Vec<(Instant, usize)>,
}

impl UnderWay {
    fn len(&self) -> usize {
        self.active.len() + self.paused.len()
    }
}

impl Worker {
    /// Opens the sockets of all clients. A connection or a session is part of what a client asks of a server, and
    /// waits for that.
    pub(super) fn open_all(&mut self) -> io::Result<()> {
        let datagrams = self.plan.options.target.transport == Transport::Udp;
        while datagrams && self.clients.len() < self.share {
            let link = self.open(self.clients.len())?;
            self.clients.push(Client::new(link, self.clients.len()));
        }
        Ok(())
    }

    /// Sends every client on an errand, `window` of them at a time. With `strict`, the first failure ends it.
    pub(super) fn drive(&mut self, request: Request, window: usize, strict: bool) -> io::Result<Tally> {
        let (mut tally, mut under_way, mut next) = (Tally::default(), UnderWay::default(), 0);
        let (began, mut waited) = (Instant::now(), Duration::ZERO);
        while next < self.share || under_way.len() > 0 {
            while next < self.share && under_way.len() < window {
                if self.dispatch(next, request)? {
                    under_way.active.push(next);
                }
                next += 1;
            }
            waited += self.listen()?;
            self.resume(&mut under_way, request)?;
            self.settle(&mut under_way, &mut tally);
            if tally.done == 0 && tally.failed() >= HOPELESS || strict && tally.failed() > 0 {
                break;
            }
        }
        tally.busy = 100.0 - waited.as_secs_f64() * 100.0 / began.elapsed().as_secs_f64().max(1e-9);
        Ok(tally)
    }

    /// Waits a little for the answers that are under way: an allocation that nobody knows of cannot be deleted.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let end = Instant::now() + FINISH;
        while Instant::now() < end && self.clients.iter().any(Client::is_waiting) {
            self.listen()?;
        }
        Ok(())
    }

    /// Sends a client on its way, a new one if need be; false if it has no allocation to look after.
    fn dispatch(&mut self, index: usize, request: Request) -> io::Result<bool> {
        if index == self.clients.len() {
            let link = self.open(index)?;
            self.clients.push(Client::new(link, index));
        }
        let Some(client) = self.clients.get_mut(index) else { return Ok(false) };
        let nothing = match request {
            Request::Refresh => client.relayed.is_none(),
            Request::Delete => !client.allocated,
            _ => false,
        };
        if nothing {
            return Ok(false);
        }
        client.begin(request, &self.plan, self.peer);
        Ok(true)
    }

    /// Opens a way to the server.
    fn open(&self, index: usize) -> io::Result<Link> {
        let link = Link::open(&self.plan)?;
        self.epoll.add(&link, Source::Client(index).token())?;
        Ok(link)
    }

    /// Takes the answers that have come, or waits a little for some; says how long it waited.
    fn listen(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        let ready = self.epoll.wait(&mut self.events, Duration::from_millis(2))?;
        let waited = began.elapsed();
        for index in 0..ready {
            let source = Source::of(self.events.at(index).token);
            if let Err(error) = self.take_from(source) {
                self.lose(source, error)?;
            }
        }
        Ok(waited)
    }

    /// Gives up what is broken: it would be ready for ever.
    fn lose(&mut self, source: Source, error: io::Error) -> io::Result<()> {
        match source {
            Source::Peer => return Err(error),
            Source::Client(index) => {
                let client = &mut self.clients[index];
                _ = self.epoll.remove(&client.link);
                client.break_off(&error);
            }
            Source::Data(index) => self.clients[index].lose_data(&error),
            Source::End(end) => {
                if let Some(ends) = self.built_in.ends() {
                    ends.close(end);
                }
            }
        }
        Ok(())
    }

    /// Looks at the time, and lets those try again that have waited long enough.
    fn resume(&mut self, under_way: &mut UnderWay, request: Request) -> io::Result<()> {
        let now = Instant::now();
        for index in &under_way.active {
            let client = &mut self.clients[*index];
            client.handle_timeout(now);
            // A connection that has just been made takes what had to wait for it.
            if let Err(error) = client.flush() {
                client.break_off(&error);
            }
        }
        let again: Vec<(Instant, usize)> = under_way.paused.extract_if(.., |(when, _)| *when <= now).collect();
        for (_, index) in again {
            let link = self.open(index)?;
            let client = &mut self.clients[index];
            (client.link, client.data, client.sockets) = (link, None, client.sockets + 1);
            client.begin(request, &self.plan, self.peer);
            under_way.active.push(index);
        }
        Ok(())
    }

    /// Counts those that have come to an end.
    fn settle(&mut self, under_way: &mut UnderWay, tally: &mut Tally) {
        let ended: Vec<usize> =
            under_way.active.extract_if(.., |index| self.clients[*index].outcome.is_some()).collect();
        for index in ended {
            let client = &mut self.clients[index];
            let Some(outcome) = client.outcome.take() else { continue };
            match outcome {
                Err(trouble) if trouble.may_pass() && client.sockets < SOCKETS => {
                    under_way.paused.push((Instant::now() + PAUSE, index));
                }
                Err(trouble) => {
                    client.relayed = None;
                    tally.count(Err(trouble), client.began);
                }
                Ok(()) => tally.count(Ok(()), client.began),
            }
        }
    }
}
