//! What happened, counted: the numbers behind the summary.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::DropReason;

/// A counter: its name, `<what>_<done>` with the unit last (`points_dropped`, `cpu_microseconds`), and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    name: &'static str,
    kind: CounterKind,
}

/// What is kept of the values that a counter is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterKind {
    /// Their sum.
    Sum,
    /// The largest.
    Maximum,
    /// The last.
    Gauge,
}

impl Counter {
    /// Points that receivers sent on.
    pub const POINTS_READ: Counter = Counter::sum("points_read");
    /// Points that go no further, by [`DropReason`]: [`Counters::dropped`] counts them.
    pub const POINTS_DROPPED: Counter = Counter::sum("points_dropped");
    /// Points that were handed to an exporter.
    pub const POINTS_HANDED: Counter = Counter::sum("points_handed");
    /// Points that the far side took.
    pub const POINTS_SENT: Counter = Counter::sum("points_sent");
    /// Points that the far side refused for good.
    pub const POINTS_REJECTED: Counter = Counter::sum("points_rejected");
    /// Points that were handed to an exporter and are neither sent nor dropped yet.
    pub const POINTS_QUEUED: Counter = Counter::gauge("points_queued");
    /// Series that go no further, by reason.
    pub const SERIES_REFUSED: Counter = Counter::sum("series_refused");
    /// Sweeps of a receiver.
    pub const SWEEPS: Counter = Counter::sum("sweeps");
    /// Sweeps that were due and not made.
    pub const SWEEPS_SKIPPED: Counter = Counter::sum("sweeps_skipped");
    /// Files that were read.
    pub const FILES_READ: Counter = Counter::sum("files_read");
    /// Series that a receiver has now.
    pub const SERIES: Counter = Counter::gauge("series");
    /// Points that came to a processor.
    pub const POINTS_INCOMING: Counter = Counter::sum("points_incoming");
    /// Points that a processor let out.
    pub const POINTS_OUTGOING: Counter = Counter::sum("points_outgoing");
    /// What is in an exporter's queue, in the unit of its size.
    pub const QUEUE_SIZE: Counter = Counter::gauge("queue_size");
    /// How much an exporter's queue holds.
    pub const QUEUE_CAPACITY: Counter = Counter::gauge("queue_capacity");

    /// A counter of the sum of its values.
    #[must_use]
    pub const fn sum(name: &'static str) -> Counter {
        let kind = CounterKind::Sum;
        Counter { name, kind }
    }

    /// A counter of the largest of its values.
    #[must_use]
    pub const fn maximum(name: &'static str) -> Counter {
        let kind = CounterKind::Maximum;
        Counter { name, kind }
    }

    /// A counter of the last of its values.
    #[must_use]
    pub const fn gauge(name: &'static str) -> Counter {
        let kind = CounterKind::Gauge;
        Counter { name, kind }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is kept of its values.
    #[must_use]
    pub const fn kind(&self) -> CounterKind {
        self.kind
    }

    /// A value beside what is kept already, of this counter or of the same one of another component: sums and gauges
    /// add up.
    #[must_use]
    pub fn combine(&self, kept: u64, value: u64) -> u64 {
        match self.kind {
            CounterKind::Sum | CounterKind::Gauge => kept + value,
            CounterKind::Maximum => kept.max(value),
        }
    }
}

/// Counts of one component. Added to once a batch, a request or a scan, never once a point.
#[derive(Clone)]
pub struct Counters {
    component: Arc<str>,
    own: Arc<Counts>,
    all: Arc<Mutex<BTreeMap<Arc<str>, Arc<Counts>>>>,
}

type Counts = Mutex<BTreeMap<CountKey, Count>>;

#[derive(Clone, Copy, Default)]
struct Count {
    value: u64,
    inherited: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CountKey {
    counter: Counter,
    reason: &'static str,
    is_loss: bool,
}

/// What a counter shows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterValue {
    /// The component's id.
    pub component: Arc<str>,
    /// What is counted.
    pub counter: Counter,
    /// What tells kinds of it apart; empty where nothing does.
    pub reason: &'static str,
    /// Whether it counts data that is lost.
    pub is_loss: bool,
    /// How much it is.
    pub value: u64,
    /// How much of it is of components that have ended.
    pub inherited: u64,
}

impl Counters {
    /// An empty set of counts, for this component.
    #[must_use]
    pub fn new(component: &str) -> Counters {
        let (component, own) = (Arc::from(component), Arc::default());
        let all = BTreeMap::from([(Arc::clone(&component), Arc::clone(&own))]);
        Counters {
            component,
            own,
            all: Arc::new(Mutex::new(all)),
        }
    }

