//! One sweep: what is counted, as a batch. The table stays the same as long as nothing new is counted; then a sweep adds up
//! what is there, and makes nothing but its values.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pipeline::telemetry::{Counted, Counter, CounterKind, CounterValue, Warnings};
use pipeline::{
    AnyValue, Batch, Context, Demand, Head, Series, Sweep, Table, Times, Value, Want, now_unix_nano,
};

use crate::config::{Config, Level};
use crate::metrics::PROCESS;
use crate::process::Process;
use crate::rows::Rows;

/// The subsystem of all series.
const SUBSYSTEM: &str = "internal";

/// All that a sweep takes.
pub(crate) struct Sweeper {
    level: Level,
    labels: BTreeMap<String, AnyValue>,
    counted: Counted,
    demand: Demand,
    head: Arc<Head>,
    process: Process,
    plan: Plan,
    last_time: u64,
}

/// What is told of which counts.
struct Plan {
    /// All counts that there are, in order, and the rows that each goes into.
    counts: Vec<(CountOf, Vec<usize>)>,
    table: Arc<Table>,
    /// Of each row.
    sources: Vec<RowSource>,
    starts: Arc<[u64]>,
    /// How often it is wanted.
    want: Want,
    last_turn: Option<u64>,
}

/// Where a row's value is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowSource {
    /// One of `PROCESS`.
    Process(usize),
    /// Counts.
    Counts,
    /// Counts of microseconds.
    Microseconds,
}

/// Which count it is.
#[derive(PartialEq, Eq)]
struct CountOf {
    component: Arc<str>,
    counter: Counter,
    reason: &'static str,
    is_loss: bool,
}

impl CountOf {
    fn of(count: &CounterValue) -> CountOf {
        CountOf {
            component: Arc::clone(&count.component),
            counter: count.counter,
            reason: count.reason,
            is_loss: count.is_loss,
        }
    }

    fn is(&self, count: &CounterValue) -> bool {
        (self.counter, self.reason, self.is_loss) == (count.counter, count.reason, count.is_loss)
            && self.component == count.component
    }
}

