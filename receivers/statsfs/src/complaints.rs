//! What is wrong in a tree, said once and then counted: a thousand bad files are one line.

use std::collections::{BTreeMap, HashMap, HashSet};

use pipeline::Counters;

/// Lines of one cause between two rescans; what is beyond them is counted only.
const MOST_LINES: usize = 3;

/// Subjects that a line names.
const MOST_NAMED: usize = 3;

/// What is wrong and was not said yet.
pub(crate) struct Complaints {
    counters: Counters,
    /// By reason and cause: the first subjects, and how many there are.
    new: BTreeMap<(&'static str, &'static str), (Vec<String>, u64)>,
    known: HashSet<u64>,
    lines: HashMap<&'static str, usize>,
}

impl Complaints {
    pub(crate) fn new(counters: Counters) -> Complaints {
        Complaints {
            counters,
            new: BTreeMap::new(),
            known: HashSet::new(),
            lines: HashMap::new(),
        }
    }

    /// The first failure of a thing: named, and counted. `what` is the counter, `reason` tells kinds apart, `cause` is in words.
    pub(crate) fn add(
        &mut self,
        what: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: impl FnOnce() -> String,
    ) {
        self.count(what, reason);
        let (subjects, count) = self.new.entry((reason, cause)).or_default();
        *count += 1;
        if subjects.len() < MOST_NAMED {
            subjects.push(subject());
        }
    }

    /// The same, for what a rescan finds again: named only once.
    pub(crate) fn add_once(
        &mut self,
        what: &'static str,
        reason: &'static str,
        cause: &'static str,
        subject: String,
    ) {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (reason, cause, &subject).hash(&mut hasher);
        if self.known.insert(hasher.finish()) {
            self.add(what, reason, cause, || subject);
        }
    }

    /// Counts a failure that was named before.
    pub(crate) fn count(&self, what: &'static str, reason: &'static str) {
        self.counters.add(what, reason, 1);
    }

    /// Says what is new: one line a cause, with the first subjects and the number of the others.
    pub(crate) fn say(&mut self) {
        for ((_, cause), (subjects, count)) in std::mem::take(&mut self.new) {
            let lines = self.lines.entry(cause).or_default();
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
    pub(crate) fn refill(&mut self) {
        self.lines.clear();
    }
}
