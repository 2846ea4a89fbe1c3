//! Who has a series' identity, where a stage renames: the first to come keeps it, the others wait.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::data::{Head, Series};

/// A series' identity in two halves: a map of a million of them is smaller for it.
pub(crate) type Identity = (u64, u64);

/// The identities of series of one resource.
#[derive(Clone, Copy)]
pub(crate) struct ResourceIdentity(u64);

impl ResourceIdentity {
    pub(crate) fn of(head: &Head) -> ResourceIdentity {
        let mut hasher = DefaultHasher::new();
        head.resource.hash(&mut hasher);
        ResourceIdentity(hasher.finish())
    }

    pub(crate) fn identity(self, series: &Series) -> Identity {
        let whole = series.identity();
        #[allow(clippy::cast_possible_truncation)]
        ((whole >> 64) as u64 ^ self.0, whole as u64 ^ self.0)
    }
}

/// Identities, and the tables that have them or were refused them; a table is known by its address.
#[derive(Default)]
pub(crate) struct Identities {
    owners: HashMap<Identity, usize>,
    refused: HashMap<Identity, HashSet<usize>>,
}

impl Identities {
    /// Claims an identity for a table, for longer than this batch unless its series ends in it; an error with the table
    /// that has it.
    pub(crate) fn claim(
        &mut self,
        table: usize,
        identity: Identity,
        ends: bool,
    ) -> Result<(), usize> {
        if let Some(owner) = self.owners.get(&identity) {
            self.refused.entry(identity).or_default().insert(table);
            return Err(*owner);
        }
        if !ends {
            self.owners.insert(identity, table);
        }
        Ok(())
    }

    /// A table gives an identity back; gives those who were refused it.
    pub(crate) fn release(&mut self, table: usize, identity: Identity) -> HashSet<usize> {
        if self.owners.get(&identity) != Some(&table) {
            return HashSet::new();
        }
        self.owners.remove(&identity);
        let mut waiting = self.refused.remove(&identity).unwrap_or_default();
        waiting.remove(&table);
        waiting
    }

    /// Only these tables are left: nobody else waits.
    pub(crate) fn retain(&mut self, is_left: impl Fn(usize) -> bool) {
        self.refused.retain(|_, waiting| {
            waiting.retain(|table| is_left(*table));
            !waiting.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_given_back_once_and_forgotten_when_gone() {
        let mut identities = Identities::default();
        let (first, second, third) = (1, 2, 3);
        assert_eq!(identities.claim(first, (0, 7), false), Ok(()));
        assert_eq!(identities.claim(second, (0, 7), false), Err(first));
        assert_eq!(identities.claim(third, (0, 7), false), Err(first));
        identities.retain(|table| table != second);
        assert!(identities.release(second, (0, 7)).is_empty());
        assert_eq!(identities.release(first, (0, 7)), HashSet::from([third]));
        assert_eq!(identities.claim(third, (0, 7), true), Ok(()));
        assert_eq!(identities.claim(first, (0, 7), false), Ok(()));
        assert_eq!(identities.claim(third, (0, 7), false), Err(first));
        identities.retain(|table| table == first);
        assert!(identities.refused.is_empty());
    }
}
