//! Batches of at most so many points, without a table being cut anew at each sweep.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::{Batch, Table};

/// Cuts tables that are larger than a request may be: once, in equal parts, remembered by the table's pointer.
#[derive(Debug, Default)]
pub struct Cuts(HashMap<usize, (Weak<Table>, Vec<Part>)>);

#[derive(Debug)]
struct Part {
    table: Arc<Table>,
    rows: Vec<u32>,
}

impl Cuts {
    /// The batch in parts of at most `most` rows (0: no limit).
    pub fn cut(&mut self, batch: Batch, most: usize) -> Vec<Batch> {
        let table = batch.table();
        if most == 0 || table.len() <= most {
            return vec![batch];
        }
        let key = Arc::as_ptr(table) as usize;
        if self
            .0
            .get(&key)
            .is_none_or(|(known, _)| known.strong_count() == 0)
        {
            self.0.retain(|_, (known, _)| known.strong_count() > 0);
            self.0
                .insert(key, (Arc::downgrade(table), parts(table, most)));
        }
        let parts = &self.0[&key].1;
        let cut = parts.iter().enumerate().map(|(index, part)| {
            let last = batch.sweep().last && index + 1 == parts.len();
            batch
                .with_table(Arc::clone(&part.table), Some(&part.rows))
                .with_last(last)
        });
        cut.collect()
    }
}

fn parts(table: &Table, most: usize) -> Vec<Part> {
    let count = table.len().div_ceil(most);
    let size = table.len().div_ceil(count);
    let rows: Vec<u32> = (0..).take(table.len()).collect();
    let parts = rows.chunks(size).enumerate().map(|(index, rows)| {
        let place = format!("{}#{index}", table.head().place).into();
        let series = rows
            .iter()
            .map(|row| table.series()[*row as usize].clone())
            .collect();
        Part {
            table: Table::new(Arc::new(table.head().at(place)), series),
            rows: rows.to_vec(),
        }
    });
    parts.collect()
}
