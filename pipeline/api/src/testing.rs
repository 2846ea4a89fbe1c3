//! What an author needs to test a component alone: points in and out in the [notation](crate::text), and the
//! contracts that every component keeps, checked by one call. Everything here panics where a test would fail.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::config::{Node, Tree};
use crate::{
    Attributes, Batch, Component, Context, Counters, Demand, Exporter, Make, Outbox, Outlet,
    Processor, Receiver, Registration, Scope, Shutdown, Until, Value, Want, points, text,
};

/// A context for a component under test.
#[must_use]
pub fn context() -> Context {
    let resource = Attributes::from_iter([("host.name", "test")]);
    Context::new(Arc::new(resource), Counters::new("test"), "/")
        .of("test", Scope::new("test", "0.0.0"))
}

/// The configuration as a component would get it.
#[must_use]
pub fn node(yaml: &str) -> Node {
    Node::from(
        serde_yaml::from_str::<serde_yaml::Value>(yaml).expect("the test's configuration is YAML"),
    )
}

/// The processor of this type, built from YAML as the service builds it.
#[must_use]
pub fn processor<T: Component>(yaml: &str) -> Box<dyn Processor> {
    let Make::Processor(decode) = &registration::<T>().make else {
        panic!("`{}` is no processor", T::TYPE)
    };
    let decoded = decode(&node(yaml))
        .unwrap_or_else(|problems| panic!("the configuration is refused: {problems:#?}"));
    (decoded.value)(&context())
        .unwrap_or_else(|error| panic!("not built: {}: {error}", error.path()))
}

/// What is wrong with this configuration: the path and the message of each mistake.
#[must_use]
pub fn mistakes<T: Component>(yaml: &str) -> Vec<String> {
    let told = |problems: Vec<crate::config::Problem>| {
        problems
            .into_iter()
            .map(|it| format!("{}: {}", it.path.join("."), it.message))
            .collect()
    };
    let built = |done: crate::Result<()>| {
        done.map_or_else(
            |error| vec![format!("{}: {error}", error.path())],
            |()| Vec::new(),
        )
    };
    match &registration::<T>().make {
        Make::Receiver(decode) => {
            decode(&node(yaml)).map_or_else(told, |it| built((it.value)(&context()).map(drop)))
        }
        Make::Processor(decode) => {
            decode(&node(yaml)).map_or_else(told, |it| built((it.value)(&context()).map(drop)))
        }
        Make::Exporter(decode, _) => {
            decode(&node(yaml)).map_or_else(told, |it| built((it.value)(&context()).map(drop)))
        }
    }
}

/// Sends points through a processor to its end, and gives what came out.
#[must_use]
pub fn process(processor: &mut dyn Processor, input: &str) -> String {
    let batches = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    text::format(&run(processor, batches, &Counters::new("test")).concat())
}

/// A processor of this type and configuration makes `output` of `input`.
pub fn check<T: Component>(yaml: &str, input: &str, output: &str) {
    let made = process(&mut *processor::<T>(yaml), input);
    let expected = text::parse(output).unwrap_or_else(|why| panic!("the test's output: {why}"));
    let expected = text::format(&expected);
    assert_eq!(made, expected, "\nof {input}\nby {yaml}");
}

/// Checks every folder below `cases`: `config.yaml`, `input.txt`, `output.txt`.
pub fn check_cases<T: Component>(cases: &Path) {
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut count = 0;
    for case in
        std::fs::read_dir(cases).unwrap_or_else(|error| panic!("{}: {error}", cases.display()))
    {
        let case = case.expect("a directory that can be listed").path();
        check::<T>(
            &read(&case.join("config.yaml")),
            &read(&case.join("input.txt")),
            &read(&case.join("output.txt")),
        );
        count += 1;
    }
    assert!(count > 0, "no case below {}", cases.display());
}

/// Checks what every component keeps, whatever its kind: it is registered once; its README names every key; unknown
/// keys are refused anywhere; and by kind:
///
/// - a processor's demand is honest (what it said need not be read, it would not have let out), it lets everything out
///   at the end or counts it as dropped, it passes the end of a sweep on, and the same table in is the same table out;
/// - a receiver ends when it is told to, and opens nothing that nobody wants;
/// - an exporter's own task ends when it is told to.
///
/// `yaml` is a configuration that uses as much as it can; `input`, for a processor, are points in the notation.
pub fn assert_contracts<T: Component>(readme: &str, yaml: &str, input: &str) {
    assert_readme::<T>(readme);
    assert_eq!(mistakes::<T>(yaml), Vec::<String>::new());
    assert_unknown_keys_refused::<T>(&node(yaml));
    match &registration::<T>().make {
        Make::Processor(_) => {
            assert_honest::<T>(yaml, input);
            assert_complete::<T>(yaml, input);
            assert_same_table::<T>(yaml, input);
        }
        Make::Receiver(decode) => {
            let context = context();
            let decoded = decode(&node(yaml)).expect("decoded before");
            let made = (decoded.value)(&context).expect("built before");
            assert_receiver_ends(made, &context.counters);
        }
        Make::Exporter(decode, _) => {
            let made = decode(&node(yaml)).map(|it| (it.value)(&context()).expect("built before"));
            assert_exporter_ends(&*made.expect("decoded before"));
        }
    }
}

