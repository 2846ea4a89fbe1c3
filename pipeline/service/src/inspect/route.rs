//! A pipeline as `inspect` runs it: its processors one after the other, and the way of each series through them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeline::telemetry::Counters;
use pipeline::{Batch, Demand, Exporter as _, Head, Kind, LeftOut, Series, Value, Want};

use super::joined::JoinedExporters;
use super::record::{self, Record, State};
use super::sink::{Exported, Sink};
use super::stage::Stage;
use crate::config::DeliveryConfig;
use crate::exporter::StartedExporter;
use crate::graph::{Pipeline, all_of};
use crate::join::FirstOfEach;
use crate::processor::Request;

/// A pipeline whose exporters are a sink.
pub(super) struct InspectedPipeline {
    name: String,
    receivers: Vec<String>,
    /// Where several receivers come together.
    join: Option<Stage>,
    stages: Vec<Stage>,
    /// The demand of each exporter, above all stages.
    outputs: Vec<(String, Demand)>,
    steps: Steps,
    sink: Sink,
}

/// A series as it comes in at each stage, and, behind the last one, as it goes out: by the number of the stage.
type Steps = Arc<Mutex<BTreeMap<usize, (Head, Series)>>>;

/// The way of a series.
pub(super) struct Routed<'a> {
    pub(super) record: Record<'a>,
    pipeline: &'a InspectedPipeline,
    /// As it came in.
    incoming: &'a Series,
    /// As it goes out, if the stages say that.
    outgoing: Option<(Head, Series)>,
    /// How often each exporter wants it.
    wants: Vec<Want>,
}

impl InspectedPipeline {
    pub(super) fn new(
        pipeline: Pipeline,
        exporters: &BTreeMap<String, (Arc<StartedExporter>, DeliveryConfig)>,
        counters: &Counters,
    ) -> InspectedPipeline {
        let processors = pipeline.processors.into_iter();
        let stages = processors.map(|(id, it)| Stage::new(&id, it, counters));
        let stages: Vec<Stage> = stages.collect();
        let steps = Steps::default();
        let outputs = pipeline.exporters.into_iter().filter_map(|id| {
            let (exporter, _) = exporters.get(&id)?;
            let demand = demand_with_steps(&stages, exporter.demand(), &steps);
            Some((id, demand))
        });
        let first_of_each =
            || Stage::new(&pipeline.name, Box::new(FirstOfEach::new(true)), counters);
        InspectedPipeline {
            join: (pipeline.receivers.len() > 1).then(first_of_each),
            outputs: outputs.collect(),
            name: pipeline.name,
            receivers: pipeline.receivers,
            stages,
            steps,
            sink: Sink::default(),
        }
    }

    pub(super) fn has_receiver(&self, id: &str) -> bool {
        self.receivers.iter().any(|it| it == id)
    }

    /// What its exporters want of its receivers.
    pub(super) fn demand(&self) -> Demand {
        all_of(self.outputs.iter().map(|(_, demand)| demand.clone()))
    }

    /// Sends batches through all stages.
    pub(super) fn feed(&mut self, request: Request, joined: &mut JoinedExporters) {
        let stages = self.join.iter_mut().chain(&mut self.stages);
        let exported = stages.fold(request, |request, stage| stage.process(request));
        joined.add(&self.name, &exported);
        self.sink.add(exported);
    }

    /// Lets out what the stages hold.
    pub(super) fn flush(&mut self, joined: &mut JoinedExporters) {
        let mut request = Request::new();
        for stage in self.join.iter_mut().chain(&mut self.stages) {
            request = stage.process(request);
            request.extend(stage.flush());
        }
        joined.add(&self.name, &request);
        self.sink.add(request);
    }

    /// The way of a series of a receiver: who it is at the end, and who says so; or who lets it go no further.
    pub(super) fn record<'a>(
        &'a self,
        receiver: &'a str,
        source: &'a str,
        head: &Head,
        series: &'a Series,
    ) -> Routed<'a> {
        let (steps, wants) = self.route(head, series);
        let mut record = Record::new(receiver, source, State::Read);
        record.pipeline = Some(&self.name);
        let via = series.source.as_ref().map(|it| it.directory.via);
        record.via = via.filter(|it| !it.is_empty());
        record.kind_from = Some(match series.kind {
            Kind::Unknown => "nobody".into(),
            _ => "receiver".into(),
        });
        record.unit_from = (!series.unit.is_empty()).then_some("receiver".into());
        let mut is_dropped = false;
        for (number, stage) in self.stages.iter().enumerate() {
            let Some((head, series)) = steps.get(&number) else {
                break;
            };
            record.set_series(series);
            let explanation = stage.processor.explain(head, series);
            let next = steps.get(&(number + 1));
            if explanation.dropped_by.is_some() || (next.is_none() && !is_any(&wants)) {
                let detail = explanation
                    .dropped_by
                    .unwrap_or("it does not say why".into());
                record.drop_at(&*stage.id, "dropped", detail);
                is_dropped = true;
                break;
            }
            let kind_changes = next.is_some_and(|(_, next)| next.kind != series.kind);
            let by_stage = || kind_changes.then(|| stage.id.clone().into());
            record.kind_from = explanation.kind_from.or_else(by_stage).or(record.kind_from);
            let unit_changes = next.is_some_and(|(_, next)| next.unit != series.unit);
            let by_stage = || unit_changes.then(|| stage.id.clone().into());
            record.unit_from = explanation.unit_from.or_else(by_stage).or(record.unit_from);
        }
        let outgoing = steps.get(&self.stages.len()).cloned();
        if let Some((_, series)) = outgoing.as_ref().filter(|_| !is_dropped) {
            record.set_series(series);
        }
        if !is_dropped && !is_any(&wants) {
            let exporters: Vec<&str> = self.outputs.iter().map(|(id, _)| &**id).collect();
            record.drop_at(exporters.join(", "), "unwanted", "no exporter takes it");
        }
        Routed {
            record,
            pipeline: self,
            incoming: series,
            outgoing,
            wants,
        }
    }

    /// Asks the real demand, which passes the series through the stages.
    fn route(&self, head: &Head, series: &Series) -> (BTreeMap<usize, (Head, Series)>, Vec<Want>) {
        let lock = || self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        lock().clear();
        let wants = self.outputs.iter().map(|(_, it)| it.want(head, series));
        let wants = wants.collect();
        (std::mem::take(&mut *lock()), wants)
    }
}

