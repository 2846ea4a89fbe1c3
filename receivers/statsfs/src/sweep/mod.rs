//! Sweeps: each subsystem is swept on its own, one table after the other, the subsystem with the shortest interval
//! first. No sweep of a subsystem begins before its last one is over.

mod budget;
mod failures;
mod inspect;
mod slow;
mod stuck;
mod subsystems;
mod table_read;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::telemetry::Counter;
use pipeline::{Batch, Context, LeftOut, Sweep, Value, Want};

use crate::counters::FILES_FAILED;
use crate::discovery::OpenRoot;
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::read::{FinishedJob, Job, ReadFailure, ReaderPool, Reason};
use crate::root::Root;
use crate::tables::{PendingBatch, TableId, Tables, want_interval};

use failures::FailedSweep;
use stuck::AbandonedJob;
use subsystems::Subsystems;
use table_read::TableRead;

/// All sweeps of a receiver.
pub(crate) struct Sweeps {
    plan: Arc<Plan>,
    context: Context,
    failure_log: FailureLog,
    pub(crate) tables: Tables,
    readers: ReaderPool,
    root: Option<SweepRoot>,
    /// Whether there is one sweep only.
    once: bool,
    active: BTreeMap<Arc<str>, SweepState>,
    /// The turns of the sweeps that have tables to be read, one each; of those that have ended meanwhile too.
    turns: BinaryHeap<Reverse<Turn>>,
    /// For how long sending has waited in all: no sweep's time.
    held_up: Duration,
    reads: HashMap<TableId, TableRead>,
    /// The table that a job reads.
    jobs: HashMap<u64, TableId>,
    /// Jobs that their sweeps no longer wait for.
    abandoned: HashMap<u64, AbandonedJob>,
    pub(crate) subsystems: Subsystems,
    /// The rows that gave no value, where that is asked.
    pub(crate) no_value: Vec<LeftOut>,
}

/// The root of the tree, and how its files are read.
struct SweepRoot {
    root: Arc<Root>,
    keep_open: bool,
    /// Whether EPERM means lockdown here.
    locked_down: bool,
}

/// A sweep that is under way.
struct SweepState {
    number: u64,
    queue: VecDeque<TableId>,
    /// How many tables are being read.
    in_flight: usize,
    /// When it times out, if sending waits no more than it has (the second one); set when its first table is read.
    deadline: Option<(Instant, Duration)>,
    cpu: Duration,
}

/// What is read next: of the sweep with the shortest interval; among equals, with the highest priority; then, of the oldest
/// sweep, so that under overload every subsystem gets its turn.
type Turn = (Duration, Reverse<i32>, u64, Arc<str>);

impl Sweeps {
    pub(crate) fn new(
        plan: Arc<Plan>,
        context: Context,
        failure_log: FailureLog,
        readers: ReaderPool,
        once: bool,
    ) -> Sweeps {
        let tables = Tables::new(context.clone(), plan.limits.series);
        let subsystems = Subsystems::new(Arc::clone(&plan), context.clone());
        Sweeps {
            plan,
            context,
            failure_log,
            tables,
            readers,
            root: None,
            once,
            active: BTreeMap::new(),
            turns: BinaryHeap::new(),
            held_up: Duration::ZERO,
            reads: HashMap::new(),
            jobs: HashMap::new(),
            abandoned: HashMap::new(),
            subsystems,
            no_value: Vec::new(),
        }
    }

    /// Whether no sweep is under way, or none can go on: all threads wait for files that do not answer.
    pub(crate) fn is_idle(&self) -> bool {
        self.active.is_empty() || (self.reads.is_empty() && self.readers.is_halted())
    }

    /// Whether a job is queued or being read, but for those of files that were given up.
    pub(crate) fn is_reading(&self) -> bool {
        !self.jobs.is_empty() || self.abandoned.values().any(|it| !it.given_up)
    }

    /// Sets the root for the next jobs; without one, sweeps only end series.
    pub(crate) fn set_root(&mut self, open_root: Option<OpenRoot>) {
        self.root = open_root.map(|open_root| SweepRoot {
            root: open_root.root,
            keep_open: self.plan.keeps_open(&open_root.filesystem),
            locked_down: matches!(&*open_root.filesystem, "debugfs" | "tracefs"),
        });
    }

