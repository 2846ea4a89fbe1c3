//! The contracts that every component keeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::forgets::assert_tables_forgotten;
use super::{assert_readme, context, mistakes, node, processor, registration, run};
use crate::config::{Node, NodeValue};
use crate::formats::text;
use crate::telemetry::Counters;
use crate::{
    Batch, Component, Demand, Exporter, Extension, Factory, Host, Outbox, Outlet, Receiver,
    ReceiverClock, Shutdown, Status, Value, Want, points,
};

/// Checks what every component keeps, whatever its kind: it is registered once; its README shows every option
/// at its default, and names it ([`assert_readme`]); unknown keys are refused; and by kind:
///
/// - a processor's demand is honest (what it said need not be read, it would not have let out), and so is what it says for
///   `inspect` (nor would it have let out what a rule drops, by [`explain`](crate::Processor::explain)), it lets everything out
///   at the end or counts it as dropped, it passes the end of a sweep on, the same table in is the same table out, and
///   what it knows of a table dies with the table;
/// - a receiver ends when it hears the shutdown, and opens nothing that nobody wants;
/// - an exporter's own task ends when it hears the shutdown, and so does an extension, though nothing else runs.
///
/// `yaml` is a configuration that uses as much as it can; `input`, for a processor, are points in the notation.
pub fn assert_contracts<T: Component>(readme: &str, yaml: &str, input: &str) {
    assert_readme(registration::<T>(), readme);
    assert_eq!(mistakes::<T>(yaml), Vec::<String>::new());
    assert_unknown_keys_refused::<T>(&node(yaml));
    match &registration::<T>().factory {
        Factory::Processor(_) => {
            assert_honest::<T>(yaml, input);
            assert_complete::<T>(yaml, input);
            assert_same_table::<T>(yaml, input);
            assert_tables_forgotten::<T>(yaml, input);
        }
        Factory::Receiver(decode) => {
            let context = context();
            let decoded = decode(&node(yaml)).expect("decoded before");
            let receiver = (decoded.value)(&context).expect("built before");
            assert_receiver_ends(receiver, &context.counters);
        }
        Factory::Exporter(decode, _) => {
            let exporter =
                decode(&node(yaml)).map(|it| (it.value)(&context()).expect("built before"));
            assert_exporter_ends(&*exporter.expect("decoded before"));
        }
        Factory::Extension(decode) => {
            let extension =
                decode(&node(yaml)).map(|it| (it.value)(&context()).expect("built before"));
            assert_extension_ends(&*extension.expect("decoded before"));
        }
    }
}

fn assert_unknown_keys_refused<T: Component>(whole: &Node) {
    let mut bogus = if matches!(whole.tree, NodeValue::Map(_)) {
        whole.clone()
    } else {
        Node::empty()
    };
    if let NodeValue::Map(map) = &mut bogus.tree {
        map.push(("bogus_key".into(), Node::default()));
    }
    let factory = &registration::<T>().factory;
    let problems = factory.refused(&bogus).unwrap_or_else(|| {
        panic!(
            "`{}` takes an unknown key: `#[serde(deny_unknown_fields)]`",
            T::TYPE
        )
    });
    assert_eq!(problems[0].path, ["bogus_key"]);
}

/// A processor's demand is honest: what it said need not be read, it would not have let out. `input` are points in the
/// notation.
pub fn assert_honest<T: Component>(yaml: &str, input: &str) {
    let all = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    let demand = processor::<T>(yaml).demand(Demand::everything());
    let wanted = |batch: &Batch, row: usize| {
        demand.want(batch.table().head(), &batch.table().series()[row]) != Want::Never
    };
    let thinned = |stays: &dyn Fn(&Batch, usize) -> bool| -> Vec<Batch> {
        let thinned = all.iter().map(|batch| {
            let values = batch.values().iter().enumerate().map(|(row, value)| {
                if stays(batch, row) {
                    value.clone()
                } else {
                    Value::Absent
                }
            });
            batch.with_values(values.collect())
        });
        thinned.collect()
    };
    let only = |keep: bool| thinned(&|batch, row| wanted(batch, row) == keep);
    let explains = processor::<T>(yaml);
    let is_dropped = |batch: &Batch, row: usize| {
        let (head, series) = (batch.table().head(), &batch.table().series()[row]);
        explains.explain(head, series).dropped_by.is_some()
    };
    let out = |batches| {
        text::format(&run(&mut *processor::<T>(yaml), batches, &Counters::new("test")).concat())
    };
    assert_eq!(
        out(only(false)),
        "",
        "let out, though it said that these need not be read"
    );
    assert_eq!(
        out(thinned(&is_dropped)),
        "",
        "let out, though it said what drops it"
    );
    assert_eq!(
        out(only(true)),
        out(all.clone()),
        "what is left out of the reading changes what comes out"
    );
}

