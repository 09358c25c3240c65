//! What may be asked of a running server: a line of JSON.

use crate::turn::Whom;
use serde_json::{Map, Value, json};

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How it stands.
    Status,
    /// The same in numbers for a program that draws them.
    Metrics,
    /// Who has allocations.
    Sessions(Whom),
    /// End allocations.
    Kick(Whom),
}

impl Request {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            format!("not a line of JSON ({error}); send an object such as {}", Self::Status.to_json())
        })?;
        let fields = value.as_object().ok_or("not an object with a \"command\"")?;
        let command = fields.get("command").ok_or_else(|| format!("no \"command\"; there is {COMMANDS}"))?;
        match command.as_str() {
            Some("status") => only(fields, &[]).map(|()| Self::Status),
            Some("metrics") => only(fields, &[]).map(|()| Self::Metrics),
            Some("sessions") => Ok(Self::Sessions(whom(fields)?.unwrap_or(Whom::All))),
            Some("kick") => whom(fields)?.map(Self::Kick).ok_or_else(|| NOBODY.to_owned()),
            _ => Err(format!("unknown command {command}; there is {COMMANDS}")),
        }
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Status => json!({ "command": "status" }),
            Self::Metrics => json!({ "command": "metrics" }),
            Self::Sessions(whom) => about("sessions", whom),
            Self::Kick(whom) => about("kick", whom),
        }
    }
}

/// The commands, for errors.
const COMMANDS: &str = "status, metrics, sessions and kick";

/// Nobody is kicked by accident.
const NOBODY: &str = "whom? Give \"user\" (and \"realm\"), \"client\", or \"all\": true";

/// Reads whose allocations are meant.
fn whom(fields: &Map<String, Value>) -> Result<Option<Whom>, String> {
    only(fields, &["user", "realm", "client", "all"])?;
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("{name:?} is {other}, not a text")),
    };
    let all = match fields.get("all") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(other) => return Err(format!("\"all\" is {other}, not true or false")),
    };
    match (text("user")?, text("realm")?, text("client")?, all) {
        (None, None, None, false) => Ok(None),
        (None, None, None, true) => Ok(Some(Whom::All)),
        (Some(name), realm, None, false) => Ok(Some(Whom::User { name, realm })),
        (None, None, Some(client), false) => {
            let addr = client.parse().map_err(|_| format!("{client:?} is no address with a port"))?;
            Ok(Some(Whom::Client(addr)))
        }
        (None, Some(_), ..) => Err("\"realm\" goes with \"user\"".to_owned()),
        _ => Err("\"user\", \"client\" and \"all\" exclude each other".to_owned()),
    }
}

/// Nothing is asked for that is not understood.
fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match fields.keys().find(|name| *name != "command" && !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown field {name:?}")),
        None => Ok(()),
    }
}

/// Writes a command about somebody.
fn about(command: &str, whom: &Whom) -> Value {
    match whom {
        Whom::All => json!({ "command": command, "all": true }),
        Whom::Client(addr) => json!({ "command": command, "client": addr.to_string() }),
        Whom::User { name, realm: None } => json!({ "command": command, "user": name }),
        Whom::User { name, realm: Some(realm) } => json!({ "command": command, "user": name, "realm": realm }),
    }
}
