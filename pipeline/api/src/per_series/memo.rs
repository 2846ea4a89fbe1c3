//! What a processor of identities made of each table, remembered.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Weak};

use super::identities::{Identities, Identity, identity};
use super::{PerSeries, Verdict};
use crate::channel::Outbox;
use crate::component::Processor;
use crate::data::{Batch, Head, Metric, Series, Table, Value};
use crate::demand::Demand;
use crate::error::Result;

/// Remembers what a [`PerSeries`] made of each table, and a column of `C`s beside its rows; that alone makes a
/// [`Processor`] of it.
///
/// Its key is the table's address beside a `Weak`, so that an address is never taken for another table; what nobody
/// else holds is forgotten, but for the successor at the same place, which takes over the rows it shares.
pub struct Memo<T, C = ()> {
    stage: Arc<T>,
    entries: HashMap<usize, Entry<C>>,
    places: HashMap<Arc<str>, usize>,
    identities: Identities,
}

struct Entry<C> {
    table: Weak<Table>,
    place: Arc<str>,
    series: Arc<Vec<Series>>,
    outcome: Outcome<C>,
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

impl<T: PerSeries, C: Clone> Memo<T, C> {
    /// A memo of this stage.
    #[must_use]
    pub fn new(stage: T) -> Memo<T, C> {
        Memo {
            stage: Arc::new(stage),
            entries: HashMap::new(),
            places: HashMap::new(),
            identities: Identities::default(),
        }
    }

    /// The stage itself.
    #[must_use]
    pub fn stage(&self) -> &T {
        &self.stage
    }

