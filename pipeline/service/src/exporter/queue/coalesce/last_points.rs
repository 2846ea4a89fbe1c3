//! What each series of a table showed last.

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{Batch, Table, Value};

use super::is_kept;
use super::point::Point;
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

    /// A batch of the table, or of some of its series, has been passed, but for the points of these rows, which rise: they
    /// come later.
    pub(super) fn add(&mut self, batch: &Batch, moved: &[usize]) {
        if !is_kept(batch) {
            self.follow(batch.table());
        }
        let Some(table) = &self.table else { return };
        let mut moved = moved.iter().peekable();
        for (row, value) in batch.values().iter().enumerate() {
            if moved.next_if_eq(&&row).is_none()
                && !matches!(value, Value::Absent)
                && let Some(at) = table.find(batch.table(), row)
            {
                let start = batch.starts_unix_nano()[row];
                self.points[at] = Some((start, value.clone()));
            }
        }
    }

    /// The first point that batches of some of its series have of each row.
    pub(super) fn first_of<'a>(&self, batches: &'a [&mut Batch]) -> HashMap<usize, Point<'a>> {
        let mut first = HashMap::new();
        let Some(table) = &self.table else {
            return first;
        };
        for batch in batches {
            for row in 0..batch.table().len() {
                if let Some(at) = table.find(batch.table(), row) {
                    first.entry(at).or_insert_with(|| Point::of(batch, row));
                }
            }
        }
        first
    }

    /// The last point of this row.
    pub(super) fn of(&self, row: usize) -> Option<(u64, &Value)> {
        let (start, value) = self.points.get(row)?.as_ref()?;
        Some((*start, value))
    }
}