/// The demand of an exporter above these stages, that notes each step of a series.
fn demand_with_steps(stages: &[Stage], exporter: Demand, steps: &Steps) -> Demand {
    let mut demand = noted(stages.len(), exporter, steps);
    for (number, stage) in stages.iter().enumerate().rev() {
        demand = noted(number, stage.processor.demand(demand), steps);
    }
    demand
}

fn noted(number: usize, below: Demand, steps: &Steps) -> Demand {
    let steps = Arc::clone(steps);
    Demand::new(move |head, series| {
        let mut noted = steps.lock().unwrap_or_else(PoisonError::into_inner);
        let step = || (head.clone(), series.clone());
        noted.entry(number).or_insert_with(step);
        drop(noted);
        below.want(head, series)
    })
}

fn is_any(wants: &[Want]) -> bool {
    wants.iter().any(|want| *want != Want::Never)
}

impl<'a> Routed<'a> {
    /// Looks for what has come out at the end, of a batch of the receiver.
    pub(super) fn set_exported(&mut self, incoming: &Batch, joined: &JoinedExporters) {
        if self.record.state != State::Read {
            return;
        }
        let pipeline = self.pipeline;
        let outputs = pipeline.outputs.iter().zip(&self.wants);
        let wanted = outputs.filter(|(_, want)| **want != Want::Never);
        let tick = incoming.sweep().tick;
        let exporters = wanted.map(|((id, _), want)| (id.clone(), interval(*want, tick)));
        self.record.exporters = Some(exporters.collect());
        match self.exported() {
            Some(Exported { series, .. }) if self.outgoing.is_none() => {
                self.record.set_series(series);
            }
            Some(exported) => self.drop_duplicate(incoming.table().head().component(), &exported),
            None if self.outgoing.is_none() => {
                self.record.detail = Some("a processor does not say what it makes of it".into());
            }
            None => {}
        }
        self.leave_to_other_pipelines(joined);
    }

    /// Of two that are the same series, the other one goes out.
    fn drop_duplicate(&mut self, own: &str, exported: &Exported<'_>) {
        let (component, path) = exported.origin();
        let is_own = component == own && *path == *self.record.source;
        if exported.series.source.is_some() && !is_own {
            let detail = format!("the same series as {path} of {component}");
            self.record
                .drop_at(&*self.pipeline.name, "duplicate", detail);
        }
    }

    /// An exporter that gets the series of another pipeline does not get it of this one.
    fn leave_to_other_pipelines(&mut self, joined: &JoinedExporters) {
        let (Some(exporters), Some((head, series))) = (&mut self.record.exporters, &self.outgoing)
        else {
            return;
        };
        let mut last_left = None;
        exporters.retain(|id, _| {
            let other = joined.other(id, &self.pipeline.name, (head, series));
            let is_own = other.is_none();
            if let Some(other) = other {
                let (component, path) = other.origin();
                last_left = Some((
                    id.clone(),
                    format!("the same series as {path} of {component}"),
                ));
            }
            is_own
        });
        if let Some((id, detail)) = last_left.filter(|_| exporters.is_empty()) {
            self.record.drop_at(id, "duplicate", detail);
        }
    }

    fn exported(&self) -> Option<Exported<'a>> {
        match &self.outgoing {
            Some((head, series)) => self.pipeline.sink.find(head, series),
            None => self.pipeline.sink.find_source(&self.record.source),
        }
    }

    /// Sets the value that goes out, or why there is none; `read` is what the receiver has sent.
    pub(super) fn set_value(&mut self, read: &Value, no_value: Option<&'a LeftOut>) {
        if let Some(no_value) = no_value {
            return self.record.fail(no_value.reason, &*no_value.detail);
        }
        if *read == Value::Absent {
            return self
                .record
                .fail("absent", "what was read stands for no value");
        }
        let exported = self.exported();
        let own = exported.as_ref().filter(|it| it.series.source.is_some());
        let (value, series) = own.map_or((read, self.incoming), |it| (it.value, it.series));
        if *value == Value::Absent || exported.is_none() {
            let read = record::value(read, self.incoming);
            let detail = format!("{read} was read, and a processor makes no point of it");
            return self.record.fail("absent", detail);
        }
        self.record.value = Some(record::value(value, series));
    }
}

/// How often something that is wanted goes out.
fn interval(want: Want, tick: Duration) -> String {
    let interval = match want {
        Want::Every(interval) => {
            let ticks = interval.as_nanos().div_ceil(tick.as_nanos().max(1));
            tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX).max(1))
        }
        Want::Always | Want::Never => tick,
    };
    pipeline::config::Duration(interval).to_string()
}
