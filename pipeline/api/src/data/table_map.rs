//! What a component knows of the tables that it has seen.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Table;

/// How long what is known of a table that has gone waits for the table that takes its slot: longer than a sweep.
const SUCCESSION: Duration = Duration::from_mins(10);

/// How many may wait at the most, beyond as many as ever lived at once: tables that come once and go are not piled up.
const MAX_WAITING: usize = 8;

/// A value for each table, by the table's address, which a [`Weak`] beside it keeps from being used again. What is known
/// of a table is forgotten when nobody holds the table any more.
///
/// Where a table is remade, the new one has the slot of the old one
/// ([`Head::table_slot`](crate::Head::table_slot)): [`TableMap::remove_predecessor`] hands over what was known of that.
pub struct TableMap<V> {
    tables: HashMap<usize, KnownTable<V>>,
    /// How many tables lived at once, at the most.
    max_living: usize,
}

struct KnownTable<V> {
    table: Weak<Table>,
    slot: Arc<str>,
    /// When it was found that nobody holds the table any more.
    gone_since: Option<Instant>,
    value: V,
}

impl<V> TableMap<V> {
    /// Nothing is known of any table.
    #[must_use]
    pub fn new() -> TableMap<V> {
        TableMap {
            tables: HashMap::new(),
            max_living: 0,
        }
    }

    /// What is known of this very table.
    #[must_use]
    pub fn get(&self, table: &Arc<Table>) -> Option<&V> {
        self.at(address(table))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, table: &Arc<Table>) -> Option<&mut V> {
        let entry = self.tables.get_mut(&address(table));
        entry.map(|entry| &mut entry.value)
    }

    /// What is known of this very table; `value` gives it for a table that was not seen before. Forgets the tables that
    /// have gone before it grows.
    pub fn get_or_insert_with(&mut self, table: &Arc<Table>, value: impl FnOnce() -> V) -> &mut V {
        let address = address(table);
        if !self.tables.contains_key(&address) && self.tables.len() == self.tables.capacity() {
            self.tables.retain(|_, entry| !entry.is_gone());
        }
        let entry = self.tables.entry(address);
        &mut entry
            .or_insert_with(|| KnownTable::new(table, value()))
            .value
    }

    /// Sets what is known of this table.
    pub fn insert(&mut self, table: &Arc<Table>, value: V) {
        self.tables
            .insert(address(table), KnownTable::new(table, value));
    }

    /// What is known of the table that had this one's slot before it.
    #[must_use]
    pub fn predecessor(&self, table: &Arc<Table>) -> Option<&V> {
        self.at(self.predecessor_address(table)?)
    }

    /// Removes what is known of the table that had this one's slot before it.
    pub fn remove_predecessor(&mut self, table: &Arc<Table>) -> Option<V> {
        let address = self.predecessor_address(table)?;
        self.remove_at(address)
    }

    /// Removes what is known of this very table.
    pub fn remove(&mut self, table: &Arc<Table>) -> Option<V> {
        self.remove_at(address(table))
    }

    /// Removes what is known of tables that have gone, and whose slot no other table has taken for ten minutes; of more of
    /// those than ever lived at once, the ones that went first.
    pub fn remove_gone(&mut self) -> Vec<V> {
        let now = Instant::now();
        let gone = self.tables.iter_mut().filter(|(_, known)| known.is_gone());
        let mut waiting: Vec<(Instant, usize)> = gone
            .map(|(address, known)| (*known.gone_since.get_or_insert(now), *address))
            .collect();
        let living = self.tables.len() - waiting.len();
        self.max_living = self.max_living.max(living);
        waiting.sort_unstable();
        let too_many = waiting.len().saturating_sub(self.max_living + MAX_WAITING);
        let is_over = |(position, (since, _)): &(usize, &(Instant, usize))| {
            *position < too_many || now - *since >= SUCCESSION
        };
        let over = waiting.iter().enumerate().filter(is_over);
        over.filter_map(|(_, (_, address))| self.remove_at(*address))
            .collect()
    }

