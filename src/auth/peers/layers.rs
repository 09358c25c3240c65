//! Rules laid over each other, and what they leave closed: one table for each family.

use super::built_in::{BUILT_IN, BuiltIn};
use super::{Denied, Rules};
use crate::auth::range::{Range, canonical, number};

/// The family that a table is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The highest address.
    const fn max(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }

    /// The ends of a range, if it is of this family.
    fn bounds(self, range: &Range) -> Option<(u128, u128)> {
        (range.first.is_ipv4() == (self == Self::V4)).then(|| (number(range.first), number(range.last)))
    }
}

/// Neighbouring addresses that are closed for the same reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    /// The lowest.
    pub first: u128,
    /// The highest.
    pub last: u128,
    /// The reason.
    pub class: Denied,
}

/// Rules of one family, before they are flattened.
struct Layers<'a> {
    /// What is open.
    allow: Vec<(u128, u128)>,
    /// What the operator closed.
    deny: Vec<(u128, u128)>,
    /// What is closed anyway, the narrowest first.
    built_in: Vec<Closed>,
    /// The switches.
    rules: &'a Rules,
}

/// Lays the rules of one family over each other and keeps what is closed, disjoint and sorted.
pub(super) fn flatten(rules: &Rules, family: Family) -> Vec<Closed> {
    let layers = Layers::new(rules, family);
    let edges = layers.edges(family);
    let mut table: Vec<Closed> = Vec::new();
    for (index, &first) in edges.iter().enumerate() {
        let last = edges.get(index + 1).map_or(family.max(), |next| next - 1);
        // Nothing begins or ends inside, so the first address speaks for all.
        let Some(class) = layers.judge(first) else {
            continue;
        };
        match table.last_mut() {
            Some(before) if before.class == class && before.last + 1 == first => before.last = last,
            _ => table.push(Closed { first, last, class }),
        }
    }
    table
}

impl<'a> Layers<'a> {
    /// Sorts out what concerns this family.
    fn new(rules: &'a Rules, family: Family) -> Self {
        let bounds = |ranges: &[Range]| ranges.iter().filter_map(|r| family.bounds(r)).collect();
        let closed = |row: &BuiltIn| {
            let (first, last) = family.bounds(&row.range)?;
            Some(Closed { first, last, class: row.class })
        };
        let mut built_in: Vec<_> = BUILT_IN.iter().filter_map(closed).collect();
        let own = rules.own_hosts.iter().map(|ip| canonical(*ip)).map(|ip| Range { first: ip, last: ip });
        built_in.extend(own.filter_map(|range| {
            let (first, last) = family.bounds(&range)?;
            Some(Closed { first, last, class: Denied::OwnHost })
        }));
        built_in.sort_by_key(|closed| closed.last - closed.first);
        Self { allow: merge(bounds(&rules.allow)), deny: merge(bounds(&rules.deny)), built_in, rules }
    }

    /// Every address where a judgement may change.
    fn edges(&self, family: Family) -> Vec<u128> {
        let built_in = self.built_in.iter().map(|closed| (closed.first, closed.last));
        let ranges = built_in.chain(self.allow.iter().copied()).chain(self.deny.iter().copied());
        let after = |last: u128| last.checked_add(1).filter(|next| *next <= family.max());
        let edges = ranges.flat_map(|(first, last)| [Some(first), after(last)]).flatten();
        let mut edges = sorted(edges.collect());
        edges.dedup();
        edges
    }

    /// The judgement of one address.
    fn judge(&self, number: u128) -> Option<Denied> {
        let inside = |closed: &&Closed| (closed.first..=closed.last).contains(&number);
        match self.built_in.iter().find(inside).map(|closed| closed.class) {
            Some(Denied::Tunnel) => Some(Denied::Tunnel),
            _ if holds(&self.allow, number) => None,
            _ if holds(&self.deny, number) => Some(Denied::Operator),
            class => class.filter(|class| !class.is_open(self.rules)),
        }
    }
}

/// Joins ranges that overlap, so that they can be searched.
fn merge(ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (first, last) in sorted(ranges) {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// Whether one of these merged ranges holds a number.
fn holds(ranges: &[(u128, u128)], number: u128) -> bool {
    let above = ranges.partition_point(|(first, _)| *first <= number);
    above.checked_sub(1).is_some_and(|index| number <= ranges[index].1)
}

/// The same, sorted.
pub(super) fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}
