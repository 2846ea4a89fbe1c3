//! The graph: `build` makes every component and starts nothing; `spawn` is the one function that makes tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{
    Context, Demand, Exporter, Outlet, Processor, Receiver, Scope, Until, telemetry::Counters,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Around, Component, Config, Diagnostic};
use crate::export::Export;
use crate::stage::{Request, Way, fork, processor};

/// All components, built, and how they hang together.
pub(crate) struct Graph {
    receivers: BTreeMap<String, Box<dyn Receiver>>,
    pipelines: Vec<Pipeline>,
    pub(crate) exporters: BTreeMap<String, (Arc<dyn Exporter>, Around)>,
    capacity: usize,
}

struct Pipeline {
    name: String,
    receivers: Vec<String>,
    processors: Vec<(String, Box<dyn Processor>)>,
    exporters: Vec<String>,
}

/// Builds what pipelines use. Nothing runs yet, and nothing was opened but what components read by their context.
pub(crate) fn build(mut config: Config, context: &Context) -> Result<Graph, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let service = config.service;
    let mut graph = Graph {
        receivers: BTreeMap::new(),
        pipelines: Vec::new(),
        exporters: BTreeMap::new(),
        capacity: service.channel_capacity.get().into(),
    };
    for (name, pipeline) in service.pipelines {
        for id in &pipeline.receivers {
            if let Some(component) = config.receivers.remove(id) {
                graph.receivers.extend(
                    made(component, "receivers", id, context, &mut wrong)
                        .map(|it| (id.clone(), it)),
                );
            }
        }
        for id in &pipeline.exporters {
            if let Some((component, around)) = config.exporters.remove(id) {
                let exporter = made(component, "exporters", id, context, &mut wrong);
                graph
                    .exporters
                    .extend(exporter.map(|it| (id.clone(), (Arc::from(it), around))));
            }
        }
        let mut processors = Vec::new();
        for id in &pipeline.processors {
            if let Some(component) = config.processors.get_mut(id).and_then(Vec::pop) {
                processors.extend(
                    made(component, "processors", id, context, &mut wrong)
                        .map(|it| (id.clone(), it)),
                );
            }
        }
        graph.pipelines.push(Pipeline {
            name,
            receivers: pipeline.receivers,
            processors,
            exporters: pipeline.exporters,
        });
    }
    if wrong.is_empty() {
        Ok(graph)
    } else {
        Err(wrong)
    }
}

fn made<T>(
    component: Component<T>,
    section: &str,
    id: &str,
    context: &Context,
    wrong: &mut Vec<Diagnostic>,
) -> Option<T> {
    let it = component.registration;
    let context = context.of(id, Scope::new(it.crate_name, it.version));
    match (component.build)(&context) {
        Ok(made) => Some(made),
        Err(error) => {
            let below: Vec<String> = error
                .path()
                .split('.')
                .filter(|it| !it.is_empty())
                .map(String::from)
                .collect();
            let origin = (0..=below.len())
                .rev()
                .find_map(|depth| component.node.at(&below[..depth])?.origin.clone());
            let path: Vec<&str> = [section, id]
                .into_iter()
                .chain(below.iter().map(String::as_str))
                .collect();
            let told = Diagnostic::error(error.to_string()).path(&path);
            wrong.push(if below.is_empty() {
                told.at_key(component.origin.as_ref())
            } else {
                told.at_value(origin.as_ref())
            });
            None
        }
    }
}

/// What runs.
pub(crate) struct Running {
    /// All but the exporters' own tasks.
    pub(crate) tasks: JoinSet<Ended>,
    /// Tells the exporters that the time for draining is over.
    pub(crate) give_up: watch::Sender<bool>,
    pub(crate) found: mpsc::UnboundedReceiver<pipeline::Found>,
    pub(crate) receivers: usize,
    /// The reader of an exporter is gone for good.
    pub(crate) closed: Arc<Notify>,
}

