//! The sweep: known files, read in order, each table a batch. Runs on a thread of its own, since reads can block.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::{Batch, Context, Demand, Found, Head, Sweep, Times, Value, now_unix_nano};
use rustix::io::Errno;

use crate::complaints::Complaints;
use crate::plan::Plan;
use crate::read::read_value;
use crate::root::{boot_unix_nano, filesystem_of, find, shown};
use crate::tables::{Life, Row, TableState, Tables};
use crate::tree::{Clock, Tree};
use crate::value::{Reason, parse};

/// Sweeps one root.
pub(crate) struct Sweeper {
    root: String,
    /// Where the root was found.
    path: PathBuf,
    plan: Arc<Plan>,
    rescan_interval: Duration,
    demand: Demand,
    context: Context,
    tree: Option<Tree>,
    tables: Tables,
    complaints: Complaints,
    boot: u64,
    rescanned: Option<Instant>,
    /// When it was last looked for and not there, or last read before it went; unix ns, 0 for never.
    without: u64,
    /// Why there is no tree, as it was last said.
    lacking: Option<String>,
    buffer: Vec<u8>,
}

impl Sweeper {
    pub(crate) fn new(
        root: String,
        plan: Plan,
        rescan_interval: Duration,
        demand: Demand,
        context: Context,
    ) -> Sweeper {
        // One byte more than a value may have, so that a longer one shows.
        let most = usize::try_from(plan.limits.value_bytes.0)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        Sweeper {
            root,
            path: PathBuf::new(),
            plan: Arc::new(plan),
            rescan_interval,
            demand,
            complaints: Complaints::new(context.counters.clone()),
            boot: boot_unix_nano(&context),
            context,
            tree: None,
            tables: Tables::default(),
            rescanned: None,
            without: 0,
            lacking: None,
            buffer: vec![0; most],
        }
    }

    /// Checks the tree for changes, then reads what is due. `send` is false when nobody listens any more.
    pub(crate) fn sweep(&mut self, number: u64, mut send: impl FnMut(Batch) -> bool) -> bool {
        self.check();
        let begun = Instant::now();
        let mut counts = Counts::default();
        let (tick, timeout) = (self.plan.interval, self.plan.timeout);
        let mut listening = true;
        let locked_down = self
            .tree
            .as_ref()
            .is_some_and(|tree| matches!(&*tree.filesystem, "debugfs" | "tracefs"));
        for due in self.tables.due(number, tick) {
            let most = due.len();
            for (index, state) in due.into_iter().enumerate() {
                let (table, starts) = state.table(number, tick);
                let mut reading = Reading {
                    tree: self.tree.as_mut(),
                    complaints: &mut self.complaints,
                    counts: &mut counts,
                    buffer: &mut self.buffer,
                    number,
                    tick,
                    ends: begun + timeout,
                    locked_down,
                };
                let values = reading.rows(state);
                let sweep = Sweep::new(number, tick, index + 1 == most);
                listening = listening
                    && send(Batch::new(
                        table,
                        starts,
                        Times::One(now_unix_nano()),
                        values,
                        sweep,
                    ));
            }
        }
        self.tables.tidy();
        if let Some(tree) = &mut self.tree {
            tree.swept = now_unix_nano();
        }
        self.complaints.say();
        self.context.counters.add("sweeps", "", 1);
        self.context.counters.add("files_read", "", counts.read);
        self.context
            .counters
            .add("values_lossy", "beyond_i64", counts.lossy);
        listening
    }

