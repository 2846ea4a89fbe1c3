//! What is meant by a type that this binary does not have.

use pipeline::Registration;
use pipeline::config::schema::properties;
use pipeline::config::{Node, NodeValue};

use super::diagnostic::nearest;

/// Types that users of the Collector look for, and where it is done here.
const ALIASES: [(&str, &str, &str); 15] = [
    ("extension", "healthcheckv2", "health_check"),
    ("extension", "health_check_v2", "health_check"),
    ("exporter", "debug", "stdout"),
    ("exporter", "logging", "stdout"),
    ("exporter", "file", "stdout` with `format: json"),
    ("exporter", "otlp_grpc", "otlp"),
    ("exporter", "otlpgrpc", "otlp"),
    ("exporter", "googlecloud", "gcp"),
    ("exporter", "stackdriver", "gcp"),
    ("processor", "attributes", "labels"),
    ("processor", "filter", "labels"),
    ("processor", "transform", "labels"),
    ("processor", "metricstransform", "labels"),
    ("processor", "resource", "service.resource"),
    ("processor", "resourcedetection", "service.resource"),
];

/// Types that are something else than what is here.
const OTHERS: [(&str, &str, &str); 4] = [
    ("exporter", "otlphttp", OTLP_HTTP),
    ("exporter", "otlp_http", OTLP_HTTP),
    (
        "processor",
        "memory_limiter",
        "no processor is needed for that: over the limit of `service.memory` the sending queues let go first",
    ),
    (
        "exporter",
        "prometheusremotewrite",
        "a Collector has it, to which `otlp` sends",
    ),
];

const OTLP_HTTP: &str =
    "OTLP over HTTP is another protocol; `otlp` speaks it over gRPC, to a Collector's port 4317";

/// What helps who has named a type of this kind that is none of `types`.
pub(super) fn hint(kind: &str, name: &str, types: &[&str]) -> String {
    let near = nearest(name, types);
    let is_alias = |(of, theirs, _): &&(&str, &str, &str)| *of == kind && *theirs == name;
    if let Some((_, _, why)) = OTHERS.iter().find(is_alias) {
        return (*why).into();
    }
    match ALIASES.iter().find(is_alias) {
        Some((_, _, "service.resource")) => "`service.resource` does that here".into(),
        // Behind a type's name may stand one of its options.
        Some((_, _, ours)) if types.iter().any(|it| ours.split('`').next() == Some(it)) => {
            format!("it is called `{ours}` here")
        }
        Some((_, _, ours)) => format!("it is called `{ours}` here, which this binary has not linked"),
        None if near.starts_with("did you mean") => near,
        None => "`components` lists what this binary has; a component of one's own is a crate that a distribution links".into(),
    }
}

/// Where a key belongs that stands a map too high, and how a map is written that is no truth value; `path` is below the
/// component's own map, where something is wrong.
pub(super) fn misplaced(
    of: &Registration,
    path: &[String],
    found: Option<&Node>,
) -> Option<String> {
    let [key] = path else { return None };
    let schema = (of.schema)().to_value();
    let options = properties(&schema, &schema)?;
    let below = |option: &str| properties(&schema, options.get(option)?);
    if options.contains_key(key) {
        let is_off = matches!(found?.tree, NodeValue::Bool(false));
        let insecure = is_off && below(key)?.contains_key("insecure");
        return insecure.then(|| format!("`{key}: {{insecure: true}}` turns it off"));
    }
    let mut maps = options.keys();
    let map = maps.find(|it| below(it).is_some_and(|below| below.contains_key(key)))?;
    Some(format!("it belongs into `{map}`"))
}
