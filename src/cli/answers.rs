//! The subcommands that need no server: check, convert, key, ice, token, reference.

use std::io::{BufRead, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Crypto, NEXT, OK, Output, token};
use crate::config::{self, Certificate, Config, Hosts, Loaded, Remark, Sources, UserSecret};

/// Describes the subcommands.
pub(super) fn subcommands() -> [Command; 6] {
    [
        Command::new("check")
            .about("Say what would run with a configuration, and what is wrong or risky")
            .arg(path("file").help("The file; without one, that of -c")),
        Command::new("convert")
            .about("Print the TOML that says what a file of coturn's says, secrets included")
            .arg(path("file").required(true).help("The turnserver.conf")),
        Command::new("key").about("Print the stored key of a user, for auth.users").args([
            text("user", "NAME").required(true).help("The user name"),
            text("realm", "REALM").required(true).help("The realm of the server (auth.realm)"),
            text("password", "PASSWORD").help("The password; without it, a line of standard input"),
            Arg::new("sha256").long("sha256").action(ArgAction::SetTrue).help("SHA-256 (RFC 8489) instead of MD5"),
        ]),
        Command::new("ice").about("Print an entry for the iceServers of a browser").args([
            text("user", "NAME").help("A user of the configuration, or the identity of time-limited credentials"),
            text("secret", "SECRET").help("A shared secret; without it, the first of the configuration"),
            text("ttl", "TIME").default_value("1h").help("How long time-limited credentials last"),
            text("host", "HOST").help("The name or address under which clients reach the server"),
            path("config").short('c').long("config").help("The configuration; without it, that before the command"),
        ]),
        token::subcommand(),
        Command::new("reference").about("Print every key with its default and its names in coturn"),
    ]
}

/// Describes a flag with a text.
pub(super) fn text(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true)
}

/// Describes an argument that is a path.
pub(super) fn path(name: &'static str) -> Arg {
    Arg::new(name).value_name("FILE").value_parser(value_parser!(PathBuf))
}

/// Answers a subcommand; returns the exit code.
pub(super) fn answer(
    name: &str,
    matches: &ArgMatches,
    sources: Sources,
    crypto: Crypto,
    output: &mut Output<'_>,
) -> u8 {
    match name {
        "check" => check(&with_file(sources, matches, "file"), crypto, output),
        "convert" => convert(matches, output),
        "key" => key(matches, crypto, output),
        "ice" => ice(matches, &with_file(sources, matches, "config"), crypto, output),
        "token" => token::answer(matches, &with_file(sources, matches, "config"), crypto, output),
        _ => output.say(&config::reference()),
    }
}

/// Replaces the file of the sources by one that a subcommand was given.
fn with_file(sources: Sources, matches: &ArgMatches, id: &str) -> Sources {
    let file = matches.get_one::<PathBuf>(id).cloned().or(sources.file);
    Sources { file, ..sources }
}

/// Says what would run.
fn check(sources: &Sources, crypto: Crypto, output: &mut Output<'_>) -> u8 {
    match sources.load() {
        Ok(loaded) => report(&loaded, crypto, output),
        Err(failed) => output.fail(&failed),
    }
}

/// Writes what would run and what is risky; then which certificates would keep it from running.
fn report(loaded: &Loaded, crypto: Crypto, output: &mut Output<'_>) -> u8 {
    output.say(&config::report(&loaded.config));
    let unreadable = unreadable(&loaded.config);
    let missing = loaded.missing_here();
    for remark in loaded.warnings.iter().chain(&missing).map(ToString::to_string).chain(unreadable) {
        output.say(&format!("warning: {remark}\n"));
    }
    let errors = bad_certificates(loaded, crypto);
    if errors.is_empty() {
        return OK;
    }
    output.remark("error", &errors);
    output.complain(NEXT)
}

/// Says which certificates this user may not read. It may be that only the server's user can, so it is no error.
fn unreadable(config: &Config) -> impl Iterator<Item = String> {
    let files = config.tls.certificates.iter().flat_map(|c| [&c.chain, &c.key]);
    let files = files.chain(&config.tls.client_authorities);
    files.filter(|file| is_out_of_reach(file)).map(|file| {
        format!("{}: cannot be read by this user, so not checked; the server needs to read it", file.display())
    })
}