    /// The same set, for another component.
    #[must_use]
    pub fn of(&self, component: &str) -> Counters {
        let component: Arc<str> = component.into();
        let own = Arc::clone(locked(&self.all).entry(Arc::clone(&component)).or_default());
        Counters {
            component,
            own,
            all: Arc::clone(&self.all),
        }
    }

    /// The component whose counts these are.
    #[must_use]
    pub fn component(&self) -> &Arc<str> {
        &self.component
    }

    /// Records a value: a sum grows by it, a maximum keeps the larger one, a gauge is set to it.
    pub fn record(&self, counter: Counter, value: u64) {
        self.record_for(counter, "", value);
    }

    /// The same by a reason, which tells kinds of what is counted apart.
    pub fn record_for(&self, counter: Counter, reason: &'static str, value: u64) {
        let is_loss = false;
        let key = CountKey {
            counter,
            reason,
            is_loss,
        };
        self.record_key(key, value);
    }

    /// Counts points that go no further.
    pub fn dropped(&self, reason: DropReason, points: u64) {
        let key = CountKey {
            counter: Counter::POINTS_DROPPED,
            reason: reason.name(),
            is_loss: reason.is_loss(),
        };
        self.record_key(key, points);
    }

    /// The component has ended: its counts go over to another one, so that sums stay as they are. What it had at the moment
    /// (a gauge), it has no more.
    pub fn end(self, heir: &Counters) {
        locked(&self.all).retain(|_, counts| !Arc::ptr_eq(counts, &self.own));
        let mut kept = locked(&heir.own);
        for (key, count) in std::mem::take(&mut *locked(&self.own)) {
            if key.counter.kind == CounterKind::Gauge {
                continue;
            }
            let sum = kept.entry(key).or_default();
            sum.value = key.counter.combine(sum.value, count.value);
            sum.inherited = key.counter.combine(sum.inherited, count.value);
        }
    }

    /// The sum of a counter over all components and reasons.
    #[must_use]
    pub fn total(&self, name: &str) -> u64 {
        let all = self.snapshot().into_iter();
        all.filter(|it| it.counter.name == name)
            .map(|it| it.value)
            .sum()
    }

    /// How many points were lost: dropped for a reason that is a loss.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let all = self.snapshot().into_iter();
        all.filter(|it| it.is_loss).map(|it| it.value).sum()
    }

    /// All counts at this moment, sorted by component, counter and reason.
    #[must_use]
    pub fn snapshot(&self) -> Vec<CounterValue> {
        let mut all = Vec::new();
        self.visit(|value| all.push(value));
        all
    }

    /// Calls `visit` with each count, sorted by component, counter and reason; nothing may be counted within.
    pub fn visit(&self, mut visit: impl FnMut(CounterValue)) {
        for (component, counts) in &*locked(&self.all) {
            for (key, count) in &*locked(counts) {
                visit(CounterValue {
                    component: Arc::clone(component),
                    counter: key.counter,
                    reason: key.reason,
                    is_loss: key.is_loss,
                    value: count.value,
                    inherited: count.inherited,
                });
            }
        }
    }

    fn record_key(&self, key: CountKey, value: u64) {
        let mut own = locked(&self.own);
        match key.counter.kind {
            CounterKind::Gauge => own.entry(key).or_default().value = value,
            CounterKind::Sum | CounterKind::Maximum if value > 0 => {
                let kept = own.entry(key).or_default();
                kept.value = key.counter.combine(kept.value, value);
            }
            CounterKind::Sum | CounterKind::Maximum => {}
        }
    }
}

/// A panic elsewhere leaves counts as they are.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}