/// How a task ended.
pub(crate) enum Ended {
    /// A receiver, by its id.
    Receiver(String, pipeline::Result<()>),
    /// Anything else: its channel has closed.
    Stage,
}

/// Starts everything, the far end first. Only receivers hear `end`; every other task ends when its channel closes.
pub(crate) fn spawn(
    graph: Graph,
    end: &watch::Receiver<bool>,
    once: bool,
    counters: &Counters,
) -> Running {
    let mut tasks = JoinSet::new();
    let closed = Arc::new(Notify::new());
    let (give_up, hear_give_up) = watch::channel(false);
    let mut into: BTreeMap<String, (mpsc::Sender<_>, Demand)> = BTreeMap::new();
    for (id, (exporter, around)) in graph.exporters {
        let (to, from) = mpsc::channel(graph.capacity);
        into.insert(id.clone(), (to, exporter.demand()));
        let export = Arc::new(Export::new(
            id.clone(),
            exporter,
            around,
            counters.of(&id),
            Arc::clone(&closed),
            hear_give_up.clone(),
        ));
        tasks.spawn(async move {
            export.run(from).await;
            Ended::Stage
        });
    }
    let mut ways: BTreeMap<String, Vec<Way>> = BTreeMap::new();
    for pipeline in graph.pipelines {
        let exits = pipeline.exporters.iter().filter_map(|id| into.get(id));
        let exits: Vec<Way> = exits
            .map(|(to, demand)| Way {
                to: to.clone(),
                demand: demand.clone(),
            })
            .collect();
        let mut demand = exits
            .iter()
            .map(|way| way.demand.clone())
            .reduce(Demand::or)
            .unwrap_or_else(Demand::everything);
        let mut to = match &exits[..] {
            [only] if only.demand.is_everything() => only.to.clone(),
            _ => forked(
                exits,
                graph.capacity,
                counters.of(&pipeline.name),
                &mut tasks,
            ),
        };
        for (id, stage) in pipeline.processors.into_iter().rev() {
            demand = stage.demand(demand);
            let (above, from) = mpsc::channel(graph.capacity);
            let (below, scoped) = (std::mem::replace(&mut to, above), counters.of(&id));
            tasks.spawn(async move {
                processor(stage, from, below, scoped).await;
                Ended::Stage
            });
        }
        for id in pipeline.receivers {
            ways.entry(id).or_default().push(Way {
                to: to.clone(),
                demand: demand.clone(),
            });
        }
    }
    let (tell, found) = mpsc::unbounded_channel();
    let receivers = graph.receivers.len();
    for (id, receiver) in graph.receivers {
        let ways = ways.remove(&id).unwrap_or_default();
        let demand = ways
            .iter()
            .map(|way| way.demand.clone())
            .reduce(Demand::or)
            .unwrap_or_else(Demand::everything);
        let scoped = counters.of(&id);
        // A receiver reads what its only way wants, when it wants it.
        let to = if let [only] = &ways[..] {
            only.to.clone()
        } else {
            forked(ways, graph.capacity, scoped.clone(), &mut tasks)
        };
        let outlet = Outlet::new(to, scoped.clone(), tell.clone());
        let until = Until::new(end.clone(), once, scoped);
        tasks.spawn(async move {
            let done = receiver.run(demand, outlet, until).await;
            Ended::Receiver(id, done)
        });
    }
    Running {
        tasks,
        give_up,
        found,
        receivers,
        closed,
    }
}

/// Starts a fork into these ways.
fn forked(
    ways: Vec<Way>,
    capacity: usize,
    counters: Counters,
    tasks: &mut JoinSet<Ended>,
) -> mpsc::Sender<Request> {
    let (to, from) = mpsc::channel(capacity);
    tasks.spawn(async move {
        fork(from, ways, counters).await;
        Ended::Stage
    });
    to
}