/// Returns whether this user lacks the permission to read a file.
fn is_out_of_reach(file: &Path) -> bool {
    std::fs::File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Returns what is wrong with each certificate that can be read.
fn bad_certificates(loaded: &Loaded, crypto: Crypto) -> Vec<Remark> {
    let certificates = loaded.config.tls.certificates.iter().enumerate();
    let certificates = certificates.filter(|(_, c)| !is_out_of_reach(&c.chain) && !is_out_of_reach(&c.key));
    let fault = |(item, certificate): (usize, &Certificate)| {
        let text = fault_of(loaded, crypto, std::slice::from_ref(certificate), None)?;
        Some(loaded.about("tls.certificate", item, text))
    };
    let authorities = loaded.config.tls.client_authorities.as_deref().filter(|file| !is_out_of_reach(file));
    let authorities = authorities.and_then(|file| fault_of(loaded, crypto, &[], Some(file)));
    let authorities = authorities.map(|text| loaded.about("tls.client-ca", 0, text));
    certificates.filter_map(fault).chain(authorities).collect()
}

/// Says what is wrong with some of the certificates.
fn fault_of(loaded: &Loaded, crypto: Crypto, pairs: &[Certificate], authorities: Option<&Path>) -> Option<String> {
    let mut config = loaded.config.clone();
    config.tls.certificates = pairs.to_vec();
    config.tls.client_authorities = authorities.map(Path::to_owned);
    (crypto.certificates)(&config).err()
}

/// Prints the TOML for a coturn file.
fn convert(matches: &ArgMatches, output: &mut Output<'_>) -> u8 {
    let Some(path) = matches.get_one::<PathBuf>("file") else {
        return output.complain("convert: name a turnserver.conf");
    };
    match converted(path) {
        Ok(toml) => output.say(&toml),
        Err(text) => output.complain(&text),
    }
}

/// Converts a coturn file, or says what is wrong with it.
fn converted(path: &Path) -> Result<String, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("error: {name}: cannot be read: {e}; name a turnserver.conf"))?;
    config::convert(&name, &text).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|e| format!("error: {e}\n")).collect();
        format!("{}nothing was converted; put the errors right and try again", lines.concat())
    })
}

/// Prints a stored key.
fn key(matches: &ArgMatches, crypto: Crypto, output: &mut Output<'_>) -> u8 {
    let made = password(matches).and_then(|password| {
        (crypto.long_term)(matches.get_flag("sha256"), value(matches, "user"), value(matches, "realm"), &password)
    });
    match made {
        Ok(bytes) => output.say(&format!("0x{}\n", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        Err(text) => output.complain(&format!("error: {text}")),
    }
}

/// Returns the password from its flag, or from a line of standard input.
fn password(matches: &ArgMatches) -> Result<String, String> {
    if let Some(password) = matches.get_one::<String>("password") {
        return Ok(password.clone());
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|e| format!("standard input: {e}; give the password with --password"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("no password; give one with --password or as a line of standard input".to_owned());
    }
    Ok(password.to_owned())
}

/// Returns the text of a flag, empty if it was not given.
pub(super) fn value<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

/// Prints an entry for `iceServers`.
fn ice(matches: &ArgMatches, sources: &Sources, crypto: Crypto, output: &mut Output<'_>) -> u8 {
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(failed) => return output.fail(&failed),
    };
    match entry(matches, &loaded.config, crypto) {
        Ok(entry) => output.say(&format!("{entry:#}\n")),
        Err(text) => output.complain(&format!("error: {text}")),
    }
}

/// Makes an entry for `iceServers`.
fn entry(matches: &ArgMatches, config: &Config, crypto: Crypto) -> Result<serde_json::Value, String> {
    let (username, credential) = credentials(matches, config, crypto)?;
    let hosts = Hosts::find(config, matches.get_one::<String>("host").cloned());
    config::ice_server(config, &hosts, &username, &credential)
        .ok_or_else(|| "this host has no address that clients could use; give one with --host".to_owned())
}

/// Makes credentials: time-limited ones if there is a secret and no such user, else those of the user.
fn credentials(matches: &ArgMatches, config: &Config, crypto: Crypto) -> Result<(String, String), String> {
    let name = matches.get_one::<String>("user");
    let given = matches.get_one::<String>("secret");
    let user = config.auth.users.iter().find(|u| given.is_none() && name.is_none_or(|n| *n == u.name));
    match (user, given.or(config.auth.secrets.first())) {
        (Some(user), None) => static_credentials(user),
        (Some(user), Some(_)) if name.is_some() => static_credentials(user),
        (_, Some(secret)) => {
            let username = time_limited_name(config, name.map(String::as_str), ttl(matches)?);
            let credential = (crypto.time_limited)(secret, &username);
            Ok((username, credential))
        }
        (None, None) => Err("no such user and no shared secret; give --secret, or a configuration with -c".to_owned()),
    }
}

/// Returns the credentials of a user whose password is known.
fn static_credentials(user: &config::User) -> Result<(String, String), String> {
    match &user.secret {
        UserSecret::Password(password) => Ok((user.name.clone(), password.clone())),
        _ => Err(format!("only a key of {:?} is stored, no password; name another user, or use --secret", user.name)),
    }
}

/// Returns how long credentials last.
fn ttl(matches: &ArgMatches) -> Result<Duration, String> {
    let text = value(matches, "ttl");
    config::duration(text).ok_or_else(|| format!("--ttl: {text:?} is not a duration; write 90s, 10m or 1h"))
}

/// Makes a time-limited user name: expiry, separator, identity.
fn time_limited_name(config: &Config, name: Option<&str>, ttl: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expiry = now.saturating_add(ttl).as_secs();
    match name {
        Some(name) => format!("{expiry}{}{name}", config.auth.rest_separator),
        None => expiry.to_string(),
    }
}
