//! Which series there are, and which counts each is made of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pipeline::telemetry::{ComponentKind, Counter, CounterKind, CounterValue, DropReason};
use pipeline::{AnyValue, Attributes, Kind, Metric, Series};

use crate::config::Level;
use crate::metrics::{
    EXPORTER_ENQUEUE_FAILED, EXPORTER_QUEUE_CAPACITY, EXPORTER_QUEUE_SIZE, EXPORTER_SEND_FAILED,
    EXPORTER_SENT, MetricInfo, OURS, POINTS_LOST, PREFIX, PROCESS, PROCESSOR_INCOMING_ITEMS,
    PROCESSOR_OUTGOING_ITEMS, RECEIVER_ACCEPTED, RECEIVER_REFUSED, THEIRS,
};
use crate::who::Who;

/// How counters count time, and what metrics of it are called: seconds.
const MICROSECONDS: &str = "_microseconds";

/// All series at a level, in the order in which they came up.
pub(crate) struct Rows<'a> {
    level: Level,
    labels: &'a BTreeMap<String, AnyValue>,
    pub(crate) series: Vec<Series>,
    /// Which of them count microseconds.
    pub(crate) is_time: Vec<bool>,
    metrics: HashMap<String, Arc<Metric>>,
    known: HashMap<u128, usize>,
}

