//! The readers of the program's own telemetry: pipelines beside the others. What they carry is in no count of the program,
//! so that a message never tells of the one before it.

use std::sync::Arc;

use pipeline::telemetry::Counters;
use pipeline::{Context, Shutdown};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::config::{Config, Diagnostic};
use crate::exporter::OwnTasks;
use crate::graph::{self, Ended, Graph, RequestLogs, RunningGraph, spawn};

/// A reader that is built.
pub(crate) struct Reader {
    graph: Graph,
    counters: Counters,
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

/// The readers that run.
pub(crate) struct Readers {
    tasks: JoinSet<Result<(), String>>,
    end: watch::Sender<bool>,
}

struct RunningReader {
    graph: RunningGraph,
    exporters: OwnTasks,
}

impl Readers {
    /// Starts them one after the other.
    ///
    /// # Errors
    /// What the first one failed with, as where its port is taken.
    pub(crate) async fn start(readers: Vec<Reader>, workers: &Handle) -> Result<Readers, String> {
        let (end, shutdown) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for Reader { graph, counters } in readers {
            let exporters = graph.exporters.iter();
            let exporters = exporters.map(|(id, (exporter, _))| (id.clone(), Arc::clone(exporter)));
            let exporters = OwnTasks::start(exporters.collect(), &counters, workers).await?;
            let graph = {
                let _spawned_there = workers.enter();
                // Also with `--once` they go on to the end, to tell of all of it.
                // No log: what waits of it is never on disk.
                let shutdown = Shutdown::new(shutdown.clone());
                spawn(graph, RequestLogs::new(), &shutdown, false, &counters)
            };
            tasks.spawn(RunningReader { graph, exporters }.run());
        }
        Ok(Readers { tasks, end })
    }

    /// Waits for what ends the program. May be cancelled.
    pub(crate) async fn failure(&mut self) -> String {
        while let Some(ended) = self.tasks.join_next().await {
            if let Some(error) = error_of(ended) {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Everything else has ended: they tell of that, and end. Gives the first error of one to `failure`. May be cancelled: what
    /// is not told by then is lost.
    pub(crate) async fn end(&mut self, failure: &mut Option<String>) {
        self.end.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            *failure = failure.take().or(error_of(ended));
        }
    }
}

impl RunningReader {
    /// Runs until its receiver has heard the end, and all is told.
    async fn run(mut self) -> Result<(), String> {
        loop {
            tokio::select! {
                ended = self.graph.tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ended::Receiver(id, Err(error)))) => return Err(format!("{id}: {error}")),
                    Some(Err(panic)) => return Err(format!("a component broke down: {panic}")),
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

fn error_of(ended: Result<Result<(), String>, JoinError>) -> Option<String> {
    match ended {
        Ok(result) => result.err(),
        Err(panic) => Some(format!("a component broke down: {panic}")),
    }
}
