#![doc = include_str!("../README.md")]

mod answers;
mod catalog;
mod config;
mod counts;
mod explain;
mod kernel;
mod kernel_type;
mod types;
mod wraps;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use pipeline::telemetry::{DropReason, bounded};
use pipeline::{
    Batch, Component, Context, Demand, Error, Explanation, Head, Memo, Outbox, PerSeries as _,
    Processor, Remark, Result, Right, Series, Table, TableMap, Value,
};

use catalog::{Catalog, CatalogFile};
pub use config::{Aggregates, Config, MetadataRule, MetadataSource, RuleKind, Start, Unmatched};
use counts::RowMemory;
use types::Types;

/// What fuzz targets reach.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Parses a catalog, and looks a file up.
    pub fn catalog(text: &str) {
        if let Ok(catalog) = crate::catalog::CatalogFile::parse("random.yaml", text) {
            let entry = catalog.find("kvm/1-2", "exits", "debugfs");
            let source = pipeline::SourceFile::new("exits");
            let directory = pipeline::SourceDirectory::new("kvm/1-2", "debugfs");
            let source = pipeline::Source::new(directory.into(), source.into());
            let _ = entry.map(|it| it.is_aggregate(&source));
        }
    }
}

/// Values that are no longer numbers once they are multiplied.
const OVERFLOW: DropReason = DropReason::loss("overflow");
const TOO_LARGE: &str = "a value is too large once it is multiplied by `scale`; left out";

/// So many candidates are named in all: names that come once and go are not kept for ever.
const MAX_CANDIDATES: usize = 500;

/// Says what each metric is.
pub struct Metadata {
    memo: Memo<Types, RowMemory>,
    tables: TableMap<TableState>,
    /// Those that were named.
    candidates: HashSet<Arc<str>>,
}

/// What is known of a table that goes on.
struct TableState {
    /// The starts as they last went out: most sweeps change none.
    starts: Arc<[u64]>,
    /// Rows that wrap, and the rows of the table that came in with their ranges; sorted.
    ranges: Vec<(usize, usize)>,
}

/// Numbers that stand for no value.
const ABSENT: DropReason = DropReason::intended("absent");

pipeline::register! { processor Metadata }

impl Component for Metadata {
    const TYPE: &'static str = "metadata";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Metadata> {
        for (index, rule) in config.rules.iter().enumerate() {
            if rule.scale.is_some_and(|scale| !scale.is_finite()) {
                return Err(Error::at(
                    format!("rules.{index}.scale"),
                    "has to be a number",
                ));
            }
        }
        let asks_kernel = config.sources.contains(&MetadataSource::Kernel);
        let kvm = asks_kernel.then(|| Right::Device("/dev/kvm".into()));
        context.needs(move || kvm.into_iter().collect());
        let mut own = Vec::new();
        for (index, path) in config.catalogs.iter().enumerate() {
            let at = |error: Box<dyn std::error::Error + Send + Sync>| {
                Error::at(format!("catalogs.{index}"), error)
            };
            let text = String::from_utf8(context.read(path).map_err(|error| at(error.into()))?)
                .map_err(|error| at(error.into()))?;
            let file = CatalogFile::parse(&path.to_string_lossy(), &text);
            own.push(file.map_err(|error| at(error.into()))?);
        }
        let catalog = Catalog::new(own);
        if config.sources.contains(&MetadataSource::Catalog) {
            let rules = config.rules.iter();
            let named = rules.filter_map(|rule| rule.r#match.subsystem().map(String::from));
            let known = catalog.subsystems().map(String::from).chain(named);
            context.remark(Remark::KnownSubsystems(known.collect()));
        }
        Ok(Metadata {
            memo: Memo::new(Types::new(config, catalog, context)),
            tables: TableMap::new(),
            candidates: HashSet::new(),
        })
    }
}

