//! The hairpin binary: reads the command line, runs, turns the result into an exit code.

use hairpin::admin::client;
use hairpin::app;
use hairpin::auth::key::{Algorithm, Key};
use hairpin::auth::{rest, token};
use hairpin::cli::{self, Crypto, Grant, Outcome};
use hairpin::config::OauthKey;
use hairpin::io::clock;
use hairpin::load;
use hairpin::probe;
use ring::rand::{SecureRandom, SystemRandom};
use std::process::ExitCode;

/// The server could not start, or had to stop.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let crypto = Crypto {
        long_term,
        time_limited: |secret, user| rest::password(secret, user, rest::Hash::Sha1),
        token: grant,
        certificates: app::certificates,
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match cli::interpret(std::env::args_os(), cli::environment(), crypto, &mut out, &mut err) {
        Outcome::Done(code) => ExitCode::from(code),
        Outcome::Run(loaded, _) => {
            let warnings = loaded.warnings.iter().chain(&loaded.missing_here()).map(ToString::to_string).collect();
            run(loaded.config, warnings)
        }
        Outcome::Bench(task) => finish(load::run(task)),
        Outcome::Control(task) => finish(client::run(&task)),
        Outcome::Probe(options) => told(probe::run(&options)),
        Outcome::Nat(options) => told(probe::nat::run(&options)),
    }
}

/// Runs the server; what stopped it is the last thing that is said.
fn run(config: hairpin::config::Config, warnings: Vec<String>) -> ExitCode {
    finish(app::run(config, &warnings).map_err(|error| format!("{error:#}")))
}

/// Turns what was found out into an exit code.
fn told(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(false) => ExitCode::from(CANNOT_RUN),
        other => finish(other.map(drop)),
    }
}

/// Says what went wrong, if anything did, and turns it into an exit code.
fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// Makes a stored key.
fn long_term(sha256: bool, user: &str, realm: &str, password: &str) -> Result<Vec<u8>, String> {
    let algorithm = if sha256 { Algorithm::Sha256 } else { Algorithm::Md5 };
    Key::long_term(algorithm, user, realm, password)
        .map(|key| key.as_bytes().to_vec())
        .map_err(|error| error.to_string())
}

/// Makes an access token with a fresh session key and a fresh nonce.
fn grant(key: &OauthKey, server: &str, lifetime: u32, sha256: bool) -> Result<Grant, String> {
    let now = clock::now().wall;
    if key.end.is_some_and(|end| end < now) {
        return Err(format!("the key {} has ended, so no server takes its tokens; give another", key.kid));
    }
    let (mut session_key, mut nonce) = (vec![0; if sha256 { 32 } else { 20 }], [0; 12]);
    let random = SystemRandom::new();
    random.fill(&mut session_key).and_then(|()| random.fill(&mut nonce)).map_err(|_| "the system has no randomness")?;
    let content = token::Content { session_key: &session_key, issued: now << 16, lifetime };
    let token = token::seal(key.cipher, &key.key, server, nonce, content);
    token.map(|token| Grant { session_key, token }).map_err(|_| format!("the key {} is too short", key.kid))
}