fn registration<T: Component>() -> &'static Registration {
    let all: Vec<_> = Registration::all()
        .into_iter()
        .filter(|it| it.type_name == T::TYPE)
        .collect();
    assert_eq!(
        all.len(),
        1,
        "`{}` has to be registered once: `pipeline::register!`",
        T::TYPE
    );
    all[0]
}

/// Every key of the configuration stands in the README, as code.
fn assert_readme<T: Component>(readme: &str) {
    let schema = (registration::<T>().schema)();
    let keys = schema
        .get("properties")
        .and_then(|it| it.as_object())
        .map(|it| it.keys().cloned().collect::<Vec<_>>());
    for key in keys.unwrap_or_default() {
        assert!(
            readme.contains(&format!("`{key}`")),
            "README.md does not name the key `{key}`"
        );
    }
}

fn assert_unknown_keys_refused<T: Component>(whole: &Node) {
    let refused = |node: &Node| match &registration::<T>().make {
        Make::Receiver(decode) => decode(node).err(),
        Make::Processor(decode) => decode(node).err(),
        Make::Exporter(decode, _) => decode(node).err(),
    };
    let mut bogus = if matches!(whole.tree, Tree::Map(_)) {
        whole.clone()
    } else {
        Node::empty()
    };
    if let Tree::Map(map) = &mut bogus.tree {
        map.push(("bogus_key".into(), Node::default()));
    }
    let problems = refused(&bogus).unwrap_or_else(|| {
        panic!(
            "`{}` takes an unknown key: `#[serde(deny_unknown_fields)]`",
            T::TYPE
        )
    });
    assert_eq!(problems[0].path, ["bogus_key"]);
}

/// What the processor said need not be read, it would not have let out.
fn assert_honest<T: Component>(yaml: &str, input: &str) {
    let all = text::parse(input).unwrap_or_else(|why| panic!("the test's input: {why}"));
    let demand = processor::<T>(yaml).demand(Demand::everything());
    let wanted = |batch: &Batch, row: usize| {
        demand.want(batch.table().head(), &batch.table().series()[row]) != Want::Never
    };
    let only = |keep: bool| -> Vec<Batch> {
        let thinned = all.iter().map(|batch| {
            let values = batch.values().iter().enumerate().map(|(row, value)| {
                if wanted(batch, row) == keep {
                    value.clone()
                } else {
                    Value::Absent
                }
            });
            batch.with_values(values.collect())
        });
        thinned.collect()
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

fn run(stage: &mut dyn Processor, batches: Vec<Batch>, counters: &Counters) -> Vec<Vec<Batch>> {
    let mut out = Outbox::new(counters.clone());
    let mut sent = Vec::new();
    for batch in batches {
        stage
            .process(batch, &mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        sent.extend(out.take());
    }
    stage
        .flush(&mut out)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(
        stage.wake_at().is_none(),
        "after the end there is nothing to wake for"
    );
    sent.extend(out.take());
    sent
}

const LONG: Duration = Duration::from_secs(30);

fn assert_receiver_ends(receiver: Box<dyn Receiver>, counters: &Counters) {
    block_on(async {
        let (end, hear) = watch::channel(false);
        let (to, mut from) = mpsc::channel(16);
        let (tell, mut found) = mpsc::unbounded_channel();
        let outlet = Outlet::new(to, counters.clone(), tell);
        let nothing = Demand::new(|_, _| Want::Never);
        let until = Until::new(hear, false, counters.clone());
        let ran = tokio::spawn(receiver.run(nothing, outlet, until));
        // It has looked once when it says what it found; one that says nothing is given a moment.
        let _ = tokio::time::timeout(Duration::from_secs(1), found.recv()).await;
        end.send_replace(true);
        let ran = tokio::time::timeout(LONG, ran)
            .await
            .expect("a receiver ends when it is told to");
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
        tokio::time::timeout(LONG, exporter.run(Shutdown::new(hear)))
            .await
            .expect("it ends when it is told to")
            .expect("no error");
    });
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future);
}
