//! Instructions of the core per packet: the clock is noisy on a machine that others use too, the count is not.
//!
//! `cargo bench --bench instructions` runs itself under `valgrind --tool=callgrind` and fails if a scenario needs more
//! than 3 % above `benches/instructions.tsv`; `-- --save` rewrites that file. The file holds for one compiler and
//! architecture, which it names: compared with another's the change is shown and nothing fails.
//!
//! Callgrind counts inside [`measured`] alone, so neither the making of a world nor valgrind's start is in the figure.
//! The seeds of hash maps differ from run to run, and with them how often a search has to look twice: packets come
//! from every client in turn, which averages that out.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unreachable_pub)]

mod common;

use common::harness::{PEER, addr};
use common::{BODY, STRANGER, allocate, binding, channel_data, crowd, send, write_binding_response};
use hairpin::turn::Verdict;
use hairpin::wire::{ChannelData, Kind, Message, Method, integrity};
use std::collections::HashMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Packets of each scenario.
const PACKETS: usize = 5_000;
/// By how much a scenario may exceed the baseline, in percent.
const TOLERANCE: f64 = 3.0;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.tsv");
const COUNTED: &str = "--counted";

fn main() -> ExitCode {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    if has(COUNTED) {
        run_wire();
        [1, 10_000].into_iter().for_each(run_core);
        return ExitCode::SUCCESS;
    }
    if !has("--bench") {
        println!("skipped: only what `cargo bench` builds is worth counting");
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: needs valgrind");
        return ExitCode::SUCCESS;
    }
    let counts = count();
    let passes = compare(&counts);
    if has("--save") {
        save(&counts);
        return ExitCode::SUCCESS;
    }
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one scenario and says its name. What it does before is not counted.
fn scenario(name: &str, mut packet: impl FnMut(usize)) {
    // What is done once, such as choosing an implementation for this processor, is not a packet's.
    (0..16).for_each(&mut packet);
    measured(&mut packet);
    println!("{name}");
}

/// The one function in which instructions are counted; callgrind knows it by its name.
#[inline(never)]
fn measured(packet: &mut dyn FnMut(usize)) {
    (0..PACKETS).for_each(packet);
}

/// The scenarios of `benches/wire.rs`.
fn run_wire() {
    let request = allocate();
    scenario("parse an Allocate request", |_| _ = black_box(Message::parse(black_box(&request)).unwrap()));
    let message = Message::parse(&request).unwrap();
    let (at, value) = message.sha1().unwrap();
    scenario("check its MESSAGE-INTEGRITY", |_| {
        assert!(integrity::check_sha1(black_box(&request), at, value, &[1; 16]));
    });
    let mut out = Vec::with_capacity(256);
    scenario("write a Binding response", |_| {
        write_binding_response(&mut out);
        black_box(&out);
    });
    let data = channel_data();
    scenario("tell and parse ChannelData", |_| {
        _ = black_box((Kind::of(black_box(&data)[0]), ChannelData::parse(black_box(&data)).unwrap()));
    });
}

/// The scenarios of `benches/relay.rs`, and two requests.
fn run_core(allocations: u32) {
    let (mut world, clients) = crowd(allocations);
    // The step, a prime, scatters the packets of 10,000 clients over all of them.
    let at = |index: usize| (index * 7919) % clients.len();
    let (now, peer, stranger) = (world.now, addr(PEER), addr(STRANGER));
    let refresh = |index| clients[at(index)].0.message(&[8; 12], Method::REFRESH, |_| ());
    let refreshes: Vec<_> = (0..PACKETS.min(clients.len())).map(refresh).collect();
    let (channel_data, send, mut reply) = (channel_data(), send(), Vec::with_capacity(512));
    for (name, packet) in [("ChannelData to the peer", &channel_data), ("Send to the peer", &send)] {
        scenario(&format!("{name}, {allocations}"), |index| {
            let verdict = world.server.handle_client(now, clients[at(index)].0.path, black_box(packet), &mut reply);
            assert!(matches!(black_box(verdict), Verdict::ToPeer { .. }));
        });
    }
    for (name, from) in [("peer to ChannelData", peer), ("peer to Data indication", stranger)] {
        scenario(&format!("{name}, {allocations}"), |index| {
            let verdict = world.server.handle_peer(now, clients[at(index)].1, from, black_box(&BODY));
            assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
        });
    }
    for (name, packets) in [("Binding request", &vec![binding()]), ("Refresh request", &refreshes)] {
        scenario(&format!("{name}, {allocations}"), |index| {
            reply.clear();
            let packet = black_box(&packets[index % packets.len()]);
            let verdict = world.server.handle_client(now, clients[at(index)].0.path, packet, &mut reply);
            assert!(matches!(black_box(verdict), Verdict::Reply) && reply[0] == 1 && reply[1] & 0x10 == 0);
        });
    }
}

/// Runs this program under callgrind; instructions per packet of each scenario, in order.
fn count() -> Vec<(String, f64)> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("instructions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=instructions::measured"])
        .arg("--dump-after=instructions::measured")
        .arg(format!("--callgrind-out-file={}", folder.join("part").display()))
        .arg(std::env::current_exe().unwrap())
        .arg(COUNTED)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let part = |number: usize| instructions(&folder.join(format!("part.{number}"))) / PACKETS as f64;
    let counts = names.lines().zip(1..).map(|(name, number)| (name.to_owned(), part(number))).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    counts
}

/// What a part of callgrind's output counted in all.
fn instructions(part: &Path) -> f64 {
    let text = std::fs::read_to_string(part).unwrap();
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    totals.trim().parse().unwrap()
}

/// Prints the table. Whether nothing got dearer than it may.
fn compare(counts: &[(String, f64)]) -> bool {
    let text = std::fs::read_to_string(BASELINE).unwrap_or_default();
    let baseline: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let comparable = text.lines().next() == Some(&toolchain());
    println!("{:<36} | instructions per packet | baseline | change", "scenario");
    let mut passes = true;
    for (name, count) in counts {
        let Some(before) = baseline.get(&**name).map(|text| text.parse::<f64>().unwrap()) else {
            println!("{name:<36} | {count:>23.1} | {:>8} |    new", "");
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        println!("{name:<36} | {count:>23.1} | {before:>8.1} | {change:>+5.1}%");
        passes &= change <= TOLERANCE;
    }
    match (passes, comparable) {
        (false, true) => println!("dearer by more than {TOLERANCE} %: make it cheaper, or say why and `-- --save`"),
        (_, false) => println!("the baseline is not of {}; `-- --save` makes one", toolchain()),
        (true, true) => {}
    }
    passes || !comparable
}

/// Makes these the baseline.
fn save(counts: &[(String, f64)]) {
    let lines = counts.iter().map(|(name, count)| format!("{name}\t{count:.1}\n"));
    std::fs::write(BASELINE, format!("{}\n{}", toolchain(), lines.collect::<String>())).unwrap();
}

/// What the counts hold for.
fn toolchain() -> String {
    let version = Command::new("rustc").arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let version = version.split(' ').take(2).collect::<Vec<_>>().join(" ");
    format!("{version}, {}", std::env::consts::ARCH)
}
