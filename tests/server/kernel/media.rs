//! A steady stream of numbered datagrams both ways, which goes on whatever else happens.

use super::scene::Counts;
use crate::client::{Client, Heard};
use crate::control::json_at;
use crate::harness::*;
use crate::space::widen;
use hairpin::wire::address::Family;
use hairpin::wire::{Class, Method, Writer, attribute, channel};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two datagrams of one way.
const PACE: Duration = Duration::from_millis(3);
/// Bytes that wait to be read: what comes in half a minute, each datagram with what the kernel keeps beside it.
const BUFFER: u32 = 32 << 20;
/// Datagrams that are enough to say how they go.
const SOME: usize = 100;
/// Bytes of a datagram, unless a test wants others.
const USUAL: usize = 164;
/// What is no number of a channel: that of a client who sends indications.
const INDICATIONS: u16 = 0;
/// After so long a bystander binds its channel again.
const RENEWAL: Duration = Duration::from_secs(1);

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
    /// Bytes of each.
    sizes: [usize; 2],
    channel: AtomicU16,
    stop: AtomicBool,
}

/// A client and its peer, who talk to each other all the time.
#[derive(Debug)]
pub struct Media {
    pub client: Client,
    pub relayed: SocketAddr,
    peer: UdpSocket,
    shared: Arc<Shared>,
    /// The numbers that have come.
    heard: [Vec<usize>; 2],
    /// How many came to the client by Data indication.
    pub indications: usize,
    sender: Option<JoinHandle<()>>,
    /// Where to ask what of it went which way, and whose it is, if others have media, too.
    control: Option<(PathBuf, &'static str)>,
}

impl Media {
    /// Binds a channel and begins.
    pub fn start(client: Client, peer: UdpSocket) -> Self {
        Self::with_sizes(client, peer, [USUAL; 2])
    }

    /// The same with datagrams of so many bytes up and down.
    pub fn with_sizes(mut client: Client, peer: UdpSocket, sizes: [usize; 2]) -> Self {
        let to = peer.local_addr().unwrap();
        let relayed = client.allocate_family(Family::of(to.ip()));
        client.bind(0x4000, to);
        Self::begin(client, relayed, peer, sizes, 0x4000)
    }

    /// Permits the peer and begins, without a channel.
    pub fn by_indications(mut client: Client, peer: UdpSocket) -> Self {
        let to = peer.local_addr().unwrap();
        let relayed = client.allocate_family(Family::of(to.ip()));
        client.permit(to);
        Self::begin(client, relayed, peer, [USUAL; 2], INDICATIONS)
    }

    fn begin(client: Client, relayed: SocketAddr, peer: UdpSocket, sizes: [usize; 2], channel: u16) -> Self {
        let shared = Arc::new(Shared { sizes, channel: AtomicU16::new(channel), ..Shared::default() });
        peer.set_nonblocking(true).unwrap();
        for socket in [client.socket(), &peer] {
            widen(socket, BUFFER);
        }
        let (from_client, from_peer) = (client.socket().try_clone().unwrap(), peer.try_clone().unwrap());
        let (server, to, also) = (client.server(), peer.local_addr().unwrap(), Arc::clone(&shared));
        let sender = std::thread::spawn(move || {
            while !also.stop.load(Ordering::Relaxed) {
                let (up, down) = (also.next(Way::Up), also.next(Way::Down));
                let up = match also.channel.load(Ordering::Relaxed) {
                    INDICATIONS => indication(to, &up),
                    number => [&channel::header(number, up.len())[..], &up].concat(),
                };
                // While an interface is down, nothing can be sent; that counts as lost.
                _ = from_client.send_to(&up, server);
                _ = from_peer.send_to(&down, relayed);
                std::thread::sleep(PACE);
            }
        });
        let heard = [Vec::new(), Vec::new()];
        Self { client, relayed, peer, shared, heard, indications: 0, sender: Some(sender), control: None }
    }

    /// What of it goes which way is asked at a control socket: of a user who has no other.
    pub fn of(mut self, user: &'static str, control: &Path) -> Self {
        self.control = Some((control.to_owned(), user));
        self
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
                // An answer that comes twice has been heard.
                Heard::Message(answer) if answer.message().method() != Method::DATA => continue,
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
        eventually(&format!("media flows: {way:?}"), || self.has_come(way, first));
    }

    /// The same of both ways at once.
    pub fn flows_both_ways(&mut self) {
        let first = [Way::Up, Way::Down].map(|way| self.sent(way));
        eventually("media flows both ways", || {
            self.has_come(Way::Up, first[0])?;
            self.has_come(Way::Down, first[1])
        });
    }

    /// Whether enough has come of what was sent from this number on.
    fn has_come(&mut self, way: Way, first: usize) -> Option<()> {
        self.take();
        (self.heard[way as usize].iter().filter(|number| **number >= first).count() >= SOME).then_some(())
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
        let before = self.carried(server);
        self.flows(way);
        let gained = Carried::since(self.carried(server), &before);
        assert!(if kernel { gained.is_enough(way) } else { gained.ways[way as usize] == 0 }, "{way:?}: {gained:?}");
    }

    /// Media flows both ways by the kernel, as soon as the neighbours are known.
    pub fn flows_by_kernel(&mut self, server: &Server) {
        self.flows_both_ways();
        let before = self.carried(server);
        self.flows_both_ways();
        let gained = Carried::since(self.carried(server), &before);
        assert!(gained.is_enough(Way::Up) && gained.is_enough(Way::Down), "{gained:?}");
    }

