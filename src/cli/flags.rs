//! Flags for every key, under our names and under coturn's.

use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches};

use crate::config::Reading;
use crate::config::admin;
use crate::config::coturn::{self, Meaning};
use crate::config::key::Key;
use crate::config::kind::Kind;
use crate::config::setting::Site;
use crate::config::table::KEYS;

/// The flags of the keys that are no names of coturn's as well; the parser wants them to live for ever.
static NATIVE: LazyLock<Vec<(&Key, String)>> = LazyLock::new(|| {
    let flags = KEYS.iter().map(|key| (key, key.flag()));
    flags.filter(|(_, flag)| coturn::names().all(|(name, _)| name != flag)).collect()
});

/// Describes a flag for every key; most are hidden, to keep the help short.
pub(super) fn native() -> impl Iterator<Item = Arg> {
    NATIVE.iter().map(|(key, flag)| {
        let arg = Arg::new(key.path).long(flag.as_str());
        visible(valued(arg, key.kind.is_flag(), "true"), key)
    })
}

/// Shows the flag of a key in the help if it is a common one.
fn visible(arg: Arg, key: &Key) -> Arg {
    arg.help(key.help).help_heading("Common keys").value_name(value_name(key)).hide(!key.common)
}

/// Returns what stands for the value in the help.
fn value_name(key: &Key) -> &'static str {
    match key.kind {
        Kind::Flag(_) => "YES|NO",
        Kind::Count(..) => "NUMBER",
        Kind::Port(_) => "PORT",
        Kind::Time(..) => "TIME",
        Kind::Path(_) => "FILE",
        Kind::Users(_) => "NAME:PASSWORD",
        _ => "VALUE",
    }
}

/// Describes coturn's flags, hidden but for those whose name is ours too.
pub(super) fn coturn() -> impl Iterator<Item = Arg> {
    coturn::names().filter(|(name, _)| *name != "version").map(|(name, short)| {
        let is_flag = Meaning::of(name).is_some_and(Meaning::is_flag);
        let arg = valued(Arg::new(name).long(name), is_flag, "").hide(true);
        let arg = match KEYS.iter().find(|key| key.flag() == name) {
            Some(key) => visible(arg, key),
            None => arg,
        };
        match short {
            Some(letter) => arg.short(letter),
            None => arg,
        }
    })
}

/// Gives a flag its value; that of a switch may be left out and must otherwise follow an equals sign.
fn valued(arg: Arg, is_switch: bool, on: &'static str) -> Arg {
    let arg = arg.action(ArgAction::Append);
    if is_switch {
        arg.num_args(0..=1).require_equals(true).default_missing_value(on)
    } else {
        arg.num_args(1).allow_hyphen_values(true)
    }
}

/// Reads what the command line says of keys.
pub(super) fn read(matches: &ArgMatches) -> Reading {
    let mut reading = Reading::default();
    let native = NATIVE.iter().map(|(key, flag)| (key.path, flag.as_str()));
    let coturn = coturn::names().map(|(name, _)| (name, name));
    for (id, flag) in coturn.chain(native) {
        let values = matches.try_get_many::<String>(id).ok().flatten().into_iter().flatten();
        for value in values {
            coturn::take(&mut reading, id, value, Site::new("command line", format!("--{flag}")));
        }
    }
    admin::join_metrics(&mut reading);
    reading
}
