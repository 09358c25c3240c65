//! A steady stream of numbered datagrams both ways, which goes on whatever else happens.

use super::scene::Counts;
use crate::client::{Client, Heard};
use crate::harness::*;
use hairpin::wire::{attribute, channel};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two datagrams of one way: a buffer that nobody reads holds them for most of a second.
const PACE: Duration = Duration::from_millis(3);
/// Datagrams that are enough to say how they go.
const SOME: usize = 100;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What the sender and the test both see.
#[derive(Debug, Default)]
struct Shared {
    /// When each datagram of either way was sent.
    sent: [Mutex<Vec<Instant>>; 2],
    channel: AtomicU16,
    stop: AtomicBool,
}

/// A client and its peer, who talk to each other all the time.
#[derive(Debug)]
pub struct Media {
    pub client: Client,
    peer: UdpSocket,
    shared: Arc<Shared>,
    /// The numbers that have come.
    heard: [Vec<usize>; 2],
    /// How many came to the client by Data indication.
    pub indications: usize,
    sender: Option<JoinHandle<()>>,
}

impl Media {
    /// Binds a channel and begins.
    pub fn start(mut client: Client, peer: UdpSocket) -> Self {
        let relayed = client.allocate();
        client.bind(0x4000, peer.local_addr().unwrap());
        let shared = Arc::new(Shared { channel: AtomicU16::new(0x4000), ..Shared::default() });
        peer.set_nonblocking(true).unwrap();
        let (from_client, from_peer) = (client.socket().try_clone().unwrap(), peer.try_clone().unwrap());
        let (server, also) = (client.server(), Arc::clone(&shared));
        let sender = std::thread::spawn(move || {
            while !also.stop.load(Ordering::Relaxed) {
                let (up, down) = (also.next(Way::Up), also.next(Way::Down));
                let header = channel::header(also.channel.load(Ordering::Relaxed), up.len());
                // While an interface is down, nothing can be sent; that counts as lost.
                _ = from_client.send_to(&[&header[..], &up].concat(), server);
                _ = from_peer.send_to(&down, relayed);
                std::thread::sleep(PACE);
            }
        });
        Self { client, peer, shared, heard: [Vec::new(), Vec::new()], indications: 0, sender: Some(sender) }
    }

    /// Binds this channel, and uses it from now on.
    pub fn bind(&mut self, number: u16) {
        self.client.bind(number, self.peer.local_addr().unwrap());
        self.shared.channel.store(number, Ordering::Relaxed);
    }

    /// CreatePermission for the peer.
    pub fn permit(&mut self) {
        self.client.permit(self.peer.local_addr().unwrap());
    }

    /// Takes what has come.
    fn take(&mut self) {
        self.client.socket().set_nonblocking(true).unwrap();
        while let Some(heard) = self.client.hear_within(Duration::from_millis(1)) {
            let body = match heard {
                Heard::Channel(_, body) => body,
                Heard::Message(data) => {
                    self.indications += 1;
                    data.get(attribute::DATA).expect("data")
                }
                other => panic!("data, not {other:?}"),
            };
            self.heard[Way::Down as usize].push(number(&body));
        }
        self.client.socket().set_nonblocking(false).unwrap();
        let mut body = [0; 1500];
        while let Ok(len) = self.peer.recv(&mut body) {
            self.heard[Way::Up as usize].push(number(&body[..len]));
        }
    }

    /// How many were sent this way.
    fn sent(&self, way: Way) -> usize {
        self.shared.sent[way as usize].lock().unwrap().len()
    }

    /// Waits until enough of what is sent from now on has come.
    pub fn flows(&mut self, way: Way) {
        let first = self.sent(way);
        eventually(&format!("media flows: {way:?}"), || {
            self.take();
            (self.heard[way as usize].iter().filter(|number| **number >= first).count() >= SOME).then_some(())
        });
    }

    /// Waits until as much has been sent as shows that nothing of it comes.
    pub fn is_silent(&mut self, way: Way) {
        let first = self.sent(way);
        eventually("media is sent", || {
            self.take();
            (self.sent(way) >= first + SOME).then_some(())
        });
        let come = self.heard[way as usize].iter().filter(|number| **number >= first).count();
        assert_eq!(come, 0, "{way:?} goes on");
    }

    /// Media flows this way, and all of it by the kernel but for what shows whether a neighbour is there; or none of it.
    pub fn flows_by(&mut self, server: &Server, way: Way, kernel: bool) {
        let before = Counts::of(server);
        self.flows(way);
        let gained = Counts::of(server).since(&before);
        let carried = if way == Way::Up { gained.to_peer } else { gained.to_client };
        assert!(
            if kernel { carried + gained.left("neighbour") >= SOME as u64 } else { carried == 0 },
            "{way:?} by the kernel, or not: {gained:?}"
        );
    }

    /// Media flows both ways by the kernel, as soon as the neighbours are known.
    pub fn flows_by_kernel(&mut self, server: &Server) {
        for way in [Way::Up, Way::Down] {
            self.flows(way);
            self.flows_by(server, way, true);
        }
    }

    /// Waits until nothing comes this way any more; when the last that came was sent.
    pub fn ends(&mut self, way: Way) -> Instant {
        eventually(&format!("media ends: {way:?}"), || {
            self.take();
            let last = self.heard[way as usize].iter().max().copied().unwrap_or(0);
            let sent = self.shared.sent[way as usize].lock().unwrap();
            (sent.len() > last + SOME).then(|| sent[last])
        })
    }

    /// Stops; everything that was sent has come, and once.
    pub fn lost_nothing(mut self) {
        self.stop();
        for way in [Way::Up, Way::Down] {
            let sent = self.sent(way);
            eventually(&format!("everything comes: {way:?}"), || {
                self.take();
                (self.heard[way as usize].len() >= sent).then_some(())
            });
            let mut heard = std::mem::take(&mut self.heard[way as usize]);
            heard.sort_unstable();
            assert!(heard.into_iter().eq(0..sent), "{way:?}: each comes once");
        }
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.sender.take().into_iter().for_each(|sender| sender.join().unwrap());
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// The next datagram of a way.
    fn next(&self, way: Way) -> Vec<u8> {
        let mut sent = self.sent[way as usize].lock().unwrap();
        sent.push(Instant::now());
        let number = (sent.len() - 1) as u32;
        number.to_be_bytes().into_iter().chain((0..160).map(|at| (at + number) as u8)).collect()
    }
}

/// The number of a datagram, which must be as it was sent.
fn number(body: &[u8]) -> usize {
    let number = u32::from_be_bytes(body[..4].try_into().unwrap());
    assert!(body[4..].iter().copied().eq((0..160).map(|at| (at + number) as u8)), "{body:02x?}");
    number as usize
}
