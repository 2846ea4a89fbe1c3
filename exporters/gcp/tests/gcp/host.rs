//! A host in a test: the exporter, its delivery as in the service, a paused clock, and a fake.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use exporter_gcp::{Config, Gcp};
use gcp_fake::python::PythonFake;
use gcp_fake::{Fake, serve};
use pipeline::{
    Attributes, Batch, Context, ExportError, Exporter, Head, Scope, Shutdown, Sweep, Table, Times,
    Value, formats::text, points, telemetry::Counter, telemetry::Counters, telemetry::DropReason,
    testing,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// 1 January 2026.
pub(crate) const EPOCH: u64 = 1_767_225_600 * SECOND;

pub(crate) struct Host {
    pub(crate) gcp: Arc<Gcp>,
    /// The exporter's own task. Dropped, it ends.
    _own_task: JoinSet<()>,
    pub(crate) fake: Fake,
    /// Used instead of `fake` if it is set.
    pub(crate) python: Option<PythonFake>,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    pub(crate) resource: Attributes,
}

/// The wall clock: the paused clock from `EPOCH` on, plus an offset.
#[derive(Clone)]
pub(crate) struct Clock {
    started: Instant,
    offset: Arc<AtomicI64>,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            started: Instant::now(),
            offset: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap();
        (EPOCH + elapsed)
            .checked_add_signed(self.offset.load(Ordering::Relaxed))
            .unwrap()
    }

    /// Sets the clock by this many seconds.
    pub(crate) fn step(&self, seconds: i64) {
        self.offset
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

/// Decodes a configuration.
pub(crate) fn config(yaml: &str) -> Config {
    pipeline::config::decode::<Config>(&testing::node(yaml))
        .unwrap()
        .value
}

impl Host {
    /// A host. The fake has the true time, whatever the host's clock is set to.
    pub(crate) async fn new(yaml: &str) -> Host {
        let clock = Clock::new();
        let true_time = Clock {
            offset: Arc::default(),
            ..clock.clone()
        };
        Host::connected(yaml, Fake::new(move || true_time.now()), None, clock).await
    }

    async fn connected(yaml: &str, fake: Fake, python: Option<PythonFake>, clock: Clock) -> Host {
        let counters = Counters::new("test");
        let context = Context::new(Arc::default(), counters.clone(), "/")
            .of("gcp", Scope::new("exporter-gcp", "1.2.3"));
        let channel = match &python {
            None => serve::channel(&fake).await,
            Some(python) => {
                let address = format!("http://127.0.0.1:{}", python.port);
                let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
                endpoint.connect().await.unwrap()
            }
        };
        let now = clock.clone();
        let gcp = Gcp::with_channel(config(yaml), &context, channel, Arc::new(move || now.now()));
        gcp.start().await.unwrap();
        let (gcp, mut own_task) = (Arc::new(gcp), JoinSet::new());
        let running = Arc::clone(&gcp);
        own_task.spawn(async move {
            let (_end, shutdown) = watch::channel(false);
            // What it ends with a test looks at by itself.
            let _ = running.run(Shutdown::new(shutdown)).await;
        });
        let resource = Attributes::from_iter([("host.id", "h1")]);
        Host {
            gcp,
            _own_task: own_task,
            fake,
            python,
            counters,
            clock,
            resource,
        }
    }

    /// The same host with the Python fake.
    pub(crate) async fn with_python(self, python: PythonFake, yaml: &str) -> Host {
        Host::connected(yaml, self.fake, Some(python), self.clock).await
    }

    /// The exporter restarts; the fake stays.
    pub(crate) async fn restarted(&self, yaml: &str) -> Host {
        let (fake, python) = (self.fake.clone(), self.python.clone());
        Host::connected(yaml, fake, python, self.clock.clone()).await
    }

    /// The end: what is held back is sent, within this time.
    pub(crate) async fn drain(&self, limit: Duration) {
        let (give_up, hear) = watch::channel(false);
        let drained = self.gcp.drain(Shutdown::new(hear));
        tokio::pin!(drained);
        if timeout(limit, &mut drained).await.is_err() {
            give_up.send_replace(true);
            drained.await;
        }
    }

    /// A table of the points in the text notation, and their values.
    pub(crate) fn table(&self, input: &str) -> (Arc<Table>, Vec<Value>) {
        let parsed = text::parse(input).unwrap();
        let series = parsed
            .iter()
            .flat_map(|it| it.table().series().iter().cloned())
            .collect();
        let values = parsed
            .iter()
            .flat_map(|it| it.values().iter().cloned())
            .collect();
        let scope = Arc::new(Scope::new("receiver-test", "0.1.0"));
        let head = Head::new(
            Arc::new(self.resource.clone()),
            scope,
            "net".into(),
            "test/net/0".into(),
        );
        (Table::new(Arc::new(head), series), values)
    }

    /// A batch of the table, read now.
    pub(crate) fn shows(&self, table: &Arc<Table>, start: u64, values: Vec<Value>) -> Batch {
        read_at(table, start, self.clock.now(), values)
    }

    /// Delivers these points, read now, with this start.
    pub(crate) async fn show(&self, start: u64, input: &str) {
        let (table, values) = self.table(input);
        self.deliver(vec![self.shows(&table, start, values)]).await;
    }

    /// Delivers a request as the service does: time-out, retry, and accounting.
    pub(crate) async fn deliver(&self, mut request: Vec<Batch>) {
        let handed = points(&request);
        self.counters.record(Counter::POINTS_HANDED, handed);
        let count = |counter, count| self.counters.record(counter, count);
        loop {
            let limit = Gcp::delivery().timeout;
            let done = timeout(limit, self.gcp.export(&request)).await;
            let done = done.unwrap_or_else(|_| Err(ExportError::retryable("no answer")));
            let (dropped, done) = match done {
                Err(ExportError::Dropped { points, rest }) => (points, rest.map_err(|it| *it)),
                done => (0, done),
            };
            let all = points(&request) - dropped;
            match done {
                Ok(()) => return count(Counter::POINTS_SENT, all),
                Err(ExportError::Partial { rejected, .. }) => {
                    count(Counter::POINTS_SENT, all - rejected);
                    return count(Counter::POINTS_REJECTED, rejected);
                }
                Err(ExportError::Permanent { .. }) => {
                    return self.counters.dropped(DropReason::loss("permanent"), all);
                }
                Err(ExportError::Retryable { left, rejected, .. }) => {
                    if let Some(left) = left {
                        count(Counter::POINTS_REJECTED, rejected);
                        count(Counter::POINTS_SENT, all - points(&left) - rejected);
                        request = left;
                    }
                    count(Counter::sum("requests_retried"), 1);
                }
                Err(other) => panic!("{other:?}"),
            }
            self.advance(5).await;
        }
    }

    /// The counter of this name, summed over all reasons, or for one reason.
    pub(crate) fn count(&self, name: &str, reason: &str) -> u64 {
        let all = self.counters.snapshot();
        let matching = all
            .iter()
            .filter(|it| it.counter.name() == name && (reason.is_empty() || it.reason == reason));
        matching.map(|it| it.value).sum()
    }

    /// Asserts that each point handed over was sent, rejected or dropped.
    pub(crate) fn assert_accounted(&self) {
        let of = |name| self.count(name, "");
        let done = of("points_sent") + of("points_rejected") + of("points_dropped");
        let known = done + of("points_deferred");
        assert_eq!(of("points_handed"), known, "{:?}", self.counters);
    }
}

/// A batch of the table, read at this time.
pub(crate) fn read_at(table: &Arc<Table>, start: u64, time: u64, values: Vec<Value>) -> Batch {
    let starts = vec![start; table.len()].into();
    let sweep = Sweep::new(0, Duration::from_secs(10), true);
    Batch::new(Arc::clone(table), starts, Times::One(time), values, sweep)
}
