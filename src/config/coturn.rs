//! The reader of coturn's files and options.

use super::key::{How, Key, Name};
use super::options::{self, Fate, Other};
use super::setting::{REFUSED, Reading, Remark, Setting, Site, Value};
use super::table::{self, KEYS};
use super::{admin, near, value};

/// What a name in a coturn file or on the command line means.
#[derive(Clone, Copy)]
pub(crate) enum Meaning {
    /// A key, under a name of coturn's.
    Here(&'static Key, &'static Name),
    /// A key, under our own name: a coturn file may use what coturn lacks.
    Native(&'static Key),
    /// No key.
    Other(&'static Other),
}

impl Meaning {
    /// Looks up a name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        here(name)
            .map(|(key, name)| Self::Here(key, name))
            .or_else(|| options::find(name).map(Self::Other))
            .or_else(|| table::find(name).map(Self::Native))
    }

    /// Returns whether it is a flag, whose value may be left out.
    pub(crate) fn is_flag(self) -> bool {
        match self {
            Self::Here(key, name) => match name.how {
                How::Same => key.kind.is_flag(),
                How::Not | How::As(_) | How::Or(_) => true,
                How::With(_) => false,
            },
            Self::Native(key) => key.kind.is_flag(),
            Self::Other(other) => !other.valued,
        }
    }
}

/// Looks up a key by a name of coturn's.
pub(crate) fn here(name: &str) -> Option<(&'static Key, &'static Name)> {
    KEYS.iter().find_map(|key| Some((key, key.coturn.iter().find(|n| n.name == name)?)))
}

/// Returns every name of coturn's with its short letter.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, Option<char>)> {
    let here = KEYS.iter().flat_map(|key| key.coturn).map(|n| (n.name, n.short));
    here.chain(options::OTHERS.iter().map(|o| (o.name, o.short)))
}

/// Reads a file in coturn's format.
pub(crate) fn read(file: &str, text: &str) -> Reading {
    let mut reading = Reading { coturn: true, ..Reading::default() };
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if let Some((name, value)) = split(line) {
            let site = Site::new(format!("{file}:{}", number + 1), shown(name));
            if line.trim_end().ends_with(';') {
                reading
                    .warnings
                    .push(site.remark("the line ends in a semicolon, which becomes part of the value; remove it"));
            }
            take(&mut reading, name, value, site);
        }
    }
    admin::join_metrics(&mut reading);
    reading
}

/// Splits a line into a name and a value, which may be empty; none if the line says nothing.
///
/// As in coturn: a comment starts at the start of a line alone, any run of blanks and equals signs
/// separates, and quotes are taken off a value that begins with one.
pub(crate) fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let separators = [' ', '\t', '='];
    let (name, value) = line.split_once(separators).unwrap_or((line, ""));
    Some((name, unquoted(value.trim_start_matches(separators))))
}

/// Returns what messages show of a name: all of it, unless a value seems to stick to it, which may be a secret.
fn shown(name: &str) -> &str {
    if Meaning::of(name).is_some() {
        return name;
    }
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'));
    let name = &name[..end.unwrap_or(name.len())];
    let secret = secret_names().filter(|secret| name.starts_with(secret)).max_by_key(|secret| secret.len());
    match (secret, nearest(name)) {
        (Some(secret), None) => secret,
        (Some(secret), Some(near)) if near == secret => secret,
        _ => name,
    }
}

/// Returns the names of the keys whose values are secrets.
fn secret_names() -> impl Iterator<Item = &'static str> {
    let secret = KEYS.iter().filter(|key| key.secret);
    secret.flat_map(|key| key.coturn.iter().map(|name| name.name).chain([key.path]))
}

/// Returns the known name that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    near::nearest(name, names().map(|(name, _)| name).chain(KEYS.iter().map(|key| key.path)))
}

/// Takes the quotes off a value that begins with one.
fn unquoted(value: &str) -> &str {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or(rest),
        None => value,
    }
}

