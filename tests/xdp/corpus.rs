//! `tests/data/xdp.tsv`: frames, and what becomes of each.

use crate::frame::{Frame, Mac, Sum};
use crate::net::{self, requires};
use crate::scene::{Done, Scene};
use hairpin::dataplane::xdp::{Count, Left, Mode, Status};
use hairpin::wire::{Class, Method, Writer, attribute, channel};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const CORPUS: &str = include_str!("../data/xdp.tsv");

/// A row of the corpus.
pub struct Row {
    pub name: &'static str,
    pub frame: &'static str,
    pub expected: &'static str,
}

pub fn rows() -> Vec<Row> {
    let lines = CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| match line.split('\t').collect::<Vec<_>>()[..] {
        [name, frame, expected] => Row { name, frame, expected },
        _ => panic!("three columns: {line}"),
    };
    lines.map(row).collect()
}

/// A frame in the making.
struct Draft {
    frame: Frame,
    /// ChannelData, by its number.
    channel: Option<u16>,
    /// A Send indication to a peer, and what is unusual about it.
    send: Option<(SocketAddr, &'static str)>,
    body: Vec<u8>,
    /// What follows the body in the datagram.
    pad: Vec<u8>,
    /// By how much the head of ChannelData announces too many bytes.
    announce: i32,
    /// Bytes that the end of the frame lacks.
    cut: usize,
}

impl Draft {
    /// `up CLIENT PEER`: ChannelData to the server; `send CLIENT PEER`: a Send indication; `down PEER CLIENT`: a datagram
    /// to the client's relay.
    fn new(scene: &Scene, way: &str, from: &str, to: &str) -> Self {
        let (channel, send, target) = match way {
            "up" => (scene.route(from, to).map(|route| route.channel), None, scene.listener(from)),
            "send" => (None, Some((scene.socket(to), "")), scene.listener(from)),
            "down" => (None, None, scene.relay(to, from)),
            way => panic!("{way} is no way"),
        };
        let frame = Frame::new(scene.socket(from), target, Vec::new());
        Self { frame, channel, send, body: pattern(200), pad: Vec::new(), announce: 0, cut: 0 }
    }

