//! The graph: `build` makes every component and starts nothing; `spawn` is the one function that makes tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipeline::telemetry::{Counters, RuleLog};
use pipeline::{
    Context, Demand, Exporter as _, Extension, FileWatch, Outlet, PipelineShape, Processor,
    Receiver, ReceiverClock, Shutdown, StartupReport, Status, Storage,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::config::{Config, DeliveryConfig, Diagnostic, Sandbox};
use crate::exporter::{ExporterTask, PersistentQueue, StartedExporter, Surroundings};
use crate::fanout::{Output, fanout};
use crate::join::{FirstOfEach, Joins, Way};
use crate::memory::MemoryLimit;
use crate::processor::{Request, run_processor};
use crate::request_logs::RequestLogs;
use crate::sandbox::ComponentNeeds;

/// All components, built, and how they hang together.
pub(crate) struct Graph {
    pub(crate) receivers: BTreeMap<String, Box<dyn Receiver>>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) exporters: BTreeMap<String, (Arc<StartedExporter>, DeliveryConfig)>,
    /// The receivers that are not optional.
    pub(crate) required: BTreeSet<String>,
    /// In the order in which they start.
    pub(crate) extensions: Vec<(String, Box<dyn Extension>)>,
    /// Those of them that keep queues.
    pub(crate) storages: BTreeMap<String, Arc<dyn Storage>>,
    pub(crate) rules: RuleLog,
    /// What components were built of and may change.
    pub(crate) files: Vec<FileWatch>,
    /// What components need of the system.
    pub(crate) needs: Vec<ComponentNeeds>,
    pub(crate) status: Status,
    pub(crate) capacity: usize,
    pub(crate) memory: Option<MemoryLimit>,
    pub(crate) sandbox: Sandbox,
}

/// A pipeline: the ids of its components, and its own processors.
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) receivers: Vec<String>,
    pub(crate) processors: Vec<(String, Box<dyn Processor>)>,
    pub(crate) exporters: Vec<String>,
}

