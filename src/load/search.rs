//! The search for the highest rate that is relayed whole: doubling, then halving the gap.
//!
//! Knows no server and no clock: a closure measures. So a test can put any server behind it.

/// What came of offering a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Packets in a second that were to be sent.
    pub offered: f64,
    /// Packets in a second that were sent.
    pub sent: f64,
    /// Percent of those sent that did not arrive.
    pub loss: f64,
    /// How much of its time the busiest thread worked, in percent.
    pub busy: f64,
}

/// Below this share of the offered rate, the generator did not keep up.
const KEPT_UP: f64 = 0.97;
/// From this much work of its busiest thread on, the generator may be what was measured.
pub(super) const BUSY: f64 = 95.0;
/// How close the bounds come, as a ratio.
const CLOSE: f64 = 1.03;
/// Loss beyond this is believed at once, in percent. What failed by less is tried again, as it may have been a mishap
/// of the machine.
const GROSS: f64 = 50.0;
/// The rates that are tried lie between these.
const LOWEST: f64 = 100.0;
const HIGHEST: f64 = 100_000_000.0;

impl Trial {
    /// As much was sent as was to be.
    #[must_use]
    pub fn kept_up(&self) -> bool {
        self.sent >= self.offered * KEPT_UP
    }

    /// As much was sent as was to be, and it arrived.
    fn passed(&self, max_loss: f64) -> bool {
        self.loss <= max_loss && self.kept_up()
    }
}

/// Finds the highest rate whose loss is at most `max_loss` percent; zero if there is none.
///
/// A rate that the generator does not reach counts as too high, like one that the server loses; which of them it
/// was, [`generator_limited`] tells.
pub fn highest<E>(start: f64, max_loss: f64, mut measure: impl FnMut(f64) -> Result<Trial, E>) -> Result<f64, E> {
    let mut passes = |rate| passes_twice(rate, max_loss, &mut measure);
    let (mut good, mut bad) = if passes(start)? {
        let mut good = start;
        while good * 2.0 <= HIGHEST && passes(good * 2.0)? {
            good *= 2.0;
        }
        (good, good * 2.0)
    } else {
        let mut bad = start;
        while bad > LOWEST && !passes(bad / 2.0)? {
            bad /= 2.0;
        }
        if bad <= LOWEST {
            return Ok(0.0);
        }
        (bad / 2.0, bad)
    };
    while bad > good * CLOSE {
        let middle = f64::midpoint(good, bad).round();
        if passes(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

/// Measures once; again if that did not pass by little.
fn passes_twice<E>(rate: f64, max_loss: f64, measure: &mut impl FnMut(f64) -> Result<Trial, E>) -> Result<bool, E> {
    let trial = measure(rate)?;
    if trial.passed(max_loss) || trial.loss > GROSS {
        return Ok(trial.passed(max_loss));
    }
    Ok(measure(rate)?.passed(max_loss))
}

/// Whether the generator was the limit, so that the server can do more than was measured: every higher rate that
/// was tried could not be sent, or a thread was busy all the time while nothing was lost.
///
/// With `streams`, also while something was lost: a thread that reads or writes too slowly holds up the server, whose
/// loss then is no sign of its own limit.
#[must_use]
pub fn generator_limited(result: &Trial, trials: &[Trial], max_loss: f64, streams: bool) -> bool {
    let held_up = |trial: &Trial| streams && trial.busy >= BUSY;
    let mut above = trials.iter().filter(|trial| trial.offered > result.offered).peekable();
    let none_sent = above.peek().is_some() && above.all(|trial| !trial.kept_up() || held_up(trial));
    none_sent || held_up(result) || (result.loss <= max_loss && (result.busy >= BUSY || !result.kept_up()))
}
