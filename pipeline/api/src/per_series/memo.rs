//! What a processor of identities made of each table, remembered.

use std::fmt;
use std::sync::Arc;

use super::identities::{Identities, Identity, ResourceIdentity};
use super::rewrite::{Known, PreviousRows, RewrittenRow, TableRewrite};
use super::{PerSeries, Verdict};
use crate::channel::Outbox;
use crate::component::Processor;
use crate::data::{Batch, Head, Series, Table, TableMap, Value, address};
use crate::demand::Demand;
use crate::error::Result;
use crate::inspection::Explanation;

/// Remembers what a [`PerSeries`] made of each table, and a column of `C`s beside its rows; that alone makes a
/// [`Processor`] of it.
///
/// A table that takes another one's slot takes over the rows that both have.
pub struct Memo<T, C = ()> {
    stage: Arc<T>,
    tables: TableMap<Known<C>>,
    identities: Identities,
}

impl<T: PerSeries, C: Clone> Memo<T, C> {
    /// A memo of this stage.
    #[must_use]
    pub fn new(stage: T) -> Memo<T, C> {
        Memo {
            stage: Arc::new(stage),
            tables: TableMap::new(),
            identities: Identities::default(),
        }
    }

    /// The stage itself.
    #[must_use]
    pub fn stage(&self) -> &T {
        &self.stage
    }

    /// What the stage makes of this batch's table, with the column to read and change; `column` gives what is kept for a
    /// row that was not seen before, by the series as it came in and as it goes on. Of two rows that end up the same
    /// series the first stays; the other is dropped, counted, and named once.
    ///
    /// # Panics
    /// Never: a table that is not known is computed first.
    pub fn get_or_compute(
        &mut self,
        batch: &Batch,
        out: &Outbox,
        column: impl FnMut(&T, &Series, &Series) -> C,
    ) -> &mut TableRewrite<C> {
        if self.tables.get(batch.table()).is_none() {
            self.compute(batch, out, column);
        }
        if batch.has_ended() {
            self.release_ended(batch);
        }
        let known = self.tables.get_mut(batch.table());
        &mut known.expect("computed just now").rewrite
    }

    /// The demand above this stage.
    #[must_use]
    pub fn demand(&self, below: Demand) -> Demand {
        let stage = Arc::clone(&self.stage);
        below.map(move |head, series| stage.apply(head, series))
    }

    /// Makes the rewrite of a table that was not seen before.
    fn compute(
        &mut self,
        batch: &Batch,
        out: &Outbox,
        mut column: impl FnMut(&T, &Series, &Series) -> C,
    ) {
        let table = batch.table();
        let predecessor = self.forget_others(table);
        let mut head = (**table.head()).clone();
        self.stage.head(&mut head);
        let previous = predecessor.filter(|known| *known.head == head);
        let previous = previous.map(PreviousRows::new);
        // A row that ends in this very batch leaves its identity to one that begins.
        let ends = |row: &usize| matches!(batch.values()[*row], Value::Ended);
        let living = (0..table.len()).filter(|row| !ends(row));
        let mut rows: Vec<Option<RewrittenRow<C>>> = Vec::new();
        rows.resize_with(table.len(), || None);
        let mut duplicates = Vec::new();
        let resource = ResourceIdentity::of(&head);
        for at in living.chain((0..table.len()).filter(ends)) {
            let incoming = &table.series()[at];
            let row = previous.as_ref().and_then(|rows| rows.find(incoming));
            let row = row.or_else(|| self.rewrite(&head, incoming, &mut column));
            let Some(row) = row else { continue };
            // Where the stage does not rename, no two become the same.
            let identity = self.stage.renames().then(|| resource.identity(&row.series));
            let claim = |it| self.identities.claim(address(table), it, ends(&at));
            match identity.map_or(Ok(()), claim) {
                Ok(()) => rows[at] = Some(row),
                Err(owner) => {
                    duplicates.push(u32::try_from(at).unwrap_or(u32::MAX));
                    let is_owner = |it: &Option<RewrittenRow<C>>| {
                        let it = it.as_ref();
                        it.is_some_and(|it| Some(resource.identity(&it.series)) == identity)
                    };
                    out.duplicate(&row.series, (incoming, table.head()), || {
                        let Some(known) = self.tables.at(owner) else {
                            let first = rows.iter().position(is_owner)?;
                            return Some((&table.series()[first], table.head()));
                        };
                        Some((known.came_from(identity?)?, &known.head))
                    });
                }
            }
        }
        let known = Known::new(table, head, rows, duplicates);
        self.tables.insert(table, known);
    }