impl Processor for Metadata {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        if batch.table().is_empty() {
            out.pass(batch);
            return Ok(());
        }
        let mut candidates = BTreeSet::new();
        let rewrite = self
            .memo
            .get_or_compute(&batch, out, |types, incoming, series| {
                if self.candidates.len() < MAX_CANDIDATES
                    && types.is_candidate(incoming)
                    && self.candidates.insert(Arc::clone(&incoming.name))
                {
                    candidates.insert(Arc::clone(&incoming.name));
                }
                types.row_memory(incoming, &series.kind)
            });
        let rewritten = rewrite.apply(&batch, out);
        let state = self
            .tables
            .get_or_insert_with(rewritten.table(), || TableState {
                starts: Arc::clone(rewritten.starts_unix_nano()),
                ranges: ranges(rewritten.table(), &mut rewrite.column, batch.table()),
            });
        let current = &mut state.starts;
        let mut starts: Option<Vec<u64>> = None;
        let mut values: Option<Vec<Value>> = None;
        let mut overflows = 0;
        for (at, row) in rewrite.column.iter_mut().enumerate() {
            if let Some(rewrite) = row.rewrite() {
                let range = state.ranges.binary_search_by_key(&at, |(row, _)| *row);
                let range = range.ok().map(|it| &batch.values()[state.ranges[it].1]);
                let value = rewrite.apply(&rewritten.values()[at], range);
                let value = value.unwrap_or_else(|scale| {
                    overflows += 1;
                    let series = &rewritten.table().series()[at];
                    let detail = || format!("{} times {scale:?}", series.name);
                    out.warnings().warn_with(TOO_LARGE, detail);
                    Value::Absent
                });
                if value != rewritten.values()[at] {
                    values.get_or_insert_with(|| rewritten.values().to_vec())[at] = value;
                }
            }
            let mut start = rewritten.starts_unix_nano()[at];
            if let Some(count) = row.count() {
                let value = &values.as_deref().unwrap_or(rewritten.values())[at];
                start = count.start(value, start, rewritten.time_unix_nano(at));
            }
            if start != current[at] {
                starts.get_or_insert_with(|| current.to_vec())[at] = start;
            }
        }
        out.dropped(overflows, OVERFLOW);
        if let Some(starts) = starts {
            *current = starts.into();
        }
        let read = rewritten.points();
        let mut rewritten = rewritten.with_starts(Arc::clone(current));
        if let Some(values) = values {
            rewritten = rewritten.with_values(values);
        }
        out.dropped(read - rewritten.points() - overflows, ABSENT);
        out.pass(rewritten);
        log_candidates(out.counters().component(), &candidates);
        Ok(())
    }

    fn demand(&self, below: Demand) -> Demand {
        self.memo.demand(below)
    }

    fn explain(&self, head: &Head, series: &Series) -> Explanation {
        self.memo.stage().explain(head, series)
    }
}

/// The rows that wrap, and where in the table that came in the ranges of theirs are.
fn ranges(table: &Table, column: &mut [RowMemory], incoming: &Table) -> Vec<(usize, usize)> {
    let range_of = |(at, row): (usize, &mut RowMemory)| {
        let file = row.rewrite()?.wrap.as_ref()?.range_file();
        let directory = &table.series()[at].source.as_ref()?.directory.path;
        let range = incoming.series().iter().position(|series| {
            let source = series.source.as_ref();
            source.is_some_and(|it| &*it.file.name == file && it.directory.path == *directory)
        });
        range.map(|range| (at, range))
    };
    column.iter_mut().enumerate().filter_map(range_of).collect()
}

/// Logs new candidates for sums.
fn log_candidates(component: &str, candidates: &BTreeSet<Arc<str>>) {
    let Some(first) = candidates.first() else {
        return;
    };
    let more = match candidates.len() {
        1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    tracing::info!(
        component,
        metrics = &*bounded(&format!("{first}{more}")),
        "metrics stand at several levels, and nothing says whether the upper ones are sums; kept (a rule can say `aggregate: true` or `false`)"
    );
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("memo", &self.memo)
            .finish_non_exhaustive()
    }
}
