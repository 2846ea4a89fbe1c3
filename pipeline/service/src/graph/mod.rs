//! The graph: `build` makes every component and starts nothing; [`spawn`] makes the tasks.

mod spawn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pipeline::telemetry::RuleLog;
use pipeline::{
    Context, Extension, FileWatch, PipelineShape, Processor, Receiver, Status, Storage,
};

use crate::builder::Builder;
use crate::config::{Config, DeliveryConfig, Diagnostic, Sandbox};
use crate::exporter::StartedExporter;
use crate::memory::MemoryLimit;
use crate::sandbox::ComponentNeeds;

pub(crate) use spawn::{Ended, RunningGraph, all_of, spawn};

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
