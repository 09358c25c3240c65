//! How long a binding lasts through which nothing is sent (RFC 5780 §4.6).
//!
//! A socket makes a binding and is silent; after a while another one asks the server to answer the first. What
//! arrives shows that the binding stands. Each try takes a fresh binding, since each answer may prolong one.

use super::client::{Client, TRIES, binding, read};
use super::{Fault, Found, Outcome};
use crate::wire::attribute;
use std::net::SocketAddr;
use std::time::Duration;

/// The first time that is tried.
const FIRST: Duration = Duration::from_secs(1);
/// How exactly it is told, at best.
const STEP: Duration = Duration::from_secs(1);
/// How exactly it is told of a long time: to this part of it.
const PART: u32 = 10;

/// Doubles the time until a binding is gone, then halves what is between; never beyond the longest.
pub(super) fn find(server: SocketAddr, timeout: Duration, longest: Duration) -> Outcome {
    let stands = |wait| stands(server, timeout, wait);
    let (mut low, mut high) = (Duration::ZERO, FIRST.min(longest));
    while stands(high)? {
        if high >= longest {
            return Ok(Found::new("longer", format!("at least {longest:?}: as long as it was tried")));
        }
        (low, high) = (high, (high * 2).min(longest));
    }
    while high - low > STEP.max(low / PART) {
        let middle = low + (high - low) / 2;
        match stands(middle)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(told(low, high))
}

/// Says what a time between two means.
fn told(low: Duration, high: Duration) -> Found {
    let keep = if low < Duration::from_secs(30) { "shorter than usual: keep calls alive more often" } else { "enough" };
    let found = Found::new("between", format!("between {low:.1?} and {high:.1?} without packets; {keep}"));
    Found { between: Some((low, high)), ..found }
}

/// Whether a binding is still there after so long.
fn stands(server: SocketAddr, timeout: Duration, wait: Duration) -> Result<bool, Fault> {
    let (silent, asking) = (Client::open(server, timeout)?, Client::open(server, timeout)?);
    let mapped = silent.must_ask(server, 0)?.mapped;
    eprintln!("lifetime: waiting {wait:.1?} ...");
    std::thread::sleep(wait);
    let (request, id) = binding(|writer| {
        let [high, low] = mapped.port().to_be_bytes();
        writer.attribute(attribute::RESPONSE_PORT, &[high, low, 0, 0]);
    })?;
    for _ in 0..TRIES {
        let _ = asking.socket.send_to(&request, server);
        if silent.receive(|bytes, source| read(bytes, &id, source))?.is_some() {
            return Ok(true);
        }
    }
    refusal(&asking, &id).map_or(Ok(false), Err)
}

/// What the server said instead of answering elsewhere.
fn refusal(asking: &Client, id: &[u8; 12]) -> Option<Fault> {
    asking.receive(|bytes, source| read(bytes, id, source)).ok()??.err()
}
