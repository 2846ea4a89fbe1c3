//! Rules of the configuration that match nothing: named once, after the first scan of all trees.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bounded;
use crate::data::Series;
use crate::matching::Match;

/// Whether one rule has matched anything yet. It costs two loads of a flag for each series that is seen for the first time.
#[derive(Debug)]
pub struct RuleUse {
    /// Where it stands below the component: `actions.1.rename`.
    path: String,
    /// It only drops, which it may do later as well.
    drops: bool,
    /// The subsystem that it is about, if it says so.
    subsystem: Option<String>,
    is_asked: AtomicBool,
    is_matched: AtomicBool,
    /// The first scan is over.
    is_over: AtomicBool,
    near_miss: Mutex<Option<String>>,
}

impl RuleUse {
    /// A rule at this path below its component. One that only drops is no reason for a warning; one about a single
    /// `subsystem` is not held against trees that are not there.
    #[must_use]
    pub fn new(path: impl Into<String>, drops: bool, subsystem: Option<&str>) -> RuleUse {
        RuleUse {
            path: path.into(),
            drops,
            subsystem: subsystem.map(String::from),
            is_asked: AtomicBool::new(false),
            is_matched: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            near_miss: Mutex::new(None),
        }
    }

    /// Where it stands below the component: `actions.1.rename`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is of interest what it matches: it has matched nothing yet, and the first scan is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.is_matched.load(Ordering::Relaxed) && !self.is_over.load(Ordering::Relaxed)
    }

    /// The rule, which is about what `of` says, is asked of a series.
    pub fn ask(&self, of: &Match, series: &Series) {
        if self.is_open() {
            self.record(of.is_match(series), || of.near_miss(series));
        }
    }

    /// It was asked of something. `near_miss` says in words why something that does not match nearly does, and is called
    /// until it has said so once.
    pub fn record(&self, is_match: bool, near_miss: impl FnOnce() -> Option<String>) {
        if !self.is_open() {
            return;
        }
        self.is_asked.store(true, Ordering::Relaxed);
        if is_match {
            self.is_matched.store(true, Ordering::Relaxed);
            return;
        }
        let mut known = locked(&self.near_miss);
        if known.is_none() {
            *known = near_miss();
        }
    }

    /// Ends the first scan: warns if nothing was matched, and `is_judged` by the subsystem that it is about. At debug where
    /// it only drops.
    pub fn log(&self, component: &str, is_judged: impl FnOnce(Option<&str>) -> bool) {
        let is_unmatched = self.is_open() && self.is_asked.load(Ordering::Relaxed);
        self.is_over.store(true, Ordering::Relaxed);
        if !is_unmatched || !is_judged(self.subsystem.as_deref()) {
            return;
        }
        let (rule, near_miss) = (&*self.path, locked(&self.near_miss));
        let near_miss = near_miss.as_deref().map(bounded);
        let near_miss = near_miss.as_deref();
        if self.drops {
            tracing::debug!(component, rule, near_miss, "{MATCHES_NOTHING}");
        } else {
            tracing::warn!(component, rule, near_miss, "{MATCHES_NOTHING}");
        }
    }
}

const MATCHES_NOTHING: &str = "matches nothing that the first scan has found";

/// The rules of all processors, and the trees that they are judged by. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RuleLog(Arc<Mutex<RuleLogState>>);

#[derive(Debug, Default)]
struct RuleLogState {
    /// By component and path: a processor in two pipelines is built twice, and its rules are the same.
    rules: BTreeMap<(Arc<str>, String), Arc<RuleUse>>,
    trees: Vec<FoundTree>,
}

/// What the first scan of a receiver has found: its subsystems, and whether each has a device; of a tree that is not there,
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundTree(pub BTreeMap<Arc<str>, bool>);

impl FoundTree {
    /// Whether a rule can be judged by this tree, that is about this subsystem, if it says so: the subsystem has a device, or
    /// each one has.
    #[must_use]
    pub fn is_judge(&self, subsystem: Option<&str>) -> bool {
        self.is_whole() || self.has_devices(subsystem)
    }

    fn is_whole(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|has_device| *has_device)
    }

    fn has_devices(&self, subsystem: Option<&str>) -> bool {
        subsystem.is_some_and(|it| self.0.get(it) == Some(&true))
    }
}

impl RuleLog {
    /// The rule of this component, as of [`RuleUse::new`].
    #[must_use]
    pub fn rule(&self, component: &Arc<str>, rule: RuleUse) -> Arc<RuleUse> {
        let key = (Arc::clone(component), rule.path.clone());
        let mut state = locked(&self.0);
        let known = state.rules.entry(key).or_insert_with(|| Arc::new(rule));
        Arc::clone(known)
    }

    /// A receiver's first scan is over; it is told before the start-up report.
    pub fn found(&self, tree: FoundTree) {
        locked(&self.0).trees.push(tree);
    }

    /// The first scans of so many receivers are over: warns of the rules that have matched nothing, once. One may be about a
    /// tree that is not there, or has no device yet: then nothing is said of it, unless its subsystem is there.
    pub fn log(&self, receivers: usize) {
        let state = std::mem::take(&mut *locked(&self.0));
        let trees = &state.trees;
        let are_whole = trees.len() == receivers && trees.iter().all(FoundTree::is_whole);
        for ((component, _), rule) in state.rules {
            rule.log(&component, |subsystem| {
                are_whole || trees.iter().any(|tree| tree.has_devices(subsystem))
            });
        }
    }
}

/// A panic elsewhere leaves what is known as it is.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
