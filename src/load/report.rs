//! What is told of a measurement: a table for people, JSON for programs.

use super::crowd::Tally;
use super::meter::percentiles;
use super::meter::{Figures, PERCENTILES, ServerUse, Spent, machine};
use super::options::{Peer, Relayed, Sizes, Workload};
use super::plan::Plan;
use super::search::BUSY;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A measurement and everything that it depends on.
pub(super) struct Report {
    /// Name and value of each circumstance, in order.
    pub header: Vec<(&'static str, String)>,
    /// What was measured.
    pub body: Body,
}

/// What was measured.
pub(super) enum Body {
    /// Packets.
    Rates(Box<Rates>),
    /// Allocations.
    Allocations(Box<Allocations>),
}

/// What became of packets.
pub(super) struct Rates {
    /// How the clients were set up.
    pub set_up: SetUp,
    /// Every step, the final one included.
    pub steps: Vec<Figures>,
    /// The final measurement.
    pub result: Figures,
    /// The generator was slower than the server.
    pub limited: bool,
    /// Up to how much loss counts as none, in percent.
    pub max_loss: f64,
}

impl Rates {
    /// More was lost at last than counts as none, so the result is no rate that the server relays whole.
    fn loss_exceeded(&self) -> bool {
        self.result.loss > self.max_loss
    }
}

/// How the clients were set up.
pub(super) struct SetUp {
    seconds: f64,
    latency: Option<[f64; 4]>,
}

impl SetUp {
    /// Of all clients.
    pub(super) fn new(time: Duration, tally: &Tally) -> Self {
        Self { seconds: time.as_secs_f64(), latency: percentiles(&tally.latency) }
    }
}

/// What became of allocations.
pub(super) struct Allocations {
    /// Allocate and ChannelBind.
    pub made: Phase,
    /// Refresh and ChannelBind.
    pub refreshed: Phase,
    /// Refresh with a lifetime of zero.
    pub deleted: Phase,
    /// Bytes before and after, and for each allocation.
    pub memory: Option<(u64, u64, f64)>,
}

/// An errand of all clients.
pub(super) struct Phase {
    /// What they did.
    pub name: &'static str,
    /// How many succeeded.
    pub done: u64,
    /// How long it took.
    pub seconds: f64,
    latency: Option<[f64; 4]>,
    errors: BTreeMap<String, u64>,
    busy: f64,
    spent: Spent,
}

impl Phase {
    /// Of all clients.
    pub(super) fn new(name: &'static str, time: Duration, tally: Tally, spent: Spent) -> Self {
        let (seconds, latency) = (time.as_secs_f64(), percentiles(&tally.latency));
        Self { name, done: tally.done, seconds, latency, errors: tally.errors, busy: tally.busy, spent }
    }

    /// The generator was busy all the time, so the server can do more.
    fn limited(&self) -> bool {
        self.busy >= BUSY
    }

    /// How many did not.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Successes in a second.
    fn rate(&self) -> f64 {
        self.done as f64 / self.seconds.max(1e-9)
    }

    /// As JSON.
    fn json(&self) -> Value {
        json!({
            "done": self.done, "seconds": self.seconds, "per_second": self.rate(), "errors": self.errors,
            "latency_us": latency_json(self.latency),
            "server": self.spent.server.map(|server| server_json(server, "cpu_us_per_allocation")),
            "generator": { "cpu_percent": self.spent.generator, "busy_percent": self.busy },
            "generator_limited": self.limited(),
        })
    }
}

impl Report {
    /// A report with its circumstances.
    pub(super) fn new(plan: &Plan, body: Body) -> Self {
        Self { header: header(plan), body }
    }

