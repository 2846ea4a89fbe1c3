//! Starts the tasks of a graph; nothing else makes any that data goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipeline::telemetry::Counters;
use pipeline::{
    Demand, Exporter as _, Outlet, Processor, Receiver, ReceiverClock, RequestLog, Shutdown,
    StartupReport,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Graph, Pipeline};
use crate::config::DeliveryConfig;
use crate::exporter::{ExporterTask, StartedExporter, Surroundings};
use crate::fanout::{Output, fanout};
use crate::join::{FirstOfEach, Joins, Way};
use crate::processor::{Request, run_processor};
use crate::request_logs::RequestLogs;

/// What runs.
pub(crate) struct RunningGraph {
    /// All but the exporters' own tasks.
    pub(crate) tasks: JoinSet<Ended>,
    /// Tell the exporters that the time for draining is over.
    pub(crate) give_up: Vec<watch::Sender<bool>>,
    /// Each with the receiver's id.
    pub(crate) startup_reports: mpsc::UnboundedReceiver<(Arc<str>, StartupReport)>,
    /// How many receivers there are.
    pub(crate) receivers: usize,
    /// How many exporters there are.
    pub(crate) exporters: usize,
}

/// How a task ended.
pub(crate) enum Ended {
    /// A receiver, by its id.
    Receiver(String, pipeline::Result<()>),
    /// An exporter, by its id, of which nobody reads any more what it writes.
    ClosedExporter(String),
    /// Anything else: its channel has closed.
    Stage,
}

/// Starts everything, the far end first. Only receivers hear the shutdown; every other task ends when its channel closes.
pub(crate) fn spawn(
    graph: Graph,
    mut logs: RequestLogs,
    shutdown: &Shutdown,
    once: bool,
    counters: &Counters,
) -> RunningGraph {
    let (receivers, exporters) = (graph.receivers.len(), graph.exporters.len());
    let joins = Joins::new(graph.pipelines.iter().map(|it| (&*it.name, &*it.exporters)));
    let shared = shared_exporters(&graph.pipelines);
    let mut spawner = Spawner {
        tasks: JoinSet::new(),
        give_up: Vec::new(),
        capacity: graph.capacity,
        once,
        counters,
    };
    let mut outputs = BTreeMap::new();
    for (id, (exporter, config)) in graph.exporters {
        let surroundings = Surroundings {
            once,
            is_shared: shared.contains(&id),
            memory: graph.memory,
            sandbox: graph.sandbox,
        };
        let log = logs.remove(&id);
        let mut output = spawner.exporter(&id, exporter, config, surroundings, log);
        if let Some(names) = joins.before(&id) {
            output.to = spawner.first_of_each(output.to, counters.of(&names));
        }
        outputs.insert(id, output);
    }
    let mut receiver_outputs: BTreeMap<String, Vec<Output>> = BTreeMap::new();
    for (number, pipeline) in (1..).zip(graph.pipelines) {
        let (receivers, output) = spawner.pipeline(number, pipeline, &outputs, &joins);
        for id in receivers {
            let outputs = receiver_outputs.entry(id).or_default();
            outputs.push(output.clone());
        }
    }
    let (startup, startup_reports) = mpsc::unbounded_channel();
    for (number, (id, receiver)) in (1..).zip(graph.receivers) {
        let outputs = receiver_outputs.remove(&id).unwrap_or_default();
        let demand = joined_demand(&outputs);
        let to = spawner.receiver_output(outputs, counters.of(&id));
        let outlet = Outlet::new(to, counters.of(&id), startup.clone())
            .with_status(graph.status.of("receiver", &id))
            .of_receiver(number);
        spawner.receiver(id, receiver, demand, outlet, shutdown);
    }
    RunningGraph {
        tasks: spawner.tasks,
        give_up: spawner.give_up,
        startup_reports,
        receivers,
        exporters,
    }
}

/// Tasks that are being made.
struct Spawner<'a> {
    tasks: JoinSet<Ended>,
    give_up: Vec<watch::Sender<bool>>,
    /// How many requests an edge holds.
    capacity: usize,
    once: bool,
    counters: &'a Counters,
}

