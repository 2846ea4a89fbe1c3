//! The work queue: jobs wait here for a reader, and finished jobs for the task.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::job::{Job, Precedence};

/// Finished jobs wait at most this long for the rest of the queue before the task is notified.
const BATCH_WINDOW: Duration = Duration::from_millis(10);

/// The row of a job that has not begun with its first one.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A finished job with its number; `None` if it panicked.
pub(crate) struct FinishedJob(pub(crate) u64, pub(crate) Option<Job>);

/// The position of a reader, and what it is told.
#[derive(Default)]
pub(crate) struct Progress {
    /// The job's number, 0 between jobs.
    job: AtomicU64,
    row: AtomicU32,
    /// Whether it is a slow job.
    is_slow: AtomicBool,
    /// The number of the job whose other rows are read by others.
    relieved: AtomicU64,
}

/// Jobs to read, and jobs that are finished.
pub(super) struct WorkQueue {
    pub(super) state: Mutex<QueueState>,
    pub(super) done: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct QueueState {
    pub(super) queued: VecDeque<(u64, Job)>,
    pub(super) queued_rows: usize,
    /// By the job that last tried the file, and their own numbers.
    pub(super) slow: BTreeMap<(u64, u64), Job>,
    pub(super) suspected: Vec<(u64, Job)>,
    /// How many slow and suspected jobs are being read, and may be.
    slow_running: usize,
    pub(super) max_slow: usize,
    pub(super) finished: Vec<FinishedJob>,
    /// Readers that are about to take their first job.
    pub(super) starting: usize,
    /// How many readers are to end after their job; all of them once the pool is dropped.
    pub(super) surplus: usize,
    pub(super) ended: Vec<u64>,
}

impl Progress {
    pub(super) fn position(&self) -> (u64, u32) {
        let job = self.job.load(Ordering::Acquire);
        (job, self.row.load(Ordering::Relaxed))
    }

    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Relaxed)
    }

    pub(super) fn set_row(&self, row: u32) {
        self.row.store(row, Ordering::Relaxed);
    }

    /// The job ends after the row that it is at: others read the rest.
    pub(super) fn relieve(&self, job: u64) {
        self.relieved.store(job, Ordering::Relaxed);
    }

    pub(super) fn is_relieved(&self, job: u64) -> bool {
        self.relieved.load(Ordering::Relaxed) == job
    }

    fn begin(&self, number: u64, job: &Job) {
        self.set_row(NO_ROW);
        let is_slow = job.precedence != Precedence::Normal;
        self.is_slow.store(is_slow, Ordering::Relaxed);
        self.job.store(number, Ordering::Release);
    }

    fn end(&self) {
        self.job.store(0, Ordering::Release);
    }
}

impl QueueState {
    pub(super) fn push(&mut self, number: u64, job: Job) {
        match job.precedence {
            Precedence::Normal => {
                self.queued_rows += job.rows.files.len();
                self.queued.push_back((number, job));
            }
            Precedence::Slow { last_tried } => {
                self.slow.insert((last_tried, number), job);
            }
            Precedence::Suspected => self.suspected.push((number, job)),
        }
    }

    /// How many of the jobs that wait may be read now.
    pub(super) fn runnable(&self) -> usize {
        let suspected = self.suspected.len().min(self.room_for_suspected());
        let slow = suspected + self.slow.len();
        self.queued.len() + slow.min(self.room_for_slow())
    }

    fn room_for_suspected(&self) -> usize {
        self.max_slow.saturating_sub(self.slow_running)
    }

    fn room_for_slow(&self) -> usize {
        self.max_slow.max(1).saturating_sub(self.slow_running)
    }

    /// The job to read next. A surplus reader takes none that the others do.
    fn take_job(&mut self) -> Option<(u64, Job)> {
        if self.surplus == 0
            && let Some((number, job)) = self.queued.pop_front()
        {
            self.queued_rows -= job.rows.files.len();
            return Some((number, job));
        }
        let mut job = None;
        if self.room_for_suspected() > 0 {
            job = self.suspected.pop();
        }
        if job.is_none() && self.room_for_slow() > 0 {
            let first = self.slow.pop_first();
            job = first.map(|((_, number), job)| (number, job));
        }
        self.slow_running += usize::from(job.is_some());
        self.surplus = self.surplus.saturating_sub(usize::from(job.is_some()));
        job
    }

    /// Takes a job out that no reader has begun.
    pub(super) fn cancel(&mut self, number: u64) -> Option<Job> {
        if let Some(at) = self.queued.iter().position(|(it, _)| *it == number) {
            let (_, job) = self.queued.remove(at)?;
            self.queued_rows -= job.rows.files.len();
            return Some(job);
        }
        if let Some(at) = self.suspected.iter().position(|(it, _)| *it == number) {
            return Some(self.suspected.remove(at).1);
        }
        let key = self.slow.keys().find(|(_, it)| *it == number).copied()?;
        self.slow.remove(&key)
    }

    /// All readers end.
    pub(super) fn end(&mut self) {
        self.slow.clear();
        self.suspected.clear();
        self.surplus = usize::MAX;
    }
}

impl WorkQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a reader: one job after the other, until none is left.
    pub(super) fn run_reader(&self, reader: u64, progress: &Progress, buffer: &mut [u8]) {
        let mut notified_at = Instant::now();
        let mut state = self.lock();
        state.starting -= 1;
        loop {
            let Some((number, mut job)) = state.take_job() else {
                state.surplus = state.surplus.saturating_sub(1);
                state.ended.push(reader);
                return;
            };
            let is_slow = job.precedence != Precedence::Normal;
            if is_slow && state.runnable() > 0 {
                // There may be one more reader, now that this one is at a slow job.
                self.done.notify_one();
            }
            drop(state);
            progress.begin(number, &job);
            let run = AssertUnwindSafe(|| job.run(number, buffer, progress));
            let done = catch_unwind(run).is_ok().then_some(job);
            progress.end();
            state = self.lock();
            state.slow_running -= usize::from(is_slow);
            state.finished.push(FinishedJob(number, done));
            if state.queued.is_empty() || notified_at.elapsed() >= BATCH_WINDOW {
                // The task that wakes up finds the queue unlocked.
                drop(state);
                notified_at = Instant::now();
                self.done.notify_one();
                state = self.lock();
            }
        }
    }
}
