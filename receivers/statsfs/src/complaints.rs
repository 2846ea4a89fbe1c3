//! What is wrong in a tree, said once and then counted: a thousand bad files are one line.

use std::collections::{BTreeMap, HashMap, HashSet};

use pipeline::Counters;

/// Lines of one cause between two rescans; what is beyond them is counted only.
const MOST_LINES: usize = 3;

/// What is wrong and was not said yet.
pub(crate) struct Complaints {
    counters: Counters,
    new: BTreeMap<(&'static str, &'static str), (String, u64)>,
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
        let (_, more) = self
            .new
            .entry((reason, cause))
            .or_insert_with(|| (subject(), 0));
        *more += 1;
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

    /// Says what is new: one line a cause, with the first subject and the number of the others.
    pub(crate) fn say(&mut self) {
        for ((_, cause), (subject, count)) in std::mem::take(&mut self.new) {
            let lines = self.lines.entry(cause).or_default();
            *lines += 1;
            match count {
                _ if *lines > MOST_LINES => {}
                1 => tracing::warn!("{subject} {cause}; passed over"),
                _ => tracing::warn!("{subject} {cause}; passed over, as are {} more", count - 1),
            }
        }
    }

    /// A rescan gives new lines.
    pub(crate) fn refill(&mut self) {
        self.lines.clear();
    }
}
