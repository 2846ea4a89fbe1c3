//! A peer that is away for longer than the queue holds.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline::{Value, points};

use super::*;

/// It takes nothing before a time, and keeps what it was sent.
#[derive(Clone)]
struct Peer {
    away: Arc<Mutex<Instant>>,
    received: Arc<Mutex<Vec<Request>>>,
    limit: Option<usize>,
}

impl Peer {
    fn away_for(time: Duration) -> Peer {
        Peer {
            away: Arc::new(Mutex::new(Instant::now() + time)),
            received: Arc::default(),
            limit: None,
        }
    }

    fn received(&self) -> MutexGuard<'_, Vec<Request>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was sent, in order: the sweep and the value of each first row.
    fn values(&self) -> Vec<(u64, Value)> {
        let received = self.received();
        let batches = received.iter().flatten();
        let first = batches.map(|it| (it.sweep().number, it.values()[0].clone()));
        first.collect()
    }
}

#[async_trait]
impl Exporter for Peer {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        let back = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < back {
            return Err(ExportError::retryable("away"));
        }
        self.received().push(request.to_vec());
        Ok(())
    }

    fn message_limit(&self) -> Option<usize> {
        self.limit
    }
}

/// Sweep by sweep of one table, whose counter counts the sweeps.
struct Sweeps {
    first: Batch,
    number: u64,
}

impl Sweeps {
    fn of(series: usize) -> Sweeps {
        let lines = (0..series).map(|it| format!("s/c{{device={it}}} 0 counter\n"));
        let mut request = text::parse(&lines.collect::<String>()).expect("points");
        Sweeps {
            first: request.remove(0),
            number: 0,
        }
    }
}

impl Iterator for Sweeps {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        self.number += 1;
        let count = Value::Int(i64::try_from(self.number).expect("few"));
        let table = Arc::clone(self.first.table());
        let batch = Batch::new(
            Arc::clone(&table),
            Arc::clone(self.first.starts_unix_nano()),
            Times::One(self.number),
            vec![count; table.len()],
            Sweep::new(self.number, Duration::from_secs(1), true),
        );
        Some(vec![batch])
    }
}

