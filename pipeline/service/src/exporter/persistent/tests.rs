//! A queue on disk, with a log that a test has in its hands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline::formats::text;
use pipeline::telemetry::Counters;
use pipeline::{
    Batch, ComponentStatus, LogEvent, LogPosition, LogRange, Replay, RequestLog, Sweep, Times,
    Value, async_trait, points,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{Mark, PersistentQueue};
use crate::config::Overflow;
use crate::exporter::accounting::Accounting;
use crate::processor::Request;

/// What the log's disk does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Works,
    /// It takes nothing.
    IsFull,
    /// It never answers.
    Hangs,
}

/// A log in memory.
struct FakeLog {
    disk: Disk,
    end: LogPosition,
    requests: BTreeMap<LogPosition, Request>,
    found: Vec<LogRange>,
    kept: Arc<Mutex<Vec<LogRange>>>,
    /// What may have arrived: from before, and as it was told.
    tried: Arc<Mutex<Vec<LogRange>>>,
    own_events: mpsc::UnboundedSender<LogEvent>,
    events: mpsc::UnboundedReceiver<LogEvent>,
}

#[async_trait]
impl RequestLog for FakeLog {
    fn found(&self) -> Vec<LogRange> {
        self.found.clone()
    }

    fn tried(&self) -> Vec<LogRange> {
        self.tried.lock().expect("no panic").clone()
    }

    fn end(&self) -> LogPosition {
        self.end
    }

    fn replay(&self) -> Replay {
        Replay::Oldest
    }

    fn append(&mut self, request: &[Batch]) -> LogPosition {
        let at = self.end;
        self.end = at.after(points(request));
        let is_stored = self.disk == Disk::Works;
        if is_stored {
            self.requests.insert(at, request.to_vec());
        }
        if self.disk != Disk::Hangs {
            let _ = self.own_events.send(LogEvent::Appended { at, is_stored });
        }
        at
    }

    fn read(&mut self, range: LogRange, _: u64) {
        let requests = self.requests.range(range.clone());
        let requests = requests.map(|(at, it)| (*at, it.clone())).collect();
        let (next, thinned) = (range.end, 0);
        let read = LogEvent::Read {
            requests,
            next,
            thinned,
        };
        let _ = self.own_events.send(read);
    }

    fn keep(&mut self, ranges: Vec<LogRange>, tried: Vec<LogRange>, is_told: bool) {
        if self.disk != Disk::Hangs {
            *self.kept.lock().expect("no panic") = ranges;
            *self.tried.lock().expect("no panic") = tried;
            if is_told {
                let _ = self.own_events.send(LogEvent::Kept);
            }
        }
    }

    async fn event(&mut self) -> LogEvent {
        self.events.recv().await.expect("its own sender")
    }
}

/// A queue under test: what goes in, what comes out, and what its log keeps.
struct Started {
    to: mpsc::Sender<Request>,
    from: mpsc::Receiver<Request>,
    kept: Arc<Mutex<Vec<LogRange>>>,
    tried: Arc<Mutex<Vec<LogRange>>>,
    mark: Mark,
    counters: Counters,
    accounting: Accounting,
    task: JoinHandle<()>,
    give_up: watch::Sender<bool>,
}

/// A queue whose log has so many requests from before.
fn start(disk: Disk, found: usize) -> Started {
    let (own_events, events) = mpsc::unbounded_channel();
    let (kept, tried) = (Arc::default(), Arc::<Mutex<Vec<LogRange>>>::default());
    let mut log = FakeLog {
        disk: Disk::Works,
        end: LogPosition::default(),
        requests: BTreeMap::new(),
        found: Vec::new(),
        kept: Arc::clone(&kept),
        tried: Arc::clone(&tried),
        own_events,
        events,
    };
    for number in 0..found {
        log.append(&request(number));
    }
    while log.events.try_recv().is_ok() {}
    log.found.push(LogPosition::default()..log.end);
    // The first one was under way.
    let first = log.requests.first_key_value();
    let first = first.map(|(at, request)| *at..at.after(points(request)));
    tried.lock().expect("no panic").extend(first);
    log.disk = disk;
    let counters = Counters::new("test");
    let accounting = Accounting::new(counters.clone(), ComponentStatus::default());
    let give_up = watch::Sender::new(false);
    let (mark, marked) = Mark::new();
    let (to, input) = mpsc::channel(1);
    let (output, from) = mpsc::channel(1000);
    let queue = PersistentQueue::new(
        Box::new(log),
        accounting.clone(),
        output,
        give_up.clone(),
        marked,
        Overflow::Coalesce,
        false,
    );
    Started {
        to,
        from,
        kept,
        tried,
        mark,
        counters,
        accounting,
        task: tokio::spawn(queue.run(input)),
        give_up,
    }
}

