//! What is being swept: each subsystem at its own time, one table after the other, the one that is wanted most often
//! first. No sweep of a subsystem begins before the last one is over.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Batch, Context, Counters, Head, Sweep, Table, Times, Value, now_unix_nano};

use crate::budget::{Load, stretches};
use crate::complaints::Complaints;
use crate::job::{Cost, Failure, Job};
use crate::plan::Plan;
use crate::readers::{Done, Readers};
use crate::scan::There;
use crate::table::{Pending, TableState, Trouble};
use crate::tables::{TableId, Tables, every};
use crate::value::Reason;

/// All sweeps of a receiver.
pub(crate) struct Sweeps {
    plan: Arc<Plan>,
    context: Context,
    complaints: Complaints,
    pub(crate) tables: Tables,
    readers: Readers,
    root: Option<Root>,
    running: BTreeMap<Arc<str>, Running>,
    /// Tables that are being read, by the number of their job.
    jobs: HashMap<u64, Under>,
    /// Rows that do not answer, by the job that waits for them.
    stuck: HashMap<u64, (Arc<str>, TableId, u32)>,
    known: HashMap<Arc<str>, Known>,
    /// CPU time of the last check of the tree.
    pub(crate) scan_cpu: Duration,
    said_over_budget: bool,
}

/// The tree's root, and how its files are read.
struct Root {
    open: Arc<OwnedFd>,
    keep: bool,
    /// A refusal means lockdown here.
    locked_down: bool,
}

/// A sweep that is under way.
struct Running {
    number: u64,
    queue: VecDeque<TableId>,
    /// Tables that are being read.
    out: usize,
    /// Since its first table is read, when it has to be over.
    ends: Option<Instant>,
    cpu: Duration,
}

/// A table that is being read.
struct Under {
    subsystem: Arc<str>,
    table: TableId,
    pending: Pending,
}

/// What is remembered of a subsystem.
struct Known {
    counters: Counters,
    priority: i32,
    /// Of its last sweep.
    cpu: Duration,
    last: Option<u64>,
    rests: bool,
}

impl Sweeps {
    pub(crate) fn new(
        plan: Arc<Plan>,
        context: Context,
        complaints: Complaints,
        readers: Readers,
    ) -> Sweeps {
        let tables = Tables::new(context.clone(), plan.limits.series);
        Sweeps {
            plan,
            context,
            complaints,
            tables,
            readers,
            root: None,
            running: BTreeMap::new(),
            jobs: HashMap::new(),
            stuck: HashMap::new(),
            known: HashMap::new(),
            scan_cpu: Duration::ZERO,
            said_over_budget: false,
        }
    }

