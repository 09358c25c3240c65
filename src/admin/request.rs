//! What may be asked of a running server: a line of JSON.

use serde_json::{Value, json};

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// How it stands.
    Status,
}

impl Request {
    /// Reads one; the error says what is wrong and what would be right.
    ///
    /// # Errors
    /// It is no such line.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            format!("not a line of JSON ({error}); send an object such as {}", Self::Status.to_json())
        })?;
        let fields = value.as_object().ok_or("not an object with a \"command\"")?;
        match fields.get("command").and_then(Value::as_str) {
            Some("status") => Ok(Self::Status),
            Some(other) => Err(format!("unknown command {other:?}; there is {COMMANDS}")),
            None => Err(format!("no \"command\"; there is {COMMANDS}")),
        }
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Status => json!({ "command": "status" }),
        }
    }
}

/// The commands, for errors.
const COMMANDS: &str = "status";
