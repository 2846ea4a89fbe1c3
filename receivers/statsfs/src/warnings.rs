//! Warnings about the tree: logged once and then counted. A thousand bad files are one line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::telemetry::Counters;

/// The quota: lines of one cause between two rescans. Beyond it warnings are only counted.
const MAX_LINES: usize = 3;

/// How many subjects a line names.
const MAX_NAMED: usize = 3;

/// How many subjects are remembered as named; then all may be named again.
const MAX_NAMED_ONCE: usize = 65_536;

/// Warnings to log at the next flush. Clones share them: the scanner and the task warn together.
#[derive(Clone)]
pub(crate) struct Warnings {
    counters: Counters,
    state: Arc<Mutex<WarningState>>,
}

#[derive(Default)]
struct WarningState {
    /// By reason and cause: the first subjects, and the number of all.
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

    /// The first failure of a subject: it is warned about and counted. `reason` is that of the counter, `cause` is the message.
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

    /// The same for failures that each rescan finds again: warned about only once.
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

    /// Counts failures that were warned about before.
    pub(crate) fn count(&self, counter: &'static str, reason: &'static str, count: u64) {
        self.counters.add(counter, reason, count);
    }

    /// Logs the new warnings: one line per cause, with the first subjects and the number of the others.
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

    /// A rescan begins: resets the quota of lines.
    pub(crate) fn reset_quota(&self) {
        self.lock().lines_by_cause.clear();
    }

    fn lock(&self) -> MutexGuard<'_, WarningState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