    /// Whether no sweep is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether a thread is reading, or waits for a file that does not answer.
    pub(crate) fn is_reading(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The root that files are read below from now on; without one there are only ends to be said.
    pub(crate) fn set_root(&mut self, there: Option<&There>) {
        self.root = there.map(|there| Root {
            open: Arc::clone(&there.root),
            keep: self.plan.keeps(&there.filesystem),
            locked_down: matches!(&*there.filesystem, "debugfs" | "tracefs"),
        });
    }

    /// Begins what is due at this tick. A subsystem whose last sweep is not over is skipped, and counted.
    pub(crate) fn tick(&mut self, number: u64) {
        let names: Vec<Arc<str>> = self.tables.subsystems().cloned().collect();
        let stretches = self.stretches(&names);
        let (mut begun, mut busy) = (false, false);
        for (name, stretch) in names.into_iter().zip(stretches) {
            if self.running.contains_key(&name) {
                self.skip(&name, "overrun");
                busy = true;
                continue;
            }
            let stretch = u64::from(stretch);
            let last = self.known[&name].last;
            if last.is_some_and(|last| last / stretch == number / stretch) {
                self.skip(&name, "max_cpu_percent");
                continue;
            }
            if self.rests(&name) {
                self.skip(&name, "stuck");
                continue;
            }
            begun = true;
            let queue = VecDeque::from(self.tables.due(&name, number, self.plan.interval));
            if let Some(known) = self.known.get_mut(&name) {
                known.last = Some(number);
            }
            if queue.is_empty() {
                continue;
            }
            for id in &queue {
                if let Some(table) = self.tables.get(*id) {
                    table.refresh();
                }
            }
            let running = Running {
                number,
                queue,
                out: 0,
                ends: None,
                cpu: Duration::ZERO,
            };
            self.running.insert(name, running);
        }
        let counter = if busy && !begun {
            "sweeps_skipped"
        } else {
            "sweeps"
        };
        self.context.counters.add(counter, "", 1);
    }

    fn skip(&self, subsystem: &str, reason: &'static str) {
        let counters = &self.known[subsystem].counters;
        counters.add("subsystem_sweeps_skipped", reason, 1);
    }

    /// Gives tables to readers, as far as these have room.
    pub(crate) fn give(&mut self) -> std::io::Result<()> {
        while self.readers.has_room() {
            let Some((subsystem, id)) = self.next() else {
                return Ok(());
            };
            let begun = self.begin(&subsystem, id);
            let running = self.running.get_mut(&subsystem);
            let Some((job, pending)) = begun else {
                // It has gone, or is with a reader that does not answer.
                if running.is_some_and(|it| it.out == 0 && it.queue.is_empty()) {
                    self.end(&subsystem);
                }
                continue;
            };
            let number = self.readers.give(job)?;
            if let Some(running) = running {
                running.out += 1;
            }
            let table = id;
            self.jobs.insert(
                number,
                Under {
                    subsystem,
                    table,
                    pending,
                },
            );
        }
        Ok(())
    }

    /// The table that is read next: of the sweep that comes again soonest, of the highest priority among these, of the
    /// one that has waited the longest among those: where there is too much to read, all get their turn.
    fn next(&mut self) -> Option<(Arc<str>, TableId)> {
        let soonest = |(name, running): &(&Arc<str>, &mut Running)| {
            let want = running.queue.front().and_then(|id| self.tables.peek(*id));
            let interval = want.map_or(Duration::MAX, |table| every(table.want));
            let priority = std::cmp::Reverse(self.known[*name].priority);
            (interval, priority, running.number)
        };
        let waiting = self
            .running
            .iter_mut()
            .filter(|(_, it)| !it.queue.is_empty());
        let (name, running) = waiting.min_by_key(soonest)?;
        Some((Arc::clone(name), running.queue.pop_front()?))
    }

    fn begin(&mut self, subsystem: &str, id: TableId) -> Option<(Job, Pending)> {
        let keep = self.root.as_ref().is_some_and(|root| root.keep);
        let running = self.running.get_mut(subsystem)?;
        let ends = *running
            .ends
            .get_or_insert_with(|| Instant::now() + self.plan.timeout);
        let table = self.tables.get(id)?;
        if keep {
            let (wanted, want) = (table.len().saturating_sub(table.held()), table.want);
            self.tables.make_room(wanted, want);
        }
        let table = self.tables.get(id)?;
        let root = self.root.as_ref().map(|root| Arc::clone(&root.open));
        table.begin(running.number, self.plan.interval, (root, keep), ends)
    }

    /// Takes in what a reader gave back; the batch that comes of it.
    pub(crate) fn done(&mut self, done: Done) -> Result<Option<Batch>, &'static str> {
        let Done(number, job) = done;
        let job = job.ok_or("a reading thread has broken down")?;
        self.readers.ended(number);
        if let Some((_, table, row)) = self.stuck.remove(&number) {
            // It answers after all, too late for its sweep.
            if let Some(table) = self.tables.get(table) {
                table.recovers(row);
            }
            return Ok(None);
        }
        let Some(Under {
            subsystem,
            table,
            pending,
        }) = self.jobs.remove(&number)
        else {
            return Ok(None);
        };
        let times = job.read.times(&pending.rows);
        let Job { kept, mut read, .. } = job;
        self.count(&subsystem, &read.cost, read.failures.len());
        let Some(sweep) = self.sweep(&subsystem, read.cost.cpu) else {
            return Ok(None);
        };
        if let Some(table) = self.tables.get(table) {
            table.done(kept);
            failed(
                table,
                &read.failures,
                &pending.retried,
                (sweep.number, self.plan.interval),
                self.root.as_ref().is_some_and(|root| root.locked_down),
                &self.complaints,
            );
        }
        let none_left = |(_, failure): &(u32, Failure)| *failure == Failure::NoDescriptor;
        if read.failures.iter().any(none_left) {
            self.tables.let_all_go();
        }
        for row in &pending.ended {
            read.values[*row as usize] = Value::Ended;
        }
        if sweep.last {
            self.end(&subsystem);
        }
        let (table, starts) = (pending.table, pending.starts);
        Ok(Some(Batch::new(table, starts, times, read.values, sweep)))
    }

