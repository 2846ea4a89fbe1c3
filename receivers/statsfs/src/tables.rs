//! Series in tables of some whole directories each: what a change costs, and when a table is due.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Demand, Head, Series, Table, Want};

use crate::config::Format;
use crate::tree::{Changes, DirectoryId, Found};

/// Rows of a table at the most.
const MOST_ROWS: usize = 4096;

/// The tables of one subsystem after the other, in the order in which they came to be.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    all: BTreeMap<Arc<str>, Vec<TableState>>,
    places: HashMap<Arc<str>, usize>,
    series: usize,
    /// Files that were too many; a rescan offers them again.
    pub(crate) refused: Vec<(DirectoryId, Arc<CStr>)>,
}

/// A table, and what is known of each of its rows.
#[derive(Debug)]
pub(crate) struct TableState {
    head: Arc<Head>,
    /// How often each way wants it; a table is due as a whole.
    wants: Vec<Want>,
    want: Want,
    last_turn: Option<u64>,
    pub(crate) rows: Vec<Row>,
    /// Shared with the table that is made of them.
    series: Arc<Vec<Series>>,
    /// The table as it is sent; `None` when rows changed since.
    made: Option<(Arc<Table>, Arc<[u64]>)>,
    pub(crate) dead: usize,
}

/// How a row is read.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) directory: DirectoryId,
    pub(crate) file: Arc<CStr>,
    pub(crate) format: Format,
    since: u64,
    pub(crate) life: Life,
    /// Failures in a row.
    pub(crate) fails: u8,
    /// Not read again before this sweep.
    pub(crate) not_before: u64,
}

/// Where a row is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is read.
    Live,
    /// It has gone, which the next batch says.
    Ending,
    /// That was said.
    Dead,
}

/// What became of the files that came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Refused, since there are more than `limits.series`; the first of them.
    pub(crate) over_limit: u64,
    pub(crate) first_over: Option<String>,
}

impl Tables {
    /// How many of these there are by subsystem.
    pub(crate) fn by_subsystem(&self) -> Vec<(Arc<str>, usize)> {
        let live = |tables: &Vec<TableState>| {
            tables
                .iter()
                .flat_map(|it| &it.rows)
                .filter(|row| row.life == Life::Live)
                .count()
        };
        self.all
            .iter()
            .map(|(subsystem, tables)| (Arc::clone(subsystem), live(tables)))
            .filter(|(_, live)| *live > 0)
            .collect()
    }

    /// Takes in what a check found. What nobody wants gets no row, and so is never opened.
    pub(crate) fn apply(
        &mut self,
        changes: Changes,
        demand: &Demand,
        most: usize,
        head: impl Fn(Arc<str>, Arc<str>) -> Arc<Head>,
    ) -> Begun {
        let directories: HashSet<DirectoryId> = changes.ended_directories.into_iter().collect();
        let files: HashSet<(DirectoryId, Arc<CStr>)> = changes.ended_files.into_iter().collect();
        let mut changed: HashMap<(DirectoryId, Arc<CStr>), (Format, Series)> = HashMap::new();
        for found in changes.changed {
            changed.insert((found.directory, found.file), (found.format, found.series));
        }
        if !directories.is_empty() || !files.is_empty() || !changed.is_empty() {
            for state in self.all.values_mut().flatten() {
                for (at, row) in state.rows.iter_mut().enumerate() {
                    if row.life != Life::Live {
                        continue;
                    }
                    let file = (row.directory, Arc::clone(&row.file));
                    if directories.contains(&row.directory) || files.contains(&file) {
                        row.life = Life::Ending;
                        self.series -= 1;
                    } else if let Some((format, now)) = changed.remove(&file) {
                        if demand.want(&state.head, &now) == Want::Never {
                            row.life = Life::Ending;
                            self.series -= 1;
                        } else {
                            state.made = None;
                            Arc::make_mut(&mut state.series)[at] = now;
                            (row.format, row.fails, row.not_before) = (format, 0, 0);
                        }
                    }
                }
            }
        }
        self.succeed(&changes.begun);
        let mut begun = Begun::default();
        for found in changes.begun {
            let provisional = head(Arc::clone(&found.subsystem), Arc::clone(&found.subsystem));
            let wants = demand.wants(&provisional, &found.series);
            let want = wants.iter().copied().fold(Want::Never, Want::or);
            if want == Want::Never {
                continue;
            }
            if self.series >= most {
                begun.over_limit += 1;
                self.refused
                    .push((found.directory, Arc::clone(&found.file)));
                begun.first_over.get_or_insert_with(|| {
                    found
                        .series
                        .source
                        .as_ref()
                        .map(pipeline::Source::path)
                        .unwrap_or_default()
                });
                continue;
            }
            self.series += 1;
            self.youngest(&found, wants, want, &head).push(found);
        }
        begun
    }

