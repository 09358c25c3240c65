//! What client and server say to each other: JSON objects with a `type`, one per text frame.
//!
//! | client says | server says |
//! |---|---|
//! | `join {room, name}` | `welcome {id, room, peers, iceServers, ttl}` |
//! | `leave` | `bye` |
//! | `offer`, `answer` `{to, sdp}`, `candidate {to, candidate}` | the same with `from` instead of `to`, to the other |
//! | `ice` | `ice {iceServers, ttl}`: fresh credentials |
//! | `ping` | `pong` |
//! | | `joined {id, name}`, `left {id, reason}` to the others in the room |
//! | | `error {code, message}`: what was wrong with the last message |

use serde_json::{Value, json};

/// Characters of a room's name.
const ROOM_LEN: usize = 64;
/// Characters of a member's name.
const NAME_LEN: usize = 40;
/// Bytes of a session description; a call with a handful of codecs needs about eight thousand.
const SDP_LEN: usize = 32 * 1024;
/// Bytes of a candidate as JSON.
const CANDIDATE_LEN: usize = 2 * 1024;
/// Bytes of a member's id as we make them; a longer one cannot be anybody's.
pub(crate) const ID_LEN: usize = 16;

/// A message of a client that is well formed.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// Enter a room under a name.
    Join { room: String, name: String },
    /// Leave the room.
    Leave,
    /// Carry `body` to another member; it lacks only who it is from.
    Signal { to: String, body: Value },
    /// Ask for fresh relay credentials.
    Ice,
    /// Ask whether the server is there.
    Ping,
}

/// Why a message is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a JSON object with a `type`.
    NotAMessage,
    /// A frame that is not text.
    NotText,
    /// A `type` that means nothing here.
    UnknownType,
    /// A field is absent or of another kind.
    Field(&'static str),
    /// A field is longer than anything honest.
    TooLong(&'static str),
    /// A room's name with other characters than letters, digits, `-` and `_`.
    RoomName,
    /// The room has all the members it may have.
    RoomFull,
    /// The server has all the rooms it may have.
    NoRoomLeft,
    /// A second `join` without a `leave`.
    AlreadyJoined,
    /// Something that needs a room, said outside.
    NotJoined,
    /// A recipient who is not in the room (any more).
    UnknownPeer,
}

impl Refusal {
    /// A word for programs.
    fn code(self) -> &'static str {
        match self {
            Self::NotAMessage => "not-a-message",
            Self::NotText => "not-text",
            Self::UnknownType => "unknown-type",
            Self::Field(_) => "bad-field",
            Self::TooLong(_) => "too-long",
            Self::RoomName => "bad-room-name",
            Self::RoomFull => "room-full",
            Self::NoRoomLeft => "no-room-left",
            Self::AlreadyJoined => "already-joined",
            Self::NotJoined => "not-joined",
            Self::UnknownPeer => "unknown-peer",
        }
    }

    /// A sentence for people.
    fn message(self) -> String {
        let text = match self {
            Self::NotAMessage => "a message is a JSON object with a \"type\"",
            Self::NotText => "messages are text frames",
            Self::UnknownType => "there is no such type of message",
            Self::Field(name) => return format!("\"{name}\" is missing or of the wrong kind"),
            Self::TooLong(name) => return format!("\"{name}\" is too long"),
            Self::RoomName => "a room's name has letters, digits, - and _ only",
            Self::RoomFull => "the room is full",
            Self::NoRoomLeft => "the server has no room left, try again later",
            Self::AlreadyJoined => "already in a room: leave it first",
            Self::NotJoined => "join a room first",
            Self::UnknownPeer => "nobody in the room has this id",
        };
        text.to_owned()
    }

    /// The answer to the client.
    pub(crate) fn to_json(self) -> Value {
        json!({"type": "error", "code": self.code(), "message": self.message()})
    }
}

/// Reads a client's message.
pub(crate) fn parse(text: &str) -> Result<Request, Refusal> {
    let message: Value = serde_json::from_str(text).map_err(|_| Refusal::NotAMessage)?;
    let kind = message.get("type").and_then(Value::as_str).ok_or(Refusal::NotAMessage)?;
    match kind {
        "join" => join(&message),
        "leave" => Ok(Request::Leave),
        "offer" | "answer" => description(&message, kind),
        "candidate" => candidate(&message),
        "ice" => Ok(Request::Ice),
        "ping" => Ok(Request::Ping),
        _ => Err(Refusal::UnknownType),
    }
}

/// Reads `join`.
fn join(message: &Value) -> Result<Request, Refusal> {
    let room = text(message, "room", ROOM_LEN)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if room.is_empty() || !room.chars().all(allowed) {
        return Err(Refusal::RoomName);
    }
    let name: String =
        text(message, "name", 4 * NAME_LEN)?.chars().filter(|c| !c.is_control()).take(NAME_LEN).collect();
    let name = if name.trim().is_empty() { "Guest" } else { name.trim() };
    Ok(Request::Join { room: room.to_owned(), name: name.to_owned() })
}

/// Reads `offer` and `answer`.
fn description(message: &Value, kind: &str) -> Result<Request, Refusal> {
    let to = text(message, "to", ID_LEN)?;
    let sdp = text(message, "sdp", SDP_LEN)?;
    Ok(Request::Signal { to: to.to_owned(), body: json!({"type": kind, "sdp": sdp}) })
}

/// Reads `candidate`; `null` says that there are no more.
fn candidate(message: &Value) -> Result<Request, Refusal> {
    let to = text(message, "to", ID_LEN)?;
    let candidate = message.get("candidate").ok_or(Refusal::Field("candidate"))?;
    if !candidate.is_object() && !candidate.is_null() {
        return Err(Refusal::Field("candidate"));
    }
    if candidate.to_string().len() > CANDIDATE_LEN {
        return Err(Refusal::TooLong("candidate"));
    }
    let body = json!({"type": "candidate", "candidate": candidate});
    Ok(Request::Signal { to: to.to_owned(), body })
}

/// A text field of at most `longest` bytes.
fn text<'a>(message: &'a Value, field: &'static str, longest: usize) -> Result<&'a str, Refusal> {
    let text = message.get(field).and_then(Value::as_str).ok_or(Refusal::Field(field))?;
    if text.len() > longest { Err(Refusal::TooLong(field)) } else { Ok(text) }
}