    /// As JSON.
    pub(super) fn json(&self) -> Value {
        let mut all: Map<String, Value> =
            self.header.iter().map(|(name, value)| (name.replace(' ', "_"), number_or_text(value))).collect();
        let body = match &self.body {
            Body::Rates(rates) => json!({
                "setup_seconds": rates.set_up.seconds, "setup_us": latency_json(rates.set_up.latency),
                "steps": rates.steps.iter().map(figures_json).collect::<Vec<_>>(),
                "result": figures_json(&rates.result), "generator_limited": rates.limited,
                "loss_exceeded": rates.loss_exceeded(),
            }),
            Body::Allocations(a) => json!({
                "allocate": a.made.json(), "refresh": a.refreshed.json(), "delete": a.deleted.json(),
                "generator_limited": a.made.limited(),
                "memory": a.memory.map(|(before, after, each)| json!({
                    "before": before, "after": after, "per_allocation": each,
                })),
            }),
        };
        if let Value::Object(body) = body {
            all.extend(body);
        }
        Value::Object(all)
    }

    /// As a table.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.header {
            line(&mut out, format_args!("{name:<14} {value}"));
        }
        match &self.body {
            Body::Rates(rates) => rates_table(&mut out, rates),
            Body::Allocations(allocations) => allocations_table(&mut out, allocations),
        }
        out
    }
}

/// Appends a line.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    _ = writeln!(out, "{text}");
}

