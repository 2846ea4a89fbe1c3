//! What an author needs to test a component alone: points in and out in the [notation](text), and the
//! contracts that every component keeps, checked by one call. Everything here panics where a test would fail.

mod contracts;
mod forgets;
mod lacks;
mod readme;

use std::path::Path;
use std::sync::Arc;

use crate::config::Node;
use crate::formats::text;
use crate::telemetry::Counters;
use crate::{
    Attributes, Batch, Component, Context, Factory, Outbox, Processor, Registration, Scope,
};

pub use contracts::{assert_contracts, assert_honest};
pub use forgets::{
    assert_exporter_forgets_tables, assert_processor_forgets_tables, batch_of_its_own,
};
pub use lacks::lacks;
pub use readme::{assert_readme, blocks};

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
    let Factory::Processor(decode) = &registration::<T>().factory else {
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
    let messages = |problems: Vec<crate::config::Problem>| {
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
    match &registration::<T>().factory {
        Factory::Receiver(decode) => {
            decode(&node(yaml)).map_or_else(messages, |it| built((it.value)(&context()).map(drop)))
        }
        Factory::Processor(decode) => {
            decode(&node(yaml)).map_or_else(messages, |it| built((it.value)(&context()).map(drop)))
        }
        Factory::Exporter(decode, _) => {
            decode(&node(yaml)).map_or_else(messages, |it| built((it.value)(&context()).map(drop)))
        }
        Factory::Extension(decode) => {
            decode(&node(yaml)).map_or_else(messages, |it| built((it.value)(&context()).map(drop)))
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
    let processed = process(&mut *processor::<T>(yaml), input);
    let expected = text::parse(output).unwrap_or_else(|why| panic!("the test's output: {why}"));
    let expected = text::format(&expected);
    assert_eq!(processed, expected, "\nof {input}\nby {yaml}");
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
