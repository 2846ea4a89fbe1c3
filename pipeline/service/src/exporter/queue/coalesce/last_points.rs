//! What each series of a table showed last.

use std::sync::Arc;

use pipeline::{Batch, Table, Value};

use super::is_kept;
use super::rows::TableIndex;

/// Start and value of the last point of each row, as far as it was seen.
#[derive(Default)]
pub(super) struct LastPoints {
    table: Option<TableIndex>,
    points: Vec<Option<(u64, Value)>>,
}

impl LastPoints {
    /// Goes on with this table: what is known of its series stays known.
    pub(super) fn follow(&mut self, table: &Arc<Table>) {
        if self.table.as_ref().is_some_and(|it| it.is_of(table)) {
            return;
        }
        let before = self.table.replace(TableIndex::new(table));
        let known = (0..table.len()).map(|row| {
            let at = before.as_ref()?.find(table, row)?;
            self.points[at].take()
        });
        self.points = known.collect();
    }

    /// A batch of the table, or of some of its series, has been passed.
    pub(super) fn add(&mut self, batch: &Batch) {
        if !is_kept(batch) {
            self.follow(batch.table());
        }
        let Some(table) = &self.table else { return };
        for (row, value) in batch.values().iter().enumerate() {
            if !matches!(value, Value::Absent)
                && let Some(at) = table.find(batch.table(), row)
            {
                let start = batch.starts_unix_nano()[row];
                self.points[at] = Some((start, value.clone()));
            }
        }
    }

    /// The last point of this row.
    pub(super) fn of(&self, row: usize) -> Option<(u64, &Value)> {
        let (start, value) = self.points.get(row)?.as_ref()?;
        Some((*start, value))
    }
}
