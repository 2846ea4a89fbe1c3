//! The tables of a receiver. Each has the series of some directories that are wanted equally often.

mod row_state;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Context, Head, Want};

use crate::directory_id::DirectoryId;
use crate::discovery::{DirectoryRef, DiscoveredFile};
pub(crate) use row_state::{RowActions, RowState};
pub(crate) use table::{PendingBatch, TableState};

/// The maximum of rows in a table.
const MAX_ROWS: usize = 4096;

/// A table's number, never used twice.
pub(crate) type TableId = u64;

/// All tables of a receiver.
#[derive(Debug)]
pub(crate) struct Tables {
    context: Context,
    by_id: HashMap<TableId, TableState>,
    next_id: TableId,
    /// The tables of each subsystem, in order of creation.
    subsystems: BTreeMap<Arc<str>, Vec<TableId>>,
    /// The tables that have rows of a directory.
    directories: HashMap<DirectoryId, Vec<TableId>>,
    table_numbers: HashMap<Arc<str>, usize>,
    series: usize,
    max_series: usize,
    /// Ending rows by the identities of their series, once computed: a new row may continue such a series.
    ending: Option<HashMap<u128, (TableId, u32)>>,
    /// Files beyond `limits.series`; a rescan offers them again.
    pub(crate) refused: BTreeSet<(DirectoryId, Arc<CString>)>,
    /// How many files were refused since this was last taken, and the path of the first.
    pub(crate) newly_refused: Option<(u64, String)>,
}

impl Tables {
    pub(crate) fn new(context: Context, max_series: usize) -> Tables {
        Tables {
            context,
            by_id: HashMap::new(),
            next_id: 0,
            subsystems: BTreeMap::new(),
            directories: HashMap::new(),
            table_numbers: HashMap::new(),
            series: 0,
            max_series,
            ending: None,
            refused: BTreeSet::new(),
            newly_refused: None,
        }
    }

    pub(crate) fn get_mut(&mut self, id: TableId) -> Option<&mut TableState> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn get(&self, id: TableId) -> Option<&TableState> {
        self.by_id.get(&id)
    }

    /// The interval between sweeps of a subsystem, by how often its tables are wanted.
    pub(crate) fn interval(&self, subsystem: &str, tick: Duration) -> Duration {
        let ids = self.subsystems.get(subsystem).into_iter().flatten();
        let intervals = ids.map(|id| want_interval(self.by_id[id].want).max(tick));
        intervals.min().unwrap_or(tick)
    }

    /// Closes all descriptors and keeps no more open: the process has fewer than expected.
    pub(crate) fn close_all(&mut self) {
        self.by_id.values_mut().for_each(TableState::close_all);
        self.context.fd_budget.exhaust();
    }

    /// The subsystems, sorted.
    pub(crate) fn subsystems(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subsystems.keys()
    }

    /// The number of live series by subsystem.
    pub(crate) fn series_by_subsystem(&self) -> Vec<(Arc<str>, usize)> {
        let live = |ids: &Vec<TableId>| ids.iter().map(|id| self.by_id[id].live_count()).sum();
        let counts = self
            .subsystems
            .iter()
            .map(|(name, ids)| (Arc::clone(name), live(ids)));
        counts.filter(|(_, live)| *live > 0).collect()
    }

    /// The tables of a subsystem that are due: those first that the last sweep did not reach in time, else in order of creation.
    pub(crate) fn due(&self, subsystem: &str, number: u64, tick: Duration) -> Vec<TableId> {
        let ids = self.subsystems.get(subsystem).into_iter().flatten();
        let due = ids.filter(|id| self.by_id[id].is_due(number, tick));
        let mut due: Vec<TableId> = due.copied().collect();
        due.sort_by_key(|id| self.by_id[id].urgency());
        due
    }

    /// A scan begins: since the last one, series have ended and rows have moved.
    pub(crate) fn forget_ending_rows(&mut self) {
        self.ending = None;
    }

