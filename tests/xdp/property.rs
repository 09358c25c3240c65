//! Whatever comes: what the program carries, the core carries the same way; what is right and fits is carried.

use crate::corpus::{indication, pattern};
use crate::frame::{self, Frame, Sum};
use crate::net::{self, requires};
use crate::scene::{Done, ONE_WAY, Scene, body};
use hairpin::dataplane::xdp::Mode;
use hairpin::wire::channel;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::net::SocketAddr;

/// Bytes of the longest payload that the program looks at.
const LONGEST: usize = 1992;

/// The two programs.
const MODES: [Mode; 2] = [Mode::Generic, Mode::Tc];

/// Ways of every kind: client and peer, or peer and client.
const WAYS: [(bool, &str, &str); 16] = [
    (true, "alice", "peer4"),
    (true, "alice", "peer6"),
    (true, "carol", "peer4"),
    (true, "carol", "peer6"),
    (true, "alice", "high4"),
    (true, "alice", "bob.4"),
    (true, "alice", "carol.6"),
    (true, "carol", "bob.4"),
    (true, "dave", "carol.6"),
    (true, "alice", ONE_WAY),
    (false, "peer4", "alice"),
    (false, "peer6", "alice"),
    (false, "peer4", "carol"),
    (false, "peer6", "carol"),
    (false, "high4", "dave"),
    (false, "peer4", "bob"),
];

/// A frame with nothing wrong.
#[derive(Clone, Debug)]
struct Valid {
    way: (bool, &'static str, &'static str),
    len: usize,
    pad: usize,
    tos: u8,
    hops: u8,
    checked: bool,
    fragment: u16,
    label: u32,
    trail: usize,
    /// A Send indication, where there may be one.
    send: bool,
    /// The first bytes of the payload.
    begin: u32,
}

impl Valid {
    fn any() -> impl Strategy<Value = Self> {
        let marks = (any::<u8>(), prop_oneof![1 => Just(1), 19 => 2_u8..], prop::bool::weighted(0.9));
        let rest = (
            prop::sample::select(vec![0, 0x4000_u16]),
            0..=0xf_ffff_u32,
            0..4_usize,
            prop::bool::weighted(0.3),
            any::<u32>(),
        );
        let len = prop_oneof![8 => 0..=1500_usize, 2 => 0..20_usize, 1 => 2020..2040_usize];
        (prop::sample::select(&WAYS[..]), len, 0..4_usize, marks, rest).prop_map(
            |(way, len, pad, (tos, hops, checked), (fragment, label, trail, send, begin))| Self {
                way,
                len,
                pad,
                tos,
                hops,
                checked,
                fragment,
                label,
                trail,
                send: send && way.0 && !way.2.contains('.'),
                begin,
            },
        )
    }

    fn frame(&self, scene: &Scene) -> Frame {
        let (is_up, from, to) = self.way;
        let mut body = pattern(self.len);
        body.iter_mut().zip(self.begin.to_be_bytes()).for_each(|(byte, begin)| *byte = begin);
        let (target, payload) = if self.send {
            (scene.listener(from), indication(scene.socket(to), &body, "", 0))
        } else if is_up {
            let number = scene.route(from, to).unwrap().channel;
            (scene.listener(from), [&channel::header(number, self.len)[..], &body, &vec![0; self.pad]].concat())
        } else {
            (scene.relay(to, from), body)
        };
        Frame {
            tos: self.tos,
            hops: self.hops,
            fragment: self.fragment,
            label: self.label,
            udp_sum: if self.checked { Sum::Right } else { Sum::Zero },
            trail: vec![0xee; self.trail],
            ..Frame::new(scene.socket(from), target, payload)
        }
    }
}

