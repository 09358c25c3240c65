//! What a worker does for clients that come by a proxy over UDP, its guests.

use super::Worker;
use crate::io::proxy::{is_guest, knows};
use crate::io::sys::Datagram;
use crate::turn::{Action, Path, Permission, Reason, Route};
use crate::wire::proxy::{Carrier, Front, next};

impl Worker {
    /// Decides about what a proxy has sent, each with its header. `path` is that of the proxy itself.
    pub(super) fn take_from_proxy(&mut self, path: Path, datagram: &Datagram) {
        let proxies = self.listeners[path.link as usize].proxies.as_deref();
        // Nothing is worked out for who is no proxy.
        if !proxies.is_some_and(|proxies| knows(proxies, path.client.ip())) {
            return datagram.segments().for_each(|_| self.server.count_drop(Reason::ProxyHeader));
        }
        for (start, len) in datagram.segments() {
            match next(self.inbox.part(start, len), Carrier::Datagram) {
                Front::Whole { len: header, client } => {
                    let guest = self.guests.enter(path, client);
                    self.guest = Some(guest);
                    self.take_from_client(guest, datagram, (start + header, len - header));
                    self.drain();
                    self.guest = None;
                    // Nothing is kept of whom the core keeps nothing.
                    if !self.server.has_allocation(&guest) {
                        self.guests.leave(&guest);
                    }
                }
                _ => self.server.count_drop(Reason::ProxyHeader),
            }
        }
    }

    /// A 5-tuple is no allocation's any more, and no other worker waits for what comes there.
    pub(super) fn forget_guest(&mut self, path: &Path) {
        // Who is being served may have lost an allocation to get another.
        if self.guest != Some(*path) {
            self.guests.leave(path);
        }
    }

    /// Whether an action can be carried out for its client. A guest is reached through the listener that its proxy knows
    /// and through no other; and not by a fast path, for its packets are the proxy's, with a header before them.
    pub(super) fn can_act(&mut self, action: &Action) -> bool {
        match action {
            Action::SendFrom { path, .. } if is_guest(path) => {
                self.server.count_drop(Reason::ProxyHeader);
                false
            }
            Action::AddRoute(Route { path, .. })
            | Action::RemoveRoute(Route { path, .. })
            | Action::AddPermission(Permission { path, .. })
            | Action::RemovePermission(Permission { path, .. }) => !is_guest(path),
            _ => true,
        }
    }
}