impl Spawner<'_> {
    /// Starts an exporter's task, and its queue on disk before it, if it has one.
    fn exporter(
        &mut self,
        id: &str,
        exporter: Arc<StartedExporter>,
        config: DeliveryConfig,
        surroundings: Surroundings,
        log: Option<Box<dyn RequestLog>>,
    ) -> Output {
        let (to, mut from) = mpsc::channel(self.capacity);
        let (give_up, hear_give_up) = watch::channel(false);
        self.give_up.push(give_up.clone());
        let (demand, overflow) = (exporter.demand(), config.overflow);
        let status = exporter.status().clone();
        let mut task = ExporterTask::new(
            exporter,
            config,
            surroundings,
            self.counters.of(id),
            status,
            Shutdown::new(hear_give_up),
        );
        if let Some(log) = log {
            let (queue, stored) = task.behind(log, give_up, overflow, self.once);
            let into_queue = std::mem::replace(&mut from, stored);
            self.stage(queue.run(into_queue));
        }
        let id = id.to_owned();
        self.tasks.spawn(async move {
            if task.run(from).await {
                Ended::Stage
            } else {
                Ended::ClosedExporter(id)
            }
        });
        Output { to, demand }
    }

    /// Starts what a pipeline has between its receivers and the exporters: the ids of the receivers, and where they send to.
    fn pipeline(
        &mut self,
        number: u32,
        pipeline: Pipeline,
        exporters: &BTreeMap<String, Output>,
        joins: &Joins,
    ) -> (Vec<String>, Output) {
        let own = self.counters.of(&pipeline.name);
        let outputs = pipeline.exporters.iter().filter_map(|id| {
            let mut output = exporters.get(id)?.clone();
            if joins.before(id).is_some() {
                let way = Box::new(Way::new(&pipeline.name, number));
                output.to = self.processor(way, output.to, own.clone());
            }
            Some(output)
        });
        let outputs: Vec<Output> = outputs.collect();
        let mut demand = joined_demand(&outputs);
        let mut to = match &outputs[..] {
            [only] if only.demand.is_everything() => only.to.clone(),
            _ => self.fanout(outputs, own.clone()),
        };
        for (id, stage) in pipeline.processors.into_iter().rev() {
            demand = stage.demand(demand);
            to = self.processor(stage, to, self.counters.of(&id));
        }
        if pipeline.receivers.len() > 1 {
            to = self.first_of_each(to, own);
        }
        (pipeline.receivers, Output { to, demand })
    }

    /// Starts a receiver's task.
    fn receiver(
        &mut self,
        id: String,
        receiver: Box<dyn Receiver>,
        demand: Demand,
        outlet: Outlet,
        shutdown: &Shutdown,
    ) {
        let clock = ReceiverClock::new(shutdown.clone(), self.once, self.counters.of(&id));
        self.tasks.spawn(async move {
            let result = receiver.run(demand, outlet, clock).await;
            Ended::Receiver(id, result)
        });
    }

    /// Where a receiver sends to. It reads what its only output wants, when it wants it.
    fn receiver_output(
        &mut self,
        outputs: Vec<Output>,
        counters: Counters,
    ) -> mpsc::Sender<Request> {
        if let [only] = &outputs[..] {
            only.to.clone()
        } else {
            self.fanout(outputs, counters)
        }
    }

    /// Starts what lets the first series of each identity through to `below`.
    fn first_of_each(
        &mut self,
        below: mpsc::Sender<Request>,
        counters: Counters,
    ) -> mpsc::Sender<Request> {
        self.processor(Box::new(FirstOfEach::new(self.once)), below, counters)
    }

    /// Starts a processor that sends to `below`.
    fn processor(
        &mut self,
        stage: Box<dyn Processor>,
        below: mpsc::Sender<Request>,
        counters: Counters,
    ) -> mpsc::Sender<Request> {
        let (to, from) = mpsc::channel(self.capacity);
        self.stage(run_processor(stage, from, below, counters));
        to
    }

    /// Starts a fan-out to these outputs.
    fn fanout(&mut self, outputs: Vec<Output>, counters: Counters) -> mpsc::Sender<Request> {
        let (to, from) = mpsc::channel(self.capacity);
        self.stage(fanout(from, outputs, counters));
        to
    }

    /// Starts what runs until its channel closes.
    fn stage(&mut self, run: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            run.await;
            Ended::Stage
        });
    }
}

/// The exporters that get data of a receiver that another exporter gets too.
fn shared_exporters(pipelines: &[Pipeline]) -> BTreeSet<String> {
    let mut by_receiver: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for pipeline in pipelines {
        for id in &pipeline.receivers {
            by_receiver
                .entry(id)
                .or_default()
                .extend(&pipeline.exporters);
        }
    }
    let shared = by_receiver.into_values().filter(|ids| ids.len() > 1);
    shared.flatten().cloned().collect()
}

/// What all outputs want.
fn joined_demand(outputs: &[Output]) -> Demand {
    let demands = outputs.iter().map(|output| output.demand.clone());
    all_of(demands)
}

/// What any of them wants.
pub(crate) fn all_of(demands: impl Iterator<Item = Demand>) -> Demand {
    demands
        .reduce(Demand::or)
        .unwrap_or_else(Demand::everything)
}
