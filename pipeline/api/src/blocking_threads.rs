//! Threads for calls that may block for ever, as reads of the kernel's files may: all receivers share them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// A thread that has been at its work for longer is waited for no more: that may be stuck.
const PATIENCE: Duration = Duration::from_millis(50);

/// An idle thread ends after this time. One that sweeps each second keeps its thread.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Threads that run what may block for ever, so that it stands on no thread of the async runtime. Each has a stack and a heap
/// of its own, some 100 KiB, and few devices bear to be read by many at a time: so there is one, and more only where work
/// would wait for what takes long. Idle ones end. Clones share them.
#[derive(Clone, Default)]
pub struct BlockingThreads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work_queued: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    /// Since when each is at its work, by the threads' numbers.
    running: BTreeMap<u64, Instant>,
    /// Threads that wait for work: one at the most.
    idle: usize,
    next_number: u64,
}

type Work = Box<dyn FnOnce() + Send>;

impl BlockingThreads {
    /// Runs it soon: on the idle thread, or after what another has just begun. Who waits for it calls
    /// [`BlockingThreads::relieve`] from time to time, lest it stands behind what blocks.
    ///
    /// # Errors
    /// The system gives no thread; then it is left in the queue.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.0.lock();
        state.queue.push_back(Box::new(work));
        self.staff(state)
    }

    /// Runs it now, on a thread that nothing else waits for.
    ///
    /// # Errors
    /// The system gives no thread; then it is left in the queue.
    pub fn run_now(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.0.lock();
        state.queue.push_front(Box::new(work));
        if state.queue.len() > state.idle {
            return self.spawn(state);
        }
        self.0.work_queued.notify_one();
        Ok(())
    }

    /// Starts one more thread where work waits, and every thread has been at its own for long.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn relieve(&self) -> io::Result<()> {
        let state = self.0.lock();
        if state.queue.is_empty() {
            return Ok(());
        }
        self.staff(state)
    }

    /// Sees to it that a thread takes what waits.
    fn staff(&self, state: MutexGuard<'_, State>) -> io::Result<()> {
        if state.idle > 0 {
            self.0.work_queued.notify_one();
            return Ok(());
        }
        let mut running = state.running.values();
        if running.all(|since| since.elapsed() >= PATIENCE) {
            return self.spawn(state);
        }
        Ok(())
    }

    fn spawn(&self, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        let number = state.next_number;
        state.next_number += 1;
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("blocking".into());
        thread.spawn(move || shared.serve(number))?;
        // It is soon at its work.
        state.running.insert(number, Instant::now());
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a thread: one work after the other, until there is none, and another thread waits for more.
    fn serve(&self, number: u64) {
        let mut state = self.lock();
        loop {
            while let Some(work) = state.queue.pop_front() {
                state.running.insert(number, Instant::now());
                drop(state);
                work();
                state = self.lock();
            }
            state.running.remove(&number);
            if state.idle > 0 {
                return;
            }
            state.idle += 1;
            let is_empty = |state: &mut State| state.queue.is_empty();
            let woken = self
                .work_queued
                .wait_timeout_while(state, IDLE_TIMEOUT, is_empty);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
            if state.queue.is_empty() {
                return;
            }
        }
    }
}

impl fmt::Debug for BlockingThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("BlockingThreads")
            .field("queued", &state.queue.len())
            .field("running", &state.running.len())
            .field("idle", &state.idle)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::{current, yield_now};

    use super::*;

    #[test]
    fn what_ends_soon_is_run_by_one_thread_in_order() {
        let threads = BlockingThreads::default();
        // It holds the thread until all is queued.
        let (go, hear_go) = channel::<()>();
        let (done, hear) = channel();
        let begun = done.clone();
        let hold = move || {
            begun.send((0, current().id())).unwrap();
            let _ = hear_go.recv();
        };
        threads.run(hold).unwrap();
        let (_, thread) = hear.recv().unwrap();
        // However slow this test is.
        let late = Instant::now() + Duration::from_hours(1);
        let mut state = threads.0.lock();
        state.running.values_mut().for_each(|since| *since = late);
        drop(state);
        for number in 1..20 {
            let done = done.clone();
            threads
                .run(move || done.send((number, current().id())).unwrap())
                .unwrap();
        }
        threads.relieve().unwrap();
        drop(go);
        let all: Vec<_> = hear.iter().take(19).collect();
        let expected = (1..20).map(|number| (number, thread));
        assert!(all.iter().copied().eq(expected), "{all:?}");
    }

    #[test]
    fn what_blocks_holds_up_nothing_and_its_thread_goes_when_it_ends() {
        let threads = BlockingThreads::default();
        let (answer, blocks) = channel::<()>();
        let (begun, hear_begun) = channel();
        let block = move || {
            begun.send(()).unwrap();
            let _ = blocks.recv();
        };
        threads.run(block).unwrap();
        hear_begun.recv().unwrap();
        let (done, hear) = channel();
        let (waits, at_once) = (done.clone(), done.clone());
        threads.run(move || waits.send("waits").unwrap()).unwrap();
        threads
            .run_now(move || at_once.send("at once").unwrap())
            .unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            threads.relieve().unwrap();
            heard.extend(hear.try_recv());
            yield_now();
        }
        heard.sort_unstable();
        assert_eq!(heard, ["at once", "waits"]);
        drop(answer);
        while !threads.0.lock().running.is_empty() {
            yield_now();
        }
        assert!(threads.0.lock().idle <= 1);
        // What comes later finds a thread, be it a new one.
        threads.run(move || done.send("later").unwrap()).unwrap();
        assert_eq!(hear.recv(), Ok("later"));
    }
}