    /// What the stage makes of a series that was not seen before.
    fn rewrite(
        &self,
        head: &Head,
        incoming: &Series,
        mut column: impl FnMut(&T, &Series, &Series) -> C,
    ) -> Option<RewrittenRow<C>> {
        let mut series = incoming.clone();
        let verdict = self.stage.rewrite(head, &mut series);
        (verdict == Verdict::Keep).then(|| {
            let column = column(&self.stage, incoming, &series);
            RewrittenRow { series, column }
        })
    }

    /// Forgets the table whose slot this one takes, and gives what was known of it. The identities of tables that have
    /// gone are given back; what is known of their rows waits for those that take their slots.
    fn forget_others(&mut self, table: &Arc<Table>) -> Option<Known<C>> {
        let predecessor = self.tables.remove_predecessor(table);
        let identities = |known: &Known<C>| (known.address, known.identities());
        let mut released: Vec<_> = predecessor.iter().map(identities).collect();
        let forgotten = self.tables.remove_gone_with(|known| {
            known.release_table();
            released.push(identities(known));
        });
        released.extend(forgotten.iter().map(identities));
        let is_any = !released.is_empty();
        for (address, identities) in released {
            self.release(address, identities);
        }
        if is_any {
            let tables = &self.tables;
            self.identities
                .retain(|address| tables.at(address).is_some());
        }
        predecessor
    }

    fn release_ended(&mut self, batch: &Batch) {
        let Some(known) = self.tables.get(batch.table()) else {
            return;
        };
        let ended =
            (0..batch.table().len()).filter(|row| matches!(batch.values()[*row], Value::Ended));
        let resource = ResourceIdentity::of(&known.head);
        let identities = ended
            .filter_map(|row| known.rewrite.row_out(row))
            .map(|row| resource.identity(&known.series_out()[row]));
        let identities = identities.collect();
        self.release(address(batch.table()), identities);
    }

    /// Gives identities back: the tables that were refused them are computed anew.
    fn release(&mut self, address: usize, identities: Vec<Identity>) {
        if !self.stage.renames() {
            return;
        }
        let mut released: Vec<(usize, Vec<Identity>)> = vec![(address, identities)];
        while let Some((address, identities)) = released.pop() {
            for identity in identities {
                for waiting in self.identities.release(address, identity) {
                    let known = self.tables.remove_at(waiting);
                    released.extend(known.map(|known| (waiting, known.identities())));
                }
            }
        }
    }
}

impl<T: PerSeries> Processor for Memo<T, ()> {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        if batch.table().is_empty() {
            out.pass(batch);
            return Ok(());
        }
        let rewrite = self.get_or_compute(&batch, out, |_, _, _| ());
        let rewritten = rewrite.apply(&batch, out);
        out.pass(rewritten);
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        Memo::demand(self, below)
    }

    fn explain(&self, head: &Head, series: &Series) -> Explanation {
        self.stage.explain(head, series)
    }
}

impl<T, C> fmt::Debug for Memo<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::data::{AnyValue, Scope, Sweep, Times};
    use crate::telemetry::{Counter, Counters};

    /// Takes the label away that tells two devices apart.
    struct WithoutDevice;

    impl PerSeries for WithoutDevice {
        fn rewrite(&self, _: &Head, series: &mut Series) -> Verdict {
            Arc::make_mut(&mut series.attributes).remove("device");
            Verdict::Keep
        }
    }

    /// A batch of a new table in this slot, with the series of one device.
    fn batch(slot: &str, device: &str) -> Batch {
        let (resource, scope) = (Arc::default(), Arc::new(Scope::default()));
        let head = Head::new(resource, scope, "s".into(), slot.into());
        let attributes = [("device", AnyValue::from(device))].into_iter().collect();
        let series = Series::new("s/c", Arc::new(attributes));
        let table = Table::new(Arc::new(head), vec![series]);
        let sweep = Sweep::new(0, Duration::from_secs(1), true);
        let starts = vec![0].into();
        Batch::new(table, starts, Times::One(1), vec![Value::Int(1)], sweep)
    }

    #[test]
    fn a_table_that_has_gone_leaves_its_identities_to_one_in_another_slot() {
        let counters = Counters::new("test");
        let mut out = Outbox::new(counters.clone());
        let mut stages = [WithoutDevice, WithoutDevice].map(Memo::<_, ()>::new);
        let mut points = |batch: Batch| {
            let mut batches = vec![batch];
            for stage in &mut stages {
                for batch in batches {
                    stage.process(batch, &mut out).expect("it never fails");
                }
                batches = out.take().concat();
            }
            batches.iter().map(Batch::points).sum::<usize>()
        };
        let first = batch("s/0", "a");
        assert_eq!(points(first.clone()), 1);
        assert_eq!(points(batch("s/1", "b")), 0, "while the first one lives");
        assert_eq!(counters.lost(), 1, "it is the same series, and no filter's");
        drop(first);
        assert_eq!(points(batch("s/2", "c")), 1);
        assert_eq!(counters.total(Counter::SERIES_REFUSED.name()), 1);
    }
}