    /// What is known of tables that have gone, and is not removed yet.
    pub(crate) fn gone_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let gone = self.tables.values_mut().filter(|known| known.is_gone());
        gone.map(|known| &mut known.value)
    }

    /// Keeps what `keep` says, which is asked with whether the table has gone.
    pub fn retain(&mut self, mut keep: impl FnMut(bool, &mut V) -> bool) {
        self.tables
            .retain(|_, entry| keep(entry.is_gone(), &mut entry.value));
    }

    /// What is known of all tables, in the order of their slots.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let mut entries: Vec<_> = self.tables.values_mut().collect();
        entries.sort_by(|a, b| a.slot.cmp(&b.slot));
        entries.into_iter().map(|entry| &mut entry.value)
    }

    /// The tables that somebody holds, in the order of their slots, and what is known of each.
    pub fn iter(&self) -> impl Iterator<Item = (Arc<Table>, &V)> {
        let mut entries: Vec<_> = self.tables.values().collect();
        entries.sort_by(|a, b| a.slot.cmp(&b.slot));
        let entries = entries.into_iter();
        entries.filter_map(|entry| Some((entry.table.upgrade()?, &entry.value)))
    }

    /// Of how many tables something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether nothing is known of any table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    fn predecessor_address(&self, table: &Arc<Table>) -> Option<usize> {
        let (slot, own) = (&table.head().table_slot, address(table));
        let mut entries = self.tables.iter();
        let found = entries.find(|(address, entry)| entry.slot == *slot && **address != own);
        found.map(|(address, _)| *address)
    }

    /// What is known of the table that has, or had, this address.
    pub(crate) fn at(&self, address: usize) -> Option<&V> {
        self.tables.get(&address).map(|entry| &entry.value)
    }

    /// Removes what is known of the table that has, or had, this address.
    pub(crate) fn remove_at(&mut self, address: usize) -> Option<V> {
        self.tables.remove(&address).map(|entry| entry.value)
    }
}

/// By what a table is known while somebody holds it.
pub(crate) fn address(table: &Arc<Table>) -> usize {
    Arc::as_ptr(table) as usize
}

impl<V> KnownTable<V> {
    fn new(table: &Arc<Table>, value: V) -> KnownTable<V> {
        KnownTable {
            table: Arc::downgrade(table),
            slot: Arc::clone(&table.head().table_slot),
            gone_since: None,
            value,
        }
    }

    fn is_gone(&self) -> bool {
        self.table.strong_count() == 0
    }
}

impl<V> Default for TableMap<V> {
    fn default() -> TableMap<V> {
        TableMap::new()
    }
}

impl<V> fmt::Debug for TableMap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableMap")
            .field("tables", &self.tables.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Head, Scope};

    fn table(slot: &str) -> Arc<Table> {
        let head = Head::new(
            Arc::default(),
            Arc::new(Scope::default()),
            "s".into(),
            slot.into(),
        );
        Table::new(Arc::new(head), Vec::new())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_goes_to_the_successor_though_others_are_remade_at_the_same_time() {
        let mut map = TableMap::new();
        let old = ["s/0", "s/1"].map(table);
        map.insert(&old[0], 0);
        map.insert(&old[1], 1);
        drop(old);
        let new = ["s/0", "s/1"].map(table);
        for (number, new) in new.iter().enumerate() {
            assert_eq!(map.remove_predecessor(new), Some(number));
            assert!(map.remove_gone().is_empty());
            map.insert(new, number + 10);
        }
        let known: Vec<_> = map.values_mut().map(|value| *value).collect();
        assert_eq!(known, [10, 11]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_nobody_takes_the_slot_of_is_forgotten_after_a_while() {
        let mut map = TableMap::new();
        map.insert(&table("s/0"), "gone");
        let stays = table("s/1");
        map.insert(&stays, "stays");
        assert!(map.remove_gone().is_empty());
        tokio::time::advance(SUCCESSION).await;
        assert_eq!(map.remove_gone(), ["gone"]);
        assert_eq!((map.len(), map.get(&stays)), (1, Some(&"stays")));
    }

    #[test]
    fn tables_that_come_once_and_go_are_not_piled_up() {
        let mut map = TableMap::new();
        for number in 0..1_000 {
            let once = table(&format!("s{number}/0"));
            map.remove_gone();
            map.insert(&once, number);
        }
        assert!(map.len() <= 1 + 1 + MAX_WAITING, "{}", map.len());
    }

    #[test]
    fn without_successors_a_table_is_forgotten_when_another_one_comes() {
        let mut map = TableMap::new();
        map.get_or_insert_with(&table("s/0"), || 0);
        let new = table("s/1");
        assert_eq!(*map.get_or_insert_with(&new, || 1), 1);
        assert_eq!(*map.get_or_insert_with(&new, || 2), 1, "known already");
        assert_eq!(map.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1]);
    }
}