    /// What the kernel has carried.
    fn carried(&self, server: &Server) -> Carried {
        let counts = Counts::of(server);
        let asked = self.control.as_ref().map(|(control, user)| relayed(control, user, "kernel"));
        let ways = asked.unwrap_or([counts.to_peer, counts.to_client]);
        Carried { ways, neighbour: counts.left("neighbour") }
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

    /// How many that were sent between two moments did not come. The last of them must have had the time.
    pub fn lost(&mut self, way: Way, (from, to): (Instant, Instant)) -> usize {
        self.take();
        let come = self.come(way);
        let sent = self.shared.sent[way as usize].lock().unwrap();
        sent.iter().zip(come).filter(|(at, come)| (from..=to).contains(*at) && !come).count()
    }

    /// For how long at most nothing came of what was sent.
    pub fn longest_pause(&mut self, way: Way) -> Duration {
        let (_, heard) = self.times(way);
        heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Waits for the first that was sent after a moment and comes; when that was sent.
    pub fn resumes(&mut self, way: Way, after: Instant) -> Instant {
        eventually(&format!("media comes again: {way:?}"), || {
            self.take();
            let come = self.come(way);
            let sent = self.shared.sent[way as usize].lock().unwrap();
            sent.iter().zip(come).find(|(at, come)| **at > after && *come).map(|(at, _)| *at)
        })
    }

    /// When each that came was sent, beginning with the first that was sent at all.
    pub fn times(&mut self, way: Way) -> (Instant, Vec<Instant>) {
        self.take();
        let come = self.come(way);
        let sent = self.shared.sent[way as usize].lock().unwrap();
        (sent[0], sent.iter().zip(come).filter(|(_, come)| *come).map(|(at, _)| *at).collect())
    }

    /// Which of those that were sent have come.
    fn come(&self, way: Way) -> Vec<bool> {
        let mut come = vec![false; self.sent(way)];
        self.heard[way as usize].iter().for_each(|number| come[*number] = true);
        come
    }

    /// Stops; everything that was sent has come, and once. How many these are.
    pub fn lost_nothing(mut self) -> usize {
        self.stop();
        let mut all = 0;
        for way in [Way::Up, Way::Down] {
            let sent = self.sent(way);
            all += sent;
            eventually(&format!("everything comes: {way:?}"), || {
                self.take();
                (self.heard[way as usize].len() >= sent).then_some(())
            });
            let mut heard = std::mem::take(&mut self.heard[way as usize]);
            heard.sort_unstable();
            assert!(heard.into_iter().eq(0..sent), "{way:?}: each comes once");
        }
        all
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
        number.to_be_bytes().into_iter().chain(filling(number).take(self.sizes[way as usize] - 4)).collect()
    }
}

/// A Send indication as browsers write it.
fn indication(peer: SocketAddr, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Method::SEND, Class::Indication, &[0x51; 12])
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, body);
    out
}

/// What follows the number of a datagram.
fn filling(number: u32) -> impl Iterator<Item = u8> {
    (number..).map(|at| at as u8)
}

/// The number of a datagram, which must be as it was sent.
fn number(body: &[u8]) -> usize {
    let number = u32::from_be_bytes(body[..4].try_into().unwrap());
    assert!(body[4..].iter().copied().eq(filling(number).take(body.len() - 4)), "{body:02x?}");
    number as usize
}

/// What the kernel has carried either way, and what it has left to show whether neighbours are there.
#[derive(Debug)]
struct Carried {
    ways: [u64; 2],
    neighbour: u64,
}

impl Carried {
    fn since(self, before: &Self) -> Self {
        let ways = [0, 1].map(|at| self.ways[at] - before.ways[at]);
        Self { ways, neighbour: self.neighbour - before.neighbour }
    }

    /// It was enough to say how packets go.
    fn is_enough(&self, way: Way) -> bool {
        self.ways[way as usize] + self.neighbour >= SOME as u64
    }
}

/// Packets of a user's one allocation that a path has relayed either way.
fn relayed(control: &Path, user: &str, path: &str) -> [u64; 2] {
    let all = json_at(control, &["sessions", "--user", user]);
    let packets = |way: &str| all["sessions"][0][path][way]["packets"].as_u64();
    // What has no routes is not the kernel's.
    ["to_peer", "to_client"].map(|way| packets(way).unwrap_or(0))
}

/// Media of somebody whom nothing that happens to others concerns. It is renewed in time.
#[derive(Debug)]
pub struct Bystander {
    user: &'static str,
    control: PathBuf,
    /// What either path had relayed when all of it went by the kernel.
    before: [u64; 2],
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Media>,
}

impl Bystander {
    /// Media of a user who has no other, at a server that can be asked here. From now on it should be the kernel's.
    pub fn start(mut media: Media, user: &'static str, control: &Path) -> Self {
        let (control, stop) = (control.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                media.bind(0x4000);
                media.take();
                std::thread::park_timeout(RENEWAL);
            }
            media
        });
        // The first ones find the neighbours, and workers tell what they have counted a few times in a second.
        let before = eventually("the kernel carries the bystander", || {
            Some(both(&control, user)).filter(|[by_kernel, _]| *by_kernel > 4 * SOME as u64)
        });
        Self { user, control, before, stop, thread }
    }

    /// It went on by the kernel, but for what shows whether neighbours are there, and lost nothing.
    pub fn was_not_disturbed(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let media = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let after = both(&self.control, self.user);
        let [by_kernel, by_others] = [0, 1].map(|at| after[at] - self.before[at]);
        assert!(by_kernel > SOME as u64 && by_others <= 4 + by_kernel / 100, "{by_kernel} and {by_others}");
        media.lost_nothing();
    }
}

/// What the kernel and what user space has relayed of a user's one allocation.
fn both(control: &Path, user: &str) -> [u64; 2] {
    ["kernel", "user_space"].map(|path| relayed(control, user, path).iter().sum())
}
