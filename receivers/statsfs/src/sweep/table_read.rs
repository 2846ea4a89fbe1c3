//! A table that is being read: by one job, and by further ones where a file takes long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use pipeline::{Budget, Times, Value, now_unix_nano};

use crate::read::{FdCache, Job, Precedence, ReadFailure, Readings, Selection};
use crate::root::Root;
use crate::tables::{PendingBatch, TableState};

/// A table that is read within this time has one timestamp for all rows.
const SAME_TIME_NANOS: u64 = 1_000_000;

pub(super) struct TableRead {
    pub(super) subsystem: Arc<str>,
    pub(super) pending: PendingBatch,
    pub(super) deadline: Instant,
    root: Option<Arc<Root>>,
    fd_budget: Budget,
    /// The jobs that are out, by number.
    jobs: BTreeMap<u64, JobState>,
    /// Those of the first job, once it is done.
    fds: Option<FdCache>,
    readings: Vec<FinishedPart>,
    /// Whether rows may have been left out; and whether that was behind a file that did not answer.
    is_cut: bool,
    is_stalled: bool,
    /// Whether the first job took all the time that there was.
    is_first_cut: bool,
    /// Rows that were given up, and those whose numbers stand for no value: they were reached.
    stuck: Vec<u32>,
    absent: Vec<u32>,
}

/// What a job has read, with its number.
type FinishedPart = (u64, Selection, Readings);

struct JobState {
    selection: Selection,
    /// The job that reads the rows again that this one has read, in case it does not come back.
    second: Option<u64>,
}

/// What was read of a table.
pub(super) struct TableReadings {
    /// One per row.
    pub(super) values: Vec<Value>,
    pub(super) times: Times,
    /// Sorted.
    pub(super) failures: Vec<(u32, ReadFailure)>,
    /// Rows whose files took long, with the job that read each; sorted.
    pub(super) slow: Vec<(u32, u64)>,
}

impl TableRead {
    pub(super) fn new(
        subsystem: Arc<str>,
        pending: PendingBatch,
        first_job: &Job,
        fd_budget: Budget,
    ) -> TableRead {
        TableRead {
            subsystem,
            pending,
            deadline: first_job.deadline,
            root: first_job.root.clone(),
            fd_budget,
            jobs: BTreeMap::new(),
            fds: None,
            readings: Vec::with_capacity(1),
            is_cut: false,
            is_stalled: false,
            is_first_cut: false,
            stuck: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// A job for some of its rows, which keeps nothing open.
    pub(super) fn share(&self, rows: &[u32], precedence: Precedence) -> Job {
        Job {
            rows: Arc::clone(&self.pending.rows),
            root: self.root.clone(),
            keep_open: false,
            fds: FdCache::new(self.fd_budget.clone()),
            selection: Selection::These(rows.into()),
            precedence,
            deadline: self.deadline,
            readings: Readings::default(),
        }
    }

    /// A job is out.
    pub(super) fn add_job(&mut self, number: u64, selection: Selection) {
        let second = None;
        self.jobs.insert(number, JobState { selection, second });
    }

    pub(super) fn jobs(&self) -> Vec<u64> {
        self.jobs.keys().copied().collect()
    }

    /// Whether no job is out.
    pub(super) fn is_finished(&self) -> bool {
        self.jobs.is_empty()
    }

    /// What this job has read, and what it has not, when it is at this row.
    pub(super) fn split_at(&self, number: u64, row: u32) -> Option<(Vec<u32>, Vec<u32>)> {
        let row_count = u32::try_from(self.pending.table.len()).ok()?;
        self.jobs.get(&number)?.selection.split_at(row, row_count)
    }

    /// `number` does not come on; `second` reads again what it has read.
    pub(super) fn set_second(&mut self, number: u64, second: u64) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.second = Some(second);
        }
    }

    /// One of its files does not answer.
    pub(super) fn set_stalled(&mut self) {
        self.is_stalled = true;
    }

    /// A row's file was given up.
    pub(super) fn set_stuck(&mut self, row: u32) {
        self.stuck.push(row);
    }

    /// A job is done. Returns the one that is needed no more, since it was to read the same again.
    pub(super) fn finish_job(&mut self, number: u64, job: Job) -> Option<u64> {
        let state = self.jobs.remove(&number)?;
        self.is_cut |= job.readings.timed_out;
        self.absent.extend(&job.readings.absent);
        if matches!(state.selection, Selection::All { .. }) {
            self.fds = Some(job.fds);
            self.is_first_cut = job.readings.timed_out;
        }
        self.readings.push((number, state.selection, job.readings));
        state.second
    }

