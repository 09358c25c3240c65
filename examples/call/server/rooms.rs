//! Who is in which room, and who hears what. No sockets: a member is a queue.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Limits;
use super::message::Refusal;

/// Somebody in a room.
struct Member {
    id: String,
    name: String,
    /// The only sender of this member's queue: dropping it is how the member is put out.
    queue: Sender<String>,
}

/// All rooms that have somebody in them.
pub(crate) struct Rooms {
    rooms: HashMap<String, Vec<Member>>,
    most_rooms: usize,
    most_members: usize,
    queue: usize,
}

impl Rooms {
    /// No rooms yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { rooms: HashMap::new(), most_rooms: limits.rooms, most_members: limits.members, queue: limits.queue }
    }

    /// Lets somebody in and tells the others.
    ///
    /// Returns who was there before, and the queue to listen to. The queue ends when the member
    /// was put out because it stopped reading.
    pub(crate) fn join(&mut self, room: &str, id: &str, name: &str) -> Result<(Vec<Value>, Receiver<String>), Refusal> {
        if !self.rooms.contains_key(room) && self.rooms.len() >= self.most_rooms {
            return Err(Refusal::NoRoomLeft);
        }
        if self.rooms.get(room).is_some_and(|members| members.len() >= self.most_members) {
            return Err(Refusal::RoomFull);
        }
        self.tell_others(room, id, &json!({"type": "joined", "id": id, "name": name}));
        let members = self.rooms.entry(room.to_owned()).or_default();
        let peers = members.iter().map(|peer| json!({"id": peer.id, "name": peer.name})).collect();
        let (queue, listener) = mpsc::channel(self.queue);
        members.push(Member { id: id.to_owned(), name: name.to_owned(), queue });
        Ok((peers, listener))
    }

    /// Lets somebody out and tells the others why. Somebody who is not there may leave.
    pub(crate) fn leave(&mut self, room: &str, id: &str, reason: &str) {
        let Some(members) = self.rooms.get_mut(room) else {
            return;
        };
        let before = members.len();
        members.retain(|member| member.id != id);
        let (was_there, is_empty) = (members.len() < before, members.is_empty());
        if is_empty {
            self.rooms.remove(room);
        }
        if was_there {
            self.tell_others(room, id, &left(id, reason));
        }
    }

    /// Carries a message from one member to another.
    pub(crate) fn signal(&mut self, room: &str, from: &str, to: &str, mut body: Value) -> Result<(), Refusal> {
        let members = self.rooms.get(room).ok_or(Refusal::UnknownPeer)?;
        let peer = members.iter().find(|member| member.id == to).ok_or(Refusal::UnknownPeer)?;
        body["from"] = Value::from(from);
        if peer.queue.try_send(body.to_string()).is_err() {
            self.leave(room, to, TOO_SLOW);
            return Err(Refusal::UnknownPeer);
        }
        Ok(())
    }

    /// Tells everybody in the room but `id`.
    ///
    /// Whoever has no place left in its queue is put out, and that is news for the others too,
    /// which may find the next one: each round puts out at least one, so the rounds end.
    fn tell_others(&mut self, room: &str, id: &str, news: &Value) {
        let mut pending = vec![(id.to_owned(), news.to_string())];
        while let Some((about, text)) = pending.pop() {
            let Some(members) = self.rooms.get_mut(room) else {
                return;
            };
            members.retain(|member| {
                let heard = member.id == about || member.queue.try_send(text.clone()).is_ok();
                if !heard {
                    pending.push((member.id.clone(), left(&member.id, TOO_SLOW).to_string()));
                }
                heard
            });
            if members.is_empty() {
                self.rooms.remove(room);
            }
        }
    }
}

/// Why somebody was put out whose queue was full.
const TOO_SLOW: &str = "too slow";

/// The news that somebody left.
fn left(id: &str, reason: &str) -> Value {
    json!({"type": "left", "id": id, "reason": reason})
}
