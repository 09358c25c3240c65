//! What is asked of a running server: reading the command lines of an operator.

use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

use super::{Output, Sources, answers};
use crate::admin::Request;
use crate::admin::client::Task;
use crate::config::ControlSocket;

/// Describes the subcommands.
pub(super) fn subcommands() -> [Command; 1] {
    [Command::new("status")
        .about("Say how a running server stands: allocations, which way packets take and why, drops")]
    .map(|command| command.args(common()))
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
    let request = match name {
        _ => Request::Status,
    };
    Ok(Task { socket: socket(matches, sources, output)?, request, json: matches.get_flag("json") })
}

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
