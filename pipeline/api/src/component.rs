//! The kinds of components, and what each is asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::channel::{Outbox, Outlet};
use crate::clock::{ReceiverClock, Shutdown};
use crate::context::Context;
use crate::data::{Batch, Head, Series};
use crate::demand::Demand;
use crate::error::{BoxError, Result};
use crate::host::Host;
use crate::inspection::{Explanation, Inspection};
use crate::storage::Storage;

/// What every component has, whatever its kind.
pub trait Component: Sized {
    /// The type in the configuration: `labels`.
    const TYPE: &'static str;
    /// What the user writes; unknown fields are refused, secrets are [`Secret`](crate::Secret)s.
    type Config: DeserializeOwned + JsonSchema + 'static;

    /// Makes the component. Opens nothing but what [`Context::read`] gives: no kernel tree, no network, no task.
    ///
    /// # Errors
    /// What is wrong in the configuration beyond its shape; [`Error::at`](crate::Error::at) names the key.
    fn build(config: Self::Config, context: &Context) -> Result<Self>;
}

/// Reads something, and sends what it showed.
#[async_trait]
pub trait Receiver: Send + 'static {
    /// Sends to `out` until the end. What `demand` answers [`Want::Never`](crate::Want::Never) for is never opened.
    ///
    /// # Errors
    /// One that ends the program. What can pass is counted and tried again instead.
    async fn run(self: Box<Self>, demand: Demand, out: Outlet, clock: ReceiverClock) -> Result<()>;

    /// Looks once, and says what it has found: what is wanted by the batches that it sends, all else by `inspection`. The
    /// default says nothing, and looks only where one sweep is made.
    ///
    /// # Errors
    /// As for [`Receiver::run`].
    #[allow(clippy::must_use_candidate)] // a future has to be used anyway
    async fn inspect(
        self: Box<Self>,
        demand: Demand,
        out: Outlet,
        clock: ReceiverClock,
        inspection: Inspection,
    ) -> Result<()> {
        if inspection.reads() {
            self.run(demand, out, clock).await
        } else {
            Ok(())
        }
    }
}

/// A processor of batches: a state machine without await or channel of its own. All components share one thread: what
/// blocks it holds up every pipeline.
pub trait Processor: Send + 'static {
    /// Takes one batch.
    ///
    /// # Errors
    /// An error loses this batch (counted), not the state, not the program.
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()>;

    /// What it wants of the stages above, given what is wanted below. The default wants everything: never wrong,
    /// but it saves nothing.
    fn demand(&self, _below: Demand) -> Demand {
        Demand::everything()
    }

    /// What it says of a series as it comes in, for `inspect`. The default says nothing.
    fn explain(&self, _head: &Head, _series: &Series) -> Explanation {
        Explanation::default()
    }

    /// When [`Processor::wake`] is to be called, by tokio's clock.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// Called when the time of [`Processor::wake_at`] has come.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn wake(&mut self, _out: &mut Outbox) -> Result<()> {
        Ok(())
    }

    /// Called once at the end: lets out what is still held.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn flush(&mut self, _out: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

/// Hands requests to another system.
#[async_trait]
pub trait Exporter: Send + Sync + 'static {
    /// Called before anything is read: TLS files, credentials, sockets.
    ///
    /// # Errors
    /// Why it cannot export yet. It is started again later if another exporter works; if none does, the program ends.
    async fn start(&self) -> Result<()> {
        Ok(())
    }

    /// Runs beside the exports. It hears the shutdown after the last export.
    ///
    /// # Errors
    /// Why nothing it exports will arrive. It is run again later if another exporter works; if none does, the program ends.
    async fn run(&self, end: Shutdown) -> Result<()> {
        end.wait().await;
        Ok(())
    }

    /// Sends one request, once; may be cancelled at any await. Queue, retry and time-out stand around it, not in it.
    ///
    /// # Errors
    /// What became of the points that were not taken.
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError>;

    /// Called after the last export, while it still [runs](Exporter::run): waits until nothing is held back any more, or
    /// `give_up` is heard; what is left then it counts as dropped.
    async fn drain(&self, _give_up: Shutdown) {}

    /// What the far side is able to take.
    fn demand(&self) -> Demand {
        Demand::everything()
    }

    /// What it asks of whom, as it stands before its own errors: for one that others tell, as a time-out.
    fn destination(&self) -> Option<String> {
        None
    }

    /// How many bytes of OTLP a request should have at the most that is joined of several that wait; `None`: each is
    /// exported by itself.
    fn message_limit(&self) -> Option<usize> {
        None
    }

    /// Whether it is also given batches without points, since it shows what is newest: those that end a sweep, and those of
    /// tables of which no series showed anything.
    fn wants_empty_batches(&self) -> bool {
        false
    }

    /// Its own defaults for queue, retry and time-out.
    #[must_use]
    fn delivery() -> Delivery
    where
        Self: Sized,
    {
        Delivery::default()
    }
}

