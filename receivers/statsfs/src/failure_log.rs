//! Failures in the tree: warned of once, joined, and counted. A thousand bad files are one line.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::telemetry::{Counter, Counters, WarningOutcome, Warnings};
use rustix::io::Errno;

/// How many subjects a warning names.
const MAX_NAMED: usize = 3;

/// How many subjects are remembered as recorded once; then all may be recorded again.
const MAX_RECORDED_ONCE: usize = 65_536;

/// Why something failed: the warning's message, and the kernel's error where it gave one. What fails by another error is
/// another line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Cause {
    message: &'static str,
    error: Option<i32>,
}

impl From<&'static str> for Cause {
    fn from(message: &'static str) -> Cause {
        let error = None;
        Cause { message, error }
    }
}

impl From<(&'static str, Errno)> for Cause {
    fn from((message, errno): (&'static str, Errno)) -> Cause {
        let error = Some(errno.raw_os_error());
        Cause { message, error }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)?;
        match self.error {
            Some(error) => write!(f, ": {}", std::io::Error::from_raw_os_error(error)),
            None => Ok(()),
        }
    }
}

/// Failures to warn of at the next flush. Clones share them: the scanner and the task record together.
#[derive(Clone)]
pub(crate) struct FailureLog {
    counters: Counters,
    warnings: Warnings,
    state: Arc<Mutex<PendingFailures>>,
}

#[derive(Default)]
struct PendingFailures {
    /// By reason and cause: the first subjects, and the number of all.
    pending: BTreeMap<(&'static str, Cause), (Vec<String>, u64)>,
    recorded_once: HashSet<u64>,
}

impl FailureLog {
    pub(crate) fn new(counters: Counters) -> FailureLog {
        FailureLog {
            warnings: Warnings::new(counters.component()),
            counters,
            state: Arc::default(),
        }
    }

    /// The first failure of a subject: counted, and warned of at the next flush. `reason` is that of the counter.
    pub(crate) fn record(
        &self,
        counter: Counter,
        reason: &'static str,
        cause: impl Into<Cause>,
        subject: impl FnOnce() -> String,
    ) {
        self.count(counter, reason, 1);
        let mut state = self.lock();
        let key = (reason, cause.into());
        let (subjects, count) = state.pending.entry(key).or_default();
        *count += 1;
        if subjects.len() < MAX_NAMED {
            subjects.push(subject());
        }
    }

    /// The same for failures that each rescan finds again: recorded only once.
    pub(crate) fn record_once(
        &self,
        counter: Counter,
        reason: &'static str,
        cause: impl Into<Cause>,
        subject: String,
    ) {
        self.record_many_once(counter, reason, cause, subject, 1);
    }

    /// The same for so many failures of one subject.
    pub(crate) fn record_many_once(
        &self,
        counter: Counter,
        reason: &'static str,
        cause: impl Into<Cause>,
        subject: String,
        count: u64,
    ) {
        let cause = cause.into();
        let mut hasher = DefaultHasher::new();
        (reason, cause, &subject).hash(&mut hasher);
        let mut state = self.lock();
        if state.recorded_once.len() >= MAX_RECORDED_ONCE {
            state.recorded_once.clear();
        }
        let is_new = state.recorded_once.insert(hasher.finish());
        drop(state);
        if is_new {
            self.count(counter, reason, count - 1);
            self.record(counter, reason, cause, || subject);
        }
    }

    /// Counts failures that were recorded before.
    pub(crate) fn count(&self, counter: Counter, reason: &'static str, count: u64) {
        self.counters.record_for(counter, reason, count);
    }

    /// Warns of the new failures: one line per cause, with the first subjects and the number of the others.
    pub(crate) fn flush(&self) {
        self.lock().pending.retain(|(_, cause), (subjects, count)| {
            let mut named = subjects.join(", ");
            let more = *count - subjects.len() as u64;
            if more > 0 {
                named = format!("{named} and {more} more");
            }
            if let Some(error) = cause.error {
                let error = std::io::Error::from_raw_os_error(error);
                named = format!("{named}: {error}");
            }
            self.warnings.warn(cause.message, &named) == WarningOutcome::Postponed
        });
    }

    /// The receiver's other warnings.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    fn lock(&self) -> MutexGuard<'_, PendingFailures> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