    /// In words: what is swept, or why nothing is.
    pub(crate) fn found(&self) -> Found {
        match (&self.tree, &self.lacking) {
            (Some(tree), _) => {
                let subsystems = self.tables.by_subsystem();
                let mut names: Vec<_> = subsystems
                    .iter()
                    .take(8)
                    .map(|(name, count)| format!("{name} ({count} series)"))
                    .collect();
                if subsystems.len() > 8 {
                    names.push(format!("{} more subsystems", subsystems.len() - 8));
                }
                let filesystem = if tree.filesystem.is_empty() {
                    ""
                } else {
                    &format!(" ({})", tree.filesystem)
                };
                let names = if names.is_empty() {
                    format!("no series: {}", tree.why_nothing())
                } else {
                    names.join(", ")
                };
                Found::Sweeps(format!(
                    "{names} in {} directories below {}{filesystem}",
                    tree.len(),
                    shown(&self.path)
                ))
            }
            (None, why) => Found::Lacks(format!(
                "{} ({})",
                self.root,
                why.as_deref().unwrap_or("not found")
            )),
        }
    }

    fn check(&mut self) {
        if let Some(gone) = self.tree.take_if(|tree| !tree.is_there()) {
            tracing::warn!(
                "{} has gone or was replaced; its series end",
                shown(&self.path)
            );
            self.without = gone.swept;
            self.tables.end_all();
            // Looked for at once: a replaced root is there already.
            self.rescanned = None;
        }
        let whole = self
            .rescanned
            .is_none_or(|at| at.elapsed() >= self.rescan_interval);
        if whole {
            self.rescanned = Some(Instant::now());
            self.complaints.refill();
            self.tables.try_all_again();
            if self.tree.is_none() {
                self.open();
            }
        }
        let Some(tree) = &mut self.tree else { return };
        let clock = Clock {
            boot: self.boot,
            now: now_unix_nano(),
        };
        let mut changes = tree.check(whole, clock, &mut self.complaints);
        if whole {
            for (id, file) in std::mem::take(&mut self.tables.refused) {
                changes
                    .begun
                    .extend(tree.found(id, &file, &mut self.complaints));
            }
        }
        let (context, id) = (&self.context, &self.context.id);
        let head = |subsystem: Arc<str>, number: Arc<str>| {
            let place = format!("{id}/{subsystem}/{number}").into();
            Arc::new(Head::new(
                Arc::clone(&context.resource),
                Arc::clone(&context.scope),
                subsystem,
                place,
            ))
        };
        let begun = self
            .tables
            .apply(changes, &self.demand, self.plan.limits.series, head);
        if let Some(first) = begun.first_over {
            self.context
                .counters
                .add("series_refused", "limit", begun.over_limit - 1);
            self.complaints.add_once(
                "series_refused",
                "limit",
                "more than `limits.series` allows",
                format!("{first} (one of {})", begun.over_limit),
            );
        }
    }

    fn open(&mut self) {
        let opened = find(&self.root, &self.context).and_then(|path| {
            let filesystem = |device| filesystem_of(device, &self.context);
            let plan = Arc::clone(&self.plan);
            let tree = Tree::open(plan, path.clone(), filesystem, self.boot, self.without).map_err(|errno| match errno {
                Errno::NOENT => "no such directory".to_owned(),
                Errno::ACCESS => "permission denied: it takes root, CAP_DAC_READ_SEARCH, or a mount with mode=0755".to_owned(),
                errno => errno.to_string(),
            });
            tree.map(|tree| (path, tree))
        });
        match opened {
            Ok((path, tree)) => {
                if self.lacking.take().is_some() {
                    tracing::info!("{} is there now; sweeping it", shown(&path));
                }
                self.path = path;
                self.tree = Some(tree);
            }
            Err(why) => {
                self.lacking = Some(why);
                self.without = now_unix_nano();
            }
        }
    }
}

/// What a sweep counted.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    lossy: u64,
}

/// The reading of one table.
struct Reading<'a> {
    tree: Option<&'a mut Tree>,
    complaints: &'a mut Complaints,
    counts: &'a mut Counts,
    buffer: &'a mut [u8],
    number: u64,
    tick: Duration,
    ends: Instant,
    /// EPERM means lockdown here.
    locked_down: bool,
}

