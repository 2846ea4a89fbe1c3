//! The tables: the series of whole VMs and vCPUs that are wanted equally often, and what becomes of them as parts come and
//! go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pipeline::{
    Batch, Context, Demand, Head, Inspected, Series, Sweep, Table, Times, Value, Want,
    now_unix_nano,
};

use crate::inspected::Purpose;
use crate::part::{Part, PartKey};
use crate::statistic::SUBSYSTEM;

/// The most rows of a table, unless one part alone has more.
const MAX_ROWS: usize = 4096;

/// All tables of a receiver.
#[derive(Debug)]
pub(crate) struct Tables {
    context: Context,
    demand: Demand,
    all: Vec<TableState>,
    /// The parts that there are, wanted or not.
    parts: HashMap<PartKey, Arc<Part>>,
    next_number: u64,
    purpose: Purpose,
    /// For `inspect`: series that nobody wants.
    unwanted: Vec<Inspected>,
}

/// A table, and what is to become of it.
#[derive(Debug)]
struct TableState {
    head: Arc<Head>,
    /// How often each output wants it.
    wants: Vec<Want>,
    want: Want,
    last_turn: Option<u64>,
    rows: Vec<PartRows>,
    /// Series that have ended, and are to be said so once.
    ending: Vec<Series>,
    /// Whether series of its go on in another table: it is sent first then, so that stages downstream forget them first.
    gives_up: bool,
    /// The table as it is sent, and its starts; `None` where it is to be made anew.
    snapshot: Option<(Arc<Table>, Arc<[u64]>)>,
}

/// The rows of a part in a table.
#[derive(Debug)]
struct PartRows {
    part: Arc<Part>,
    columns: Vec<usize>,
    series: Vec<Series>,
}

impl Tables {
    pub(crate) fn new(context: Context, demand: Demand, purpose: Purpose) -> Tables {
        Tables {
            context,
            demand,
            all: Vec::new(),
            parts: HashMap::new(),
            next_number: 0,
            purpose,
            unwanted: Vec::new(),
        }
    }

    /// These parts are there now, and no others. Series that go on in another part do not end.
    pub(crate) fn set_parts(&mut self, parts: Vec<Part>) {
        let mut new = Vec::new();
        let mut now = HashMap::new();
        for mut part in parts {
            let known = self.parts.get(&part.key);
            if let Some(known) = known.filter(|it| it.has_same_series(&part)) {
                // The very same parts, by which stages downstream know the rows.
                part.attributes = Arc::clone(&known.attributes);
                part.directory = Arc::clone(&known.directory);
                now.insert(part.key.clone(), Arc::new(part));
            } else {
                let part = Arc::new(part);
                new.push(Arc::clone(&part));
                now.insert(part.key.clone(), part);
            }
        }
        self.parts = now;
        let is_new: HashSet<&PartKey> = new.iter().map(|it| &it.key).collect();
        for table in &mut self.all {
            table.update(&self.parts, &is_new);
        }
        for part in &new {
            self.add(part);
        }
        let is_ending = self.all.iter().any(|it| !it.ending.is_empty());
        if is_ending && !new.is_empty() {
            self.continue_series(&new);
        }
    }

    /// The batches of the tables that are due; `read` adds the values of some columns of a part.
    pub(crate) fn sweep(
        &mut self,
        number: u64,
        tick: Duration,
        mut read: impl FnMut(&Part, &[usize], &mut Vec<Value>),
    ) -> Vec<Batch> {
        let mut batches = Vec::new();
        self.all.retain(|it| !it.is_empty());
        self.all.sort_by_key(|it| !it.gives_up);
        for table in &mut self.all {
            let turn = table.want.turn(number, tick);
            if turn.is_none() || turn == table.last_turn {
                continue;
            }
            (table.last_turn, table.gives_up) = (turn, false);
            let (snapshot, starts) = table.snapshot();
            let time = Times::One(now_unix_nano());
            let mut values = Vec::with_capacity(snapshot.len());
            for rows in &table.rows {
                read(&rows.part, &rows.columns, &mut values);
            }
            values.resize(snapshot.len(), Value::Ended);
            if !table.ending.is_empty() {
                table.ending.clear();
                table.snapshot = None;
            }
            let sweep = Sweep::new(number, tick, false);
            let batch = Batch::new(snapshot, starts, time, values, sweep);
            batches.push(batch.with_interval(table.want.interval(tick)));
        }
        if let Some(last) = batches.pop() {
            batches.push(last.with_last(true));
        }
        batches
    }

