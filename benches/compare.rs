//! hairpin beside whatever coturn is installed, in one run: the same machine, the same load, in turn.
//! `cargo bench --bench compare -- --help`.
//!
//! Every measurement has a server of its own, fresh from its start. Servers read the same file and are what they are
//! without further tuning, except that hairpin's limit of requests of one source is off, as coturn has none.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "compare/lab.rs"]
mod lab;
#[path = "../tests/server/space.rs"]
#[expect(dead_code, reason = "tests need more of it")]
mod space;
#[path = "compare/table.rs"]
mod table;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use hairpin::io::dtls::SERVED;
use lab::{Lab, Load, Over, Place, Program, Sample};
use std::path::PathBuf;
use std::process::ExitCode;
use table::{Table, count, decimals, median, ratio};

/// What is compared, unless `--cases` chooses: name, meaning, load.
#[rustfmt::skip] // a table
const CASES: &[(&str, &str, Load)] = &[
    ("up", "50 clients send to peers, 200 B", Load(Over::Udp, "--direction up --rate 600000")),
    ("down", "peers send to 50 clients", Load(Over::Udp, "--direction down --rate 600000")),
    ("both", "both ways", Load(Over::Udp, "--rate 600000")),
    ("one", "1 client sends", Load(Over::Udp, "--clients 1 --direction up --rate 600000")),
    ("big", "up with 1200 B", Load(Over::Udp, "--size 1200 --direction up --rate 600000")),
    ("burst", "up, 8 packets of a client in a row", Load(Over::Udp, "--burst 8 --direction up --rate 2000000")),
    ("many", "2000 clients, both ways", Load(Over::Udp, "--clients 2000 --rate 400000")),
    ("calm", "both ways at 50,000 packets/s, for the latency", Load(Over::Udp, "--rate 50000")),
    ("send", "up with Send indications", Load(Over::Udp, "--send --direction up --rate 600000")),
    ("call", "both ways with the sizes of a video call", Load(Over::Udp, "--mix call --rate 600000")),
    ("tcp-up", "up, clients over TCP", Load(Over::Tcp, "--direction up --rate 2000000")),
    ("tcp-down", "down, clients over TCP, bursts of 8", Load(Over::Tcp, "--burst 8 --direction down --rate 2000000")),
    ("tls-up", "up, clients over TLS", Load(Over::Tls, "--direction up --rate 2000000")),
    ("tls-down", "down, clients over TLS, bursts of 8", Load(Over::Tls, "--burst 8 --direction down --rate 2000000")),
    ("dtls-up", "up, clients under DTLS", Load(Over::Dtls, "--direction up --rate 600000")),
    ("dtls-down", "down, clients under DTLS", Load(Over::Dtls, "--direction down --rate 600000")),
    ("conn-up", "up by connections, clients over TCP, 1200 B", Load(Over::Tcp, "--relayed tcp --size 1200 --direction up --rate 2000000")),
    ("conn-down", "the same down", Load(Over::Tcp, "--relayed tcp --size 1200 --direction down --rate 2000000")),
    ("conn-tls-up", "up by connections, clients over TLS, 1200 B", Load(Over::Tls, "--relayed tcp --size 1200 --direction up --rate 2000000")),
    ("conn-tls-down", "the same down", Load(Over::Tls, "--relayed tcp --size 1200 --direction down --rate 2000000")),
    ("binding", "Binding requests answered", Load(Over::Udp, "--workload binding --rate 600000")),
    ("allocate", "4000 allocations with a channel", Load(Over::Udp, "--workload allocate --clients 4000 --hold 1s")),
];

/// Numbers of clients for `--growth`, with the load of each.
const GROWTH: &[(u32, Load)] = &[
    (10, Load(Over::Udp, "--clients 10 --rate 100000")),
    (100, Load(Over::Udp, "--clients 100 --rate 100000")),
    (1_000, Load(Over::Udp, "--clients 1000 --rate 100000")),
    (10_000, Load(Over::Udp, "--clients 10000 --rate 100000")),
];

