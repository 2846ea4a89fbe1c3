//! From what the user wrote to what it means: every mistake told in one run.

mod diagnostic;
mod index;
mod load;
mod print;
mod service;
mod substitute;

use std::collections::BTreeMap;

use pipeline::config::{Decoded, Expected, Node, Origin, Tree, decode};
use pipeline::{Build, Exporter, Make, Processor, Receiver, Registration};
use serde::de::DeserializeOwned;

pub(crate) use diagnostic::{Diagnostic, nearest, render};
pub(crate) use load::{Loaded, load};
pub(crate) use print::print;
pub(crate) use service::{Around, Encoding, Level, Logs, RetryOnFailure, Sizer};
use service::{Pipeline, SendingQueue, Service};

/// A configuration whose every value has its type; nothing is built yet.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) service: Service,
    pub(crate) receivers: BTreeMap<String, Component<Box<dyn Receiver>>>,
    pub(crate) processors: BTreeMap<String, Vec<Component<Box<dyn Processor>>>>,
    pub(crate) exporters: BTreeMap<String, (Component<Box<dyn Exporter>>, Around)>,
    /// The paths of all secrets.
    pub(crate) secrets: Vec<Vec<String>>,
}

/// A component that can be built.
pub(crate) struct Component<T> {
    pub(crate) registration: &'static Registration,
    pub(crate) build: Build<T>,
    pub(crate) origin: Option<Origin>,
    /// Its whole configuration, for the places of what `build` finds.
    pub(crate) node: Node,
}

impl<T> std::fmt::Debug for Component<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.registration.fmt(f)
    }
}

const SECTIONS: [&str; 5] = [
    "receivers",
    "processors",
    "exporters",
    "extensions",
    "service",
];
/// What the service takes out of an exporter's map.
const AROUND: [&str; 3] = ["timeout", "sending_queue", "retry_on_failure"];

/// Types that users of the Collector look for, and our word for each.
const ALIASES: [(&str, &str); 6] = [
    ("debug", "stdout"),
    ("logging", "stdout"),
    ("otlp_grpc", "otlp"),
    ("otlpgrpc", "otlp"),
    ("googlecloud", "gcp"),
    ("stackdriver", "gcp"),
];

/// Checks and decodes what was loaded.
pub(crate) fn check(loaded: &mut Loaded) -> Option<Config> {
    let told = &mut loaded.diagnostics;
    if told.iter().any(|it| it.is_error && it.path.is_empty()) {
        // A text that cannot be read at all: whatever else is missing may have been in it.
        return None;
    }
    let node = &loaded.node;
    if let Tree::Map(map) = &node.tree {
        for (key, value) in map
            .iter()
            .filter(|(key, _)| !SECTIONS.contains(&key.as_str()))
        {
            let unknown =
                Diagnostic::error(format!("unknown key `{key}`")).at_key(value.origin.as_ref());
            told.push(unknown.path(&[key]).help(nearest(key, &SECTIONS)));
        }
    }
    let registry = registry(told);
    let mut secrets = Vec::new();
    let mut check = Check {
        node,
        registry: &registry,
        told,
        secrets: &mut secrets,
    };
    let service = check.service();
    let used = |id: &str, of: fn(&Pipeline) -> &Vec<String>| {
        service.as_ref().map_or(1, |service| {
            service
                .pipelines
                .values()
                .filter(|pipeline| of(pipeline).iter().any(|it| it == id))
                .count()
        })
    };

    let mut receivers = BTreeMap::new();
    let mut processors: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut exporters = BTreeMap::new();
    for (id, node) in check.section("receivers") {
        check.used("receivers", &id, &node, used(&id, |it| &it.receivers));
        if let Some((registration, Make::Receiver(decode))) =
            check.find("receivers", "receiver", &id, &node)
            && let Some(component) = check.component("receivers", &id, &node, registration, *decode)
        {
            receivers.insert(id, component);
        }
    }
    for (id, node) in check.section("processors") {
        let count = used(&id, |it| &it.processors);
        check.used("processors", &id, &node, count);
        if let Some((registration, Make::Processor(decode))) =
            check.find("processors", "processor", &id, &node)
        {
            // One instance a pipeline; decoded anyway where it is not used, for its mistakes.
            let instances = (0..count.max(1))
                .map_while(|_| check.component("processors", &id, &node, registration, *decode));
            processors.insert(id.clone(), instances.collect());
        }
    }
    for (id, mut node) in check.section("exporters") {
        check.used("exporters", &id, &node, used(&id, |it| &it.exporters));
        if let Some((registration, Make::Exporter(decode, delivery))) =
            check.find("exporters", "exporter", &id, &node)
        {
            let around = check.around(&id, &mut node, delivery());
            if let Some(component) = check.component("exporters", &id, &node, registration, *decode)
                && let Some(around) = around
            {
                exporters.insert(id, (component, around));
            }
        }
    }
    for (id, node) in check.section("extensions") {
        let none = Diagnostic::error(format!(
            "no extension of type `{}`: this binary has none",
            type_of(&id)
        ));
        check
            .told
            .push(none.at_key(node.origin.as_ref()).path(&["extensions", &id]));
    }
    if let Some(service) = &service {
        check.pipelines(service);
    }
    if told.iter().any(|it| it.is_error) {
        return None;
    }
    Some(Config {
        service: service?,
        receivers,
        processors,
        exporters,
        secrets,
    })
}