impl Reading<'_> {
    /// One value a row, directory by directory.
    fn rows(&mut self, state: &mut TableState) -> Vec<Value> {
        let mut values = vec![Value::Absent; state.rows.len()];
        let mut at = 0;
        while at < state.rows.len() {
            let directory = state.rows[at].directory;
            let end = at
                + state.rows[at..]
                    .iter()
                    .take_while(|row| row.directory == directory)
                    .count();
            self.directory(state, at..end, &mut values);
            at = end;
        }
        values
    }

    /// The rows of one directory.
    fn directory(
        &mut self,
        state: &mut TableState,
        rows: std::ops::Range<usize>,
        values: &mut [Value],
    ) {
        let id = state.rows[rows.start].directory;
        let mut to_read = Vec::new();
        for at in rows {
            let row = &mut state.rows[at];
            match row.life {
                Life::Live if row.not_before <= self.number => to_read.push(at),
                Life::Live | Life::Dead => {}
                Life::Ending => {
                    values[at] = Value::Ended;
                    row.life = Life::Dead;
                    state.dead += 1;
                }
            }
        }
        if to_read.is_empty() {
            return;
        }
        let Some(tree) = self.tree.take() else { return };
        let opened = tree.with_open(id, |fd| {
            for at in &to_read {
                if Instant::now() > self.ends {
                    let path = || state.path(*at);
                    self.complaints.add(
                        "files_failed",
                        Reason::TIMEOUT.0,
                        Reason::TIMEOUT.cause(),
                        path,
                    );
                    continue;
                }
                let read = read_value(fd.as_fd(), &state.rows[*at].file, self.buffer);
                values[*at] = self.value(read, state, *at);
            }
        });
        if let Err(errno) = opened {
            for at in to_read {
                values[at] = self.value(Err(errno), state, at);
            }
        }
        self.tree = Some(tree);
    }

    fn value(&mut self, read: Result<usize, Errno>, state: &mut TableState, at: usize) -> Value {
        let parsed = match read {
            Ok(length) if length == self.buffer.len() => Err(Reason::TOO_LARGE),
            Ok(length) => parse(&self.buffer[..length], state.rows[at].format),
            // It has gone: the next check ends its series, without a word.
            Err(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::STALE) => return Value::Absent,
            Err(Errno::PERM) if self.locked_down => Err(Reason::LOCKDOWN),
            Err(Errno::MFILE | Errno::NFILE) => {
                // Not the file's fault: it is read again at the next sweep.
                let reason = Reason::DESCRIPTORS;
                let path = state.path(at);
                self.complaints
                    .add_once("files_failed", reason.0, reason.cause(), path);
                return Value::Absent;
            }
            Err(Errno::ACCESS | Errno::PERM) => Err(Reason::PERMISSION),
            Err(_) => Err(Reason::IO),
        };
        self.counts.read += u64::from(read.is_ok());
        match parsed {
            Ok((value, lossy)) => {
                self.counts.lossy += u64::from(lossy);
                state.rows[at].fails = 0;
                value
            }
            Err(reason) => {
                if state.rows[at].fails == 0 {
                    self.complaints
                        .add("files_failed", reason.0, reason.cause(), || state.path(at));
                } else {
                    self.complaints.count("files_failed", reason.0);
                }
                self.put_off(&mut state.rows[at], reason);
                Value::Absent
            }
        }
    }

    /// A file that fails is read again after 2, 4, 8 … sweeps, an hour at the most. Lockdown does not change, and each
    /// try writes a line to the kernel's log: that waits for the rescan.
    fn put_off(&self, row: &mut Row, reason: Reason) {
        row.fails = row.fails.saturating_add(1);
        let hour = 3_600_000
            / u64::try_from(self.tick.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
        let sweeps = 1_u64
            .checked_shl(row.fails.into())
            .unwrap_or(u64::MAX)
            .min(hour.max(1));
        row.not_before = if reason == Reason::LOCKDOWN {
            u64::MAX
        } else {
            self.number.saturating_add(sweeps)
        };
    }
}
