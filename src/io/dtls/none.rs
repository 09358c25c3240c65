//! A build without DTLS.

use super::Engine;
use crate::io::tls::{BadCertificate, Terms};

/// Nothing can be accepted.
#[derive(Debug)]
pub enum Acceptor {}

impl Acceptor {
    /// Never succeeds; the configuration does not ask for it.
    pub fn new(_terms: Terms) -> Result<Self, BadCertificate> {
        Err(BadCertificate::new("DTLS", "this build has none"))
    }

    /// Reads the certificates again.
    pub fn reload(&self) -> Result<(), BadCertificate> {
        match *self {}
    }

    /// What begins sessions.
    pub(in crate::io) fn engine(self: &std::sync::Arc<Self>) -> Box<dyn Engine> {
        match **self {}
    }
}
