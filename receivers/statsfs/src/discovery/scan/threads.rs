//! The scanning threads. While there is a scan one is active. A directory may not answer for ever, as a file may: the thread
//! that waits for it is replaced, and what it was asked for is applied when it comes back.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pipeline::{BlockingThreads, Context, Demand};
use tokio::sync::mpsc;

use super::state::ScanState;
use super::{ScanEvent, ScanRequest};
use crate::counters::DIRECTORIES_FAILED;
use crate::discovery::tree::DOES_NOT_ANSWER;
use crate::failure_log::FailureLog;
use crate::plan::Plan;
use crate::read::{STALL_TIMEOUT, cpu_time};

/// The scanner of a receiver. When it is dropped the threads end, those that wait for a directory once that answers.
pub(crate) struct Scanner {
    shared: Arc<Shared>,
    blocking_threads: BlockingThreads,
    events: mpsc::Sender<ScanEvent>,
    next_thread: u64,
    /// Directories that were given up, to be told of.
    pub(crate) given_up: Vec<Arc<str>>,
    /// Whether a thread was waiting for a directory that does not answer, when this was last looked for.
    pub(crate) is_stalled: bool,
    /// Whether every thread was, so that nothing is found until one of the directories answers.
    pub(crate) is_halted: bool,
}

struct Shared {
    state: Mutex<Threads>,
    /// A call has returned, or was given up.
    call_ended: Condvar,
}

struct Threads {
    scan: ScanState,
    /// What the threads wait for, by their numbers.
    calls: BTreeMap<u64, Call>,
}

/// System calls on one directory, which may block for ever.
struct Call {
    path: Arc<str>,
    since: Instant,
    /// Whether others may go on with the scan meanwhile, and whether one does.
    replacement: Replacement,
    is_given_up: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replacement {
    /// Without the root there is nothing to go on with.
    Never,
    Possible,
    Active,
}

impl Threads {
    /// The active thread may wait for a directory that does not answer, and could not be replaced. Returns whether it is
    /// now, by one that has come back.
    fn replace_stalled(&mut self) -> bool {
        let mut calls = self.calls.values_mut();
        let stalled = calls.find(|call| call.is_stalled());
        stalled
            .map(|call| call.replacement = Replacement::Active)
            .is_some()
    }
}

impl Call {
    /// Whether somebody else should go on with the scan meanwhile.
    fn is_stalled(&self) -> bool {
        self.replacement == Replacement::Possible && self.since.elapsed() >= STALL_TIMEOUT
    }
}

impl Scanner {
    /// Scans nothing yet.
    pub(crate) fn new(
        root: String,
        plan: Arc<Plan>,
        demand: Demand,
        context: Context,
        failure_log: FailureLog,
        events: mpsc::Sender<ScanEvent>,
    ) -> Scanner {
        let blocking_threads = context.blocking_threads.clone();
        let scan = ScanState::new(root, plan, demand, context, failure_log, events.clone());
        let threads = Threads {
            scan,
            calls: BTreeMap::new(),
        };
        let shared = Shared {
            state: Mutex::new(threads),
            call_ended: Condvar::new(),
        };
        Scanner {
            shared: Arc::new(shared),
            blocking_threads,
            events,
            next_thread: 0,
            given_up: Vec::new(),
            is_stalled: false,
            is_halted: false,
        }
    }

    /// Requests a scan; the last one has to be over.
    pub(crate) fn request(&mut self, request: ScanRequest) -> io::Result<()> {
        let scan = self.thread(move |shared, number| {
            shared.begin(number, request);
            shared.scan(number);
        });
        self.blocking_threads.run(scan)
    }

    /// Looks for directories that do not answer: the threads that wait for them are replaced, and after `timeout` the
    /// directories are given up, which is counted and warned about.
    pub(crate) fn check_stalled(&mut self) -> io::Result<()> {
        self.blocking_threads.relieve()?;
        let shared = Arc::clone(&self.shared);
        // Where a thread has it, that one is at work.
        let Ok(mut state) = shared.state.try_lock() else {
            return Ok(());
        };
        let Threads { scan, calls } = &mut *state;
        let (timeout, max_stuck) = (scan.plan.directory_timeout(), scan.plan.max_stuck);
        let is_replaced = |call: &Call| call.replacement == Replacement::Active;
        let mut replaced = calls.values().filter(|call| is_replaced(call)).count();
        let mut replacements = 0;
        for call in calls.values_mut() {
            if call.is_stalled() && replaced < max_stuck {
                call.replacement = Replacement::Active;
                (replaced, replacements) = (replaced + 1, replacements + 1);
            }
            if call.since.elapsed() >= timeout && !call.is_given_up {
                call.is_given_up = true;
                if scan.plan.inspects {
                    self.given_up.push(Arc::clone(&call.path));
                }
                let log = &scan.failure_log;
                let subject = call.path.to_string();
                log.record_once(DIRECTORIES_FAILED, "stuck", DOES_NOT_ANSWER, subject);
                log.flush();
                shared.call_ended.notify_all();
            }
        }
        self.is_stalled = calls
            .values()
            .any(|call| is_replaced(call) || call.is_given_up);
        self.is_halted =
            replacements == 0 && !calls.is_empty() && calls.values().all(|call| call.is_given_up);
        drop(state);
        (0..replacements).try_for_each(|_| {
            let replacement = self.thread(|shared, number| {
                // It hands over what was found, and goes on with the scan that is under way.
                shared.lock().scan.flush();
                shared.scan(number);
            });
            self.blocking_threads.run_now(replacement)
        })
    }

