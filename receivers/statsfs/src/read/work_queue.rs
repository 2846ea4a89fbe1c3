//! Jobs wait here for a reader, and come back done.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::job::Job;

/// What has been read waits so long for the rest of what was given out, at the most.
const TOGETHER: Duration = Duration::from_millis(10);

/// A job that ended, by its number; `None`: the thread broke down.
pub(crate) struct FinishedJob(pub(crate) u64, pub(crate) Option<Job>);

/// Where a reader is: a job's number, 0 between jobs, and its row.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) job: AtomicU64,
    pub(super) row: AtomicU32,
}

/// Where jobs are given out and come back.
pub(super) struct Desk {
    pub(super) work: Mutex<Work>,
    pub(super) given: Condvar,
    pub(super) done: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Work {
    pub(super) todo: VecDeque<(u64, Job)>,
    pub(super) rows: usize,
    pub(super) done: Vec<FinishedJob>,
    /// Readers that wait for a job.
    pub(super) idle: usize,
    /// Readers that are one too many, and end with their job; all of them when nobody gives out jobs any more.
    pub(super) surplus: usize,
    pub(super) ended: Vec<u64>,
}

impl Progress {
    pub(super) fn at(&self) -> (u64, u32) {
        let job = self.job.load(Ordering::Acquire);
        (job, self.row.load(Ordering::Relaxed))
    }
}

impl Desk {
    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader's life: one job after the other.
    pub(super) fn read(&self, reader: u64, progress: &Progress, buffer: &mut [u8]) {
        let mut told = Instant::now();
        let mut work = self.work();
        loop {
            if work.todo.is_empty() && work.surplus == 0 {
                work.idle += 1;
                let nothing = |work: &mut Work| work.todo.is_empty() && work.surplus == 0;
                let woken = self.given.wait_while(work, nothing);
                work = woken.unwrap_or_else(PoisonError::into_inner);
                work.idle -= 1;
                told = Instant::now();
            }
            if work.surplus > 0 {
                work.surplus -= 1;
                work.ended.push(reader);
                // It may have been woken for a job.
                self.given.notify_one();
                return;
            }
            let Some((number, mut job)) = work.todo.pop_front() else {
                continue;
            };
            work.rows -= job.rows.files.len();
            drop(work);
            progress.row.store(0, Ordering::Relaxed);
            progress.job.store(number, Ordering::Release);
            let run = AssertUnwindSafe(|| job.run(buffer, &progress.row));
            let done = catch_unwind(run).is_ok().then_some(job);
            progress.job.store(0, Ordering::Release);
            work = self.work();
            work.done.push(FinishedJob(number, done));
            if work.todo.is_empty() || told.elapsed() >= TOGETHER {
                // Who wakes up for it finds the desk free.
                drop(work);
                told = Instant::now();
                self.done.notify_one();
                work = self.work();
            }
        }
    }
}
