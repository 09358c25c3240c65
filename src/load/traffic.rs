//! Packets: what is sent, and what is found in what arrives.
//!
//! Each carries a tag. In a payload it follows four bytes that look like RTP, in a Binding request it is the
//! transaction id, which the answer repeats.
//!
//! ```text
//! |     mark      |      way      |             step              |
//! |                 time of sending, nanoseconds                  |
//! ```

use super::pace::Pace;
use crate::wire::message::HEADER;
use crate::wire::{ChannelData, Class, Kind, Message, Method, Writer, attribute, channel, padding};
use std::net::SocketAddr;
use std::time::Instant;

/// Bytes of a tag.
const TAG: usize = 12;
/// What a payload begins with.
const PREFIX: [u8; 4] = [0x80, b'h', b'p', b'b'];
/// Where the mark stands in a payload.
pub(super) const MARK_AT: usize = PREFIX.len();
/// The smallest payload.
pub const SMALLEST: usize = PREFIX.len() + TAG;
/// Bytes that the kernel divides at once, at most.
const LARGEST_BUFFER: usize = 65_000;
/// The mark of a packet that is read and whose latency counts.
pub(super) const SAMPLED: u8 = 0x5A;
/// The mark of a packet that the receiving socket only counts.
const PLAIN: u8 = 0xA5;
/// From a client, or the only way there is.
pub(super) const UP: u8 = b'U';
/// From a peer, or sent back by one.
pub(super) const DOWN: u8 = b'D';
/// Where the way stands in a payload.
pub(super) const WAY_AT: usize = MARK_AT + 1;

/// Nanoseconds of a clock that only goes forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(pub Instant);

impl Clock {
    /// Nanoseconds since the clock was made.
    pub(super) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its latency counts.
    pub sampled: bool,
    /// [`UP`] or [`DOWN`].
    pub way: u8,
    /// The step that it belongs to.
    pub step: u16,
    /// When it was sent.
    pub time: u64,
}

impl Tag {
    /// Writes it.
    fn bytes(self) -> [u8; TAG] {
        let mut bytes = [0; TAG];
        bytes[0] = if self.sampled { SAMPLED } else { PLAIN };
        bytes[1] = self.way;
        bytes[2..4].copy_from_slice(&self.step.to_be_bytes());
        bytes[4..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    /// Reads it; other bytes are no tag.
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; TAG] = bytes.get(..TAG)?.try_into().ok()?;
        let [mark, way, s0, s1, time @ ..] = bytes;
        let known = matches!(mark, SAMPLED | PLAIN) && matches!(way, UP | DOWN);
        let (step, time) = (u16::from_be_bytes([s0, s1]), u64::from_be_bytes(time));
        known.then_some(Self { sampled: mark == SAMPLED, way, step, time })
    }

    /// Reads that of a payload.
    pub(super) fn of_payload(payload: &[u8]) -> Option<Self> {
        Self::read(payload.strip_prefix(&PREFIX)?)
    }
}

/// What a client receives.
pub(super) enum Heard {
    /// A packet of the measurement.
    Packet(Tag),
    /// Some other STUN message; perhaps an answer.
    Message,
    /// Nothing of ours.
    Other,
}

/// Looks at what came to a client.
pub(super) fn hear(bytes: &[u8]) -> Heard {
    let tag = match bytes.first().map(|first| Kind::of(*first)) {
        Some(Kind::Channel) => ChannelData::parse(bytes).ok().and_then(|data| Tag::of_payload(data.body)),
        Some(Kind::Stun) => match Message::parse(bytes) {
            Ok(message) => return hear_message(&message),
            Err(_) => None,
        },
        _ => None,
    };
    tag.map_or(Heard::Other, Heard::Packet)
}

/// Looks at a message: a Data indication and an answer to a Binding request may be packets.
fn hear_message(message: &Message<'_>) -> Heard {
    let tag = match (message.method(), message.class()) {
        (Method::DATA, Class::Indication) => message.attribute(attribute::DATA).and_then(Tag::of_payload),
        (Method::BINDING, Class::Success) => Tag::read(&message.transaction()),
        _ => None,
    };
    tag.map_or(Heard::Message, Heard::Packet)
}

