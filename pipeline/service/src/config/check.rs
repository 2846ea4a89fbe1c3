//! Every mistake in what was loaded, reported in one run.

use std::collections::BTreeMap;

use pipeline::config::{
    DELIVERY_KEYS, Decoded, Expected, Node, NodeValue, OPTIONAL_KEY, Origin, Problem, attempt,
};
use pipeline::{Factory, Registration};
use serde::de::DeserializeOwned;

use super::diagnostic::{Diagnostic, SourceText, nearest};
use super::hint::{hint, misplaced};
use super::load::Loaded;
use super::print::hidden_values;
use super::service::{PipelineConfig, Service};
use super::{Config, ConfiguredComponent};

const SECTIONS: [&str; 5] = [
    "receivers",
    "processors",
    "exporters",
    "extensions",
    "service",
];

/// Checks what was loaded, reports what is wrong, and gives what could be decoded all the same.
pub(crate) fn check(loaded: &mut Loaded) -> Option<Config> {
    let diagnostics = &mut loaded.diagnostics;
    if loaded.is_partial {
        return None;
    }
    let node = &loaded.node;
    unknown_sections(node, diagnostics);
    hidden_values(node, &mut Vec::new(), diagnostics);
    let registry = Registration::all();
    diagnostics.extend(registered_twice(&registry));
    let (mut secrets, mut typed) = (Vec::new(), Vec::new());
    let mut check = Check {
        node,
        texts: &loaded.texts,
        registry: &registry,
        diagnostics,
        secrets: &mut secrets,
        typed: &mut typed,
    };
    let before = check.diagnostics.len();
    let service = check.service();
    // What a pipeline with a mistake names is not known.
    let is_whole = check.diagnostics.len() == before;
    let used = |id: &str, of: fn(&PipelineConfig) -> &Vec<String>| {
        service.as_ref().filter(|_| is_whole).map_or(1, |service| {
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
    let mut extensions = BTreeMap::new();
    for (id, mut node) in check.section("receivers") {
        check.used("receivers", &id, &node, used(&id, |it| &it.receivers));
        if let Some((registration, Factory::Receiver(decode))) =
            check.find("receivers", "receiver", &id, &node)
        {
            let optional = check.is_optional(&id, &mut node);
            if let Some(component) = check.component("receivers", &id, &node, registration, *decode)
            {
                receivers.insert(id, (component, optional));
            }
        }
    }
    for (id, node) in check.section("processors") {
        let count = used(&id, |it| &it.processors);
        check.used("processors", &id, &node, count);
        if let Some((registration, Factory::Processor(decode))) =
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
        if let Some((registration, Factory::Exporter(decode, delivery))) =
            check.find("exporters", "exporter", &id, &node)
        {
            let delivery = check.delivery_config(&id, &mut node, delivery());
            if let Some(component) = check.component("exporters", &id, &node, registration, *decode)
            {
                exporters.insert(id, (component, delivery));
            }
        }
    }
    for (id, node) in check.section("extensions") {
        let named = service.as_ref().filter(|_| is_whole);
        let count = named.map_or(1, |it| it.extensions.iter().filter(|it| **it == id).count());
        check.used("extensions", &id, &node, count);
        if let Some((registration, Factory::Extension(decode))) =
            check.find("extensions", "extension", &id, &node)
            && let Some(component) =
                check.component("extensions", &id, &node, registration, *decode)
        {
            extensions.insert(id, component);
        }
    }
    let mut readers = Vec::new();
    if let Some(service) = &service {
        check.pipelines(service);
        check.extensions(service);
        if is_whole {
            readers = check.readers(service);
        }
    }
    Some(Config {
        service: service?,
        receivers,
        processors,
        exporters,
        extensions,
        readers,
        secrets,
        typed,
    })
}

fn unknown_sections(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let NodeValue::Map(map) = &node.tree else {
        return;
    };
    let is_unknown = |(key, _): &&(String, Node)| !SECTIONS.contains(&key.as_str());
    for (key, value) in map.iter().filter(is_unknown) {
        let unknown =
            Diagnostic::error(format!("unknown key `{key}`")).at_key(value.origin.as_ref());
        diagnostics.push(unknown.path(&[key]).help(nearest(key, &SECTIONS)));
    }
}

/// Types that two crates have registered.
fn registered_twice(all: &[&'static Registration]) -> impl Iterator<Item = Diagnostic> {
    let twice = all.windows(2).filter_map(|pair| match pair {
        [a, b] if (a.factory.kind(), a.type_name) == (b.factory.kind(), b.type_name) => {
            Some((a, b))
        }
        _ => None,
    });
    twice.map(|(a, b)| {
        let (kind, name) = (a.factory.kind(), a.type_name);
        let crates = format!(
            "by {} {} and by {} {}",
            a.crate_name, a.version, b.crate_name, b.version
        );
        Diagnostic::error(format!(
            "the {kind} type `{name}` is registered twice: {crates}; link only one of them"
        ))
    })
}

pub(super) fn type_of(id: &str) -> &str {
    id.split('/').next().unwrap_or(id)
}

/// A check under way.
pub(super) struct Check<'a> {
    pub(super) node: &'a Node,
    texts: &'a [SourceText],
    pub(super) registry: &'a [&'static Registration],
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
    secrets: &'a mut Vec<Vec<String>>,
    typed: &'a mut Vec<Vec<String>>,
}

impl Check<'_> {
    /// What of a node can be decoded; what cannot is reported.
    pub(super) fn decode<T: DeserializeOwned>(&mut self, node: &Node, base: &[&str]) -> Option<T> {
        let (decoded, problems) = attempt(node);
        self.report(&problems, base);
        decoded.and_then(|decoded| self.record(Ok(decoded), base))
    }

    pub(super) fn report(&mut self, problems: &[Problem], base: &[&str]) {
        for problem in problems {
            let mut diagnostic = Diagnostic::of(problem, base);
            let is_set = |origin: &Origin| self.texts[origin.text].name == "--set";
            if problem.origin.as_ref().is_some_and(is_set) && diagnostic.help.is_none() {
                let path: Vec<String> = diagnostic.path.clone();
                let is_map = |it: &Node| matches!(it.tree, NodeValue::Map(_));
                if self.node.at(&path).is_some_and(is_map) {
                    let help =
                        "a key with a dot in it is written in a map: `--set 'a.b={c.d: value}'`";
                    diagnostic = diagnostic.help(help);
                }
            }
            // What could not be substituted is of no type either: said once.
            if !self
                .diagnostics
                .iter()
                .any(|it| it.is_error && it.place.is_some() && it.place == diagnostic.place)
            {
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn record<T>(&mut self, decoded: Result<Decoded<T>, Vec<Problem>>, base: &[&str]) -> Option<T> {
        match decoded {
            Ok(decoded) => {
                let base = base.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
                let whole = |path: Vec<String>| [base.clone(), path].concat();
                self.secrets.extend(decoded.secrets.into_iter().map(whole));
                self.typed.extend(decoded.typed.into_iter().map(whole));
                Some(decoded.value)
            }
            Err(problems) => {
                self.report(&problems, base);
                None
            }
        }
    }

    fn service(&mut self) -> Option<Service> {
        let Some(node) = self.node.get("service") else {
            let last = match &self.node.tree {
                NodeValue::Map(map) => map.last().and_then(|(_, node)| node.origin.as_ref()),
                _ => None,
            };
            let missing = Diagnostic::error("missing key `service`").at_key(last);
            self.diagnostics.push(
                missing
                    .path(&["service"])
                    .help("`service.pipelines.metrics` says which components make up the pipeline"),
            );
            return None;
        };
        self.decode(node, &["service"])
    }

    pub(super) fn section(&mut self, name: &str) -> Vec<(String, Node)> {
        match self.node.get(name).map(|node| (&node.tree, node)) {
            Some((NodeValue::Map(map), _)) => map.clone(),
            None | Some((NodeValue::Null, _)) => Vec::new(),
            Some((_, node)) => {
                let diagnostic = Diagnostic::error(format!(
                    "expected a map from ids to components, found {}",
                    node.describe()
                ));
                self.diagnostics
                    .push(diagnostic.at_value(node.origin.as_ref()).path(&[name]));
                Vec::new()
            }
        }
    }

    fn used(&mut self, section: &str, id: &str, node: &Node, count: usize) {
        // One that this binary lacks is an error anyway.
        let is_known = self.registry.iter().any(|it| it.type_name == type_of(id));
        if count == 0 && is_known {
            let but = match section {
                "extensions" => "`service.extensions` does not name it",
                _ => "no pipeline uses it",
            };
            let unused = Diagnostic::warning(format!("`{id}` is defined here, but {but}"));
            self.diagnostics
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
    ) -> Option<(&'static Registration, &'static Factory)> {
        let (name, rest) = id.split_once('/').unwrap_or((id, "-"));
        let known: Vec<_> = self
            .registry
            .iter()
            .filter(|it| it.factory.kind() == kind)
            .copied()
            .collect();
        let diagnostic = if !is_type(name)
            || rest.is_empty()
            || rest.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            Diagnostic::error(format!("`{id}` is no id")).help("an id is `type` or `type/name`")
        } else if let Some(registration) = known.iter().find(|it| it.type_name == name) {
            return Some((registration, &registration.factory));
        } else {
            let types: Vec<_> = known.iter().map(|it| it.type_name).collect();
            let has = match &types[..] {
                [] => "none".into(),
                types => format!("`{}`", types.join("`, `")),
            };
            Diagnostic::error(format!(
                "this binary has no {kind} of type `{name}`; it has {has}"
            ))
            .help(hint(kind, name, &types))
        };
        self.diagnostics
            .push(diagnostic.at_key(node.origin.as_ref()).path(&[section, id]));
        None
    }

    fn component<T>(
        &mut self,
        section: &str,
        id: &str,
        node: &Node,
        registration: &'static Registration,
        decode: pipeline::Decode<T>,
    ) -> Option<ConfiguredComponent<T>> {
        let mut decoded = decode(node);
        let around: &[&str] = match section {
            "receivers" => &[OPTIONAL_KEY],
            "exporters" => &DELIVERY_KEYS,
            _ => &[],
        };
        if let Err(problems) = &mut decoded {
            for problem in problems
                .iter_mut()
                .filter(|problem| problem.path.len() == 1)
            {
                if let Expected::Key(_, allowed) = &mut problem.expected {
                    allowed.extend(around.iter().copied().map(String::from));
                }
            }
        }
        let before = self.diagnostics.len();
        let build = self.record(decoded, &[section, id]);
        for diagnostic in &mut self.diagnostics[before..] {
            let found = self.node.at(&diagnostic.path);
            if let Some(help) = misplaced(registration, &diagnostic.path[2..], found) {
                diagnostic.help = Some(help);
            }
        }
        let build = build?;
        Some(ConfiguredComponent {
            registration,
            build,
            node: node.clone(),
            path: [section, id].map(String::from).into(),
        })
    }
}

/// The Collector's rule for types.
fn is_type(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Twice;

    impl pipeline::Component for Twice {
        const TYPE: &'static str = "twice";
        type Config = bool;

        fn build(_: bool, _: &pipeline::Context) -> pipeline::Result<Twice> {
            Ok(Twice)
        }
    }

    impl pipeline::PerSeries for Twice {
        fn rewrite(&self, _: &pipeline::Head, _: &mut pipeline::Series) -> pipeline::Verdict {
            pipeline::Verdict::Keep
        }
    }

    #[test]
    fn a_type_that_two_crates_register_names_both() {
        static ONE: Registration = Registration::per_series::<Twice>("crate-a", "1.0.0", "a.rs");
        static TWO: Registration = Registration::per_series::<Twice>("crate-b", "2.0.0", "b.rs");
        let messages: Vec<_> = registered_twice(&[&ONE, &TWO])
            .map(|it| it.message)
            .collect();
        let expected = "the processor type `twice` is registered twice: by crate-a 1.0.0 and by crate-b 2.0.0; link only one of them";
        assert_eq!(messages, [expected]);
        assert_eq!(registered_twice(&[&ONE]).count(), 0);
    }
}
