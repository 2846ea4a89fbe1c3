#![doc = include_str!("../README.md")]

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::formats::prometheus::Exposition;
use pipeline::formats::{otlp, text};
use pipeline::telemetry::json_escaped;
use pipeline::{
    Batch, BoxError, Component, Context, Delivery, ExportError, Exporter, Result, Shutdown,
    async_trait,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// The configuration of a `stdout` exporter.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How points are written.
    #[serde(default)]
    pub format: OutputFormat,
}

/// How points are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// A line a point, for people: `NAME{k=v,…} VALUE KIND UNIT`.
    #[default]
    Text,
    /// OTLP JSON, one request a line, as the Collector's file exporter writes it.
    Json,
    /// A whole Prometheus exposition a sweep.
    Prometheus,
}

/// Writes to standard output.
#[derive(Debug)]
pub struct Stdout {
    format: OutputFormat,
    exposition: Mutex<Exposition>,
    changed: Notify,
    /// Found out beside an export: the next one says so.
    reader_gone: AtomicBool,
}

impl Stdout {
    fn exposition(&self) -> MutexGuard<'_, Exposition> {
        self.exposition
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pipeline::register! { exporter Stdout }

/// A sweep's requests come in a burst; after so long without one, the sweep is over and its exposition is written.
const QUIET: Duration = Duration::from_millis(250);

impl Component for Stdout {
    const TYPE: &'static str = "stdout";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Stdout> {
        Ok(Stdout {
            format: config.format,
            exposition: Mutex::new(Exposition::new(context.counters.clone())),
            changed: Notify::new(),
            reader_gone: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Exporter for Stdout {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        match self.format {
            OutputFormat::Text => write(text::format(request)).await,
            OutputFormat::Json => {
                let line = serde_json::to_string(&otlp::to_request(request))
                    .map_err(ExportError::permanent)?;
                write(format!("{}\n", json_escaped(&line))).await
            }
            OutputFormat::Prometheus => {
                if self.reader_gone.load(Ordering::Relaxed) {
                    return Err(ExportError::Closed);
                }
                // What shows again what is not written yet belongs to the next sweep.
                let due = self.exposition().take(request);
                self.changed.notify_one();
                if due.is_empty() {
                    Ok(())
                } else {
                    write(due).await
                }
            }
        }
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        if self.format != OutputFormat::Prometheus {
            end.wait().await;
            return Ok(());
        }
        let end = end.wait();
        tokio::pin!(end);
        let mut ended = false;
        while !ended {
            tokio::select! {
                () = &mut end => ended = true,
                () = self.changed.notified() => {
                    // Each further request begins the quiet time anew.
                    while tokio::select! {
                        () = &mut end => { ended = true; false }
                        () = self.changed.notified() => true,
                        () = tokio::time::sleep(QUIET) => false,
                    } {}
                }
            }
            let whole = self.exposition().write();
            if whole.is_empty() {
                continue;
            }
            match write(whole).await {
                Ok(()) => {}
                Err(ExportError::Closed) => self.reader_gone.store(true, Ordering::Relaxed),
                Err(ExportError::Permanent { source }) => return Err(pipeline::Error::new(source)),
                Err(other) => return Err(pipeline::Error::new(format!("{other:?}"))),
            }
        }
        Ok(())
    }

    /// One at a time, and no time-out: half a line is worse than a late one.
    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        (delivery.timeout, delivery.num_consumers, delivery.retry) = (Duration::ZERO, 1, false);
        delivery
    }
}

/// Writes all of it at once. A reader that reads slowly blocks a thread that may block, never the runtime.
async fn write(text: String) -> Result<(), ExportError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    });
    match written.await.map_err(ExportError::permanent)? {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ExportError::Closed),
        Err(error) => Err(ExportError::permanent(BoxError::from(format!(
            "cannot write to standard output: {error}"
        )))),
    }
}
