//! Prometheus' text formats: what is known of all series, in names and labels that are text once a table, with the newest
//! values behind them.

mod escaping;
mod latest;
mod lines;
mod names;
mod settings;
mod table_text;
#[cfg(test)]
mod tests;
mod units;
mod write;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::data::{Batch, Table, TableMap, slots_of_all_parts};
use crate::telemetry::{Counter, Counters, Warnings};

use latest::Latest;
use lines::{Lines, Refusal};

pub use escaping::Escaping;
pub use settings::{ResourceConstantLabels, Settings, TranslationStrategy};
pub use write::{Format, Snapshot};

/// A series is shown for at least so many of its table's intervals.
const MIN_INTERVALS: u32 = 3;

/// The latest values of every series.
#[derive(Debug)]
pub struct Exposition {
    settings: Arc<Settings>,
    counters: Counters,
    warnings: Warnings,
    tables: TableMap<Latest>,
    lines: Lines,
    /// The slots of tables that were made anew, and of which parts are superseded, until they are published.
    remade: HashSet<Arc<str>>,
}

/// Changes what is known of the table that has this slot, or a part of it, and of its parts.
fn change_parts(tables: &mut TableMap<Latest>, slot: &str, mut change: impl FnMut(&mut Latest)) {
    for (index, slot) in slots_of_all_parts(slot).enumerate() {
        // The first one is that of the whole.
        if !tables.change_of_slot(&slot, &mut change) && index > 0 {
            return;
        }
    }
}

impl Exposition {
    /// Of no series yet. What cannot be written is counted as `series_refused` and warned of.
    #[must_use]
    pub fn new(settings: Settings, counters: Counters) -> Exposition {
        Exposition {
            settings: Arc::new(settings),
            warnings: Warnings::new(counters.component()),
            counters,
            tables: TableMap::new(),
            lines: Lines::default(),
            remade: HashSet::new(),
        }
    }

    /// Whether a request shows again what no snapshot has yet.
    #[must_use]
    pub fn shows_again(&self, request: &[Batch]) -> bool {
        request.iter().any(|batch| {
            let table = batch.table();
            let known = self.tables.get(table);
            let known = known.or_else(|| self.tables.predecessor(table));
            known.is_some_and(|latest| latest.is_new)
        })
    }

    /// Takes in what a table showed; [`Exposition::publish`] has it shown. Returns how many of its points are left out; they
    /// are counted as dropped.
    pub fn take(&mut self, batch: &Batch) -> u64 {
        let table = batch.table();
        if table.is_empty() {
            return 0;
        }
        if self.tables.get(table).is_none() {
            let before = self.tables.remove_predecessor(table);
            if let Some(latest) = &before {
                latest.release(&mut self.lines);
            }
            let latest = Latest::new(batch, &self.settings, before);
            self.tables.insert(table, latest);
            self.supersede_parts(batch);
        }
        let Some(latest) = self.tables.get_mut(table) else {
            return 0; // it was inserted above
        };
        let refused = latest.show(batch, &mut self.lines, &self.settings);
        for (row, Refusal(reason, why)) in refused {
            let reason = reason.name();
            self.counters.record_for(Counter::SERIES_REFUSED, reason, 1);
            let message = "series left out of the exposition";
            let series = &table.series()[row as usize];
            self.warnings
                .warn_with(message, || format!("{} {why}", series.name));
        }
        latest.count_left_out(batch.values(), &self.counters)
    }

    /// A table that is made anew may be parted elsewhere: lines go from part to part, and a part may have no successor.
    fn supersede_parts(&mut self, batch: &Batch) {
        let (lines, sweep) = (&mut self.lines, batch.sweep().number);
        let slot = &batch.table().head().table_slot;
        let mut any = false;
        change_parts(&mut self.tables, slot, |latest| {
            any |= latest.supersede(sweep, lines);
        });
        if any {
            self.remade.insert(Arc::clone(slot));
        }
    }

    /// What these tables showed is in the next snapshot. What has gone for good is forgotten.
    pub fn publish(&mut self, tables: &[Arc<Table>]) {
        for table in tables {
            if let Some(latest) = self.tables.get_mut(table) {
                latest.publish();
            }
        }
        let mut slots = tables.iter().map(|it| &it.head().table_slot);
        while !self.remade.is_empty()
            && let Some(slot) = slots.next()
        {
            if self.remade.remove(slot) {
                change_parts(&mut self.tables, slot, Latest::hide_superseded);
            }
        }
        for latest in self.tables.remove_gone() {
            latest.release(&mut self.lines);
        }
    }

    /// Whether something came since the last snapshot.
    #[must_use]
    pub fn has_news(&mut self) -> bool {
        self.tables.values_mut().any(|latest| latest.is_new)
    }

    /// All that is published.
    pub fn snapshot(&mut self) -> Snapshot {
        let tables = self.tables.values_mut().filter_map(|latest| {
            latest.is_new = false;
            latest.published.clone()
        });
        Snapshot {
            tables: tables.collect(),
            settings: Arc::clone(&self.settings),
        }
    }

    /// Forgets the tables that have gone and that a snapshot has: their lines are free again.
    pub fn forget_gone(&mut self) {
        self.retain(|is_gone, latest, _| !is_gone || latest.is_new);
    }

    /// Shows no more of the tables that have not shown anything for so long, and for three of their intervals: those that have
    /// gone are forgotten; of others it is known on how often they come. Forgets those that have gone, too, if all of their
    /// series have ended.
    pub fn forget_expired(&mut self, expiration: Duration) {
        let now = Instant::now();
        self.retain(|is_gone, latest, lines| {
            let longest = expiration.max(latest.interval.saturating_mul(MIN_INTERVALS));
            let is_expired = now - latest.since > longest;
            if is_expired && !is_gone {
                latest.expire(lines);
            }
            let is_empty = || latest.next.is_none() && !latest.shows_any();
            !is_gone || !is_expired && !is_empty()
        });
    }

    fn retain(&mut self, keep: impl Fn(bool, &mut Latest, &mut Lines) -> bool) {
        let lines = &mut self.lines;
        self.tables.retain(|is_gone, latest| {
            let stays = keep(is_gone, latest, lines);
            if !stays {
                latest.release(lines);
            }
            stays
        });
    }
}
