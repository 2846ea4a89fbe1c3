//! The readers of the program's own telemetry: each is a pipeline of its own, of the receiver `internal` and an exporter.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use pipeline::config::{Node, NodeValue, Problem};
use pipeline::{Decode, Delivery, Factory, Registration};

use super::check::Check;
use super::diagnostic::Diagnostic;
use super::own_metrics::{MetricReader, MetricsLevel};
use super::reader_parts::{Parts, receiver_settings};
use super::retry::RetryOnFailure;
use super::sending_queue::{Overflow, SendingQueue};
use super::service::{DeliveryConfig, PipelineConfig, Service};
use super::{Config, ConfiguredComponent};

/// How many messages wait while the far side is away.
const QUEUE_SIZE: NonZeroUsize = NonZeroUsize::new(100).expect("100 is not 0");

impl Check<'_> {
    /// A configuration for each reader.
    pub(super) fn readers(&mut self, service: &Service) -> Vec<Config> {
        let metrics = &service.telemetry.metrics;
        let path = ["service", "telemetry", "metrics", "readers"].map(String::from);
        let Some(NodeValue::List(nodes)) = self.node.at(&path).map(|it| &it.tree) else {
            return Vec::new();
        };
        if metrics.level == MetricsLevel::None {
            return Vec::new();
        }
        let readers = metrics.readers.iter().zip(nodes);
        let configs = readers.filter_map(|(reader, (index, node))| {
            let path = [&path[..], &[index.to_string()]].concat();
            if let MetricReader::Periodic(periodic) = reader
                && periodic.interval.0.0.is_zero()
            {
                self.no_interval(node, &path);
                return None;
            }
            let parts = Parts::new(reader, node, path.clone());
            self.reader(&path.join("."), metrics.level, &parts)
        });
        configs.collect()
    }

    fn no_interval(&mut self, node: &Node, path: &[String]) {
        let below = ["periodic", "interval"].map(String::from);
        let at = node.at(&below).and_then(|it| it.origin.as_ref());
        let zero = Diagnostic::error("has to be more than 0s").at_value(at);
        self.diagnostics.push(zero.path(&[path, &below].concat()));
    }

    fn reader(&mut self, id: &str, level: MetricsLevel, parts: &Parts) -> Option<Config> {
        let settings = receiver_settings(parts, level);
        let receiver = self.registered("receiver", "internal", parts)?;
        let exporter = self.registered("exporter", parts.exporter, parts)?;
        let (Factory::Receiver(receives), Factory::Exporter(exports, delivery)) =
            (&receiver.factory, &exporter.factory)
        else {
            return None; // they are of these kinds
        };
        let receives = self.built_in(receiver, *receives, settings, parts);
        let exports = self.built_in(exporter, *exports, parts.settings.clone(), parts);
        let delivery = delivery_of(parts, delivery());
        let pipeline = PipelineConfig {
            receivers: vec![id.into()],
            processors: Vec::new(),
            exporters: vec![id.into()],
        };
        Some(Config {
            service: Service::of([(id.into(), pipeline)].into()),
            receivers: [(id.into(), (receives?, true))].into(),
            processors: BTreeMap::new(),
            exporters: [(id.into(), (exports?, delivery))].into(),
            extensions: BTreeMap::new(),
            readers: Vec::new(),
            secrets: Vec::new(),
            typed: Vec::new(),
        })
    }

    fn registered(
        &mut self,
        kind: &str,
        name: &str,
        parts: &Parts,
    ) -> Option<&'static Registration> {
        let all = self.registry.iter();
        let found = all
            .copied()
            .find(|it| it.factory.kind() == kind && it.type_name == name);
        if found.is_none() {
            let text = format!(
                "this binary has no {kind} of type `{name}`, which such a reader is made of"
            );
            let missing = Diagnostic::error(text).at_key(parts.written.origin.as_ref());
            let help =
                format!("link its crate: in this one's own build the cargo feature `{name}`");
            self.diagnostics.push(missing.path(&parts.path).help(help));
        }
        found
    }

    fn built_in<T>(
        &mut self,
        registration: &'static Registration,
        decode: Decode<T>,
        node: Node,
        parts: &Parts,
    ) -> Option<ConfiguredComponent<T>> {
        match decode(&node) {
            Ok(decoded) => Some(ConfiguredComponent {
                registration,
                build: decoded.value,
                node,
                path: parts.path.clone(),
            }),
            Err(mut problems) => {
                let base: Vec<&str> = parts.path.iter().map(String::as_str).collect();
                // Its place says which key is meant, where that has another name here.
                let is_renamed = |it: &&mut Problem| parts.written.at(&it.path).is_none();
                let renamed = problems.iter_mut().filter(is_renamed);
                renamed.for_each(|it| it.path.clear());
                self.report(&problems, &base);
                None
            }
        }
    }
}

/// What stands around the exporter.
fn delivery_of(parts: &Parts, mut delivery: Delivery) -> DeliveryConfig {
    delivery.timeout = parts.timeout.map_or(delivery.timeout, |it| it.0);
    DeliveryConfig {
        overflow: Overflow::Coalesce,
        queue: SendingQueue {
            queue_size: Some(QUEUE_SIZE),
            ..SendingQueue::default()
        },
        retry: RetryOnFailure::of(&delivery),
        delivery,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Loaded;
    use super::super::{check, render};

    #[test]
    fn what_a_reader_is_made_of_has_to_be_linked() {
        let mut loaded = Loaded::empty();
        let text = "service:\n  telemetry:\n    metrics:\n      readers:\n        - pull: {exporter: {prometheus: {}}}\n  pipelines: {}\n";
        loaded.add("a.yaml", text.into());
        assert!(check(&mut loaded).is_some());
        let said = render(&loaded.diagnostics, &loaded.texts);
        // This crate has no component.
        let expected = "error: this binary has no receiver of type `internal`, which such a reader is made of\n --> a.yaml:5:29";
        assert!(said.contains(expected), "{said}");
    }
}
