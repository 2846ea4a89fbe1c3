//! The receiver's task: ticks, checks of the tree, sweeps, and what they show on its way out. It never blocks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pipeline::{Batch, Context, Demand, Error, Found, Outlet, Result, Ticks, Until, now_unix_nano};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep_until;

use crate::config::Config;
use crate::discovery::{
    ChangeProbe, DemandedChanges, OpenRoot, Scan, ScanEvent, ScanReport, ScanRequest, shown,
};
use crate::plan::Plan;
use crate::read::ReaderPool;
use crate::sweep::Sweeps;
use crate::warnings::Warnings;

/// A check that takes longer does not hold up the sweep that it was made for.
const PATIENCE: Duration = Duration::from_millis(100);

/// How often readers are looked after.
const WATCH: Duration = Duration::from_millis(50);

/// What runs.
pub(crate) struct Running {
    root: String,
    plan: Arc<Plan>,
    context: Context,
    warnings: Warnings,
    sweeps: Sweeps,
    done: Arc<Notify>,
    ask: std::sync::mpsc::Sender<ScanRequest>,
    told: mpsc::Receiver<ScanEvent>,
    /// The directory that is being listed.
    at: Arc<Mutex<String>>,
    rescanned: Option<Instant>,
    /// Since when a check is under way, and whether it was named for not answering.
    checking: Option<(Instant, bool)>,
    /// The tick whose sweeps wait for it.
    waiting: Option<u64>,
    /// Whether the tree was looked at once.
    looked: bool,
    /// Tells that there is nothing to check, where the kernel can.
    change_probe: Option<Arc<ChangeProbe>>,
    /// When it last did, since the last check; unix ns.
    unchanged: Option<u64>,
}

impl Running {
    /// Starts the threads; nothing is read yet.
    pub(crate) fn start(config: Config, context: Context, demand: Demand) -> Result<Running> {
        let done = Arc::new(Notify::new());
        let (ask, asked) = std::sync::mpsc::channel();
        let (root, readers, max_stuck) = (config.root.clone(), config.readers, config.max_stuck);
        let plan = Arc::new(Plan::new(config));
        // One byte more than a value may have, so that a longer one shows.
        let buffer = usize::try_from(plan.limits.value_bytes.0).unwrap_or(usize::MAX);
        let tell = Arc::clone(&done);
        let buffer = buffer.saturating_add(1);
        let readers = ReaderPool::new(readers, max_stuck, plan.timeout, buffer, tell);
        let warnings = Warnings::new(context.counters.clone());
        let at = Arc::new(Mutex::new(root.clone()));
        let (tell, told) = mpsc::channel(4);
        let scan = Scan::new(
            root.clone(),
            Arc::clone(&plan),
            demand,
            context.clone(),
            warnings.clone(),
            Arc::clone(&at),
            tell,
        );
        scan.spawn(asked).map_err(Error::new)?;
        let sweeps = Sweeps::new(
            Arc::clone(&plan),
            context.clone(),
            warnings.clone(),
            readers,
        );
        Ok(Running {
            root,
            plan,
            context,
            warnings,
            sweeps,
            done,
            ask,
            told,
            at,
            rescanned: None,
            checking: None,
            waiting: None,
            looked: false,
            change_probe: None,
            unchanged: None,
        })
    }

    /// Runs until the ticks end. What is under way then is sent still.
    pub(crate) async fn run(
        &mut self,
        mut ticks: Ticks,
        mut out: Outlet,
        until: &Until,
    ) -> Result<()> {
        let mut ended = false;
        let over = until.end();
        tokio::pin!(over);
        let mut is_over = false;
        // When readers are looked after next, whatever else happens meanwhile.
        let mut watch: Option<tokio::time::Instant> = None;
        loop {
            self.sweeps.dispatch().map_err(Error::new)?;
            if ended && self.waiting.is_none() && self.sweeps.is_idle() {
                return Ok(());
            }
            let busy = self.sweeps.is_reading() || self.checking.is_some();
            let due = tokio::time::Instant::now() + WATCH;
            watch = busy.then(|| watch.unwrap_or(due));
            let ready = !ended && self.waiting.is_none();
            let mut batches = Vec::new();
            tokio::select! {
                biased;
                () = self.done.notified() => batches = self.sweeps.collect().map_err(Error::new)?,
                told = self.told.recv() => match told {
                    Some(told) => self.take(told, &out),
                    None => return Err(Error::new("the scanning thread has broken down")),
                },
                () = &mut over, if !is_over => {
                    // A tree that is still being looked at is swept no more.
                    (is_over, ended, self.waiting) = (true, true, None);
                }
                () = sleep_until(watch.unwrap_or(due)), if busy => {
                    watch = None;
                    batches = self.watch().map_err(Error::new)?;
                }
                tick = ticks.next(), if ready => match tick {
                    Some(number) => self.tick(number)?,
                    None => ended = true,
                },
            }
            if batches.is_empty() {
                continue;
            }
            let sending = Instant::now();
            if out.send_together(batches).await.is_err() {
                // Nobody takes batches any more.
                return Ok(());
            }
            self.sweeps.extend_deadlines(sending.elapsed());
        }
    }

