//! Channels from relay to relay of this server, and which of them are each other's way back.

use crate::turn::Route;
use std::collections::HashMap;
use std::net::SocketAddr;

/// A channel to another relay of this server, with the place of its allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inward {
    pub(super) route: Route,
    pub(super) session: u32,
}

/// Those that the program carries, by the two relays.
#[derive(Debug, Default)]
pub(super) struct Pairs(HashMap<(SocketAddr, SocketAddr), Inward>);

impl Pairs {
    pub(super) fn insert(&mut self, one: Inward) {
        self.0.insert((one.route.local, one.route.wire), one);
    }

    /// Takes a channel out; none if it is not there.
    pub(super) fn remove(&mut self, route: &Route) -> Option<Inward> {
        self.0.remove(&(route.local, route.wire))
    }

    /// The channel that the other client has for what comes by this one.
    pub(super) fn twin(&self, route: &Route) -> Option<Inward> {
        self.0.get(&(route.wire, route.local)).copied()
    }
}