    /// One table less of this sweep; which of it this was.
    fn sweep(&mut self, subsystem: &str, cpu: Duration) -> Option<Sweep> {
        let running = self.running.get_mut(subsystem)?;
        running.out -= 1;
        running.cpu += cpu;
        let last = running.out == 0 && running.queue.is_empty();
        Some(Sweep::new(running.number, self.plan.interval, last))
    }

    /// A sweep is over.
    fn end(&mut self, subsystem: &Arc<str>) {
        if let Some(running) = self.running.remove(subsystem)
            && let Some(known) = self.known.get_mut(subsystem)
        {
            known.cpu = running.cpu;
        }
        self.tables.tidy(subsystem);
        if self.running.is_empty() {
            self.tables.swept = now_unix_nano();
            self.complaints.say();
        }
    }

    /// Looks for files that do not answer. One that has not for so long is given up, named, and left alone until it does;
    /// gives the ends of sweeps that are over with it.
    pub(crate) fn watch(&mut self) -> Vec<Batch> {
        let mut ends = Vec::new();
        for (number, row) in self.readers.watch(self.plan.timeout) {
            let Some(Under {
                subsystem,
                table: id,
                pending,
            }) = self.jobs.remove(&number)
            else {
                continue;
            };
            if let Some(table) = self.tables.get(id) {
                table.lost(&pending.ended);
                if table.lives(row) {
                    table.set_trouble(row, Trouble::Stuck);
                }
                let (reason, path) = (Reason::STUCK, || table.path(row));
                self.complaints
                    .add("files_failed", reason.0, reason.cause(), path);
                let others = pending.table.len().saturating_sub(1) as u64;
                self.complaints
                    .count("files_failed", Reason::TIMEOUT.0, others);
            }
            self.stuck.insert(number, (Arc::clone(&subsystem), id, row));
            let Some(sweep) = self.sweep(&subsystem, Duration::ZERO) else {
                continue;
            };
            if sweep.last {
                self.end(&subsystem);
                ends.push(only_last(pending.table.head(), sweep));
            }
            self.complaints.say();
        }
        ends
    }

    /// Whether a subsystem rests: it has files that do not answer, and no further thread may be lost.
    fn rests(&mut self, subsystem: &Arc<str>) -> bool {
        let has_stuck = self.stuck.values().any(|(name, ..)| name == subsystem);
        let rests = has_stuck && self.readers.lost() >= self.readers.most_stuck();
        if let Some(known) = self.known.get_mut(subsystem)
            && std::mem::replace(&mut known.rests, rests) != rests
        {
            if rests {
                tracing::warn!(
                    "{subsystem} rests: {} threads wait for files that do not answer",
                    self.readers.lost()
                );
            } else {
                tracing::info!("{subsystem} is swept again");
            }
        }
        rests
    }

    /// Every how many turns each of these is swept, by the budget.
    fn stretches(&mut self, names: &[Arc<str>]) -> Vec<u32> {
        for name in names {
            if !self.known.contains_key(name) {
                let known = Known {
                    counters: self
                        .context
                        .counters
                        .of(&format!("{} {name}", self.context.id)),
                    priority: self.plan.priority(name),
                    cpu: Duration::ZERO,
                    last: None,
                    rests: false,
                };
                self.known.insert(Arc::clone(name), known);
            }
        }
        if self.plan.max_cpu_percent == 0 {
            return vec![1; names.len()];
        }
        let load = |name: &Arc<str>| Load {
            priority: self.known[name].priority,
            cpu: self.known[name].cpu,
            interval: self.tables.interval(name, self.plan.interval),
        };
        let loads: Vec<Load> = names.iter().map(load).collect();
        let scanning = self.scan_cpu.as_secs_f64() / self.plan.interval.as_secs_f64();
        let budget = f64::from(self.plan.max_cpu_percent) / 100.0 - scanning;
        let made = stretches(&loads, budget);
        let less: Vec<&str> = names
            .iter()
            .zip(&made)
            .filter(|(_, stretch)| **stretch > 1)
            .map(|(name, _)| &**name)
            .collect();
        if !less.is_empty() && !std::mem::replace(&mut self.said_over_budget, true) {
            tracing::warn!(
                "reading would take more than `max_cpu_percent: {}`; swept less often: {}",
                self.plan.max_cpu_percent,
                less.join(", ")
            );
        }
        made
    }