impl Sweeper {
    pub(crate) fn new(config: Config, context: &Context, demand: Demand) -> Sweeper {
        let slot = format!("{}/{SUBSYSTEM}/0", context.id);
        let head = Arc::new(Head::new(
            Arc::clone(&context.resource),
            Arc::clone(&context.scope),
            SUBSYSTEM.into(),
            slot.into(),
        ));
        let started = context.counted.started_unix_nano();
        let mut sweeper = Sweeper {
            level: config.level,
            labels: config.labels,
            counted: context.counted.clone(),
            demand,
            process: Process::new(&Warnings::new(context.counters.component())),
            plan: Plan {
                counts: Vec::new(),
                table: Table::new(Arc::clone(&head), Vec::new()),
                sources: Vec::new(),
                starts: Arc::default(),
                want: Want::Never,
                last_turn: None,
            },
            head,
            last_time: started,
        };
        sweeper.read();
        sweeper
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> usize {
        self.plan.table.len()
    }

    /// Makes one sweep, where it is due.
    pub(crate) fn sweep(&mut self, number: u64, tick: Duration) -> Vec<Batch> {
        let mut batches = Vec::new();
        let before = Arc::clone(&self.plan.table);
        let sums = self.read();
        if !Arc::ptr_eq(&before, &self.plan.table) {
            batches.extend(self.ended(&before, number, tick));
        }
        let turn = self.plan.want.turn(number, tick);
        if turn == self.plan.last_turn || self.plan.table.is_empty() {
            return batches;
        }
        self.plan.last_turn = turn;
        let values = self.values(&sums);
        self.last_time = now_unix_nano();
        let (table, starts) = (Arc::clone(&self.plan.table), Arc::clone(&self.plan.starts));
        let (times, sweep) = (Times::One(self.last_time), Sweep::new(number, tick, true));
        let batch = Batch::new(table, starts, times, values, sweep);
        batches.push(batch.with_interval(self.plan.want.interval(tick)));
        batches
    }

    /// What each row's counts add up to. Where something is counted that was not before, or is no more, the rows are made anew.
    fn read(&mut self) -> Vec<u64> {
        let plan = &self.plan;
        let mut sums = vec![0; plan.table.len()];
        let (mut at, mut is_same) = (0, true);
        self.counted.visit(|count| {
            match plan.counts.get(at) {
                Some((of, rows)) if of.is(&count) => add(&mut sums, rows, &count, self.level),
                _ => is_same = false,
            }
            at += 1;
        });
        if is_same && at == plan.counts.len() && !plan.sources.is_empty() {
            return sums;
        }
        let mut counts = Vec::new();
        self.counted.visit(|count| counts.push(count));
        self.plan_anew(&counts);
        let mut sums = vec![0; self.plan.table.len()];
        for ((_, rows), count) in self.plan.counts.iter().zip(&counts) {
            add(&mut sums, rows, count, self.level);
        }
        sums
    }

    /// Makes the rows of these counts. The table stays where they are those that it has.
    fn plan_anew(&mut self, counts: &[CounterValue]) {
        let components = self.counted.components();
        let mut rows = Rows::new(self.level, &self.labels, components);
        let fed = counts.iter().map(|it| rows.fed_by(it, components));
        let fed: Vec<Vec<usize>> = fed.collect();
        let (mut places, mut series, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        let mut want_of_all = Want::Never;
        for (row, (one, is_time)) in rows.series.iter().zip(&rows.is_time).enumerate() {
            let want = self.demand.want(&self.head, one);
            want_of_all = want_of_all.or(want);
            let is_wanted = want != Want::Never;
            places.push(is_wanted.then_some(series.len()));
            if is_wanted {
                series.push(one.clone());
                sources.push(match (row < PROCESS.len(), is_time) {
                    (true, _) => RowSource::Process(row),
                    (false, true) => RowSource::Microseconds,
                    (false, false) => RowSource::Counts,
                });
            }
        }
        let counts = counts.iter().map(CountOf::of);
        let fed = fed.into_iter();
        let fed = fed.map(|rows| rows.into_iter().filter_map(|row| places[row]).collect());
        self.plan.counts = counts.zip(fed).collect();
        self.plan.sources = sources;
        self.plan.want = want_of_all;
        if *self.plan.table.series() != series {
            self.plan.starts = self.starts(&series);
            self.plan.table = Table::new(Arc::clone(&self.head), series);
        }
    }

    /// Since when the series count: those that were there before as they did; new ones since the last sweep, when there was
    /// nothing to count, which is the program's start at the first one.
    fn starts(&self, series: &[Series]) -> Arc<[u64]> {
        let plan = &self.plan;
        let known = plan.table.series().iter().map(Series::identity);
        let known: HashMap<u128, u64> = known.zip(plan.starts.iter().copied()).collect();
        let start = |series: &Series| match known.get(&series.identity()) {
            Some(start) => *start,
            None if series.kind.is_cumulative() => self.last_time,
            None => 0,
        };
        series.iter().map(start).collect()
    }

    /// The end of those series of a table that are no more.
    fn ended(&self, before: &Arc<Table>, number: u64, tick: Duration) -> Option<Batch> {
        let now = self.plan.table.series().iter().map(Series::identity);
        let now: HashSet<u128> = now.collect();
        let value = |series: &Series| {
            if now.contains(&series.identity()) {
                Value::Absent
            } else {
                Value::Ended
            }
        };
        let values: Vec<Value> = before.series().iter().map(value).collect();
        let (starts, sweep) = (
            vec![0; values.len()].into(),
            Sweep::new(number, tick, false),
        );
        let times = Times::One(now_unix_nano());
        let batch = Batch::new(Arc::clone(before), starts, times, values, sweep);
        batch.has_ended().then_some(batch)
    }

    fn values(&self, sums: &[u64]) -> Vec<Value> {
        let of_process = self.of_process();
        let sources = self.plan.sources.iter();
        let value = |(source, sum): (&RowSource, &u64)| match source {
            RowSource::Process(number) => of_process[*number].clone(),
            RowSource::Counts => Value::Int(i64::try_from(*sum).unwrap_or(i64::MAX)),
            #[allow(clippy::cast_precision_loss)] // centuries have 2⁵³ µs
            RowSource::Microseconds => Value::Double(*sum as f64 / 1e6),
        };
        sources.zip(sums).map(value).collect()
    }

    /// In the order of `PROCESS`.
    fn of_process(&self) -> [Value; PROCESS.len()] {
        let memory = self.process.memory();
        let bytes = |bytes: Option<u64>| {
            let bytes = bytes.and_then(|it| i64::try_from(it).ok());
            bytes.map_or(Value::Absent, Value::Int)
        };
        [
            Value::Double(self.counted.uptime().as_secs_f64()),
            Value::Double(Process::cpu_seconds()),
            bytes(memory.map(|it| it.resident)),
            bytes(memory.map(|it| it.anonymous)),
        ]
    }
}

/// Adds a count to the rows that it goes into. By subsystem, what is of one that has gone is nobody's.
fn add(sums: &mut [u64], rows: &[usize], count: &CounterValue, level: Level) {
    let is_sum = count.counter.kind() == CounterKind::Sum;
    let left_out = if is_sum && level == Level::Detailed {
        count.inherited
    } else {
        0
    };
    let value = count.value.saturating_sub(left_out);
    for row in rows {
        sums[*row] = count.counter.combine(sums[*row], value);
    }
}
