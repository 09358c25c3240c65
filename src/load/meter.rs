//! What is counted, and what a process used.

use super::search::Trial;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Ticks of a second in /proc: USER_HZ, which is 100 on every architecture that Rust knows.
const TICKS: f64 = 100.0;

/// What one thread counted in one step. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    /// Packets that were handed to the kernel, or for which a stream had no room, as its server does not read.
    pub sent: u64,
    /// Packets that arrived.
    pub received: u64,
    /// How long the thread had nothing to do while it sent.
    pub idle: u64,
    /// When the last packet arrived that was read.
    pub last: u64,
    /// How long it took until the last packet arrived, at least as long as was sent.
    pub elapsed: u64,
    /// One-way times of the packets that were sampled.
    pub latency: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { sent: 0, received: 0, idle: 0, last: 0, elapsed: 0, latency: histogram() }
    }
}

/// The longest time that is told apart from longer ones, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST, 3).expect("these bounds are in order, and three digits are few enough")
}

/// Processor time and memory of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Seconds of processor time, of all threads, user and system.
    pub cpu: f64,
    /// Bytes of resident memory.
    pub resident: u64,
}

impl Usage {
    /// Reads what /proc says of a process (`self` or a number).
    pub(super) fn of(process: &str) -> Result<Self, String> {
        let read = |file: &str| {
            let path = format!("/proc/{process}/{file}");
            fs::read_to_string(&path).map_err(|error| format!("{path}: {error}: does --pid name the server's process?"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The name of the program stands in parentheses and may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(Self { cpu: (ticks(11) + ticks(12)) / TICKS, resident: kilobytes.unwrap_or(0) * 1024 })
    }
}

/// What a step gives: rates are packets in a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Packets that were to be sent.
    pub offered: f64,
    /// Packets that were sent.
    pub sent: f64,
    /// Packets that arrived.
    pub relayed: f64,
    /// Payload bits in a second that arrived.
    pub bits: f64,
    /// Percent of the packets sent that did not arrive.
    pub loss: f64,
    /// Percentiles 50, 90, 99 and 99.9 of the latency, in microseconds; none if nothing arrived.
    pub latency: Option<[f64; 4]>,
    /// What the server's process used, if it is known.
    pub server: Option<ServerUse>,
    /// Percent of one core that this process used.
    pub generator_cpu: f64,
    /// Percent of its time that the busiest thread of this process worked.
    pub busy: f64,
}

/// What the server's process used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerUse {
    /// Microseconds of processor time for an allocation, or for a packet and each time it is relayed.
    pub each: f64,
    /// Percent of one core.
    pub percent: f64,
    /// Bytes of resident memory.
    pub resident: u64,
}

/// What both processes used.
pub(super) struct Spent {
    /// Percent of one core that this process used.
    pub generator: f64,
    /// What the server's process used, if it is known.
    pub server: Option<ServerUse>,
}

/// The percentiles that are told.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Around a step: what was used before it.
pub(super) struct Meter {
    pid: Option<u32>,
    server: Option<Usage>,
    own: Usage,
}

impl Meter {
    /// Begins to measure.
    pub(super) fn start(pid: Option<u32>) -> Result<Self, String> {
        Ok(Self { pid, server: server_usage(pid)?, own: Usage::of("self")? })
    }

    /// Makes figures of what the threads counted. `crossings` is how often each packet was relayed.
    pub(super) fn finish(self, asked: &Asked, counts: &[Counts]) -> Result<Figures, String> {
        let mut figures = rates(asked, counts);
        let received: u64 = counts.iter().map(|c| c.received).sum();
        // Until the last packet arrived, as for the rate that was relayed; what follows is rest.
        let spent = self.spent(elapsed(asked, counts), received * asked.crossings)?;
        (figures.generator_cpu, figures.server) = (spent.generator, spent.server);
        Ok(figures)
    }

    /// What was used since the beginning, for so many seconds and so many packets or allocations.
    pub(super) fn spent(self, seconds: f64, count: u64) -> Result<Spent, String> {
        let (own, server) = (Usage::of("self")?, server_usage(self.pid)?);
        let percent = |cpu: f64| cpu / seconds.max(1e-9) * 100.0;
        let server = server.zip(self.server).map(|(after, before)| {
            let cpu = after.cpu - before.cpu;
            ServerUse { each: cpu * 1e6 / count.max(1) as f64, percent: percent(cpu), resident: after.resident }
        });
        Ok(Spent { generator: percent(own.cpu - self.own.cpu), server })
    }
}

/// What the server's process has used so far.
pub(super) fn server_usage(pid: Option<u32>) -> Result<Option<Usage>, String> {
    pid.map(|pid| Usage::of(&pid.to_string())).transpose()
}

/// What a step was to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Packets in a second.
    pub rate: f64,
    /// For how long they are sent.
    pub duration: Duration,
    /// How often each packet is relayed.
    pub crossings: u64,
    /// Mean bytes of a payload.
    pub size: f64,
}

/// Adds up what the threads counted.
fn rates(asked: &Asked, counts: &[Counts]) -> Figures {
    let sending = asked.duration.as_secs_f64();
    let (mut sent, mut received, mut latency) = (0, 0, histogram());
    for count in counts {
        sent += count.sent;
        received += count.received;
        // Both have the same bounds.
        _ = latency.add(&count.latency);
    }
    let busy = counts.iter().map(|c| 100.0 - c.idle as f64 / sending / 1e7).fold(0.0, f64::max);
    let relayed = received as f64 / elapsed(asked, counts);
    let bits = relayed * asked.size * 8.0;
    let (sent_rate, loss) = (sent as f64 / sending, loss(sent, received));
    let latency = percentiles(&latency);
    Figures {
        offered: asked.rate,
        sent: sent_rate,
        relayed,
        bits,
        loss,
        latency,
        server: None,
        generator_cpu: 0.0,
        busy,
    }
}

/// Seconds until the last packet arrived, at least as many as were sent in.
fn elapsed(asked: &Asked, counts: &[Counts]) -> f64 {
    counts.iter().map(|count| count.elapsed as f64 / 1e9).fold(asked.duration.as_secs_f64(), f64::max)
}

/// Percent of what was sent that did not arrive.
#[must_use]
pub fn loss(sent: u64, received: u64) -> f64 {
    if sent == 0 { 0.0 } else { sent.saturating_sub(received) as f64 * 100.0 / sent as f64 }
}

/// The percentiles of nanoseconds, in microseconds.
#[must_use]
pub fn percentiles(latency: &Histogram<u64>) -> Option<[f64; 4]> {
    (!latency.is_empty()).then(|| PERCENTILES.map(|p| latency.value_at_percentile(p) as f64 / 1000.0))
}

impl Figures {
    /// What the search needs to know.
    #[must_use]
    pub fn trial(&self) -> Trial {
        Trial { offered: self.offered, sent: self.sent, loss: self.loss, busy: self.busy }
    }
}

/// The machine that everything ran on: processor, cores, kernel.
pub(super) fn machine() -> BTreeMap<&'static str, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, name)| name).to_owned();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count().to_string();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    BTreeMap::from([("cpu", model), ("cores", cores), ("kernel", kernel)])
}