    /// What a thread does, which gets a number.
    fn thread(
        &mut self,
        run: impl FnOnce(&Shared, u64) + Send + 'static,
    ) -> impl FnOnce() + Send + 'static {
        let (shared, number) = (Arc::clone(&self.shared), self.next_thread);
        self.next_thread += 1;
        let events = self.events.clone();
        move || {
            if catch_unwind(AssertUnwindSafe(|| run(&shared, number))).is_err() {
                let _ = events.blocking_send(ScanEvent::BrokenDown);
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a scan: looks after the root.
    fn begin(&self, number: u64, request: ScanRequest) {
        let cpu = cpu_time();
        let mut state = self.lock();
        let root: Arc<str> = state.scan.root_path();
        let (mut full, mut is_new) = (request.full, false);
        let never = &mut Replacement::Never;
        if let Some(check) = state.scan.root_check() {
            let is_same;
            (state, is_same) = self.outside(state, number, &root, never, check);
            if !is_same {
                state.scan.lose_root();
                (full, is_new) = (true, true);
            }
        }
        if full && let Some(search) = state.scan.root_search() {
            let found;
            (state, found) = self.outside(state, number, &root, never, search);
            state.scan.set_root(found);
        }
        state.scan.begin(ScanRequest { full, ..request }, is_new);
        state.scan.add_cpu(cpu_time().saturating_sub(cpu));
    }

    /// Goes on with the scan that is under way until nothing is left to look at, or another thread does.
    fn scan(&self, number: u64) {
        let cpu = cpu_time();
        let mut replacement = Replacement::Possible;
        let mut state = self.lock();
        loop {
            if replacement == Replacement::Active && state.replace_stalled() {
                replacement = Replacement::Possible;
            }
            let is_active = replacement != Replacement::Active;
            // One that was replaced leaves what is to be looked at next to the other, if that is at work.
            let goes_on = is_active || !state.scan.is_scanning();
            if goes_on && let Some(visit) = state.scan.next_visit() {
                let path = Arc::clone(&visit.path);
                if !state.calls.is_empty() {
                    // This may be the last thread that is not stalled.
                    state.scan.flush();
                }
                let call = || visit.visit();
                let (relocked, mut visited) =
                    self.outside(state, number, &path, &mut replacement, call);
                state = relocked;
                let tree = state.scan.tree_of(&visit);
                let names = tree.map(|tree| tree.entries_to_stat(&visit, &mut visited));
                if let Some(names) = names.filter(|names| !names.is_empty()) {
                    let call = || visited.stat(names);
                    (state, ()) = self.outside(state, number, &path, &mut replacement, call);
                }
                state.scan.apply(visit, visited);
                continue;
            }
            if !is_active {
                state.scan.add_cpu(cpu_time().saturating_sub(cpu));
                state.scan.flush();
                self.call_ended.notify_all();
                return;
            }
            if !state.scan.is_scanning() || state.scan.is_closed() {
                return;
            }
            if state.calls.values().all(|call| call.is_given_up) {
                state.scan.add_cpu(cpu_time().saturating_sub(cpu));
                state.scan.finish();
                return;
            }
            // What others wait for may answer yet, and have more to look at.
            state.scan.flush();
            let woken = self.call_ended.wait_timeout(state, STALL_TIMEOUT);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes a call that may block for ever, without the lock.
    fn outside<'a, T>(
        &'a self,
        mut state: MutexGuard<'a, Threads>,
        number: u64,
        path: &Arc<str>,
        replacement: &mut Replacement,
        call: impl FnOnce() -> T,
    ) -> (MutexGuard<'a, Threads>, T) {
        let position = Call {
            path: Arc::clone(path),
            since: Instant::now(),
            replacement: *replacement,
            is_given_up: false,
        };
        state.calls.insert(number, position);
        drop(state);
        let result = call();
        let mut state = self.lock();
        if let Some(call) = state.calls.remove(&number) {
            *replacement = call.replacement;
        }
        (state, result)
    }
}
