//! A measurement from beginning to end: clients, steps, the search, the result.

use super::client::Request;
use super::crowd::Tally;
use super::meter::{Asked, Figures, Meter, server_usage};
use super::options::Workload;
use super::plan::Plan;
use super::progress::Progress;
use super::report::{Body, Rates, Report, SetUp};
use super::search::{generator_limited, highest};
use super::traffic::Clock;
use super::trouble::Stopped;
use super::worker::{Order, Worker};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Requests that wait for their answers at the same time, of all threads.
const WINDOW: usize = 64;
/// The first rate of a search, in packets in a second.
const START: f64 = 10_000.0;
/// How long a step of a search takes.
const STEP: Duration = Duration::from_secs(1);
/// How often the final measurement goes down a little when it loses what the search did not.
const RETRIES: u32 = 6;
/// By how much it goes down.
const LOWER: f64 = 0.97;

/// A measurement.
pub(super) struct Campaign {
    /// What is done.
    pub plan: Arc<Plan>,
    /// Says how far it is.
    pub progress: Progress,
    workers: Vec<Worker>,
    steps: Vec<Figures>,
}

impl Campaign {
    /// Divides the clients among threads.
    pub(super) fn new(plan: &Arc<Plan>) -> Result<Self, String> {
        let (clients, clock) = (plan.options.clients, Clock(Instant::now()));
        let share = |thread: usize| clients / plan.threads + usize::from(thread < clients % plan.threads);
        let worker = |thread| Worker::new(plan, share(thread), clock);
        let workers: Result<Vec<Worker>, _> = (0..plan.threads).map(worker).collect();
        let wrong = |error| format!("peer {}: {error}: --peer-address takes an address of this machine", plan.peer);
        let workers = workers.map_err(wrong)?;
        Ok(Self { plan: Arc::clone(plan), progress: Progress::default(), workers, steps: Vec::new() })
    }

    /// Measures what packets do.
    pub(super) fn run(&mut self) -> Result<Report, String> {
        let began = Instant::now();
        let first = if self.plan.options.workload == Workload::Binding { Request::Binding } else { Request::Allocate };
        self.progress.hint(&format!("{} clients are set up", self.plan.options.clients));
        let set_up = self.drive(first, true).map(|tally| SetUp::new(began.elapsed(), &tally));
        let measured = set_up.and_then(|set_up| Ok((set_up, self.measure()?)));
        // Also if that failed: nothing should be left behind on the server.
        self.delete();
        let (set_up, result) = measured?;
        let trials: Vec<_> = self.steps.iter().map(Figures::trial).collect();
        let options = &self.plan.options;
        let streams = options.target.transport.is_stream();
        let max_loss = options.max_loss;
        let limited = generator_limited(&result.trial(), &trials, max_loss, streams);
        let steps = std::mem::take(&mut self.steps);
        Ok(Report::new(&self.plan, Body::Rates(Box::new(Rates { set_up, steps, result, limited, max_loss }))))
    }

    /// Measures at the rate that was asked for, or at the highest that is found.
    fn measure(&mut self) -> Result<Figures, String> {
        let duration = self.plan.options.duration;
        if let Some(rate) = self.plan.options.rate {
            return self.step(rate as f64, duration);
        }
        let max_loss = self.plan.options.max_loss;
        let mut rate = highest(START, max_loss, |rate| self.step(rate, STEP).map(|figures| figures.trial()))?;
        if rate == 0.0 {
            return Err(format!(
                "more than {max_loss} % is lost at every rate; see --loss, and --rate for one measurement"
            ));
        }
        let mut result = self.step(rate, duration)?;
        for _ in 0..RETRIES {
            if result.loss <= max_loss {
                break;
            }
            rate *= LOWER;
            result = self.step(rate.round(), duration)?;
        }
        Ok(result)
    }

    /// Offers a rate for a while.
    fn step(&mut self, rate: f64, duration: Duration) -> Result<Figures, String> {
        self.progress.hint(&format!("{rate:.0} packets/s are offered"));
        let step = self.steps.len() as u16;
        let options = &self.plan.options;
        let size = if options.workload == Workload::Binding { 0.0 } else { options.sizes.mean() };
        let crossings = self.plan.crossings();
        let asked = Asked { rate, duration, crossings, size };
        let meter = Meter::start(options.pid)?;
        let clients = options.clients as f64;
        let run = |worker: &mut Worker| {
            let rate = rate * worker.share as f64 / clients;
            worker.run(Order { step, rate, duration })
        };
        let counts = self.progress.during(|| each(&mut self.workers, run));
        let counts = counts.map_err(|error| format!("while packets were sent: {error}"))?;
        let figures = meter.finish(&asked, &counts)?;
        self.progress.say(&summary(&figures));
        self.steps.push(figures.clone());
        Ok(figures)
    }

    /// Opens the sockets of all clients, so that their making is not measured.
    pub(super) fn open(&mut self) -> Result<(), String> {
        each(&mut self.workers, |worker| worker.open_all().map_err(Stopped::from))
            .map_err(|error| error.to_string())?;
        Ok(())
    }

    /// Sends all clients on an errand.
    pub(super) fn drive(&mut self, request: Request, strict: bool) -> Result<Tally, String> {
        let window = (WINDOW / self.workers.len()).max(1);
        let drive = |worker: &mut Worker| worker.drive(request, window, strict).map_err(Stopped::from);
        let mut all = Tally::default();
        for tally in self.progress.during(|| each(&mut self.workers, drive)).map_err(|error| error.to_string())? {
            all.add(tally);
        }
        match &all.first {
            Some(trouble) if strict || all.done == 0 => Err(trouble.to_string()),
            _ => Ok(all),
        }
    }

    /// Gives every allocation back. What does not succeed ends by itself some minutes later.
    pub(super) fn delete(&mut self) {
        if self.plan.options.workload != Workload::Binding {
            _ = each(&mut self.workers, |worker| worker.finish().map_err(Stopped::from));
            _ = self.drive(Request::Delete, false);
        }
    }

    /// Resident memory of the server, if its process is known.
    pub(super) fn resident(&self) -> Result<Option<u64>, String> {
        Ok(server_usage(self.plan.options.pid)?.map(|usage| usage.resident))
    }
}

/// Lets every worker do something, each on a thread of its own.
fn each<T: Send>(
    workers: &mut [Worker],
    task: impl Fn(&mut Worker) -> Result<T, Stopped> + Sync,
) -> Result<Vec<T>, Stopped> {
    thread::scope(|scope| {
        let spawn = |worker| scope.spawn(|| task(worker));
        let threads: Vec<_> = workers.iter_mut().map(spawn).collect();
        let panicked = |_| Stopped::Socket(std::io::Error::other("a thread has panicked"));
        threads.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    })
}

/// A step in a line.
fn summary(figures: &Figures) -> String {
    let Figures { offered, sent, relayed, loss, .. } = figures;
    format!("offered {offered:.0}/s, sent {sent:.0}/s, relayed {relayed:.0}/s, lost {loss:.3} %")
}
