//! The contracts, and when requests go out.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use pipeline::testing::{assert_contracts, mistakes, processor};
use pipeline::{
    Batch as Readings, Demand, Outbox, Processor, Sweep, Times, Value, Want, formats::text,
    telemetry::Counters,
};
use processor_batch::BatchProcessor;

const INPUT: &str = "kvm/exits{device=/1} 1\nkvm/exits{device=/2} 2\nkvm/exits{device=/3} 3\nnet/rx 4\nnet/tx end\nnet/no -\n";

#[test]
fn it_keeps_the_contracts() {
    let readme = include_str!("../README.md");
    assert_contracts::<BatchProcessor>(readme, "{}", INPUT);
    let yaml = "{send_batch_size: 2, send_batch_max_size: 2, timeout: 1s, subsystems: [{match: kvm, interval: 30s, priority: 1}]}";
    assert_contracts::<BatchProcessor>(readme, yaml, INPUT);
    assert_eq!(
        mistakes::<BatchProcessor>("{send_batch_max_size: 5}").len(),
        1
    );
}

/// So many points of one subsystem.
fn rows(count: usize) -> String {
    let lines = (0..count).map(|row| format!("kvm/exits{{device=/{row}}} 1"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Sends these batches of one subsystem; the points of each request that goes out at once.
fn sizes(
    stage: &mut dyn Processor,
    out: &mut Outbox,
    batches: &[(usize, bool)],
) -> Vec<Vec<usize>> {
    let mut sent = Vec::new();
    for (points, last) in batches {
        let lines = rows(*points);
        let batch = text::parse(&lines).unwrap()[0].with_last(*last);
        stage.process(batch, out).unwrap();
        sent.extend(
            out.take()
                .iter()
                .map(|request| request.iter().map(Readings::points).collect()),
        );
    }
    sent
}

#[tokio::test]
async fn a_request_goes_out_when_it_is_full() {
    let mut out = Outbox::new(Counters::new("test"));
    let mut stage = processor::<BatchProcessor>("{send_batch_size: 10}");
    assert_eq!(
        sizes(
            &mut *stage,
            &mut out,
            &[(4, false), (4, false), (4, false), (1, true)]
        ),
        [vec![4, 4, 4]]
    );
    stage.flush(&mut out).unwrap();
    assert_eq!(out.take()[0][0].points(), 1, "the rest of the sweep");
    let mut stage = processor::<BatchProcessor>("{send_batch_size: 4, send_batch_max_size: 5}");
    assert_eq!(
        sizes(&mut *stage, &mut out, &[(3, false), (3, false), (12, true)]),
        [vec![3], vec![3], vec![4], vec![4], vec![4]]
    );
    let mut stage = processor::<BatchProcessor>("{send_batch_size: 100, timeout: 0s}");
    assert_eq!(sizes(&mut *stage, &mut out, &[(3, false)]), [vec![3]]);
}

/// The subsystems of each request.
fn subsystems(sent: &[Vec<Readings>]) -> Vec<Vec<String>> {
    let name = |batch: &Readings| batch.table().head().subsystem.to_string();
    let names = sent
        .iter()
        .map(|request| request.iter().map(name).collect());
    names.collect()
}

#[tokio::test(start_paused = true)]
async fn sweeps_of_small_subsystems_share_a_request_the_more_important_first() {
    let mut out = Outbox::new(Counters::new("test"));
    let mut stage =
        processor::<BatchProcessor>("{timeout: 200ms, subsystems: [{match: net, priority: 1}]}");
    // The sweep of kvm is over, that of net is not.
    for (batch, last) in text::parse(INPUT).unwrap().iter().zip([true, false]) {
        stage.process(batch.with_last(last), &mut out).unwrap();
    }
    assert!(out.take().is_empty());
    tokio::time::sleep_until(stage.wake_at().unwrap()).await;
    stage.wake(&mut out).unwrap();
    assert_eq!(subsystems(&out.take()), [["net", "kvm"]]);
    assert_eq!(stage.wake_at(), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_one_sweep_of_a_subsystem_and_they_go_out_in_order() {
    let mut out = Outbox::new(Counters::new("test"));
    let mut stage = processor::<BatchProcessor>("{send_batch_size: 6, send_batch_max_size: 6}");
    let one = |name: &str, points: usize| {
        let lines: Vec<_> = (0..points).map(|row| format!("{name}/c{row} 1")).collect();
        text::parse(&lines.join("\n")).unwrap()[0].with_last(true)
    };
    let mut send = |batches: &[(&str, usize)]| {
        for (name, points) in batches {
            stage.process(one(name, *points), &mut out).unwrap();
        }
        let sent = out.take();
        let names = subsystems(&sent).into_iter();
        names.map(|it| it.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(send(&[("a", 1), ("b", 2)]), [""; 0]);
    assert_eq!(send(&[("a", 1)]), ["a b"], "the next sweep of a");
    assert_eq!(send(&[("c", 2), ("b", 3)]), ["a b c"], "is full");
    assert_eq!(send(&[("a", 2), ("c", 5)]), ["a"], "would be too large");
    assert_eq!(send(&[("c", 6)]), ["c", "c"], "what is joined goes first");
    assert_eq!(send(&[("a", 1), ("b", 6)]), ["b"], "fills a request");
    stage.flush(&mut out).unwrap();
    assert_eq!(subsystems(&out.take()), [["a"]]);
}

#[test]
fn a_subsystem_is_wanted_no_more_often_than_its_interval() {
    let stage = processor::<BatchProcessor>(
        "{subsystems: [{match: k*, interval: 30s}, {match: kvm, interval: 1s}]}",
    );
    let demand = stage.demand(Demand::everything());
    let batches = text::parse(INPUT).unwrap();
    let want = |batch: &Readings| demand.want(batch.table().head(), &batch.table().series()[0]);
    assert_eq!(want(&batches[0]), Want::Every(Duration::from_secs(30)));
    assert_eq!(want(&batches[1]), Want::Always);
}

#[tokio::test]
async fn a_table_is_cut_once_in_equal_parts() {
    let mut out = Outbox::new(Counters::new("test"));
    let yaml = "{send_batch_size: 5, send_batch_max_size: 5, timeout: 0s}";
    let mut stage = processor::<BatchProcessor>(yaml);
    let lines = rows(12);
    let first = text::parse(&lines).unwrap().remove(0);
    let later = Readings::new(
        Arc::clone(first.table()),
        Arc::clone(first.starts_unix_nano()),
        Times::One(2),
        vec![Value::Int(9); 12],
        Sweep::new(1, Duration::from_secs(1), true),
    );
    let mut tables = Vec::new();
    for batch in [first, later] {
        stage.process(batch, &mut out).unwrap();
        let sent = out.take().concat();
        assert_eq!(
            sent.iter().map(Readings::points).collect::<Vec<_>>(),
            [4, 4, 4]
        );
        assert_eq!(
            sent.iter()
                .map(|batch| batch.sweep().last)
                .collect::<Vec<_>>(),
            [false, false, true]
        );
        tables.push(
            sent.iter()
                .map(|batch| Arc::clone(batch.table()))
                .collect::<Vec<_>>(),
        );
    }
    assert!(
        tables[0]
            .iter()
            .zip(&tables[1])
            .all(|(a, b)| Arc::ptr_eq(a, b))
    );
}