    /// What the stage makes of this batch's table, with the column to read and change; `fresh` gives what is kept for a
    /// row that was not seen before, by the series as it came in and as it goes on. Two rows that end up the same series:
    /// the first stays, the other is dropped, counted, and named once.
    ///
    /// # Panics
    /// Never: a table that is not known is learnt first.
    pub fn look(
        &mut self,
        batch: &Batch,
        out: &mut Outbox,
        fresh: impl FnMut(&T, &Series, &Series) -> C,
    ) -> &mut Outcome<C> {
        let key = Arc::as_ptr(batch.table()) as usize;
        let known = self
            .entries
            .get(&key)
            .is_some_and(|entry| entry.table.strong_count() > 0);
        if !known {
            self.learn(key, batch, out, fresh);
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

    /// Makes the outcome of a table that was not seen before.
    fn learn(
        &mut self,
        key: usize,
        batch: &Batch,
        out: &mut Outbox,
        mut fresh: impl FnMut(&T, &Series, &Series) -> C,
    ) {
        let table = batch.table();
        let place = &table.head().place;
        let before = self
            .places
            .get(place)
            .copied()
            .and_then(|key| self.forget(key));
        self.forget(key);
        let is_dead = |entry: &Entry<C>| entry.table.strong_count() == 0;
        let dead = self.entries.iter().filter(|(_, entry)| is_dead(entry));
        let dead: Vec<usize> = dead.map(|(key, _)| *key).collect();
        for key in &dead {
            self.forget(*key);
        }
        if before.is_some() || !dead.is_empty() {
            self.identities
                .retain(|key| self.entries.contains_key(&key));
        }

        let mut head = (**table.head()).clone();
        self.stage.head(&mut head);
        let carried = before.filter(|before| *before.outcome.table.head().as_ref() == head);
        let carried = carried.map(Carried::new);
        // A row that ends in this very batch leaves its identity to one that begins.
        let ends = |row: &usize| matches!(batch.values()[*row], Value::Ended);
        let live = (0..table.len()).filter(|row| !ends(row));
        let mut kept: Vec<Option<Kept<C>>> = Vec::new();
        kept.resize_with(table.len(), || None);
        for row in live.chain((0..table.len()).filter(ends)) {
            let series = &table.series()[row];
            let made = carried.as_ref().and_then(|carried| carried.find(series));
            let made = made.or_else(|| {
                let mut made = series.clone();
                let verdict = self.stage.rewrite(&head, &mut made);
                (verdict == Verdict::Keep).then(|| {
                    let column = fresh(&self.stage, series, &made);
                    (made, column)
                })
            });
            let Some((made, column)) = made else { continue };
            match self.claim(key, &made, ends(&row)) {
                Ok(()) => {
                    kept[row] = Some(Kept {
                        series: made,
                        column,
                    });
                }
                Err((identity, owner)) => {
                    let same = |it: &Option<Kept<C>>| {
                        it.as_ref()
                            .is_some_and(|it| self::identity(&it.series) == identity)
                    };
                    out.duplicate(&made, series, || match self.entries.get(&owner) {
                        None => kept.iter().position(same).map(|row| &table.series()[row]),
                        Some(entry) => entry.came_from(identity),
                    });
                }
            }
        }
        self.places.insert(Arc::clone(place), key);
        self.entries.insert(key, Entry::new(table, head, kept));
    }

    /// Claims a series' identity for a table, where the stage renames at all; an error with the table that has it.
    fn claim(&mut self, key: usize, made: &Series, ends: bool) -> Result<(), (Identity, usize)> {
        if !self.stage.renames() {
            return Ok(());
        }
        let identity = identity(made);
        let claimed = self.identities.claim(key, identity, ends);
        claimed.map_err(|owner| (identity, owner))
    }

    /// Forgets a table, and gives its identities back: those who were refused them are looked at anew.
    fn forget(&mut self, key: usize) -> Option<Entry<C>> {
        let entry = self.entries.remove(&key)?;
        if self.stage.renames() {
            let all = entry.outcome.table.series().iter().map(identity);
            self.release(key, all.collect());
        }
        if self.places.get(&entry.place) == Some(&key) {
            self.places.remove(&entry.place);
        }
        Some(entry)
    }

    fn release_ended(&mut self, key: usize, batch: &Batch) {
        if !self.stage.renames() {
            return;
        }
        let Some(Entry { outcome, .. }) = self.entries.get(&key) else {
            return;
        };
        let over =
            (0..batch.table().len()).filter(|row| matches!(batch.values()[*row], Value::Ended));
        let over = over
            .filter_map(|row| outcome.row_out(row))
            .map(|out| identity(&outcome.table.series()[out]));
        self.release(key, over.collect());
    }

    fn release(&mut self, key: usize, identities: Vec<Identity>) {
        for identity in identities {
            for waiting in self.identities.release(key, identity) {
                self.forget(waiting);
            }
        }
    }
}

/// A row that goes on.
struct Kept<C> {
    series: Series,
    column: C,
}

impl<C> Entry<C> {
    /// The series that came in and became this one.
    fn came_from(&self, identity: Identity) -> Option<&Series> {
        let mut made = self.outcome.table.series().iter();
        let out = made.position(|series| self::identity(series) == identity)?;
        self.series.get(
            self.outcome
                .rows
                .as_ref()
                .map_or(out, |rows| rows[out] as usize),
        )
    }

    /// The outcome of these rows; the table itself where nothing changed.
    fn new(table: &Arc<Table>, head: Head, kept: Vec<Option<Kept<C>>>) -> Entry<C> {
        let mut changed = head != **table.head();
        let most = kept.iter().filter(|kept| kept.is_some()).count();
        let mut made = Vec::with_capacity(most);
        let mut column = Vec::with_capacity(most);
        let mut rows = Vec::with_capacity(most);
        let mut pool = HashMap::new();
        let mut metrics: HashSet<Arc<Metric>> = HashSet::new();
        for (row, kept) in kept.into_iter().enumerate() {
            let from = &table.series()[row];
            let Some(mut kept) = kept else {
                changed = true;
                continue;
            };
            if !Arc::ptr_eq(&kept.series.metric, &from.metric) {
                match metrics.get(&kept.series.metric) {
                    Some(same) => kept.series.metric = Arc::clone(same),
                    None => _ = metrics.insert(Arc::clone(&kept.series.metric)),
                }
            }
            if !Arc::ptr_eq(&kept.series.attributes, &from.attributes) {
                share(&mut pool, from, &mut kept.series);
            }
            changed |= kept.series != *from;
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            made.push(kept.series);
            column.push(kept.column);
        }
        let all = rows.len() == table.len();
        let outcome = Outcome {
            table: if changed {
                Table::new(Arc::new(head), made)
            } else {
                Arc::clone(table)
            },
            rows: (!all).then_some(rows),
            column,
        };
        let place = Arc::clone(&table.head().place);
        Entry {
            table: Arc::downgrade(table),
            place,
            series: table.shared_series(),
            outcome,
        }
    }
}

/// The rows of a table that was remade, by the addresses of their metric and attributes: what was carried over has the
/// same.
struct Carried<C> {
    entry: Entry<C>,
    rows: HashMap<(usize, usize), usize>,
}

impl<C: Clone> Carried<C> {
    fn new(entry: Entry<C>) -> Carried<C> {
        let rows = entry
            .series
            .iter()
            .enumerate()
            .map(|(row, series)| (row_key(series), row));
        Carried {
            rows: rows.collect(),
            entry,
        }
    }

    /// What became of this very row before.
    fn find(&self, series: &Series) -> Option<(Series, C)> {
        let row = *self.rows.get(&row_key(series))?;
        let is_same = self.entry.series[row].is_same_row(series);
        let out = self.entry.outcome.row_out(row).filter(|_| is_same)?;
        Some((
            self.entry.outcome.table.series()[out].clone(),
            self.entry.outcome.column[out].clone(),
        ))
    }
}

fn row_key(series: &Series) -> (usize, usize) {
    (
        Arc::as_ptr(&series.metric) as usize,
        Arc::as_ptr(&series.attributes) as usize,
    )
}

/// Equal attribute sets that were made of one set are one set.
fn share(
    pool: &mut HashMap<usize, HashSet<Arc<crate::Attributes>>>,
    from: &Series,
    made: &mut Series,
) {
    let made_of_one = pool
        .entry(Arc::as_ptr(&from.attributes) as usize)
        .or_default();
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
        let outcome = self.look(&batch, out, |_, _, _| ());
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
    /// For a row that came in, the row that came out.
    fn row_out(&self, row: usize) -> Option<usize> {
        match &self.rows {
            None => Some(row),
            Some(rows) => {
                let row = u32::try_from(row).ok()?;
                rows.binary_search(&row).ok()
            }
        }
    }

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
        f.debug_struct("Memo")
            .field("tables", &self.entries.len())
            .finish_non_exhaustive()
    }
}
