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

    /// What one attempt gave; one that takes too long may succeed later.
    pub(super) async fn send(&self, request: &[Batch]) -> Result<(), ExportError> {
        let limit = self.timeout;
        let export = self.exporter.export(request);
        if limit.is_zero() {
            return export.await;
        }
        timeout(limit, export).await.unwrap_or_else(|_| {
            let destination = self.exporter.destination();
            let to = destination.map_or_else(String::new, |it| format!("{it}: "));
            let error = format!("{to}no answer within {limit:?}");
            Err(ExportError::retryable(error))
        })
    }
}
