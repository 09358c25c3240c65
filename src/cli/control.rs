//! What is asked of a running server: reading the command lines of an operator.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Output, Sources, answers};
use crate::admin::client::Task;
use crate::admin::{Request, Whom, metrics};
use crate::config::ControlSocket;

/// Describes the subcommands.
pub(super) fn subcommands() -> [Command; 4] {
    let whom = ["all", "user", "client"];
    [
        Command::new("status")
            .about("Say how a running server stands: allocations, which way packets take and why, drops"),
        Command::new("metrics")
            .about("Print the metrics of a running server, as they are served by admin.metrics")
            .arg(Arg::new("list").long("list").action(ArgAction::SetTrue).help("Say what there is, and ask no server")),
        Command::new("sessions")
            .about("Show who has allocations on a running server, and what they have relayed by which way")
            .args(about_whom())
            .group(ArgGroup::new("whom").args(&whom[1..])),
        Command::new("kick")
            .about("End allocations of a running server; who has lost one may make another")
            .args(about_whom())
            .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).help("Everybody"))
            .group(ArgGroup::new("whom").args(whom).required(true)),
    ]
    .map(|command| {
        // What metrics do not have is known all the same, so that the remedy can be told.
        let unknown = command.get_name() == "metrics";
        command.args(common()).mut_arg("json", |json| json.hide(unknown))
    })
}

/// Describes the flags that say whose allocations are meant.
fn about_whom() -> [Arg; 3] {
    [
        answers::text("user", "NAME").help("Those of this user, or of this identity in time-limited names"),
        answers::text("realm", "REALM").requires("user").help("In this realm alone"),
        Arg::new("client")
            .long("client")
            .value_name("ADDRESS:PORT")
            .value_parser(value_parser!(SocketAddr))
            .help("Those of the client at this address"),
    ]
}

/// Reads whose allocations are meant.
fn whom(matches: &ArgMatches) -> Whom {
    let text = |name| matches.get_one::<String>(name).cloned();
    match (text("user"), matches.get_one("client")) {
        (Some(name), _) => Whom::User { name, realm: text("realm") },
        (None, Some(client)) => Whom::Client(*client),
        (None, None) => Whom::All,
    }
}

/// Describes the flags that all of them have.
fn common() -> [Arg; 2] {
    [
        answers::path("socket").long("socket").value_name("PATH").help("The server's control socket (admin.socket)"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("JSON instead of tables"),
    ]
}

/// Whether a subcommand is one of them.
pub(super) fn is(name: &str) -> bool {
    subcommands().iter().any(|command| command.get_name() == name)
}

/// Reads one; the exit code if it cannot be done.
pub(super) fn read(name: &str, matches: &ArgMatches, sources: &Sources, output: &mut Output<'_>) -> Result<Task, u8> {
    let json = matches.get_flag("json");
    let request = match name {
        "metrics" if json => return Err(output.complain(NO_JSON)),
        "metrics" if matches.get_flag("list") => return Err(output.say(&metrics::page())),
        "metrics" => Request::Metrics,
        "sessions" => Request::Sessions(whom(matches)),
        "kick" => Request::Kick(whom(matches)),
        _ => Request::Status,
    };
    Ok(Task { socket: socket(matches, sources, output)?, request, json })
}

/// Why metrics are no JSON.
const NO_JSON: &str =
    "error: metrics have a format of their own, OpenMetrics; for the same numbers as JSON ask `hairpin status --json`";

/// The control socket: that of the flag, else that of the configuration.
fn socket(matches: &ArgMatches, sources: &Sources, output: &mut Output<'_>) -> Result<PathBuf, u8> {
    if let Some(path) = matches.get_one::<PathBuf>("socket") {
        return Ok(path.clone());
    }
    let loaded = sources.load().map_err(|failed| output.fail(&failed))?;
    match loaded.config.admin.socket {
        ControlSocket::At(path) => Ok(path),
        ControlSocket::Auto => Ok(ControlSocket::usual()),
        ControlSocket::Off => {
            Err(output.complain("error: admin.socket is off in this configuration; name a socket with --socket"))
        }
    }
}
