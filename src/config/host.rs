//! What of a configuration does not fit the host that reads it. The server runs all the same: an address may come later.

use std::net::{IpAddr, UdpSocket};

use super::load::Loaded;
use super::setting::Remark;

impl Loaded {
    /// Says which addresses this host would have to have, and has not.
    #[must_use]
    pub fn missing_here(&self) -> Vec<Remark> {
        let at = self.config.redirect.at.iter().enumerate();
        let foreign = at.filter(|(_, ip)| !is_own(**ip));
        foreign.map(|(item, ip)| self.about("redirect.at", item, not_here(*ip))).collect()
    }
}

/// Says that nobody comes to an address.
fn not_here(ip: IpAddr) -> String {
    format!("{ip} is no address of this host, so nobody is sent away there; add it to an interface, or put it right")
}

/// Whether sockets can have the address, be it by an interface or by a route.
fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}
