//! What the allowed ranges of peers open that is closed otherwise.

use super::Peers;
use crate::auth::peers::{BUILT_IN, Denied, Range};

/// How much of a class of addresses the allowed ranges open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Nothing.
    None,
    /// Some addresses.
    Part,
    /// Every address.
    All,
}

impl Peers {
    /// Returns how much of some classes the allowed ranges open.
    pub(crate) fn opens(&self, classes: &[Denied]) -> Opened {
        let closed = || BUILT_IN.iter().filter(|closed| classes.contains(&closed.class));
        let holds = |range: &Range| self.allow.iter().any(|a| a.contains(range.first) && a.contains(range.last));
        if !closed().any(|closed| self.allow.iter().any(|allowed| meet(allowed, &closed.range))) {
            Opened::None
        } else if closed().all(|closed| holds(&closed.range)) {
            Opened::All
        } else {
            Opened::Part
        }
    }
}

/// The classes whose opening is hardly ever meant: this host, its link, and the services that give it its keys.
const DANGEROUS: [Denied; 4] = [Denied::Loopback, Denied::Unspecified, Denied::LinkLocal, Denied::Metadata];

/// Returns the names of what a range opens that hardly anybody means to open.
pub(crate) fn dangers(range: &Range) -> Vec<&'static str> {
    let opened = |class: &Denied| BUILT_IN.iter().any(|closed| closed.class == *class && meet(range, &closed.range));
    DANGEROUS.iter().filter(|class| opened(class)).map(|class| class.name()).collect()
}

/// Returns whether two ranges have an address in common.
fn meet(a: &Range, b: &Range) -> bool {
    a.first.is_ipv4() == b.first.is_ipv4() && a.first <= b.last && b.first <= a.last
}
