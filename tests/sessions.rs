//! How long a session of DTLS lasts, and how many may begin: with a clock that the test sets, and an engine without keys
//! that takes words for what they mean. The engine of OpenSSL is tested in `tests/server/dtls.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

use hairpin::io::dtls::{Brought, Engine, Parts, Session, Sessions};
use hairpin::io::{Commons, Limits};
use hairpin::turn::limits::{Ledger, Quotas};
use hairpin::turn::{Path, Time, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Nothing ends later than this after its time: the wheel has slots.
const SLOT: u64 = 512;
/// The head of a record with a ClientHello that is whole.
const HELLO: &[u8] = b"\x16\xFE\xFD\0\0\0\0\0\0\0\0\0\x0C\x01\0\0\0\0\0\0\0\0\0\0\0";
/// What ends a handshake, and begins a session.
const FINISHED: &[u8] = b"finished";
/// What ends a session, and what it ends with.
const GOODBYE: &[u8] = b"goodbye";
/// What an engine makes nothing of.
const GARBAGE: &[u8] = b"garbage";

/// Every client has sent its cookie.
struct Words;

impl Engine for Words {
    fn meet(&mut self, _path: &Path, _datagram: &[u8], _wire: &mut Parts) -> Option<Box<dyn Session>> {
        Some(Box::new(Spoken { established: false }))
    }
}

struct Spoken {
    established: bool,
}

impl Session for Spoken {
    fn hear(&mut self, datagram: &[u8], brought: &mut Brought) {
        match datagram {
            FINISHED => self.established = true,
            GOODBYE => brought.over = true,
            GARBAGE => {}
            message if self.established && !message.is_empty() => brought.messages.push(message),
            _ => brought.wire.push(b"a flight"),
        }
    }

    fn say(&mut self, message: &[u8], wire: &mut Parts) {
        wire.push(message);
    }

    fn close(&mut self, wire: &mut Parts) {
        wire.push(GOODBYE);
    }

    fn retransmit(&mut self, wire: &mut Parts) {
        wire.push(b"a flight");
    }

    fn is_established(&self) -> bool {
        self.established
    }
}

/// A worker's sessions.
struct Scene {
    sessions: Sessions,
    brought: Brought,
}

impl Scene {
    /// Without limits.
    fn new() -> Self {
        Self::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let commons = Arc::new(Commons::new(Ledger::new(Quotas::default()), limits, None));
        Self { sessions: Sessions::new(Box::new(Words), commons, Time(0)), brought: Brought::default() }
    }

    /// What the server takes a client's datagram for.
    fn hear(&mut self, path: Path, datagram: &[u8], now: u64) -> &Brought {
        self.brought.clear();
        self.sessions.hear(path, datagram, Time(now), &mut self.brought);
        &self.brought
    }

    /// A handshake from its first to its last word.
    fn establish(&mut self, path: Path, now: u64) {
        self.hear(path, HELLO, now);
        self.hear(path, FINISHED, now);
        assert!(self.sessions.has(&path));
    }

    /// What the server has given up, with its goodbye, of clients without allocations.
    fn ended(&mut self, now: u64) -> Vec<Path> {
        self.ended_but_for(now, &[])
    }

    /// The same where these have allocations.
    fn ended_but_for(&mut self, now: u64, holders: &[Path]) -> Vec<Path> {
        let mut ended = Vec::new();
        let mut wire = Parts::default();
        while let Some(path) = self.sessions.next_over(Time(now), &mut wire, |path| holders.contains(path)) {
            assert!(wire.iter().eq([GOODBYE]));
            assert!(!self.sessions.has(&path));
            wire.clear();
            ended.push(path);
        }
        ended
    }

    /// To whom flights are sent again.
    fn retransmitted(&mut self, now: u64) -> Vec<Path> {
        let mut to = Vec::new();
        self.sessions.retransmit(Time(now), |path, wire| to.extend(wire.iter().map(|_| *path)));
        to
    }
}

/// A client of one address.
fn client(port: u16) -> Path {
    client_at(Ipv4Addr::new(192, 0, 2, 1), port)
}

fn client_at(ip: Ipv4Addr, port: u16) -> Path {
    let server = (Ipv4Addr::new(198, 51, 100, 1), 3478).into();
    Path { client: SocketAddr::new(ip.into(), port), server, transport: Transport::Dtls, link: 0 }
}

/// TLS-009: nothing that a client says buys it more time, and its place is another's afterwards.
#[test]
fn a_handshake_must_be_finished_within_ten_seconds() {
    let mut scene = Scene::within(Limits { connections: 1, ..Limits::default() });
    let (slow, other) = (client(1), client(2));
    scene.hear(slow, HELLO, 0);
    for now in (0..10_000).step_by(500) {
        scene.hear(slow, GARBAGE, now);
        assert_eq!((scene.retransmitted(now), scene.ended(now)), (vec![slow], vec![]));
    }
    scene.hear(other, HELLO, 9_999);
    assert!(!scene.sessions.has(&other), "the one place is taken");
    assert_eq!(scene.ended(9_999), []);
    assert_eq!(scene.ended(10_000 + SLOT), [slow]);
    assert_eq!(scene.retransmitted(10_000 + SLOT), []);
    scene.hear(other, HELLO, 10_000 + SLOT);
    assert!(scene.sessions.has(&other));
}

/// TLS-010: a minute from the last message on; what is no message of the client's counts for nothing.
#[test]
fn a_silent_session_without_an_allocation_is_given_a_minute() {
    let mut scene = Scene::new();
    let idle = client(1);
    scene.establish(idle, 1_000);
    assert_eq!(scene.ended(60_999), []);
    let brought = scene.hear(idle, b"a message", 60_999);
    assert!(brought.messages.iter().eq([b"a message"]));
    scene.hear(idle, GARBAGE, 100_000);
    assert_eq!(scene.ended(120_998), []);
    assert_eq!(scene.ended(120_999 + SLOT), [idle]);
    assert!(!scene.sessions.say(&idle, b"too late", &mut Parts::default()));
}

/// TLS-010: for as long as the allocation lasts, whether or not the client says something; then within a minute.
#[test]
fn a_silent_session_with_an_allocation_is_kept() {
    let mut scene = Scene::new();
    let (idle, holder) = (client(1), client(2));
    scene.establish(idle, 0);
    scene.establish(holder, 0);
    assert_eq!(scene.ended_but_for(60_000 + SLOT, &[holder]), [idle]);
    for now in (61_000..3_600_000).step_by(1_000) {
        assert_eq!(scene.ended_but_for(now, &[holder]), []);
    }
    assert!(scene.sessions.say(&holder, b"still there", &mut Parts::default()));
    assert_eq!(scene.ended(3_660_000 + SLOT), [holder]);
}

/// The time of a session that has ended is not that of the next one from its port.
#[test]
fn a_port_that_begins_again_has_time_of_its_own() {
    let mut scene = Scene::new();
    let path = client(1);
    scene.hear(path, HELLO, 0);
    assert!(scene.hear(path, GOODBYE, 4_000).over);
    assert!(!scene.sessions.has(&path));
    scene.hear(path, HELLO, 8_000);
    assert_eq!(scene.retransmitted(8_500), [path]);
    assert_eq!(scene.ended(17_999), []);
    assert_eq!(scene.ended(18_000 + SLOT), [path]);
}

/// TLS-012: a handshake that was to replace a session is given ten seconds too, and the session loses nothing by it.
#[test]
fn a_handshake_beside_a_session_ends_alone() {
    let mut scene = Scene::new();
    let path = client(1);
    scene.establish(path, 0);
    assert_eq!(scene.retransmitted(500), []);
    scene.hear(path, HELLO, 1_000);
    assert_eq!(scene.retransmitted(10_999), [path]);
    assert_eq!(scene.retransmitted(11_000), []);
    assert!(scene.hear(path, b"a message", 11_000).messages.iter().eq([b"a message"]));
    assert_eq!(scene.ended(70_999), []);
}

/// SEC-43: as many of a source as are allowed, and no more until one of them is over, one way or another; others are served
/// meanwhile.
#[test]
fn a_source_has_few_handshakes_at_a_time() {
    let mut scene = Scene::within(Limits { source_handshakes: 16, ..Limits::default() });
    let served = |scene: &mut Scene, path: Path, now| {
        scene.hear(path, HELLO, now);
        scene.sessions.has(&path)
    };
    for port in 1..=16 {
        assert!(served(&mut scene, client(port), 0));
    }
    assert!(!served(&mut scene, client(17), 1_000));
    assert!(served(&mut scene, client_at(Ipv4Addr::new(192, 0, 2, 2), 17), 1_000));
    scene.hear(client(1), FINISHED, 2_000);
    scene.hear(client(2), GOODBYE, 2_000);
    scene.retransmitted(2_000);
    assert!(served(&mut scene, client(17), 2_000));
    assert!(served(&mut scene, client(18), 2_000));
    assert!(!served(&mut scene, client(19), 2_000));
    assert_eq!(scene.ended(10_000 + SLOT).len(), 14);
    scene.retransmitted(10_000 + SLOT);
    assert!(served(&mut scene, client(19), 10_000 + SLOT));
}

/// SEC-43: a handshake takes so many datagrams, and a session any number.
#[test]
fn a_handshake_takes_a_bounded_number_of_datagrams() {
    let mut scene = Scene::new();
    let (patient, pest) = (client(1), client(2));
    scene.establish(patient, 0);
    scene.hear(pest, HELLO, 0);
    let over = (0..1_000).position(|_| {
        assert!(!scene.hear(patient, GARBAGE, 0).over);
        scene.hear(pest, GARBAGE, 0).over
    });
    assert_eq!(over, Some(48));
    assert!(scene.sessions.has(&patient) && !scene.sessions.has(&pest));
}
