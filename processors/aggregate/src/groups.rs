//! All groups, and the tables in which they go on.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pipeline::telemetry::Counter;
use pipeline::{Attributes, Batch, Head, Outbox, Series, Sweep, Table, Times, Value};

use crate::AGGREGATED;
use crate::config::Function;
use crate::group::Group;

/// Rows of a table at the most.
const MAX_ROWS: usize = 4096;

/// What one resource's series are told apart by: the resource's hash, and [`Series::identity`].
pub(crate) type Key = (u64, u128);

pub(crate) fn resource(resource: &Attributes) -> u64 {
    let mut hasher = DefaultHasher::new();
    resource.hash(&mut hasher);
    hasher.finish()
}

/// All groups, and the tables in which they go on.
#[derive(Debug)]
pub(crate) struct Groups {
    id: Arc<str>,
    all: Vec<Option<(Key, Group)>>,
    /// Where in `all` there is room.
    free: Vec<u32>,
    /// Groups that are no more, and still have their rows.
    gone: usize,
    owners: HashMap<Key, Owner>,
    /// How often an identity was given back that nobody took at once.
    given_back: u64,
    tables: Vec<OutputTable>,
    next_slot: u64,
}

/// Who has an identity.
#[derive(Debug)]
enum Owner {
    /// A group of this subsystem.
    Group(u32, Arc<str>),
    /// A series that goes on as it is.
    Series,
}

/// A table that goes on.
#[derive(Debug)]
struct OutputTable {
    head: Arc<Head>,
    /// `None` where the group is no more.
    groups: Vec<Option<u32>>,
    /// `None` when groups came since it was made.
    table: Option<Arc<Table>>,
    starts: Arc<[u64]>,
}

impl Groups {
    /// None yet; `id` is what the slots of their tables begin with.
    pub(crate) fn new(id: &Arc<str>) -> Groups {
        Groups {
            id: Arc::clone(id),
            all: Vec::new(),
            free: Vec::new(),
            gone: 0,
            owners: HashMap::new(),
            given_back: 0,
            tables: Vec::new(),
            next_slot: 0,
        }
    }

    pub(crate) fn get_mut(&mut self, group: u32) -> &mut Group {
        let slot = self.all[group as usize].as_mut();
        &mut slot.expect("a group stays while it has members").1
    }

    /// Makes a series a member of the group `series`; `None` where it cannot be one, which is warned of and counted.
    pub(crate) fn join(
        &mut self,
        head: &Head,
        resource: u64,
        from: &Series,
        series: Series,
        function: Function,
        out: &mut Outbox,
    ) -> Option<u32> {
        let key = (resource, series.identity());
        let group = match self.owners.get(&key) {
            None => self.add(key, head, Group::new(series, function)),
            Some(Owner::Group(group, subsystem)) if *subsystem == head.subsystem => {
                let group = *group;
                let have = &self.get_mut(group).series;
                if have.kind != series.kind || have.unit != series.unit {
                    refuse(from, &series, "which is of another kind or unit", out);
                    return None;
                }
                group
            }
            Some(_) => {
                refuse(from, &series, "which another series is already", out);
                return None;
            }
        };
        self.get_mut(group).members += 1;
        Some(group)
    }

    /// One member less; a group without members is no more. Its room is free when its table has let it go.
    pub(crate) fn leave(&mut self, group: u32, out: &Outbox) {
        self.get_mut(group).members -= 1;
        if self.get_mut(group).members > 0 {
            return;
        }
        if let Some((key, gone)) = self.all[group as usize].take() {
            out.dropped(gone.came, AGGREGATED);
            self.owners.remove(&key);
            self.gone += 1;
            self.given_back += 1;
        }
    }

    pub(crate) fn is_group(&self, key: &Key) -> bool {
        matches!(self.owners.get(key), Some(Owner::Group(..)))
    }

    /// Claims an identity for a series that goes on as it is; `None` if another one has it.
    pub(crate) fn take_key(&mut self, key: Key) -> Option<Key> {
        let is_new = !self.owners.contains_key(&key);
        is_new.then(|| {
            self.owners.insert(key, Owner::Series);
            key
        })
    }

    /// Gives identities back.
    pub(crate) fn free(&mut self, keys: &[Key]) {
        keys.iter().for_each(|key| drop(self.owners.remove(key)));
    }

    /// Whoever was refused one of these is to be looked at anew, unless they are taken again.
    pub(crate) fn record_given_back(&mut self, keys: &[Key]) {
        let is_free = keys.iter().any(|key| !self.owners.contains_key(key));
        self.given_back += u64::from(is_free);
    }

    pub(crate) fn given_back(&self) -> u64 {
        self.given_back
    }

