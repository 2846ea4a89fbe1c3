//! What happened, counted: the numbers behind the summary line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts of one component, by name and reason. Added to once a batch, a request or a scan, never once a point.
#[derive(Clone)]
pub struct Counters {
    own: Arc<Counts>,
    all: Arc<Mutex<BTreeMap<Arc<str>, Arc<Counts>>>>,
}

type Counts = Mutex<BTreeMap<(&'static str, &'static str), u64>>;

/// What is counted: the component's id, the counter's name, and the reason (empty where there is none).
pub type Key = (Arc<str>, &'static str, &'static str);

impl Counters {
    /// An empty set of counts.
    #[must_use]
    pub fn new(component: &str) -> Counters {
        let own = Arc::default();
        let all = BTreeMap::from([(component.into(), Arc::clone(&own))]);
        Counters {
            own,
            all: Arc::new(Mutex::new(all)),
        }
    }

    /// The same set, for another component.
    #[must_use]
    pub fn of(&self, component: &str) -> Counters {
        let own = Arc::clone(locked(&self.all).entry(component.into()).or_default());
        Counters {
            own,
            all: Arc::clone(&self.all),
        }
    }

    /// Adds to a counter. Names are `<what>_<done>` (`points_dropped`), a reason tells kinds of one apart.
    pub fn add(&self, name: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            *locked(&self.own).entry((name, reason)).or_default() += count;
        }
    }

    /// Sets a gauge, such as what is queued now.
    pub fn set(&self, name: &'static str, count: u64) {
        locked(&self.own).insert((name, ""), count);
    }

    /// Keeps the most that was seen; such a name begins with `longest_`.
    pub fn most(&self, name: &'static str, seen: u64) {
        if seen > 0 {
            let mut own = locked(&self.own);
            let most = own.entry((name, "")).or_default();
            *most = seen.max(*most);
        }
    }

    /// The component has ended: its counts go over to another one, so that sums stay as they are.
    pub fn end(self, heir: &Counters) {
        locked(&self.all).retain(|_, counts| !Arc::ptr_eq(counts, &self.own));
        for ((name, reason), count) in std::mem::take(&mut *locked(&self.own)) {
            if is_most(name) {
                heir.most(name, count);
            } else {
                heir.add(name, reason, count);
            }
        }
    }

    /// The sum of a counter over all components and reasons.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        self.snapshot()
            .iter()
            .filter(|((_, have, _), _)| *have == name)
            .map(|(_, count)| count)
            .sum()
    }

    /// All counts at this moment, sorted.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<Key, u64> {
        let all = locked(&self.all);
        let counts = all.iter().flat_map(|(component, counts)| {
            let key = |(name, reason)| (Arc::clone(component), name, reason);
            let counts = locked(counts).clone();
            counts.into_iter().map(move |(at, count)| (key(at), count))
        });
        counts.collect()
    }
}

/// Whether what has this name is kept as the most that was seen, not as a sum.
#[must_use]
pub fn is_most(name: &str) -> bool {
    name.starts_with("longest_")
}

/// A panic elsewhere leaves counts as they are.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.snapshot()).finish()
    }
}
