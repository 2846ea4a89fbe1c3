//! What comes out of a pipeline, in the place of its exporters.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use pipeline::{Batch, Head, Series, Value};

use super::record;

/// All that has come out, and where a series is in it.
#[derive(Default)]
pub(super) struct Sink {
    batches: Vec<Batch>,
    /// By identity and resource: the batch and the row.
    rows: HashMap<u128, (usize, usize)>,
    /// By source, once it is asked for.
    sources: OnceCell<HashMap<String, (usize, usize)>>,
}

/// A series that has come out.
pub(super) struct Exported<'a> {
    head: &'a Head,
    pub(super) series: &'a Series,
    pub(super) value: &'a Value,
}

impl Exported<'_> {
    /// The receiver that it is from, and its source.
    pub(super) fn origin(&self) -> (&str, String) {
        (self.head.component(), record::source(self.series))
    }

    /// Whether it has come by this pipeline, where several lead to one exporter.
    pub(super) fn is_of_pipeline(&self, name: &str) -> bool {
        let component = self.head.component();
        component
            .strip_suffix(name)
            .is_some_and(|it| it.ends_with(" in "))
    }
}

impl Sink {
    pub(super) fn add(&mut self, request: Vec<Batch>) {
        for batch in request {
            let head = batch.table().head();
            for (row, series) in batch.table().series().iter().enumerate() {
                let place = (self.batches.len(), row);
                self.rows.entry(key(head, series)).or_insert(place);
            }
            self.batches.push(batch);
        }
    }

    /// The series that has come out as this one.
    pub(super) fn find(&self, head: &Head, series: &Series) -> Option<Exported<'_>> {
        self.rows.get(&key(head, series)).map(|at| self.at(*at))
    }

    /// The series that has come out of this source.
    pub(super) fn find_source(&self, source: &str) -> Option<Exported<'_>> {
        let sources = self.sources.get_or_init(|| {
            let rows = self.rows.values();
            let source = |at: &(usize, usize)| (record::source(self.at(*at).series), *at);
            rows.map(source).collect()
        });
        sources.get(source).map(|at| self.at(*at))
    }

    fn at(&self, (batch, row): (usize, usize)) -> Exported<'_> {
        let batch = &self.batches[batch];
        Exported {
            head: batch.table().head(),
            series: &batch.table().series()[row],
            value: &batch.values()[row],
        }
    }
}

/// What tells series apart, and whose they are.
fn key(head: &Head, series: &Series) -> u128 {
    let mut hasher = DefaultHasher::new();
    head.resource.hash(&mut hasher);
    series.identity() ^ u128::from(hasher.finish())
}
