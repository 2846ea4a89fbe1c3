//! What a component sends through.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::now_unix_nano;
use crate::data::{Batch, Head, Series, Source, points};
use crate::status::ComponentStatus;
use crate::telemetry::{Counter, Counters, DropReason, Warnings};

/// Where a receiver sends. A full channel waits: the sweep that is due meanwhile is skipped and counted.
#[derive(Debug)]
pub struct Outlet {
    out: mpsc::Sender<Vec<Batch>>,
    counters: Counters,
    startup: mpsc::UnboundedSender<(Arc<str>, StartupReport)>,
    status: ComponentStatus,
    receiver: u32,
}

/// What a receiver found when it first looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupReport {
    /// What it sweeps, in words.
    Sweeps(String),
    /// It has no series: what it looked at, and why there is none, in words. A warning, unless the receiver is `optional`.
    Missing(String),
}

/// The pipeline below has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Outlet {
    /// An outlet into this channel; start-up reports go to `startup`, with the component's id.
    #[must_use]
    pub fn new(
        out: mpsc::Sender<Vec<Batch>>,
        counters: Counters,
        startup: mpsc::UnboundedSender<(Arc<str>, StartupReport)>,
    ) -> Outlet {
        Outlet {
            out,
            counters,
            startup,
            status: ComponentStatus::default(),
            receiver: 0,
        }
    }

    /// The same of the receiver of this number, which batches have in their [`Route`](crate::Route).
    #[must_use]
    pub fn of_receiver(self, number: u32) -> Outlet {
        Outlet {
            receiver: number,
            ..self
        }
    }

    /// The same with the status of the receiver: that it has looked.
    #[must_use]
    pub fn with_status(self, status: ComponentStatus) -> Outlet {
        Outlet { status, ..self }
    }

    /// Sends one batch, which is counted as read.
    ///
    /// # Errors
    /// [`Closed`] when nobody takes batches any more: the receiver ends.
    pub async fn send(&mut self, batch: Batch) -> Result<(), Closed> {
        self.send_together(vec![batch]).await
    }

    /// Sends batches that were read together: they go on together, as one request, where nothing parts them.
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    pub async fn send_together(&mut self, batches: Vec<Batch>) -> Result<(), Closed> {
        self.status.succeeded();
        self.counters.record(Counter::POINTS_READ, points(&batches));
        let batches = batches.into_iter();
        let batches = batches.map(|it| it.by_receiver(self.receiver)).collect();
        self.out.send(batches).await.map_err(|unsent| {
            self.counters.dropped(DropReason::CLOSED, points(&unsent.0));
            Closed
        })
    }

    /// Reports once, after the first whole look, what is swept or missing: the line at the start has the reports of all. What
    /// comes or goes later is not reported. Until a receiver has reported, or sent something, the program is not ready.
    pub fn report_startup(&self, report: StartupReport) {
        self.status.succeeded();
        // Nobody listens after the start.
        let id = Arc::clone(self.counters.component());
        let _ = self.startup.send((id, report));
    }
}

/// Where a processor puts what goes on, what is dropped, and its warnings.
#[derive(Debug)]
pub struct Outbox {
    now_unix_nano: u64,
    passed: Vec<Batch>,
    sent: Vec<Vec<Batch>>,
    counters: Counters,
    warnings: Warnings,
}

impl Outbox {
    /// An empty outbox of a component that counts here.
    #[must_use]
    pub fn new(counters: Counters) -> Outbox {
        Outbox {
            now_unix_nano: now_unix_nano(),
            passed: Vec::new(),
            sent: Vec::new(),
            warnings: Warnings::new(counters.component()),
            counters,
        }
    }

    /// The wall clock, unix ns, as it was when the processor was called.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now_unix_nano
    }

    /// Passes on what came of a batch: it stays with the other batches of the request that it came in.
    pub fn pass(&mut self, batch: Batch) {
        self.passed.push(batch);
    }

    /// Sends on what belongs together: it becomes a request of its own.
    pub fn send(&mut self, request: Vec<Batch>) {
        if !request.is_empty() {
            self.sent.push(request);
        }
    }

    /// Counts points that go no further.
    pub fn dropped(&self, points: usize, reason: DropReason) {
        self.counters.dropped(reason, points as u64);
    }

    /// The component's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The component's warnings.
    #[must_use]
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Counts and warns of a series that goes no further, since it would be the same as another one, which stays; `incoming`
    /// is as it came in, `first` finds the other one, where it is to be named.
    pub(crate) fn duplicate<'a>(
        &self,
        series: &Series,
        incoming: (&Series, &Head),
        first: impl FnOnce() -> Option<(&'a Series, &'a Arc<Head>)>,
    ) {
        self.counters
            .record_for(Counter::SERIES_REFUSED, "duplicate", 1);
        self.warnings.warn_with("duplicate series dropped", || {
            let path = |(series, head): (&Series, &Head)| {
                let path = series.source.as_ref().map(Source::path);
                let path = path.unwrap_or_else(|| series.name.to_string());
                format!("{path} of {}", head.component())
            };
            let first = first().map(|(series, head)| path((series, head)));
            let first = first.unwrap_or_else(|| "another series".into());
            let identity = crate::formats::text::identity(&series.name, &series.attributes);
            let incoming = path(incoming);
            format!("{incoming} would be {identity}, which {first} is already")
        });
    }

    /// Takes what was sent, and sets the clock for the next call.
    pub fn take(&mut self) -> Vec<Vec<Batch>> {
        self.now_unix_nano = now_unix_nano();
        let passed = std::mem::take(&mut self.passed);
        self.send(passed);
        std::mem::take(&mut self.sent)
    }
}
