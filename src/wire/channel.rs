//! ChannelData (RFC 8656 §12.4).
//!
//! ```text
//! |         Channel Number        |            Length             |
//! /                       Application Data                        /
//! ```

use super::{Malformed, u16_at};

/// Bytes before the application data.
pub const HEADER: usize = 4;
/// The channel numbers of RFC 8656 §12.
pub const NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x4FFF;
/// The channel numbers of RFC 5766 §11.
pub const LEGACY_NUMBERS: std::ops::RangeInclusive<u16> = 0x4000..=0x7FFE;

/// A view of one ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel number.
    pub number: u16,
    /// The application data, without padding.
    pub body: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads ChannelData; on UDP anything may follow the announced length (RFC 8656 §12.5 lets a client pad).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEADER {
            return Err(Malformed::Short);
        }
        let len = usize::from(u16_at(bytes, 2));
        let body = bytes.get(HEADER..HEADER + len).ok_or(Malformed::Length)?;
        Ok(Self { number: u16_at(bytes, 0), body })
    }
}

/// The header that goes before application data of `len` bytes, which must fit 16 bits.
#[must_use]
pub fn header(number: u16, len: usize) -> [u8; HEADER] {
    let (number, len) = (number.to_be_bytes(), (len as u16).to_be_bytes());
    [number[0], number[1], len[0], len[1]]
}