/// Builds what pipelines use. Nothing runs yet, and nothing was opened but what components read by their context, and what
/// says how much memory there is. What is wrong or odd is added to the diagnostics; with an error among it there is no graph.
pub(crate) fn build(
    mut config: Config,
    context: &Context,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Graph> {
    let before = diagnostics.len();
    let mut builder = Builder::new(context, diagnostics);
    let service = config.service;
    let mut graph = Graph {
        receivers: BTreeMap::new(),
        pipelines: Vec::new(),
        exporters: BTreeMap::new(),
        required: BTreeSet::new(),
        extensions: Vec::new(),
        storages: BTreeMap::new(),
        rules: context.rules.clone(),
        files: Vec::new(),
        needs: Vec::new(),
        status: Status::default(),
        capacity: service.channel_capacity.get().into(),
        memory: MemoryLimit::of(&service.memory),
        sandbox: service.sandbox,
    };
    for (name, pipeline) in service.pipelines {
        for id in &pipeline.receivers {
            if let Some((component, optional)) = config.receivers.remove(id) {
                graph.required.extend((!optional).then(|| id.clone()));
                let built = builder.build(component, "receivers", id);
                graph.receivers.extend(built.map(|it| (id.clone(), it)));
            }
        }
        for id in &pipeline.exporters {
            if let Some((component, delivery)) = config.exporters.remove(id) {
                let exporter = builder.build(component, "exporters", id);
                let status = graph.status.of("exporter", id);
                let exporter = exporter.map(|it| Arc::new(StartedExporter::new(it, status)));
                graph
                    .exporters
                    .extend(exporter.map(|it| (id.clone(), (it, delivery))));
            }
        }
        let mut processors = Vec::new();
        for id in &pipeline.processors {
            if let Some(component) = config.processors.get_mut(id).and_then(Vec::pop) {
                let built = builder.build(component, "processors", id);
                processors.extend(built.map(|it| (id.clone(), it)));
            }
        }
        builder.compare_subsystems(&pipeline.receivers, &pipeline.processors);
        graph.pipelines.push(Pipeline {
            name,
            receivers: pipeline.receivers,
            processors,
            exporters: pipeline.exporters,
        });
    }
    for id in service.extensions {
        if let Some(component) = config.extensions.remove(&id) {
            let extension = builder.build(component, "extensions", &id);
            let storage = extension.as_ref().and_then(|it| it.storage());
            graph.storages.extend(storage.map(|it| (id.clone(), it)));
            graph.extensions.extend(extension.map(|it| (id, it)));
        }
    }
    graph.needs = builder.needs;
    graph.files = context.take_watches();
    let has_errors = diagnostics[before..].iter().any(|it| it.is_error);
    (!has_errors).then_some(graph)
}

impl Graph {
    /// What hangs together how.
    pub(crate) fn shape(&self) -> Vec<PipelineShape> {
        let shape = |it: &Pipeline| {
            let mut shape = PipelineShape::new(&it.name);
            shape.receivers.clone_from(&it.receivers);
            let processors = it.processors.iter();
            shape.processors = processors.map(|(id, _)| id.clone()).collect();
            shape.exporters.clone_from(&it.exporters);
            shape
        };
        self.pipelines.iter().map(shape).collect()
    }

    /// The exporters, by id.
    pub(crate) fn started_exporters(&self) -> BTreeMap<String, Arc<StartedExporter>> {
        let exporters = self.exporters.iter();
        let exporters = exporters.map(|(id, (exporter, _))| (id.clone(), Arc::clone(exporter)));
        exporters.collect()
    }
}

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
    let mut tasks = JoinSet::new();
    let mut all_give_up = Vec::new();
    let capacity = graph.capacity;
    let (memory, sandbox) = (graph.memory, graph.sandbox);
    let joins = Joins::new(graph.pipelines.iter().map(|it| (&*it.name, &*it.exporters)));
    let mut exporters: BTreeMap<String, Output> = BTreeMap::new();
    let shared = shared_exporters(&graph.pipelines);
    for (id, (exporter, config)) in graph.exporters {
        let (mut to, from) = mpsc::channel(capacity);
        let (give_up, hear_give_up) = watch::channel(false);
        all_give_up.push(give_up.clone());
        let (demand, overflow) = (exporter.demand(), config.overflow);
        let surroundings = Surroundings {
            once,
            is_shared: shared.contains(&id),
            memory,
            sandbox,
        };
        let status = exporter.status().clone();
        let mut task = ExporterTask::new(
            exporter,
            config,
            surroundings,
            counters.of(&id),
            status,
            Shutdown::new(hear_give_up),
        );
        let behind = |log| task.behind(log, give_up, overflow, once);
        let from = match logs.remove(&id).map(behind) {
            Some(queue) => spawn_queue(queue, from, &mut tasks),
            None => from,
        };
        spawn_exporter(id.clone(), task, from, &mut tasks);
        if let Some(name) = joins.before(&id) {
            let stage = Box::new(FirstOfEach::new(once));
            to = spawn_processor(stage, to, capacity, counters.of(&name), &mut tasks);
        }
        exporters.insert(id, Output { to, demand });
    }
    let mut receiver_outputs: BTreeMap<String, Vec<Output>> = BTreeMap::new();
    for (number, pipeline) in (1..).zip(graph.pipelines) {
        let own = counters.of(&pipeline.name);
        let outputs = pipeline.exporters.iter().filter_map(|id| {
            let mut output = exporters.get(id)?.clone();
            if joins.before(id).is_some() {
                let (stage, own) = (Box::new(Way::new(&pipeline.name, number)), own.clone());
                output.to = spawn_processor(stage, output.to, capacity, own, &mut tasks);
            }
            Some(output)
        });
        let outputs: Vec<Output> = outputs.collect();
        let mut demand = joined_demand(&outputs);
        let mut to = match &outputs[..] {
            [only] if only.demand.is_everything() => only.to.clone(),
            _ => spawn_fanout(outputs, capacity, own.clone(), &mut tasks),
        };
        for (id, stage) in pipeline.processors.into_iter().rev() {
            demand = stage.demand(demand);
            to = spawn_processor(stage, to, capacity, counters.of(&id), &mut tasks);
        }
        if pipeline.receivers.len() > 1 {
            let stage = Box::new(FirstOfEach::new(once));
            to = spawn_processor(stage, to, capacity, own, &mut tasks);
        }
        for id in pipeline.receivers {
            let output = Output {
                to: to.clone(),
                demand: demand.clone(),
            };
            receiver_outputs.entry(id).or_default().push(output);
        }
    }
    let exporters = exporters.len();
    let (startup, startup_reports) = mpsc::unbounded_channel();
    let receivers = graph.receivers.len();
    for (number, (id, receiver)) in (1..).zip(graph.receivers) {
        let outputs = receiver_outputs.remove(&id).unwrap_or_default();
        let demand = joined_demand(&outputs);
        let counters = counters.of(&id);
        // A receiver reads what its only output wants, when it wants it.
        let to = if let [only] = &outputs[..] {
            only.to.clone()
        } else {
            spawn_fanout(outputs, capacity, counters.clone(), &mut tasks)
        };
        let outlet = Outlet::new(to, counters.clone(), startup.clone())
            .with_status(graph.status.of("receiver", &id))
            .of_receiver(number);
        let clock = ReceiverClock::new(shutdown.clone(), once, counters);
        tasks.spawn(async move {
            let result = receiver.run(demand, outlet, clock).await;
            Ended::Receiver(id, result)
        });
    }
    RunningGraph {
        tasks,
        give_up: all_give_up,
        startup_reports,
        receivers,
        exporters,
    }
}

