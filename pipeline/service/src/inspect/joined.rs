//! The exporters to which several pipelines lead: a series goes there once.

use std::collections::BTreeMap;

use pipeline::telemetry::Counters;
use pipeline::{Head, Series};

use super::sink::{Exported, Sink};
use super::stage::Stage;
use crate::graph::Pipeline;
use crate::join::{FirstOfEach, Joins, Way};
use crate::processor::Request;

/// Such exporters, by their ids.
pub(super) struct JoinedExporters(BTreeMap<String, JoinedExporter>);

struct JoinedExporter {
    /// By pipeline: gives its tables slots of their own.
    slots: BTreeMap<String, Stage>,
    first_of_each: Stage,
    sink: Sink,
}

impl JoinedExporters {
    pub(super) fn new(pipelines: &[Pipeline], counters: &Counters) -> JoinedExporters {
        let exporters = |it: &Pipeline| it.exporters.clone();
        let joins = Joins::new(pipelines.iter().map(|it| (&*it.name, &*it.exporters)));
        let ids = pipelines.iter().flat_map(exporters);
        let joined = ids.filter_map(|id| {
            let names = joins.before(&id)?;
            let leading = pipelines.iter().filter(|it| it.exporters.contains(&id));
            let slots = (1..).zip(leading).map(|(number, it)| {
                let way = Way::new(&it.name, number);
                let stage = Stage::new(&it.name, Box::new(way), counters);
                (it.name.clone(), stage)
            });
            let joined = JoinedExporter {
                slots: slots.collect(),
                first_of_each: Stage::new(&names, Box::new(FirstOfEach::new(true)), counters),
                sink: Sink::default(),
            };
            Some((id, joined))
        });
        JoinedExporters(joined.collect())
    }

    /// Adds what has come out of a pipeline.
    pub(super) fn add(&mut self, pipeline: &str, request: &Request) {
        for joined in self.0.values_mut() {
            if let Some(slots) = joined.slots.get_mut(pipeline) {
                let request = slots.process(request.clone());
                joined.sink.add(joined.first_of_each.process(request));
            }
        }
    }

    /// What an exporter gets of another pipeline in the place of this series.
    pub(super) fn other(
        &self,
        exporter: &str,
        pipeline: &str,
        (head, series): (&Head, &Series),
    ) -> Option<Exported<'_>> {
        let exported = self.0.get(exporter)?.sink.find(head, series)?;
        (!exported.is_of_pipeline(pipeline)).then_some(exported)
    }
}
