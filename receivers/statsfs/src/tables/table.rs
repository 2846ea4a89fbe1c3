//! One table: its rows, their states, and the jobs that read them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Budget, Head, Series, Source, Table, Want};

use super::row_state::{RowActions, RowState, RowStates};
use crate::directory_id::DirectoryId;
use crate::discovery::{DirectoryRef, DiscoveredFile};
use crate::read::{FdCache, Job, Readings, RowGroup, Rows};
use crate::root::Root;

/// A table, and the state of its rows.
#[derive(Debug)]
pub(crate) struct TableState {
    head: Arc<Head>,
    /// How often each output wants it; a table is due as a whole.
    pub(crate) wants: Arc<[Want]>,
    pub(crate) want: Want,
    pub(crate) last_turn: Option<u64>,
    rows: Arc<Rows>,
    /// Shared with the snapshot.
    series: Arc<Vec<Series>>,
    /// The table as it is sent; none before it is first rebuilt.
    snapshot: Option<TableSnapshot>,
    /// Whether rows were added or changed since the snapshot.
    outdated: bool,
    /// Rows that are not read at each sweep.
    row_states: RowStates,
    tombstones: usize,
    /// `None` while a reader has them.
    fds: Option<FdCache>,
    /// Rows that ended while a reader had the descriptors.
    ended_while_read: Vec<u32>,
    fd_budget: Budget,
}

/// A table as it is sent: it stays the same for a whole sweep, whatever changes meanwhile.
#[derive(Clone, Debug)]
struct TableSnapshot {
    table: Arc<Table>,
    starts: Arc<[u64]>,
    rows: Arc<Rows>,
}

/// What is sent when a job is done.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    pub(crate) table: Arc<Table>,
    pub(crate) starts: Arc<[u64]>,
    pub(crate) rows: Arc<Rows>,
    /// Rows whose series end.
    pub(crate) ended: Vec<u32>,
    /// Rows that failed before and are tried again.
    pub(crate) retried: Vec<u32>,
}