    /// A tick has come: the tree is checked, unless the kernel tells that nothing has changed; then what is due is swept.
    fn tick(&mut self, number: u64) -> Result<()> {
        if self.checking.is_some() {
            self.waiting = Some(number);
            return Ok(());
        }
        let interval = self.plan.rescan_interval;
        let whole = self.rescanned.is_none_or(|at| at.elapsed() >= interval);
        if !whole
            && self
                .change_probe
                .as_ref()
                .is_some_and(|change_probe| change_probe.is_unchanged())
        {
            self.unchanged = Some(now_unix_nano());
            self.sweeps.subsystems.scan_cpu = Duration::ZERO;
            self.sweep(number);
            return Ok(());
        }
        self.waiting = Some(number);
        let mut refused = BTreeSet::new();
        if whole {
            self.rescanned = Some(Instant::now());
            self.warnings.reset_quota();
            self.sweeps.tables.retry_all();
            refused = std::mem::take(&mut self.sweeps.tables.refused);
        }
        self.sweeps.tables.forget_ending_rows();
        self.checking = Some((Instant::now(), false));
        let ask = ScanRequest {
            whole,
            refused,
            swept: self.sweeps.tables.last_sweep_end,
            unchanged: self.unchanged.take(),
        };
        self.ask.send(ask).map_err(Error::new)
    }

    fn take(&mut self, told: ScanEvent, out: &Outlet) {
        match told {
            ScanEvent::RootGone => self.sweeps.tables.end_all(),
            ScanEvent::Changes(changes) => self.change(changes),
            ScanEvent::Finished(checked) => self.checked(checked, out),
        }
    }

    fn change(&mut self, changes: DemandedChanges) {
        let tables = &mut self.sweeps.tables;
        for directory in changes.removed_directories {
            tables.remove_directory(directory);
        }
        for (directory, file) in changes.removed_files {
            tables.remove_file(directory, &file);
        }
        for (directory, file, wants) in changes.changed {
            tables.change_file(directory, file, &wants);
        }
        for (directory_ref, files) in changes.added {
            for (file, wants) in files {
                tables.add_file(&directory_ref, file, &wants);
            }
        }
    }

    fn checked(&mut self, checked: ScanReport, out: &Outlet) {
        self.checking = None;
        self.sweeps.subsystems.scan_cpu = checked.cpu;
        let micros = u64::try_from(checked.cpu.as_micros()).unwrap_or(u64::MAX);
        self.context.counters.add("cpu_microseconds", "", micros);
        let tables = &mut self.sweeps.tables;
        if let Some((count, first)) = tables.newly_refused.take() {
            let counters = &self.context.counters;
            counters.add("series_refused", "limit", count - 1);
            self.warnings.add_once(
                "series_refused",
                "limit",
                "more than `limits.series` allows",
                format!("{first} (one of {count})"),
            );
        }
        self.sweeps.set_root(checked.tree.as_ref().ok());
        if !std::mem::replace(&mut self.looked, true) {
            out.found(self.found(&checked.tree));
        }
        self.change_probe = checked.tree.ok().and_then(|there| there.change_probe);
        if let Some(number) = self.waiting.take() {
            self.sweep(number);
        }
    }

    fn sweep(&mut self, number: u64) {
        self.sweeps.tick(number);
        if self.sweeps.is_idle() {
            self.warnings.flush();
        }
    }

    /// Looks after what is under way: files that do not answer, a check that takes too long.
    fn watch(&mut self) -> std::io::Result<Vec<Batch>> {
        if let Some((since, named)) = &mut self.checking {
            if since.elapsed() >= self.plan.timeout && !std::mem::replace(named, true) {
                let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
                let subject = if at.is_empty() {
                    self.root.clone()
                } else {
                    at.clone()
                };
                drop(at);
                self.warnings.add(
                    "directories_failed",
                    "stuck",
                    "does not answer when it is listed; what is known is swept on",
                    || subject,
                );
                self.warnings.flush();
            }
            if since.elapsed() >= PATIENCE
                && self.looked
                && let Some(number) = self.waiting.take()
            {
                self.sweep(number);
            }
        }
        self.sweeps.give_up_stuck()
    }

    /// In words: what is swept, or why nothing is.
    fn found(&self, tree: &Result<OpenRoot, String>) -> Found {
        let there = match tree {
            Ok(there) => there,
            Err(why) => return Found::Lacks(format!("{} ({why})", self.root)),
        };
        let subsystems = self.sweeps.tables.series_by_subsystem();
        let mut names: Vec<_> = subsystems
            .iter()
            .take(8)
            .map(|(name, count)| format!("{name} ({count} series)"))
            .collect();
        if subsystems.len() > 8 {
            names.push(format!("{} more subsystems", subsystems.len() - 8));
        }
        let names = if names.is_empty() {
            format!("no series: {}", there.why_nothing)
        } else {
            names.join(", ")
        };
        let filesystem = match &*there.filesystem {
            "" => String::new(),
            known => format!(" ({known})"),
        };
        Found::Sweeps(format!(
            "{names} in {} directories below {}{filesystem}",
            there.directories,
            shown(&there.path)
        ))
    }
}
