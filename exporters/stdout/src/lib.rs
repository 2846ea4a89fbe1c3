#![doc = include_str!("../README.md")]

mod at_start;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::formats::prometheus::{Escaping, Exposition, Format, Settings, TranslationStrategy};
use pipeline::formats::{otlp, text};
use pipeline::telemetry::json_escaped;
use pipeline::{
    Batch, BoxError, Component, Context, Delivery, ExportError, Exporter, Result, Shutdown,
    async_trait,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;
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
    /// How names are made in the format `prometheus`, as the Collector's exporter of that name makes them.
    #[serde(default)]
    pub translation_strategy: TranslationStrategy,
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

    /// Takes in a request; returns the exposition of the sweep before, if the request belongs to the next one, since it shows
    /// again what is not written yet, and how many of its points are left out.
    fn take(&self, request: &[Batch]) -> (Option<String>, u64) {
        let mut exposition = self.exposition();
        let shows_again = exposition.shows_again(request);
        let previous = shows_again.then(|| whole(&mut exposition)).flatten();
        let left_out = request.iter().map(|batch| exposition.take(batch)).sum();
        exposition.publish(|_| true);
        (previous, left_out)
    }
}

/// The exposition, if something came since the last one.
fn whole(exposition: &mut Exposition) -> Option<String> {
    let news = exposition.has_news().then(|| exposition.snapshot());
    exposition.forget_gone();
    Some(news?.write(Format::Text, Escaping::AllowUtf8))
}

pipeline::register! { exporter Stdout }

/// A sweep's requests come in a burst; after so long without one, the sweep is over and its exposition is written.
const QUIET: Duration = Duration::from_millis(250);

impl Component for Stdout {
    const TYPE: &'static str = "stdout";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Stdout> {
        let mut settings = Settings::default();
        settings.translation_strategy = config.translation_strategy;
        settings.own_resource = Arc::clone(&context.resource);
        let exposition = Exposition::new(settings, context.counters.clone());
        Ok(Stdout {
            format: config.format,
            exposition: Mutex::new(exposition),
            changed: Notify::new(),
            reader_gone: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Exporter for Stdout {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        if at_start::was_closed() {
            return Err(ExportError::Closed);
        }
        match self.format {
            OutputFormat::Text => write(text::format(request)).await,
            OutputFormat::Json => {
                let line = otlp::to_json(request).map_err(ExportError::permanent)?;
                write(format!("{}\n", json_escaped(&line))).await
            }
            OutputFormat::Prometheus => {
                if self.reader_gone.load(Ordering::Relaxed) || is_closed() {
                    return Err(ExportError::Closed);
                }
                let (previous, left_out) = self.take(request);
                self.changed.notify_one();
                let written = match previous {
                    Some(previous) => write(previous).await,
                    None => Ok(()),
                };
                if left_out == 0 {
                    return written;
                }
                Err(ExportError::Dropped {
                    points: left_out,
                    rest: written.map_err(Box::new),
                })
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
            let Some(whole) = whole(&mut self.exposition()) else {
                continue;
            };
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
        // Not through `Stdout`, which takes for written what goes to a descriptor that cannot be written to.
        let descriptor = std::io::stdout().as_fd().try_clone_to_owned()?;
        File::from(descriptor).write_all(text.as_bytes())
    });
    match written.await.map_err(ExportError::permanent)? {
        Ok(()) => Ok(()),
        Err(error) if is_end(&error) => Err(ExportError::Closed),
        Err(error) => Err(ExportError::permanent(BoxError::from(format!(
            "cannot write to standard output: {error}"
        )))),
    }
}

/// Whether an error says that nobody will ever read what is written.
fn is_end(error: &std::io::Error) -> bool {
    let is_not_open = error.raw_os_error() == Some(Errno::BADF.raw_os_error());
    is_not_open || error.kind() == ErrorKind::BrokenPipe
}

/// Whether nobody reads standard output any more, as far as that is known without writing
/// ([poll(2)](https://man7.org/linux/man-pages/man2/poll.2.html)), or nobody can write to it.
fn is_closed() -> bool {
    let stdout = std::io::stdout();
    if fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDONLY) {
        return true;
    }
    let mut poll_fds = [PollFd::new(&stdout, PollFlags::OUT)];
    let at_once = Timespec::default();
    let is_closed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    poll(&mut poll_fds, Some(&at_once)).is_ok() && poll_fds[0].revents().intersects(is_closed)
}