    /// All files of a directory are gone.
    pub(crate) fn remove_directory(&mut self, directory: DirectoryId) {
        for id in self.directories.remove(&directory).unwrap_or_default() {
            let rows = self
                .by_id
                .get(&id)
                .map(|table| table.live_rows_of(directory));
            rows.into_iter()
                .flatten()
                .for_each(|row| self.end_row(id, row));
        }
    }

    /// A file is gone. It is no longer offered again if it was refused, else it would be added twice once it is back.
    pub(crate) fn remove_file(&mut self, directory: DirectoryId, file: &Arc<CString>) {
        self.refused.remove(&(directory, Arc::clone(file)));
        if let Some((id, row)) = self.find_row(directory, file) {
            self.end_row(id, row);
        }
    }

    /// A file's series has changed; `wants` is how often it is wanted now. It may be wanted for the first time.
    pub(crate) fn change_file(
        &mut self,
        directory_ref: &DirectoryRef,
        discovered: DiscoveredFile,
        wants: &Arc<[Want]>,
    ) {
        let is_wanted = wants.iter().any(|want| *want != Want::Never);
        match self.find_row(directory_ref.directory, &discovered.file) {
            Some((id, row)) if !is_wanted => self.end_row(id, row),
            Some((id, row)) => {
                if let Some(table) = self.by_id.get_mut(&id) {
                    table.change_row(row, discovered);
                }
            }
            None if is_wanted => {
                let file = (directory_ref.directory, Arc::clone(&discovered.file));
                self.refused.remove(&file);
                self.add_file(directory_ref, discovered, wants);
            }
            None => {}
        }
    }

    /// Ends every series: the root is gone.
    pub(crate) fn end_all(&mut self) {
        self.directories.clear();
        self.refused.clear();
        let rows = |(id, table): (&TableId, &TableState)| {
            let id = *id;
            table.live_rows().into_iter().map(move |row| (id, row))
        };
        for (id, row) in self.by_id.iter().flat_map(rows).collect::<Vec<_>>() {
            self.end_row(id, row);
        }
    }

    /// Adds a file that is wanted to the newest table with the same wants; whether there was room for it.
    pub(crate) fn add_file(
        &mut self,
        directory_ref: &DirectoryRef,
        mut discovered: DiscoveredFile,
        wants: &Arc<[Want]>,
    ) -> bool {
        if self.series >= self.max_series {
            let path = || {
                discovered
                    .series
                    .source
                    .as_ref()
                    .map(pipeline::Source::path)
            };
            let refused = self.newly_refused.take();
            let (count, first) = refused.unwrap_or_else(|| (0, path().unwrap_or_default()));
            self.newly_refused = Some((count + 1, first));
            self.refused
                .insert((directory_ref.directory, discovered.file));
            return false;
        }
        if self.take_over_series(&discovered) {
            discovered.forget_creation();
        }
        self.series += 1;
        let id = self.table_for(directory_ref, wants);
        let tables = self.directories.entry(directory_ref.directory).or_default();
        if tables.last() != Some(&id) {
            tables.push(id);
        }
        if let Some(table) = self.by_id.get_mut(&id) {
            table.add_row(directory_ref, discovered);
        }
        true
    }

    /// Removes the finished tables of a subsystem; returns whether the subsystem has no table left.
    pub(crate) fn remove_finished_tables(&mut self, subsystem: &str) -> bool {
        let Some(ids) = self.subsystems.get_mut(subsystem) else {
            return true;
        };
        let is_finished = |id: &TableId| self.by_id.get(id).is_none_or(TableState::is_finished);
        let finished: Vec<TableId> = ids.iter().copied().filter(is_finished).collect();
        ids.retain(|id| !finished.contains(id));
        let is_empty = ids.is_empty();
        if is_empty {
            self.subsystems.remove(subsystem);
            self.table_numbers.remove(subsystem);
        }
        for id in finished {
            self.by_id.remove(&id);
        }
        is_empty
    }

    /// A rescan ends all back-offs.
    pub(crate) fn retry_all(&mut self) {
        self.by_id.values_mut().for_each(TableState::retry_all);
    }

