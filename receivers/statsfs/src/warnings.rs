//! What is wrong in a tree, said once and then counted: a thousand bad files are one line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::Counters;

/// Lines of one cause between two rescans; what is beyond them is counted only.
const MOST_LINES: usize = 3;

/// Subjects that a line names.
const MOST_NAMED: usize = 3;

/// So many things are remembered to have been named; then they may be named again.
const MOST_ONCE: usize = 65_536;

/// What is wrong and was not said yet. Clones share it: the thread that scans and the readers complain together.
#[derive(Clone)]
pub(crate) struct Complaints {
    counters: Counters,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// By reason and cause: the first subjects, and how many there are.
    new: BTreeMap<(&'static str, &'static str), (Vec<String>, u64)>,
    once: HashSet<u64>,
    lines: HashMap<&'static str, usize>,
}

impl Complaints {
    pub(crate) fn new(counters: Counters) -> Complaints {
        Complaints {
            counters,
            known: Arc::default(),
        }
    }

    /// The first failure of a thing: named, and counted. `what` is the counter, `reason` tells kinds apart, `cause` is in words.
    pub(crate) fn add(
        &self,
        what: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: impl FnOnce() -> String,
    ) {
        self.count(what, reason, 1);
        let mut known = self.known();
        let (subjects, count) = known.new.entry((reason, cause)).or_default();
        *count += 1;
        if subjects.len() < MOST_NAMED {
            subjects.push(subject());
        }
    }

    /// The same, for what a rescan finds again: named only once.
    pub(crate) fn add_once(
        &self,
        what: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: String,
    ) {
        let mut hasher = DefaultHasher::new();
        (reason, cause, &subject).hash(&mut hasher);
        let mut known = self.known();
        if known.once.len() >= MOST_ONCE {
            known.once.clear();
        }
        let is_new = known.once.insert(hasher.finish());
        drop(known);
        if is_new {
            self.add(what, reason, cause, || subject);
        }
    }

    /// Counts failures that were named before.
    pub(crate) fn count(&self, what: &'static str, reason: &'static str, count: u64) {
        self.counters.add(what, reason, count);
    }

    /// Says what is new: one line a cause, with the first subjects and the number of the others.
    pub(crate) fn say(&self) {
        let mut known = self.known();
        for ((_, cause), (subjects, count)) in std::mem::take(&mut known.new) {
            let lines = known.lines.entry(cause).or_default();
            *lines += 1;
            if *lines > MOST_LINES {
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
    pub(crate) fn refill(&self) {
        self.known().lines.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
