//! Randomness from a seed: ports, tokens, transaction ids. Not guessable by who sees earlier ones.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

/// Bytes made at a time.
const BLOCK: usize = 1024;

/// A stream of random bytes: the ChaCha20 key stream of a seed.
pub(super) struct Random {
    key: LessSafeKey,
    block: Box<[u8; BLOCK]>,
    used: usize,
    counter: u64,
}

impl Random {
    /// Starts the stream of this seed.
    #[must_use]
    pub(super) fn new(seed: [u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "the algorithm's key is 32 bytes")]
        let key = UnboundKey::new(&CHACHA20_POLY1305, &seed).expect("32 bytes are a key");
        Self { key: LessSafeKey::new(key), block: Box::new([0; BLOCK]), used: BLOCK, counter: 0 }
    }

    /// The next bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > BLOCK {
            self.refill();
        }
        let mut out = [0; N];
        out.copy_from_slice(&self.block[self.used..self.used + N]);
        self.used += N;
        out
    }

    /// A number below `limit`, which is not zero. The bias is below `limit`/2⁶⁴.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(u64::from_ne_bytes(self.bytes())) * u128::from(limit)) >> 64) as u64
    }

    /// Encrypts zeros: what comes out is the key stream.
    fn refill(&mut self) {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.counter.to_le_bytes());
        self.counter += 1;
        self.block.fill(0);
        let sealed =
            self.key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut self.block[..]);
        debug_assert!(sealed.is_ok(), "a block is far below the limit of the cipher");
        self.used = 0;
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}
