//! The exporters' own tasks. One that fails is tried again as long as there is another one that does not; when all of
//! them fail, the program ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::telemetry::{Counters, Warnings};
use pipeline::{Exporter, Result, Shutdown};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::StartedExporter;
use crate::background::BackgroundTasks;

/// The pause before an exporter that failed is tried again. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// The exporters' own tasks, by id.
pub(crate) struct OwnTasks {
    tasks: BackgroundTasks,
    failing: Arc<Failing>,
}

impl OwnTasks {
    /// Starts the exporters one after the other, and then their own tasks.
    ///
    /// # Errors
    /// What the first one failed with, where all of them did.
    pub(crate) async fn start(
        exporters: BTreeMap<String, Arc<StartedExporter>>,
        counters: &Counters,
        workers: &Handle,
    ) -> Result<OwnTasks, String> {
        let failing = Arc::new(Failing {
            ids: Mutex::default(),
            exporters: exporters.len(),
        });
        let mut started = Vec::new();
        for (id, exporter) in exporters {
            let starting = Arc::clone(&exporter);
            let result = workers.spawn(async move { starting.start().await }).await;
            let result = result.map_err(|panic| format!("{id}: {panic}"))?;
            if result.is_err() {
                failing.insert(&id);
            }
            let warnings = Warnings::new(counters.of(&id).component());
            let task = OwnTask {
                id,
                exporter,
                failing: Arc::clone(&failing),
                warnings,
            };
            started.push((task, result));
        }
        let mut errors = started
            .iter()
            .filter_map(|(task, result)| Some((&task.id, result.as_ref().err()?)));
        if failing.is_all()
            && let Some((id, error)) = errors.next()
        {
            return Err(format!("{id}: {error}"));
        }
        let mut tasks = BackgroundTasks::new();
        for (task, result) in started {
            tasks.spawn_on(task.run(result, tasks.shutdown()), workers);
        }
        Ok(OwnTasks { tasks, failing })
    }

    /// Waits for what ends the program. May be cancelled.
    pub(crate) async fn failure(&mut self) -> String {
        self.tasks.failure().await
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_all_failing(&self) -> bool {
        self.failing.is_all()
    }

    /// This exporter takes no more: it is none of those that the others are tried again for.
    pub(crate) fn closed(&self, id: &str) {
        self.failing.insert(id);
    }

    /// Tells them that the last export is over, and waits for their ends. Gives the first error of one to `failure`.
    pub(crate) async fn end(&mut self, failure: &mut Option<String>) {
        self.tasks.end(failure).await;
    }
}

/// The own task of one exporter.
struct OwnTask {
    id: String,
    exporter: Arc<StartedExporter>,
    failing: Arc<Failing>,
    warnings: Warnings,
}

impl OwnTask {
    /// Runs the exporter after its first start, and starts and runs it again when it has failed.
    async fn run(
        self,
        mut result: Result<()>,
        shutdown: Shutdown,
    ) -> std::result::Result<(), String> {
        let mut pause = FIRST_PAUSE;
        loop {
            if result.is_ok() {
                result = self.exporter.run(shutdown.clone()).await;
            }
            let Err(error) = &result else { break };
            self.failing.insert(&self.id);
            if self.failing.is_all() {
                break;
            }
            self.warnings.warn(
                "the exporter has failed and is tried again; the others go on",
                &error.to_string(),
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = shutdown.clone().wait() => {
                    result = Ok(());
                    break;
                }
            }
            pause = (pause * 2).min(MAX_PAUSE);
            self.failing.remove(&self.id);
            result = self.exporter.start().await;
        }
        result.map_err(|error| format!("{}: {error}", self.id))
    }
}

/// Which exporters have failed, and were not tried again yet.
struct Failing {
    ids: Mutex<BTreeSet<String>>,
    /// How many there are.
    exporters: usize,
}

impl Failing {
    fn insert(&self, id: &str) {
        self.lock().insert(id.to_owned());
    }

    fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn is_all(&self) -> bool {
        self.lock().len() == self.exporters
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pipeline::{Batch, ComponentStatus, Error, ExportError, async_trait};

    use super::*;

    /// It starts, or it never does.
    struct Starts(bool);

    #[async_trait]
    impl Exporter for Starts {
        async fn start(&self) -> Result<()> {
            if self.0 {
                Ok(())
            } else {
                Err(Error::new("no such file"))
            }
        }

        async fn export(&self, _: &[Batch]) -> std::result::Result<(), ExportError> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_the_only_exporter_that_works_is_closed_the_others_failure_ends_the_program() {
        let started = |it| StartedExporter::new(Box::new(it), ComponentStatus::default());
        let exporter = |starts| Arc::new(started(Starts(starts)));
        let exporters = [("otlp".to_owned(), false), ("stdout".to_owned(), true)];
        let exporters = exporters.map(|(id, starts)| (id, exporter(starts)));
        let counters = Counters::new("test");
        let handle = Handle::current();
        let started = OwnTasks::start(exporters.into(), &counters, &handle).await;
        let mut tasks = started.expect("one of them starts");
        let hour = Duration::from_hours(1);
        let failure = tokio::time::timeout(hour, tasks.failure()).await;
        assert!(failure.is_err(), "it is tried again and again");
        tasks.closed("stdout");
        assert_eq!(tasks.failure().await, "otlp: no such file");
        assert!(tasks.is_all_failing());
    }
}
