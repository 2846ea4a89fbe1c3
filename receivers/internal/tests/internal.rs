//! The receiver alone: what is counted is what it tells.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use pipeline::config::InitialDelay;
use pipeline::telemetry::{Counter, Counters, DropReason};
use pipeline::{
    Attributes, Batch, Component, Context, Demand, Outlet, Receiver, ReceiverClock, Scope,
    Shutdown, Value, Want,
};
use receiver_internal::{Config, Internal, Level};
use tokio::sync::{mpsc, watch};

#[test]
fn it_keeps_the_contracts_of_components() {
    let yaml = "{collection_interval: 20ms, initial_delay: 0s, level: detailed, labels: {a: b}}";
    pipeline::testing::assert_contracts::<Internal>(include_str!("../README.md"), yaml, "");
    let random = "{collection_interval: 20ms, initial_delay: {random: 1ms}}";
    pipeline::testing::assert_contracts::<Internal>(include_str!("../README.md"), random, "");
    let none = pipeline::testing::mistakes::<Internal>("{collection_interval: 0s}");
    assert_eq!(none, ["collection_interval: has to be more than 0s"]);
}

/// A receiver that runs, of a program with these components.
struct Running {
    batches: mpsc::Receiver<Vec<Batch>>,
    end: watch::Sender<bool>,
}

const COMPONENTS: [(&str, &str); 5] = [
    ("exporter", "otlp"),
    ("pipeline", "metrics"),
    ("processor", "labels"),
    ("receiver", "internal"),
    ("receiver", "statsfs"),
];

fn program(counters: &Counters) -> Context {
    let components = COMPONENTS.map(|(kind, id)| (kind, Arc::from(id)));
    let resource = Attributes::from_iter([("host.name", "test")]);
    Context::new(Arc::new(resource), counters.clone(), "/").with_components(components.into())
}

fn start(level: Level, counters: &Counters, demand: Demand) -> Running {
    let config = Config {
        level,
        ..Config::default()
    };
    run(config, &program(counters), demand)
}

fn run(config: Config, program: &Context, demand: Demand) -> Running {
    let context = program.of("internal", Scope::new("test", "0.0.0"));
    let receiver = Box::new(Internal::build(config, &context).unwrap());
    let (end, hear) = watch::channel(false);
    let (to, batches) = mpsc::channel(1);
    let (startup, _) = mpsc::unbounded_channel();
    let outlet = Outlet::new(to, context.counters.clone(), startup);
    let clock = ReceiverClock::new(Shutdown::new(hear), false, context.counters.clone());
    tokio::spawn(receiver.run(demand, outlet, clock));
    Running { batches, end }
}

impl Running {
    async fn sweep(&mut self) -> Vec<Batch> {
        self.batches.recv().await.unwrap()
    }
}

/// The points of a batch: `name{labels} value since`.
fn value(batch: &Batch, name: &str, labels: &[(&str, &str)]) -> Option<Value> {
    let wanted: Attributes = labels.iter().copied().collect();
    let rows = batch.table().series().iter().zip(batch.values());
    let mut found = rows.filter(|(it, _)| &*it.name == name && *it.attributes == wanted);
    let value = found.next()?.1.clone();
    assert!(found.next().is_none(), "{name} twice");
    Some(value)
}

