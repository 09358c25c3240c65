//! The tables that the program reads and counts in; their only writer.

use super::Mode;
use super::abi;
use super::attach::{self, take};
use super::device::Interface;
use super::pairs::{Inward, Pairs};
use super::sessions::Sessions;
use super::status::{Count, Left, Status};
use crate::turn::{Path, Permission, Route};
use aya::Ebpf;
use aya::maps::{Array, DevMapHash, HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;

/// Channels at most, and permissions as many. Of either, one has an entry for each direction: 60 MiB of the kernel if all
/// are there.
pub const ROUTES: u32 = 65_536;

/// What is written, and by whom: whoever holds the lock. No packet waits for it.
pub(super) struct Tables {
    routes: HashMap<MapData, abi::Flow, abi::Way>,
    sends: HashMap<MapData, abi::Send, abi::Way>,
    counts: Array<MapData, abi::Session>,
    counters: PerCpuArray<MapData, abi::Count>,
    sessions: Sessions,
    pairs: Pairs,
    channels: u32,
    permissions: u32,
    refused: u64,
    /// Holds the program, and the links to its interfaces.
    pub(super) program: Ebpf,
    /// Interfaces that packets may leave by.
    interfaces: DevMapHash<MapData>,
}

impl Tables {
    pub(super) fn new(mut program: Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            routes: HashMap::try_from(take(&mut program, "routes")?)?,
            counts: Array::try_from(take(&mut program, "sessions")?)?,
            counters: PerCpuArray::try_from(take(&mut program, "counters")?)?,
            sends: HashMap::try_from(take(&mut program, "sends")?)?,
            sessions: Sessions::default(),
            pairs: Pairs::default(),
            channels: 0,
            permissions: 0,
            refused: 0,
            interfaces: DevMapHash::try_from(take(&mut program, "interfaces")?)?,
            program,
        })
    }

    /// Attaches the program; see [`attach::attach`].
    pub(super) fn attach(&mut self, interfaces: &[Interface], mode: Mode) -> Result<Vec<String>, String> {
        attach::attach(&mut self.program, &mut self.interfaces, &self.counters, interfaces, mode)
    }

    pub(super) fn add(&mut self, route: &Route) {
        let session = if self.channels < ROUTES { self.enter(route.path) } else { None };
        let Some(session) = session else { return self.refuse_channel(route) };
        let is_there = if route.inward { self.pair(route, session) } else { self.insert_both(route, session) };
        if is_there {
            self.channels += 1;
            return;
        }
        self.leave(&route.path);
        self.refuse_channel(route);
    }

    fn insert_both(&mut self, route: &Route, session: u32) -> bool {
        let [to_peer, to_client] = abi::entries(route, session);
        // One direction alone would count for half of what went.
        let is_there = self.insert(to_client) && self.insert(to_peer);
        if !is_there {
            _ = self.routes.remove(&to_client.0);
        }
        is_there
    }

    /// A channel to a relay of this server: from now on the client there gets what comes by it, and the other way round.
    fn pair(&mut self, route: &Route, session: u32) -> bool {
        let near = Inward { route: *route, session };
        self.pairs.insert(near);
        if !self.lead(&near) {
            self.pairs.remove(route);
            return false;
        }
        self.lead_back(route);
        true
    }

    /// No more of that: what comes from the other is user space's, too.
    fn part(&mut self, route: &Route) -> bool {
        let Some(near) = self.pairs.remove(route) else { return false };
        _ = self.routes.remove(&abi::inward(&near, None).0);
        self.lead_back(route);
        true
    }

    /// Writes where a channel to a relay of this server leads. What cannot be written leads nowhere.
    fn lead(&mut self, near: &Inward) -> bool {
        let (flow, way) = abi::inward(near, self.pairs.twin(&near.route).as_ref());
        self.insert((flow, way)) || {
            _ = self.routes.remove(&flow);
            false
        }
    }

    /// The same for the other's channel, if it has one.
    fn lead_back(&mut self, route: &Route) {
        if let Some(twin) = self.pairs.twin(route) {
            self.lead(&twin);
        }
    }

    /// One route less of a 5-tuple: with the last one, what went to the peers and to the client.
    fn leave(&mut self, path: &Path) -> Option<[Count; 2]> {
        let counts = self.session(path);
        if self.sessions.leave(path) { counts } else { None }
    }

    /// User space serves the channel. What its peer sends must not be carried by its permission instead: it would reach
    /// the client as an indication.
    fn refuse_channel(&mut self, route: &Route) {
        self.forbid(&route.permission());
        self.refuse();
    }

    fn insert(&mut self, (flow, way): (abi::Flow, abi::Way)) -> bool {
        self.routes.insert(flow, way, 0).is_ok()
    }

    pub(super) fn permit(&mut self, permission: &Permission) {
        let session = if self.permissions < ROUTES { self.enter(permission.path) } else { None };
        let Some(session) = session else { return self.refuse() };
        let (to_peer, to_client) = abi::permission(permission, session);
        if self.sends.insert(to_peer.0, to_peer.1, 0).is_ok() && self.insert(to_client) {
            self.permissions += 1;
            return;
        }
        _ = self.sends.remove(&to_peer.0);
        self.leave(&permission.path);
        self.refuse();
    }

    /// What the allocation had sent and received, if this was its last.
    pub(super) fn forbid(&mut self, permission: &Permission) -> Option<[Count; 2]> {
        let (to_peer, to_client) = abi::permission(permission, 0);
        let gone = [self.sends.remove(&to_peer.0).is_ok(), self.routes.remove(&to_client.0).is_ok()];
        if gone == [false; 2] {
            // It had found no place.
            return None;
        }
        self.permissions -= 1;
        self.leave(&permission.path)
    }

    /// A place for the counts of a 5-tuple; a new one counts from zero.
    fn enter(&mut self, path: Path) -> Option<u32> {
        let (place, new) = self.sessions.enter(path, ROUTES)?;
        if new && self.counts.set(place, [0; 48], 0).is_err() {
            self.leave(&path);
            return None;
        }
        Some(place)
    }

    /// User space serves the channel or permission.
    fn refuse(&mut self) {
        if self.refused == 0 {
            let (channels, permissions) = (self.channels, self.permissions);
            tracing::warn!(channels, permissions, "kernel path: full; what is new is relayed in user space");
        }
        self.refused += 1;
    }

    /// What the allocation had sent and received, if this was its last.
    pub(super) fn remove(&mut self, route: &Route) -> Option<[Count; 2]> {
        let was_there = if route.inward { self.part(route) } else { self.remove_both(route) };
        if !was_there {
            // It had found no place.
            return None;
        }
        self.channels -= 1;
        self.leave(&route.path)
    }

    fn remove_both(&mut self, route: &Route) -> bool {
        abi::entries(route, 0).map(|(flow, _)| self.routes.remove(&flow).is_ok()) != [false; 2]
    }

    pub(super) fn status(&self) -> Status {
        Status {
            to_peer: self.counter(0),
            to_client: self.counter(1),
            left: std::array::from_fn(|at| self.counter(2 + at as u32).packets),
            bandwidth: self.counter(2 + Left::ALL.len() as u32).packets,
            channels: self.channels,
            permissions: self.permissions,
            sessions: self.sessions.len(),
            refused: self.refused,
        }
    }

    /// Counts from zero again.
    pub(super) fn forget_counters(&mut self) {
        for index in 0..self.counters.len() {
            let zero = vec![[0; 16]; nr_cpus().unwrap_or(1)];
            if let Ok(zero) = PerCpuValues::try_from(zero) {
                _ = self.counters.set(index, zero, 0);
            }
        }
    }

    /// A counter, of all cores.
    fn counter(&self, index: u32) -> Count {
        let mut sum = Count::default();
        for value in self.counters.get(&index, 0).iter().flat_map(|values| values.iter()) {
            let (packets, bytes) = abi::count(value);
            sum.packets += packets;
            sum.bytes += bytes;
        }
        sum
    }

    pub(super) fn session(&self, path: &Path) -> Option<[Count; 2]> {
        let value = self.counts.get(&self.sessions.place(path)?, 0).ok()?;
        Some(abi::counts(&value).map(|(packets, bytes)| Count { packets, bytes }))
    }
}