/// All points come out by the end or are counted, and so does the end of the sweep.
fn assert_complete<T: Component>(yaml: &str, input: &str) {
    let batches = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    let counters = Counters::new("test");
    let subsystems = batches.len();
    let handed = points(&batches);
    let sent = run(&mut *processor::<T>(yaml), batches, &counters).concat();
    let dropped = counters.total("points_dropped");
    assert_eq!(
        handed,
        points(&sent) + dropped,
        "points in are points out and points counted as dropped"
    );
    let lasts = sent.iter().filter(|batch| batch.sweep().last).count();
    assert_eq!(
        lasts, subsystems,
        "the end of each subsystem's sweep is passed on, once"
    );
}

/// A table that was seen before costs nothing: what comes out of it is the same table as before.
fn assert_same_table<T: Component>(yaml: &str, input: &str) {
    let batches = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    let mut stage = processor::<T>(yaml);
    let counters = Counters::new("test");
    let mut out = Outbox::new(counters);
    let mut tables = || -> Vec<usize> {
        for batch in &batches {
            stage
                .process(batch.clone(), &mut out)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        stage
            .flush(&mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        let all = out.take().concat();
        // Held so that no address comes twice.
        let tables = all
            .iter()
            .map(|batch| Arc::as_ptr(batch.table()) as usize)
            .collect();
        std::mem::forget(all);
        tables
    };
    assert_eq!(
        tables(),
        tables(),
        "the same table in is the same table out"
    );
}

const LONG: Duration = Duration::from_secs(30);

fn assert_receiver_ends(receiver: Box<dyn Receiver>, counters: &Counters) {
    block_on(async {
        let (end, hear) = watch::channel(false);
        let (to, mut from) = mpsc::channel(16);
        let (startup, mut reports) = mpsc::unbounded_channel();
        let outlet = Outlet::new(to, counters.clone(), startup);
        let nothing = Demand::new(|_, _| Want::Never);
        let clock = ReceiverClock::new(Shutdown::new(hear), false, counters.clone());
        let ran = tokio::spawn(receiver.run(nothing, outlet, clock));
        // It has looked once when it reports; one that does not report is given a moment.
        let _ = tokio::time::timeout(Duration::from_secs(1), reports.recv()).await;
        end.send_replace(true);
        let ran = tokio::time::timeout(LONG, ran)
            .await
            .expect("a receiver ends when it hears the shutdown");
        ran.expect("no panic").expect("no error");
        assert_eq!(
            counters.total("files_read"),
            0,
            "what nobody wants is not read"
        );
        let left = std::iter::from_fn(|| from.try_recv().ok());
        let left: u64 = left.map(|request| points(&request)).sum();
        assert_eq!(left, 0, "what nobody wants is not sent");
    });
}

fn assert_exporter_ends(exporter: &dyn Exporter) {
    block_on(async {
        let (end, hear) = watch::channel(false);
        exporter.start().await.expect("it starts");
        end.send_replace(true);
        tokio::time::timeout(LONG, exporter.drain(Shutdown::new(hear.clone())))
            .await
            .expect("it holds nothing back for longer than it may");
        tokio::time::timeout(LONG, exporter.run(Shutdown::new(hear)))
            .await
            .expect("it ends when it hears the shutdown")
            .expect("no error");
    });
}

fn assert_extension_ends(extension: &dyn Extension) {
    block_on(async {
        let (end, hear) = watch::channel(false);
        let host = Host::new(context().counters, Status::default());
        extension.start(&host).await.expect("it starts");
        end.send_replace(true);
        tokio::time::timeout(LONG, extension.run(Shutdown::new(hear)))
            .await
            .expect("it ends when it hears the shutdown")
            .expect("no error");
    });
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future);
}
