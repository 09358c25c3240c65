//! The reader of the environment: `HAIRPIN_AUTH_REALM` sets `auth.realm`.

use super::key::Key;
use super::near;
use super::setting::{Reading, Setting, Site, Value};
use super::table::KEYS;

/// Reads the variables that begin with `HAIRPIN_`.
pub(crate) fn read(variables: &[(String, String)]) -> Reading {
    let mut reading = Reading::default();
    for (name, text) in variables.iter().filter(|(name, _)| is_ours(name)) {
        let site = Site::new("environment", name);
        match KEYS.iter().find(|key| key.variable() == *name) {
            Some(key) => take(&mut reading, key, text, &site),
            None => unknown(&mut reading, name, &site),
        }
    }
    reading
}

/// What the name of every variable of ours begins with.
const PREFIX: &str = "HAIRPIN_";

/// Returns whether a variable is meant for us.
///
/// Kubernetes sets `HAIRPIN_SERVICE_HOST`, `HAIRPIN_PORT_3478_UDP` and so on in every container once a
/// service is called hairpin: those are not ours.
fn is_ours(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    !(rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_"))
}

/// Takes the value of a variable, item by item for a list.
fn take(reading: &mut Reading, key: &'static Key, text: &str, site: &Site) {
    let values = if key.kind.is_list() { items(key, text) } else { vec![Value::Text(text.to_owned())] };
    reading.settings.extend(values.into_iter().map(|value| Setting { key, value, site: site.clone() }));
}

/// Splits a list at blanks and commas; a secret may hold a comma, so secrets are split at blanks alone.
fn items(key: &Key, text: &str) -> Vec<Value> {
    let parts = text.split(|c: char| c.is_whitespace() || (c == ',' && !key.secret));
    let items: Vec<Value> = parts.filter(|p| !p.is_empty()).map(|p| Value::Text(p.to_owned())).collect();
    if items.is_empty() { vec![Value::Nothing] } else { items }
}

/// Says that a variable is unknown. One that is near a key was meant for it: what it should have closed may be
/// open without it, so it is an error.
fn unknown(reading: &mut Reading, name: &str, site: &Site) {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let known = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    match near::nearest(name.trim_start_matches(PREFIX), known) {
        Some(near) => reading.errors.push(site.remark(format!("no such key; did you mean {PREFIX}{near}?"))),
        None => {
            let text = "no such key, so it has no effect; `hairpin reference` lists every key";
            reading.warnings.push(site.remark(text));
        }
    }
}
