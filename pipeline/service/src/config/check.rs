//! Every mistake in what was loaded, reported in one run.

use pipeline::Registration;
use pipeline::config::{Decoded, Node, NodeValue, Origin, Problem, attempt};
use serde::de::DeserializeOwned;

use super::Config;
use super::components::Uses;
use super::diagnostic::{Diagnostic, SourceText, nearest};
use super::load::Loaded;
use super::print::hidden_values;
use super::service::Service;
use super::types::registered_twice;

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
    let uses = Uses(service.as_ref().filter(|_| is_whole));
    let receivers = check.decode_receivers(&uses);
    let processors = check.decode_processors(&uses);
    let exporters = check.decode_exporters(&uses);
    let extensions = check.decode_extensions(&uses);
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

    pub(super) fn record<T>(
        &mut self,
        decoded: Result<Decoded<T>, Vec<Problem>>,
        base: &[&str],
    ) -> Option<T> {
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
}
