//! What a full queue does, by how the exporter gets on.

mod outage;

use std::sync::Arc;
use std::time::Duration;

use pipeline::formats::text;
use pipeline::telemetry::Counters;
use pipeline::{
    Batch, ComponentStatus, Condition, Delivery, ExportError, Exporter, Shutdown, Sweep, Times,
    Value, async_trait,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{ExporterTask, Surroundings};
use crate::config::{DeliveryConfig, Sandbox, SendingQueue};
use crate::processor::Request;

const ALONE: Surroundings = Surroundings {
    once: false,
    is_shared: false,
    memory: None,
    sandbox: Sandbox::Off,
};
const SHARED: Surroundings = Surroundings {
    once: false,
    is_shared: true,
    memory: None,
    sandbox: Sandbox::Off,
};

/// An exporter that takes so long for each request, or never answers.
struct Slow(Option<Duration>);

#[async_trait]
impl Exporter for Slow {
    async fn export(&self, _: &[Batch]) -> Result<(), ExportError> {
        match self.0 {
            Some(time) => sleep(time).await,
            None => std::future::pending().await,
        }
        Ok(())
    }
}

/// An exporter that takes nothing before this time.
struct Away(Instant);

#[async_trait]
impl Exporter for Away {
    async fn export(&self, _: &[Batch]) -> Result<(), ExportError> {
        if Instant::now() < self.0 {
            return Err(ExportError::retryable("away"));
        }
        Ok(())
    }
}

/// An exporter that passes on what it was given: of each batch how many series and points it has, and whether its sweep ends.
struct Observed {
    wants_empty: bool,
    to: mpsc::UnboundedSender<Vec<(usize, usize, bool)>>,
}

#[async_trait]
impl Exporter for Observed {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        let batches = request.iter();
        let given = batches.map(|it| (it.table().len(), it.points(), it.sweep().last));
        self.to.send(given.collect()).expect("the test hears it");
        Ok(())
    }

    fn wants_empty_batches(&self) -> bool {
        self.wants_empty
    }
}

/// An exporter's task, what it takes requests from, its counts, and how it fares.
struct Started {
    to: mpsc::Sender<Request>,
    task: JoinHandle<bool>,
    counters: Counters,
    status: ComponentStatus,
    _give_up: watch::Sender<bool>,
}

/// A queue of three requests, which drops the newest; one under way at a time, five seconds for an attempt.
fn start(exporter: impl Exporter, surroundings: Surroundings) -> Started {
    let queue = "{queue_size: 3, overflow: drop_newest}";
    start_with(exporter, surroundings, queue)
}

/// The same with this queue.
fn start_with(exporter: impl Exporter, surroundings: Surroundings, queue: &str) -> Started {
    let mut delivery = Delivery::default();
    (delivery.timeout, delivery.num_consumers) = (Duration::from_secs(5), 1);
    let queue: SendingQueue = serde_yaml::from_str(queue).expect("a queue");
    let config = DeliveryConfig {
        overflow: queue.overflow(&delivery),
        delivery,
        queue,
        retry: serde_yaml::from_str("{}").expect("the defaults"),
    };
    let (counters, status) = (Counters::new("slow"), ComponentStatus::default());
    let (give_up, hear_give_up) = watch::channel(false);
    let task = ExporterTask::new(
        Arc::new(exporter),
        config,
        surroundings,
        counters.clone(),
        status.clone(),
        Shutdown::new(hear_give_up),
    );
    let (to, from) = mpsc::channel(1);
    Started {
        to,
        task: tokio::spawn(task.run(from)),
        counters,
        status,
        _give_up: give_up,
    }
}

/// A request of one point in each of so many subsystems, for each of them one.
fn requests(count: usize) -> Vec<Request> {
    let request = |it| text::parse(&format!("s{it}/c 1")).expect("a point");
    (0..count).map(request).collect()
}

/// The same tables in the next sweep.
fn next_sweep(requests: &[Request]) -> Vec<Request> {
    let next = |batch: &Batch| {
        Batch::new(
            Arc::clone(batch.table()),
            Arc::clone(batch.starts_unix_nano()),
            Times::One(2),
            batch.values().to_vec(),
            Sweep::new(batch.sweep().number + 1, Duration::from_secs(1), true),
        )
    };
    let requests = requests.iter();
    requests.map(|it| it.iter().map(next).collect()).collect()
}

impl Started {
    /// Sends these; how long it was held up.
    async fn send(&self, requests: Vec<Request>) -> Duration {
        let began = Instant::now();
        for request in requests {
            self.to.send(request).await.expect("an open channel");
        }
        began.elapsed()
    }

