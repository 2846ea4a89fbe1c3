//! What runs beside the graph: the exporters' own tasks, the readers of own telemetry, and the extensions.

use std::time::Duration;

use pipeline::Host;
use pipeline::telemetry::Counters;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::background::BackgroundTasks;
use crate::exporter::OwnTasks;
use crate::extensions;
use crate::graph::Graph;
use crate::telemetry::{Reader, start_readers};

/// How long it takes at the most to count what is left.
pub(crate) const COUNTING: Duration = Duration::from_secs(1);

/// All of them.
pub(crate) struct Beside {
    pub(crate) exporters: OwnTasks,
    readers: BackgroundTasks,
    extensions: BackgroundTasks,
}

impl Beside {
    /// Starts the extensions, the readers of own telemetry, and the exporters, in this order.
    ///
    /// # Errors
    /// Why one does not start, and with it the program.
    pub(crate) async fn start(
        graph: &mut Graph,
        readers: Vec<Reader>,
        host: &Host,
        counters: &Counters,
        workers: &Handle,
    ) -> Result<Beside, String> {
        let extensions = std::mem::take(&mut graph.extensions);
        let extensions = extensions::start(extensions, host, workers).await?;
        let readers = start_readers(readers, workers).await?;
        let exporters = OwnTasks::start(graph.started_exporters(), counters, workers).await?;
        Ok(Beside {
            exporters,
            readers,
            extensions,
        })
    }

    /// Waits for what ends the program: the error, and whether nothing can be sent any more. May be cancelled.
    pub(crate) async fn failure(&mut self) -> (String, bool) {
        tokio::select! {
            error = self.exporters.failure() => (error, self.exporters.is_all_failing()),
            error = self.readers.failure() => (error, false),
            error = self.extensions.failure() => (error, false),
        }
    }

    /// Ends the exporters' own tasks, then the readers of own telemetry, and then the extensions. The first error of one.
    pub(crate) async fn end(mut self) -> Option<String> {
        let mut failure = None;
        let _ = timeout(COUNTING, self.exporters.end(&mut failure)).await;
        let readers = timeout(COUNTING, self.readers.end(&mut failure)).await;
        if readers.is_err() {
            tracing::warn!("the last of the program's own telemetry could not be told in time");
        }
        let _ = timeout(COUNTING, self.extensions.end(&mut failure)).await;
        failure
    }
}