    fn finished(&self) -> Frame {
        if let Some((peer, how)) = self.send {
            let payload = [indication(peer, &self.body, how, self.announce), self.pad.clone()].concat();
            return Frame { payload, ..self.frame.clone() };
        }
        let head =
            self.channel.map(|number| channel::header(number, (self.body.len() as i32 + self.announce) as usize));
        let head = head.as_ref().map_or(&[][..], |head| &head[..]);
        Frame { payload: [head, &self.body, &self.pad].concat(), ..self.frame.clone() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.finished().bytes();
        bytes.truncate(bytes.len() - self.cut);
        bytes
    }

    /// Changes what a word of the corpus says.
    fn change(&mut self, scene: &mut Scene, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let frame = &mut self.frame;
        match name {
            "body" => self.body = pattern(number(value)),
            "payload" => (self.channel, self.send, self.body) = (None, None, bytes(value)),
            "to-peer" => self.send = Some((scene.socket(value), "")),
            "with" => self.send = self.send.map(|(peer, _)| (peer, unusual(value))),
            "pad" => self.pad = bytes(value),
            "announce" => self.announce = offset(value),
            "channel" => self.channel = Some(u16::from_str_radix(value, 16).unwrap()),
            "from" => frame.from = scene.socket(value),
            "to" => frame.to = scene.socket(value),
            "from-port" => frame.from.set_port(number(value) as u16),
            "to-port" => frame.to.set_port(number(value) as u16),
            "to-mac" => frame.target = Mac::try_from(bytes(value)).unwrap(),
            "tos" => frame.tos = bytes(value)[0],
            "hops" => frame.hops = number(value) as u8,
            "flow-label" => frame.label = number(value) as u32,
            "fragment" => frame.fragment = u16::from_str_radix(value, 16).unwrap(),
            "protocol" => frame.protocol = number(value) as u8,
            "first" => frame.first = Some(bytes(value)[0]),
            "vlan" => frame.vlan = Some(number(value) as u16),
            "options" => frame.options = bytes(value),
            "extension" => frame.extension = Some(extension(value)),
            "ip-length" => frame.ip_len = offset(value),
            "ip-sum" => frame.ip_sum = 1,
            "udp-length" => frame.udp_len = offset(value),
            "udp-sum" => frame.udp_sum = checksum(value),
            "trail" => frame.trail = bytes(value),
            "cut" => self.cut = number(value),
            "sum-in" => self.balance(|frame| frame.clone()),
            "sum-out" => self.balance(|frame| {
                let (from, to, payload) = scene.core(frame.from, frame.to, &frame.payload).unwrap();
                Frame::new(from, to, payload)
            }),
            _ => panic!("{word} is no word of this corpus"),
        }
    }

    /// Makes the checksum of a datagram come out as zero: of this one, or of what becomes of it.
    fn balance(&mut self, what: impl FnOnce(&Frame) -> Frame) {
        self.body[..2].fill(0);
        let balance = what(&self.finished()).balance();
        self.body[..2].copy_from_slice(&balance);
    }
}

/// A Send indication. `announce` is by how much the length in its header is wrong.
pub fn indication(peer: SocketAddr, body: &[u8], how: &str, announce: i32) -> Vec<u8> {
    let mut out = Vec::new();
    let method = if how == "another-method" { Method::DATA } else { Method::SEND };
    let mut writer = Writer::new(&mut out, method, Class::Indication, &[0x2a; 12]);
    if how == "software-first" {
        writer.attribute(attribute::SOFTWARE, b"soft");
    }
    if how == "data-first" {
        writer.attribute(attribute::DATA, body);
    }
    writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
    if how == "dont-fragment" {
        writer.attribute(attribute::DONT_FRAGMENT, &[]);
    }
    if !["data-first", "no-data"].contains(&how) {
        writer.attribute(attribute::DATA, body);
    }
    if how == "fingerprint" {
        writer.fingerprint();
    }
    if how == "no-cookie" {
        out[4..8].fill(0);
    }
    let len = (i32::from(u16::from_be_bytes([out[2], out[3]])) + announce) as u16;
    out[2..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// What may be unusual about a Send indication.
fn unusual(name: &str) -> &'static str {
    let names =
        ["another-method", "software-first", "data-first", "dont-fragment", "no-data", "fingerprint", "no-cookie"];
    names.into_iter().find(|known| *known == name).unwrap_or_else(|| panic!("{name} is nothing unusual"))
}

/// So many bytes, none zero and no two neighbours alike.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 + 1).collect()
}

fn checksum(name: &str) -> Sum {
    match name {
        "zero" => Sum::Zero,
        "wrong" => Sum::Off(0x0100),
        "unfinished" => Sum::Unfinished,
        _ => panic!("{name} is no checksum"),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// A number with its sign.
fn offset(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn bytes(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("{text} are no bytes"))).collect()
}

/// An extension header of eight bytes that does nothing, or tells of fragments.
fn extension(name: &str) -> (u8, Vec<u8>) {
    match name {
        // One option that pads (RFC 8200 §4.2).
        "hop-by-hop" => (0, vec![0, 1, 4, 0, 0, 0, 0]),
        "destination" => (60, vec![0, 1, 4, 0, 0, 0, 0]),
        // No segments are left.
        "routing" => (43, vec![0, 4, 0, 0, 0, 0, 0]),
        // The only fragment (RFC 6946).
        "fragment" => (44, vec![0, 0, 0, 0, 0, 0, 1]),
        // More follow, and nothing before.
        "first-fragment" => (44, vec![0, 0, 1, 0, 0, 0, 2]),
        // Eight bytes before, and nothing more.
        "last-fragment" => (44, vec![0, 0, 8, 0, 0, 0, 3]),
        _ => panic!("{name} is no extension header"),
    }
}

/// The frame of a row.
pub fn frame(scene: &mut Scene, row: &Row) -> Vec<u8> {
    let words: Vec<&str> = row.frame.split(' ').collect();
    match words[..] {
        ["hex", text] => bytes(text),
        [way, from, to, ref changes @ ..] => {
            let mut draft = Draft::new(scene, way, from, to);
            changes.iter().for_each(|word| draft.change(scene, word));
            draft.bytes()
        }
        _ => panic!("{} is no frame", row.frame),
    }
}

/// What the counters gain by a row.
fn gain(row: &Row, done: Done) -> Status {
    let mut gain = Status::default();
    if let Done::Carried(len) = done {
        let is_up = row.frame.starts_with("up ") || row.frame.starts_with("send ");
        let is_inward = is_up && row.frame.split(' ').nth(2).unwrap().contains('.');
        let (to_peer, to_client) = (is_up, !is_up || is_inward);
        let count = Count { packets: 1, bytes: len as u64 };
        gain.to_peer = if to_peer { count } else { Count::default() };
        gain.to_client = if to_client { count } else { Count::default() };
    } else if let Some(at) = Left::ALL.iter().position(|left| left.label() == row.expected) {
        gain.left[at] = 1;
    }
    gain
}

/// What the counters have gained, but for the packet now and then that a neighbour is asked by, after which another try
/// was made.
fn gained(before: &Status, after: &Status) -> Status {
    let count = |after: Count, before: Count| Count {
        packets: after.packets - before.packets,
        bytes: after.bytes - before.bytes,
    };
    Status {
        to_peer: count(after.to_peer, before.to_peer),
        to_client: count(after.to_client, before.to_client),
        left: std::array::from_fn(|at| match Left::ALL[at] {
            Left::Neighbour => 0,
            _ => after.left[at] - before.left[at],
        }),
        bandwidth: 0,
        channels: 0,
        permissions: 0,
        sessions: 0,
        refused: 0,
    }
}

/// The row is what it says that it is.
fn hold(scene: &mut Scene, row: &Row) {
    let frame = frame(scene, row);
    let before = scene.kernel.status();
    let done = scene.judge(row.name, &frame);
    let after = scene.kernel.status();
    let labels = Left::ALL.map(Left::label);
    match row.expected {
        "carried" => {
            assert!(matches!(done, Done::Carried(_)), "{}: not carried: {:?}", row.name, gained(&before, &after))
        }
        "miss" => assert_eq!(done, Done::Passed, "{}", row.name),
        label if labels.contains(&label) => assert_eq!(done, Done::Passed, "{}", row.name),
        other => panic!("{}: {other} is nothing that can be expected", row.name),
    }
    assert_eq!(gained(&before, &after), gain(row, done), "{}: {labels:?}", row.name);
}

#[test]
fn every_frame_of_the_corpus_is_carried_as_by_the_core_or_passed_on_untouched() {
    if !requires(net::lack()) {
        return;
    }
    for mode in [Mode::Native, Mode::Generic, Mode::Tc] {
        Scene::play(mode, |mut scene| {
            scene.permit();
            rows().iter().for_each(|row| hold(&mut scene, row));
        });
    }
}

/// What lacks head room and what is joined are tried elsewhere (`life.rs`); that a packet is due to go by user space takes
/// seconds, and a real neighbour (`tests/server/kernel/changes.rs`).
#[test]
fn the_corpus_has_every_outcome_and_no_name_twice() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    let outcomes: BTreeSet<_> = rows.iter().map(|row| row.expected).collect();
    let shown = |left: &&Left| !matches!(left, Left::HeadRoom | Left::Neighbour | Left::Joined);
    let labels = Left::ALL.iter().filter(shown).map(|left| left.label());
    assert_eq!(outcomes, labels.chain(["carried", "miss"]).collect());
}
