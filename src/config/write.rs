//! The writer of TOML: the reference file, and the file that says what a coturn file says.

use super::draft::Draft;
use super::key::Key;
use super::kind::Kind;
use super::realm::{DOORS, OWN, REALM};
use super::setting::{Reading, Remark, Value};
use super::table::{KEYS, SECTIONS};
use super::{coturn, load};

/// Writes the reference file: every key with its default, help and names in coturn.
#[must_use]
pub fn reference() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    for (section, about) in SECTIONS {
        out.push_str(&format!("\n{}", comment(about)));
        if !section.is_empty() {
            out.push_str(&format!("[{section}]\n"));
        }
        for key in KEYS.iter().filter(|key| key.split().0 == *section) {
            out.push_str(&entry(key));
        }
    }
    out + &realm_entry()
}

/// Writes what may be said of a realm, as comments: a realm that is there must have a name.
fn realm_entry() -> String {
    let own = OWN.join(", ");
    let mut out = format!("\n{}# [[{REALM}]]\n{}# name = \"…\"\n", comment(REALMS), comment("The name of the realm."));
    for key in &DOORS {
        out.push_str(&comment(key.help));
        out.push_str(&format!("# {} = []\n", key.path));
    }
    out + &comment(&format!("For itself it may have: {own}."))
}

/// About realms.
const REALMS: &str = "Further realms, each with users, peers and limits of its own. A client is of the realm of its \
    ORIGIN, else of its server name, else of its listener, else of the one above. What a realm does not say is as above; \
    one with users, secrets or keys of its own has those alone, and oauth.server-name is its name unless it says \
    another. A realm's limits.allocations is within that of all. Every [[realm]] stands at the end.";

/// What stands at the head of the reference file.
const REFERENCE_HEAD: &str = "\
# Every key of hairpin with its default, as `hairpin reference` prints it.
#
# A key may also be a flag (--auth-realm) or a variable (HAIRPIN_AUTH_REALM). Flags are stronger than
# the environment, the environment is stronger than the file, the file is stronger than the default.
# Durations are seconds, or 90s, 10m, 1h30m, 7d. Sizes are bytes, or 64KiB, 2MiB, 1MB.
# A list of one may be written without brackets.
";

/// Writes a key with its comment.
fn entry(key: &Key) -> String {
    let mut text = key.help.to_owned();
    if let Kind::Choice(words, _) = key.kind {
        text.push_str(&format!(" One of {}.", words.join(", ")));
    }
    let names: Vec<&str> = key.coturn.iter().map(|name| name.name).collect();
    if !names.is_empty() {
        text.push_str(&format!(" (coturn: {})", names.join(", ")));
    }
    let values: Vec<String> = key.default.iter().map(|text| literal(key, text)).collect();
    format!("{}{}\n", comment(&text), assignment(key, &values))
}

/// Writes a comment, in lines of at most a hundred columns where words allow it.
fn comment(text: &str) -> String {
    let mut out = String::from("#");
    let mut column = 1;
    for word in text.split_whitespace() {
        if column + word.len() >= 100 {
            out.push_str("\n#");
            column = 1;
        }
        out.push_str(&format!(" {word}"));
        column += 1 + word.len();
    }
    out + "\n"
}

/// Writes `name = value`.
fn assignment(key: &Key, values: &[String]) -> String {
    let name = key.split().1;
    match values {
        [value] if !key.kind.is_list() => format!("{name} = {value}"),
        _ => format!("{name} = [{}]", values.join(", ")),
    }
}

/// Writes a key with a value that it could have, for messages.
pub(crate) fn example(key: &Key) -> String {
    let sample = match key.kind {
        Kind::Users(_) => "alice:password",
        _ => key.default.first().copied().unwrap_or("…"),
    };
    assignment(key, &[literal(key, sample)])
}

/// Writes one value the way TOML wants it.
fn literal(key: &Key, text: &str) -> String {
    match text.parse::<u64>() {
        Ok(number) if key.kind.is_number() => number.to_string(),
        _ if key.kind.is_flag() => text.to_owned(),
        _ => quoted(text),
    }
}

/// Writes a TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Writes the TOML that says what a coturn file says.
///
/// # Errors
/// Returns what cannot be read in the file; options that are refused become comments.
pub fn convert(file: &str, text: &str) -> Result<String, Vec<Remark>> {
    let reading = coturn::read(file, text);
    let (refused, mut errors): (Vec<_>, Vec<_>) = reading.errors.iter().cloned().partition(Remark::is_refusal);
    load::store(&reading.settings, &mut Draft::blank(), &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut out = format!("# What {file} says, converted by hairpin.\n");
    for remark in refused.iter().chain(&reading.warnings).chain(&reading.implied) {
        out.push_str(&format!("# {}\n", remark.to_string().replace(char::is_control, " ")));
    }
    for (section, _) in SECTIONS {
        out.push_str(&converted_section(&reading, section));
    }
    Ok(out)
}

/// Writes the keys of a section that a reading sets.
fn converted_section(reading: &Reading, section: &str) -> String {
    let keys = KEYS.iter().filter(|key| key.split().0 == section);
    let lines: String = keys.filter_map(|key| converted_key(reading, key)).collect();
    match section {
        _ if lines.is_empty() => lines,
        "" => format!("\n{lines}"),
        _ => format!("\n[{section}]\n{lines}"),
    }
}

/// Writes a key that a reading sets; of several values for a single one the last counts.
fn converted_key(reading: &Reading, key: &Key) -> Option<String> {
    let values: Vec<String> = reading.of(key).filter_map(|s| converted_value(key, &s.value)).collect();
    let last = values.len().checked_sub(1)?;
    let values = if key.kind.is_list() { &values[..] } else { &values[last..] };
    Some(format!("{}\n", assignment(key, values)))
}

/// Writes a value that was read; users are texts in a coturn file.
fn converted_value(key: &Key, value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(literal(key, text)),
        Value::Nothing | Value::User(_) => None,
    }
}
