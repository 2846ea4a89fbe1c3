//! The readers of the program's own telemetry: pipelines beside the others. What they carry is in no count of the program,
//! so that a message never tells of the one before it.

use pipeline::Context;
use pipeline::telemetry::Counters;
use tokio::runtime::Handle;

use crate::background::{BackgroundTasks, broke_down};
use crate::config::{Config, Diagnostic};
use crate::exporter::OwnTasks;
use crate::graph::{self, Ended, Graph, RunningGraph, spawn};
use crate::request_logs::RequestLogs;
use crate::sandbox::ComponentNeeds;

/// A reader that is built.
pub(crate) struct Reader {
    graph: Graph,
    counters: Counters,
}

impl Reader {
    /// What its components need of the system.
    pub(crate) fn take_needs(&mut self) -> Vec<ComponentNeeds> {
        std::mem::take(&mut self.graph.needs)
    }
}

/// Builds the readers; what is wrong is added to the diagnostics, and then there are none.
pub(crate) fn build_readers(
    configs: Vec<Config>,
    context: &Context,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<Reader>> {
    let readers = configs.into_iter().map(|config| {
        let counters = Counters::new("telemetry");
        let context = context.uncounted(counters.clone());
        let graph = graph::build(config, &context, diagnostics)?;
        Some(Reader { graph, counters })
    });
    // All of them are built, for all that is wrong.
    readers.collect::<Vec<_>>().into_iter().collect()
}

struct RunningReader {
    graph: RunningGraph,
    exporters: OwnTasks,
}

/// Starts them one after the other. They end after everything else, to tell of that.
///
/// # Errors
/// What the first one failed with, as where its port is taken.
pub(crate) async fn start_readers(
    readers: Vec<Reader>,
    workers: &Handle,
) -> Result<BackgroundTasks, String> {
    let mut tasks = BackgroundTasks::new();
    for Reader { graph, counters } in readers {
        let exporters = OwnTasks::start(graph.started_exporters(), &counters, workers).await?;
        let graph = {
            let _spawned_there = workers.enter();
            // Also with `--once` they go on to the end, to tell of all of it.
            // No log: what waits of it is never on disk.
            spawn(
                graph,
                RequestLogs::new(),
                &tasks.shutdown(),
                false,
                &counters,
            )
        };
        let reader = RunningReader { graph, exporters };
        tasks.spawn_on(reader.run(), &Handle::current());
    }
    Ok(tasks)
}

impl RunningReader {
    /// Runs until its receiver has heard the end, and all is told.
    async fn run(mut self) -> Result<(), String> {
        loop {
            tokio::select! {
                ended = self.graph.tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ended::Receiver(id, Err(error)))) => return Err(format!("{id}: {error}")),
                    Some(Err(panic)) => return Err(broke_down(&panic)),
                    Some(Ok(_)) => {}
                },
                error = self.exporters.failure() => return Err(error),
            }
        }
        let mut failure = None;
        self.exporters.end(&mut failure).await;
        failure.map_or(Ok(()), Err)
    }
}