    fn add(&mut self, key: Key, head: &Head, group: Group) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            u32::try_from(self.all.len() - 1).expect("fewer groups than rows of tables")
        });
        self.all[at as usize] = Some((key, group));
        self.owners
            .insert(key, Owner::Group(at, Arc::clone(&head.subsystem)));
        let has_room = |it: &&mut OutputTable| {
            it.groups.len() < MAX_ROWS
                && head.with_table_slot(Arc::clone(&it.head.table_slot)) == *it.head
        };
        if let Some(table) = self.tables.iter_mut().rfind(has_room) {
            table.groups.push(Some(at));
            table.table = None;
        } else {
            let slot = format!("{}/{}/{}", self.id, head.subsystem, self.next_slot);
            self.next_slot += 1;
            self.tables.push(OutputTable {
                head: Arc::new(head.with_table_slot(slot.into())),
                groups: vec![Some(at)],
                table: None,
                starts: Arc::default(),
            });
        }
        at
    }

    /// Begins to put the groups of a subsystem together anew.
    pub(crate) fn begin(&mut self, subsystem: &Arc<str>) {
        let tables = self
            .tables
            .iter()
            .filter(|it| it.head.subsystem == *subsystem);
        for group in tables.flat_map(|it| &it.groups).flatten() {
            if let Some((_, group)) = &mut self.all[*group as usize] {
                group.begin();
            }
        }
    }

    /// Takes the rows of groups that are no more, and tables that have no others.
    fn remove_gone(&mut self) {
        if std::mem::take(&mut self.gone) == 0 {
            return;
        }
        for row in self.tables.iter_mut().flat_map(|it| &mut it.groups) {
            if let Some(gone) = row.take_if(|it| self.all[*it as usize].is_none()) {
                self.free.push(gone);
            }
        }
        self.tables
            .retain(|it| it.groups.iter().any(Option::is_some));
    }

    /// What the groups of a subsystem are now.
    pub(crate) fn take(
        &mut self,
        subsystem: &Arc<str>,
        time: u64,
        sweep: Sweep,
        out: &Outbox,
    ) -> Vec<Batch> {
        let mut batches = Vec::new();
        self.remove_gone();
        for output in self
            .tables
            .iter_mut()
            .filter(|it| it.head.subsystem == *subsystem)
        {
            let table = output.table(&self.all);
            let (mut values, mut starts) = (
                Vec::with_capacity(table.len()),
                Vec::with_capacity(table.len()),
            );
            let mut aggregated = 0;
            for group in &output.groups {
                let group = group.and_then(|it| self.all[it as usize].as_mut());
                let (value, start, came) =
                    group.map_or_else(Default::default, |(_, it)| it.take(time));
                aggregated += came - usize::from(value != Value::Absent);
                values.push(value);
                starts.push(start);
            }
            out.dropped(aggregated, AGGREGATED);
            if *starts != *output.starts {
                output.starts = starts.into();
            }
            let mut sweep = sweep;
            sweep.last = false;
            let batch = Batch::new(
                table,
                Arc::clone(&output.starts),
                Times::One(time),
                values,
                sweep,
            );
            batches.extend((batch.points() > 0).then_some(batch));
        }
        batches
    }

    /// Lets go what came in since it last went on: how many points that were.
    pub(crate) fn forget_what_came(&mut self) -> usize {
        let groups = self.all.iter_mut().flatten();
        groups
            .map(|(_, group)| std::mem::take(&mut group.came))
            .sum()
    }
}

impl OutputTable {
    /// The table of the groups that are there. One that is no more leaves it when it is made anew: because one came, or
    /// because a quarter of it is such.
    fn table(&mut self, all: &[Option<(Key, Group)>]) -> Arc<Table> {
        let gone = self.groups.iter().filter(|it| it.is_none()).count();
        if let Some(table) = self
            .table
            .as_ref()
            .filter(|_| gone * 4 <= self.groups.len())
        {
            return Arc::clone(table);
        }
        self.groups.retain(Option::is_some);
        let groups = self.groups.iter().flatten();
        let series = groups.filter_map(|group| all[*group as usize].as_ref());
        let series = series.map(|(_, group)| group.series.clone()).collect();
        Arc::clone(
            self.table
                .insert(Table::new(Arc::clone(&self.head), series)),
        )
    }
}

/// Counts and warns of a series that goes no further.
pub(crate) fn refuse(from: &Series, series: &Series, why: &str, out: &Outbox) {
    let name = |it: &Series| pipeline::formats::text::identity(&it.name, &it.attributes);
    let counters = out.counters();
    counters.record_for(Counter::SERIES_REFUSED, "duplicate", 1);
    out.warnings().warn_with("duplicate series dropped", || {
        format!("{} would become {}, {why}", name(from), name(series))
    });
}
