//! Batches of at most so many points, without a table being split anew at each sweep.

use std::sync::Arc;

use super::{Batch, Table, TableMap};

/// Splits tables that are larger than a request may be: once, in equal parts.
#[derive(Debug, Default)]
pub struct TableSplitter(TableMap<Vec<Part>>);

#[derive(Debug)]
struct Part {
    table: Arc<Table>,
    rows: Vec<u32>,
}

impl TableSplitter {
    /// The batch in parts of at most `max_rows` rows (0: no limit). A table's parts are those of the first call.
    pub fn split(&mut self, batch: Batch, max_rows: usize) -> Vec<Batch> {
        let table = batch.table();
        if max_rows == 0 || table.len() <= max_rows {
            return vec![batch];
        }
        let parts = self.0.get_or_insert_with(table, || parts(table, max_rows));
        let count = parts.len();
        let batches = parts.iter().enumerate().map(|(index, part)| {
            let last = batch.sweep().last && index + 1 == count;
            batch
                .with_table(Arc::clone(&part.table), Some(&part.rows))
                .with_last(last)
        });
        batches.collect()
    }
}

/// The slots of a table that has this slot, or whose part has it, and of its parts, without end.
pub(crate) fn slots_of_all_parts(slot: &str) -> impl Iterator<Item = String> {
    let whole = slot.rsplit_once('#');
    let whole = whole.filter(|(_, part)| part.bytes().all(|it| it.is_ascii_digit()));
    let whole = whole.map_or(slot, |(whole, _)| whole);
    let parts = (0..).map(move |index| slot_of_part(whole, index));
    std::iter::once(whole.to_owned()).chain(parts)
}

fn slot_of_part(whole: &str, index: usize) -> String {
    format!("{whole}#{index}")
}

fn parts(table: &Table, max_rows: usize) -> Vec<Part> {
    let count = table.len().div_ceil(max_rows);
    let size = table.len().div_ceil(count);
    let rows: Vec<u32> = (0..).take(table.len()).collect();
    let parts = rows.chunks(size).enumerate().map(|(index, rows)| {
        let slot = slot_of_part(&table.head().table_slot, index).into();
        let series = rows
            .iter()
            .map(|row| table.series()[*row as usize].clone())
            .collect();
        Part {
            table: Table::new(Arc::new(table.head().with_table_slot(slot)), series),
            rows: rows.to_vec(),
        }
    });
    parts.collect()
}