/// How a payload is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// Not at all: a peer sends it.
    Bare,
    /// ChannelData of this channel; on a stream it is padded.
    Channel { number: u16, stream: bool },
    /// A Send indication to this peer.
    Indication(SocketAddr),
    /// A Binding request, which has no payload.
    Binding,
}

impl Wrap {
    /// Makes a packet of `size` bytes of payload; says where its tag stands.
    fn packet(self, size: u16) -> (Vec<u8>, usize) {
        let mut payload = vec![0; usize::from(size).max(SMALLEST)];
        payload[..PREFIX.len()].copy_from_slice(&PREFIX);
        let mut out = Vec::new();
        match self {
            Self::Bare => out = payload,
            Self::Channel { number, stream } => {
                out.extend_from_slice(&channel::header(number, payload.len()));
                out.extend_from_slice(&payload);
                out.resize(out.len() + if stream { padding(payload.len()) } else { 0 }, 0);
                return (out, channel::HEADER + PREFIX.len());
            }
            Self::Indication(peer) => {
                let mut writer = Writer::new(&mut out, Method::SEND, Class::Indication, &[0x11; 12]);
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
                let at = writer.len() + 4 + PREFIX.len();
                writer.attribute(attribute::DATA, &payload);
                return (out, at);
            }
            Self::Binding => {
                Writer::new(&mut out, Method::BINDING, Class::Request, &[0; 12]);
                return (out, HEADER - TAG);
            }
        }
        (out, PREFIX.len())
    }
}

/// One packet, ready to be sent again and again: every client sends the same bytes.
struct Template {
    plain: Vec<u8>,
    sampled: Vec<u8>,
    at: usize,
}

/// One way: its packets, its pace, whose turn it is.
pub(super) struct Lane {
    /// When packets are due.
    pub pace: Pace,
    templates: Vec<Template>,
    way: u8,
    step: u16,
    next: usize,
    turn: usize,
    count: u32,
    every: u32,
}

/// A packet that was chosen to be sent.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    index: usize,
    sampled: bool,
}

impl Lane {
    /// Packets of these sizes, in turn.
    pub(super) fn new(wrap: Wrap, way: u8, sizes: &[u16]) -> Self {
        let template = |size: &u16| {
            let (bytes, at) = wrap.packet(*size);
            Template { plain: bytes.clone(), sampled: bytes, at }
        };
        let templates = sizes.iter().map(template).collect();
        let pace = Pace::new(0, 0.0, 1);
        Self { pace, templates, way, step: 0, next: 0, turn: 0, count: 0, every: 1 }
    }

    /// Begins a step: the pace, and how many packets there are to one sample.
    pub(super) fn start(&mut self, step: u16, pace: Pace, every: u32) {
        (self.step, self.pace, self.every, self.count) = (step, pace, every.max(1), 0);
        let plain = Tag { sampled: false, way: self.way, step, time: 0 }.bytes();
        for template in &mut self.templates {
            template.plain[template.at..template.at + TAG].copy_from_slice(&plain);
        }
    }

    /// Chooses the next packet. If it is a sample, it bears the time of now.
    pub(super) fn pick(&mut self, clock: Clock) -> Pick {
        let index = self.next;
        self.next = if index + 1 == self.templates.len() { 0 } else { index + 1 };
        self.count += 1;
        let sampled = self.count >= self.every;
        if sampled {
            self.count = 0;
            let template = &mut self.templates[index];
            let tag = Tag { sampled, way: self.way, step: self.step, time: clock.now() }.bytes();
            template.sampled[template.at..template.at + TAG].copy_from_slice(&tag);
        }
        Pick { index, sampled }
    }

    /// The bytes of a packet.
    pub(super) fn bytes(&self, pick: Pick) -> &[u8] {
        let template = &self.templates[pick.index];
        if pick.sampled { &template.sampled } else { &template.plain }
    }

    /// How many packets fit a buffer that the kernel divides: one, if they differ in size.
    pub(super) fn joined(&self) -> usize {
        match self.templates.as_slice() {
            [only] => LARGEST_BUFFER / only.plain.len(),
            _ => 1,
        }
    }

    /// Whose turn it is, of so many clients.
    pub(super) fn turn(&mut self, clients: usize) -> usize {
        let turn = self.turn % clients;
        self.turn = turn + 1;
        turn
    }
}
