//! What a third party's token leaves with an allocation (RFC 7635 §9).

use super::types::Time;
use crate::auth::Owner;
use crate::auth::check::Session;
use std::time::Duration;

/// The session of a token, until the token ends. The allocation ends with it, unless another token comes.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// The keys of later requests, which need not show the token.
    pub(super) session: Session,
    /// When the token ends.
    pub(super) ends: Time,
}

impl Lease {
    /// Begins now.
    pub(super) fn new(now: Time, session: Session) -> Self {
        let ends = now.after(Duration::from_secs(session.left));
        Self { session, ends }
    }
}

/// Two who hold tokens are one where the tokens have one session key, or there is no token at all.
pub(super) fn is_same_session(one: Option<&Lease>, other: Option<&Lease>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.session.sha1 == other.session.sha1,
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// What a request has proved.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    /// Who sent it.
    pub(super) owner: Owner,
    /// The token that it showed.
    pub(super) lease: Option<Lease>,
}

/// The lifetime that is granted where a token may end before it: then the shortest lifetime of TURN does not
/// count.
pub(super) fn within(lease: Option<&Lease>, now: Time, lifetime: Duration) -> Duration {
    lease.map_or(lifetime, |lease| lifetime.min(now.until(lease.ends)))
}
