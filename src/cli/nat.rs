//! The command line of `nat`.

use super::Output;
use crate::config;
use crate::probe::nat::{Options, TIMEOUT};
use clap::{Arg, ArgMatches, Command, value_parser};

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
        .arg(Arg::new("timeout").long("timeout").value_name("TIME").help("How long each answer may take [default: 3s]"))
        .after_help(AFTER_HELP)
}

/// Reads the command line, or complains.
pub(super) fn read(matches: &ArgMatches, output: &mut Output<'_>) -> Result<Options, u8> {
    options(matches).map_err(|text| output.complain(&format!("error: {text}")))
}

/// Reads the options.
fn options(matches: &ArgMatches) -> Result<Options, String> {
    let timeout = matches.get_one::<String>("timeout");
    let wrong = |text: &String| format!("--timeout: {text:?} is not a time; write 3s");
    let time = |text: &String| config::duration(text).filter(|time| !time.is_zero()).ok_or_else(|| wrong(text));
    Ok(Options {
        host: matches.get_one::<String>("host").cloned().unwrap_or_default(),
        port: matches.get_one("port").copied().unwrap_or(3478),
        v6: matches.get_one::<String>("family").map(|family| family == "ipv6"),
        timeout: timeout.map_or(Ok(TIMEOUT), time)?,
    })
}
