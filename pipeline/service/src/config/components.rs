//! The components of each section, decoded.

use std::collections::BTreeMap;

use pipeline::config::{DELIVERY_KEYS, Expected, Node, OPTIONAL_KEY};
use pipeline::{Exporter, Extension, Factory, Processor, Receiver, Registration};

use super::ConfiguredComponent;
use super::check::Check;
use super::diagnostic::Diagnostic;
use super::hint::misplaced;
use super::service::{DeliveryConfig, PipelineConfig, Service};
use super::types::type_of;

/// Who uses a component; `None`: what a service with a mistake names is not known.
pub(super) struct Uses<'a>(pub(super) Option<&'a Service>);

impl Uses<'_> {
    /// How many pipelines use it, as far as is known.
    fn in_pipelines(&self, id: &str, of: fn(&PipelineConfig) -> &Vec<String>) -> usize {
        let Some(service) = self.0 else { return 1 };
        let pipelines = service.pipelines.values();
        pipelines
            .filter(|pipeline| of(pipeline).iter().any(|it| it == id))
            .count()
    }

    /// How often it is named as an extension, as far as is known.
    fn as_extension(&self, id: &str) -> usize {
        self.0
            .map_or(1, |it| it.extensions.iter().filter(|it| **it == id).count())
    }
}

impl Check<'_> {
    /// Each with whether it is optional.
    pub(super) fn decode_receivers(
        &mut self,
        uses: &Uses<'_>,
    ) -> BTreeMap<String, (ConfiguredComponent<Box<dyn Receiver>>, bool)> {
        let mut receivers = BTreeMap::new();
        for (id, mut node) in self.section("receivers") {
            let count = uses.in_pipelines(&id, |it| &it.receivers);
            self.used("receivers", &id, &node, count);
            if let Some((registration, Factory::Receiver(decode))) =
                self.find("receivers", "receiver", &id, &node)
            {
                let optional = self.is_optional(&id, &mut node);
                if let Some(component) =
                    self.component("receivers", &id, &node, registration, *decode)
                {
                    receivers.insert(id, (component, optional));
                }
            }
        }
        receivers
    }

    /// Each once for a pipeline.
    pub(super) fn decode_processors(
        &mut self,
        uses: &Uses<'_>,
    ) -> BTreeMap<String, Vec<ConfiguredComponent<Box<dyn Processor>>>> {
        let mut processors = BTreeMap::new();
        for (id, node) in self.section("processors") {
            let count = uses.in_pipelines(&id, |it| &it.processors);
            self.used("processors", &id, &node, count);
            if let Some((registration, Factory::Processor(decode))) =
                self.find("processors", "processor", &id, &node)
            {
                // One instance a pipeline; decoded anyway where it is not used, for its mistakes.
                let instances = (0..count.max(1))
                    .map_while(|_| self.component("processors", &id, &node, registration, *decode));
                processors.insert(id.clone(), instances.collect());
            }
        }
        processors
    }

    /// Each with what stands around it.
    pub(super) fn decode_exporters(
        &mut self,
        uses: &Uses<'_>,
    ) -> BTreeMap<String, (ConfiguredComponent<Box<dyn Exporter>>, DeliveryConfig)> {
        let mut exporters = BTreeMap::new();
        for (id, mut node) in self.section("exporters") {
            let count = uses.in_pipelines(&id, |it| &it.exporters);
            self.used("exporters", &id, &node, count);
            if let Some((registration, Factory::Exporter(decode, delivery))) =
                self.find("exporters", "exporter", &id, &node)
            {
                let delivery = self.delivery_config(&id, &mut node, delivery());
                if let Some(component) =
                    self.component("exporters", &id, &node, registration, *decode)
                {
                    exporters.insert(id, (component, delivery));
                }
            }
        }
        exporters
    }

    pub(super) fn decode_extensions(
        &mut self,
        uses: &Uses<'_>,
    ) -> BTreeMap<String, ConfiguredComponent<Box<dyn Extension>>> {
        let mut extensions = BTreeMap::new();
        for (id, node) in self.section("extensions") {
            self.used("extensions", &id, &node, uses.as_extension(&id));
            if let Some((registration, Factory::Extension(decode))) =
                self.find("extensions", "extension", &id, &node)
                && let Some(component) =
                    self.component("extensions", &id, &node, registration, *decode)
            {
                extensions.insert(id, component);
            }
        }
        extensions
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
