//! What a table showed last, and the lines that its rows have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::escaping::Escaping;
use super::lines::{Lines, Refusal};
use super::settings::Settings;
use super::table_text::TableRows;
use super::write::{ShownTable, Values};
use crate::data::{Batch, Table, Value, address};
use crate::telemetry::{Counters, DropReason};

/// What a table showed last.
#[derive(Debug)]
pub(super) struct Latest {
    address: usize,
    rows: Arc<TableRows>,
    /// What a snapshot has; of the table before this one, until what this one showed is published.
    pub(super) published: Option<ShownTable>,
    /// What is not published yet.
    pub(super) next: Option<Values>,
    /// When it was last shown, and how long after the time before that.
    pub(super) since: Instant,
    pub(super) interval: Duration,
    /// In which sweep it was last shown.
    sweep: u64,
    /// A part of a table that was made anew since, and may have other parts now: without lines, and shown until those are.
    is_superseded: bool,
    /// Whether no snapshot has it yet.
    pub(super) is_new: bool,
    /// The rows that have no line: why, where they were refused one.
    without_line: BTreeMap<u32, Option<DropReason>>,
    refused: Arc<[u32]>,
}

impl Latest {
    pub(super) fn new(batch: &Batch, settings: &Arc<Settings>, before: Option<Latest>) -> Latest {
        let table: &Arc<Table> = batch.table();
        let (since, interval) = before.as_ref().map_or_else(
            || (Instant::now(), Duration::ZERO),
            |it| (it.since, it.interval),
        );
        Latest {
            address: address(table),
            rows: Arc::new(TableRows::new(table, settings)),
            published: before.and_then(|it| it.published),
            next: None,
            since,
            interval,
            sweep: batch.sweep().number,
            is_superseded: false,
            is_new: true,
            without_line: numbers(table.len()).map(|row| (row, None)).collect(),
            refused: Arc::default(),
        }
    }

    /// Takes in what it showed. Returns the rows that are refused a line for the first time.
    pub(super) fn show(
        &mut self,
        batch: &Batch,
        lines: &mut Lines,
        settings: &Settings,
    ) -> Vec<(u32, Refusal)> {
        if let Some(values) = self.only_ended(batch) {
            self.next = Some(values);
        } else {
            let now = Instant::now();
            self.interval = (now - self.since).max(batch.sweep().interval);
            (self.since, self.next) = (now, Some(Values::of(batch)));
        }
        (self.sweep, self.is_superseded) = (batch.sweep().number, false);
        self.is_new = true;
        self.claim(batch, lines, settings)
    }

    /// What it showed last, without the series that end in a batch that says nothing else: the table is not due in this sweep.
    fn only_ended(&self, batch: &Batch) -> Option<Values> {
        if !batch.has_ended() || batch.values().iter().any(is_point) {
            return None;
        }
        let published = self.published.as_ref();
        let published = published.filter(|it| Arc::ptr_eq(&it.rows, &self.rows));
        let before = self.next.as_ref().or(published.map(|it| &it.batch))?;
        let rows = before.values.iter().zip(batch.values());
        let values = rows.map(|(before, now)| match now {
            Value::Ended => Value::Ended,
            _ => before.clone(),
        });
        Some(Values {
            values: Arc::new(values.collect()),
            times: before.times.clone(),
        })
    }

    pub(super) fn publish(&mut self) {
        if let Some(batch) = self.next.take() {
            self.published = Some(ShownTable {
                rows: Arc::clone(&self.rows),
                batch,
                refused: Arc::clone(&self.refused),
            });
        }
    }

    pub(super) fn shows_any(&self) -> bool {
        let published = self.published.as_ref();
        published.is_some_and(|it| it.batch.values.iter().any(is_point))
    }

    /// Claims lines for the rows that have none and show something; those that have ended give theirs back.
    fn claim(
        &mut self,
        batch: &Batch,
        lines: &mut Lines,
        settings: &Settings,
    ) -> Vec<(u32, Refusal)> {
        let values = batch.values();
        let rows = Arc::clone(&self.rows);
        let text = rows.text(Escaping::Underscores);
        let ended = (0u32..).zip(values).filter(|_| batch.has_ended());
        for (row, _) in ended.filter(|(_, value)| **value == Value::Ended) {
            lines.release((self.address, row), text);
            self.without_line.insert(row, None);
        }
        if self.without_line.is_empty() {
            return Vec::new();
        }
        let address = self.address;
        let mut refused = Vec::new();
        self.without_line.retain(|row, reason| {
            if !is_point(&values[*row as usize]) {
                return true;
            }
            let series = &rows.series[*row as usize];
            let claimed = lines.claim((address, *row), series, text, settings);
            let Err(refusal) = claimed else { return false };
            if reason.replace(refusal.0).is_none() {
                refused.push((*row, refusal));
            }
            true
        });
        let all = self.without_line.iter().filter(|(_, why)| why.is_some());
        self.refused = all.map(|(row, _)| *row).collect();
        refused
    }

    /// It is shown no more, until it shows something again.
    pub(super) fn expire(&mut self, lines: &mut Lines) {
        let (published, next) = (self.published.take(), self.next.take());
        if published.is_none() && next.is_none() {
            return;
        }
        self.give_back(lines);
        self.refused = Arc::default();
    }

    /// Its table has been made anew, and is shown in this sweep: unless this part is, too, its rows are elsewhere. Whether
    /// that was not known.
    pub(super) fn supersede(&mut self, sweep: u64, lines: &mut Lines) -> bool {
        let is_newly = self.sweep != sweep && !self.is_superseded;
        if is_newly {
            self.give_back(lines);
            self.is_superseded = true;
        }
        is_newly
    }

    /// What it showed is elsewhere now, where that is so.
    pub(super) fn hide_superseded(&mut self) {
        if self.is_superseded {
            (self.published, self.next) = (None, None);
        }
    }

    /// Gives all lines back, to claim them again when it is shown again.
    fn give_back(&mut self, lines: &mut Lines) {
        self.release(lines);
        let rows = numbers(self.rows.series.len());
        self.without_line = rows.map(|row| (row, None)).collect();
    }

    /// Counts the points of rows that were refused a line.
    pub(super) fn count_left_out(&self, values: &[Value], counters: &Counters) -> u64 {
        let mut left_out = 0;
        for (row, reason) in &self.without_line {
            if let (Some(reason), true) = (reason, is_point(&values[*row as usize])) {
                counters.dropped(*reason, 1);
                left_out += 1;
            }
        }
        left_out
    }

    /// Gives all lines back.
    pub(super) fn release(&self, lines: &mut Lines) {
        let text = self.rows.text(Escaping::Underscores);
        let rows = numbers(self.rows.series.len());
        rows.for_each(|row| lines.release((self.address, row), text));
    }
}

/// Those of so many rows.
fn numbers(rows: usize) -> std::ops::Range<u32> {
    0..u32::try_from(rows).unwrap_or(u32::MAX)
}

/// Whether it is to be written. The end of a series shows by its absence.
fn is_point(value: &Value) -> bool {
    !matches!(value, Value::Absent | Value::Ended)
}
