//! `hairpin token`: an access token as an authorisation server would make it (RFC 7635), for tests.

use super::answers::{path, text, value};
use super::{Crypto, Output};
use crate::config::{self, Config, Loaded, OauthKey, Sources};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What stands below the list of flags.
const AFTER_HELP: &str = "\
A client shows the kid as its USERNAME and the token as its ACCESS-TOKEN, and signs with the session key, both of them \
decoded from base64.";

/// What an authorisation server hands to a client.
pub struct Grant {
    /// What the client signs with.
    pub session_key: Vec<u8>,
    /// What it shows to the server.
    pub token: Vec<u8>,
}

/// Describes it.
pub(super) fn subcommand() -> Command {
    Command::new("token")
        .about("Make an access token of third-party authorisation (RFC 7635), for tests")
        .args([
            text("key", "KEY").help("KID:A256GCM:BASE64 as in oauth.keys; without it, a key of the configuration"),
            text("kid", "KID").help("Which key of the configuration; without it, the first"),
            text("server-name", "NAME").help("The server that it is for; without it, as the configuration has it"),
            text("realm", "REALM").help("Which realm of the configuration; without it, the main one"),
            text("lifetime", "TIME").default_value("1h").help("How long it lasts"),
            Arg::new("sha256").long("sha256").action(ArgAction::SetTrue).help("A session key of 32 bytes, for SHA-256"),
            path("config").short('c').long("config").help("The configuration; without it, that before the command"),
        ])
        .after_help(AFTER_HELP)
}

/// Makes one and prints what a client needs.
pub(super) fn answer(matches: &ArgMatches, sources: &Sources, crypto: Crypto, output: &mut Output<'_>) -> u8 {
    let config = match configuration(matches, sources) {
        Ok(loaded) => loaded.map(|loaded| loaded.config),
        Err(failed) => return output.fail(&failed),
    };
    match made(matches, config.as_ref(), crypto) {
        Ok(text) => output.say(&text),
        Err(text) => output.complain(&format!("error: {text}")),
    }
}

/// Reads the configuration, unless the flags say everything.
fn configuration(matches: &ArgMatches, sources: &Sources) -> Result<Option<Loaded>, config::Failed> {
    let needless = matches.contains_id("key") && matches.contains_id("server-name");
    if needless { Ok(None) } else { sources.load().map(Some) }
}

/// Makes one and writes it down.
fn made(matches: &ArgMatches, config: Option<&Config>, crypto: Crypto) -> Result<String, String> {
    let config = config.map(|config| of_realm(config, matches)).transpose()?;
    let (key, server) = (key(matches, config.as_ref())?, server(matches, config.as_ref()));
    let grant = (crypto.token)(&key, &server, lifetime(matches)?, matches.get_flag("sha256"))?;
    let (session, token) = (STANDARD.encode(&grant.session_key), STANDARD.encode(&grant.token));
    Ok(format!("kid: {}\nsession-key: {session}\ntoken: {token}\n", key.kid))
}

/// The configuration as it is in the realm that was named.
fn of_realm(config: &Config, matches: &ArgMatches) -> Result<Config, String> {
    match matches.get_one::<String>("realm").filter(|name| **name != config.auth.realm) {
        None => Ok(config.clone()),
        Some(name) => {
            let realm = config.realms.iter().find(|realm| realm.auth.realm == *name);
            let realm = realm.ok_or_else(|| format!("the configuration has no realm {name:?}; see [[realm]] there"))?;
            Ok(realm.applied_to(config))
        }
    }
}

/// The key to seal with: that of the flag, or one of the configuration.
fn key(matches: &ArgMatches, config: Option<&Config>) -> Result<OauthKey, String> {
    if let Some(text) = matches.get_one::<String>("key") {
        return config::oauth_key(text).map_err(|error| format!("--key: {error}"));
    }
    let kid = matches.get_one::<String>("kid");
    let mut keys = config.into_iter().flat_map(|config| &config.oauth.keys);
    let key = keys.find(|key| kid.is_none_or(|kid| key.kid == *kid)).cloned();
    key.ok_or_else(|| "no such key; give --key KID:A256GCM:BASE64, or a configuration with oauth.keys by -c".to_owned())
}

/// The name of the server that the token is for.
fn server(matches: &ArgMatches, config: Option<&Config>) -> String {
    let named = matches.get_one::<String>("server-name").cloned();
    named.or_else(|| config.map(|config| config.oauth.name(&config.auth.realm).to_owned())).unwrap_or_default()
}

/// How many seconds it lasts.
fn lifetime(matches: &ArgMatches) -> Result<u32, String> {
    let text = value(matches, "lifetime");
    let seconds = config::duration(text).and_then(|time| u32::try_from(time.as_secs()).ok());
    seconds.ok_or_else(|| format!("--lifetime: {text:?} is not a duration; write 90s, 10m or 1h"))
}
