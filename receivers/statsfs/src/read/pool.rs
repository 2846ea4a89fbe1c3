//! The pool of reader threads. A read can block for ever in the kernel, so it never runs on a thread of the async runtime. A
//! reader ends when no job is left; its thread then goes to whoever needs one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline::BlockingThreads;
use tokio::sync::Notify;

use super::job::Job;
use super::reader_thread::{LongJob, ReaderThread};
use super::work_queue::{FinishedJob, NO_ROW, Progress, QueueState, WorkQueue};

/// After this time without progress a reader is stalled: others read the rest of its job, and the other jobs. A job that takes
/// longer is shared with readers that are idle.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_millis(100);

/// No more jobs are queued while this many rows wait. Small tables are read one after the other without a wake-up between
/// them, and an urgent table waits behind no more than these.
const MAX_QUEUED_ROWS: usize = 1024;

/// The reader threads, and what each is reading.
pub(crate) struct ReaderPool {
    blocking_threads: BlockingThreads,
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

/// What became of a job that is not waited for.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// No reader had begun it.
    Queued(Box<Job>),
    /// A reader is at this row, and ends after it.
    Reading(u32),
    /// It is finished, or has just begun.
    Soon,
}

impl ReaderPool {
    /// `done` is notified when jobs are finished; `buffer` is one byte larger than a file may be.
    pub(crate) fn new(
        blocking_threads: BlockingThreads,
        max_readers: usize,
        max_stuck: usize,
        timeout: Duration,
        buffer: usize,
        done: Arc<Notify>,
    ) -> ReaderPool {
        let queue = WorkQueue {
            state: Mutex::default(),
            done,
        };
        ReaderPool {
            blocking_threads,
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

    /// How many threads read at a time.
    pub(crate) fn max_readers(&self) -> usize {
        self.max_readers
    }

    /// How many threads may be stalled by files that do not answer.
    pub(crate) fn max_stuck(&self) -> usize {
        self.max_stuck
    }

    /// How many threads wait for files that were given up.
    pub(crate) fn given_up_count(&self) -> usize {
        let all = self.threads.values();
        all.filter(|reader| reader.given_up).count()
    }

    /// How many threads are stalled, or read files that are known to be slow.
    fn stalled_count(&self) -> usize {
        let all = self.threads.values();
        all.filter(|reader| reader.stalled).count()
    }

    fn active_count(&self) -> usize {
        self.threads.len() - self.stalled_count()
    }

    /// How many slow jobs may be read at a time, so that a thread is left for all else.
    fn max_slow(&self) -> usize {
        let stalled = |reader: &&ReaderThread| reader.stalled && !reader.is_at_slow_job();
        let stalled = self.threads.values().filter(stalled).count();
        let all_but_one = (self.max_stuck + self.max_readers - 1).max(1);
        all_but_one.saturating_sub(stalled)
    }

    /// Queues a job; returns its number.
    pub(crate) fn submit(&mut self, job: Job) -> io::Result<u64> {
        let number = self.take_number();
        self.queue.lock().push(number, job);
        self.staff()?;
        Ok(number)
    }

    /// No longer waits for a job.
    pub(crate) fn cancel(&mut self, number: u64) -> Cancelled {
        if let Some(job) = self.queue.lock().cancel(number) {
            return Cancelled::Queued(Box::new(job));
        }
        let mut positions = self.threads.values().map(|it| it.progress.position());
        let position = positions.find(|(job, row)| *job == number && *row != NO_ROW);
        position.map_or(Cancelled::Soon, |(_, row)| Cancelled::Reading(row))
    }

    /// The jobs finished since the last call.
    pub(crate) fn take_finished(&mut self) -> Vec<FinishedJob> {
        std::mem::take(&mut self.queue.lock().finished)
    }

    /// Looks where the readers are; returns the jobs that others could share: their files do not answer, or they take long
    /// while readers are idle.
    pub(crate) fn find_long_jobs(&mut self) -> io::Result<Vec<LongJob>> {
        self.update_threads();
        self.staff()?;
        let now = Instant::now();
        let state = self.queue.lock();
        let has_idle = self.active_count() < self.max_readers && state.runnable() == 0;
        drop(state);
        let time = self.stall_timeout();
        let threads = self.threads.values();
        let long = threads.filter_map(|reader| reader.long_job(time, now, has_idle));
        Ok(long.collect())
    }

    /// Others read the rest of this job.
    pub(crate) fn relieve(&mut self, number: u64) {
        let mut readers = self.threads.values_mut();
        if let Some(reader) = readers.find(|it| it.position.0 == number) {
            reader.relieve();
        }
    }

    fn stall_timeout(&self) -> Duration {
        STALL_TIMEOUT.min(self.timeout)
    }

    /// Updates the position of each reader. One that makes no progress is stalled; one that goes on again may be one too
    /// many.
    fn update_threads(&mut self) {
        let now = Instant::now();
        let (stall_timeout, max_stuck) = (self.stall_timeout(), self.max_stuck);
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        self.remove_ended(&mut state);
        self.threads.values_mut().for_each(|it| it.update(now));
        let mut stalled = self.stalled_count();
        for reader in self.threads.values_mut() {
            let is_slow = reader.is_at_slow_job() || reader.waits_for(stall_timeout, now);
            if is_slow && !reader.stalled && stalled < max_stuck {
                reader.stalled = true;
                stalled += 1;
            }
        }
        state.max_slow = self.max_slow();
        state.surplus = self.active_count().saturating_sub(self.max_readers);
    }

    /// Looks for files that do not answer; returns the jobs to give up, with the row of each.
    pub(crate) fn find_stuck(&mut self) -> io::Result<Vec<(u64, u32)>> {
        self.blocking_threads.relieve()?;
        self.update_threads();
        let now = Instant::now();
        let mut given_up = Vec::new();
        for reader in self.threads.values_mut() {
            if reader.is_reading() && !reader.given_up && reader.waits_for(self.timeout, now) {
                reader.given_up = true;
                given_up.push(reader.position);
            }
        }
        if !self.queue.lock().finished.is_empty() {
            // A stuck reader has not notified of the jobs that it finished before.
            self.queue.done.notify_one();
        }
        self.staff()?;
        Ok(given_up)
    }

    /// Starts one more reader, where a job waits for it, and fewer are active than may be.
    fn staff(&mut self) -> io::Result<()> {
        let queue = Arc::clone(&self.queue);
        let mut state = queue.lock();
        self.remove_ended(&mut state);
        if state.runnable() <= state.starting || self.active_count() >= self.max_readers {
            return Ok(());
        }
        state.starting += 1;
        drop(state);
        let number = self.take_number();
        let progress = Arc::new(Progress::default());
        let reader = ReaderThread::new(Arc::clone(&progress), Instant::now());
        let size = self.buffer;
        let is_first = self.threads.is_empty();
        self.threads.insert(number, reader);
        let run = move || queue.run_reader(number, &progress, &mut vec![0; size]);
        if is_first {
            self.blocking_threads.run(run)
        } else {
            self.blocking_threads.run_now(run)
        }
    }

    fn remove_ended(&mut self, state: &mut QueueState) {
        for number in state.ended.drain(..) {
            self.threads.remove(&number);
        }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.queue.lock().end();
    }
}
