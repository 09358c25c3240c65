//! Redirection (RFC 8489 §10, RFC 8155 §6): which other server a client is told to ask.
//!
//! A target is of the client's transport and family, and never the address that the client came to. Targets take
//! turns by weight: each gains its weight, and the richest is chosen and pays what all have gained.

use super::Server;
use super::reply::{Answer, Refusal};
use super::request::Allocate;
use super::types::{Path, Time, Transport};
use crate::wire::{Message, Writer, attribute};
use std::net::{IpAddr, SocketAddr};

/// Where clients are sent instead of being served.
#[derive(Clone, Debug, Default)]
pub struct Redirect {
    /// The other servers; without any, nobody is sent away.
    pub targets: Vec<Target>,
    /// Only clients that came to one of these addresses are sent away, such as anycast ones; empty: all.
    pub at: Vec<IpAddr>,
    /// Even who has proved nothing is sent away.
    pub before_auth: bool,
}

/// Another server.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its address.
    pub addr: SocketAddr,
    /// The transports that it serves there.
    pub transports: Vec<Transport>,
    /// The name in its certificate, at most 255 ASCII bytes.
    pub domain: Option<String>,
    /// Its share of clients; not zero.
    pub weight: u32,
    /// It is this server: clients in its turn are served.
    pub here: bool,
}

impl Redirect {
    /// The target serves clients of this path's transport, elsewhere or as this very server.
    fn fits(&self, target: &Target, path: &Path) -> bool {
        let elsewhere = target.addr != path.server && !self.at.contains(&target.addr.ip());
        (elsewhere || target.here) && target.transports.contains(&path.transport)
    }

    /// The client came to an address from which clients are sent away.
    fn applies(&self, path: &Path) -> bool {
        self.at.is_empty() || self.at.contains(&path.server.ip())
    }

    /// The targets of a family for this path, by their places. Those for its transport alone go before others.
    fn candidates(&self, path: &Path, v4: bool) -> Vec<usize> {
        let fits = |(_, target): &(usize, &Target)| target.addr.is_ipv4() == v4 && self.fits(target, path);
        let (alone, shared): (Vec<_>, Vec<_>) =
            self.targets.iter().enumerate().filter(fits).partition(|(_, target)| target.transports.len() == 1);
        let chosen = if alone.is_empty() { shared } else { alone };
        chosen.into_iter().map(|(place, _)| place).collect()
    }
}

/// The targets that a client is told, by their places in [`Redirect::targets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Of the client's family.
    first: usize,
    /// Of the other family, under the same name.
    second: Option<usize>,
}

impl Alternate {
    /// Writes ALTERNATE-SERVER for each and, where a certificate will be checked, ALTERNATE-DOMAIN.
    pub(super) fn put(&self, redirect: &Redirect, path: &Path, writer: &mut Writer<'_>) {
        let told = [Some(self.first), self.second];
        let targets = || told.iter().flatten().filter_map(|place| redirect.targets.get(*place));
        for target in targets() {
            writer.address(attribute::ALTERNATE_SERVER, target.addr);
        }
        let domain = targets().find_map(|target| target.domain.as_ref());
        if let Some(domain) = domain.filter(|_| matches!(path.transport, Transport::Tls | Transport::Dtls)) {
            writer.attribute(attribute::ALTERNATE_DOMAIN, domain.as_bytes());
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What each target has gained and not yet paid, by its place.
    credits: Vec<i64>,
}

impl Turns {
    /// The targets for the next client of this path; none if it is to be served here.
    pub(super) fn next(&mut self, redirect: &Redirect, path: &Path) -> Option<Alternate> {
        if !redirect.applies(path) {
            return None;
        }
        let v4 = path.client.is_ipv4();
        let first = self.choose(redirect, &redirect.candidates(path, v4))?;
        if redirect.targets[first].here {
            return None;
        }
        let domain = |place: &usize| &redirect.targets[*place].domain;
        let mut others = redirect.candidates(path, !v4);
        others.retain(|place| domain(place) == domain(&first) && !redirect.targets[*place].here);
        Some(Alternate { first, second: self.choose(redirect, &others) })
    }

    /// The richest of these targets after each has gained its weight.
    fn choose(&mut self, redirect: &Redirect, places: &[usize]) -> Option<usize> {
        self.credits.resize(redirect.targets.len(), 0);
        let mut gained = 0;
        for &place in places {
            let weight = i64::from(redirect.targets[place].weight);
            self.credits[place] += weight;
            gained += weight;
        }
        // Of equals the first one, which the reversed order makes the last maximum.
        let richest = places.iter().copied().rev().max_by_key(|place| self.credits[*place])?;
        self.credits[richest] -= gained;
        Some(richest)
    }
}

impl Server {
    /// Where even who has proved nothing is sent away: reads the request, and sends its client away. An allocation that
    /// is there stays: its client has been served here.
    pub(super) fn redirect_strangers(
        &mut self,
        now: Time,
        message: &Message<'_>,
        answer: &Answer,
    ) -> Result<Option<Allocate>, Refusal> {
        let redirect = &self.setup.options.redirect;
        if !redirect.before_auth || redirect.targets.is_empty() || self.live(now, &answer.path).is_some() {
            return Ok(None);
        }
        self.unless_redirected(message, answer).map(Some)
    }

    /// Reads a request for an allocation that is not there yet, unless its client is sent away. A reserved port is
    /// nowhere else.
    pub(super) fn unless_redirected(&mut self, message: &Message<'_>, answer: &Answer) -> Result<Allocate, Refusal> {
        let request = Allocate::parse(message)?;
        if request.token.is_some() {
            return Ok(request);
        }
        match self.turns.next(&self.setup.options.redirect, &answer.path) {
            Some(alternate) => Err(Refusal::Alternate(alternate)),
            None => Ok(request),
        }
    }
}
