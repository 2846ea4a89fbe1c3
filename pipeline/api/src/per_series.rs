//! Processors of identities: a pure function of one series, called once for each series of a new table.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use crate::batch::{Batch, Value};
use crate::channel::Outbox;
use crate::component::Processor;
use crate::demand::Demand;
use crate::error::Result;
use crate::table::{Head, Series, Table};

/// A processor of identities: one pure function (same in, same out, for ever), from which both what happens to a
/// sweep and what need not be read follow.
pub trait PerSeries: Send + Sync + 'static {
    /// Changes a series, or says that it is dropped. The rows of a table come in order, after [`PerSeries::head`].
    fn rewrite(&self, head: &Head, series: &mut Series) -> Verdict;

    /// Changes what a table's series have in common: once a table, before its series.
    fn head(&self, _head: &mut Head) {}

    /// Whether names or attributes may change, so that two series may end up the same: the later one is then dropped.
    fn renames(&self) -> bool {
        true
    }
}

/// What becomes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Keep,
    /// It goes no further, and need not be read if nobody else wants it.
    Drop,
}

/// Remembers what a [`PerSeries`] made of each table, and a column of `C`s beside its rows; that alone makes a
/// [`Processor`] of it.
///
/// Its key is the table's address beside a `Weak`, so that an address is never taken for another table; what nobody
/// else holds is forgotten, but for the successor at the same place, which takes over the rows it shares.
pub struct Memo<T, C = ()> {
    stage: Arc<T>,
    entries: HashMap<usize, Entry<C>>,
    places: HashMap<Arc<str>, usize>,
    /// Who has an identity: the first to come keeps it.
    owners: HashMap<u128, usize>,
    /// Identities that somebody else asked for meanwhile, and who.
    refused: HashMap<u128, HashSet<usize>>,
}

struct Entry<C> {
    table: Weak<Table>,
    place: Arc<str>,
    series: Arc<Vec<Series>>,
    outcome: Outcome<C>,
    /// The identity of each row that came out, for giving it back; empty where the stage does not rename.
    identities: Vec<u128>,
    /// For each row that came in, the row that came out.
    row_out: Vec<Option<u32>>,
}

/// What a [`PerSeries`] made of a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome<C> {
    /// The table as it goes on; the very one that came in where nothing changed.
    pub table: Arc<Table>,
    /// The rows that are kept; all where it is `None`.
    pub rows: Option<Vec<u32>>,
    /// What the processor keeps for each row that goes on.
    pub column: Vec<C>,
}

impl<T: PerSeries, C: Clone + Default> Memo<T, C> {
    /// A memo of this stage.
    #[must_use]
    pub fn new(stage: T) -> Memo<T, C> {
        Memo {
            stage: Arc::new(stage),
            entries: HashMap::new(),
            places: HashMap::new(),
            owners: HashMap::new(),
            refused: HashMap::new(),
        }
    }

    /// The stage itself.
    #[must_use]
    pub fn stage(&self) -> &T {
        &self.stage
    }

    /// What the stage makes of this batch's table, with the column to read and change. Two rows that end up the same
    /// series: the first stays, the other is dropped, counted, and both are named once.
    pub fn look(&mut self, batch: &Batch, out: &mut Outbox) -> &mut Outcome<C> {
        let key = Arc::as_ptr(batch.table()) as usize;
        let known = self.entries.get(&key).is_some_and(|entry| entry.table.strong_count() > 0);
        if !known {
            self.learn(key, batch, out);
        }
        if batch.has_ended() {
            self.release_ended(key, batch);
        }
        &mut self.entries.get_mut(&key).expect("learnt just now").outcome
    }

    /// The demand above this stage.
    #[must_use]
    pub fn demand(&self, below: Demand) -> Demand {
        below.map(Arc::clone(&self.stage))
    }

