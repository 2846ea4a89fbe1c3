//! Where series are in a table.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{Series, Table};

/// A table, and where its series are.
pub(super) struct TableIndex {
    table: Arc<Table>,
    by_identity: OnceCell<HashMap<u128, usize>>,
}

impl TableIndex {
    pub(super) fn new(table: &Arc<Table>) -> TableIndex {
        TableIndex {
            table: Arc::clone(table),
            by_identity: OnceCell::new(),
        }
    }

    /// Whether it is of this very table.
    pub(super) fn is_of(&self, table: &Arc<Table>) -> bool {
        Arc::ptr_eq(&self.table, table)
    }

    /// Where the series of this row of another table is.
    pub(super) fn find(&self, table: &Arc<Table>, row: usize) -> Option<usize> {
        if self.is_of(table) {
            return Some(row);
        }
        let (series, own) = (&table.series()[row], self.table.series());
        // Where a table is remade most rows stay where they are.
        if own.get(row).is_some_and(|it| is_shared(series, it)) {
            return Some(row);
        }
        let index = self.by_identity.get_or_init(|| {
            let rows = own.iter().enumerate();
            rows.map(|(row, it)| (it.identity(), row)).collect()
        });
        let at = *index.get(&series.identity())?;
        (own[at].kind == series.kind).then_some(at)
    }
}

/// Whether both are made of the same parts.
fn is_shared(a: &Series, b: &Series) -> bool {
    Arc::ptr_eq(&a.metric, &b.metric) && Arc::ptr_eq(&a.attributes, &b.attributes)
}
