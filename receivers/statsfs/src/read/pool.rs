//! The pool of reader threads. A read can block for ever in the kernel, so it never runs on a thread of the async runtime.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::job::Job;
use super::work_queue::{FinishedJob, Progress, WorkQueue};

/// After this time without progress a reader is stalled: a replacement reads the other jobs.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_millis(100);

/// No more jobs are queued while this many rows wait. Small tables are read one after the other without a wake-up between
/// them, and an urgent table waits behind no more than these.
const MAX_QUEUED_ROWS: usize = 1024;

/// The reader threads, and what each is reading.
pub(crate) struct ReaderPool {
    /// How many threads read at a time.
    max_readers: usize,
    /// How many threads may be stalled by files that do not answer.
    max_stuck: usize,
    /// A file that has not answered for this long is given up.
    timeout: Duration,
    buffer: usize,
    queue: Arc<WorkQueue>,
    /// By reader number.
    threads: BTreeMap<u64, ReaderThread>,
    /// Readers and jobs are numbered from 1 on.
    next_number: u64,
}

struct ReaderThread {
    progress: Arc<Progress>,
    /// The job and row where it was last seen.
    position: (u64, u32),
    since: Instant,
    /// A replacement may read in its place.
    stalled: bool,
    given_up: bool,
}

impl ReaderPool {
    /// `done` is notified when jobs are finished; `buffer` is one byte larger than a file may be.
    pub(crate) fn new(
        max_readers: usize,
        max_stuck: usize,
        timeout: Duration,
        buffer: usize,
        done: Arc<Notify>,
    ) -> ReaderPool {
        let queue = WorkQueue {
            state: Mutex::default(),
            job_queued: Condvar::new(),
            done,
        };
        ReaderPool {
            max_readers,
            max_stuck,
            timeout,
            buffer,
            queue: Arc::new(queue),
            threads: BTreeMap::new(),
            next_number: 1,
        }
    }

    /// Whether a job that is submitted now would start soon.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_halted() && self.queue.lock().queued_rows < MAX_QUEUED_ROWS
    }

    /// Whether every thread waits for a file that was given up.
    pub(crate) fn is_halted(&self) -> bool {
        self.active_count() >= self.max_readers
            && self.threads.values().all(|reader| reader.given_up)
    }

    /// How many threads may be stalled by files that do not answer.
    pub(crate) fn max_stuck(&self) -> usize {
        self.max_stuck
    }

    /// How many threads are stalled.
    pub(crate) fn stalled_count(&self) -> usize {
        self.threads
            .values()
            .filter(|reader| reader.stalled)
            .count()
    }

    fn active_count(&self) -> usize {
        self.threads.len() - self.stalled_count()
    }

    /// Queues a job; returns its number.
    pub(crate) fn submit(&mut self, job: Job) -> io::Result<u64> {
        let number = self.take_number();
        let mut state = self.queue.lock();
        state.queued_rows += job.rows.files.len();
        let is_awaited = state.idle > state.queued.len();
        state.queued.push_back((number, job));
        drop(state);
        if is_awaited {
            self.queue.job_queued.notify_one();
        } else {
            self.spawn_replacement()?;
        }
        Ok(number)
    }

    /// The jobs finished since the last call.
    pub(crate) fn take_finished(&mut self) -> Vec<FinishedJob> {
        self.update_threads();
        std::mem::take(&mut self.queue.lock().finished)
    }

    /// Updates the position of each reader. One that makes no progress is stalled; one that goes on again may be one too
    /// many.
    fn update_threads(&mut self) {
        let now = Instant::now();
        let mut state = self.queue.lock();
        for number in state.ended.drain(..) {
            self.threads.remove(&number);
        }
        for reader in self.threads.values_mut() {
            let position = reader.progress.position();
            if position != reader.position || position.0 == 0 {
                (reader.position, reader.since) = (position, now);
                (reader.stalled, reader.given_up) = (false, false);
            }
        }
        let mut stalled = self.stalled_count();
        for reader in self.threads.values_mut() {
            let is_slow = now - reader.since >= STALL_TIMEOUT.min(self.timeout);
            if is_slow && !reader.stalled && stalled < self.max_stuck {
                reader.stalled = true;
                stalled += 1;
            }
        }
        state.surplus = self.active_count().saturating_sub(self.max_readers);
    }

    /// Looks for files that do not answer; returns the jobs to give up, with the row of each.
    pub(crate) fn find_stuck(&mut self) -> io::Result<Vec<(u64, u32)>> {
        self.update_threads();
        let now = Instant::now();
        let mut given_up = Vec::new();
        for reader in self.threads.values_mut() {
            if !reader.given_up && now - reader.since >= self.timeout {
                reader.given_up = true;
                given_up.push(reader.position);
            }
        }
        let state = self.queue.lock();
        if !state.finished.is_empty() {
            // A stuck reader has not notified of the jobs that it finished before.
            self.queue.done.notify_one();
        }
        let is_awaited = !state.queued.is_empty();
        drop(state);
        if is_awaited {
            self.spawn_replacement()?;
        }
        Ok(given_up)
    }

    /// Starts one more reader, where fewer are active than may be.
    fn spawn_replacement(&mut self) -> io::Result<()> {
        if self.active_count() >= self.max_readers {
            return Ok(());
        }
        let number = self.take_number();
        let progress = Arc::new(Progress::default());
        let reader = ReaderThread {
            progress: Arc::clone(&progress),
            position: (0, 0),
            since: Instant::now(),
            stalled: false,
            given_up: false,
        };
        let (queue, size) = (Arc::clone(&self.queue), self.buffer);
        std::thread::Builder::new()
            .name("statsfs-read".into())
            .stack_size(256 * 1024)
            .spawn(move || queue.run_reader(number, &progress, &mut vec![0; size]))?;
        self.threads.insert(number, reader);
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.queue.lock().surplus = usize::MAX;
        self.queue.job_queued.notify_all();
    }
}