    fn count(&self, subsystem: &str, cost: &Cost, failures: usize) {
        let Some(Known { counters, .. }) = self.known.get(subsystem) else {
            return;
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        counters.add("files_read", "", cost.files);
        counters.add("syscalls_made", "", cost.syscalls);
        counters.add("bytes_read", "", cost.bytes);
        counters.add("cpu_microseconds", "", micros(cost.cpu));
        counters.add("values_lossy", "beyond_i64", cost.lossy);
        counters.add("reads_failed", "", failures as u64);
        counters.most("longest_read_microseconds", micros(cost.longest));
    }
}

/// Takes note of the rows that failed, and of those that no longer do.
fn failed(
    table: &mut TableState,
    failures: &[(u32, Failure)],
    retried: &[u32],
    (number, tick): (u64, Duration),
    locked_down: bool,
    complaints: &Complaints,
) {
    let fails_of = |table: &TableState, row| match table.trouble(row) {
        Some(Trouble::Failing { fails, .. }) => fails,
        _ => 0,
    };
    for row in retried {
        if failures.binary_search_by_key(row, |(row, _)| *row).is_err() {
            table.recovers(*row);
        }
    }
    for (row, failure) in failures {
        let (row, reason) = match (*failure, locked_down) {
            // The next check ends its series, without a word.
            (Failure::Gone, _) => continue,
            (Failure::NoDescriptor, _) => {
                let reason = Reason::DESCRIPTORS;
                complaints.add_once("files_failed", reason.0, reason.cause(), table.path(*row));
                continue;
            }
            (Failure::Other(reason @ Reason::TIMEOUT), _) => {
                complaints.add("files_failed", reason.0, reason.cause(), || {
                    table.path(*row)
                });
                continue;
            }
            (Failure::NotPermitted, true) => (*row, Reason::LOCKDOWN),
            (Failure::NotPermitted, false) => (*row, Reason::PERMISSION),
            (Failure::Other(reason), _) => (*row, reason),
        };
        let fails = fails_of(table, row);
        // A device that is going answers with all kinds of errors: it is named when it is still there.
        let first = u8::from(reason == Reason::IO);
        if fails == first {
            complaints.add("files_failed", reason.0, reason.cause(), || table.path(row));
        } else {
            complaints.count("files_failed", reason.0, 1);
        }
        if table.lives(row) {
            table.set_trouble(row, put_off(fails, reason, number, tick));
        }
    }
}

/// A file that fails is read again after 2, 4, 8 … sweeps, an hour at the most. Lockdown does not change, and each try
/// writes a line to the kernel's log: that waits for the rescan.
fn put_off(fails: u8, reason: Reason, number: u64, tick: Duration) -> Trouble {
    let fails = fails.saturating_add(1);
    let tick = u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1);
    let hour = (3_600_000 / tick).max(1);
    let sweeps = 1_u64
        .checked_shl(fails.into())
        .unwrap_or(u64::MAX)
        .min(hour);
    let not_before = if reason == Reason::LOCKDOWN {
        u64::MAX
    } else {
        number.saturating_add(sweeps)
    };
    Trouble::Failing { fails, not_before }
}

/// The end of a sweep whose last table could not be read.
fn only_last(head: &Arc<Head>, sweep: Sweep) -> Batch {
    let table = Table::new(Arc::clone(head), Vec::new());
    Batch::new(
        table,
        Arc::default(),
        Times::One(now_unix_nano()),
        Vec::new(),
        sweep,
    )
}
