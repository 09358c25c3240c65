//! Mobility tickets (RFC 8016 §3.4): the number of an allocation, sealed with a key of the process, so that nobody can
//! make one or read one.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Bytes that tell one ticket from all others.
const SEQUENCE: usize = 8;
/// Bytes that are sealed.
const SERIAL: usize = 8;
/// Bytes of a ticket: sequence, serial, tag. No more than 32, and none of them zero: coturn's client has no room for
/// more, and takes a zero for the end.
const LEN: usize = SEQUENCE + SERIAL + 16;
/// From one sequence to the next: odd, so that all come before one comes again, and far, so that they look like nothing.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A ticket, as it stands in the attribute.
pub(super) type MobilityTicket = [u8; LEN];

/// Seals tickets and opens them, for all servers of a process.
pub struct Tickets(LessSafeKey);

impl std::fmt::Debug for Tickets {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Tickets under this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "the algorithm's key is 32 bytes")]
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("32 bytes are a key");
        Self(LessSafeKey::new(key))
    }

    /// Seals the number of an allocation. A sequence is used once: servers begin at random places of 2⁶⁴.
    pub(super) fn seal(&self, sequence: &mut u64, serial: u64) -> MobilityTicket {
        loop {
            *sequence = sequence.wrapping_add(STEP);
            let ticket = self.seal_once(sequence.to_be_bytes(), serial);
            if !ticket.contains(&0) {
                return ticket;
            }
        }
    }

    fn seal_once(&self, sequence: [u8; SEQUENCE], serial: u64) -> MobilityTicket {
        let mut ticket = [0; LEN];
        let (start, tag) = ticket.split_at_mut(SEQUENCE + SERIAL);
        start[..SEQUENCE].copy_from_slice(&sequence);
        start[SEQUENCE..].copy_from_slice(&serial.to_be_bytes());
        if let Ok(made) = self.0.seal_in_place_separate_tag(nonce(sequence), Aad::empty(), &mut start[SEQUENCE..]) {
            tag.copy_from_slice(made.as_ref());
        }
        ticket
    }

    /// Opens a ticket that this process has sealed: the number of the allocation.
    pub(super) fn open(&self, ticket: &[u8]) -> Option<u64> {
        let mut ticket: MobilityTicket = ticket.try_into().ok()?;
        let (sequence, sealed) = ticket.split_first_chunk_mut()?;
        let serial = self.0.open_in_place(nonce(*sequence), Aad::empty(), sealed).ok()?;
        Some(u64::from_be_bytes(serial.try_into().ok()?))
    }
}

fn nonce(sequence: [u8; SEQUENCE]) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[..SEQUENCE].copy_from_slice(&sequence);
    Nonce::assume_unique_for_key(nonce)
}
