//! The command line of `bench`.

use super::Output;
use crate::client::target::Target;
use crate::config;
use crate::load::options::{Credentials, Direction, Family, Peer, Relayed, Sizes, Trust, Workload};
use crate::load::{Options, SMALLEST, Task};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The largest payload: with every head before it, it still fits a packet of 1500 bytes.
const LARGEST: u16 = 1400;
/// The longest burst: what every kernel divides at once.
const LONGEST: u16 = 64;
/// The longest that allocations are kept idle: a permission lasts five minutes, an allocation may last ten.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// The flags that not every workload looks at, and those that do.
const PARTIAL: [(&str, &[Workload]); 12] = [
    ("rate", &[Workload::Relay, Workload::Binding]),
    ("loss", &[Workload::Relay, Workload::Binding]),
    ("burst", &[Workload::Relay, Workload::Binding]),
    ("direction", &[Workload::Relay]),
    ("size", &[Workload::Relay]),
    ("mix", &[Workload::Relay]),
    ("send", &[Workload::Relay, Workload::Allocate]),
    ("relayed", &[Workload::Relay, Workload::Allocate]),
    ("peer-address", &[Workload::Relay, Workload::Allocate]),
    ("remote-peer", &[Workload::Relay, Workload::Allocate]),
    ("relay-family", &[Workload::Relay, Workload::Allocate]),
    ("hold", &[Workload::Allocate]),
];

/// Describes it.
pub(super) fn subcommand() -> Command {
    Command::new("bench")
        .about("Measure any TURN or STUN server: packets in a second, loss, latency, allocations")
        .arg(
            Arg::new("url")
                .value_name("URL")
                .required_unless_present("echo")
                .help("The server: turn:HOST[:PORT][?transport=udp|tcp], turns:HOST[:PORT][?transport=udp|tcp] or stun:HOST[:PORT]"),
        )
        .args(who())
        .args(what())
        .args(how())
        .args(around())
        .after_help(AFTER_HELP)
}

/// What stands below the list of flags.
const AFTER_HELP: &str = "\
Without --rate, the highest rate is searched for whose loss is within --loss, and then measured for --duration. The \
generator runs beside what it measures: give each cores of its own (taskset), or use a second machine. It says so \
when it was the limit itself.

Exit codes: 0 measured; 1 the command line is wrong; 2 the server cannot be measured.";

/// Who the clients are, and whom they trust.
fn who() -> [Arg; 6] {
    [
        text("user", "NAME").requires("password").help("The clients' user name"),
        text("password", "TEXT").requires("user").help("Its password"),
        text("secret", "TEXT").conflicts_with("user").help("A shared secret, to make time-limited credentials of"),
        path("ca").conflicts_with("insecure").help("Roots that vouch for the certificate of a turns: server, PEM"),
        switch("insecure").help("Trust any certificate"),
        text("tls-name", "NAME").help("The name in the certificate; without it, the host of the URL"),
    ]
}

/// What is measured.
fn what() -> [Arg; 10] {
    [
        choice("workload", &["relay", "allocate", "binding"]).default_value("relay").help("What is measured"),
        number("clients", "NUMBER", 1..=60_000).default_value("50").help("Allocations, or sockets for binding"),
        choice("direction", &["up", "down", "both"]).help("up is from clients to peers [default: both]"),
        number("size", "BYTES", SMALLEST as i64..=i64::from(LARGEST)).default_value("200").help("Bytes of a payload"),
        choice("mix", &["call"])
            .conflicts_with("size")
            .help("Payloads of the sizes of a video call, in turn, instead of --size"),
        switch("send").help("Send and Data indications instead of channels"),
        choice("relayed", &["udp", "tcp"])
            .default_value("udp")
            .help("Datagrams, or a connection of each client to the peer (RFC 6062), for clients over TCP and TLS"),
        number("burst", "NUMBER", 1..=i64::from(LONGEST))
            .default_value("1")
            .help("Packets of a client in a row; over UDP, but not DTLS, they leave as one"),
        text("hold", "TIME")
            .default_value("0")
            .help("How long allocations of the allocate workload are kept idle, up to 5m"),
        Arg::new("echo")
            .long("echo")
            .value_name("ADDRESS:PORT")
            .value_parser(value_parser!(SocketAddr))
            .conflicts_with("url")
            .help("Measure nothing; be the --remote-peer of another machine. Port 0 is any that is free"),
    ]
}

