//! A video call through the relay: signalling, and the page to make the call with.
//!
//! With `static-auth-secret=example` in the relay's configuration:
//!
//! ```text
//! cargo run --example call -- --secret example --turn 'turn:127.0.0.1:3478?transport=udp'
//! ```
//!
//! Browsers on other machines need the relay's public name in `--turn`, and give their cameras to
//! pages from `https://` only: put a proxy with a certificate in front, and keep its `Host` header.
//!
//! Open the address it prints in two windows. `?relay=1` in the page's address forbids every path
//! but the relay; `?fake=1` shows an animation instead of the camera.

mod server;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio::net::TcpListener;

use server::Limits;
use server::credentials::{IceServers, Login};

#[tokio::main]
async fn main() -> ExitCode {
    match run(&command().get_matches()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("call: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is interrupted.
async fn run(arguments: &ArgMatches) -> anyhow::Result<()> {
    let ice = ice_servers(arguments)?;
    let listen: SocketAddr = *arguments.get_one("listen").context("--listen has a default")?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    println!("open http://{} in two windows", listener.local_addr()?);
    println!("relay: {}", ice.urls.join(", "));
    tokio::select! {
        ended = server::serve(listener, Limits::default(), ice) => ended.context("serving"),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// The flags, each with its environment variable.
fn command() -> Command {
    Command::new("call")
        .about("A video call through the relay: signalling, and the page to make the call with")
        .arg(
            flag("listen", "CALL_LISTEN", "ADDRESS:PORT", "Where the page is served")
                .default_value("127.0.0.1:8080")
                .value_parser(value_parser!(SocketAddr)),
        )
        .arg(
            flag("turn", "CALL_TURN", "URL", "A relay the browsers may use; may be repeated")
                .default_value("turn:127.0.0.1:3478?transport=udp")
                .action(ArgAction::Append)
                .value_delimiter(','),
        )
        .arg(flag("secret", "CALL_SECRET", "SECRET", "The relay's static-auth-secret").required_unless_present("user"))
        .arg(
            flag("user", "CALL_USER", "NAME:PASSWORD", "A user of the relay, instead of a secret")
                .conflicts_with("secret"),
        )
        .arg(
            flag("ttl", "CALL_TTL", "SECONDS", "How long credentials made from the secret are good for")
                .default_value("3600")
                .value_parser(value_parser!(u64).range(60..=86_400)),
        )
}

/// A flag with a value.
fn flag(name: &'static str, variable: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).env(variable).value_name(value).help(help)
}

/// What the flags say about the relay.
fn ice_servers(arguments: &ArgMatches) -> anyhow::Result<IceServers> {
    let urls: Vec<String> = arguments.get_many("turn").unwrap_or_default().cloned().collect();
    for url in &urls {
        check_url(url)?;
    }
    let ttl = *arguments.get_one::<u64>("ttl").context("--ttl has a default")?;
    Ok(IceServers { urls, login: login(arguments)?, ttl: Duration::from_secs(ttl) })
}

/// How browsers log in to the relay.
fn login(arguments: &ArgMatches) -> anyhow::Result<Login> {
    if let Some(user) = arguments.get_one::<String>("user") {
        let (name, password) = user.split_once(':').with_context(|| "--user: not of the form NAME:PASSWORD")?;
        return Ok(Login::User(name.to_owned(), password.to_owned()));
    }
    let secret: &String = arguments.get_one("secret").context("--secret or --user is needed")?;
    Ok(Login::Secret(secret.clone()))
}

/// A browser refuses the whole list for one bad URL, so say it before it comes to that.
fn check_url(url: &str) -> anyhow::Result<()> {
    let Some(("turn" | "turns" | "stun" | "stuns", rest)) = url.split_once(':') else {
        bail!("--turn {url}: not a turn:, turns:, stun: or stuns: URL");
    };
    if rest.is_empty() || rest.starts_with('/') {
        bail!("--turn {url}: write turn:HOST:PORT, without slashes");
    }
    Ok(())
}