/// Everything that the numbers depend on.
fn header(plan: &Plan) -> Vec<(&'static str, String)> {
    let options = &plan.options;
    let mut all: Vec<(&'static str, String)> = machine().into_iter().collect();
    all.push(("version", env!("CARGO_PKG_VERSION").to_owned()));
    all.push(("url", options.target.to_string()));
    all.push(("server", plan.server.to_string()));
    all.push(("workload", options.workload.name().to_owned()));
    all.push(("clients", options.clients.to_string()));
    all.push(("threads", plan.threads.to_string()));
    if options.workload == Workload::Relay {
        let (direction, peer) = match options.peer {
            Peer::Remote(addr) => ("echo: every packet crosses the relay twice", addr.to_string()),
            Peer::BuiltIn(_) => (options.direction.name(), plan.peer.to_string()),
        };
        let size = match options.sizes {
            Sizes::Fixed(size) => size.to_string(),
            Sizes::Call => format!("call, {:.0} on average", options.sizes.mean()),
        };
        all.extend([("direction", direction.to_owned()), ("peer", peer), ("size", size)]);
        let framing = match options.relayed {
            Relayed::Tcp => "connections",
            Relayed::Udp if options.indications => "indications",
            Relayed::Udp => "channels",
        };
        all.extend([("relayed", options.relayed.name().to_owned()), ("framing", framing.to_owned())]);
        all.push(("burst", options.burst.to_string()));
    }
    if options.workload == Workload::Allocate {
        all.push(("hold seconds", options.hold.as_secs().to_string()));
    } else {
        all.push(("max loss", options.max_loss.to_string()));
        all.push(("seconds", options.duration.as_secs().to_string()));
    }
    all
}

/// A circumstance that is a number stays one.
fn number_or_text(value: &str) -> Value {
    let integer = value.parse::<u64>().ok().map(Value::from);
    integer.or_else(|| value.parse::<f64>().ok().map(Value::from)).unwrap_or_else(|| value.into())
}

/// A latency as JSON.
fn latency_json(latency: Option<[f64; 4]>) -> Value {
    let names = PERCENTILES.map(|p| format!("p{p}"));
    latency.map_or(Value::Null, |values| names.into_iter().zip(values.map(Value::from)).collect::<Map<_, _>>().into())
}

/// What the server's process used, as JSON; `each` names its time for a packet or an allocation.
fn server_json(server: ServerUse, each: &str) -> Value {
    json!({ each: server.each, "cpu_percent": server.percent, "resident_bytes": server.resident })
}

/// A step as JSON.
fn figures_json(figures: &Figures) -> Value {
    json!({
        "offered_pps": figures.offered, "sent_pps": figures.sent, "relayed_pps": figures.relayed,
        "payload_bps": figures.bits, "loss_percent": figures.loss, "latency_us": latency_json(figures.latency),
        "server": figures.server.map(|server| server_json(server, "cpu_us_per_packet")),
        "generator": { "cpu_percent": figures.generator_cpu, "busy_percent": figures.busy },
    })
}

/// Appends the table of steps and what follows from it.
fn rates_table(out: &mut String, rates: &Rates) {
    line(out, format_args!("set-up         {:.2} s\n", rates.set_up.seconds));
    line(
        out,
        format_args!(
            "{:>11} {:>11} {:>11} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
            "offered/s",
            "sent/s",
            "relayed/s",
            "Mbit/s",
            "loss %",
            "p50 us",
            "p90 us",
            "p99 us",
            "p99.9 us",
            "cpu us/pk",
            "cpu %",
            "RSS MiB",
            "gen cpu %",
            "busy %"
        ),
    );
    for figures in &rates.steps {
        row(out, figures);
    }
    line(out, format_args!("\nresult:"));
    row(out, &rates.result);
    if rates.loss_exceeded() {
        line(
            out,
            format_args!("more was lost than --loss {} allows: this is no rate that is relayed whole", rates.max_loss),
        );
    }
    if rates.limited {
        line(out, format_args!("the generator was the limit: the server can do at least this"));
    }
}

/// Appends a row of the table.
fn row(out: &mut String, figures: &Figures) {
    let Figures { offered, sent, relayed, bits, loss, latency, server, generator_cpu, busy } = figures;
    let latency = latency.map_or(["-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()], |all| {
        all.map(|value| format!("{value:.0}"))
    });
    let server = server.map_or(["-".to_owned(), "-".to_owned(), "-".to_owned()], |server| {
        [format!("{:.3}", server.each), format!("{:.0}", server.percent), mebibytes(server.resident)]
    });
    line(
        out,
        format_args!(
            "{offered:>11.0} {sent:>11.0} {relayed:>11.0} {:>9.1} {loss:>8.3} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {generator_cpu:>9.0} {busy:>7.0}",
            bits / 1e6,
            latency[0],
            latency[1],
            latency[2],
            latency[3],
            server[0],
            server[1],
            server[2]
        ),
    );
}

/// Bytes for people.
fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// Appends what became of allocations.
fn allocations_table(out: &mut String, all: &Allocations) {
    line(
        out,
        format_args!(
            "\n{:<11} {:>9} {:>8} {:>9} {:>10} {:>10} {:>11} {:>7} {:>9} {:>7}  {}",
            "", "done", "seconds", "per s", "p50 us", "p99 us", "cpu us each", "cpu %", "gen cpu %", "busy %", "errors"
        ),
    );
    let phases = [&all.made, &all.refreshed, &all.deleted];
    for phase in phases {
        let latency = |index: usize| phase.latency.map_or("-".to_owned(), |all| format!("{:.0}", all[index]));
        let used = phase.spent.server.map_or(["-".to_owned(), "-".to_owned()], |server| {
            [format!("{:.1}", server.each), format!("{:.0}", server.percent)]
        });
        let errors: Vec<String> = phase.errors.iter().map(|(label, count)| format!("{label}: {count}")).collect();
        let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
        line(
            out,
            format_args!(
                "{:<11} {:>9} {:>8.2} {:>9.0} {:>10} {:>10} {:>11} {:>7} {:>9.0} {:>7.0}  {errors}",
                phase.name,
                phase.done,
                phase.seconds,
                phase.rate(),
                latency(0),
                latency(2),
                used[0],
                used[1],
                phase.spent.generator,
                phase.busy
            ),
        );
    }
    let limited: Vec<&str> = phases.into_iter().filter(|phase| phase.limited()).map(|phase| phase.name).collect();
    if !limited.is_empty() {
        let names = limited.join(", ");
        line(out, format_args!("the generator was the limit ({names}): the server can do at least this"));
    }
    if let Some((before, after, each)) = all.memory {
        let (before, after) = (mebibytes(before), mebibytes(after));
        line(
            out,
            format_args!("server memory  {before} MiB before, {after} MiB after: {each:.0} bytes for each allocation"),
        );
    }
}