#[tokio::test(start_paused = true)]
async fn a_count_is_told_under_the_collector_s_name_and_ours_and_the_table_stays() {
    let counters = Counters::new("service");
    let otlp = counters.of("otlp");
    otlp.record(Counter::POINTS_HANDED, 10);
    otlp.record(Counter::POINTS_SENT, 4);
    otlp.record(Counter::POINTS_REJECTED, 1);
    otlp.dropped(DropReason::QUEUE_FULL, 3);
    otlp.dropped(DropReason::loss("permanent"), 2);
    counters.of("statsfs").record(Counter::POINTS_READ, 10);
    let mut running = start(Level::Normal, &counters, Demand::everything());
    let first = running.sweep().await.remove(0);
    let exporter = [("exporter", "otlp")];
    for (name, labels, expected) in [
        ("otelcol_exporter_sent_metric_points", &exporter[..], 4),
        (
            "otelcol_exporter_enqueue_failed_metric_points",
            &exporter,
            3,
        ),
        ("otelcol_exporter_send_failed_metric_points", &exporter, 3),
        ("statsfs_collector_points_lost", &exporter, 6),
        ("statsfs_collector_points_rejected", &exporter, 1),
        ("statsfs_collector_requests_retried", &exporter, 0),
        (
            "statsfs_collector_points_lost",
            &[("pipeline", "metrics")],
            0,
        ),
        (
            "statsfs_collector_points_dropped",
            &[
                ("exporter", "otlp"),
                ("loss", "true"),
                ("reason", "permanent"),
            ],
            2,
        ),
        (
            "otelcol_receiver_accepted_metric_points",
            &[("receiver", "statsfs"), ("transport", "")],
            10,
        ),
        (
            "otelcol_processor_incoming_items",
            &[("otel.signal", "metrics"), ("processor", "labels")],
            0,
        ),
    ] {
        let found = value(&first, name, labels);
        assert_eq!(found, Some(Value::Int(expected)), "{name} {labels:?}");
    }
    otlp.record(Counter::POINTS_SENT, 5);
    let second = running.sweep().await.remove(0);
    assert!(Arc::ptr_eq(first.table(), second.table()));
    let sent = value(&second, "otelcol_exporter_sent_metric_points", &exporter);
    assert_eq!(sent, Some(Value::Int(9)));
    // Its own points are as many each time.
    let own = [("receiver", "internal"), ("transport", "")];
    let accepted = |batch| value(batch, "otelcol_receiver_accepted_metric_points", &own);
    let points = i64::try_from(first.points()).unwrap();
    assert_eq!(accepted(&first), Some(Value::Int(0)));
    assert_eq!(accepted(&second), Some(Value::Int(points)));
    assert_eq!(first.points(), second.points());
    // What is counted for the first time makes a new table, in which the others go on.
    otlp.dropped(DropReason::loss("shutdown"), 1);
    let third = running.sweep().await.remove(0);
    assert_eq!(third.table().len(), second.table().len() + 1);
    let start = |batch: &Batch, name: &str| {
        let row = batch.table().series().iter().position(|it| {
            let reason = it.attributes.get("reason").and_then(|it| it.as_str());
            &*it.name == name && reason.is_none_or(|it| it == "shutdown")
        });
        batch.starts_unix_nano()[row.unwrap()]
    };
    let sent = "otelcol_exporter_sent_metric_points";
    assert_eq!(start(&third, sent), start(&first, sent));
    let since = start(&third, "statsfs_collector_points_dropped");
    assert_eq!(since, second.time_unix_nano(0), "since the sweep before");
    running.end.send_replace(true);
    let last = running.sweep().await.remove(0);
    assert!(
        Arc::ptr_eq(last.table(), third.table()),
        "at the end once more"
    );
    assert!(running.batches.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn subsystems_are_added_up_and_apart_only_at_the_level_detailed() {
    let longest = Counter::maximum("longest_read_microseconds");
    let counters = Counters::new("service");
    let own = counters.of("statsfs");
    let (net, kvm) = (counters.of("statsfs net"), counters.of("statsfs kvm"));
    for (subsystem, number) in [(&net, 1), (&kvm, 2)] {
        subsystem.record(Counter::FILES_READ, number);
        subsystem.record(longest, number * 1_500_000);
        subsystem.record(Counter::SERIES, 7);
    }
    let mut all = start(Level::Normal, &counters, Demand::everything());
    let mut apart = start(Level::Detailed, &counters, Demand::everything());
    let receiver = [("receiver", "statsfs")];
    let of = |subsystem| [("receiver", "statsfs"), ("subsystem", subsystem)];
    let files = "statsfs_collector_files_read";
    let batch = all.sweep().await.remove(0);
    assert_eq!(value(&batch, files, &receiver), Some(Value::Int(3)));
    let longest = value(&batch, "statsfs_collector_longest_read_seconds", &receiver);
    assert_eq!(longest, Some(Value::Double(3.0)));
    let series = value(&batch, "statsfs_collector_series", &receiver);
    assert_eq!(series, Some(Value::Int(14)));
    let batch = apart.sweep().await.remove(0);
    assert_eq!(value(&batch, files, &receiver), None);
    assert_eq!(value(&batch, files, &of("net")), Some(Value::Int(1)));
    assert_eq!(value(&batch, files, &of("kvm")), Some(Value::Int(2)));
    // One goes: added up nothing changes; apart its series end, and nobody else's jump.
    kvm.end(&own);
    let batch = all.sweep().await.remove(0);
    assert_eq!(value(&batch, files, &receiver), Some(Value::Int(3)));
    let series = value(&batch, "statsfs_collector_series", &receiver);
    assert_eq!(series, Some(Value::Int(7)), "a gauge goes with it");
    let batches = apart.sweep().await;
    let [ends, now] = &batches[..] else {
        panic!("{batches:?}")
    };
    assert_eq!(value(ends, files, &of("kvm")), Some(Value::Ended));
    assert_eq!(value(now, files, &of("kvm")), None);
    assert_eq!(value(now, files, &of("net")), Some(Value::Int(1)));
    assert_eq!(value(now, files, &receiver), Some(Value::Int(0)));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_wanted_is_left_out_and_what_is_wanted_more_rarely_waits() {
    let demand = Demand::new(|_, series| {
        if &*series.name == "otelcol_process_uptime" {
            Want::Every(Duration::from_secs(30))
        } else {
            Want::Never
        }
    });
    let counters = Counters::new("service");
    let mut running = start(Level::Normal, &counters, demand);
    let first = running.sweep().await.remove(0);
    let second = running.sweep().await.remove(0);
    assert_eq!((first.points(), second.points()), (1, 1));
    assert_eq!((first.sweep().number, second.sweep().number), (0, 3));
    let Value::Double(uptime) = second.values()[0] else {
        panic!("{second:?}")
    };
    assert!((uptime - 30.0).abs() < 0.5, "{uptime}");
}

/// A random delay of less than so many seconds.
fn random(seconds: u64) -> InitialDelay {
    InitialDelay::Random {
        random: pipeline::config::Duration::from_secs(seconds),
    }
}

#[tokio::test(start_paused = true)]
async fn receivers_of_a_program_wait_for_the_same_part_of_a_random_delay_and_then_keep_their_interval()
 {
    let program = program(&Counters::new("service"));
    let started = tokio::time::Instant::now();
    let sweeps = async |seconds| {
        let config = Config {
            initial_delay: random(seconds),
            ..Config::default()
        };
        let mut running = run(config, &program, Demand::everything());
        running.sweep().await;
        let (first, swept) = (started.elapsed(), tokio::time::Instant::now());
        running.sweep().await;
        (first, swept.elapsed())
    };
    let (hour, two_hours) = tokio::join!(sweeps(3_600), sweeps(7_200));
    assert!(hour.0 < Duration::from_hours(1), "{hour:?}");
    // tokio's timer goes by whole milliseconds.
    let millis = [hour.0 * 2, two_hours.0].map(|it| it.as_millis());
    assert!(millis[0].abs_diff(millis[1]) <= 2, "{millis:?}");
    for (_, interval) in [hour, two_hours] {
        assert!(interval.as_millis().abs_diff(10_000) <= 1, "{interval:?}");
    }
}

#[test]
fn each_program_draws_a_random_delay_of_its_own_and_with_once_there_is_none() {
    let counters = Counters::new("service");
    let drawn = (0..8).map(|_| program(&counters).initial_delay(random(60)));
    let drawn: std::collections::BTreeSet<_> = drawn.collect();
    assert!(drawn.len() > 1 && drawn.iter().all(|it| it.as_secs() < 60));
    let once = program(&counters).with_once(true);
    assert_eq!(once.initial_delay(random(60)), Duration::ZERO);
    let fixed = InitialDelay::Fixed(pipeline::config::Duration::from_secs(60));
    assert_eq!(once.initial_delay(fixed), Duration::from_mins(1));
}
