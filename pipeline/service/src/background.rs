//! Tasks that run beside a graph, and end after what they serve.

use std::future::{Future, pending};

use pipeline::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// Tasks, and the signal for their common end.
pub(crate) struct BackgroundTasks {
    tasks: JoinSet<Result<(), String>>,
    end: watch::Sender<bool>,
}

impl BackgroundTasks {
    /// None yet.
    pub(crate) fn new() -> BackgroundTasks {
        BackgroundTasks {
            tasks: JoinSet::new(),
            end: watch::Sender::new(false),
        }
    }

    /// What tells a task that it is to end.
    pub(crate) fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.end.subscribe())
    }

    /// Runs a task there. An error of its ends the program.
    pub(crate) fn spawn_on(
        &mut self,
        task: impl Future<Output = Result<(), String>> + Send + 'static,
        workers: &Handle,
    ) {
        self.tasks.spawn_on(task, workers);
    }

    /// Waits for what ends the program. May be cancelled.
    pub(crate) async fn failure(&mut self) -> String {
        while let Some(ended) = self.tasks.join_next().await {
            if let Some(error) = error_of(ended) {
                return error;
            }
        }
        pending().await
    }

    /// Tells them to end, and waits for their ends. Gives the first error of one to `failure`. May be cancelled: what is not
    /// told by then is lost.
    pub(crate) async fn end(&mut self, failure: &mut Option<String>) {
        self.end.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            *failure = failure.take().or(error_of(ended));
        }
    }
}

fn error_of(ended: Result<Result<(), String>, JoinError>) -> Option<String> {
    ended.unwrap_or_else(|panic| Err(broke_down(&panic))).err()
}

/// A component's task has panicked.
pub(crate) fn broke_down(panic: &JoinError) -> String {
    format!("a component broke down: {panic}")
}
