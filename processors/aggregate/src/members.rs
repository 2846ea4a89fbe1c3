//! The tables that come in: which rows are members of a group, what they last showed, and which go on as they are.

use std::collections::HashMap;
use std::sync::Arc;

use pipeline::{Batch, Outbox, Table, Value};

use crate::groups::{Groups, Key, refuse, resource};
use crate::is_number;
use crate::rules::{Rules, group};

/// What is known of a table.
#[derive(Debug)]
pub(crate) struct TableMembers {
    members: Vec<Member>,
    /// The table of the rows that are no members; `None` where all are such.
    others: Option<(Arc<Table>, Vec<u32>)>,
    /// What no group may become while these are there.
    taken: Vec<Key>,
    /// Rows were refused when so many identities had been given back: with more, they are looked at anew.
    refused: Option<u64>,
}

#[derive(Debug)]
struct Member {
    row: u32,
    group: u32,
    identity: u128,
    /// What it last showed; absent once it has ended.
    last: Value,
    /// When that was read, unix ns.
    read: u64,
    /// It has shown something in the sweep that has not ended yet.
    is_fresh: bool,
}

impl TableMembers {
    /// Finds the members of a table. Those that were members before, in this table or in the one whose slot it takes, go
    /// on as they are.
    pub(crate) fn find(
        table: &Arc<Table>,
        previous: Option<TableMembers>,
        rules: &Rules,
        groups: &mut Groups,
        out: &mut Outbox,
    ) -> TableMembers {
        let (previous, given_back) =
            previous.map_or_else(Default::default, |it| (it.members, it.taken));
        groups.free(&given_back);
        let mut known: HashMap<u128, Member> = HashMap::new();
        for member in previous {
            // The row of one that ended may stand before that of one that came in its stead.
            if let Some(ended) = known.insert(member.identity, member) {
                groups.leave(ended.group, out);
            }
        }
        let (given_back_before, mut refused) = (groups.given_back(), false);
        let (mut members, mut others, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        let head = table.head();
        let resource = resource(&head.resource);
        for (row, series) in (0_u32..).zip(table.series()) {
            let Some(rule) = rules.find(series) else {
                if rules.name(&series.name) {
                    let key = (resource, series.identity());
                    if groups.is_group(&key) {
                        refuse(series, series, "which a group is already", out);
                        refused = true;
                        continue;
                    }
                    taken.extend(groups.take_key(key));
                }
                others.push(row);
                continue;
            };
            let identity = series.identity();
            let Some(group) = groups.join(
                head,
                resource,
                series,
                group(rule, series),
                rule.function,
                out,
            ) else {
                refused = true;
                continue;
            };
            let (last, read, is_fresh) = match known.remove(&identity) {
                Some(before) => {
                    groups.leave(before.group, out);
                    (before.last, before.read, before.is_fresh)
                }
                None => (Value::Absent, 0, false),
            };
            members.push(Member {
                row,
                group,
                identity,
                last,
                read,
                is_fresh,
            });
        }
        known
            .into_values()
            .for_each(|it| groups.leave(it.group, out));
        groups.record_given_back(&given_back);
        let others = (others.len() < table.len()).then(|| {
            let series = others
                .iter()
                .map(|row| table.series()[*row as usize].clone());
            (
                Table::new(Arc::clone(head), series.collect()),
                others.clone(),
            )
        });
        TableMembers {
            members,
            others,
            taken,
            refused: refused.then_some(given_back_before),
        }
    }

    /// Whether a row that was refused its identity may have it by now.
    pub(crate) fn is_outdated(&self, groups: &Groups) -> bool {
        self.refused.is_some_and(|it| it != groups.given_back())
    }

    /// Takes in what the members show, with `began` as of [`Group::show`](super::group::Group::show): when the latest of it was read, and how many points that were.
    pub(crate) fn show(&mut self, batch: &Batch, began: u64, groups: &mut Groups) -> (u64, usize) {
        let tick = u64::try_from(batch.sweep().tick.as_nanos()).unwrap_or(u64::MAX);
        let (mut latest, mut came) = (0, 0);
        for member in &mut self.members {
            let row = member.row as usize;
            let value = &batch.values()[row];
            let group = groups.get_mut(member.group);
            if is_number(value) {
                let read = batch.time_unix_nano(row);
                group.show(
                    &member.last,
                    value,
                    (batch.starts_unix_nano()[row], read),
                    (tick, began),
                );
                (member.last, member.read, member.is_fresh) = (value.clone(), read, true);
            } else if *value == Value::Ended {
                group.has_ended = true;
                (member.last, member.is_fresh) = (Value::Absent, false);
            } else {
                continue;
            }
            group.came += 1;
            came += 1;
            latest = latest.max(batch.time_unix_nano(row));
        }
        (latest, came)
    }

    /// The rows that are no members.
    pub(crate) fn others(&self, batch: &Batch) -> Batch {
        match &self.others {
            None => batch.clone(),
            Some((table, rows)) => batch.with_table(Arc::clone(table), Some(rows)),
        }
    }

    /// Adds what its members showed to their groups, and what they last showed before this sweep, but for what is older
    /// than `oldest`; gives how many of the latter there were.
    pub(crate) fn add_up(&mut self, oldest: u64, groups: &mut Groups) -> u64 {
        let mut carried = 0;
        for member in self.members.iter_mut().filter(|it| it.counts(oldest)) {
            let group = groups.get_mut(member.group);
            group.live += 1;
            let is_fresh = std::mem::take(&mut member.is_fresh);
            // What was counted between two points is over with the second.
            if is_fresh || !group.is_delta() {
                carried += u64::from(!is_fresh);
                group.add(&member.last);
            }
        }
        carried
    }

    /// Whether what a member last showed still counts.
    pub(crate) fn any_counts(&self, oldest: u64) -> bool {
        self.members.iter().any(|it| it.counts(oldest))
    }

    /// Gives back all that it has of the groups.
    pub(crate) fn forget(&self, groups: &mut Groups, out: &mut Outbox) {
        groups.free(&self.taken);
        groups.record_given_back(&self.taken);
        self.members
            .iter()
            .for_each(|it| groups.leave(it.group, out));
    }
}

impl Member {
    fn counts(&self, oldest: u64) -> bool {
        self.last != Value::Absent && (self.is_fresh || self.read >= oldest)
    }
}
