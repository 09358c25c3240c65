//! What a worker does for clients that come by a proxy over UDP, its guests.

use super::Worker;
use crate::io::proxy::{is_guest, knows};
use crate::io::sys::Datagram;
use crate::turn::{Action, Path, Permission, Reason, Route, Transport};
use crate::wire::proxy::{Carrier, Front, next};
use std::net::SocketAddr;

impl Worker {
    /// Decides about what a proxy has sent, each with its header. `way` is the path of the proxy itself.
    pub(super) fn take_from_proxy(&mut self, way: Path, datagram: &Datagram) {
        let proxies = self.listeners[way.link as usize].proxies.as_deref();
        // Nothing is worked out for who is no proxy.
        if !proxies.is_some_and(|proxies| knows(proxies, way.client.ip())) {
            return datagram.segments().for_each(|_| self.server.count_drop(Reason::ProxyHeader));
        }
        for (start, len) in datagram.segments() {
            match next(self.inbox.part(start, len), Carrier::Datagram) {
                Front::Whole { len: header, client } => {
                    self.take_from_guest((way, client), datagram, (start + header, len - header));
                }
                _ => self.server.count_drop(Reason::ProxyHeader),
            }
        }
    }

    /// Decides about what stands behind a header.
    fn take_from_guest(
        &mut self,
        (way, client): (Path, Option<SocketAddr>),
        datagram: &Datagram,
        part: (usize, usize),
    ) {
        let listener = &self.listeners[way.link as usize];
        let served = (listener.plain, listener.dtls);
        let Some(guest) = self.guests.enter(way, client) else { return self.server.count_drop(Reason::TooMany) };
        self.guest = Some(guest);
        self.take_part(guest, served, datagram, part);
        self.guest = None;
        self.forget_guest(&guest);
    }

    /// Whether a client can be reached for as long as it takes to ask another worker about it.
    pub(super) fn may_wait(&mut self, path: &Path) -> bool {
        !is_guest(path) || self.guests.keep(path, self.now.time)
    }

    /// Forgets guests of whom another worker had nothing good to say.
    pub(super) fn tend_guests(&mut self) {
        while let Some(path) = self.guests.next_kept(self.now.time) {
            self.forget_guest(&path);
        }
    }

    /// Forgets a guest of whom nothing is kept: neither an allocation, here or on its way here, nor a session.
    pub(super) fn forget_guest(&mut self, path: &Path) {
        let [plain, sealed] = [Transport::Udp, Transport::Dtls].map(|transport| Path { transport, ..*path });
        // Who is being served may have lost an allocation to get another.
        let kept = || {
            self.guest == Some(plain)
                || self.roamers.lives_on(&self.server, &plain)
                || self.guests.is_kept(path, self.now.time)
                || self.dtls.as_ref().is_some_and(|dtls| dtls.has(&sealed))
        };
        if is_guest(path) && !kept() {
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
