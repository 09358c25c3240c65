//! Who sent a request, and what is theirs (RFC 8489 §9.2.4, RFC 8656 §5).

use super::lease::{Lease, Proven};
use super::realm::Realm;
use super::reply::{Answer, Refusal};
use super::table::Id;
use super::{Now, Owner, Path, Server, Time, request};
use crate::auth::check::{Grant, Judge};
use crate::wire::{Message, Method, attribute};
use std::net::SocketAddr;

impl Server {
    /// Who sent a request; from here on its answer carries integrity. Then, and only then, its unknown
    /// attributes count (RFC 8489 §6.3.1: authentication comes first).
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
    ) -> Result<Proven, Refusal> {
        self.authenticate_from(answer.path.client, now, message, answer)
    }

    /// The same, for whoever was given a nonce at this address.
    pub(super) fn authenticate_from(
        &mut self,
        client: SocketAddr,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
    ) -> Result<Proven, Refusal> {
        let (owner, lease) = if self.setup.options.anonymous {
            (Owner::plain(""), None)
        } else {
            let grant = self.judge(client, now, message, answer)?;
            answer.proof = Some((grant.key, grant.mac));
            (grant.owner, grant.session.map(|session| Lease::new(now.time, session)))
        };
        let proven = Proven { owner: owner.within(&self.domain(answer.realm).name), lease };
        self.unknown(message, &answer.path).map_or(Ok(proven), |list| Err(Refusal::Unknown(list)))
    }

    /// Third parties may authorise clients of some realm.
    pub(super) fn takes_tokens(&self) -> bool {
        self.domains.iter().any(|domain| domain.realm.credentials.tokens().is_some())
    }

    /// Judges credentials. An expired time-limited name is good for what exists, never for something new.
    fn judge(
        &mut self,
        client: SocketAddr,
        now: Now,
        message: &Message<'_>,
        answer: &Answer,
    ) -> Result<Grant, Refusal> {
        // Not by `domain`, which would borrow the scratch space of the keys as well.
        let Realm { credentials, nonces, .. } = &self.domains[answer.realm.index()].realm;
        let judge = Judge { credentials, nonces, offered: &self.setup.options.algorithms };
        let shows_token = message.attribute(attribute::ACCESS_TOKEN).is_some();
        let held = self.table.at_path(&answer.path).and_then(|id| self.table.get(id)).filter(|_| !shows_token);
        let resumed = held.and_then(|held| {
            let lease = held.lease.as_ref().filter(|lease| lease.ends > now.time)?;
            judge.resume(message, now.wall, client, (&lease.session, &held.owner))
        });
        let grant = match resumed {
            Some(resumed) => resumed?,
            None => judge.check(message, now.wall, client, &mut self.keys)?,
        };
        // An allocation that has ended and waits to be swept is none, or it would make room for a new one.
        let roams = message.method() == Method::REFRESH && message.attribute(attribute::MOBILITY_TICKET).is_some();
        let binds = message.method() == Method::CONNECTION_BIND
            && request::connection_id(message).is_ok_and(|number| self.connections.contains_key(&number));
        let new = !roams && !binds && self.live(now.time, &answer.path).is_none();
        if grant.expired && new { Err(Refusal::Unauthenticated) } else { Ok(grant) }
    }

    /// The client's allocation, if the request proves that its sender made it (RFC 8656 §5: 437 and 441).
    pub(super) fn owned(&mut self, now: Now, message: &Message<'_>, answer: &mut Answer) -> Result<Id, Refusal> {
        self.owned_by(now, message, answer).map(|(id, _)| id)
    }

    /// The same, and the token that the request showed.
    pub(super) fn owned_by(
        &mut self,
        now: Now,
        message: &Message<'_>,
        answer: &mut Answer,
    ) -> Result<(Id, Option<Lease>), Refusal> {
        let Proven { owner, lease } = self.authenticate(now, message, answer)?;
        let id = self.live(now.time, &answer.path).ok_or(Refusal::Mismatch)?;
        match self.table.get(id).map(|allocation| &allocation.owner) {
            Some(of) if *of == owner => self.has_same_origin(id, message).map(|()| (id, lease)),
            _ => Err(Refusal::WrongCredentials),
        }
    }

    /// The allocation of a 5-tuple. One that has ended is cleared away first.
    pub(super) fn live(&mut self, now: Time, path: &Path) -> Option<Id> {
        let id = self.table.at_path(path)?;
        if self.table.get(id)?.expires() > now {
            return Some(id);
        }
        self.end(now, id);
        None
    }
}
