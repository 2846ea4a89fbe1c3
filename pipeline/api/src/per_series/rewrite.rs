//! What a stage made of one table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::identities::{Identity, ResourceIdentity};
use crate::channel::Outbox;
use crate::data::{Attributes, Batch, Head, Metric, Series, Table, Value, address};
use crate::telemetry::DropReason;

/// What a [`PerSeries`](super::PerSeries) made of a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TableRewrite<C> {
    /// The table as it goes on; `None` where that is the very one that came in.
    table: Option<Arc<Table>>,
    /// The rows that are kept; all where it is `None`.
    rows: Option<Vec<u32>>,
    /// The rows that are dropped since they would be the same series as others.
    duplicates: Vec<u32>,
    /// What the processor keeps for each row that goes on.
    pub column: Vec<C>,
}

/// A row that goes on.
pub(super) struct RewrittenRow<C> {
    pub(super) series: Series,
    pub(super) column: C,
}

/// What is known of a table that came in.
pub(super) struct Known<C> {
    pub(super) address: usize,
    /// As it goes on.
    pub(super) head: Arc<Head>,
    series_in: Arc<Vec<Series>>,
    series_out: Arc<Vec<Series>>,
    pub(super) rewrite: TableRewrite<C>,
}

impl<C> TableRewrite<C> {
    /// The batch under the table that goes on: the very one that came in where nothing changed. Points of rows that are not
    /// kept are counted as dropped.
    #[must_use]
    pub fn apply(&self, batch: &Batch, out: &Outbox) -> Batch {
        let Some(table) = &self.table else {
            return batch.clone();
        };
        let rewritten = batch.with_table(Arc::clone(table), self.rows.as_deref());
        let duplicates = self.duplicates.iter();
        let duplicates = duplicates.filter(|row| batch.values()[**row as usize] != Value::Absent);
        let duplicates = duplicates.count();
        out.dropped(duplicates, DropReason::DUPLICATE);
        let dropped = batch.points() - rewritten.points();
        out.dropped(dropped - duplicates, DropReason::FILTERED);
        rewritten
    }

    /// For a row that came in, the row that goes on.
    pub(super) fn row_out(&self, row: usize) -> Option<usize> {
        match &self.rows {
            None => Some(row),
            Some(rows) => {
                let row = u32::try_from(row).ok()?;
                rows.binary_search(&row).ok()
            }
        }
    }
}

impl<C> Known<C> {
    /// The rewrite of these rows.
    pub(super) fn new(
        table: &Arc<Table>,
        head: Head,
        rows_out: Vec<Option<RewrittenRow<C>>>,
        duplicates: Vec<u32>,
    ) -> Known<C> {
        let mut is_changed = head != **table.head();
        let count = rows_out.iter().filter(|row| row.is_some()).count();
        let mut series_out = Vec::with_capacity(count);
        let mut column = Vec::with_capacity(count);
        let mut rows = Vec::with_capacity(count);
        let mut interner = Interner::default();
        for (row, row_out) in rows_out.into_iter().enumerate() {
            let incoming = &table.series()[row];
            let Some(mut row_out) = row_out else {
                is_changed = true;
                continue;
            };
            interner.share(incoming, &mut row_out.series);
            is_changed |= row_out.series != *incoming;
            rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            series_out.push(row_out.series);
            column.push(row_out.column);
        }
        let is_whole = rows.len() == table.len();
        let head = if head == **table.head() {
            Arc::clone(table.head())
        } else {
            Arc::new(head)
        };
        let series_in = table.shared_series();
        let series_out = if is_changed {
            Arc::new(series_out)
        } else {
            Arc::clone(&series_in)
        };
        let new_table = || Table::shared(Arc::clone(&head), Arc::clone(&series_out));
        let rewrite = TableRewrite {
            table: is_changed.then(new_table),
            rows: (!is_whole).then_some(rows),
            duplicates,
            column,
        };
        Known {
            address: address(table),
            head,
            series_in,
            series_out,
            rewrite,
        }
    }

    /// The series that go on.
    pub(super) fn series_out(&self) -> &[Series] {
        &self.series_out
    }

    /// The table that came in has gone: the one that goes on goes too.
    pub(super) fn release_table(&mut self) {
        self.rewrite.table = None;
    }

    /// The identities of the series that go on.
    pub(super) fn identities(&self) -> Vec<Identity> {
        let resource = ResourceIdentity::of(&self.head);
        let series = self.series_out().iter();
        series.map(|series| resource.identity(series)).collect()
    }

    /// The series that came in and became the one of this identity.
    pub(super) fn came_from(&self, identity: Identity) -> Option<&Series> {
        let resource = ResourceIdentity::of(&self.head);
        let mut series_out = self.series_out().iter();
        let row = series_out.position(|series| resource.identity(series) == identity)?;
        let rows = self.rewrite.rows.as_ref();
        self.series_in
            .get(rows.map_or(row, |rows| rows[row] as usize))
    }
}

/// The rows of a table that was remade, by the addresses of their metric and attributes: a row that the new table took
/// over has the same.
pub(super) struct PreviousRows<C> {
    known: Known<C>,
    rows: HashMap<(usize, usize), usize>,
}

impl<C: Clone> PreviousRows<C> {
    pub(super) fn new(known: Known<C>) -> PreviousRows<C> {
        let rows = known.series_in.iter().enumerate();
        PreviousRows {
            rows: rows.map(|(row, series)| (addresses(series), row)).collect(),
            known,
        }
    }

    /// What became of this very row before.
    pub(super) fn find(&self, incoming: &Series) -> Option<RewrittenRow<C>> {
        let row = *self.rows.get(&addresses(incoming))?;
        let is_same = self.known.series_in[row].is_same_row(incoming);
        let row_out = self.known.rewrite.row_out(row).filter(|_| is_same)?;
        Some(RewrittenRow {
            series: self.known.series_out()[row_out].clone(),
            column: self.known.rewrite.column[row_out].clone(),
        })
    }
}

fn addresses(series: &Series) -> (usize, usize) {
    (
        Arc::as_ptr(&series.metric) as usize,
        Arc::as_ptr(&series.attributes) as usize,
    )
}

/// Equal metrics of a table are one metric; equal attribute sets that were made of one set are one set.
#[derive(Default)]
struct Interner {
    metrics: HashSet<Arc<Metric>>,
    attributes: HashMap<usize, HashSet<Arc<Attributes>>>,
}

impl Interner {
    fn share(&mut self, incoming: &Series, series: &mut Series) {
        if !Arc::ptr_eq(&series.metric, &incoming.metric) {
            intern(&mut self.metrics, &mut series.metric);
        }
        if !Arc::ptr_eq(&series.attributes, &incoming.attributes) {
            let made_of = Arc::as_ptr(&incoming.attributes) as usize;
            let sets = self.attributes.entry(made_of).or_default();
            intern(sets, &mut series.attributes);
        }
    }
}

fn intern<T: Eq + std::hash::Hash>(known: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match known.get(value) {
        Some(same) => *value = Arc::clone(same),
        None => _ = known.insert(Arc::clone(value)),
    }
}
