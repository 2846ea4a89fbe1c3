//! The extensions: started before everything else, in their order, and ended after everything else.

use pipeline::{ComponentStatus, Extension, Host, Shutdown};
use tokio::runtime::Handle;

use crate::background::BackgroundTasks;

/// Starts them one after the other; each runs from its own start on.
///
/// # Errors
/// What the first one failed with.
pub(crate) async fn start(
    extensions: Vec<(String, Box<dyn Extension>)>,
    host: &Host,
    workers: &Handle,
) -> Result<BackgroundTasks, String> {
    let mut tasks = BackgroundTasks::new();
    for (id, extension) in extensions {
        let status = host.status().of("extension", &id);
        let host = host.clone();
        let started = workers.spawn(async move {
            let result = extension.start(&host).await;
            result.map(|()| extension)
        });
        let extension = started.await.map_err(|panic| format!("{id}: {panic}"))?;
        let extension = extension.map_err(|error| format!("{id}: {error}"))?;
        status.up();
        tasks.spawn_on(run(id, extension, status, tasks.shutdown()), workers);
    }
    Ok(tasks)
}

async fn run(
    id: String,
    extension: Box<dyn Extension>,
    status: ComponentStatus,
    shutdown: Shutdown,
) -> Result<(), String> {
    extension.run(shutdown).await.map_err(|error| {
        status.down(&error.to_string());
        format!("{id}: {error}")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use pipeline::telemetry::Counters;
    use pipeline::{Condition, Error, Result, Status, async_trait};

    use super::*;

    /// It notes its starts, and fails then or when it runs.
    struct Noted {
        name: &'static str,
        notes: Arc<Mutex<Vec<&'static str>>>,
        starts: bool,
        runs: bool,
    }

    #[async_trait]
    impl Extension for Noted {
        async fn start(&self, _: &Host) -> Result<()> {
            self.notes.lock().expect("no panic").push(self.name);
            let error = || Error::new("no such file");
            self.starts.then_some(()).ok_or_else(error)
        }

        async fn run(&self, end: Shutdown) -> Result<()> {
            if !self.runs {
                return Err(Error::new("gone"));
            }
            end.wait().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn they_start_in_their_order_up_to_the_first_that_fails_and_one_that_ends_is_told() {
        let (host, notes) = (
            Host::new(Counters::new("test"), Status::default()),
            Arc::new(Mutex::new(Vec::new())),
        );
        let noted = |name: &'static str, starts, runs| {
            let notes = Arc::clone(&notes);
            let extension = Noted {
                name,
                notes,
                starts,
                runs,
            };
            (name.to_owned(), Box::new(extension) as Box<dyn Extension>)
        };
        let workers = Handle::current();
        let all = vec![
            noted("b", true, true),
            noted("a", false, true),
            noted("c", true, true),
        ];
        let failed = start(all, &host, &workers).await.err();
        assert_eq!(failed.as_deref(), Some("a: no such file"));
        assert_eq!(*notes.lock().expect("no panic"), ["b", "a"]);
        let all = vec![noted("d", true, true), noted("e", true, false)];
        let mut running = start(all, &host, &workers).await.expect("all");
        assert_eq!(running.failure().await, "e: gone");
        let condition = |id| host.status().of("extension", id).condition();
        assert!(matches!(condition("d"), Condition::Working { .. }));
        assert!(matches!(condition("e"), Condition::Failing { .. }));
        let mut failure = None;
        running.end(&mut failure).await;
        assert_eq!(failure, None);
    }
}
