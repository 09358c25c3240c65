//! The command line of `probe`.

use super::Output;
use crate::config;
use crate::probe::{Entry, Options, credential, ice};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::fs;
use std::path::PathBuf;

/// What stands below the list of flags.
const AFTER_HELP: &str = "\
For each URL and each address of its host: can it be reached, is its certificate good, what public address does it \
see, does it relay, and does what is relayed arrive, there and back. What fails is named with its cause and a remedy. \
The relay is asked to reach this machine, so a server that denies private peers refuses a probe from a private address.

Exit codes: 0 everything works; 1 the command line is wrong; 2 something does not work.";

/// Describes it.
pub(super) fn subcommand() -> Command {
    Command::new("probe")
        .about("Say what works with any STUN or TURN server, how long it takes, and what to change where it does not")
        .arg(
            Arg::new("url")
                .value_name("URL")
                .num_args(1..)
                .required_unless_present("ice")
                .help("The servers: turn:HOST[:PORT][?transport=udp|tcp], turns:HOST[:PORT], stun: or stuns:"),
        )
        .args(who())
        .args(how())
        .after_help(AFTER_HELP)
}

/// Who asks.
fn who() -> [Arg; 5] {
    [
        text("user", "NAME").requires("password").help("The user name"),
        text("password", "TEXT").requires("user").help("Its password"),
        text("secret", "TEXT").conflicts_with("user").help("A shared secret, to make a time-limited credential of"),
        path("ice").conflicts_with("url").help("URLs and credentials as a browser is given them: iceServers, JSON"),
        text("realm", "REALM").help("The realm that is expected"),
    ]
}

/// How it is asked, and where the result goes.
fn how() -> [Arg; 4] {
    [
        path("ca").conflicts_with("insecure").help("Roots that vouch for certificates, PEM [default: the system's]"),
        Arg::new("insecure").long("insecure").action(ArgAction::SetTrue).help("Trust any certificate"),
        text("timeout", "TIME").default_value("5s").help("How long each step may take"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the result as JSON"),
    ]
}

/// Describes a flag with a text.
fn text(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true)
}

/// Describes a flag with a file.
fn path(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf))
}

/// Reads the command line, or complains.
pub(super) fn read(matches: &ArgMatches, output: &mut Output<'_>) -> Result<Options, u8> {
    options(matches).map_err(|text| output.complain(&format!("error: {text}")))
}

/// Reads the options.
fn options(matches: &ArgMatches) -> Result<Options, String> {
    let timeout = matches.get_one::<String>("timeout").map_or("", String::as_str);
    let duration = config::duration(timeout).filter(|timeout| !timeout.is_zero());
    Ok(Options {
        entries: entries(matches)?,
        realm: matches.get_one::<String>("realm").cloned(),
        roots: matches.get_one::<PathBuf>("ca").cloned(),
        insecure: matches.get_flag("insecure"),
        timeout: duration.ok_or_else(|| format!("--timeout: {timeout:?} is not a time; write 5s"))?,
        json: matches.get_flag("json"),
    })
}

/// Reads which servers are meant; a flag with credentials is stronger than the file's.
fn entries(matches: &ArgMatches) -> Result<Vec<Entry>, String> {
    let user = user(matches);
    let Some(file) = matches.get_one::<PathBuf>("ice") else {
        let urls = matches.get_many::<String>("url").into_iter().flatten();
        return urls.map(|url| Ok(Entry { target: url.parse()?, user: user.clone() })).collect();
    };
    let wrong = |why: String| format!("--ice: {}: {why}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let list = ice::read(&text).map_err(wrong)?;
    Ok(list.into_iter().map(|entry| Entry { user: user.clone().or(entry.user), ..entry }).collect())
}

/// Reads who asks.
fn user(matches: &ArgMatches) -> Option<(String, String)> {
    let text = |name| matches.get_one::<String>(name).cloned();
    text("secret").map(|secret| credential(&secret)).or_else(|| text("user").zip(text("password")))
}
