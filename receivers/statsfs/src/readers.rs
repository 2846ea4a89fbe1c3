//! Threads that read. Reads can block for ever in the kernel: never on the runtime's own threads.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::job::Job;

/// A file that has not answered for so long no longer holds up the others: another thread takes over.
const SLOW: Duration = Duration::from_millis(100);

/// Threads, and what each is reading.
pub(crate) struct Readers {
    /// How many read at a time.
    most: usize,
    /// How many may be lost to files that do not answer.
    most_stuck: usize,
    buffer: usize,
    tell: mpsc::UnboundedSender<Done>,
    idle: Vec<Reader>,
    busy: HashMap<u64, Busy>,
    next: u64,
}

struct Reader {
    jobs: std::sync::mpsc::Sender<(u64, Job)>,
    progress: Arc<AtomicU32>,
}

struct Busy {
    reader: Reader,
    row: u32,
    /// Since when it has been at this row.
    since: Instant,
    /// Another thread has taken over.
    aside: bool,
    given_up: bool,
}

/// A job that ended, by its number; `None`: the thread broke down.
pub(crate) struct Done(pub(crate) u64, pub(crate) Option<Job>);

impl Readers {
    /// Readers whose jobs come back by `tell`; a value's file has fewer bytes than `buffer`.
    pub(crate) fn new(
        most: usize,
        most_stuck: usize,
        buffer: usize,
        tell: mpsc::UnboundedSender<Done>,
    ) -> Readers {
        Readers {
            most,
            most_stuck,
            buffer,
            tell,
            idle: Vec::new(),
            busy: HashMap::new(),
            next: 0,
        }
    }

    /// Whether a job would be begun at once.
    pub(crate) fn has_room(&self) -> bool {
        self.busy.len() - self.lost() < self.most
    }

    /// Whether every thread that may read waits for a file that was given up.
    pub(crate) fn is_halted(&self) -> bool {
        !self.has_room() && self.busy.values().all(|busy| busy.given_up)
    }

    /// How many threads may be lost to files that do not answer.
    pub(crate) fn most_stuck(&self) -> usize {
        self.most_stuck
    }

    /// How many threads wait for files that do not answer.
    pub(crate) fn lost(&self) -> usize {
        self.busy.values().filter(|busy| busy.aside).count()
    }

    /// Begins a job; gives its number.
    pub(crate) fn give(&mut self, job: Job) -> io::Result<u64> {
        let number = self.next;
        self.next += 1;
        let reader = match self.idle.pop() {
            Some(reader) => reader,
            None => self.spawn()?,
        };
        reader.progress.store(0, Ordering::Relaxed);
        // A thread ends only when its sender is dropped.
        let _ = reader.jobs.send((number, job));
        let busy = Busy {
            reader,
            row: u32::MAX,
            since: Instant::now(),
            aside: false,
            given_up: false,
        };
        self.busy.insert(number, busy);
        Ok(number)
    }

    /// Takes note that a job ended. A thread that is one too many ends.
    pub(crate) fn ended(&mut self, number: u64) {
        if let Some(busy) = self.busy.remove(&number)
            && self.idle.len() + self.busy.len() - self.lost() < self.most
        {
            self.idle.push(busy.reader);
        }
    }

    /// Looks at how far each job is; gives those to be given up, with the row that does not answer.
    pub(crate) fn watch(&mut self, timeout: Duration) -> Vec<(u64, u32)> {
        let now = Instant::now();
        let mut lost = self.lost();
        let mut given_up = Vec::new();
        for (number, busy) in &mut self.busy {
            let row = busy.reader.progress.load(Ordering::Relaxed);
            if row != busy.row {
                (busy.row, busy.since) = (row, now);
            }
            let slow = now - busy.since;
            if !busy.aside && slow >= SLOW.min(timeout) && lost < self.most_stuck {
                busy.aside = true;
                lost += 1;
            }
            if !busy.given_up && slow >= timeout {
                busy.given_up = true;
                given_up.push((*number, row));
            }
        }
        given_up
    }

    fn spawn(&self) -> io::Result<Reader> {
        let (jobs, given) = std::sync::mpsc::channel::<(u64, Job)>();
        let progress = Arc::new(AtomicU32::new(0));
        let reader = Reader {
            jobs,
            progress: Arc::clone(&progress),
        };
        let (tell, size) = (self.tell.clone(), self.buffer);
        std::thread::Builder::new()
            .name("statsfs-read".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                let mut buffer = vec![0; size];
                for (number, mut job) in given {
                    let run = AssertUnwindSafe(|| job.run(&mut buffer, &progress));
                    let done = catch_unwind(run).is_ok().then_some(job);
                    if tell.send(Done(number, done)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(reader)
    }
}
