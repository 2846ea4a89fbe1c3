//! The readers of the program's own telemetry: each is a pipeline of its own, of the receiver `internal` and an exporter,
//! with the settings that the reader's keys mean there.

use std::collections::BTreeMap;

use pipeline::config::{Duration, Node, NodeValue, Origin, Problem};
use pipeline::{Decode, Factory, Registration};

use super::check::Check;
use super::diagnostic::Diagnostic;
use super::own_metrics::{
    MetricReader, MetricsLevel, PeriodicExporter, PeriodicReader, PrometheusReader, PullExporter,
};
use super::service::{
    DeliveryConfig, PipelineConfig, RetryOnFailure, SendingQueue, Service,
};
use super::{Config, ConfiguredComponent};

/// How old at the most the values are that are scraped.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// How many messages wait while the far side is away.
const PERIODIC_QUEUE: usize = 100;

/// What a reader is made of.
struct Parts {
    /// Between sweeps, and where that is written.
    interval: (Duration, Option<Origin>),
    /// Before the first one.
    delay: Duration,
    exporter: &'static str,
    /// The exporter's own map.
    settings: Node,
    /// The time-out of an export, where it is not the exporter's default.
    timeout: Option<Duration>,
    /// The reader's exporter as it is written, and where.
    written: Node,
    path: Vec<String>,
}

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
            let parts = parts(reader, node, path.clone());
            self.reader(&path.join("."), metrics.level, parts)
        });
        configs.collect()
    }

    fn no_interval(&mut self, node: &Node, path: &[String]) {
        let below = ["periodic", "interval"].map(String::from);
        let at = node.at(&below).and_then(|it| it.origin.as_ref());
        let zero = Diagnostic::error("has to be more than 0s").at_value(at);
        self.diagnostics.push(zero.path(&[path, &below].concat()));
    }

    fn reader(&mut self, id: &str, level: MetricsLevel, parts: Parts) -> Option<Config> {
        let settings = receiver_settings(&parts, level);
        let receiver = self.registered("receiver", "internal", &parts)?;
        let exporter = self.registered("exporter", parts.exporter, &parts)?;
        let (Factory::Receiver(receives), Factory::Exporter(exports, delivery)) =
            (&receiver.factory, &exporter.factory)
        else {
            return None; // they are of these kinds
        };
        let receives = self.built_in(receiver, *receives, settings, &parts);
        let exports = self.built_in(exporter, *exports, parts.settings.clone(), &parts);
        let mut delivery = delivery();
        delivery.timeout = parts.timeout.map_or(delivery.timeout, |it| it.0);
        let retry = RetryOnFailure::of(&delivery);
        let queue_size = PERIODIC_QUEUE.try_into().unwrap_or(std::num::NonZeroUsize::MIN);
        let queue = SendingQueue {
            queue_size,
            ..SendingQueue::default()
        };
        let delivery = DeliveryConfig {
            delivery,
            queue,
            retry,
        };
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
        let found = all.copied().find(|it| it.factory.kind() == kind && it.type_name == name);
        if found.is_none() {
            let text = format!(
                "this binary has no {kind} of type `{name}`, which such a reader is made of"
            );
            let missing = Diagnostic::error(text).at_key(parts.written.origin.as_ref());
            let help = format!("link its crate: in this one's own build the cargo feature `{name}`");
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

/// What a reader is made of, and where that is written.
fn parts(reader: &MetricReader, node: &Node, mut path: Vec<String>) -> Parts {
    let [kind, exporter] = match reader {
        MetricReader::Pull(_) => ["pull", "prometheus"],
        MetricReader::Periodic(_) => ["periodic", "otlp"],
    };
    let below = [kind, "exporter", exporter].map(String::from);
    let written = node.at(&below).cloned().unwrap_or_default();
    path.extend(below);
    match reader {
        MetricReader::Pull(pull) => {
            let PullExporter::Prometheus(prometheus) = &pull.exporter;
            Parts {
                interval: (PULL_INTERVAL, None),
                delay: Duration::default(),
                exporter,
                settings: prometheus_settings(prometheus, &written),
                timeout: None,
                written,
                path,
            }
        }
        MetricReader::Periodic(PeriodicReader { interval, exporter: to }) => {
            let PeriodicExporter::Otlp(otlp) = to;
            let at = node.get(kind).and_then(|it| it.get("interval"));
            Parts {
                interval: (interval.0, at.and_then(|it| it.origin.clone())),
                delay: interval.0,
                exporter,
                settings: otlp_settings(&written),
                timeout: Some(otlp.timeout.0),
                written,
                path,
            }
        }
    }
}

fn receiver_settings(parts: &Parts, level: MetricsLevel) -> Node {
    let level = match level {
        MetricsLevel::None | MetricsLevel::Basic => "basic",
        MetricsLevel::Normal => "normal",
        MetricsLevel::Detailed => "detailed",
    };
    let (interval, origin) = &parts.interval;
    let of = |value: String, origin: Option<&Origin>| Node {
        tree: NodeValue::String(value),
        origin: origin.cloned(),
        ..Node::default()
    };
    let at = origin.as_ref();
    let settings = [
        ("collection_interval", of(interval.to_string(), at)),
        ("initial_delay", of(parts.delay.to_string(), at)),
        ("level", of(level.into(), None)),
    ];
    map(settings, &parts.settings)
}

fn prometheus_settings(reader: &PrometheusReader, written: &Node) -> Node {
    let host = reader.host.trim_matches(['[', ']']);
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.into()
    };
    let at = written.get("host").or_else(|| written.get("port"));
    let endpoint = Node {
        tree: NodeValue::String(format!("{host}:{}", reader.port)),
        ..at.unwrap_or(written).clone()
    };
    let kept = [
        ("without_units", "without_units"),
        ("without_type_suffix", "without_type_suffix"),
        ("without_scope_info", "without_scope_info"),
        ("with_resource_constant_labels", "resource_constant_labels"),
    ];
    let kept = kept.into_iter().filter_map(|keys| moved(written, keys));
    map(kept.chain([("endpoint", endpoint)]), written)
}

fn otlp_settings(written: &Node) -> Node {
    let tls = [
        ("insecure", "insecure"),
        ("certificate", "ca_file"),
        ("client_certificate", "cert_file"),
        ("client_key", "key_file"),
    ];
    let tls = tls.into_iter().filter_map(|keys| moved(written, keys));
    let tls = map(tls, written);
    let kept = [("endpoint", "endpoint"), ("compression", "compression")];
    let kept = kept.into_iter().filter_map(|keys| moved(written, keys));
    let headers = written.get("headers").map(headers);
    let headers = headers.map(|it| ("headers", it));
    map(kept.chain(headers).chain([("tls", tls)]), written)
}

/// A list of `{name, value}` as a map.
fn headers(written: &Node) -> Node {
    let NodeValue::List(list) = &written.tree else {
        return written.clone();
    };
    let pairs = list.iter().filter_map(|(_, header)| {
        let (NodeValue::String(name) | NodeValue::Untyped(name)) = &header.get("name")?.tree else {
            return None;
        };
        Some((name.clone(), header.get("value")?.clone()))
    });
    Node {
        tree: NodeValue::Map(pairs.collect()),
        ..written.clone()
    }
}

/// What stands under their key, for ours.
fn moved(
    written: &Node,
    (theirs, ours): (&str, &'static str),
) -> Option<(&'static str, Node)> {
    Some((ours, written.get(theirs)?.clone()))
}

/// A map of these, in the place of another one.
fn map(settings: impl IntoIterator<Item = (&'static str, Node)>, at: &Node) -> Node {
    let settings = settings.into_iter();
    Node {
        tree: NodeValue::Map(settings.map(|(key, node)| (key.into(), node)).collect()),
        origin: at.origin.clone(),
        ..Node::default()
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
