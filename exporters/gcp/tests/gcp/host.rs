//! A host in a test: the exporter, what stands around it in the service, a paused clock, and the fake far side.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use exporter_gcp::{Config, Gcp};
use gcp_fake::python::PythonFake;
use gcp_fake::{Fake, serve};
use pipeline::{
    Attributes, Batch, Context, Counters, ExportError, Exporter, Head, Scope, Sweep, Table, Times,
    Value, points, testing, text,
};
use tokio::time::{Instant, timeout};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// The first of January 2026.
pub(crate) const EPOCH: u64 = 1_767_225_600 * SECOND;

pub(crate) struct Host {
    pub(crate) gcp: Gcp,
    pub(crate) fake: Fake,
    /// Takes the place of `fake`, where it is there.
    pub(crate) python: Option<PythonFake>,
    pub(crate) counters: Counters,
    pub(crate) clock: Clock,
    pub(crate) resource: Attributes,
}

/// The wall clock: the paused one, from `EPOCH` on, and what it was set by.
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

    /// Sets the clock by so many seconds.
    pub(crate) fn step(&self, seconds: i64) {
        self.offset
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

/// The configuration of these keys.
pub(crate) fn config(yaml: &str) -> Config {
    pipeline::config::decode::<Config>(&testing::node(yaml))
        .unwrap()
        .value
}

impl Host {
    /// A host whose far side knows the true time, whatever this one's clock is set to.
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
        let resource = Attributes::from_iter([("host.id", "h1")]);
        Host {
            gcp,
            fake,
            python,
            counters,
            clock,
            resource,
        }
    }

    /// The same host to Google's package.
    pub(crate) async fn with_python(self, python: PythonFake, yaml: &str) -> Host {
        Host::connected(yaml, self.fake, Some(python), self.clock).await
    }

    /// The exporter begins anew, and the far side stays.
    pub(crate) async fn restarted(&self, yaml: &str) -> Host {
        let (fake, python) = (self.fake.clone(), self.python.clone());
        Host::connected(yaml, fake, python, self.clock.clone()).await
    }

    /// A table of these points in the notation, and its values.
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

    /// What a table shows now.
    pub(crate) fn shows(&self, table: &Arc<Table>, start: u64, values: Vec<Value>) -> Batch {
        read_at(table, start, self.clock.now(), values)
    }

    /// Shows these points now, all counting since `start`.
    pub(crate) async fn show(&self, start: u64, input: &str) {
        let (table, values) = self.table(input);
        self.deliver(vec![self.shows(&table, start, values)]).await;
    }

    /// As the service does it: time-out, retry, and the accounting.
    pub(crate) async fn deliver(&self, mut request: Vec<Batch>) {
        let handed = points(&request);
        self.counters.add("points_handed", "", handed);
        let count = |name, count| self.counters.add(name, "", count);
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
                Ok(()) => return count("points_sent", all),
                Err(ExportError::Partial { rejected, .. }) => {
                    count("points_sent", all - rejected);
                    return count("points_rejected", rejected);
                }
                Err(ExportError::Permanent { .. }) => {
                    return self.counters.add("points_dropped", "permanent", all);
                }
                Err(ExportError::Retryable { left, rejected, .. }) => {
                    if let Some(left) = left {
                        count("points_rejected", rejected);
                        count("points_sent", all - points(&left) - rejected);
                        request = left;
                    }
                    count("requests_retried", 1);
                }
                Err(other) => panic!("{other:?}"),
            }
            self.advance(5).await;
        }
    }

    /// A count of this name, all reasons together, or of one.
    pub(crate) fn count(&self, name: &str, reason: &str) -> u64 {
        let all = self.counters.snapshot();
        let matching = all
            .iter()
            .filter(|((_, have, why), _)| *have == name && (reason.is_empty() || *why == reason));
        matching.map(|(_, count)| count).sum()
    }

    /// Each point that was handed over was sent, rejected or dropped, and what was sent was taken.
    pub(crate) fn assert_accounted(&self) {
        let of = |name| self.count(name, "");
        let known = of("points_sent") + of("points_rejected") + of("points_dropped");
        assert_eq!(of("points_handed"), known, "{:?}", self.counters);
    }
}

/// What a table showed at this time.
pub(crate) fn read_at(table: &Arc<Table>, start: u64, time: u64, values: Vec<Value>) -> Batch {
    let starts = vec![start; table.len()].into();
    let sweep = Sweep::new(0, Duration::from_secs(10), true);
    Batch::new(Arc::clone(table), starts, Times::One(time), values, sweep)
}