    /// Starts the sweeps that are due at this tick. A subsystem whose last sweep is not over is skipped and counted.
    pub(crate) fn tick(&mut self, number: u64) {
        let names: Vec<Arc<str>> = self.tables.subsystems().cloned().collect();
        let tables = &self.tables;
        let interval = |name: &str| tables.interval(name, self.plan.interval);
        let skip_factors = self.subsystems.skip_factors(&names, interval);
        let (mut any_started, mut any_overrun) = (false, false);
        for (name, skip_factor) in names.into_iter().zip(skip_factors) {
            if self.active.contains_key(&name) {
                self.subsystems.count_skipped(&name, "overrun");
                any_overrun = true;
                continue;
            }
            if skip_factor > 1 && self.was_swept(&name, number, skip_factor) {
                self.subsystems.count_skipped(&name, "max_cpu_percent");
                continue;
            }
            if self.update_suspended(&name) {
                self.subsystems.count_skipped(&name, "stuck");
                continue;
            }
            any_started = true;
            let queue = VecDeque::from(self.tables.due(&name, number, self.plan.interval));
            self.subsystems.record_start(&name, number);
            if queue.is_empty() {
                continue;
            }
            for id in &queue {
                if let Some(table) = self.tables.get_mut(*id) {
                    table.rebuild();
                }
            }
            let sweep = SweepState {
                number,
                queue,
                in_flight: 0,
                deadline: None,
                cpu: Duration::ZERO,
            };
            self.active.insert(Arc::clone(&name), sweep);
            self.take_turn(name);
        }
        let counter = if any_overrun && !any_started {
            Counter::SWEEPS_SKIPPED
        } else {
            Counter::SWEEPS
        };
        self.context.counters.record(counter, 1);
    }

    /// Whether a subsystem was already swept in this group of `skip_factor` turns; a turn may be several ticks.
    fn was_swept(&self, subsystem: &str, number: u64, skip_factor: u32) -> bool {
        let tick = self.plan.interval;
        let want = Want::Every(self.tables.interval(subsystem, tick));
        let turn = |number| {
            want.turn(number, tick)
                .map(|it| it / u64::from(skip_factor))
        };
        let last = self.subsystems.last_sweep(subsystem);
        last.is_some_and(|last| turn(last) == turn(number))
    }

    /// Submits jobs while the reader pool has room.
    pub(crate) fn dispatch(&mut self) -> std::io::Result<()> {
        self.share_long_jobs()?;
        while self.readers.has_room() {
            let Some((subsystem, id)) = self.next_table() else {
                return Ok(());
            };
            let started = self.start_table(&subsystem, id);
            let sweep = self.active.get_mut(&subsystem);
            let Some((job, pending)) = started else {
                // The table is gone, or a reader still has its descriptors.
                if sweep.is_some_and(|it| it.in_flight == 0 && it.queue.is_empty()) {
                    self.finish_sweep(&subsystem);
                }
                continue;
            };
            if let Some(sweep) = sweep {
                sweep.in_flight += 1;
            }
            let budget = self.context.fd_budget.clone();
            let read = TableRead::new(subsystem, pending, &job, budget);
            self.submit_table(id, read, job)?;
        }
        Ok(())
    }

    /// The next table to read.
    fn next_table(&mut self) -> Option<(Arc<str>, TableId)> {
        while let Some(Reverse((_, _, number, name))) = self.turns.pop() {
            let sweep = self.active.get_mut(&name);
            let sweep = sweep.filter(|sweep| sweep.number == number);
            if let Some(id) = sweep.and_then(|sweep| sweep.queue.pop_front()) {
                self.take_turn(Arc::clone(&name));
                return Some((name, id));
            }
        }
        None
    }

    /// A sweep waits for the turn of its next table, if it has one.
    fn take_turn(&mut self, name: Arc<str>) {
        let Some((sweep, next)) = self
            .active
            .get(&name)
            .and_then(|it| Some((it, it.queue.front()?)))
        else {
            return;
        };
        let table = self.tables.get(*next);
        let interval = table.map_or(Duration::MAX, |table| want_interval(table.want));
        let priority = Reverse(self.subsystems.priority(&name));
        self.turns
            .push(Reverse((interval, priority, sweep.number, name)));
    }

    fn start_table(&mut self, subsystem: &str, id: TableId) -> Option<(Job, PendingBatch)> {
        let keep_open = self.root.as_ref().is_some_and(|root| root.keep_open);
        let sweep = self.active.get_mut(subsystem)?;
        let (deadline, held_up) = *sweep
            .deadline
            .get_or_insert_with(|| (Instant::now() + self.plan.timeout, self.held_up));
        let deadline = deadline + self.held_up.saturating_sub(held_up);
        let table = self.tables.get_mut(id)?;
        if keep_open {
            let (wanted, want) = (table.len().saturating_sub(table.open_fds()), table.want);
            self.tables.free_descriptors(wanted, want);
        }
        let table = self.tables.get_mut(id)?;
        let root = self.root.as_ref().map(|root| Arc::clone(&root.root));
        table.start_read(
            sweep.number,
            self.plan.interval,
            (root, keep_open),
            deadline,
        )
    }

