#![doc = include_str!("../README.md")]

mod at_start;
mod config;
mod held;
mod output;
mod terminal;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pipeline::formats::prometheus::{Exposition, Settings};
use pipeline::formats::{otlp, text};
use pipeline::telemetry::json_escaped;
use pipeline::{
    Batch, Component, Context, Delivery, Error, ExportError, Exporter, Result, Shutdown, Value,
    async_trait,
};
use tokio::sync::{Mutex, Notify};

pub use config::{Config, OutputFormat};
use held::{HeldSweep, Taken};
use output::{is_closed, write};
use terminal::{Screen, zero_style};

/// Writes to standard output.
#[derive(Debug)]
pub struct Stdout {
    component: Arc<str>,
    writer: Writer,
    /// Rates are wanted where none are shown.
    lacks_rates: bool,
    changed: Notify,
    /// Found out beside an export: the next one says so.
    reader_gone: AtomicBool,
}

/// What a request becomes.
#[derive(Debug)]
enum Writer {
    /// The notation.
    Text {
        is_colored: bool,
    },
    Json,
    /// A part of something whole. Held locked while it is written, so that nothing comes in between.
    Sweep(Box<Mutex<HeldSweep>>),
}

pipeline::register! { exporter Stdout }

impl Component for Stdout {
    const TYPE: &'static str = "stdout";
    type Config = Config;

    fn build(config: Config, context: &Context) -> Result<Stdout> {
        if config.rate && config.format != OutputFormat::Text {
            return Err(Error::at("rate", "only the format `text` shows rates"));
        }
        // What it writes to is open.
        context.needs(Vec::new);
        let is_terminal = std::io::stdout().is_terminal();
        let is_colored = context.color.is_colored(is_terminal);
        let held = |it| Writer::Sweep(Box::new(Mutex::new(it)));
        let writer = match config.format {
            OutputFormat::Text if is_terminal => {
                held(HeldSweep::Screen(Screen::new(is_colored, config.rate)))
            }
            OutputFormat::Text => Writer::Text { is_colored },
            OutputFormat::Json => Writer::Json,
            OutputFormat::Prometheus => {
                let mut settings = Settings::default();
                settings.translation_strategy = config.translation_strategy;
                settings.own_resource = Arc::clone(&context.resource);
                let exposition = Exposition::new(settings, context.counters.clone());
                held(HeldSweep::Exposition(exposition))
            }
        };
        Ok(Stdout {
            component: Arc::clone(&context.id),
            writer,
            lacks_rates: config.rate && !is_terminal,
            changed: Notify::new(),
            reader_gone: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Exporter for Stdout {
    async fn start(&self) -> Result<()> {
        if self.lacks_rates {
            tracing::warn!(
                component = &*self.component,
                "`rate` shows nothing: standard output is no terminal"
            );
        }
        Ok(())
    }

    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        if at_start::was_closed() {
            return Err(ExportError::Closed);
        }
        match &self.writer {
            Writer::Text { is_colored: false } => write(text::format(request)).await,
            Writer::Text { is_colored: true } => {
                let is_zero = |value: &Value| matches!(value, Value::Int(0) | Value::Double(0.0));
                let style = |value: &Value| zero_style(is_zero(value));
                write(text::format_styled(request, style)).await
            }
            Writer::Json => {
                let line = otlp::to_json(request).map_err(ExportError::permanent)?;
                write(format!("{}\n", json_escaped(&line))).await
            }
            Writer::Sweep(held) => self.hold(held, request).await,
        }
    }

    async fn run(&self, end: Shutdown) -> Result<()> {
        let Writer::Sweep(held) = &self.writer else {
            end.wait().await;
            return Ok(());
        };
        let end = end.wait();
        tokio::pin!(end);
        let mut ended = false;
        while !ended {
            tokio::select! {
                () = &mut end => ended = true,
                () = self.changed.notified() => {}
            }
            // Each further request begins the quiet time anew.
            while !ended {
                let quiet = held.lock().await.quiet();
                tokio::select! {
                    () = &mut end => ended = true,
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep(quiet) => break,
                }
            }
            self.write_held(held).await?;
        }
        Ok(())
    }

    /// Of a whole sweep they say when it is over, and what is there no more.
    fn wants_empty_batches(&self) -> bool {
        matches!(self.writer, Writer::Sweep(_))
    }

    /// One at a time, and no time-out: half a line is worse than a late one.
    fn delivery() -> Delivery {
        let mut delivery = Delivery::default();
        (delivery.timeout, delivery.num_consumers, delivery.retry) = (Duration::ZERO, 1, false);
        delivery
    }
}

impl Stdout {
    /// Takes a request in, after what it does not belong to was written.
    async fn hold(&self, held: &Mutex<HeldSweep>, request: &[Batch]) -> Result<(), ExportError> {
        if self.reader_gone.load(Ordering::Relaxed) || is_closed() {
            return Err(ExportError::Closed);
        }
        let mut held = held.lock().await;
        let Taken { previous, left_out } = held.take(request);
        self.changed.notify_one();
        let written = if previous.is_empty() {
            Ok(())
        } else {
            write(previous).await
        };
        if left_out == 0 {
            return written;
        }
        Err(ExportError::Dropped {
            points: left_out,
            rest: written.map_err(Box::new),
        })
    }

    /// Writes what is held.
    async fn write_held(&self, held: &Mutex<HeldSweep>) -> Result<()> {
        let mut held = held.lock().await;
        let whole = held.write();
        if whole.is_empty() {
            return Ok(());
        }
        match write(whole).await {
            Ok(()) => Ok(()),
            Err(ExportError::Closed) => {
                self.reader_gone.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(ExportError::Permanent { source }) => Err(Error::new(source)),
            Err(other) => Err(Error::new(format!("{other:?}"))),
        }
    }
}