    /// A job is no longer waited for; `job` where no reader had begun it.
    pub(super) fn give_up_job(&mut self, number: u64, job: Option<Job>) {
        let state = self.jobs.remove(&number);
        let is_first = state.is_some_and(|it| matches!(it.selection, Selection::All { .. }));
        if is_first {
            self.fds = job.map(|job| job.fds);
        }
        self.is_cut = true;
    }

    /// A job is not needed: another one has read its rows.
    pub(super) fn drop_job(&mut self, number: u64) {
        self.jobs.remove(&number);
    }

    /// Puts together what the jobs have read, and tells the table. Returns the rows that were not reached in time, too.
    pub(super) fn finish(&mut self, table: Option<&mut TableState>) -> (TableReadings, Vec<u32>) {
        let read = self.merge();
        self.absent.sort_unstable();
        let missed = self.missed(&read);
        if let Some(table) = table {
            table.finish_read(self.fds.take());
            for (row, _) in &self.pending.actions.apart {
                let is_slow = read.slow.binary_search_by_key(row, |(row, _)| *row).is_ok();
                let is_missed = missed.binary_search(row).is_ok();
                // Where the other rows take all the time, its turn apart from them would never come.
                if (is_missed && self.is_first_cut) || (!is_missed && !is_slow) {
                    table.clear_slow(*row);
                }
            }
            for (row, job) in &read.slow {
                table.set_slow(*row, *job);
            }
            table.set_missed(&missed, self.is_stalled && !self.is_first_cut);
        }
        (read, missed)
    }

    fn merge(&mut self) -> TableReadings {
        let row_count = self.pending.table.len();
        let mut parts = std::mem::take(&mut self.readings);
        let is_first = |(_, it, _): &FinishedPart| matches!(it, Selection::All { .. });
        let first = parts.iter().position(is_first);
        let first = first.map(|at| parts.swap_remove(at));
        let (number, mut first) =
            first.map_or_else(Default::default, |(number, _, it)| (number, it));
        let mut slow: Vec<(u32, u64)> = first.slow.iter().map(|row| (*row, number)).collect();
        first.values.resize(row_count, Value::Absent);
        if first.last_time == 0 {
            first.last_time = now_unix_nano();
        }
        let mut each = self.row_times(&first, parts.is_empty());
        for (number, selection, part) in parts {
            let Selection::These(rows) = selection else {
                continue;
            };
            for ((row, value), time) in rows.iter().zip(part.values).zip(part.times) {
                if value != Value::Absent {
                    first.values[*row as usize] = value;
                    each[*row as usize] = time;
                }
            }
            first.failures.extend(part.failures);
            slow.extend(part.slow.iter().map(|row| (*row, number)));
        }
        first
            .failures
            .retain(|(row, _)| first.values[*row as usize] == Value::Absent);
        first.failures.sort_unstable_by_key(|(row, _)| *row);
        first.failures.dedup_by_key(|(row, _)| *row);
        slow.sort_unstable();
        TableReadings {
            values: first.values,
            times: if each.is_empty() {
                Times::One(first.last_time)
            } else {
                Times::Each(each.into())
            },
            failures: first.failures,
            slow,
        }
    }

    /// When the first job read each row; empty where one time is enough for all.
    fn row_times(&self, first: &Readings, is_alone: bool) -> Vec<u64> {
        if is_alone && first.last_time.abs_diff(first.first_time) <= SAME_TIME_NANOS {
            return Vec::new();
        }
        let mut each = Vec::with_capacity(first.values.len());
        for (group, time) in self.pending.rows.groups.iter().zip(&first.times) {
            let time = if *time == 0 { first.last_time } else { *time };
            each.resize(group.end as usize, time);
        }
        each.resize(first.values.len(), first.last_time);
        each
    }

    /// The rows that were to be read and were not reached in time.
    fn missed(&self, read: &TableReadings) -> Vec<u32> {
        if !self.is_cut {
            return Vec::new();
        }
        let actions = &self.pending.actions;
        let is_missed = |row: &u32| {
            read.values[*row as usize] == Value::Absent
                && !self.stuck.contains(row)
                && self.absent.binary_search(row).is_err()
                && read
                    .failures
                    .binary_search_by_key(row, |(row, _)| *row)
                    .is_err()
                && (actions.skip.binary_search(row).is_err()
                    || actions
                        .apart
                        .binary_search_by_key(row, |(row, _)| *row)
                        .is_ok())
        };
        let all = 0..u32::try_from(read.values.len()).unwrap_or(u32::MAX);
        all.filter(is_missed).collect()
    }
}
