//! What is wrong in a tree, said once and then counted: a thousand bad files are one line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::Counters;

/// Lines of one cause between two rescans; what is beyond them is counted only.
const MAX_LINES: usize = 3;

/// Subjects that a line names.
const MAX_NAMED: usize = 3;

/// So many things are remembered to have been named; then they may be named again.
const MAX_NAMED_ONCE: usize = 65_536;

/// What is wrong and was not said yet. Clones share it: the thread that scans and the readers complain together.
#[derive(Clone)]
pub(crate) struct Warnings {
    counters: Counters,
    state: Arc<Mutex<WarningState>>,
}

#[derive(Default)]
struct WarningState {
    /// By reason and cause: the first subjects, and how many there are.
    pending: BTreeMap<(&'static str, &'static str), (Vec<String>, u64)>,
    named_once: HashSet<u64>,
    lines_by_cause: HashMap<&'static str, usize>,
}

impl Warnings {
    pub(crate) fn new(counters: Counters) -> Warnings {
        Warnings {
            counters,
            state: Arc::default(),
        }
    }

    /// The first failure of a thing: named, and counted. `counter` is where, `reason` tells kinds apart, `cause` is in words.
    pub(crate) fn add(
        &self,
        counter: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: impl FnOnce() -> String,
    ) {
        self.count(counter, reason, 1);
        let mut state = self.lock();
        let (subjects, count) = state.pending.entry((reason, cause)).or_default();
        *count += 1;
        if subjects.len() < MAX_NAMED {
            subjects.push(subject());
        }
    }

    /// The same, for what a rescan finds again: named only once.
    pub(crate) fn add_once(
        &self,
        counter: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: String,
    ) {
        let mut hasher = DefaultHasher::new();
        (reason, cause, &subject).hash(&mut hasher);
        let mut state = self.lock();
        if state.named_once.len() >= MAX_NAMED_ONCE {
            state.named_once.clear();
        }
        let is_new = state.named_once.insert(hasher.finish());
        drop(state);
        if is_new {
            self.add(counter, reason, cause, || subject);
        }
    }

    /// Counts failures that were named before.
    pub(crate) fn count(&self, counter: &'static str, reason: &'static str, count: u64) {
        self.counters.add(counter, reason, count);
    }

    /// Says what is new: one line a cause, with the first subjects and the number of the others.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        for ((_, cause), (subjects, count)) in std::mem::take(&mut state.pending) {
            let lines = state.lines_by_cause.entry(cause).or_default();
            *lines += 1;
            if *lines > MAX_LINES {
                continue;
            }
            let named = subjects.join(", ");
            match count - subjects.len() as u64 {
                0 => tracing::warn!("{cause}: {named}; passed over"),
                more => tracing::warn!("{cause}: {named} and {more} more; passed over"),
            }
        }
    }

    /// A rescan gives new lines.
    pub(crate) fn reset_quota(&self) {
        self.lock().lines_by_cause.clear();
    }

    fn lock(&self) -> MutexGuard<'_, WarningState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
