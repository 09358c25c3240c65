//! Carrying out what the core asks for.

use super::Worker;
use super::send::send_all;
use crate::dataplane::xdp::Kernel;
use crate::io::commons::Deposit;
use crate::turn::{Action, Event, Notice, OpenError, Owner, Protocol, RelayId, Token};
use std::io;
use std::net::{SocketAddr, UdpSocket};

impl Worker {
    /// Carries out what the core asks for.
    pub(super) fn drain(&mut self) {
        while let Some(action) = self.server.poll() {
            if self.can_act(&action) {
                self.act(action);
            }
        }
        self.send_after();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Charge { ticket, owner, source } => {
                let granted = self.commons.ledger().charge(&owner, source);
                self.server.handle_event(self.now, Event::Charged { ticket, granted });
            }
            Action::Release { owner, source } => self.commons.ledger().release(&owner, source),
            Action::OpenRelay { ticket, relay, addr, protocol } => {
                let result = match protocol {
                    Protocol::Udp => self.open_relay(relay, addr),
                    Protocol::Tcp => self.listen(relay, addr),
                };
                self.server.handle_event(self.now, Event::RelayOpened { ticket, result });
            }
            Action::CloseRelay { relay } if self.tcp.close(relay) => {}
            Action::CloseRelay { relay } => drop(self.close_relay(relay)),
            Action::Connect { connection, relay, to } => self.connect(connection, relay, to),
            Action::CloseConnection { connection } => self.tcp.remove(connection),
            Action::Pace { connection, rate } => self.tcp.pace(connection, rate),
            Action::Bind { connection, path } => self.bind(connection, path),
            Action::Deposit { relay, token, owner } => {
                if let Some(socket) = self.close_relay(relay) {
                    self.deposit(token, owner, socket);
                }
            }
            Action::Withdraw { ticket, relay, token, owner } => {
                let addr = self.withdraw(relay, &token, &owner);
                self.server.handle_event(self.now, Event::Withdrawn { ticket, addr });
            }
            Action::Forget { token } => self.commons.forget(&token),
            Action::Send { path, message } => self.send(path, &message),
            Action::SendFrom { path, message } => self.send_from(path, &message),
            Action::AddClaim { claim } => self.commons.add_claim(claim, self.place),
            Action::RemoveClaim { claim } => self.commons.remove_claim(claim),
            Action::Follow { path } => self.follow(path),
            Action::Leave { path } => self.leave(&path),
            Action::Tell(notice) => tell(&notice),
            Action::AddRoute(route) => self.kernel(|kernel| kernel.add(&route)),
            Action::RemoveRoute(route) => self.kernel(|kernel| kernel.remove(&route)),
            Action::AddPermission(permission) => self.kernel(|kernel| kernel.permit(&permission)),
            Action::RemovePermission(permission) => self.kernel(|kernel| kernel.forbid(&permission)),
        }
    }

    /// Tells the kernel path something, if there is one.
    fn kernel(&self, tell: impl FnOnce(&Kernel)) {
        if let Some(kernel) = self.commons.kernel() {
            tell(kernel);
        }
    }

    fn open_relay(&mut self, relay: RelayId, addr: SocketAddr) -> Result<(), OpenError> {
        self.relays.open(relay, addr).map_err(|error| open_error(addr, &error))
    }

    /// Takes a socket out of its place. What waits to leave by it goes first.
    fn close_relay(&mut self, relay: RelayId) -> Option<UdpSocket> {
        send_all(&mut self.server, &mut self.outbox, &self.inbox);
        self.relays.close(relay)
    }

    /// Takes a socket that was kept for its owner, if it is there.
    fn withdraw(&mut self, relay: RelayId, token: &Token, owner: &Owner) -> Option<SocketAddr> {
        let Deposit { socket, addr, .. } = self.commons.withdraw(token, owner)?;
        self.relays.adopt(relay, socket).ok()?;
        Some(addr)
    }

    fn deposit(&self, token: Token, owner: Owner, socket: UdpSocket) {
        if let Ok(addr) = socket.local_addr() {
            self.commons.deposit(token, Deposit { owner, socket, addr });
        }
    }
}

/// Logs what has become of an allocation. Addresses and names stand at debug and below.
fn tell(notice: &Notice) {
    match notice {
        Notice::Made { path, owner, relayed: [v4, v6] } => {
            let (v4, v6) = (v4.map(tracing::field::display), v6.map(tracing::field::display));
            tracing::debug!(client = %path.client, transport = ?path.transport, user = %owner.name, realm = %owner.realm, v4, v6, "allocation made");
        }
        Notice::Moved { from, to, owner } => {
            tracing::debug!(from = %from.client, client = %to.client, transport = ?to.transport, user = %owner.name, realm = %owner.realm, "allocation moved");
        }
        Notice::Ended { path, owner } => {
            tracing::debug!(client = %path.client, transport = ?path.transport, user = %owner.name, realm = %owner.realm, "allocation ended");
        }
    }
}

/// What a failed bind means for the core.
pub(super) fn open_error(addr: SocketAddr, error: &io::Error) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE | libc::EACCES) => OpenError::InUse,
        Some(libc::EADDRNOTAVAIL) => {
            tracing::warn!(%error, "relay: the relay address is not this host's; see relay.addresses");
            tracing::debug!(%addr, "relay: could not bind");
            OpenError::Unavailable
        }
        _ => {
            tracing::warn!(%error, "relay: no socket to be had");
            OpenError::Exhausted
        }
    }
}