/// How it is measured.
fn how() -> [Arg; 4] {
    [
        number("rate", "PPS", 1..=100_000_000)
            .help("Packets in a second, of all clients; without it, the highest is searched for"),
        text("loss", "PERCENT").default_value("0.1").help("Up to how much loss a rate counts as relayed"),
        text("duration", "TIME").default_value("3s").help("How long the final measurement takes"),
        number("threads", "NUMBER", 1..=1024).help("Threads that send and receive [default: cores less one]"),
    ]
}

/// Where the peers are, what else is looked at, and where the result goes.
fn around() -> [Arg; 6] {
    [
        Arg::new("peer-address")
            .long("peer-address")
            .value_name("IP")
            .value_parser(value_parser!(IpAddr))
            .help("The built-in peers' local address [default: that from which the server is reached]"),
        Arg::new("remote-peer")
            .long("remote-peer")
            .value_name("ADDRESS:PORT")
            .value_parser(value_parser!(SocketAddr))
            .conflicts_with_all(["peer-address", "direction"])
            .help(
                "A peer that runs `hairpin bench --echo`: packets cross the relay twice. It must keep up, for what it \
                 loses counts as the server's loss; it says on standard error when it loses some",
            ),
        choice("relay-family", &["4", "6"]).help("The family of the relayed addresses [default: the peer's]"),
        number("pid", "PID", 1..=i64::from(u32::MAX))
            .help("The server's process on this machine: its CPU and memory are told"),
        switch("json").help("Print the result as JSON"),
        path("html").help("Also write a page with charts"),
    ]
}

/// Describes a flag with a text.
fn text(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true)
}

/// Describes a flag without a value.
fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// Describes a flag with one of a few words.
fn choice(name: &'static str, words: &'static [&'static str]) -> Arg {
    Arg::new(name).long(name).value_parser(words.to_vec())
}

/// Describes a flag with a file.
fn path(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf))
}

/// Describes a flag with a number.
fn number(name: &'static str, value: &'static str, range: std::ops::RangeInclusive<i64>) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(value_parser!(u64).range(*range.start() as u64..=*range.end() as u64))
}

/// Reads the command line, or complains.
pub(super) fn read(matches: &ArgMatches, output: &mut Output<'_>) -> Result<Task, u8> {
    let task = match matches.get_one::<SocketAddr>("echo") {
        Some(addr) => alone(matches).map(|()| Task::Echo(*addr)),
        None => options(matches).map(|options| Task::Measure(Box::new(options))),
    };
    task.map_err(|text| output.complain(&format!("error: {text}")))
}

/// Says which flag an echo does not look at.
fn alone(matches: &ArgMatches) -> Result<(), String> {
    match matches.ids().find(|id| *id != "echo" && given(matches, id.as_str())) {
        Some(id) => {
            Err(format!("--{id} does nothing beside --echo: leave it out, or give it where --remote-peer stands"))
        }
        None => Ok(()),
    }
}

/// Reads the options of a measurement.
fn options(matches: &ArgMatches) -> Result<Options, String> {
    let options = Options {
        target: value(matches, "url").parse()?,
        credentials: credentials(matches),
        workload: workload(value(matches, "workload")),
        clients: count(matches, "clients").unwrap_or(1),
        direction: direction(value(matches, "direction")),
        sizes: if matches.contains_id("mix") {
            Sizes::Call
        } else {
            Sizes::Fixed(count(matches, "size").unwrap_or(SMALLEST) as u16)
        },
        indications: matches.get_flag("send"),
        relayed: if value(matches, "relayed") == "tcp" { Relayed::Tcp } else { Relayed::Udp },
        burst: count(matches, "burst").unwrap_or(1),
        rate: matches.get_one::<u64>("rate").copied(),
        max_loss: percent(value(matches, "loss"))?,
        duration: time(matches, "duration")?,
        peer: peer(matches),
        family: match value(matches, "relay-family") {
            "4" => Some(Family::V4),
            "6" => Some(Family::V6),
            _ => None,
        },
        threads: count(matches, "threads"),
        pid: matches.get_one::<u64>("pid").and_then(|pid| u32::try_from(*pid).ok()),
        trust: trust(matches),
        tls_name: matches.get_one::<String>("tls-name").cloned(),
        hold: time(matches, "hold")?,
        json: matches.get_flag("json"),
        html: matches.get_one::<PathBuf>("html").cloned(),
    };
    check_workload(matches, options.workload)?;
    check(&options)?;
    Ok(options)
}

