//! The work queue: jobs wait here for a reader, and finished jobs for the task.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::job::Job;

/// Finished jobs wait at most this long for the rest of the queue before the task is notified.
const BATCH_WINDOW: Duration = Duration::from_millis(10);

/// A finished job with its number; `None` if it panicked.
pub(crate) struct FinishedJob(pub(crate) u64, pub(crate) Option<Job>);

/// The position of a reader: the job's number, 0 between jobs, and the row.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) job: AtomicU64,
    pub(super) row: AtomicU32,
}

/// Jobs to read, and jobs that are finished.
pub(super) struct WorkQueue {
    pub(super) state: Mutex<QueueState>,
    pub(super) job_queued: Condvar,
    pub(super) done: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct QueueState {
    pub(super) queued: VecDeque<(u64, Job)>,
    pub(super) queued_rows: usize,
    pub(super) finished: Vec<FinishedJob>,
    /// Readers that wait for a job.
    pub(super) idle: usize,
    /// How many readers are to end after their job; all of them once the pool is dropped.
    pub(super) surplus: usize,
    pub(super) ended: Vec<u64>,
}

impl Progress {
    pub(super) fn position(&self) -> (u64, u32) {
        let job = self.job.load(Ordering::Acquire);
        (job, self.row.load(Ordering::Relaxed))
    }
}

impl WorkQueue {
    pub(super) fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a reader thread: one job after the other.
    pub(super) fn run_reader(&self, reader: u64, progress: &Progress, buffer: &mut [u8]) {
        let mut notified_at = Instant::now();
        let mut state = self.lock();
        loop {
            if state.queued.is_empty() && state.surplus == 0 {
                state.idle += 1;
                let nothing =
                    |state: &mut QueueState| state.queued.is_empty() && state.surplus == 0;
                let woken = self.job_queued.wait_while(state, nothing);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                notified_at = Instant::now();
            }
            if state.surplus > 0 {
                state.surplus -= 1;
                state.ended.push(reader);
                // It may have been woken for a job.
                self.job_queued.notify_one();
                return;
            }
            let Some((number, mut job)) = state.queued.pop_front() else {
                continue;
            };
            state.queued_rows -= job.rows.files.len();
            drop(state);
            progress.row.store(0, Ordering::Relaxed);
            progress.job.store(number, Ordering::Release);
            let run = AssertUnwindSafe(|| job.run(buffer, &progress.row));
            let done = catch_unwind(run).is_ok().then_some(job);
            progress.job.store(0, Ordering::Release);
            state = self.lock();
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