/// Something that happens to the bytes of a frame.
#[derive(Clone, Debug)]
enum Change {
    /// A byte becomes another: of the first ones, mostly.
    Byte(usize, u8),
    /// A bit turns over.
    Bit(usize, u8),
    /// The end is lost.
    Cut(usize),
    /// More follows.
    More(Vec<u8>),
    /// A word of a header becomes a little more or less.
    Word(Place, i16),
    /// It becomes any.
    Any(Place, u16),
    /// It becomes one that means something elsewhere.
    Port(Place, &'static str),
}

/// Words of headers.
#[derive(Clone, Copy, Debug)]
enum Place {
    IpLength,
    Fragment,
    SourcePort,
    TargetPort,
    UdpLength,
    Channel,
    Announced,
}

impl Place {
    /// Where it is in a frame that is what its own words say.
    fn at(self, frame: &[u8]) -> usize {
        let is_ipv4 = frame.get(12..14) == Some(&[8, 0]);
        let udp = frame::ETHERNET + if is_ipv4 { 20 } else { 40 };
        match self {
            Self::IpLength => frame::ETHERNET + if is_ipv4 { 2 } else { 4 },
            Self::Fragment => frame::ETHERNET + 6,
            Self::SourcePort => udp,
            Self::TargetPort => udp + 2,
            Self::UdpLength => udp + 4,
            Self::Channel => udp + 8,
            Self::Announced => udp + 10,
        }
    }
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        use Place::*;
        let lengths = prop::sample::select(vec![IpLength, UdpLength, Channel, Announced, SourcePort]);
        let places =
            prop::sample::select(vec![IpLength, Fragment, SourcePort, TargetPort, UdpLength, Channel, Announced]);
        let ports = prop::sample::select(vec![SourcePort, TargetPort]);
        let names = prop::sample::select(vec!["alice", "carol", "alice.4", "alice.6", "bob.4", "peer4", "high4"]);
        prop_oneof![
            6 => (0..80_usize, any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            4 => (0..80_usize, 0..8_u8).prop_map(|(at, bit)| Self::Bit(at, bit)),
            1 => (0..1600_usize, any::<u8>()).prop_map(|(at, byte)| Self::Byte(at, byte)),
            2 => (0..60_usize).prop_map(Self::Cut),
            2 => prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 1..40).prop_map(Self::More),
            6 => (lengths, -12..=12_i16).prop_map(|(place, more)| Self::Word(place, more)),
            3 => (places, any::<u16>()).prop_map(|(place, word)| Self::Any(place, word)),
            2 => (ports, names).prop_map(|(place, name)| Self::Port(place, name)),
        ]
    }

    fn apply(&self, scene: &Scene, frame: &mut Vec<u8>) {
        match self {
            Self::Byte(at, byte) => frame.iter_mut().skip(*at).take(1).for_each(|old| *old = *byte),
            Self::Bit(at, bit) => frame.iter_mut().skip(*at).take(1).for_each(|old| *old ^= 1 << bit),
            // The kernel tries no frame without the header of Ethernet.
            Self::Cut(len) => frame.truncate(frame.len().saturating_sub(*len).max(frame::ETHERNET)),
            Self::More(bytes) => frame.extend(bytes),
            Self::Word(place, more) => word(frame, *place, |old| old.wrapping_add_signed(*more)),
            Self::Any(place, new) => word(frame, *place, |_| *new),
            Self::Port(place, name) => word(frame, *place, |_| scene.socket(name).port()),
        }
    }
}

fn word(frame: &mut [u8], place: Place, change: impl FnOnce(u16) -> u16) {
    let at = place.at(frame);
    if let Some(bytes) = frame.get_mut(at..at + 2) {
        let new = change(u16::from_be_bytes([bytes[0], bytes[1]]));
        bytes.copy_from_slice(&new.to_be_bytes());
    }
}

/// Tries so many cases, the same ones each time.
fn check<T: Debug>(cases: u32, strategy: &impl Strategy<Value = T>, hold: impl Fn(T)) {
    let config =
        ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(8656), ..Default::default() };
    let held = TestRunner::new(config).run(strategy, |value| {
        hold(value);
        Ok(())
    });
    match held {
        Err(TestError::Fail(why, value)) => panic!("{why}: {value:?}"),
        Err(why) => panic!("{why}"),
        Ok(()) => {}
    }
}