    /// For `inspect`: series that nobody wants, since this was last asked.
    pub(crate) fn take_unwanted(&mut self) -> Vec<Inspected> {
        std::mem::take(&mut self.unwanted)
    }

    /// The parts that there are.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.values()
    }

    /// Adds the rows of a new part to the tables that are wanted as often.
    fn add(&mut self, part: &Arc<Part>) {
        let head = self.head("");
        let mut columns: HashMap<Vec<Want>, Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for column in 0..part.columns.len() {
            let wants = if self.demand.is_everything() {
                vec![Want::Always]
            } else {
                self.demand.wants(&head, &part.series(column))
            };
            let same = columns.entry(wants.clone()).or_default();
            if same.is_empty() {
                order.push(wants);
            }
            same.push(column);
        }
        for wants in order {
            let columns = columns.remove(&wants).unwrap_or_default();
            let series = || columns.iter().map(|it| part.series(*it)).collect();
            if wants.iter().all(|it| *it == Want::Never) {
                if self.purpose.inspects() {
                    let unwanted = Inspected::Unwanted(Arc::new(head.clone()), series());
                    self.unwanted.push(unwanted);
                }
                continue;
            }
            let series = series();
            let table = self.table_for(wants, columns.len());
            table.snapshot = None;
            table.rows.push(PartRows {
                part: Arc::clone(part),
                columns,
                series,
            });
        }
    }

    /// The newest table that is wanted as often and has room for so many rows, or a new one.
    fn table_for(&mut self, wants: Vec<Want>, rows: usize) -> &mut TableState {
        let has_room = |it: &TableState| it.wants == wants && it.len() + rows <= MAX_ROWS;
        let known = self.all.iter().rposition(has_room);
        let at = known.unwrap_or_else(|| {
            let head = self.head(&self.next_number.to_string());
            self.next_number += 1;
            self.all.push(TableState::new(head, wants));
            self.all.len() - 1
        });
        &mut self.all[at]
    }

    fn head(&self, number: &str) -> Head {
        Head::new(
            Arc::clone(&self.context.resource),
            Arc::clone(&self.context.scope),
            SUBSYSTEM.into(),
            format!("{}/{SUBSYSTEM}/{number}", self.context.id).into(),
        )
    }

    /// What goes on in a new part does not end: the table that gives it up is rebuilt first.
    fn continue_series(&mut self, new: &[Arc<Part>]) {
        let all = new
            .iter()
            .flat_map(|part| (0..part.columns.len()).map(|it| part.series(it).identity()));
        let all: HashSet<u128> = all.collect();
        for table in &mut self.all {
            let before = table.ending.len();
            table.ending.retain(|it| !all.contains(&it.identity()));
            if table.ending.len() < before {
                (table.gives_up, table.last_turn) = (true, None);
            }
        }
    }
}

impl TableState {
    fn new(head: Head, wants: Vec<Want>) -> TableState {
        TableState {
            head: Arc::new(head),
            want: wants.iter().copied().fold(Want::Never, Want::or),
            wants,
            last_turn: None,
            rows: Vec::new(),
            ending: Vec::new(),
            gives_up: false,
            snapshot: None,
        }
    }

    fn len(&self) -> usize {
        let rows = self.rows.iter().map(|it| it.columns.len());
        rows.sum::<usize>() + self.ending.len()
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.ending.is_empty()
    }

    /// Parts that are gone, or new under the same key, leave; the others are read from where they are now.
    fn update(&mut self, parts: &HashMap<PartKey, Arc<Part>>, is_new: &HashSet<&PartKey>) {
        let rows = std::mem::take(&mut self.rows);
        for mut rows in rows {
            let key = &rows.part.key;
            if let Some(part) = parts.get(key).filter(|_| !is_new.contains(key)) {
                rows.part = Arc::clone(part);
                self.rows.push(rows);
            } else {
                self.ending.extend(rows.series);
                self.snapshot = None;
            }
        }
    }

    /// The table and its starts, made anew where rows came or went. Rows that end are the last.
    fn snapshot(&mut self) -> (Arc<Table>, Arc<[u64]>) {
        let (head, rows, ending) = (&self.head, &self.rows, &self.ending);
        let make = || {
            let series = rows.iter().flat_map(|it| &it.series).chain(ending);
            let starts = rows
                .iter()
                .flat_map(|it| std::iter::repeat_n(it.part.start, it.columns.len()))
                .chain(std::iter::repeat_n(0, ending.len()));
            let table = Table::new(Arc::clone(head), series.cloned().collect());
            (table, starts.collect())
        };
        self.snapshot.get_or_insert_with(make).clone()
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
