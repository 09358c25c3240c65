//! A build without DTLS, in which no URL asks for it.

use crate::client::dtls::Settings;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

/// A session that does not exist.
#[derive(Debug)]
pub(crate) enum Sealed {}

impl Sealed {
    /// Begins no session.
    pub(crate) fn open(_socket: UdpSocket, settings: &Settings) -> io::Result<Self> {
        match *settings {}
    }

    /// Sends nothing.
    pub(crate) fn send(&mut self, _message: &[u8]) -> io::Result<bool> {
        match *self {}
    }

    /// Receives nothing.
    pub(crate) fn receive(&mut self, _into: &mut [u8]) -> io::Result<Option<usize>> {
        match *self {}
    }

    /// Has nothing to send again.
    pub(crate) fn retransmit(&mut self) {
        match *self {}
    }
}

impl AsRawFd for Sealed {
    fn as_raw_fd(&self) -> RawFd {
        match *self {}
    }
}
