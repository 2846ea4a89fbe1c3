//! What a component knows of the tables that it has seen.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Table;
use super::table::DroppedTables;

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
    /// The tables of each slot, by their addresses, in the order in which they came: one, but where it is being remade.
    slots: HashMap<Arc<str>, Vec<usize>>,
    /// Where the tables say that they are dropped, so that nobody has to look for those.
    dropped: DroppedTables,
    /// The tables that have gone, as far as that was found, by the time.
    gone: BTreeSet<(Instant, usize)>,
    /// How many tables lived at once, at the most.
    max_living: usize,
    /// How many entries were looked at.
    #[cfg(test)]
    looks: usize,
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
            slots: HashMap::new(),
            dropped: DroppedTables::default(),
            gone: BTreeSet::new(),
            max_living: 0,
            #[cfg(test)]
            looks: 0,
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
        if !self.tables.contains_key(&address) {
            if self.tables.len() == self.tables.capacity() {
                self.take_gone();
            }
            self.register(table);
        }
        let known = self.tables.entry(address);
        let known = known.or_insert_with(|| KnownTable::new(table, value()));
        &mut known.value
    }

    /// Sets what is known of this table.
    pub fn insert(&mut self, table: &Arc<Table>, value: V) {
        let known = KnownTable::new(table, value);
        if self.tables.insert(address(table), known).is_none() {
            self.register(table);
        }
    }

    /// Something is known of this table from now on.
    fn register(&mut self, table: &Arc<Table>) {
        let slot = Arc::clone(&table.head().table_slot);
        self.slots.entry(slot).or_default().push(address(table));
        table.say_when_dropped(&self.dropped);
    }

    /// What is known of the table that had this one's slot before it.
    #[must_use]
    pub fn predecessor(&self, table: &Arc<Table>) -> Option<&V> {
        self.at(self.predecessor_address(table)?)
    }

    /// Changes what is known of the tables that have, or had, this slot. Whether anything is.
    pub(crate) fn change_of_slot(&mut self, slot: &str, mut change: impl FnMut(&mut V)) -> bool {
        let of_slot = self.slots.get(slot);
        for address in of_slot.into_iter().flatten() {
            if let Some(known) = self.tables.get_mut(address) {
                change(&mut known.value);
            }
        }
        of_slot.is_some()
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

    /// Removes what is known of all tables that have gone, whoever may take their slots.
    pub(crate) fn take_gone(&mut self) -> Vec<V> {
        self.find_gone(|_| {});
        let gone = std::mem::take(&mut self.gone).into_iter();
        gone.filter_map(|(_, address)| self.remove_at(address))
            .collect()
    }

    /// Removes what is known of tables that have gone, and whose slot no other table has taken for ten minutes; of more of
    /// those than ever lived at once, the ones that went first.
    pub fn remove_gone(&mut self) -> Vec<V> {
        self.remove_gone_with(|_| {})
    }

    /// The same; `newly_gone` is called for each table that was found to have gone since the last time.
    pub(crate) fn remove_gone_with(&mut self, newly_gone: impl FnMut(&mut V)) -> Vec<V> {
        let now = self.find_gone(newly_gone);
        let living = self.tables.len() - self.gone.len();
        self.max_living = self.max_living.max(living);
        let mut removed = Vec::new();
        while let Some((since, address)) = self.gone.first().copied() {
            let is_over =
                self.gone.len() > self.max_living + MAX_WAITING || now - since >= SUCCESSION;
            if !is_over {
                break;
            }
            removed.extend(self.remove_at(address));
        }
        removed
    }

    /// Keeps what `keep` says, which is asked with whether the table has gone.
    pub fn retain(&mut self, mut keep: impl FnMut(bool, &mut V) -> bool) {
        let mut others = Vec::new();
        for (address, known) in &mut self.tables {
            if !keep(known.is_gone(), &mut known.value) {
                others.push(*address);
            }
        }
        for address in others {
            self.remove_at(address);
        }
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

    /// The last one that had this slot, and is not this very table.
    fn predecessor_address(&self, table: &Arc<Table>) -> Option<usize> {
        let own = address(table);
        let of_slot = self.slots.get(&table.head().table_slot)?;
        of_slot.iter().rev().copied().find(|it| *it != own)
    }

    /// Finds those that have gone since the last time; it is now so late.
    fn find_gone(&mut self, mut newly_gone: impl FnMut(&mut V)) -> Instant {
        let now = Instant::now();
        for address in self.dropped.take() {
            #[cfg(test)]
            (self.looks += 1);
            let known = self.tables.get_mut(&address);
            // It may be of a table that was removed before it was dropped, and another one may have its address by now.
            let is_new = |it: &&mut KnownTable<V>| it.gone_since.is_none() && it.is_gone();
            if let Some(known) = known.filter(is_new) {
                known.gone_since = Some(now);
                self.gone.insert((now, address));
                newly_gone(&mut known.value);
            }
        }
        now
    }

    /// What is known of the table that has, or had, this address.
    pub(crate) fn at(&self, address: usize) -> Option<&V> {
        self.tables.get(&address).map(|entry| &entry.value)
    }

    /// Removes what is known of the table that has, or had, this address.
    pub(crate) fn remove_at(&mut self, address: usize) -> Option<V> {
        #[cfg(test)]
        (self.looks += 1);
        let known = self.tables.remove(&address)?;
        if let Some(since) = known.gone_since {
            self.gone.remove(&(since, address));
        }
        if let Some(of_slot) = self.slots.get_mut(&known.slot) {
            of_slot.retain(|it| *it != address);
            if of_slot.is_empty() {
                self.slots.remove(&known.slot);
            }
        }
        Some(known.value)
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
mod tests;