    /// Collects the finished jobs; returns their batches.
    pub(crate) fn collect(&mut self) -> Result<Vec<Batch>, &'static str> {
        let mut batches = Vec::new();
        for FinishedJob(number, job) in self.readers.take_finished() {
            let job = job.ok_or("a reading thread has broken down")?;
            batches.extend(self.finish_job(number, job));
        }
        Ok(batches)
    }

    fn finish_job(&mut self, number: u64, job: Job) -> Option<Batch> {
        if let Some(abandoned) = self.abandoned.remove(&number) {
            // The file has answered, too late for its sweep.
            if let Some(table) = self.tables.get_mut(abandoned.table) {
                table.clear_stuck(number, abandoned.given_up);
            }
            if abandoned.given_up {
                self.count_stuck();
            }
            return None;
        }
        let id = self.jobs.remove(&number)?;
        let read = self.reads.get_mut(&id)?;
        self.subsystems.count_read(&read.subsystem, &job.readings);
        if let Some(sweep) = self.active.get_mut(&read.subsystem) {
            sweep.cpu += job.readings.cost.cpu;
        }
        if let Some(second) = read.finish_job(number, job) {
            self.drop_queued_job(id, second);
        }
        self.finish_table(id)
    }

    /// The batch of a table whose jobs are all done.
    fn finish_table(&mut self, id: TableId) -> Option<Batch> {
        if !self.reads.get(&id)?.is_finished() {
            return None;
        }
        let mut read = self.reads.remove(&id)?;
        let subsystem = Arc::clone(&read.subsystem);
        let sweep = self.end_table(&subsystem)?;
        let table = self.tables.get_mut(id);
        let (mut readings, missed) = read.finish(table);
        let TableRead { pending, .. } = read;
        if let Some(table) = self.tables.get_mut(id) {
            for row in &missed {
                let (reason, path) = (Reason::Timeout, || table.path(*row));
                self.failure_log
                    .record(FILES_FAILED, reason.name(), reason.cause(), path);
            }
            let failed_sweep = FailedSweep {
                number: sweep.number,
                tick: self.plan.interval,
                once: self.once,
                locked_down: self.root.as_ref().is_some_and(|root| root.locked_down),
            };
            let (failures, values) = (&readings.failures, &readings.values);
            failed_sweep.record(table, failures, values, &pending.actions, &self.failure_log);
            table.set_tried(values.len());
            if self.plan.inspects {
                let left_out = inspect::left_out(table, &missed, failures, failed_sweep);
                self.no_value.extend(left_out);
            }
        }
        let none_left = |(_, failure): &(u32, ReadFailure)| *failure == ReadFailure::NoDescriptor;
        if readings.failures.iter().any(none_left) {
            self.tables.close_all();
        }
        for row in &pending.actions.ended {
            readings.values[*row as usize] = Value::Ended;
        }
        let want = self.tables.get(id).map_or(Want::Always, |it| it.want);
        if sweep.last {
            self.finish_sweep(&subsystem);
        }
        let (table, starts) = (pending.table, pending.starts);
        let batch = Batch::new(table, starts, readings.times, readings.values, sweep);
        Some(batch.with_interval(want.interval(sweep.tick)))
    }

    /// One table of this sweep is finished; returns its place in the sweep.
    fn end_table(&mut self, subsystem: &str) -> Option<Sweep> {
        let sweep = self.active.get_mut(subsystem)?;
        sweep.in_flight -= 1;
        let last = sweep.in_flight == 0 && sweep.queue.is_empty();
        Some(Sweep::new(sweep.number, self.plan.interval, last))
    }

    /// The sweep of a subsystem is over.
    fn finish_sweep(&mut self, subsystem: &Arc<str>) {
        if let Some(sweep) = self.active.remove(subsystem) {
            self.subsystems.record_end(subsystem, sweep.cpu);
        }
        if self.tables.remove_finished_tables(subsystem) {
            self.subsystems.remove(subsystem);
        }
        if self.active.is_empty() {
            self.failure_log.flush();
        }
    }

    /// Sending waited for the components downstream: this time does not count for the timeouts of the sweeps.
    pub(crate) fn extend_deadlines(&mut self, time: Duration) {
        self.held_up += time;
    }
}