    /// How many points were sent in the end, and how many had no room.
    async fn end(self) -> (u64, u64) {
        drop(self.to);
        assert!(self.task.await.expect("no panic"));
        let sum = |name| self.counters.total(name);
        let (sent, dropped) = (sum("points_sent"), sum("points_dropped"));
        assert_eq!(sum("points_handed"), sent + dropped);
        assert_eq!(sum("points_queued"), 0);
        (sent, dropped)
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_larger_than_the_queue_waits_as_long_as_the_exporter_gets_on() {
    let started = start(Slow(Some(Duration::from_secs(4))), ALONE);
    let held_up = started.send(requests(100)).await;
    assert!(held_up > Duration::from_mins(5), "{held_up:?}");
    assert_eq!(started.end().await, (100, 0));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_is_dropped_once_nothing_was_sent_for_the_time_out() {
    let started = start(Slow(None), ALONE);
    let held_up = started.send(requests(100)).await;
    assert_eq!(held_up, Duration::from_secs(5));
    // The last one is still in the channel.
    sleep(Duration::from_millis(1)).await;
    started.task.abort();
    assert_eq!(started.counters.total("points_dropped"), 97);
}

#[tokio::test(start_paused = true)]
async fn with_once_it_waits_for_whatever_the_exporter_does() {
    let once = Surroundings {
        once: true,
        is_shared: true,
        memory: None,
        sandbox: Sandbox::Off,
    };
    let started = start(Slow(Some(Duration::from_secs(6))), once);
    // Each attempt times out.
    assert_eq!(started.send(requests(100)).await, Duration::ZERO);
    sleep(Duration::from_secs(250)).await;
    assert_eq!(started.counters.total("points_dropped"), 0);
    started.task.abort();
}

#[tokio::test(start_paused = true)]
async fn beside_another_exporter_one_sweep_waits_and_nobody_is_held_up() {
    let started = start(Slow(Some(Duration::from_secs(4))), SHARED);
    let first = requests(100);
    assert_eq!(started.send(next_sweep(&first)).await, Duration::ZERO);
    // The next sweep comes while the first one still waits, but for what is in the queue.
    sleep(Duration::from_secs(10)).await;
    let second = next_sweep(&next_sweep(&first));
    assert_eq!(started.send(second).await, Duration::ZERO);
    let (sent, dropped) = started.end().await;
    assert_eq!(sent + dropped, 200);
    assert_eq!(sent, 100 + 3 + 2, "three in the queue, and two sent before");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_one_sweep_waits_where_a_table_comes_in_several_requests() {
    let started = start(Slow(Some(Duration::from_millis(100))), SHARED);
    let first = requests(10);
    for sweep in 0..40 {
        let mut requests = first.clone();
        (0..sweep).for_each(|_| requests = next_sweep(&requests));
        started.send(requests.clone()).await;
        started.send(requests).await;
        // What times out is tried again; the queue never gets on.
        sleep(Duration::from_secs(1)).await;
    }
    let queued = started.counters.total("points_queued");
    assert!(
        queued <= 3 + 20,
        "the queue, and one sweep of both: {queued}"
    );
    started.task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_exporter_fails_since_its_first_failure_until_the_first_success() {
    let began = Instant::now();
    let started = start(Away(began + Duration::from_mins(2)), ALONE);
    started.send(requests(1)).await;
    sleep(Duration::from_secs(90)).await;
    let (since, error) = (began, "away".to_owned());
    let failing = Condition::Failing { since, error };
    assert_eq!(started.status.condition(), failing);
    sleep(Duration::from_mins(2)).await;
    let condition = started.status.condition();
    assert!(matches!(condition, Condition::Working { .. }));
    assert_eq!(started.end().await, (1, 0));
}

#[tokio::test]
async fn who_shows_what_is_newest_hears_the_end_of_a_sweep_and_of_tables_that_show_nothing() {
    let batch = text::parse("s/a 1 gauge").expect("a point").remove(0);
    let batch = batch.with_last(false);
    let absent = batch.with_values(vec![Value::Absent]);
    let (last, nothing) = (batch.only_last(), batch.only_last().with_last(false));
    let whole = [(1, 1, false), (1, 0, false), (0, 0, true)];
    for (wants_empty, expected) in [(true, &whole[..]), (false, &whole[..1])] {
        let (to, mut given) = mpsc::unbounded_channel();
        let observed = Observed { wants_empty, to };
        let started = start(observed, ALONE);
        for batch in [&batch, &absent, &last, &nothing] {
            started.send(vec![vec![batch.clone()]]).await;
        }
        assert_eq!(started.end().await, (1, 0));
        let mut all = Vec::new();
        while let Some(request) = given.recv().await {
            all.extend(request);
        }
        assert_eq!(all, expected);
    }
}
