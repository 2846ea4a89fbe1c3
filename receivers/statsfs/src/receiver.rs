//! The receiver's task: ticks, scans of the tree, sweeps, and the batches that it sends. It never blocks.

mod inspected;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::telemetry::Counter;
use pipeline::{
    Batch, Context, Demand, Error, Inspection, Outlet, Result, Shutdown, StartupReport, Ticks,
    now_unix_nano,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep_until;

use crate::config::Config;
use crate::counters::CPU_MICROSECONDS;
use crate::discovery::{
    ChangeProbe, DemandedChanges, ScanEvent, ScanReport, ScanRequest, ScannedTree, Scanner,
    display_path,
};
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::read::ReaderPool;
use crate::sweep::Sweeps;
use inspected::Findings;

/// A sweep waits at most this long for its scan; for the first scan as long as a sweep may take, unless a directory does not
/// answer. The only sweep of `--once` waits for all of it.
const MAX_SCAN_WAIT: Duration = Duration::from_millis(100);

/// How often the readers and the scan are checked for being stuck.
const STUCK_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// What is said of series beyond a limit.
const TOO_MANY_SERIES: &str = "more series than `limits.series` allows; passed over";

/// The state of the task.
pub(crate) struct StatsfsTask {
    root: String,
    plan: Arc<Plan>,
    context: Context,
    failure_log: FailureLog,
    sweeps: Sweeps,
    jobs_done: Arc<Notify>,
    events: mpsc::Receiver<ScanEvent>,
    scanner: Scanner,
    last_full_scan: Option<Instant>,
    /// When the scan under way was requested.
    scan_under_way: Option<Instant>,
    /// Whether there is one sweep only, of all that there is.
    once: bool,
    /// The tick whose sweeps wait for the scan.
    waiting_tick: Option<u64>,
    /// Whether the tree was scanned at all.
    is_scanned: bool,
    /// Whether there is no root: only a full scan looks for it.
    is_missing: bool,
    /// Tells that a scan would find nothing, where the kernel can tell.
    change_probe: Option<Arc<ChangeProbe>>,
    /// When the probe last said so since the last scan, unix ns.
    unchanged_at: Option<u64>,
    findings: Findings,
    /// Batches for which nothing was read.
    unread: Vec<Batch>,
}

impl StatsfsTask {
    /// Nothing is read yet.
    pub(crate) fn new(
        config: Config,
        context: Context,
        demand: Demand,
        once: bool,
        inspection: Option<Inspection>,
    ) -> StatsfsTask {
        let jobs_done = Arc::new(Notify::new());
        let (root, readers, max_stuck) = (config.root.clone(), config.readers, config.max_stuck);
        let plan = Arc::new(Plan::new(config, inspection.is_some()));
        // One byte more than a value may have, to detect longer ones.
        let buffer = usize::try_from(plan.limits.value_bytes.0).unwrap_or(usize::MAX);
        let notify = Arc::clone(&jobs_done);
        let buffer = buffer.saturating_add(1);
        let threads = context.blocking_threads.clone();
        let readers = ReaderPool::new(threads, readers, max_stuck, plan.timeout, buffer, notify);
        let failure_log = FailureLog::new(context.counters.clone());
        let (event_sender, events) = mpsc::channel(4);
        let scanner = Scanner::new(
            root.clone(),
            Arc::clone(&plan),
            demand,
            context.clone(),
            failure_log.clone(),
            event_sender,
        );
        let sweeps = Sweeps::new(
            Arc::clone(&plan),
            context.clone(),
            failure_log.clone(),
            readers,
            once,
        );
        StatsfsTask {
            root,
            plan,
            context,
            failure_log,
            sweeps,
            jobs_done,
            events,
            scanner,
            last_full_scan: None,
            scan_under_way: None,
            once,
            waiting_tick: None,
            is_scanned: false,
            is_missing: false,
            change_probe: None,
            unchanged_at: None,
            findings: Findings::new(inspection),
            unread: Vec::new(),
        }
    }

    /// Runs until the ticks end. Sweeps that are under way then are still sent.
    pub(crate) async fn run(
        &mut self,
        mut ticks: Ticks,
        mut out: Outlet,
        shutdown: Shutdown,
    ) -> Result<()> {
        let mut ticks_ended = false;
        let shutdown = shutdown.wait();
        tokio::pin!(shutdown);
        let mut is_shutting_down = false;
        // When the next check for stuck readers is due, whatever else happens meanwhile.
        let mut next_stuck_check: Option<tokio::time::Instant> = None;
        loop {
            self.sweeps.dispatch().map_err(Error::new)?;
            if ticks_ended && self.waiting_tick.is_none() && self.sweeps.is_idle() {
                return Ok(());
            }
            let busy = self.sweeps.is_reading()
                || self.scan_under_way.is_some()
                || self.scanner.is_stalled;
            let due = tokio::time::Instant::now() + STUCK_CHECK_INTERVAL;
            next_stuck_check = busy.then(|| next_stuck_check.unwrap_or(due));
            let ready = !ticks_ended && self.waiting_tick.is_none();
            let mut batches = Vec::new();
            tokio::select! {
                biased;
                () = self.jobs_done.notified() => batches = self.sweeps.collect().map_err(Error::new)?,
                event = self.events.recv() => match event {
                    None | Some(ScanEvent::BrokenDown) => {
                        return Err(Error::new("a scanning thread has broken down"));
                    }
                    Some(event) => self.handle_event(event, &out),
                },
                () = &mut shutdown, if !is_shutting_down => {
                    // A sweep that still waits for its scan does not start.
                    (is_shutting_down, ticks_ended, self.waiting_tick) = (true, true, None);
                }
                () = sleep_until(next_stuck_check.unwrap_or(due)), if busy => {
                    next_stuck_check = None;
                    batches = self.check_stuck().map_err(Error::new)?;
                }
                tick = ticks.next(), if ready => match tick {
                    Some(number) => self.tick(number)?,
                    None => ticks_ended = true,
                },
            }
            batches.append(&mut self.unread);
            self.say().await;
            if batches.is_empty() {
                continue;
            }
            let sending = Instant::now();
            if out.send_together(batches).await.is_err() {
                // The channel is closed downstream.
                return Ok(());
            }
            self.sweeps.extend_deadlines(sending.elapsed());
        }
    }

    /// A tick: requests a scan, unless nothing is there or the kernel tells that nothing has changed; then starts the sweeps
    /// that are due.
    fn tick(&mut self, number: u64) -> Result<()> {
        if self.scan_under_way.is_some() {
            self.waiting_tick = Some(number);
            return Ok(());
        }
        let interval = self.plan.rescan_interval;
        let full = self
            .last_full_scan
            .is_none_or(|at| at.elapsed() >= interval);
        let is_unchanged = |probe: &Arc<ChangeProbe>| probe.is_unchanged();
        let is_unchanged = self.change_probe.as_ref().is_some_and(is_unchanged);
        if !full && (is_unchanged || self.is_missing) {
            self.unchanged_at = is_unchanged.then(now_unix_nano);
            self.sweeps.subsystems.scan_cpu = Duration::ZERO;
            self.start_sweeps(number);
            return Ok(());
        }
        self.waiting_tick = Some(number);
        let mut refused = BTreeSet::new();
        if full {
            self.last_full_scan = Some(Instant::now());
            self.sweeps.tables.retry_all();
            refused = std::mem::take(&mut self.sweeps.tables.refused);
        }
        self.sweeps.tables.forget_ending_rows();
        self.scan_under_way = Some(Instant::now());
        let request = ScanRequest {
            full,
            refused,
            unchanged_at: self.unchanged_at.take(),
        };
        self.scanner.request(request).map_err(Error::new)
    }

    fn handle_event(&mut self, event: ScanEvent, out: &Outlet) {
        match event {
            ScanEvent::RootGone => {
                self.sweeps.tables.end_all();
                self.sweeps.set_root(None);
            }
            ScanEvent::RootOpened(root) => self.sweeps.set_root(Some(root)),
            ScanEvent::Changes(changes) => self.apply_changes(*changes),
            ScanEvent::Finished(report) => self.finish_scan(*report, out),
            ScanEvent::BrokenDown => {}
        }
    }

    fn apply_changes(&mut self, mut changes: DemandedChanges) {
        self.tell_left_out(&mut changes);
        let mut beyond_limit = Vec::new();
        let tables = &mut self.sweeps.tables;
        for directory in changes.removed_directories {
            tables.remove_directory(directory);
        }
        for (directory, file) in changes.removed_files {
            tables.remove_file(directory, &file);
        }
        for (directory_ref, file, wants) in changes.changed {
            tables.change_file(&directory_ref, file, &wants);
        }
        for (directory_ref, files) in changes.added {
            for (file, wants) in files {
                let source = file.series.source.clone();
                if !tables.add_file(&directory_ref, file, &wants) {
                    beyond_limit.extend(source);
                }
            }
        }
        for source in beyond_limit {
            self.tell_beyond_limit(&source);
        }
    }

    fn finish_scan(&mut self, report: ScanReport, out: &Outlet) {
        self.scan_under_way = None;
        self.sweeps.subsystems.scan_cpu = report.cpu;
        let micros = u64::try_from(report.cpu.as_micros()).unwrap_or(u64::MAX);
        self.context.counters.record(CPU_MICROSECONDS, micros);
        let tables = &mut self.sweeps.tables;
        if let Some((count, first)) = tables.newly_refused.take() {
            let counters = &self.context.counters;
            counters.record_for(Counter::SERIES_REFUSED, "limit", count - 1);
            self.failure_log.record_once(
                Counter::SERIES_REFUSED,
                "limit",
                TOO_MANY_SERIES,
                format!("{first} (one of {count})"),
            );
        }
        let series = tables.series_by_subsystem();
        self.sweeps.subsystems.count_series(&series);
        if !std::mem::replace(&mut self.is_scanned, true) {
            let found = report.tree.as_ref().map(|tree| tree.found.clone());
            let found = found.unwrap_or_default();
            self.plan.log_unmatched(&self.context.id, &found);
            self.context.rules.found(found);
            out.report_startup(self.startup_report(&report.tree));
        }
        self.is_missing = report.tree.is_err();
        self.change_probe = report.tree.ok().and_then(|tree| tree.change_probe);
        if let Some(number) = self.waiting_tick.take() {
            self.start_sweeps(number);
        }
    }

    fn start_sweeps(&mut self, number: u64) {
        if self.findings.is_look() {
            self.unread = self.sweeps.unread(number);
            return;
        }
        self.sweeps.tick(number);
        if self.sweeps.is_idle() {
            self.failure_log.flush();
        }
    }

    /// Looks for files and directories that do not answer.
    fn check_stuck(&mut self) -> std::io::Result<Vec<Batch>> {
        self.scanner.check_stalled()?;
        self.tell_given_up();
        let patience = if self.is_scanned || self.scanner.is_stalled {
            MAX_SCAN_WAIT
        } else {
            self.plan.timeout.max(MAX_SCAN_WAIT)
        };
        let may_start = !self.once || self.scanner.is_halted;
        if may_start
            && self
                .scan_under_way
                .is_some_and(|since| since.elapsed() >= patience)
            && let Some(number) = self.waiting_tick.take()
        {
            self.start_sweeps(number);
        }
        self.sweeps.give_up_stuck()
    }

    /// The start-up report: what is swept, or why nothing is.
    fn startup_report(&self, tree: &Result<ScannedTree, String>) -> StartupReport {
        let tree = match tree {
            Ok(tree) => tree,
            Err(why) => return self.nothing(why),
        };
        let subsystems = self.sweeps.tables.series_by_subsystem();
        if subsystems.is_empty() {
            return self.nothing(&format!("no series: {}", tree.why_nothing));
        }
        let mut names: Vec<_> = subsystems
            .iter()
            .take(8)
            .map(|(name, count)| format!("{name} ({count} series)"))
            .collect();
        if subsystems.len() > 8 {
            names.push(format!("{} more subsystems", subsystems.len() - 8));
        }
        let names = names.join(", ");
        let filesystem = match &*tree.filesystem {
            "" => String::new(),
            known => format!(" ({known})"),
        };
        StartupReport::Sweeps(format!(
            "{names} in {} directories below {}{filesystem}",
            tree.directories,
            display_path(&tree.path)
        ))
    }

    /// The start-up report where there are no series: what was looked at, and why there are none.
    fn nothing(&self, why: &str) -> StartupReport {
        let subsystem = self.plan.subsystem.as_ref();
        let subsystem = subsystem.map(|it| format!(", subsystem {it}"));
        let layout = self.plan.layout.as_ref();
        let layout = layout.map(|it| format!(", layout {it}"));
        StartupReport::Missing(format!(
            "{}{}{} ({why})",
            self.root,
            subsystem.unwrap_or_default(),
            layout.unwrap_or_default()
        ))
    }
}
