//! What a reader of own telemetry is made of: the settings that its keys mean for the receiver `internal` and the exporter.

use pipeline::config::{Duration, Node, NodeValue};

use super::own_metrics::{
    MetricReader, MetricsLevel, PeriodicExporter, PeriodicReader, PrometheusReader, PullExporter,
};

/// How old at the most the values are that are scraped.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// What a reader is made of.
pub(super) struct Parts {
    /// Between sweeps.
    interval: Duration,
    /// Before the first one.
    delay: Duration,
    pub(super) exporter: &'static str,
    /// The exporter's own map.
    pub(super) settings: Node,
    /// The time-out of an export, where it is not the exporter's default.
    pub(super) timeout: Option<Duration>,
    /// The reader's exporter as it is written, and where.
    pub(super) written: Node,
    pub(super) path: Vec<String>,
}

impl Parts {
    /// Of the reader that stands there.
    pub(super) fn new(reader: &MetricReader, node: &Node, mut path: Vec<String>) -> Parts {
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
                    interval: PULL_INTERVAL,
                    delay: Duration::default(),
                    exporter,
                    settings: prometheus_settings(prometheus, &written),
                    timeout: None,
                    written,
                    path,
                }
            }
            MetricReader::Periodic(PeriodicReader {
                interval,
                exporter: to,
            }) => {
                let PeriodicExporter::Otlp(otlp) = to;
                Parts {
                    interval: interval.0,
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
}

pub(super) fn receiver_settings(parts: &Parts, level: MetricsLevel) -> Node {
    let level = match level {
        MetricsLevel::None | MetricsLevel::Basic => "basic",
        MetricsLevel::Normal => "normal",
        MetricsLevel::Detailed => "detailed",
    };
    let of = |value: String| Node {
        tree: NodeValue::String(value),
        ..Node::default()
    };
    let settings = [
        ("collection_interval", of(parts.interval.to_string())),
        ("initial_delay", of(parts.delay.to_string())),
        ("level", of(level.into())),
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
fn moved(written: &Node, (theirs, ours): (&str, &'static str)) -> Option<(&'static str, Node)> {
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
