//! Threads that read. Reads can block for ever in the kernel: never on the runtime's own threads.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::job::Job;
use super::work_queue::{Desk, FinishedJob, Progress};

/// A file that has not answered for so long no longer holds up the others: another thread takes over.
const SLOW: Duration = Duration::from_millis(100);

/// No more is given out while so many rows wait: small tables are read one after the other without a word between them,
/// and what is wanted soonest waits for no more than that.
const AHEAD: usize = 1024;

/// Threads, and what each is reading.
pub(crate) struct ReaderPool {
    /// How many read at a time.
    most: usize,
    /// How many may be lost to files that do not answer.
    most_stuck: usize,
    /// A file that has not answered for so long is given up.
    timeout: Duration,
    buffer: usize,
    desk: Arc<Desk>,
    /// By its number.
    all: BTreeMap<u64, Reader>,
    /// Readers and jobs are numbered from 1 on.
    next: u64,
}

struct Reader {
    progress: Arc<Progress>,
    /// The job and row that it was last seen at, and since when.
    at: (u64, u32),
    since: Instant,
    /// Another thread has taken over.
    aside: bool,
    given_up: bool,
}

impl ReaderPool {
    /// Readers who tell by `done` when there is something to take; a value's file has fewer bytes than `buffer`.
    pub(crate) fn new(
        most: usize,
        most_stuck: usize,
        timeout: Duration,
        buffer: usize,
        done: Arc<Notify>,
    ) -> ReaderPool {
        let desk = Desk {
            work: Mutex::default(),
            given: Condvar::new(),
            done,
        };
        ReaderPool {
            most,
            most_stuck,
            timeout,
            buffer,
            desk: Arc::new(desk),
            all: BTreeMap::new(),
            next: 1,
        }
    }

    /// Whether a job would be begun soon.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_halted() && self.desk.work().rows < AHEAD
    }

    /// Whether every thread that may read waits for a file that was given up.
    pub(crate) fn is_halted(&self) -> bool {
        self.at_work() >= self.most && self.all.values().all(|reader| reader.given_up)
    }

    /// How many threads may be lost to files that do not answer.
    pub(crate) fn most_stuck(&self) -> usize {
        self.most_stuck
    }

    /// How many threads wait for files that do not answer.
    pub(crate) fn lost(&self) -> usize {
        self.all.values().filter(|reader| reader.aside).count()
    }

    fn at_work(&self) -> usize {
        self.all.len() - self.lost()
    }

    /// Gives out a job; tells its number.
    pub(crate) fn give(&mut self, job: Job) -> io::Result<u64> {
        let number = self.number();
        let mut work = self.desk.work();
        work.rows += job.rows.files.len();
        let is_awaited = work.idle > work.todo.len();
        work.todo.push_back((number, job));
        drop(work);
        if is_awaited {
            self.desk.given.notify_one();
        } else {
            self.take_over()?;
        }
        Ok(number)
    }

    /// What has been read since the last call.
    pub(crate) fn done(&mut self) -> Vec<FinishedJob> {
        self.follow();
        std::mem::take(&mut self.desk.work().done)
    }

    /// Looks at how far each reader is: one that is slow is set aside for another, one that goes on again may be one too
    /// many.
    fn follow(&mut self) {
        let now = Instant::now();
        let mut work = self.desk.work();
        for number in work.ended.drain(..) {
            self.all.remove(&number);
        }
        for reader in self.all.values_mut() {
            let at = reader.progress.at();
            if at != reader.at || at.0 == 0 {
                (reader.at, reader.since) = (at, now);
                (reader.aside, reader.given_up) = (false, false);
            }
        }
        let mut lost = self.lost();
        for reader in self.all.values_mut() {
            let is_slow = now - reader.since >= SLOW.min(self.timeout);
            if is_slow && !reader.aside && lost < self.most_stuck {
                reader.aside = true;
                lost += 1;
            }
        }
        work.surplus = self.at_work().saturating_sub(self.most);
    }

    /// Looks for files that do not answer; gives the jobs to be given up, with the row of each.
    pub(crate) fn watch(&mut self) -> io::Result<Vec<(u64, u32)>> {
        self.follow();
        let now = Instant::now();
        let mut given_up = Vec::new();
        for reader in self.all.values_mut() {
            if !reader.given_up && now - reader.since >= self.timeout {
                reader.given_up = true;
                given_up.push(reader.at);
            }
        }
        let work = self.desk.work();
        if !work.done.is_empty() {
            // A reader that does not come on told of nothing that it had read before.
            self.desk.done.notify_one();
        }
        let is_awaited = !work.todo.is_empty();
        drop(work);
        if is_awaited {
            self.take_over()?;
        }
        Ok(given_up)
    }

    /// One more reader, where fewer are at work than may be.
    fn take_over(&mut self) -> io::Result<()> {
        if self.at_work() >= self.most {
            return Ok(());
        }
        let number = self.number();
        let progress = Arc::new(Progress::default());
        let reader = Reader {
            progress: Arc::clone(&progress),
            at: (0, 0),
            since: Instant::now(),
            aside: false,
            given_up: false,
        };
        let (desk, size) = (Arc::clone(&self.desk), self.buffer);
        std::thread::Builder::new()
            .name("statsfs-read".into())
            .stack_size(256 * 1024)
            .spawn(move || desk.read(number, &progress, &mut vec![0; size]))?;
        self.all.insert(number, reader);
        Ok(())
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl Drop for ReaderPool {
    fn drop(&mut self) {
        self.desk.work().surplus = usize::MAX;
        self.desk.given.notify_all();
    }
}