/// Starts an exporter's task.
fn spawn_exporter(
    id: String,
    task: ExporterTask,
    from: mpsc::Receiver<Request>,
    tasks: &mut JoinSet<Ended>,
) {
    tasks.spawn(async move {
        if task.run(from).await {
            Ended::Stage
        } else {
            Ended::ClosedExporter(id)
        }
    });
}

/// Starts an exporter's queue on disk; where its task gets requests from.
fn spawn_queue(
    (queue, stored): (PersistentQueue, mpsc::Receiver<Request>),
    from: mpsc::Receiver<Request>,
    tasks: &mut JoinSet<Ended>,
) -> mpsc::Receiver<Request> {
    tasks.spawn(async move {
        queue.run(from).await;
        Ended::Stage
    });
    stored
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

/// Starts a processor that sends to `below`.
fn spawn_processor(
    stage: Box<dyn Processor>,
    below: mpsc::Sender<Request>,
    capacity: usize,
    counters: Counters,
    tasks: &mut JoinSet<Ended>,
) -> mpsc::Sender<Request> {
    spawn_stage(capacity, tasks, |from| {
        run_processor(stage, from, below, counters)
    })
}

/// Starts a fan-out to these outputs.
fn spawn_fanout(
    outputs: Vec<Output>,
    capacity: usize,
    counters: Counters,
    tasks: &mut JoinSet<Ended>,
) -> mpsc::Sender<Request> {
    spawn_stage(capacity, tasks, |from| fanout(from, outputs, counters))
}

/// Starts what runs until its channel closes.
fn spawn_stage<F: Future<Output = ()> + Send + 'static>(
    capacity: usize,
    tasks: &mut JoinSet<Ended>,
    run: impl FnOnce(mpsc::Receiver<Request>) -> F,
) -> mpsc::Sender<Request> {
    let (to, from) = mpsc::channel(capacity);
    let running = run(from);
    tasks.spawn(async move {
        running.await;
        Ended::Stage
    });
    to
}
