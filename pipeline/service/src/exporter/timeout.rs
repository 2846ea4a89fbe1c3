//! One attempt to export, within the time that it may take.

use std::sync::Arc;
use std::time::Duration;

use pipeline::{Batch, ExportError, Exporter};
use tokio::time::timeout;

/// Exports once.
pub(super) struct TimeoutSender {
    exporter: Arc<dyn Exporter>,
    /// Zero: as long as it takes.
    timeout: Duration,
}

impl TimeoutSender {
    pub(super) fn new(exporter: Arc<dyn Exporter>, timeout: Duration) -> TimeoutSender {
        TimeoutSender { exporter, timeout }
    }

    /// What one attempt gave; `None` for one that took too long.
    pub(super) async fn send(&self, request: &[Batch]) -> Option<Result<(), ExportError>> {
        let export = self.exporter.export(request);
        if self.timeout.is_zero() {
            return Some(export.await);
        }
        timeout(self.timeout, export).await.ok()
    }

    /// What is said of an attempt that took too long: it may succeed later.
    pub(super) fn timed_out(&self) -> ExportError {
        let destination = self.exporter.destination();
        let to = destination.map_or_else(String::new, |it| format!("{it}: "));
        let limit = self.timeout;
        ExportError::retryable(format!("{to}no answer within {limit:?}"))
    }
}
