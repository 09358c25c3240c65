//! The places of allocations among the counters.

use crate::turn::Path;
use slab::Slab;
use std::collections::HashMap;

/// Which place belongs to the allocation of which 5-tuple, while it has routes.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: Slab<Path>,
    paths: HashMap<Path, (u32, u32)>,
}

impl Sessions {
    /// One more route of this 5-tuple: its place, and whether it is new; none if there are `limit` places in use.
    pub(super) fn enter(&mut self, path: Path, limit: u32) -> Option<(u32, bool)> {
        if let Some((place, routes)) = self.paths.get_mut(&path) {
            *routes += 1;
            return Some((*place, false));
        }
        if self.places.len() as u32 >= limit {
            return None;
        }
        let place = self.places.insert(path) as u32;
        self.paths.insert(path, (place, 1));
        Some((place, true))
    }

    /// One route less; the place becomes free with the last, and then this is true.
    pub(super) fn leave(&mut self, path: &Path) -> bool {
        let Some((place, routes)) = self.paths.get_mut(path) else { return false };
        *routes -= 1;
        if *routes > 0 {
            return false;
        }
        self.places.remove(*place as usize);
        self.paths.remove(path).is_some()
    }

    /// The place of a 5-tuple.
    pub(super) fn place(&self, path: &Path) -> Option<u32> {
        self.paths.get(path).map(|(place, _)| *place)
    }

    /// How many allocations have routes.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