impl Started {
    /// A sweep a second, for so many seconds.
    async fn sweep_for(&self, sweeps: &mut Sweeps, seconds: usize) {
        for request in sweeps.take(seconds) {
            self.to.send(request).await.expect("an open channel");
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn dropped(&self, reason: &str) -> u64 {
        let all = self.counters.snapshot();
        let of_it = all.iter().filter(|it| it.reason == reason);
        of_it.map(|it| it.value).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_how_often_a_series_was_seen_and_the_first_and_the_last_of_it_arrive() {
    for surroundings in [ALONE, SHARED] {
        let peer = Peer::away_for(Duration::from_hours(2));
        let started = start_with(peer.clone(), surroundings, "{queue_size: 40}");
        let mut sweeps = Sweeps::of(1);
        started.sweep_for(&mut sweeps, 7000).await;
        let (coalesced, lost) = (started.dropped("coalesced"), started.dropped("queue_full"));
        assert!(coalesced > 6900 && lost == 0, "{coalesced} {lost}");
        started.sweep_for(&mut sweeps, 400).await;
        let (sent, dropped) = started.end().await;
        assert_eq!(sent + dropped, 7400);
        let values = peer.values();
        let numbers: Vec<u64> = values.iter().map(|it| it.0).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "in order: {numbers:?}");
        assert_eq!((numbers[0], numbers.last()), (1, Some(&7400)));
        let longest = numbers.windows(2).map(|it| it[1] - it[0]).max();
        assert!(longest < Some(2 * 7200 / 20), "evenly: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_smaller_than_a_sweep_holds_the_first_and_the_last_one_of_each_table() {
    let peer = Peer::away_for(Duration::from_hours(1));
    let started = start_with(peer.clone(), SHARED, "{queue_size: 3}");
    let mut sweep = requests(50);
    for _ in 0..100 {
        started.send(sweep.clone()).await;
        sleep(Duration::from_secs(1)).await;
        sweep = next_sweep(&sweep);
    }
    assert_eq!(started.dropped("queue_full"), 0);
    let queued = started.counters.total("points_queued");
    assert!(queued <= 3 * 50, "{queued}");
    sleep(Duration::from_hours(2)).await;
    let (sent, dropped) = started.end().await;
    assert_eq!(sent + dropped, 5000);
    let last = peer.values().iter().filter(|it| it.0 == 99).count();
    assert_eq!(last, 50, "the last sweep of each");
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_the_newest() {
    let peer = Peer::away_for(Duration::from_mins(2));
    let started = start_with(
        peer.clone(),
        ALONE,
        "{queue_size: 5, overflow: drop_oldest}",
    );
    started.sweep_for(&mut Sweeps::of(1), 100).await;
    assert!(started.dropped("queue_full") > 90);
    sleep(Duration::from_mins(2)).await;
    let (sent, dropped) = started.end().await;
    assert_eq!((sent, dropped), (5, 95));
    let numbers: Vec<u64> = peer.values().iter().map(|it| it.0).collect();
    assert_eq!(numbers, [1, 97, 98, 99, 100], "the first was under way");
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_go_together_up_to_the_limit_of_a_message() {
    let sizes = |limit: Option<usize>| async move {
        let peer = Peer {
            limit,
            ..Peer::away_for(Duration::from_mins(1))
        };
        let started = start_with(peer.clone(), ALONE, "{}");
        started.sweep_for(&mut Sweeps::of(10), 100).await;
        assert_eq!(started.end().await, (1000, 0));
        let received = peer.received();
        received.iter().map(|it| points(it)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(None).await, [10; 100]);
    let joined = sizes(Some(1 << 20)).await;
    assert!(joined[0] == 10 && joined[1] > 500, "{joined:?}");
    assert!(
        joined[2..].iter().all(|it| *it == 10),
        "nothing waits for more: {joined:?}"
    );
    let limited = sizes(Some(2000)).await;
    assert!(
        limited.iter().all(|it| (10..100).contains(it)),
        "{limited:?}"
    );
}

/// It is away for a minute, and refuses for good what has a batch of one of these subsystems in it.
struct Refuses {
    back: Instant,
    refused: &'static [&'static str],
    received: Arc<Mutex<Vec<String>>>,
    requests: Arc<Mutex<usize>>,
}

#[async_trait]
impl Exporter for Refuses {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        if Instant::now() < self.back {
            return Err(ExportError::retryable("away"));
        }
        *self.requests.lock().expect("no panic") += 1;
        let names = request.iter().map(|it| &*it.table().head().subsystem);
        let names: Vec<&str> = names.collect();
        if names.iter().any(|it| self.refused.contains(it)) {
            return Err(ExportError::permanent("a name that is none"));
        }
        let names = names.into_iter().map(String::from);
        self.received.lock().expect("no panic").extend(names);
        Ok(())
    }

    fn message_limit(&self) -> Option<usize> {
        Some(1 << 20)
    }
}

#[tokio::test(start_paused = true)]
async fn of_requests_that_were_joined_only_those_are_lost_that_are_refused() {
    for (refused, most) in [
        (&["s1"][..], 3 * 8),
        (&["s63", "s64"][..], 4 * 8),
        (&["s99"][..], 3 * 8),
    ] {
        let (received, requests) = (Arc::default(), Arc::default());
        let exporter = Refuses {
            back: Instant::now() + Duration::from_mins(1),
            refused,
            received: Arc::clone(&received),
            requests: Arc::clone(&requests),
        };
        let started = start_with(exporter, ALONE, "{}");
        let all = super::requests(100);
        let name = |it: &Request| it[0].table().head().subsystem.to_string();
        let expected = all.iter().map(name);
        let expected = expected.filter(|it| !refused.contains(&&**it));
        let expected: Vec<String> = expected.collect();
        started.send(all).await;
        sleep(Duration::from_mins(10)).await;
        assert_eq!(started.dropped("permanent"), refused.len() as u64);
        let lost = refused.len() as u64;
        assert_eq!(started.end().await, (100 - lost, lost));
        assert_eq!(*received.lock().expect("no panic"), expected, "in order");
        let requests = *requests.lock().expect("no panic");
        assert!(requests <= most, "{requests} for {refused:?}");
    }
}

/// It takes two seconds for each batch.
struct SlowLink;

#[async_trait]
impl Exporter for SlowLink {
    async fn export(&self, request: &[Batch]) -> Result<(), ExportError> {
        sleep(Duration::from_secs(2) * u32::try_from(request.len()).expect("few")).await;
        Ok(())
    }

    fn message_limit(&self) -> Option<usize> {
        Some(1 << 20)
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_together_goes_in_parts() {
    let started = start_with(SlowLink, ALONE, "{}");
    started.send(requests(50)).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(started.counters.total("points_queued"), 0);
    assert_eq!(started.end().await, (50, 0));
}

#[tokio::test(start_paused = true)]
async fn with_wait_for_result_nothing_is_taken_before_a_request_is_sent() {
    let queue = "{wait_for_result: true}";
    let started = start_with(Slow(Some(Duration::from_secs(3))), SHARED, queue);
    // One is under way, one is in the channel.
    let held_up = started.send(requests(10)).await;
    assert_eq!(held_up, Duration::from_secs(3 * 8));
    assert_eq!(started.end().await, (10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_tried_for_ever_and_with_once_for_five_minutes() {
    let once = Surroundings {
        once: true,
        ..ALONE
    };
    for (surroundings, queue, lost) in [
        (ALONE, "{}", 0),
        (ALONE, "{overflow: drop_oldest}", 1),
        (once, "{}", 1),
    ] {
        let peer = Peer::away_for(Duration::from_hours(100));
        let started = start_with(peer, surroundings, queue);
        started.send(requests(1)).await;
        sleep(Duration::from_hours(99)).await;
        assert_eq!(started.dropped("max_elapsed_time"), lost, "{queue}");
        sleep(Duration::from_hours(2)).await;
        assert_eq!(started.end().await, (1 - lost, lost));
    }
}

#[tokio::test(start_paused = true)]
async fn batches_wait_for_one_another_and_all_of_them_go_at_the_end() {
    let peer = Peer::away_for(Duration::ZERO);
    let queue = "{batch: {min_size: 40, flush_timeout: 10s}}";
    let started = start_with(peer.clone(), ALONE, queue);
    started.sweep_for(&mut Sweeps::of(3), 30).await;
    assert_eq!(started.end().await, (90, 0));
    let received = peer.received();
    let sizes: Vec<u64> = received.iter().map(|it| points(it)).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 90);
    assert!(
        sizes[..2].iter().all(|it| (27..=33).contains(it)),
        "{sizes:?}"
    );
}

/// How long the outage lasts in the process of the test below, in seconds.
const OUTAGE: &str = "OUTAGE_SECONDS";

/// A day; half an hour where nothing is optimised: by then the queue has been thinned through and through many times.
const SECONDS: usize = if cfg!(debug_assertions) { 1800 } else { 86_400 };

#[test]
fn a_day_without_the_peer_at_10_000_series_each_second_takes_less_than_64_mebibytes() {
    let test = "exporter::tests::outage::a_day_without_the_peer_at_10_000_series_each_second_takes_less_than_64_mebibytes";
    if let Ok(seconds) = std::env::var(OUTAGE) {
        return outage_of(seconds.parse().expect("seconds"));
    }
    // In a process of its own: what it takes is not what other tests take.
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    let command = command
        .args(["--exact", test, "--nocapture"])
        .env(OUTAGE, SECONDS.to_string());
    let output = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    let line = stdout.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let peak = line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    assert!(
        peak < Some(64 << 10) && peak > Some(32 << 10),
        "{peak:?} KiB"
    );
}

fn outage_of(seconds: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let time = Duration::from_secs(seconds.try_into().expect("few"));
        let peer = Peer::away_for(time);
        let started = start_with(peer.clone(), SHARED, "{}");
        started.sweep_for(&mut Sweeps::of(10_000), seconds).await;
        assert_eq!(started.dropped("queue_full"), 0);
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let peak = status.lines().find(|it| it.starts_with("VmHWM:"));
        // For the parent.
        #[allow(clippy::print_stdout)]
        {
            println!("{}", peak.unwrap_or_default());
        }
        sleep(Duration::from_hours(1)).await;
        started.end().await;
        let values = peer.values();
        assert_eq!(values.last().map(|it| it.0), seconds.try_into().ok());
        assert!(values.len() > 50, "of all of it: {}", values.len());
    });
}