impl Rows<'_> {
    /// Those that there are whatever was counted.
    pub(crate) fn new<'a>(
        level: Level,
        labels: &'a BTreeMap<String, AnyValue>,
        components: &[(ComponentKind, Arc<str>)],
    ) -> Rows<'a> {
        let mut rows = Rows {
            level,
            labels,
            series: Vec::new(),
            is_time: Vec::new(),
            metrics: HashMap::new(),
            known: HashMap::new(),
        };
        for info in PROCESS {
            let labels = labels.iter().map(|(key, value)| (&**key, value.clone()));
            rows.add(&info, labels.collect());
        }
        let from_start = || THEIRS.iter().chain(&OURS).filter(|it| it.from_start);
        for (kind, id) in components {
            let (id, subsystem) = (&**id, None);
            let who = Who {
                kind,
                id,
                subsystem,
            };
            let is_of = |info: &&MetricInfo| {
                let is_lost = info.name == POINTS_LOST && *kind != "extension";
                info.level <= level && (is_lost || info.labels.contains(kind))
            };
            for info in from_start().filter(is_of) {
                rows.of(info, who);
            }
        }
        rows
    }

    /// The rows that a count goes into.
    pub(crate) fn fed_by(
        &mut self,
        count: &CounterValue,
        components: &[(ComponentKind, Arc<str>)],
    ) -> Vec<usize> {
        let who = Who::of(&count.component, count.counter, components);
        let theirs = match (count.counter, who.kind) {
            (Counter::POINTS_READ, _) => Some(RECEIVER_ACCEPTED),
            (Counter::POINTS_INCOMING, "processor") => Some(PROCESSOR_INCOMING_ITEMS),
            (Counter::POINTS_OUTGOING, "processor") => Some(PROCESSOR_OUTGOING_ITEMS),
            // Those of the stages between are those of what is before and behind.
            (Counter::POINTS_INCOMING | Counter::POINTS_OUTGOING, _) => return Vec::new(),
            (Counter::POINTS_SENT, _) => Some(EXPORTER_SENT),
            (Counter::QUEUE_SIZE, _) => Some(EXPORTER_QUEUE_SIZE),
            (Counter::QUEUE_CAPACITY, _) => Some(EXPORTER_QUEUE_CAPACITY),
            _ => None,
        };
        if let Some(info) = theirs {
            return vec![self.of(&info, who)];
        }
        let mut rows = Vec::new();
        let is_dropped = count.counter == Counter::POINTS_DROPPED;
        if let Some(info) = lost(count, who.kind) {
            rows.push(self.of(&info, who));
        }
        let is_lost = count.counter == Counter::POINTS_REJECTED || (is_dropped && count.is_loss);
        if is_lost && let Some(info) = ours(POINTS_LOST) {
            rows.push(self.of(info, who));
        }
        if self.level >= Level::Normal {
            rows.push(self.own(count, who));
        }
        rows
    }

    /// The row of a count of a name of its own.
    fn own(&mut self, count: &CounterValue, who: Who<'_>) -> usize {
        let name = count.counter.name();
        let seconds = name.strip_suffix(MICROSECONDS);
        let of_time = seconds.map(|name| format!("{PREFIX}{name}_seconds"));
        let name = of_time.unwrap_or_else(|| format!("{PREFIX}{name}"));
        let mut attributes = self.attributes(who);
        if !count.reason.is_empty() {
            attributes.set("reason", count.reason);
        }
        if count.counter == Counter::POINTS_DROPPED {
            let is_loss = if count.is_loss { "true" } else { "false" };
            attributes.set("loss", is_loss);
        }
        let info = ours(&name);
        let described = info.map_or("", |it| it.description);
        let unit = match (info, seconds) {
            (Some(info), _) => info.unit,
            (None, Some(_)) => "s",
            (None, None) => "1",
        };
        let is_counter = count.counter.kind() == CounterKind::Sum;
        let metric = self.metric(&name, unit, is_counter, described);
        self.row(metric, attributes, seconds.is_some())
    }

    /// The row of a metric of a component.
    fn of(&mut self, info: &MetricInfo, who: Who<'_>) -> usize {
        let mut attributes = self.attributes(who);
        for (key, value) in [
            ("transport", ""),
            ("otel.signal", "metrics"),
            ("data_type", "metrics"),
        ] {
            if info.labels.contains(&key) {
                attributes.set(key, value);
            }
        }
        self.add(info, attributes)
    }

    fn attributes(&self, who: Who<'_>) -> Attributes {
        let labels = self.labels.iter();
        let labels = labels.map(|(key, value)| (&**key, value.clone()));
        let mut attributes: Attributes = labels.collect();
        attributes.set(who.kind, who.id);
        if self.level == Level::Detailed
            && let Some(subsystem) = who.subsystem
        {
            attributes.set("subsystem", subsystem);
        }
        attributes
    }

    fn add(&mut self, info: &MetricInfo, attributes: Attributes) -> usize {
        let metric = self.metric(info.name, info.unit, info.is_counter, info.description);
        self.row(metric, attributes, false)
    }

    /// One a name, shared by its series.
    fn metric(&mut self, name: &str, unit: &str, is_counter: bool, described: &str) -> Arc<Metric> {
        let make = || {
            let mut metric = Metric::default();
            (metric.name, metric.unit) = (name.into(), unit.into());
            metric.description = described.into();
            metric.kind = if is_counter {
                Kind::COUNTER
            } else {
                Kind::Gauge
            };
            Arc::new(metric)
        };
        let metric = self.metrics.entry(name.into()).or_insert_with(make);
        Arc::clone(metric)
    }

    /// The row of this series, which is added if it is new.
    fn row(&mut self, metric: Arc<Metric>, attributes: Attributes, is_time: bool) -> usize {
        let series = Series::of(metric, Arc::new(attributes));
        let next = self.series.len();
        let row = *self.known.entry(series.identity()).or_insert(next);
        if row == next {
            self.series.push(series);
            self.is_time.push(is_time);
        }
        row
    }
}

/// What the Collector calls points of a component of this kind that are lost.
fn lost(count: &CounterValue, kind: ComponentKind) -> Option<MetricInfo> {
    let is_for = |reason: DropReason| {
        count.counter == Counter::POINTS_DROPPED && count.reason == reason.name()
    };
    let is_lost = count.counter == Counter::POINTS_DROPPED && count.is_loss;
    match kind {
        "receiver" if is_for(DropReason::CLOSED) => Some(RECEIVER_REFUSED),
        "exporter" if is_for(DropReason::QUEUE_FULL) => Some(EXPORTER_ENQUEUE_FAILED),
        "exporter" if is_lost || count.counter == Counter::POINTS_REJECTED => {
            Some(EXPORTER_SEND_FAILED)
        }
        _ => None,
    }
}

fn ours(name: &str) -> Option<&'static MetricInfo> {
    OURS.iter().find(|it| it.name == name)
}