/// A request of one point.
fn request(number: usize) -> Request {
    text::parse(&format!("s{number}/c 1")).expect("a point")
}

fn name(request: &Request) -> &str {
    &request[0].table().head().subsystem
}

impl Started {
    async fn next(&mut self) -> Request {
        self.from.recv().await.expect("a request")
    }

    async fn next_within_a_day(&mut self) -> Option<Request> {
        let day = Duration::from_hours(24);
        timeout(day, self.from.recv()).await.ok().flatten()
    }

    /// How many requests come before nothing happens any more.
    async fn all_that_come(&mut self) -> Vec<Request> {
        let mut all = Vec::new();
        while let Ok(Some(request)) = timeout(Duration::from_millis(1), self.from.recv()).await {
            all.push(request);
        }
        all
    }

    fn kept(&self) -> u64 {
        let kept = self.kept.lock().expect("no panic");
        kept.iter()
            .map(|it| it.end.requests - it.start.requests)
            .sum()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_on_disk_goes_first_and_ever_faster_as_it_is_taken() {
    let mut queue = start(Disk::Works, 40);
    assert_eq!(queue.counters.total("points_queued"), 40);
    queue.to.send(request(40)).await.expect("it takes it");
    let (mut sent, mut together) = (Vec::new(), Vec::new());
    while sent.len() < 41 {
        let requests = queue.all_that_come().await;
        together.push(requests.len());
        sent.extend(requests.iter().map(|it| name(it).to_owned()));
    }
    assert_eq!(together[..4], [1, 2, 4, 8], "{together:?}");
    let expected: Vec<_> = (0..41).map(|it| format!("s{it}")).collect();
    assert_eq!(sent, expected);
    queue.all_that_come().await;
    assert_eq!(queue.kept(), 0, "all is done with");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_holds_up_nobody_for_more_than_a_second() {
    let mut queue = start(Disk::Hangs, 0);
    let began = Instant::now();
    for number in 0..3 {
        queue.to.send(request(number)).await.expect("it takes it");
    }
    for number in 0..3 {
        assert_eq!(name(&queue.next().await), format!("s{number}"));
    }
    assert!(began.elapsed() <= Duration::from_millis(1001));
    assert_eq!(queue.counters.total("points_handed"), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_does_not_take_goes_on_from_memory_and_is_lost_at_the_end() {
    let mut queue = start(Disk::IsFull, 0);
    for number in 0..3 {
        queue.to.send(request(number)).await.expect("it takes it");
        assert_eq!(name(&queue.next().await), format!("s{number}"));
    }
    // Nobody takes any more of them.
    let from = std::mem::replace(&mut queue.from, mpsc::channel(1).1);
    for number in 3..2000 {
        queue.to.send(request(number)).await.expect("it takes it");
    }
    queue.give_up.send_replace(true);
    drop(queue.to);
    queue.task.await.expect("no panic");
    let (handed, dropped) = ("points_handed", "points_dropped");
    assert_eq!(queue.counters.total(handed), 2000);
    assert_eq!(queue.counters.total(dropped) + from.len() as u64, 2000 - 3);
}

/// A sweep of a counter for each of a thousand devices.
fn sweep(of: &Batch, number: u64) -> Request {
    let (table, starts) = (Arc::clone(of.table()), Arc::clone(of.starts_unix_nano()));
    let values = vec![Value::Int(number.cast_signed()); table.len()];
    let sweep = Sweep::new(number, Duration::from_secs(1), true);
    vec![Batch::new(table, starts, Times::One(number), values, sweep)]
}

#[tokio::test(start_paused = true)]
async fn what_a_full_disk_does_not_take_becomes_coarser_before_any_of_it_is_dropped() {
    let mut queue = start(Disk::IsFull, 0);
    let lines: Vec<_> = (0..1000)
        .map(|it| format!("s/c{{device={it}}} 0 counter"))
        .collect();
    let first = text::parse(&lines.join("\n")).expect("points").remove(0);
    for number in 0..4000 {
        queue
            .to
            .send(sweep(&first, number))
            .await
            .expect("it takes it");
    }
    let mut numbers = Vec::new();
    loop {
        let requests = queue.all_that_come().await;
        if requests.is_empty() {
            break;
        }
        numbers.extend(requests.iter().map(|it| it[0].sweep().number));
    }
    assert!(
        numbers.is_sorted() && numbers.last() == Some(&3999),
        "{numbers:?}"
    );
    let widest = numbers.windows(2).map(|it| it[1] - it[0]).max();
    assert!(widest > Some(1) && widest <= Some(8), "{numbers:?}");
    let total = |name: &str| queue.counters.total(name);
    assert_eq!(
        total("points_dropped") + 1000 * numbers.len() as u64,
        4_000_000
    );
    assert_eq!((queue.counters.lost(), queue.kept()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_at_the_end_is_kept_and_so_is_what_breaks_down() {
    let mut queue = start(Disk::Works, 5);
    let first = queue.next().await;
    super::keep(&first);
    drop(first);
    queue.give_up.send_replace(true);
    drop(queue.to);
    queue.task.await.expect("no panic");
    assert_eq!(queue.counters.total("points_queued"), 5);
    assert_eq!(queue.counters.total("points_dropped"), 0);
    let mut queue = start(Disk::Works, 5);
    let first = queue.next().await;
    let broken = tokio::spawn(async move {
        let _held = first;
        panic!("as the test has it");
    });
    assert!(broken.await.is_err());
    assert_eq!(queue.all_that_come().await.len(), 0, "it is not done with");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_it_waits_for_a_far_side_that_takes_something_and_for_what_is_in_memory_alone() {
    let mut queue = start(Disk::Works, 2);
    let (first, second) = (queue.next().await, queue.next_within_a_day().await);
    assert!(second.is_none(), "one at a time");
    drop(queue.to);
    let day = Duration::from_hours(24);
    assert!(timeout(day, &mut queue.task).await.is_err(), "it waits");
    queue.accounting.retried("away");
    queue.task.await.expect("no panic");
    assert!(*queue.give_up.borrow(), "what follows is told");
    drop(first);

    let mut queue = start(Disk::IsFull, 1);
    queue.accounting.retried("away");
    queue.to.send(request(1)).await.expect("it takes it");
    let stored = queue.next().await;
    drop(queue.to);
    assert!(timeout(day, &mut queue.task).await.is_err(), "it waits");
    drop(stored);
    let in_memory = queue.from.recv().await.expect("it is sent");
    assert!(timeout(day, &mut queue.task).await.is_err(), "still");
    drop(in_memory);
    queue.task.await.expect("no panic");
    assert!(!*queue.give_up.borrow());
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_written_down_before_and_who_finds_it_counts_it() {
    let mut queue = start(Disk::Works, 3);
    assert_eq!(queue.counters.total("points_resent"), 1);
    let (mark, tried) = (queue.mark.clone(), Arc::clone(&queue.tried));
    let tried = || tried.lock().expect("no panic").clone();
    let at = |requests| LogPosition {
        requests,
        points: requests,
    };
    let first = queue.next().await;
    mark.under_way(&first).await;
    drop(first);
    let both = [queue.next().await, queue.next().await].concat();
    mark.under_way(&both).await;
    assert_eq!(tried(), vec![at(1)..at(3)]);
    drop(both);
    queue.all_that_come().await;
    assert_eq!(tried(), vec![]);
    let mut queue = start(Disk::Hangs, 0);
    for number in 0..2 {
        queue.to.send(request(number)).await.expect("it takes it");
    }
    let [first, second] = [queue.next().await, queue.next().await];
    let began = Instant::now();
    queue.mark.under_way(&first).await;
    assert!(began.elapsed() <= Duration::from_millis(1001));
    let began = Instant::now();
    queue.mark.under_way(&second).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "it is known to be slow");
}
