//! Metrics: one table of names, units and help. What is scraped and the page about it are both written from it.
//!
//! Nothing is counted for them: a scrape reads what [`Status`] holds.

use super::status::Status;
use crate::dataplane::xdp::Left;
use crate::turn::{Reason, Transport};
use std::fmt::Write;

/// The media type of what is scraped: OpenMetrics, which Prometheus reads.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It grows as long as the process lives; its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is 1, and its labels are what it says; its samples end in `_info`.
    Info,
}

impl Kind {
    /// What it is called, and how the names of its samples end.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Counter => ("counter", "_total"),
            Self::Gauge => ("gauge", ""),
            Self::Info => ("info", "_info"),
        }
    }
}

/// The values of the labels, and the number.
type Sample = (Vec<String>, u64);

/// One metric.
struct Metric {
    name: &'static str,
    kind: Kind,
    /// A base unit, with which the name ends; empty if it has none.
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Status) -> Vec<Sample>,
}

use Kind::{Counter, Gauge, Info};

/// Every metric.
#[rustfmt::skip] // a table: what belongs to a metric stands together
const METRICS: &[Metric] = &[
    Metric { name: "hairpin_build", kind: Info, unit: "", labels: &["version"],
        help: "The version that runs.", read: |s| vec![(vec![s.version.to_owned()], 1)] },
    Metric { name: "hairpin_uptime_seconds", kind: Gauge, unit: "seconds", labels: &[],
        help: "How long it has run.", read: |s| one(s.uptime.as_secs()) },
    Metric { name: "hairpin_workers", kind: Gauge, unit: "", labels: &[],
        help: "Worker threads.", read: |s| one(s.workers as u64) },
    Metric { name: "hairpin_allocations", kind: Gauge, unit: "", labels: &["transport"],
        help: "Allocations, by the transport of their clients.", read: allocations },
    Metric { name: "hairpin_connections", kind: Gauge, unit: "", labels: &[],
        help: "Connections of TCP and TLS clients, and sessions of DTLS.", read: |s| one(s.connections.into()) },
    Metric { name: "hairpin_requests", kind: Counter, unit: "", labels: &["answer"],
        help: "Requests that were answered, with success or with an error.", read: requests },
    Metric { name: "hairpin_bindings", kind: Counter, unit: "", labels: &[],
        help: "Binding requests that were answered.", read: |s| one(s.counters.bindings) },
    Metric { name: "hairpin_relayed_packets", kind: Counter, unit: "", labels: &["direction", "path"],
        help: "Packets that were relayed, to peers or to clients, in the kernel or in user space.",
        read: |s| relayed(s, |count| count.packets) },
    Metric { name: "hairpin_relayed_bytes", kind: Counter, unit: "bytes", labels: &["direction", "path"],
        help: "Payload that was relayed, that of connections to peers included.",
        read: |s| relayed(s, |count| count.bytes) },
    Metric { name: "hairpin_dropped_packets", kind: Counter, unit: "", labels: &["reason", "path"],
        help: "Packets that were dropped, and why; of the reason source_rate also connections and handshakes that a limit refused.",
        read: dropped },
    Metric { name: "hairpin_kernel_path", kind: Info, unit: "", labels: &["mode", "interface", "why"],
        help: "Where the kernel path takes packets (native, tc, generic or off) and why, for each interface.", read: kernel_path },
    Metric { name: "hairpin_kernel_routes", kind: Gauge, unit: "", labels: &["kind"],
        help: "Channels and permissions that the kernel carries.", read: routes },
    Metric { name: "hairpin_kernel_sessions", kind: Gauge, unit: "", labels: &[],
        help: "Allocations of which the kernel carries something.", read: |s| one(s.kernel.carried.sessions as u64) },
    Metric { name: "hairpin_kernel_refused_routes", kind: Counter, unit: "", labels: &[],
        help: "Channels and permissions that found no place in the kernel's tables.", read: |s| one(s.kernel.carried.refused) },
    Metric { name: "hairpin_kernel_left_packets", kind: Counter, unit: "", labels: &["why"],
        help: "Packets of the kernel's routes that it left to user space, and why.", read: left },
];

/// What is scraped.
#[must_use]
pub fn write(status: &Status) -> String {
    let mut out = String::new();
    for metric in METRICS {
        let Metric { name, unit, labels, help, .. } = metric;
        let (kind, end) = metric.kind.words();
        line(&mut out, format_args!("# TYPE {name} {kind}"));
        if !unit.is_empty() {
            line(&mut out, format_args!("# UNIT {name} {unit}"));
        }
        line(&mut out, format_args!("# HELP {name} {help}"));
        for (values, number) in (metric.read)(status) {
            line(&mut out, format_args!("{name}{end}{} {number}", written(labels, &values)));
        }
    }
    out + "# EOF\n"
}

/// The page about them: a table in Markdown.
#[must_use]
pub fn page() -> String {
    let mut out = String::from("| metric | kind | labels | what it says |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help, .. } in METRICS {
        let (kind, end) = kind.words();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        line(&mut out, format_args!("| `{name}{end}` | {kind} | {} | {help} |", labels.join(", ")));
    }
    out
}

/// Adds a line. Writing to a text cannot fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    _ = writeln!(out, "{text}");
}

/// Labels with their values, as they stand behind a name.
fn written(labels: &[&str], values: &[String]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &String| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs = labels.iter().zip(values).map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// A number without labels.
fn one(number: u64) -> Vec<Sample> {
    vec![(Vec::new(), number)]
}

/// A number with these values of its labels.
fn sample<const N: usize>(values: [&str; N], number: u64) -> Sample {
    (values.map(str::to_owned).to_vec(), number)
}

fn allocations(status: &Status) -> Vec<Sample> {
    let each = Transport::ALL.iter().zip(status.allocations);
    each.map(|(transport, count)| sample([transport.label()], count as u64)).collect()
}

fn requests(status: &Status) -> Vec<Sample> {
    vec![sample(["success"], status.counters.successes), sample(["error"], status.counters.errors)]
}

/// What was relayed by each path in each direction.
fn relayed(status: &Status, what: fn(&crate::turn::Count) -> u64) -> Vec<Sample> {
    let paths = [("user_space", status.user_space()), ("kernel", status.in_kernel())];
    let both = |(path, [to_peer, to_client]): (&'static str, [crate::turn::Count; 2])| {
        [sample(["to_peer", path], what(&to_peer)), sample(["to_client", path], what(&to_client))]
    };
    paths.into_iter().flat_map(both).collect()
}

fn dropped(status: &Status) -> Vec<Sample> {
    let here = Reason::ALL.iter().zip(status.counters.drops);
    let here = here.map(|(reason, count)| sample([reason.label(), "user_space"], count));
    here.chain([sample([Reason::Bandwidth.label(), "kernel"], status.kernel.carried.bandwidth)]).collect()
}

/// One for each interface; one without if it is off.
fn kernel_path(status: &Status) -> Vec<Sample> {
    let kernel = &status.kernel;
    let at = |interface: &str| sample([&kernel.word(), interface, &kernel.why], 1);
    if kernel.interfaces.is_empty() {
        return vec![at("")];
    }
    kernel.interfaces.iter().map(|name| at(name)).collect()
}

fn routes(status: &Status) -> Vec<Sample> {
    let carried = &status.kernel.carried;
    vec![sample(["channel"], carried.channels.into()), sample(["permission"], carried.permissions.into())]
}

fn left(status: &Status) -> Vec<Sample> {
    Left::ALL.iter().zip(status.kernel.carried.left).map(|(why, count)| sample([why.label()], count)).collect()
}
