//! An exporter that may not have started yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pipeline::{
    Batch, ComponentStatus, Demand, ExportError, Exporter, Result, Shutdown, async_trait,
};

/// Until the exporter has started, each export fails with what the start failed with, and is tried again as any other.
pub(crate) struct StartedExporter {
    exporter: Arc<dyn Exporter>,
    start: Mutex<Start>,
    status: ComponentStatus,
}

/// How far the start has come.
enum Start {
    Ahead,
    Done,
    Failed(String),
}

impl StartedExporter {
    pub(crate) fn new(exporter: Box<dyn Exporter>, status: ComponentStatus) -> StartedExporter {
        StartedExporter {
            exporter: Arc::from(exporter),
            start: Mutex::new(Start::Ahead),
            status,
        }
    }

    pub(crate) fn status(&self) -> &ComponentStatus {
        &self.status
    }

    fn lock(&self) -> MutexGuard<'_, Start> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Exporter for StartedExporter {
    /// Starts it, unless it has started already.
    async fn start(&self) -> Result<()> {
        if matches!(*self.lock(), Start::Done) {
            self.status.up();
            return Ok(());
        }
        let result = self.exporter.start().await;
        *self.lock() = match &result {
            Ok(()) => {
                self.status.up();
                Start::Done
            }
            Err(error) => {
                self.status.down(&error.to_string());
                Start::Failed(error.to_string())
            }
        };
        result
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        let result = self.exporter.run(end).await;
        if let Err(error) = &result {
            self.status.down(&error.to_string());
        }
        result
    }

    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        if let Start::Failed(error) = &*self.lock() {
            return Err(ExportError::retryable(error.clone()));
        }
        self.exporter.export(request).await
    }

    async fn drain(&self, give_up: Shutdown) {
        self.exporter.drain(give_up).await;
    }

    fn demand(&self) -> Demand {
        self.exporter.demand()
    }

    fn destination(&self) -> Option<String> {
        self.exporter.destination()
    }

    fn message_limit(&self) -> Option<usize> {
        self.exporter.message_limit()
    }

    fn wants_empty_batches(&self) -> bool {
        self.exporter.wants_empty_batches()
    }
}