#[test]
fn what_is_right_and_fits_is_carried() {
    if !requires(net::lack()) {
        return;
    }
    for mode in MODES {
        right_and_fitting(mode);
    }
}

fn right_and_fitting(mode: Mode) {
    Scene::play(mode, |scene| {
        scene.permit();
        let scene = RefCell::new(scene);
        check(3000, &Valid::any(), |valid| {
            let mut scene = scene.borrow_mut();
            let frame = valid.frame(&scene).bytes();
            let expected = expected(&mut scene, &valid);
            assert_eq!(scene.judge("a valid frame", &frame), expected.map_or(Done::Passed, Done::Carried));
        });
    });
}

/// How many bytes of payload must leave; none if the frame is left to user space.
fn expected(scene: &mut Scene, valid: &Valid) -> Option<usize> {
    let ((_, from, to), frame) = (valid.way, valid.frame(scene));
    let (source, target, payload) = scene.core(frame.from, frame.to, &frame.payload)?;
    let is_one_way = (from, to) == ("alice", ONE_WAY);
    // Nobody computes a checksum for what had none and now needs one.
    let has_sum = valid.checked || [scene.socket(from), scene.socket(to), target].iter().all(SocketAddr::is_ipv4);
    let header = if target.is_ipv4() { 20 } else { 40 };
    let fits = header + 8 + payload.len() <= 1500 && frame.payload.len() <= LONGEST;
    let is_client = [scene.listener("alice"), scene.listener("carol")].contains(&source);
    (!is_one_way && has_sum && fits && valid.hops > 1).then(|| body(&payload, is_client).len())
}

#[test]
fn what_is_carried_is_what_the_core_would_carry() {
    if !requires(net::lack()) {
        return;
    }
    for mode in MODES {
        changed(mode);
    }
}

fn changed(mode: Mode) {
    let frames = (Valid::any(), prop::collection::vec(Change::any(), 1..4), prop::bool::weighted(0.7));
    Scene::play(mode, |scene| {
        scene.permit();
        let (scene, carried) = (RefCell::new(scene), Cell::new(0_u32));
        check(6000, &frames, |(valid, changes, mend)| {
            let mut scene = scene.borrow_mut();
            let mut bytes = valid.frame(&scene).bytes();
            changes.iter().for_each(|change| change.apply(&scene, &mut bytes));
            if mend {
                frame::mend(&mut bytes);
            }
            let done = scene.judge("a changed frame", &bytes);
            carried.set(carried.get() + u32::from(done != Done::Passed));
        });
        // Of changes that are all refused nothing would be learned.
        assert!((300..5700).contains(&carried.get()), "{carried:?} of 6000 were carried");
    });
}

/// A valid frame of few bytes.
fn small(way: (bool, &'static str, &'static str), send: bool) -> Valid {
    Valid { way, send, len: 9, pad: 3, tos: 0, hops: 64, checked: true, fragment: 0, label: 0, trail: 0, begin: 0 }
}

/// Addresses, ports, channels, lengths, versions: a bit that did not count would be one that the core counts.
#[test]
fn every_bit_counts_as_for_the_core() {
    if !requires(net::lack()) {
        return;
    }
    for mode in MODES {
        every_bit(mode);
    }
}

fn every_bit(mode: Mode) {
    Scene::play(mode, |mut scene| {
        scene.permit();
        for (way, send) in WAYS.iter().flat_map(|way| [(*way, false), (*way, true)]) {
            // Indications are the clients', and to relays the core alone sends them.
            if send && (!way.0 || way.2.contains('.')) {
                continue;
            }
            let bytes = small(way, send).frame(&scene).bytes();
            assert_eq!(scene.judge("a frame", &bytes) == Done::Passed, way.2 == ONE_WAY);
            for bit in 0..8 * bytes.len() {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                frame::mend(&mut changed);
                scene.judge("a frame with a bit turned over", &changed);
            }
        }
    });
}