impl TableState {
    pub(crate) fn new(head: Arc<Head>, wants: Arc<[Want]>, fd_budget: Budget) -> TableState {
        let want = wants.iter().copied().fold(Want::Never, Want::or);
        TableState {
            head,
            wants,
            want,
            last_turn: None,
            rows: Arc::default(),
            series: Arc::default(),
            snapshot: None,
            outdated: true,
            row_states: RowStates::default(),
            tombstones: 0,
            fds: Some(FdCache::new(fd_budget.clone())),
            ended_while_read: Vec::new(),
            fd_budget,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn live_count(&self) -> usize {
        let is_over =
            |(_, it): &(u32, RowState)| matches!(it, RowState::Ending | RowState::Tombstone);
        self.len() - self.row_states.iter().filter(is_over).count()
    }

    /// Whether all rows are tombstones and no reader has it.
    pub(crate) fn is_finished(&self) -> bool {
        self.tombstones == self.len() && self.fds.is_some()
    }

    pub(crate) fn is_last_directory(&self, directory: DirectoryId) -> bool {
        let last = self.rows.groups.last();
        last.is_some_and(|group| group.directory == directory)
    }

    pub(crate) fn add_row(&mut self, directory_ref: &DirectoryRef, discovered: DiscoveredFile) {
        self.outdated = true;
        let rows = Arc::make_mut(&mut self.rows);
        let end = u32::try_from(rows.files.len() + 1).unwrap_or(u32::MAX);
        let same = |group: &&mut RowGroup| group.directory == directory_ref.directory;
        match rows.groups.last_mut().filter(same) {
            Some(group) => group.end = end,
            None => rows.groups.push(RowGroup {
                directory: directory_ref.directory,
                below: Arc::clone(&directory_ref.below),
                end,
            }),
        }
        rows.files.push(discovered.file);
        rows.set_format(end - 1, discovered.format);
        Arc::make_mut(&mut self.series).push(discovered.series);
    }

    /// The live rows of a directory.
    pub(crate) fn live_rows_of(&self, directory: DirectoryId) -> Vec<u32> {
        let mut start = 0;
        let mut all = Vec::new();
        for group in &self.rows.groups {
            let rows = std::mem::replace(&mut start, group.end)..group.end;
            if group.directory == directory {
                all.extend(rows.filter(|row| self.is_live(*row)));
            }
        }
        all
    }

    pub(crate) fn is_live(&self, row: u32) -> bool {
        !matches!(
            self.row_states.get(row),
            Some(RowState::Ending | RowState::Tombstone)
        )
    }

    /// Rows whose files are gone and whose series have not ended yet.
    pub(crate) fn ending_rows(&self) -> impl Iterator<Item = u32> {
        let ending = |(row, state)| (state == RowState::Ending).then_some(row);
        self.row_states.iter().filter_map(ending)
    }

    pub(crate) fn file(&self, row: u32) -> &std::ffi::CStr {
        &self.rows.files[row as usize]
    }

    pub(crate) fn series(&self, row: u32) -> &Series {
        &self.series[row as usize]
    }

    pub(crate) fn live_rows(&self) -> Vec<u32> {
        let all = 0..u32::try_from(self.len()).unwrap_or(u32::MAX);
        all.filter(|row| self.is_live(*row)).collect()
    }

    /// The path of a row's file below the root.
    pub(crate) fn path(&self, row: u32) -> String {
        let source = self.series[row as usize].source.as_ref();
        source.map(Source::path).unwrap_or_default()
    }

    /// Replaces a row's series. A stuck file stays stuck.
    pub(crate) fn change_row(&mut self, row: u32, discovered: DiscoveredFile) {
        self.outdated = true;
        if !matches!(self.row_states.get(row), Some(RowState::Stuck(_))) {
            self.row_states.remove(row);
        }
        Arc::make_mut(&mut self.rows).set_format(row, discovered.format);
        Arc::make_mut(&mut self.series)[row as usize] = discovered.series;
    }

    /// A row's file is gone: closes its descriptor and marks the row as ending.
    pub(crate) fn end_row(&mut self, row: u32) {
        self.row_states.set(row, RowState::Ending);
        if self.fds.is_some() {
            self.close_row(row);
        } else {
            self.ended_while_read.push(row);
        }
    }

    /// Another row continues this one's series. This table is rebuilt and sent before the other one: components that know the
    /// series by its table then forget it first.
    pub(crate) fn tombstone(&mut self, row: u32) {
        self.row_states.set(row, RowState::Tombstone);
        self.tombstones += 1;
        (self.outdated, self.last_turn) = (true, None);
    }

    pub(crate) fn row_state(&self, row: u32) -> Option<RowState> {
        self.row_states.get(row)
    }

    pub(crate) fn set_row_state(&mut self, row: u32, state: RowState) {
        self.row_states.set(row, state);
    }

    /// A row that failed was read: ends its back-off. A row that has ended stays so.
    pub(crate) fn clear_back_off(&mut self, row: u32) {
        if self.is_live(row) {
            self.row_states.remove(row);
        }
    }

    /// The file that this job waited for has answered.
    pub(crate) fn clear_stuck(&mut self, job: u64) {
        self.row_states.clear_stuck(job);
    }

    /// All rows that are backed off are tried again at the next sweep.
    pub(crate) fn retry_all(&mut self) {
        self.row_states.retry_all();
    }

    /// Whether this sweep includes the table.
    pub(crate) fn is_due(&self, number: u64, tick: Duration) -> bool {
        let turn = self.want.turn(number, tick);
        turn.is_some() && turn != self.last_turn && self.fds.is_some()
    }

    /// The job that reads its rows, and the batch that is sent afterwards. `None` while a reader has it.
    pub(crate) fn start_read(
        &mut self,
        number: u64,
        tick: Duration,
        (root, keep_open): (Option<Arc<Root>>, bool),
        deadline: Instant,
    ) -> Option<(Job, PendingBatch)> {
        let TableSnapshot {
            table,
            starts,
            rows,
        } = self.snapshot.clone()?;
        let fds = self.fds.take()?;
        self.last_turn = self.want.turn(number, tick);
        let row_count = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let RowActions {
            skip,
            ended,
            retried,
        } = self.row_states.plan_sweep(row_count, number);
        self.tombstones += ended.len();
        let job = Job {
            rows: Arc::clone(&rows),
            root,
            keep_open,
            fds,
            skip,
            deadline,
            readings: Readings::default(),
        };
        let pending = PendingBatch {
            table,
            starts,
            rows,
            ended,
            retried,
        };
        Some((job, pending))
    }

    /// Rebuilds the snapshot where rows were added or changed, or where more than a quarter are tombstones. Tombstones
    /// leave the table then.
    pub(crate) fn rebuild(&mut self) {
        let Some(fds) = &mut self.fds else { return };
        if !self.outdated && self.tombstones * 4 <= self.series.len() {
            return;
        }
        self.outdated = false;
        if self.tombstones > 0 {
            let row_states = &self.row_states;
            let stays = |row: u32| row_states.get(row) != Some(RowState::Tombstone);
            fds.retain(&self.rows, stays);
            let mut rows = 0..;
            let series = Arc::make_mut(&mut self.series);
            series.retain(|_| rows.next().is_some_and(stays));
            series.shrink_to_fit();
            self.rows = Arc::new(self.rows.filtered(stays));
            self.row_states.remove_tombstones();
            self.tombstones = 0;
        }
        self.snapshot = Some(TableSnapshot {
            table: Table::shared(Arc::clone(&self.head), Arc::clone(&self.series)),
            // What is known of them stands in the series' sources.
            starts: vec![0; self.series.len()].into(),
            rows: Arc::clone(&self.rows),
        });
    }

    /// Takes the descriptors back from a reader; closes those of rows that ended meanwhile.
    pub(crate) fn finish_read(&mut self, fds: FdCache) {
        self.fds = Some(fds);
        for row in std::mem::take(&mut self.ended_while_read) {
            self.close_row(row);
        }
    }

    /// Its descriptors stay with a reader that is stuck; these series have not ended yet.
    pub(crate) fn abandon_read(&mut self, ended: &[u32]) {
        for row in ended {
            self.row_states.set(*row, RowState::Ending);
            self.tombstones -= 1;
        }
        self.fds = Some(FdCache::new(self.fd_budget.clone()));
        self.ended_while_read.clear();
    }

    /// How many descriptors are open.
    pub(crate) fn open_fds(&self) -> usize {
        self.fds.as_ref().map_or(0, FdCache::open_count)
    }

    pub(crate) fn close_all(&mut self) {
        if let Some(fds) = &mut self.fds {
            fds.close_all();
        }
    }

    /// Closes a row's descriptor, and that of its directory if no row there is live.
    fn close_row(&mut self, row: u32) {
        let group = self.rows.groups.partition_point(|group| group.end <= row);
        let start = group
            .checked_sub(1)
            .map_or(0, |before| self.rows.groups[before].end);
        let any_live = self
            .rows
            .groups
            .get(group)
            .is_some_and(|group| (start..group.end).any(|row| self.is_live(row)));
        if let Some(fds) = &mut self.fds {
            fds.close_file(row);
            if !any_live {
                fds.close_directory(group);
            }
        }
    }
}
