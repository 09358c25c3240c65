//! The one reader of the clocks.

use super::sys;
use crate::turn::{Now, Time};
use std::time::SystemTime;

/// Both clocks, now.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Now { time: Time(sys::boot_milliseconds()), wall }
}