    /// Frees descriptors until this many are available: closes those of tables that are wanted less often, the least often
    /// wanted first.
    pub(crate) fn free_descriptors(&mut self, wanted: usize, want: Want) {
        let fd_budget = self.context.fd_budget.clone();
        if fd_budget.left() >= wanted {
            return;
        }
        let mut rarer: Vec<&mut TableState> = self
            .by_id
            .values_mut()
            .filter(|table| table.open_fds() > 0 && want_interval(table.want) > want_interval(want))
            .collect();
        rarer.sort_by_key(|table| std::cmp::Reverse(want_interval(table.want)));
        for table in rarer {
            if fd_budget.left() >= wanted {
                return;
            }
            table.close_all();
        }
    }

    fn end_row(&mut self, id: TableId, row: u32) {
        if let Some(table) = self.by_id.get_mut(&id) {
            table.end_row(row);
            self.series -= 1;
            self.ending = None;
        }
    }

    /// A series that continues in another directory does not end: the new row replaces the old one. Returns whether there
    /// was an old one.
    fn take_over_series(&mut self, discovered: &DiscoveredFile) -> bool {
        let tables = &self.by_id;
        let ending = self.ending.get_or_insert_with(|| {
            let rows = tables.iter().flat_map(|(id, table)| {
                let rows = table.ending_rows();
                rows.map(|row| (table.series(row).identity(), (*id, row)))
            });
            rows.collect()
        });
        let ended = (!ending.is_empty())
            .then(|| ending.remove(&discovered.series.identity()))
            .flatten();
        if let Some((id, row)) = ended
            && let Some(table) = self.by_id.get_mut(&id)
        {
            table.tombstone(row);
        }
        ended.is_some()
    }

    /// Whether a file has a row that is read.
    pub(crate) fn has_row(&self, directory: DirectoryId, file: &CString) -> bool {
        self.find_row(directory, file).is_some()
    }

    fn find_row(&self, directory: DirectoryId, file: &CString) -> Option<(TableId, u32)> {
        self.directories.get(&directory)?.iter().find_map(|id| {
            let table = self.by_id.get(id)?;
            let mut rows = table.live_rows_of(directory).into_iter();
            let row = rows.find(|row| table.file(*row) == file.as_c_str())?;
            Some((*id, row))
        })
    }

    /// The table for a new row: the newest of its subsystem with the same wants, while it has room for all new files of the
    /// directory; else a new one.
    fn table_for(&mut self, directory_ref: &DirectoryRef, wants: &Arc<[Want]>) -> TableId {
        let ids = self
            .subsystems
            .entry(Arc::clone(&directory_ref.subsystem))
            .or_default();
        let same = |id: &&TableId| self.by_id.get(id).is_some_and(|it| it.wants == *wants);
        let last = ids.iter().rev().find(same).copied();
        let has_room = |id: &TableId| {
            let table = &self.by_id[id];
            let max_rows = if table.is_last_directory(directory_ref.directory) {
                MAX_ROWS
            } else {
                MAX_ROWS - MAX_ROWS / 8
            };
            table.len() < max_rows
        };
        if let Some(id) = last.filter(has_room) {
            return id;
        }
        let number = self
            .table_numbers
            .entry(Arc::clone(&directory_ref.subsystem))
            .or_default();
        let name = format!("{}/{}/{number}", self.context.id, directory_ref.subsystem);
        *number += 1;
        let head = Head::new(
            Arc::clone(&self.context.resource),
            Arc::clone(&self.context.scope),
            Arc::clone(&directory_ref.subsystem),
            name.into(),
        );
        let fd_budget = self.context.fd_budget.clone();
        let table = TableState::new(Arc::new(head), Arc::clone(wants), fd_budget);
        let id = self.next_id;
        self.next_id += 1;
        ids.push(id);
        self.by_id.insert(id, table);
        id
    }
}

/// How often something is wanted, as an interval; zero: at each tick.
pub(crate) fn want_interval(want: Want) -> Duration {
    match want {
        Want::Always => Duration::ZERO,
        Want::Every(interval) => interval,
        Want::Never => Duration::MAX,
    }
}
