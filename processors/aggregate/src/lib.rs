#![doc = include_str!("../README.md")]

mod config;
mod group;
mod groups;
mod members;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pipeline::{
    Batch, Component, Context, Demand, Outbox, PerSeries, Processor, Result, TableMap, Value,
};

pub use config::{AggregateRule, Config, Function};
use groups::Groups;
use members::TableMembers;
use pipeline::telemetry::{Counter, DropReason};
use rules::Rules;

/// A row that cannot be a member of its group: series of another kind or unit, or one that is there already.
const REFUSED: DropReason = DropReason::loss("refused");
/// Half a sweep is no sum.
const UNFINISHED_SWEEP: DropReason = DropReason::loss("unfinished_sweep");
/// A point that went into the point of its group.
pub(crate) const AGGREGATED: DropReason = DropReason::intended("aggregated");
/// Members that count with what they showed in an earlier sweep.
const VALUES_CARRIED: Counter = Counter::sum("values_carried");

/// Takes labels away, and puts the series that become the same together.
pub struct Aggregate {
    rules: Arc<Rules>,
    /// How long a member that shows nothing counts, ns.
    carry: u64,
    groups: Groups,
    /// By subsystem. What is added up is added up in the order of the tables' slots, always.
    subsystems: BTreeMap<Arc<str>, TableMap<TableMembers>>,
    /// When the sweep before the first one would have been read, unix ns.
    began: Option<u64>,
    /// The latest reading of each subsystem's sweep that has not ended yet, unix ns.
    read: BTreeMap<Arc<str>, u64>,
    /// How many subsystems there were when those that have gone were last forgotten.
    subsystems_left: usize,
}

/// Those that have gone are looked for once there are so many subsystems more than twice as many as were left.
const MORE_SUBSYSTEMS: usize = 64;

pipeline::register! { processor Aggregate }

impl Component for Aggregate {
    const TYPE: &'static str = "aggregate";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Aggregate> {
        let carry = u64::try_from(config.carry.0.as_nanos()).unwrap_or(u64::MAX);
        Ok(Aggregate {
            rules: Arc::new(Rules::new(config, context)?),
            carry,
            groups: Groups::new(&context.id),
            subsystems: BTreeMap::new(),
            began: None,
            read: BTreeMap::new(),
            subsystems_left: 0,
        })
    }
}

impl Processor for Aggregate {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        let head = Arc::clone(batch.table().head());
        let mut rest = Vec::new();
        if !batch.table().is_empty() {
            let tables = self
                .subsystems
                .entry(Arc::clone(&head.subsystem))
                .or_default();
            let known = tables.get(batch.table());
            if known.is_none_or(|members| members.is_outdated(&self.groups)) {
                let previous = tables
                    .remove(batch.table())
                    .or_else(|| tables.remove_predecessor(batch.table()));
                let members =
                    TableMembers::find(batch.table(), previous, &self.rules, &mut self.groups, out);
                tables.insert(batch.table(), members);
            }
            let members = tables.get_mut(batch.table()).expect("found just now");
            let tick = u64::try_from(batch.sweep().tick.as_nanos()).unwrap_or(u64::MAX);
            let before = batch.time_unix_nano(0).saturating_sub(tick);
            let began = *self.began.get_or_insert(before);
            let (read, came) = members.show(&batch, began, &mut self.groups);
            if came > 0 {
                let latest = self.read.entry(Arc::clone(&head.subsystem)).or_default();
                *latest = read.max(*latest);
            }
            let others = members.others(&batch).with_last(false);
            out.dropped(batch.points() - others.points() - came, REFUSED);
            if !others.table().is_empty() {
                rest.push(others);
            }
        }
        if batch.sweep().last {
            self.end_sweep(&batch, &mut rest, out);
        }
        rest.into_iter().for_each(|batch| out.pass(batch));
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        let rules = Arc::clone(&self.rules);
        below.map(move |head, series| rules.apply(head, series))
    }

    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        out.dropped(self.groups.forget_what_came(), UNFINISHED_SWEEP);
        Ok(())
    }
}

impl Aggregate {
    /// Adds what the groups of a subsystem have become in its sweep, and the sweep's end.
    fn end_sweep(&mut self, batch: &Batch, rest: &mut Vec<Batch>, out: &mut Outbox) {
        let subsystem = &batch.table().head().subsystem;
        let read = self.read.remove(subsystem);
        let oldest = read.map_or(0, |read| read.saturating_sub(self.carry));
        let mut carried = 0;
        if let Some(tables) = self.subsystems.get_mut(subsystem) {
            if read.is_some() {
                self.groups.begin(subsystem);
                for members in tables.values_mut() {
                    carried += members.add_up(oldest, &mut self.groups);
                }
            }
            forget_gone(tables, oldest, &mut self.groups, out);
            if tables.is_empty() {
                self.subsystems.remove(subsystem);
            }
        }
        // A subsystem that has gone ends no sweep any more.
        if self.subsystems.len() >= 2 * self.subsystems_left + MORE_SUBSYSTEMS {
            self.subsystems.retain(|_, tables| {
                forget_gone(tables, oldest, &mut self.groups, out);
                !tables.is_empty()
            });
            self.subsystems_left = self.subsystems.len();
        }
        out.counters().record(VALUES_CARRIED, carried);
        if let Some(read) = read {
            rest.extend(self.groups.take(subsystem, read, batch.sweep(), out));
        }
        let last = match rest.pop() {
            Some(last) => last.with_last(true),
            None => batch.only_last(),
        };
        rest.push(last);
    }
}

/// Forgets tables that have gone, and whose members do not count any more.
fn forget_gone(
    tables: &mut TableMap<TableMembers>,
    oldest: u64,
    groups: &mut Groups,
    out: &mut Outbox,
) {
    tables.retain(|is_gone, members| {
        let is_over = is_gone && !members.any_counts(oldest);
        if is_over {
            members.forget(groups, out);
        }
        !is_over
    });
}

impl fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregate")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Whether there is something to add up.
fn is_number(value: &Value) -> bool {
    matches!(value, Value::Int(_) | Value::Double(_))
}
