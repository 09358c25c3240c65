//! What a worker does for operators.

use super::Worker;
use crate::turn::{Event, Page, Session, Transport, Whom};
use tokio::sync::oneshot::Sender;

/// Allocations that are ended in one go: each has sockets to close and routes to take back.
const ENDED: usize = 100;

/// What an operator wants of a worker. Where there may be more, the answer says where to go on.
pub(crate) enum Control {
    /// To see allocations, from a place on.
    Show { whom: Whom, from: usize, reply: Sender<Page> },
    /// To end them: how many these were.
    End { whom: Whom, from: usize, reply: Sender<(usize, Option<usize>)> },
}

impl Worker {
    /// Does what an operator wants. Who has lost patience meanwhile needs no answer.
    pub(super) fn take_control(&mut self, letter: Control) {
        match letter {
            Control::Show { whom, from, reply } => {
                _ = reply.send(self.server.sessions(self.now.time, &whom, from, usize::MAX));
            }
            Control::End { whom, from, reply } => {
                let page = self.server.sessions(self.now.time, &whom, from, ENDED);
                page.sessions.iter().for_each(|session| self.end_for_good(session));
                _ = reply.send((page.sessions.len(), page.next));
            }
        }
    }

    /// Ends an allocation, and the connection of its client.
    fn end_for_good(&mut self, session: &Session) {
        self.server.handle_event(self.now, Event::Disconnect { session: session.id });
        self.drain();
        let path = session.path;
        if path.transport.is_stream() && self.streams.has(&path) {
            self.end_stream(path.link);
        }
        if path.transport == Transport::Dtls {
            self.end_session(path);
        }
    }
}
