//! What files, environment and command line mean, and what is said when they are wrong.
#![allow(clippy::unwrap_used)]

mod config {
    pub(crate) mod command_line;
    pub(crate) mod coturn;
    pub(crate) mod edges;
    pub(crate) mod errors;
    pub(crate) mod files;
    pub(crate) mod judgement;
    pub(crate) mod realms;
    pub(crate) mod toml;
}

use hairpin::cli::{Crypto, Grant, Outcome, interpret};
use hairpin::config::{Config, Failed, Loaded, from_text};

/// What came of a command line.
pub(crate) struct Answer {
    /// The configuration, if a server was asked for.
    pub(crate) loaded: Option<Loaded>,
    /// The exit code, 0 if a server was asked for.
    pub(crate) code: u8,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// Interprets a command line, split at blanks, with an environment.
pub(crate) fn hairpin_with(line: &str, environment: &[(&str, &str)]) -> Answer {
    let args = std::iter::once("hairpin").chain(line.split_whitespace()).map(Into::into);
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome = interpret(args, environment, crypto(), &mut out, &mut err);
    let (loaded, code) = match outcome {
        Outcome::Run(loaded, _) => (Some(*loaded), 0),
        Outcome::Bench(_) | Outcome::Probe(_) | Outcome::Nat(_) | Outcome::Control(_) => (None, 0),
        Outcome::Done(code) => (None, code),
    };
    Answer { loaded, code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

/// Interprets a command line without an environment.
pub(crate) fn hairpin(line: &str) -> Answer {
    hairpin_with(line, &[])
}

/// Interprets a command line that runs a server.
pub(crate) fn runs(line: &str) -> Config {
    let answer = hairpin(line);
    answer.loaded.unwrap_or_else(|| panic!("{line}: {}", answer.err)).config
}

/// Stands in for the real cryptography with something that shows its input.
fn crypto() -> Crypto {
    Crypto {
        long_term: |sha256, user, realm, password| {
            let text = format!("{user}:{realm}:{password}");
            Ok(text.into_bytes().into_iter().take(if sha256 { 32 } else { 16 }).collect())
        },
        time_limited: |secret, username| format!("{secret}|{username}"),
        token: |key, server, lifetime, sha256| {
            let token = format!("{}|{server}|{lifetime}|{sha256}", key.kid).into_bytes();
            Ok(Grant { session_key: key.key.clone(), token })
        },
        certificates: |config| match &config.tls.certificates[..] {
            [one] if one.key.ends_with("bad.key") => Err(format!("{} is bad", one.key.display())),
            _ => Ok(()),
        },
    }
}

/// Reads a text that is right.
pub(crate) fn good(name: &str, text: &str) -> Loaded {
    from_text(name, text).unwrap_or_else(|failed| panic!("{:?}", lines(&failed.errors)))
}

/// Reads a text that is wrong, and returns its errors.
pub(crate) fn bad(name: &str, text: &str) -> Vec<String> {
    let Failed { errors, .. } = from_text(name, text).expect_err("it should be wrong");
    lines(&errors)
}

/// Writes remarks as an operator sees them.
pub(crate) fn lines(remarks: &[hairpin::config::Remark]) -> Vec<String> {
    remarks.iter().map(ToString::to_string).collect()
}

/// Checks that some line holds a text.
#[track_caller]
pub(crate) fn assert_says(lines: &[String], text: &str) {
    assert!(lines.iter().any(|line| line.contains(text)), "{text:?} is not in {lines:#?}");
}

/// A coturn file with a user, to which a test adds its lines.
pub(crate) fn with_user(lines: &str) -> String {
    format!("user=alice:long-enough\n{lines}\n")
}

/// Writes a file for a test and returns its path.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("hairpin-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}