/// Numbers of workers and offered rates for `--workers`.
const WORKERS: &[(u32, f64, Load)] = &[
    (1, 100_000.0, Load(Over::Udp, "--rate 100000")),
    (2, 100_000.0, Load(Over::Udp, "--rate 100000")),
    (1, 600_000.0, Load(Over::Udp, "--rate 600000")),
    (2, 600_000.0, Load(Over::Udp, "--rate 600000")),
];

/// What is compared for `--kernel`.
const KERNEL: &[(&str, Load)] = &[
    ("up", Load(Over::Udp, "--direction up --rate 600000")),
    ("down", Load(Over::Udp, "--direction down --rate 600000")),
    ("big", Load(Over::Udp, "--size 1200 --direction up --rate 600000")),
    ("many", Load(Over::Udp, "--clients 2000 --rate 300000")),
    ("calm", Load(Over::Udp, "--rate 50000")),
];

fn main() -> ExitCode {
    let matches = command_line().get_matches();
    if !matches.get_flag("bench") {
        // `cargo test --benches` runs this too, and wants no measurement.
        return ExitCode::SUCCESS;
    }
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Describes the command line.
fn command_line() -> Command {
    let number = |name, default| {
        Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u32).range(1..)).default_value(default)
    };
    let switch = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let names: Vec<&str> = CASES.iter().map(|case| case.0).collect();
    let cases = Arg::new("cases").long("cases").value_delimiter(',').value_parser(names);
    let markdown = Arg::new("markdown").long("markdown").value_name("FILE").value_parser(value_parser!(PathBuf));
    Command::new("cargo bench --bench compare --")
        .about("hairpin beside coturn: packets in a second, processor time of a packet, latency, memory")
        .arg(number("rounds", "5").help("How often everything is measured; medians are told"))
        .arg(number("seconds", "3").help("How long each measurement takes"))
        .arg(cases.help("Some of the cases, with commas between them"))
        .arg(Arg::new("coturn").long("coturn").value_name("PROGRAM").default_value("turnserver").help("The other one"))
        .arg(markdown.help("Also write the result there, as Markdown"))
        .arg(switch("growth").help("hairpin alone, with 10 to 10,000 clients"))
        .arg(switch("workers").conflicts_with("growth").help("hairpin alone, with one worker and with two"))
        .arg(
            switch("kernel")
                .conflicts_with_all(["growth", "workers"])
                .help("over a virtual cable, by the kernel path and without (root)"),
        )
        .arg(switch("bench").hide(true))
}

/// Measures what was asked for and tells it.
fn run(matches: &ArgMatches) -> Result<(), String> {
    let number = |name| *matches.get_one::<u32>(name).unwrap();
    let mut lab = Lab::new(number("rounds"), number("seconds"))?;
    let table = if matches.get_flag("growth") {
        growth(&mut lab)?
    } else if matches.get_flag("workers") {
        workers(&mut lab)?
    } else if matches.get_flag("kernel") {
        lab.wire()?;
        let coturn = lab.coturn(matches.get_one::<String>("coturn").unwrap());
        kernel(&mut lab, coturn)?
    } else {
        let chosen: Option<Vec<&String>> = matches.get_many("cases").map(Iterator::collect);
        let coturn = lab.coturn(matches.get_one::<String>("coturn").unwrap());
        compare(&mut lab, coturn, |name| chosen.as_ref().is_none_or(|some| some.iter().any(|one| *one == name)))?
    };
    print!("{}", table.text(&lab.about()));
    match matches.get_one::<PathBuf>("markdown") {
        Some(file) => {
            std::fs::write(file, table.markdown(&lab.about())).map_err(|e| format!("{}: {e}", file.display()))
        }
        None => Ok(()),
    }
}

