//! BYTES: views over `&[u8]` and writers into the caller's buffer.
//!
//! Nothing here allocates on its own, remembers anything or knows the time. A view exists only if its
//! bytes were checked, so an accessor cannot fail. Read [`message`] first, then [`attribute`] and
//! [`address`]; [`integrity`] and [`writer`] make what they check; [`channel`] and [`stream`] are the
//! framing of data; [`proxy`] is what may stand before all of it, [`http`] what may stand in its place;
//! [`alpn`] is what a client calls it before any of it.

pub mod address;
pub mod alpn;
pub mod attribute;
pub mod channel;
pub mod code;
pub mod http;
pub mod integrity;
pub mod message;
pub mod proxy;
pub mod stream;
pub mod value;
pub mod writer;

pub use channel::ChannelData;
pub use code::Code;
pub use message::{Class, Message, Method};
pub use writer::Writer;

/// What the first byte of a datagram says it is (RFC 7983 §7, RFC 8656 §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0x00–0x03: a STUN message.
    Stun,
    /// 0x14–0x3F: a DTLS record; 1.3 uses all of 0x20–0x3F for protected records.
    Dtls,
    /// 0x40–0x4F: ChannelData of RFC 8656.
    Channel,
    /// 0x50–0x7F: ChannelData that only RFC 5766 allowed.
    LegacyChannel,
    /// Anything else: RTP, ZRTP, QUIC, junk.
    Other,
}

impl Kind {
    /// Tells the kind of a datagram by its first byte.
    #[must_use]
    pub fn of(first: u8) -> Self {
        match first {
            0x00..=0x03 => Self::Stun,
            0x14..=0x3F => Self::Dtls,
            0x40..=0x4F => Self::Channel,
            0x50..=0x7F => Self::LegacyChannel,
            _ => Self::Other,
        }
    }
}

/// Why bytes are no message. Each is answered with silence on UDP, with a closed connection on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its header.
    Short,
    /// The two top bits are not zero.
    TopBits,
    /// The length field is no multiple of four, or does not match what came.
    Length,
    /// The magic cookie is missing.
    Cookie,
    /// An attribute runs past the end of the message.
    Attribute,
    /// FINGERPRINT is wrong, or something follows it.
    Fingerprint,
}

/// The number of zero bytes that bring `len` to a multiple of four.
#[must_use]
pub fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// Reads a big-endian `u16` at `at`; the caller has checked that it is there.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