/// The linked types; the same one from two crates is an error.
fn registry(told: &mut Vec<Diagnostic>) -> Vec<&'static Registration> {
    let all = Registration::all();
    for pair in all.windows(2) {
        let [a, b] = pair else { continue };
        if (a.make.kind(), a.type_name) == (b.make.kind(), b.type_name) {
            told.push(Diagnostic::error(format!(
                "the {} type `{}` is registered twice: by {} {} and by {} {}; link only one of them",
                a.make.kind(), a.type_name, a.crate_name, a.version, b.crate_name, b.version,
            )));
        }
    }
    all
}

fn type_of(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

struct Check<'a> {
    node: &'a Node,
    registry: &'a [&'static Registration],
    told: &'a mut Vec<Diagnostic>,
    secrets: &'a mut Vec<Vec<String>>,
}

impl Check<'_> {
    fn decode<T: DeserializeOwned>(&mut self, node: &Node, base: &[&str]) -> Option<T> {
        self.noted(decode(node), base)
    }

    fn noted<T>(
        &mut self,
        decoded: Result<Decoded<T>, Vec<pipeline::config::Problem>>,
        base: &[&str],
    ) -> Option<T> {
        match decoded {
            Ok(decoded) => {
                let base = base.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
                self.secrets.extend(
                    decoded
                        .secrets
                        .into_iter()
                        .map(|path| [base.clone(), path].concat()),
                );
                Some(decoded.value)
            }
            Err(problems) => {
                self.told
                    .extend(problems.iter().map(|problem| Diagnostic::of(problem, base)));
                None
            }
        }
    }

    fn service(&mut self) -> Option<Service> {
        let Some(node) = self.node.get("service") else {
            self.told
                .push(Diagnostic::error("missing key `service`").help(
                    "`service.pipelines.metrics` says which components make up the pipeline",
                ));
            return None;
        };
        self.decode(node, &["service"])
    }

    fn section(&mut self, name: &str) -> Vec<(String, Node)> {
        match self.node.get(name).map(|node| (&node.tree, node)) {
            Some((Tree::Map(map), _)) => map.clone(),
            None | Some((Tree::Null, _)) => Vec::new(),
            Some((_, node)) => {
                let wrong = Diagnostic::error(format!(
                    "expected a map from ids to components, found {}",
                    node.describe()
                ));
                self.told
                    .push(wrong.at_value(node.origin.as_ref()).path(&[name]));
                Vec::new()
            }
        }
    }

    fn used(&mut self, section: &str, id: &str, node: &Node, count: usize) {
        if count == 0 {
            let unused =
                Diagnostic::warning(format!("`{id}` is defined here, but no pipeline uses it"));
            self.told
                .push(unused.at_key(node.origin.as_ref()).path(&[section, id]));
        }
    }

    /// The registration of an id's type.
    fn find(
        &mut self,
        section: &str,
        kind: &str,
        id: &str,
        node: &Node,
    ) -> Option<(&'static Registration, &'static Make)> {
        let (name, rest) = id.split_once('/').unwrap_or((id, "-"));
        let known: Vec<_> = self
            .registry
            .iter()
            .filter(|it| it.make.kind() == kind)
            .copied()
            .collect();
        let told = if !is_type(name)
            || rest.is_empty()
            || rest.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            Diagnostic::error(format!("`{id}` is no id")).help("an id is `type` or `type/name`")
        } else if let Some(registration) = known.iter().find(|it| it.type_name == name) {
            return Some((registration, &registration.make));
        } else {
            let has = known
                .iter()
                .map(|it| format!("`{}`", it.type_name))
                .collect::<Vec<_>>()
                .join(", ");
            let types: Vec<_> = known.iter().map(|it| it.type_name).collect();
            let near = nearest(name, &types);
            let hint = match ALIASES.iter().find(|(theirs, _)| *theirs == name && kind == "exporter") {
                Some((_, ours)) => format!("it is called `{ours}` here"),
                None if near.starts_with("did you mean") => near,
                None => "a crate that has it must be linked: `use its_crate as _;` in the distribution's main.rs".into(),
            };
            Diagnostic::error(format!(
                "this binary has no {kind} of type `{name}`; it has {has}"
            ))
            .help(hint)
        };
        self.told
            .push(told.at_key(node.origin.as_ref()).path(&[section, id]));
        None
    }

    fn component<T>(
        &mut self,
        section: &str,
        id: &str,
        node: &Node,
        registration: &'static Registration,
        decode: pipeline::Decode<T>,
    ) -> Option<Component<T>> {
        let mut decoded = decode(node);
        if let (Err(problems), "exporters") = (&mut decoded, section) {
            for problem in problems
                .iter_mut()
                .filter(|problem| problem.path.len() == 1)
            {
                if let Expected::Key(_, allowed) = &mut problem.expected {
                    allowed.extend(AROUND.map(String::from));
                }
            }
        }
        let build = self.noted(decoded, &[section, id])?;
        Some(Component {
            registration,
            build,
            origin: node.origin.clone(),
            node: node.clone(),
        })
    }

    /// Takes queue, retry and time-out out of an exporter's map.
    fn around(
        &mut self,
        id: &str,
        node: &mut Node,
        mut delivery: pipeline::Delivery,
    ) -> Option<Around> {
        let [timeout, queue, retry] = AROUND.map(|key| node.take(key).map(|node| (key, node)));
        let problems = self.told.len();
        if let Some((key, node)) = timeout
            && let Some(timeout) =
                self.decode::<pipeline::config::Duration>(&node, &["exporters", id, key])
        {
            delivery.timeout = timeout.0;
        }
        let queue: Option<SendingQueue> = queue.map_or_else(
            || Some(SendingQueue::default()),
            |(key, node)| self.decode(&node, &["exporters", id, key]),
        );
        let no_retry = RetryOnFailure {
            enabled: delivery.retry,
            ..RetryOnFailure::default()
        };
        let retry_node = retry.as_ref().map(|(_, node)| node.clone());
        let retry: Option<RetryOnFailure> = retry.map_or_else(
            || Some(no_retry),
            |(key, node)| self.decode(&node, &["exporters", id, key]),
        );
        let (queue, retry) = (queue?, retry?);
        // The Collector's own rules (configretry).
        let wrong = [
            (
                !(0.0..=1.0).contains(&retry.randomization_factor),
                "randomization_factor",
                "has to be from 0 to 1",
            ),
            (
                !(retry.multiplier.is_finite() && retry.multiplier >= 0.0),
                "multiplier",
                "may not be negative",
            ),
            (
                retry.max_elapsed_time.0 > std::time::Duration::ZERO
                    && retry.max_elapsed_time < retry.initial_interval,
                "max_elapsed_time",
                "may not be below `initial_interval`, but for 0: for ever",
            ),
            (
                retry.max_elapsed_time.0 > std::time::Duration::ZERO
                    && retry.max_elapsed_time < retry.max_interval,
                "max_elapsed_time",
                "may not be below `max_interval`, but for 0: for ever",
            ),
        ];
        for (_, key, why) in wrong.iter().filter(|(wrong, ..)| *wrong && retry.enabled) {
            let at = retry_node
                .as_ref()
                .map(|node| node.get(key).unwrap_or(node));
            let told = Diagnostic::error(format!("`{key}` {why}"))
                .at_value(at.and_then(|at| at.origin.as_ref()));
            self.told
                .push(told.path(&["exporters", id, "retry_on_failure", key]));
        }
        if let Some(consumers) = queue.num_consumers {
            delivery.num_consumers = consumers.get();
        }
        delivery.block_on_overflow = queue
            .block_on_overflow
            .unwrap_or(delivery.block_on_overflow);
        (self.told.len() == problems).then_some(Around {
            delivery,
            queue,
            retry,
        })
    }

    /// What pipelines name has to be there.
    fn pipelines(&mut self, service: &Service) {
        let node = self.node.at(&["service".into(), "pipelines".into()]);
        if service.pipelines.is_empty() {
            let none = Diagnostic::error("there is no pipeline")
                .help("`metrics: {receivers: […], processors: […], exporters: […]}`");
            self.told.push(
                none.at_key(node.and_then(|it| it.origin.as_ref()))
                    .path(&["service", "pipelines"]),
            );
        }
        for (name, pipeline) in &service.pipelines {
            let at = node.and_then(|it| it.get(name));
            let base = ["service", "pipelines", name];
            if type_of(name) != "metrics" {
                let signal =
                    Diagnostic::error(format!("`{name}`: this program carries metrics only"))
                        .help("`metrics` or `metrics/<name>`");
                self.told.push(
                    signal
                        .at_key(at.and_then(|it| it.origin.as_ref()))
                        .path(&base),
                );
            }
            for (section, ids) in [
                ("receivers", &pipeline.receivers),
                ("processors", &pipeline.processors),
                ("exporters", &pipeline.exporters),
            ] {
                let list = at.and_then(|it| it.get(section));
                if ids.is_empty() && section != "processors" {
                    let none = Diagnostic::error(format!(
                        "the pipeline `{name}` has no {}",
                        section.trim_end_matches('s')
                    ));
                    self.told.push(
                        none.at_key(list.or(at).and_then(|it| it.origin.as_ref()))
                            .path(&base),
                    );
                }
                for (index, id) in ids.iter().enumerate() {
                    let origin = list
                        .and_then(|list| list.at(&[index.to_string()]))
                        .and_then(|it| it.origin.clone());
                    let number = index.to_string();
                    let path = [base.as_slice(), &[section, &number]].concat();
                    if ids[..index].contains(id) {
                        self.told.push(
                            Diagnostic::error(format!("`{id}` stands twice in this list"))
                                .at_value(origin.as_ref())
                                .path(&path),
                        );
                    }
                    if self.node.get(section).and_then(|it| it.get(id)).is_none() {
                        let defined: Vec<_> = self
                            .section(section)
                            .into_iter()
                            .map(|(id, _)| id)
                            .collect();
                        let near = if defined.is_empty() {
                            format!("nothing is defined below `{section}`")
                        } else {
                            nearest(id, &defined)
                        };
                        let told = Diagnostic::error(format!(
                            "the pipeline `{name}` names `{id}`, which `{section}` does not define"
                        ));
                        self.told.push(
                            told.at_value(origin.as_ref())
                                .path(&path)
                                .help(near.replace("allowed:", "defined:")),
                        );
                    }
                }
            }
        }
        for id in &service.extensions {
            self.told.push(
                Diagnostic::error(format!(
                    "no extension of type `{}`: this binary has none",
                    type_of(id)
                ))
                .path(&["service", "extensions"]),
            );
        }
    }
}

/// The Collector's rule for types.
fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
