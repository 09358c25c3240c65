//! The command line: what is asked, and the answers that need no server.

mod answers;
mod bench;
mod control;
mod flags;
mod nat;
mod probe;
mod token;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::admin::client;
use crate::config::{Config, Failed, Loaded, OauthKey, Remark, Sources};
use crate::load::Task;
use crate::probe::{self as probes, Options};
pub use token::Grant;

/// What comes of a command line.
pub enum Outcome {
    /// Run the server; the sources can be read again on a reload.
    Run(Box<Loaded>, Sources),
    /// Measure a server, or help somebody to.
    Bench(Task),
    /// Find out what works with servers.
    Probe(Box<Options>),
    /// Find out what a NAT does.
    Nat(probes::nat::Options),
    /// Ask a running server.
    Control(client::Task),
    /// Everything is said; leave with this code.
    Done(u8),
}

/// Makes a long-term key of user, realm and password: SHA-256 if the first is true, else MD5.
pub type LongTerm = fn(bool, &str, &str, &str) -> Result<Vec<u8>, String>;

/// Makes an access token that a key seals for a server: for so many seconds, with a session key for SHA-256 if the
/// last is true.
pub type Token = fn(&OauthKey, &str, u32, bool) -> Result<Grant, String>;

/// The cryptography that some subcommands need, given by the caller so that this module needs none.
#[derive(Clone, Copy)]
pub struct Crypto {
    /// Makes a stored key.
    pub long_term: LongTerm,
    /// Makes the password of a time-limited user name from a shared secret.
    pub time_limited: fn(&str, &str) -> String,
    /// Makes an access token.
    pub token: Token,
    /// Reads the certificates of a configuration, as far as the server would.
    pub certificates: fn(&Config) -> Result<(), String>,
}

/// Everything is well.
const OK: u8 = 0;

/// The configuration or the command line is wrong.
const WRONG: u8 = 1;

/// Where answers and complaints go.
struct Output<'a> {
    /// Standard output.
    out: &'a mut dyn Write,
    /// Standard error.
    err: &'a mut dyn Write,
}

impl Output<'_> {
    /// Writes an answer. If nobody reads it any more, there is nobody to tell.
    fn say(&mut self, text: &str) -> u8 {
        let _ = self.out.write_all(text.as_bytes());
        OK
    }

    /// Writes a complaint.
    fn complain(&mut self, text: &str) -> u8 {
        let _ = writeln!(self.err, "{text}");
        WRONG
    }

    /// Writes what an operator should know.
    fn remark(&mut self, level: &str, remarks: &[Remark]) {
        for remark in remarks {
            let _ = writeln!(self.err, "{level}: {remark}");
        }
    }

    /// Writes why nothing runs, and what to do next.
    fn fail(&mut self, failed: &Failed) -> u8 {
        self.remark("warning", &failed.warnings);
        self.remark("error", &failed.errors);
        self.complain(NEXT)
    }
}

/// What to do after errors.
const NEXT: &str = "nothing was started; put the errors right and try `hairpin check` \
    (every key: `hairpin reference`)";

/// Reads a command line with its environment, and answers unless a server is asked for.
///
/// The first argument is the name of the program. Warnings of a configuration that runs are left to the
/// caller, who knows how to log.
pub fn interpret(
    args: impl IntoIterator<Item = OsString>,
    environment: Vec<(String, String)>,
    crypto: Crypto,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Outcome {
    let mut output = Output { out, err };
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => {
            return Outcome::Done(output.complain(error.render().to_string().trim_end()));
        }
        Err(help) => return Outcome::Done(output.say(&help.render().to_string())),
    };
    let sources = Sources { file: file(&matches), environment, flags: flags::read(&matches) };
    match matches.subcommand() {
        None => run(sources, &mut output),
        Some(("bench", matches)) => bench::read(matches, &mut output).map_or_else(Outcome::Done, Outcome::Bench),
        Some(("nat", matches)) => nat::read(matches, &mut output).map_or_else(Outcome::Done, Outcome::Nat),
        Some(("probe", matches)) => {
            probe::read(matches, &mut output).map_or_else(Outcome::Done, |options| Outcome::Probe(Box::new(options)))
        }
        Some((name, matches)) if control::is(name) => {
            control::read(name, matches, &sources, &mut output).map_or_else(Outcome::Done, Outcome::Control)
        }
        Some((name, matches)) => Outcome::Done(answers::answer(name, matches, sources, crypto, &mut output)),
    }
}

/// Returns the variables of this process that [`interpret`] looks at.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let texts = std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    texts.filter(|(name, _)| name.starts_with("HAIRPIN_")).collect()
}

/// Loads the configuration for a server.
fn run(sources: Sources, output: &mut Output<'_>) -> Outcome {
    match sources.load() {
        Ok(loaded) => Outcome::Run(Box::new(loaded), sources),
        Err(failed) => Outcome::Done(output.fail(&failed)),
    }
}

/// Returns the configuration file, unless `-n` says that there is none.
fn file(matches: &ArgMatches) -> Option<PathBuf> {
    matches.get_one::<PathBuf>("config").filter(|_| !matches.get_flag("no-config")).cloned()
}

/// Describes the command line.
#[must_use]
pub fn command() -> Command {
    Command::new("hairpin")
        .about("A STUN/TURN server. Without a file it serves every address with a fresh random user.")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .args_override_self(true)
        .subcommand_help_heading("Commands (default: run the server)")
        .disable_help_subcommand(true)
        .args(general())
        .args(flags::native())
        .args(flags::coturn())
        .subcommands(answers::subcommands())
        .subcommands(control::subcommands())
        .subcommand(bench::subcommand())
        .subcommand(probe::subcommand())
        .subcommand(nat::subcommand())
        .after_help(AFTER_HELP)
}

/// What stands below the list of flags.
const AFTER_HELP: &str = "\
Every key of the configuration is a flag (--auth-realm), a variable (HAIRPIN_AUTH_REALM) and a line of the \
file; `hairpin reference` lists them all. The options of coturn's turnserver are understood too, long and \
short. Flags are stronger than the environment, which is stronger than the file.

Exit codes: 0 all is well; 1 the configuration or the command line is wrong, and nothing was started; \
2 the server could not start or had to stop.";

/// Describes the flags that are not keys.
fn general() -> [Arg; 3] {
    [
        Arg::new("config")
            .short('c')
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The configuration: TOML, or a turnserver.conf of coturn's"),
        Arg::new("no-config").short('n').action(ArgAction::SetTrue).help("Read no file, whatever -c says"),
        Arg::new("version").long("version").action(ArgAction::Version).help("Print the version"),
    ]
}
