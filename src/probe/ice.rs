//! What a browser is given: `iceServers`, or one entry of it.

use super::Entry;
use serde_json::Value;

/// What is wrong with a text that is no such entry.
const FORM: &str = "write {\"urls\": [\"turn:HOST\"], \"username\": \"NAME\", \"credential\": \"PASSWORD\"}, a list of \
    these, or {\"iceServers\": [...]}";

/// Reads the servers of a JSON text.
///
/// # Errors
/// What is wrong with it, for a person. The text itself, which has a password in it, is not in there.
pub fn read(text: &str) -> Result<Vec<Entry>, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("{error}; {FORM}"))?;
    let inner = document.get("iceServers").unwrap_or(&document);
    let list = inner.as_array().map_or(std::slice::from_ref(inner), Vec::as_slice);
    let entries: Result<Vec<_>, _> = list.iter().map(servers).collect();
    entries.map(|lists| lists.concat())
}

/// Reads one entry, which may have several URLs.
fn servers(entry: &Value) -> Result<Vec<Entry>, String> {
    let text = |name| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let urls = entry.get("urls").or_else(|| entry.get("url")).ok_or_else(|| format!("no urls; {FORM}"))?;
    let urls = urls.as_array().map_or(std::slice::from_ref(urls), Vec::as_slice);
    let user = text("username").zip(text("credential"));
    let one = |url: &Value| {
        let target = url.as_str().ok_or_else(|| FORM.to_owned())?.parse()?;
        Ok(Entry { target, user: user.clone() })
    };
    urls.iter().map(one).collect()
}
