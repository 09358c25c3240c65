//! The command line of `nat`.

use super::Output;
use crate::config;
use crate::probe::nat::{Options, TIMEOUT};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::time::Duration;

/// What stands below the list of flags.
const AFTER_HELP: &str = "\
The server must have two addresses and two ports (RFC 5780); without them only the public address is told.

Exit codes: 0 everything could be told; 1 the command line is wrong; 2 something could not be told.";

/// Describes it.
pub(super) fn subcommand() -> Command {
    Command::new("nat")
        .about("Say what the NAT before this machine does, and what that means for calls")
        .arg(Arg::new("host").value_name("HOST").required(true).help("A STUN server with NAT behaviour discovery"))
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .default_value("3478")
                .help("Its port"),
        )
        .arg(Arg::new("family").long("family").value_parser(["ipv4", "ipv6"]).help("Ask over this family alone"))
        .arg(
            Arg::new("lifetime")
                .long("lifetime")
                .value_name("TIME")
                .help("Find out how long a binding lasts without packets, up to TIME; takes about four times as long"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the result as JSON"))
        .arg(Arg::new("timeout").long("timeout").value_name("TIME").help("How long each answer may take [default: 3s]"))
        .after_help(AFTER_HELP)
}

/// Reads the command line, or complains.
pub(super) fn read(matches: &ArgMatches, output: &mut Output<'_>) -> Result<Options, u8> {
    options(matches).map_err(|text| output.complain(&format!("error: {text}")))
}

/// Reads the options.
fn options(matches: &ArgMatches) -> Result<Options, String> {
    Ok(Options {
        host: matches.get_one::<String>("host").cloned().unwrap_or_default(),
        port: matches.get_one("port").copied().unwrap_or(3478),
        v6: matches.get_one::<String>("family").map(|family| family == "ipv6"),
        timeout: time(matches, "timeout")?.unwrap_or(TIMEOUT),
        lifetime: time(matches, "lifetime")?,
        json: matches.get_flag("json"),
    })
}

/// Reads a time, if it was given.
fn time(matches: &ArgMatches, name: &str) -> Result<Option<Duration>, String> {
    let read = |text: &String| {
        let time = config::duration(text).filter(|time| !time.is_zero());
        time.ok_or_else(|| format!("--{name}: {text:?} is not a time; write 3s"))
    };
    matches.get_one::<String>(name).map(read).transpose()
}