    /// A series that goes on under another directory does not end: the new row takes the old one's place.
    fn succeed(&mut self, begun: &[Found]) {
        let is_ending = |row: &Row| row.life == Life::Ending;
        let has_ending = |state: &TableState| state.rows.iter().any(is_ending);
        let states = self
            .all
            .values_mut()
            .flatten()
            .filter(|state| has_ending(state));
        let states: Vec<&mut TableState> = states.collect();
        if begun.is_empty() || states.is_empty() {
            return;
        }
        let begun: HashSet<u128> = begun.iter().map(|found| found.series.identity()).collect();
        for state in states {
            for (row, series) in state.rows.iter_mut().zip(state.series.iter()) {
                if is_ending(row) && begun.contains(&series.identity()) {
                    row.life = Life::Dead;
                    state.dead += 1;
                    // Remade and sent before the new one: whoever knows the series by its table lets it go first.
                    (state.made, state.last_turn) = (None, None);
                }
            }
        }
    }

    /// The table that takes a new row: the last one of its subsystem with the same wants, while there is room for all
    /// of its directory that comes now.
    fn youngest(
        &mut self,
        found: &Found,
        wants: Vec<Want>,
        want: Want,
        head: impl Fn(Arc<str>, Arc<str>) -> Arc<Head>,
    ) -> &mut TableState {
        let tables = self.all.entry(Arc::clone(&found.subsystem)).or_default();
        let at = tables.iter().rposition(|state| state.wants == wants);
        let full = |state: &TableState| {
            let same = state
                .rows
                .last()
                .is_some_and(|row| row.directory == found.directory);
            state.rows.len() >= MOST_ROWS
                || (!same && state.rows.len() >= MOST_ROWS - MOST_ROWS / 8)
        };
        let at = at.filter(|at| !full(&tables[*at])).unwrap_or_else(|| {
            let place = self.places.entry(Arc::clone(&found.subsystem)).or_default();
            let number = place.to_string();
            *place += 1;
            let head = head(Arc::clone(&found.subsystem), number.into());
            tables.push(TableState {
                head,
                wants,
                want,
                last_turn: None,
                rows: Vec::new(),
                series: Arc::default(),
                made: None,
                dead: 0,
            });
            tables.len() - 1
        });
        &mut tables[at]
    }

    /// The tables that are due at this sweep, subsystem by subsystem.
    pub(crate) fn due(
        &mut self,
        number: u64,
        tick: Duration,
    ) -> impl Iterator<Item = Vec<&mut TableState>> {
        let due = move |state: &&mut TableState| {
            let turn = state.want.turn(number, tick);
            turn.is_some() && turn != state.last_turn
        };
        self.all
            .values_mut()
            .map(move |tables| tables.iter_mut().filter(due).collect::<Vec<_>>())
            .filter(|due| !due.is_empty())
    }

    /// Forgets tables of which nothing is left.
    pub(crate) fn tidy(&mut self) {
        for tables in self.all.values_mut() {
            tables.retain(|state| state.rows.iter().any(|row| row.life != Life::Dead));
        }
        self.all.retain(|_, tables| !tables.is_empty());
    }

    /// A rescan tries again what cannot be read.
    pub(crate) fn try_all_again(&mut self) {
        self.all
            .values_mut()
            .flatten()
            .flat_map(|state| &mut state.rows)
            .for_each(|row| row.not_before = 0);
    }

    /// Ends every row: the tree has gone.
    pub(crate) fn end_all(&mut self) {
        for row in self
            .all
            .values_mut()
            .flatten()
            .flat_map(|state| &mut state.rows)
            .filter(|row| row.life == Life::Live)
        {
            row.life = Life::Ending;
            self.series -= 1;
        }
    }
}

impl TableState {
    fn push(&mut self, found: Found) {
        self.made = None;
        Arc::make_mut(&mut self.series).push(found.series);
        let (directory, file, format, since) =
            (found.directory, found.file, found.format, found.since);
        self.rows.push(Row {
            directory,
            file,
            format,
            since,
            life: Life::Live,
            fails: 0,
            not_before: 0,
        });
    }

    /// The path of a row's file below the root.
    pub(crate) fn path(&self, row: usize) -> String {
        self.series[row]
            .source
            .as_ref()
            .map(pipeline::Source::path)
            .unwrap_or_default()
    }

    /// The table of the rows that are there, and their starts. Rows that have ended leave it when it is remade: because
    /// rows came or changed, or because a quarter of it is such.
    pub(crate) fn table(&mut self, number: u64, tick: Duration) -> (Arc<Table>, Arc<[u64]>) {
        self.last_turn = self.want.turn(number, tick);
        if let Some(made) = self
            .made
            .as_ref()
            .filter(|_| self.dead * 4 <= self.rows.len())
        {
            return made.clone();
        }
        let mut lives = self.rows.iter().map(|row| row.life != Life::Dead);
        Arc::make_mut(&mut self.series).retain(|_| lives.next().unwrap_or(true));
        self.rows.retain(|row| row.life != Life::Dead);
        self.dead = 0;
        let starts = self.rows.iter().map(|row| row.since).collect();
        let table = Table::shared(Arc::clone(&self.head), Arc::clone(&self.series));
        self.made.insert((table, starts)).clone()
    }
}
