//! What a worker sends in one turn.

use super::client::Client;
use super::ends::Ends;
use super::link::Link;
use super::peer::BuiltIn;
use super::traffic::{Lane, Pick};
use super::trouble::Stopped;
use super::worker::Worker;
use crate::client::is_full;
use crate::io::sys::{Courier, Parcel};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

/// Parcels that leave one socket at once.
pub(super) const PARCELS: usize = 64;
/// Packets of clients that are sent in a turn; then it is looked whether something has come.
const TURN: u64 = 32;
/// The same for streams, which write all frames of a turn at once.
const STREAM_TURN: u64 = 512;

impl Worker {
    /// Sends what is due; says whether anything was.
    pub(super) fn send(&mut self, now: u64, courier: &mut Courier) -> Result<bool, Stopped> {
        let burst = self.plan.options.burst as u64;
        let (stream, bare) = match self.clients.first().map(|client| &client.link) {
            Some(Link::Stream(_)) => (true, false),
            Some(Link::Sealed(_)) => (false, false),
            Some(Link::Datagram(_)) | None => (false, true),
        };
        let most = if stream { STREAM_TURN } else { TURN.max(burst) };
        let up = self.up.pace.due(now).min(most) / burst;
        let connections = self.built_in.has_connections();
        let most_down = if connections { STREAM_TURN } else { PARCELS as u64 * burst };
        let down = self.down.pace.due(now).min(most_down) / burst;
        if stream {
            self.send_frames(up);
        } else if bare && burst > 1 {
            self.send_bursts(up, courier)?;
        } else {
            self.send_singly(up)?;
        }
        if connections {
            self.send_frames_down(down);
        } else {
            self.send_down(down, courier)?;
        }
        self.up.pace.settle(up * burst);
        self.down.pace.settle(down * burst);
        self.flush()?;
        Ok(up + down > 0)
    }

    /// Sends each packet of each client whose turn it is by itself: for one that is the cheapest, and a record takes no
    /// more.
    fn send_singly(&mut self, count: u64) -> io::Result<()> {
        for _ in 0..count {
            let client = self.up.turn(self.clients.len());
            for _ in 0..self.plan.options.burst {
                let pick = self.up.pick(self.clock);
                self.counts.sent += u64::from(self.clients[client].link.send_datagram(self.up.bytes(pick))?);
            }
        }
        Ok(())
    }

    /// Sends a burst from each client whose turn it is.
    fn send_bursts(&mut self, count: u64, courier: &mut Courier) -> io::Result<()> {
        let mut picks = Vec::with_capacity(PARCELS);
        for _ in 0..count {
            picks.clear();
            picks.extend((0..self.plan.options.burst).map(|_| self.up.pick(self.clock)));
            let client = &self.clients[self.up.turn(self.clients.len())];
            let bursts = [(self.plan.server, picks.as_slice())];
            self.counts.sent += send_all(courier, client.link.as_raw_fd(), true, &self.up, &bursts)?;
        }
        Ok(())
    }

    /// Sends bursts from the peer to the relays whose turn it is, all at once.
    fn send_down(&mut self, count: u64, courier: &mut Courier) -> io::Result<()> {
        let BuiltIn::Datagrams { socket, .. } = &self.built_in else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        let burst = self.plan.options.burst;
        let picks: Vec<Pick> = (0..count as usize * burst).map(|_| self.down.pick(self.clock)).collect();
        let clients = &self.clients;
        let relays = |lane: &mut Lane| clients[lane.turn(clients.len())].relayed;
        let relays: Vec<SocketAddr> = (0..count).filter_map(|_| relays(&mut self.down)).collect();
        let bursts: Vec<(SocketAddr, &[Pick])> = relays.into_iter().zip(picks.chunks(burst)).collect();
        self.counts.sent += send_all(courier, socket.as_raw_fd(), false, &self.down, &bursts)?;
        Ok(())
    }

    /// Adds frames to the streams of the clients whose turn it is. What a server that does not read leaves no room
    /// for counts as sent, for it is lost on its account. A thread that has no time to write leaves no room either: it
    /// is busy, and the report says that the generator was the limit.
    fn send_frames(&mut self, count: u64) {
        for _ in 0..count {
            let index = self.up.turn(self.clients.len());
            let client = &mut self.clients[index];
            let Link::Stream(stream) = client.media() else { continue };
            for _ in 0..self.plan.options.burst {
                let pick = self.up.pick(self.clock);
                stream.push(self.up.bytes(pick));
                self.counts.sent += 1;
            }
            if !std::mem::replace(&mut client.is_behind, true) {
                self.behind.push(index);
            }
        }
    }

    /// The same the other way, by the connections that the server has made to the peer.
    fn send_frames_down(&mut self, count: u64) {
        let Some(ends) = self.built_in.ends() else { return };
        for _ in 0..count {
            let client = self.down.turn(self.clients.len());
            for _ in 0..self.plan.options.burst {
                let pick = self.down.pick(self.clock);
                self.counts.sent += u64::from(ends.push(client, self.down.bytes(pick)));
            }
        }
    }

    /// Writes what the streams have gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.built_in.ends().map_or(Ok(()), Ends::flush)?;
        let (clients, mut result) = (&mut self.clients, Ok(()));
        self.behind.retain(|index| {
            let client = &mut clients[*index];
            client.is_behind = flush(client).unwrap_or_else(|error| {
                result = Err(error);
                false
            });
            client.is_behind
        });
        result
    }
}

/// Writes what a client's stream has gathered; says whether something is left.
fn flush(client: &mut Client) -> io::Result<bool> {
    let Link::Stream(stream) = client.media() else { return Ok(false) };
    stream.flush()?;
    Ok(stream.is_behind())
}

/// Sends bursts, each to one address; says how many packets the kernel took. Packets of one size leave as one
/// buffer that the kernel divides.
fn send_all(
    courier: &mut Courier,
    socket: RawFd,
    connected: bool,
    lane: &Lane,
    bursts: &[(SocketAddr, &[Pick])],
) -> io::Result<u64> {
    let most = lane.joined();
    let runs = bursts.iter().flat_map(|(to, picks)| picks.chunks(most).map(move |run| (*to, run)));
    let runs: Vec<(SocketAddr, &[Pick])> = runs.collect();
    let mut sent = 0;
    for batch in runs.chunks(PARCELS) {
        let parcels = batch.iter().map(|(to, run)| {
            let segment = (run.len() > 1).then(|| lane.bytes(run[0]).len() as u16);
            let parts = run.iter().map(|pick| lane.bytes(*pick));
            Parcel { to: *to, connected, source: None, tos: 0, segment, parts }
        });
        let taken = match courier.send(socket, parcels) {
            Err(error) if is_full(&error) => 0,
            other => other?,
        };
        sent += batch[..taken].iter().map(|(_, run)| run.len() as u64).sum::<u64>();
    }
    Ok(sent)
}