/// Takes one option into a reading.
pub(crate) fn take(reading: &mut Reading, name: &str, value: &str, site: Site) {
    let Some(meaning) = Meaning::of(name) else {
        reading.errors.push(unknown(shown(name), &site));
        return;
    };
    let needs_value = !meaning.is_flag() && !may_be_empty(meaning);
    if value.is_empty() && needs_value {
        reading.errors.push(site.remark("it has no value; give one or remove the line"));
        return;
    }
    match meaning {
        Meaning::Here(key, name) => translate(reading, key, name.how, value, site),
        Meaning::Native(key) => translate(reading, key, How::Same, value, site),
        Meaning::Other(other) if other.valued => follow(reading, other.fate, true, &site),
        Meaning::Other(other) => match flag(value) {
            Ok(on) => follow(reading, other.fate, on, &site),
            Err(text) => reading.errors.push(site.remark(text)),
        },
    }
}

/// Returns whether an empty value means something: none, for keys whose default is empty.
fn may_be_empty(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Native(key) if key.default == [""])
}

/// Says that a name is unknown, and which one is near.
fn unknown(name: &str, site: &Site) -> Remark {
    match nearest(name) {
        Some(near) if near == name => {
            site.remark("a value sticks to the name; put a blank or an equals sign between them")
        }
        Some(near) => site.remark(format!("unknown option; did you mean {near}?")),
        None => site.remark("unknown option; remove it, or see `hairpin reference` for every key"),
    }
}

/// Turns an option that is a key into a setting.
fn translate(reading: &mut Reading, key: &'static Key, how: How, value: &str, site: Site) {
    match translated(key, how, value) {
        Ok(Some(text)) => {
            // A flag that stands for a value goes first, so that an option with a value is stronger.
            let at = if matches!(how, How::As(_)) { 0 } else { reading.settings.len() };
            reading.settings.insert(at, Setting { key, value: Value::Text(text), site });
        }
        Ok(None) => {}
        Err(text) => reading.errors.push(site.remark(text)),
    }
}

/// Returns our value for one of coturn's; none if a flag that stands for a value is off.
fn translated(key: &Key, how: How, value: &str) -> Result<Option<String>, String> {
    Ok(Some(match how {
        How::As(text) if flag(value)? => text.to_owned(),
        How::As(_) => return Ok(None),
        How::Not => (!flag(value)?).to_string(),
        How::Same if key.kind.is_flag() => flag(value)?.to_string(),
        How::Or(default) if value.is_empty() => default.to_owned(),
        How::With(words) => words(value),
        How::Same | How::Or(_) => value.to_owned(),
    }))
}

/// Reads the value of a flag; none means on. (In coturn some flags are on whatever their value is.)
fn flag(text: &str) -> Result<bool, String> {
    if text.is_empty() {
        return Ok(true);
    }
    value::boolean(text).ok_or_else(|| format!("{text:?} is neither yes nor no; leave the value out for yes"))
}

/// Does what becomes of an option that is no key and is on or off.
fn follow(reading: &mut Reading, fate: Fate, on: bool, site: &Site) {
    match fate {
        Fate::Opposite(name) => {
            if let Some(other) = options::find(name) {
                follow(reading, other.fate, !on, site);
            }
        }
        _ if !on => {}
        Fate::Planned(text) => reading.warnings.push(site.remark(format!("has no effect yet: {text}"))),
        Fate::Ignored(text) => reading.warnings.push(site.remark(format!("has no effect: {text}"))),
        Fate::Refused(text) => reading.errors.push(site.remark(format!("{REFUSED}{text}"))),
        Fate::Implied(text) => reading.implied.push(site.remark(text)),
    }
}

/// Returns whether a text is in coturn's format rather than in TOML: a TOML file has a section, or its
/// first word is no option of coturn's.
pub(crate) fn recognises(file: &str, text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().filter_map(split);
    let first = lines.clone().next();
    if file.ends_with(".toml") || lines.any(|(name, _)| name.starts_with('[')) {
        return false;
    }
    file.ends_with(".conf") || first.is_some_and(|(name, _)| names().any(|(known, _)| known == name))
}