/// Says which flag the workload does not look at.
fn check_workload(matches: &ArgMatches, workload: Workload) -> Result<(), String> {
    let idle = |(name, with): &&(&str, &[Workload])| given(matches, name) && !with.contains(&workload);
    let Some((name, with)) = PARTIAL.iter().find(idle) else { return Ok(()) };
    let names: Vec<&str> = with.iter().map(|workload| workload.name()).collect();
    let (this, names) = (workload.name(), names.join(" or "));
    Err(format!("--{name} does nothing with --workload {this}: leave it out, or measure --workload {names}"))
}

/// Says what does not go together.
fn check(options: &Options) -> Result<(), String> {
    let Target { transport, stun, .. } = options.target;
    if transport.is_secure() && options.trust.is_none() {
        return Err("turns: needs --ca FILE, the roots that vouch for the server, or --insecure".to_owned());
    }
    if options.relayed == Relayed::Tcp {
        check_connections(options)?;
    }
    if stun && options.workload != Workload::Binding {
        return Err("a stun: server relays nothing; add --workload binding, or write turn:".to_owned());
    }
    if options.credentials.is_none() && options.workload != Workload::Binding {
        return Err("who are the clients? give --user and --password, or --secret".to_owned());
    }
    if options.duration.is_zero() {
        return Err("--duration: a measurement takes a second or more".to_owned());
    }
    if options.hold > LONGEST_HOLD {
        return Err("--hold: at most 5m, for then permissions expire, and allocations some minutes later".to_owned());
    }
    Ok(())
}

/// Says what does not go together with connections to peers.
fn check_connections(options: &Options) -> Result<(), String> {
    let wrong = if !options.target.transport.is_stream() {
        "is for clients over TCP: add ?transport=tcp to the URL, or write turns:"
    } else if options.indications {
        "has no indications: leave out --send"
    } else if matches!(options.peer, Peer::Remote(_)) {
        "needs the built-in peer: leave out --remote-peer, whose echo knows datagrams alone"
    } else {
        return Ok(());
    };
    Err(format!("--relayed tcp {wrong}"))
}

/// Reads who the clients are.
fn credentials(matches: &ArgMatches) -> Option<Credentials> {
    if let Some(secret) = matches.get_one::<String>("secret") {
        return Some(Credentials::Secret(secret.clone()));
    }
    let text = |name| matches.get_one::<String>(name).cloned();
    Some(Credentials::Static(text("user")?, text("password")?))
}

/// Reads a workload.
fn workload(text: &str) -> Workload {
    match text {
        "allocate" => Workload::Allocate,
        "binding" => Workload::Binding,
        _ => Workload::Relay,
    }
}

/// Reads a direction.
fn direction(text: &str) -> Direction {
    match text {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => Direction::Both,
    }
}

/// Reads who the peer is.
fn peer(matches: &ArgMatches) -> Peer {
    match matches.get_one::<SocketAddr>("remote-peer") {
        Some(addr) => Peer::Remote(*addr),
        None => Peer::BuiltIn(matches.get_one::<IpAddr>("peer-address").copied()),
    }
}

/// Reads whom to trust.
fn trust(matches: &ArgMatches) -> Option<Trust> {
    let roots = matches.get_one::<PathBuf>("ca").cloned().map(Trust::Roots);
    roots.or_else(|| matches.get_flag("insecure").then_some(Trust::Anyone))
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| format!("--loss: {text:?} is not a percentage; write 0.1"))
}

/// Reads a time.
fn time(matches: &ArgMatches, name: &str) -> Result<Duration, String> {
    let text = value(matches, name);
    config::duration(text).ok_or_else(|| format!("--{name}: {text:?} is not a time; write 90s, 10m or 1h"))
}

/// Reads a number that is small enough to count with.
fn count(matches: &ArgMatches, name: &str) -> Option<usize> {
    matches.get_one::<u64>(name).and_then(|number| usize::try_from(*number).ok())
}

/// Whether a flag was given, rather than left at its default.
fn given(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(ValueSource::CommandLine)
}

/// Returns the text of a flag, empty if it was not given.
fn value<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}
