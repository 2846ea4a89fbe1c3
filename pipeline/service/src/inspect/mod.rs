//! `inspect`: the graph without its exporters. Each receiver looks once, in turn; what it sends goes through the pipelines'
//! own processors, and what would go out is listed beside what is left out.

mod glob;
mod joined;
mod list;
mod record;
mod route;
mod sink;
mod stage;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

use pipeline::telemetry::Counters;
use pipeline::{
    Batch, Demand, Inspected, Inspection, LeftOut, Outlet, Receiver, ReceiverClock, Series,
    Shutdown, StartupReport, Value,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::background::broke_down;
use crate::graph::{Graph, all_of};
use joined::JoinedExporters;
use record::{Record, State};
use route::InspectedPipeline;

pub(crate) use glob::Glob;
pub(crate) use list::{JsonLines, List, Writer};
pub(crate) use table::Table;

/// How much a receiver may have said that is not listed yet.
const SAID: usize = 1024;

/// Lists what becomes of all that the receivers find.
///
/// # Errors
/// That the list cannot be written; within, the first error of a receiver.
pub(crate) async fn inspect_graph(
    graph: Graph,
    reads: bool,
    counters: &Counters,
    workers: &Handle,
    list: &mut List<'_>,
) -> io::Result<Result<(), String>> {
    let joined = JoinedExporters::new(&graph.pipelines, counters);
    let exporters = graph.exporters;
    let pipelines = graph.pipelines.into_iter();
    let pipelines = pipelines.map(|it| InspectedPipeline::new(it, &exporters, counters));
    let mut inspected = InspectedGraph {
        pipelines: pipelines.collect(),
        joined,
        rows: Vec::new(),
        no_value: BTreeMap::new(),
        reads,
    };
    let mut result = Ok(());
    for (id, receiver) in graph.receivers {
        let ended = inspected
            .receive(&id, receiver, graph.capacity, counters, workers, list)
            .await?;
        result = result.and(ended.map_err(|error| format!("{id}: {error}")));
    }
    inspected.list_rows(list)?;
    Ok(result)
}

/// The pipelines, and what has come of the receivers.
struct InspectedGraph {
    pipelines: Vec<InspectedPipeline>,
    joined: JoinedExporters,
    /// What was wanted, by receiver: listed when it has gone through.
    rows: Vec<(String, Vec<Batch>)>,
    /// Series without a value, by receiver and source.
    no_value: BTreeMap<String, BTreeMap<String, LeftOut>>,
    reads: bool,
}

impl InspectedGraph {
    /// Has a receiver look once, and lists what is not wanted or left out.
    async fn receive(
        &mut self,
        id: &str,
        receiver: Box<dyn Receiver>,
        capacity: usize,
        counters: &Counters,
        workers: &Handle,
        list: &mut List<'_>,
    ) -> io::Result<Result<(), String>> {
        let (to, mut requests) = mpsc::channel(capacity);
        let (say, mut said) = mpsc::channel(SAID);
        let (startup, mut reports) = mpsc::unbounded_channel();
        // It hears no shutdown: there is one tick.
        let (_end, hear) = watch::channel(false);
        let counters = counters.of(id);
        let outlet = Outlet::new(to, counters.clone(), startup);
        let clock = ReceiverClock::new(Shutdown::new(hear), true, counters);
        let inspection = Inspection::new(say, self.reads);
        let looking = workers.spawn(receiver.inspect(self.demand(id), outlet, clock, inspection));
        let mut is_any = false;
        self.rows.push((id.to_owned(), Vec::new()));
        loop {
            tokio::select! {
                biased;
                Some(inspected) = said.recv() => self.hear(id, inspected, list)?,
                Some(request) = requests.recv() => self.feed(id, request),
                else => break,
            }
            is_any = true;
        }
        let was_any = is_any;
        while let Ok((_, report)) = reports.try_recv() {
            is_any = true;
            if let StartupReport::Missing(missing) = report {
                list.add_missing(&missing);
                // Where something was found, that has the reason.
                if was_any {
                    continue;
                }
                list.record(&Record::left_out(
                    id,
                    &LeftOut::new(missing, "missing", MISSING),
                ))?;
            }
        }
        if !is_any {
            list.record(&Record::left_out(
                id,
                &LeftOut::new("", "unknown", SAYS_NOTHING),
            ))?;
        }
        Ok(match looking.await {
            Ok(ended) => ended.map_err(|error| error.to_string()),
            Err(panic) => Err(broke_down(&panic)),
        })
    }

    /// What the pipelines want of a receiver.
    fn demand(&self, receiver: &str) -> Demand {
        let pipelines = self.pipelines.iter();
        let pipelines = pipelines.filter(|it| it.has_receiver(receiver));
        all_of(pipelines.map(InspectedPipeline::demand))
    }

    fn hear(&mut self, id: &str, inspected: Inspected, list: &mut List<'_>) -> io::Result<()> {
        match inspected {
            Inspected::LeftOut(left_out) => list.record(&Record::left_out(id, &left_out)),
            Inspected::NoValue(left_out) => {
                let no_value = self.no_value.entry(id.to_owned()).or_default();
                no_value.insert(left_out.source.clone(), left_out);
                Ok(())
            }
            Inspected::Unwanted(head, series) => {
                for series in series {
                    for pipeline in self.pipelines.iter().filter(|it| it.has_receiver(id)) {
                        let source = record::source(&series);
                        if list.fits(&source) {
                            list.record(&pipeline.record(id, &source, &head, &series).record)?;
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends batches through the pipelines of their receiver.
    fn feed(&mut self, id: &str, request: Vec<Batch>) {
        for pipeline in &mut self.pipelines {
            if pipeline.has_receiver(id) {
                pipeline.feed(request.clone(), &mut self.joined);
            }
        }
        if let Some((_, rows)) = self.rows.last_mut() {
            rows.extend(request);
        }
    }

    /// Lists what was wanted, after the last of it has gone through.
    fn list_rows(mut self, list: &mut List<'_>) -> io::Result<()> {
        for pipeline in &mut self.pipelines {
            pipeline.flush(&mut self.joined);
        }
        for (id, batches) in std::mem::take(&mut self.rows) {
            for batch in batches {
                let rows = batch.table().series().iter().zip(batch.values());
                let living = rows.filter(|(_, value)| **value != Value::Ended);
                for (series, value) in living {
                    self.list_row(&id, &batch, (series, value), list)?;
                }
            }
        }
        Ok(())
    }

    fn list_row(
        &self,
        id: &str,
        batch: &Batch,
        (series, value): (&Series, &Value),
        list: &mut List<'_>,
    ) -> io::Result<()> {
        let source = record::source(series);
        if !list.fits(&source) {
            return Ok(());
        }
        for pipeline in self.pipelines.iter().filter(|it| it.has_receiver(id)) {
            let mut routed = pipeline.record(id, &source, batch.table().head(), series);
            routed.set_exported(batch, &self.joined);
            if self.reads && routed.record.state == State::Read {
                let no_value = self.no_value.get(id).and_then(|it| it.get(&source));
                routed.set_value(value, no_value);
            }
            list.record(&routed.record)?;
        }
        Ok(())
    }
}

const MISSING: &str = "the receiver has not found it";
const SAYS_NOTHING: &str =
    "this receiver says nothing of what it finds; `--read` has it make one sweep";
