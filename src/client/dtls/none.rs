//! A build without DTLS, in which no URL asks for it.

use std::path::Path;

/// Settings that nobody has.
#[derive(Debug)]
pub(crate) enum Settings {}

impl Settings {
    /// Never succeeds.
    pub(crate) fn new(_roots: Option<&Path>, _host: &str) -> Result<Self, String> {
        Err("this build has no DTLS".to_owned())
    }
}