/// Measures both servers in turn.
fn compare(lab: &mut Lab, coturn: Option<Program>, wanted: impl Fn(&str) -> bool) -> Result<Table, String> {
    let wanted = |case: &&(&str, &str, Load)| wanted(case.0) && (SERVED || !matches!(case.2.0, Over::Dtls));
    let cases: Vec<_> = CASES.iter().filter(wanted).collect();
    let mut samples: Vec<[Vec<Sample>; 2]> = cases.iter().map(|_| Default::default()).collect();
    for round in 1..=lab.rounds {
        for ((name, _, load), both) in cases.iter().zip(&mut samples) {
            for (program, into) in [(coturn.as_ref(), 0), (Some(&Program::Hairpin), 1)] {
                let Some(program) = program else { continue };
                let label = format!("round {round} {name}");
                both[into].extend(lab.measure(program, &label, Place::Pinned, load)?);
            }
        }
    }
    let rows = cases.iter().zip(&samples).map(|((name, ..), both)| compared(name, both));
    let mut table = Table::new(&COMPARED, rows.collect());
    table.notes.extend(cases.iter().map(|(name, what, _)| format!("{name}: {what}")));
    table.notes.extend(NOTES.map(str::to_owned));
    let memory = cases.iter().zip(&samples).filter(|(case, _)| case.0 == "allocate");
    table.notes.extend(memory.map(|(_, both)| memory_note(both)));
    Ok(table)
}

/// The columns of the comparison.
const COMPARED: [&str; 12] = [
    "case",
    "hairpin /s",
    "coturn /s",
    "ratio",
    "hairpin CPU us",
    "coturn CPU us",
    "ratio",
    "hairpin p50 us",
    "coturn p50 us",
    "hairpin p99 us",
    "coturn p99 us",
    "load was the limit",
];

/// How the comparison is to be read.
const NOTES: [&str; 3] = [
    "/s: packets that arrived (binding: answers; allocate: allocations) in a second; CPU us: processor time of the server for one of them, of all its threads (allocate: to make it, refresh it and delete it). Medians of the rounds.",
    "ratio: above 1, hairpin is better by so much (hairpin's rate by coturn's; coturn's processor time by hairpin's)",
    "Where more is offered than a server can do, latency is the time in full buffers, whose sizes differ (coturn's are 64 KiB unless it is told otherwise, hairpin's 2 MiB); calm compares it. Where the load was the limit (the generator could send no more, or all that was offered arrived, as in calm), a server can do at least this.",
];

/// A row of the comparison.
fn compared(name: &str, [coturn, hairpin]: &[Vec<Sample>; 2]) -> Vec<String> {
    let both = |field: fn(&Sample) -> Option<f64>| (median(hairpin, field), median(coturn, field));
    let (rate, cpu) = (both(|s| Some(s.rate)), both(|s| s.cpu));
    let (p50, p99) = (both(|s| s.p50), both(|s| s.p99));
    let limited = |samples: &[Sample]| samples.iter().any(|sample| sample.limited);
    let limit = match (limited(hairpin), limited(coturn)) {
        (true, true) => "for both",
        (true, false) => "for hairpin",
        (false, true) => "for coturn",
        (false, false) => "",
    };
    let faster = [count(rate.0), count(rate.1), ratio(rate.0, rate.1)];
    let cheaper = [decimals(cpu.0), decimals(cpu.1), ratio(cpu.1, cpu.0)];
    let latency = [count(p50.0), count(p50.1), count(p99.0), count(p99.1)];
    [name.to_owned()].into_iter().chain(faster).chain(cheaper).chain(latency).chain([limit.to_owned()]).collect()
}

/// What allocations take.
fn memory_note([coturn, hairpin]: &[Vec<Sample>; 2]) -> String {
    let each = |samples: &[Sample]| median(samples, |sample| sample.memory);
    format!(
        "resident memory for each allocation: hairpin {} bytes, coturn {} bytes, ratio {}",
        count(each(hairpin)),
        count(each(coturn)),
        ratio(each(coturn), each(hairpin))
    )
}