/// Serves the program itself, beside its pipelines: started before anything else, ended after everything else.
#[async_trait]
pub trait Extension: Send + Sync + 'static {
    /// Called before exporters and receivers start: sockets, files.
    ///
    /// # Errors
    /// One that ends the program.
    async fn start(&self, _host: &Host) -> Result<()> {
        Ok(())
    }

    /// Where exporters may keep what they have not sent yet, if it is a storage.
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Runs beside the pipelines, from its start on. It hears the shutdown when everything else has ended.
    ///
    /// # Errors
    /// One that ends the program.
    async fn run(&self, end: Shutdown) -> Result<()> {
        end.wait().await;
        Ok(())
    }
}

/// Why an export did not take all of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// It may succeed later.
    Retryable {
        /// Why.
        source: BoxError,
        /// How long the far side asks to wait.
        after: Option<Duration>,
        /// What is left to send; all of the request where it is `None`.
        left: Option<Vec<Batch>>,
        /// How many points of the rest the far side refused for good.
        rejected: u64,
    },
    /// It never will: the request is dropped and counted.
    Permanent {
        /// Why.
        source: BoxError,
    },
    /// The far side took the request but for some points.
    Partial {
        /// How many points it refused.
        rejected: u64,
        /// What it says; may also come with nothing refused.
        message: String,
    },
    /// A part of the request is done with, which is no failure: the rest is to be exported at once, with a time-out of its
    /// own.
    Part {
        /// How many points of the part the far side rejected, and what it says; or why it refused all of them for good.
        part: Result<(u64, String), BoxError>,
        /// What is left to send.
        left: Vec<Batch>,
    },
    /// The exporter itself let points go, and has counted them as `points_dropped` with the reason, or holds them back and
    /// counts them when they are [done](Exporter::drain); the others fared as `rest` says.
    Dropped {
        /// How many it let go. What `rest` says is left is not among them.
        points: u64,
        /// What became of the others.
        rest: std::result::Result<(), Box<ExportError>>,
    },
    /// The reader is gone for good, as `head` is after ten lines: drain, and end without an error.
    Closed,
}

impl ExportError {
    /// All of the request may succeed later.
    pub fn retryable(source: impl Into<BoxError>) -> ExportError {
        ExportError::Retryable {
            source: source.into(),
            after: None,
            left: None,
            rejected: 0,
        }
    }

    /// The request never will.
    pub fn permanent(source: impl Into<BoxError>) -> ExportError {
        ExportError::Permanent {
            source: source.into(),
        }
    }
}

/// An exporter's own defaults for what stands around it; the user's `timeout`, `sending_queue` and
/// `retry_on_failure` change them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// How long one export may take; zero: as long as it likes.
    pub timeout: Duration,
    /// How many requests may be under way at a time.
    pub num_consumers: usize,
    /// Whether a failed export is tried again.
    pub retry: bool,
    /// Whether a full queue waits (and so the receivers skip), instead of thinning the sweeps that wait.
    pub block_on_overflow: bool,
}

impl Default for Delivery {
    /// The Collector's.
    fn default() -> Delivery {
        Delivery {
            timeout: Duration::from_secs(5),
            num_consumers: 10,
            retry: true,
            block_on_overflow: false,
        }
    }
}
