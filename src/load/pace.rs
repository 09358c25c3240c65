//! When a packet is due.

use std::time::Duration;

/// Up to how much time's worth of packets is made up for. What is owed beyond is given up: a burst after a pause
/// would measure the server's buffers.
const DEBT: Duration = Duration::from_millis(20);

/// A steady rate. Times are nanoseconds of any clock.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: u64,
    /// Packets in a nanosecond.
    rate: f64,
    /// Packets that were sent, or given up.
    settled: u64,
    /// Packets that may be owed.
    debt: u64,
}

impl Pace {
    /// Begins now with so many packets in a second; bursts of `burst` packets are due as a whole.
    #[must_use]
    pub fn new(now: u64, rate: f64, burst: usize) -> Self {
        let debt = (rate * DEBT.as_secs_f64()) as u64;
        Self { began: now, rate: rate / 1e9, settled: 0, debt: debt.max(burst as u64) }
    }

    /// How many packets are due and not yet sent.
    pub fn due(&mut self, now: u64) -> u64 {
        if self.rate <= 0.0 {
            return 0;
        }
        // The first one is due at once.
        let all = (now.saturating_sub(self.began) as f64 * self.rate) as u64 + 1;
        self.settled = self.settled.max(all.saturating_sub(self.debt));
        all - self.settled.min(all)
    }

    /// Counts packets as sent.
    pub fn settle(&mut self, count: u64) {
        self.settled += count;
    }

    /// Nanoseconds until the next packet is due; none if none ever is.
    #[must_use]
    pub fn rest(&self, now: u64) -> Option<u64> {
        let due = self.began.saturating_add((self.settled as f64 / self.rate) as u64);
        (self.rate > 0.0).then(|| due.saturating_sub(now))
    }
}
