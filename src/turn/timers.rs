//! What ends when: a wheel of slots of half a second.
//!
//! The wheel only says when to look: whether something has ended is decided by its own time, to the
//! millisecond, wherever it is used. So an entry may come early or in vain, never late by more than a
//! slot, and setting one is a push. What ends before its time leaves its entry behind; see
//! [`Timers::retain`].

use super::types::Time;

/// Slots; more time than an allocation usually lasts. Later entries go round again.
const SLOTS: usize = 4096;
/// Milliseconds of a slot. A fast path carries what has ended until the slot has: with the worker's own tick, for less
/// than a second.
const SLOT: u64 = 512;

/// A wheel of things to look at.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    slots: Vec<Vec<(Time, T)>>,
    /// The first slot, counted from time zero, that was not emptied yet.
    cursor: u64,
    len: usize,
}

impl<T: Copy> Timers<T> {
    /// An empty wheel.
    #[must_use]
    pub(crate) fn new(now: Time) -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), cursor: now.0 / SLOT, len: 0 }
    }

    /// Asks for `what` to be looked at when `at` has come.
    pub(crate) fn set(&mut self, at: Time, what: T) {
        // A slot is emptied when it has passed whole, so whatever is in it is due.
        let slot = (at.0 / SLOT).max(self.cursor);
        let slot = slot.min(self.cursor + SLOTS as u64 - 1);
        self.slots[(slot % SLOTS as u64) as usize].push((at, what));
        self.len += 1;
    }

    /// Takes what is due into `due`; what went round too early is set again.
    pub(crate) fn take(&mut self, now: Time, due: &mut Vec<T>) {
        let end = now.0 / SLOT;
        // After a long sleep every slot is looked at once, not once for each that was slept through.
        self.cursor = self.cursor.max(end.saturating_sub(SLOTS as u64));
        while self.cursor < end {
            self.empty_slot(now, due);
        }
    }

    /// When to call [`Timers::take`] next; none if nothing is set.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Time> {
        (self.len > 0).then_some(Time((self.cursor + 1) * SLOT))
    }

    /// How many entries there are, those left behind among them.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Drops the entries that nobody waits for. A walk over everything: for when they are many.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for slot in &mut self.slots {
            slot.retain(|(_, what)| keep(what));
            slot.shrink_to(2 * slot.len());
        }
        self.len = self.slots.iter().map(Vec::len).sum();
    }

    /// Empties the slot under the cursor and steps on.
    fn empty_slot(&mut self, now: Time, due: &mut Vec<T>) {
        let slot = (self.cursor % SLOTS as u64) as usize;
        self.cursor += 1;
        let entries = std::mem::take(&mut self.slots[slot]);
        self.len -= entries.len();
        for (at, what) in entries {
            if at <= now { due.push(what) } else { self.set(at, what) }
        }
    }
}