    fn learn(&mut self, key: usize, batch: &Batch, out: &mut Outbox) {
        let table = batch.table();
        let before = self.places.get(&table.head().place).copied().and_then(|key| self.forget(key));
        self.forget(key);
        let dead: Vec<usize> = self.entries.iter().filter(|(_, e)| e.table.strong_count() == 0).map(|(k, _)| *k).collect();
        for key in dead {
            self.forget(key);
        }

        let mut head = (**table.head()).clone();
        self.stage.head(&mut head);
        let carried = before.as_ref().filter(|before| *before.outcome.table.head().as_ref() == head);
        let known = carried.map(by_row).unwrap_or_default();

        let mut entry = Entry {
            table: Arc::downgrade(table),
            place: Arc::clone(&table.head().place),
            series: table.shared_series(),
            outcome: Outcome { table: Arc::clone(table), rows: None, column: Vec::with_capacity(table.len()) },
            identities: Vec::new(),
            row_out: vec![None; table.len()],
        };
        let (mut made, mut rows) = (Vec::with_capacity(table.len()), Vec::with_capacity(table.len()));
        let mut changed = head != **table.head();
        // A row that ends in this very batch gives its identity to one that begins.
        let ends = |row: &usize| matches!(batch.values()[*row], Value::Ended);
        let mut kept = vec![None; table.len()];
        for row in (0..table.len()).filter(|row| !ends(row)).chain((0..table.len()).filter(ends)) {
            let series = &table.series()[row];
            let from = carried.and_then(|before| {
                let old = *known.get(&row_key(series))? as usize;
                before.series[old].is_same_row(series).then_some(())?;
                before.row_out[old].map(|out| (before, out as usize))
            });
            let (series_out, column) = if let Some((before, old)) = from {
                (before.outcome.table.series()[old].clone(), before.outcome.column[old].clone())
            } else {
                let mut rewritten = series.clone();
                if self.stage.rewrite(&head, &mut rewritten) == Verdict::Drop {
                    continue;
                }
                (rewritten, C::default())
            };
            if self.stage.renames() {
                let identity = series_out.identity();
                if let Some(owner) = self.owners.get(&identity) {
                    let first = *owner;
                    self.refused.entry(identity).or_default().insert(key);
                    let at = if first == key { "the same table" } else { "another table" };
                    out.duplicate(&series_out, series, at);
                    continue;
                }
                if !ends(&row) {
                    self.owners.insert(identity, key);
                }
                kept[row] = Some((series_out, column, identity));
            } else {
                kept[row] = Some((series_out, column, 0));
            }
        }
        let mut pool: HashMap<usize, HashSet<Arc<crate::Attributes>>> = HashMap::new();
        for (row, kept) in kept.into_iter().enumerate() {
            let Some((mut series_out, column, identity)) = kept else {
                changed = true;
                continue;
            };
            if !Arc::ptr_eq(&series_out.attributes, &table.series()[row].attributes) {
                share(&mut pool, &table.series()[row], &mut series_out);
            }
            changed |= series_out != table.series()[row];
            entry.row_out[row] = u32::try_from(made.len()).ok();
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            made.push(series_out);
            entry.outcome.column.push(column);
            if self.stage.renames() {
                entry.identities.push(identity);
            }
        }
        if changed {
            entry.outcome.rows = (rows.len() != table.len()).then_some(rows);
            entry.outcome.table = Table::new(Arc::new(head), made);
        }
        self.places.insert(Arc::clone(&table.head().place), key);
        self.entries.insert(key, entry);
    }

    /// Forgets a table, and gives its identities back: those who were refused them are looked at anew.
    fn forget(&mut self, key: usize) -> Option<Entry<C>> {
        let entry = self.entries.remove(&key)?;
        self.release(key, &entry.identities);
        if self.places.get(&entry.place) == Some(&key) {
            self.places.remove(&entry.place);
        }
        Some(entry)
    }

    fn release_ended(&mut self, key: usize, batch: &Batch) {
        let Some(entry) = self.entries.get(&key) else { return };
        if entry.identities.is_empty() {
            return;
        }
        let over = (0..batch.table().len()).filter(|row| matches!(batch.values()[*row], Value::Ended));
        let over: Vec<u128> = over.filter_map(|row| entry.row_out[row]).map(|out| entry.identities[out as usize]).collect();
        self.release(key, &over);
    }

    fn release(&mut self, key: usize, identities: &[u128]) {
        for identity in identities {
            if self.owners.get(identity) == Some(&key) {
                self.owners.remove(identity);
                for waiting in self.refused.remove(identity).unwrap_or_default() {
                    if waiting != key {
                        self.forget(waiting);
                    }
                }
            }
        }
    }
}

/// Rows by the addresses of their name and attributes: what a remade table carried over has the same.
fn by_row<C>(entry: &Entry<C>) -> HashMap<(usize, usize), u32> {
    let rows = entry.series.iter().zip(0..);
    rows.map(|(series, row)| (row_key(series), row)).collect()
}

fn row_key(series: &Series) -> (usize, usize) {
    (series.name.as_ptr() as usize, Arc::as_ptr(&series.attributes) as usize)
}

/// Equal attribute sets that were made of one set are one set.
fn share(pool: &mut HashMap<usize, HashSet<Arc<crate::Attributes>>>, from: &Series, made: &mut Series) {
    let made_of_one = pool.entry(Arc::as_ptr(&from.attributes) as usize).or_default();
    match made_of_one.get(&made.attributes) {
        Some(same) => made.attributes = Arc::clone(same),
        None => drop(made_of_one.insert(Arc::clone(&made.attributes))),
    }
}

impl<T: PerSeries> Processor for Memo<T, ()> {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        if batch.table().is_empty() {
            out.pass(batch);
            return Ok(());
        }
        let outcome = self.look(&batch, out);
        let made = outcome.apply(&batch);
        out.dropped(batch.points() - made.points(), "filtered");
        out.pass(made);
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        Memo::demand(self, below)
    }
}

impl<C> Outcome<C> {
    /// The batch under the table that goes on.
    #[must_use]
    pub fn apply(&self, batch: &Batch) -> Batch {
        if Arc::ptr_eq(&self.table, batch.table()) {
            return batch.clone();
        }
        batch.with_table(Arc::clone(&self.table), self.rows.as_deref())
    }
}

impl<T, C> fmt::Debug for Memo<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo").field("tables", &self.entries.len()).finish_non_exhaustive()
    }
}
