//! Components that say nothing for `inspect` are listed as far as what they do shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use pipeline::formats::text;
use pipeline::telemetry::{Counters, RuleLog};
use pipeline::{
    Attributes, Batch, Demand, ExportError, Exporter, Memo, Outbox, Outlet, PerSeries, Processor,
    Receiver, ReceiverClock, Result, Series, Status, Verdict, async_trait,
};

use super::inspect_graph;
use super::list::{List, Writer};
use super::record::{Record, State};
use crate::config::{DeliveryConfig, Overflow, Sandbox};
use crate::exporter::StartedExporter;
use crate::graph::{Graph, Pipeline};

/// Sends these points once.
struct Once(&'static str);

#[async_trait]
impl Receiver for Once {
    async fn run(self: Box<Self>, _: Demand, mut out: Outlet, _: ReceiverClock) -> Result<()> {
        for batch in text::parse(self.0).expect("points") {
            let _ = out.send(batch).await;
        }
        Ok(())
    }
}

/// Changes names, and says nothing of it beforehand.
struct Silent(Memo<Suffix>);

struct Suffix;

impl PerSeries for Suffix {
    fn rewrite(&self, _: &pipeline::Head, series: &mut Series) -> Verdict {
        if &*series.name == "s/dropped" {
            return Verdict::Drop;
        }
        series.name = format!("{}.x", series.name).into();
        Verdict::Keep
    }
}

impl Processor for Silent {
    fn process(&mut self, batch: Batch, out: &mut Outbox) -> Result<()> {
        self.0.process(batch, out)
    }
}

struct Nowhere;

#[async_trait]
impl Exporter for Nowhere {
    async fn start(&self) -> Result<()> {
        panic!("no exporter is started")
    }

    async fn export(&self, _: &[Batch]) -> std::result::Result<(), ExportError> {
        panic!("nothing is sent")
    }
}

/// Keeps state, metric and detail.
#[derive(Clone, Default)]
struct RecordedLines(Arc<Mutex<Vec<Line>>>);

type Line = (State, Option<String>, String);

impl Writer for RecordedLines {
    fn resource(&mut self, _: &Attributes) -> io::Result<()> {
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let detail = record.detail.as_deref().unwrap_or_default().to_owned();
        let line = (record.state, record.metric.clone(), detail);
        self.0.lock().expect("no panic").push(line);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is listed of these points behind this processor.
fn listed(points: &'static str, processor: Box<dyn Processor>, reads: bool) -> Vec<Line> {
    let delivery = DeliveryConfig {
        delivery: pipeline::Delivery::default(),
        overflow: Overflow::Coalesce,
        queue: serde_yaml::from_str("{}").expect("the defaults"),
        retry: serde_yaml::from_str("{}").expect("the defaults"),
    };
    let receiver: Box<dyn Receiver> = Box::new(Once(points));
    let status = Status::default().of("exporter", "nowhere");
    let exporter = Arc::new(StartedExporter::new(Box::new(Nowhere), status));
    let graph = Graph {
        receivers: BTreeMap::from([("once".to_owned(), receiver)]),
        pipelines: vec![Pipeline {
            name: "metrics".into(),
            receivers: vec!["once".into()],
            processors: vec![("p".into(), processor)],
            exporters: vec!["nowhere".into()],
        }],
        exporters: BTreeMap::from([("nowhere".to_owned(), (exporter, delivery))]),
        required: BTreeSet::new(),
        extensions: Vec::new(),
        storages: BTreeMap::new(),
        rules: RuleLog::default(),
        files: Vec::new(),
        needs: Vec::new(),
        status: Status::default(),
        capacity: 1,
        memory: None,
        sandbox: Sandbox::Off,
    };
    let lines = RecordedLines::default();
    let mut list = List::new(Box::new(lines.clone()), None);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime");
    let counters = Counters::new("test");
    let inspected = inspect_graph(graph, reads, &counters, runtime.handle(), &mut list);
    runtime
        .block_on(inspected)
        .expect("written")
        .expect("no error");
    let lines = lines.0.lock().expect("no panic");
    lines.clone()
}

#[test]
fn a_receiver_that_says_nothing_is_run_for_read_only() {
    let keep_all = || Box::new(Memo::<_, ()>::new(Suffix));
    let unread = listed("s/a 1", keep_all(), false);
    assert_eq!(unread.len(), 1);
    assert!(matches!(unread[0], (State::LeftOut, None, _)), "{unread:?}");
    assert_eq!(unread[0].2, super::SAYS_NOTHING);
    let read = listed("s/a 1\ns/dropped 2", keep_all(), true);
    let kept = (State::Read, Some("s/a.x".into()), String::new());
    let why = "it does not say why".to_owned();
    let dropped = (State::Dropped, Some("s/dropped".into()), why);
    assert_eq!(read, [kept, dropped]);
}

#[test]
fn what_comes_out_of_a_processor_that_says_nothing_is_found_by_its_source() {
    let points = "s/a 1\ns/dropped 2";
    let listed = listed(points, Box::new(Silent(Memo::new(Suffix))), true);
    let kept = (State::Read, Some("s/a.x".into()), String::new());
    let why = "2 was read, and a processor makes no point of it".to_owned();
    let dropped = (State::Failed, Some("s/dropped".into()), why);
    assert_eq!(listed, [kept, dropped]);
}