/// Measures hairpin's kernel path in two modes, its user space, and the other server.
fn kernel(lab: &mut Lab, coturn: Option<Program>) -> Result<Table, String> {
    let programs: Vec<Program> =
        [Program::Kernel("native"), Program::Kernel("tc"), Program::Hairpin].into_iter().chain(coturn).collect();
    let mut samples: Vec<Vec<Sample>> = (0..KERNEL.len() * programs.len()).map(|_| Vec::new()).collect();
    let pairs = || KERNEL.iter().flat_map(|case| programs.iter().map(move |program| (case, program)));
    for round in 1..=lab.rounds {
        for (((name, load), program), into) in pairs().zip(&mut samples) {
            into.extend(lab.measure(program, &format!("round {round} {name}"), Place::Wired, load)?);
        }
    }
    let row = |(((name, _), program), samples): ((&(&str, Load), &Program), &Vec<Sample>)| {
        let of = |field: fn(&Sample) -> Option<f64>| median(samples, field);
        let by = if matches!(program, Program::Hairpin) { "user space" } else { program.name() };
        let (rate, machine) = (count(of(|s| Some(s.rate))), decimals(of(|s| Some(s.machine))));
        let [p50, p99] = [count(of(|s| s.p50)), count(of(|s| s.p99))];
        vec![(*name).to_owned(), by.to_owned(), rate, decimals(of(|s| s.cpu)), machine, p50, p99]
    };
    let head = ["case", "by", "relayed /s", "CPU us", "machine us", "p50 us", "p99 us"];
    let mut table = Table::new(&head, pairs().zip(&samples).map(row).collect());
    table.notes.push("200 B (big: 1200 B), 50 clients (many: 2000); many and calm both ways. CPU us: of the server's process for a packet; machine us: of both cores, with the generator, which sends and receives each".to_owned());
    Ok(table)
}

/// Measures hairpin with ever more clients.
fn growth(lab: &mut Lab) -> Result<Table, String> {
    let mut rows: Vec<(u32, Vec<Sample>)> = GROWTH.iter().map(|step| (step.0, Vec::new())).collect();
    for round in 1..=lab.rounds {
        for ((clients, load), (_, into)) in GROWTH.iter().zip(&mut rows) {
            into.extend(lab.measure(&Program::Hairpin, &format!("round {round} {clients}"), Place::Pinned, load)?);
        }
    }
    let row = |(clients, samples): &(u32, Vec<Sample>)| {
        let of = |field: fn(&Sample) -> Option<f64>| median(samples, field);
        let rate = count(of(|s| Some(s.rate)));
        let latency = [count(of(|s| s.p50)), count(of(|s| s.p99))];
        let [p50, p99] = latency;
        vec![clients.to_string(), rate, decimals(of(|s| s.cpu)), p50, p99, count(of(|s| s.memory))]
    };
    let head = ["clients", "relayed /s", "CPU us", "p50 us", "p99 us", "bytes of memory each"];
    let mut table = Table::new(&head, rows.iter().map(row).collect());
    table
        .notes
        .push("both ways, 100,000 packets of 200 B a second in all; CPU us: of the server for a packet".to_owned());
    table.notes.push("bytes of memory each: what the server's resident memory grew by, buffers of the load included, for each allocation".to_owned());
    Ok(table)
}

/// Measures hairpin with one worker and with two.
fn workers(lab: &mut Lab) -> Result<Table, String> {
    let mut samples: Vec<Vec<Sample>> = WORKERS.iter().map(|_| Vec::new()).collect();
    for round in 1..=lab.rounds {
        for ((workers, offered, load), into) in WORKERS.iter().zip(&mut samples) {
            let label = format!("round {round} {workers} at {offered}");
            into.extend(lab.measure(&Program::Hairpin, &label, Place::Anywhere(*workers), load)?);
        }
    }
    let row = |((workers, offered, _), samples): (&(u32, f64, Load), &Vec<Sample>)| {
        let of = |field: fn(&Sample) -> Option<f64>| median(samples, field);
        let (rate, cpu) = (count(of(|s| Some(s.rate))), decimals(of(|s| s.cpu)));
        let [p50, p99] = [count(of(|s| s.p50)), count(of(|s| s.p99))];
        let limit = if samples.iter().any(|sample| sample.limited) { "yes" } else { "" };
        vec![workers.to_string(), count(Some(*offered)), rate, cpu, p50, p99, limit.to_owned()]
    };
    let head = ["workers", "offered /s", "relayed /s", "CPU us", "p50 us", "p99 us", "load was the limit"];
    let mut table = Table::new(&head, WORKERS.iter().zip(&samples).map(row).collect());
    table.notes.push("50 clients, both ways, 200 B; CPU us: of the server for a packet".to_owned());
    Ok(table)
}
