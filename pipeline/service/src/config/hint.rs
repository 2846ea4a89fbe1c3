//! What is meant by a type that this binary does not have.

use super::diagnostic::nearest;

/// Types that users of the Collector look for, and where it is done here.
const ALIASES: [(&str, &str, &str); 16] = [
    ("exporter", "debug", "stdout"),
    ("exporter", "logging", "stdout"),
    ("exporter", "file", "stdout` with `format: json"),
    ("exporter", "prometheus", "stdout` with `format: prometheus"),
    ("exporter", "otlp_grpc", "otlp"),
    ("exporter", "otlpgrpc", "otlp"),
    ("exporter", "otlphttp", "otlp"),
    ("exporter", "otlp_http", "otlp"),
    ("exporter", "googlecloud", "gcp"),
    ("exporter", "stackdriver", "gcp"),
    ("processor", "attributes", "labels"),
    ("processor", "filter", "labels"),
    ("processor", "transform", "labels"),
    ("processor", "metricstransform", "labels"),
    ("processor", "resource", "service.resource"),
    ("processor", "resourcedetection", "service.resource"),
];

/// What helps who has named a type of this kind that is none of `types`.
pub(super) fn hint(kind: &str, name: &str, types: &[&str]) -> String {
    let near = nearest(name, types);
    let is_alias = |(of, theirs, _): &&(&str, &str, &str)| *of == kind && *theirs == name;
    match ALIASES.iter().find(is_alias) {
        Some((_, _, "service.resource")) => "`service.resource` does that here".into(),
        // Behind a type's name may stand one of its options.
        Some((_, _, ours)) if types.iter().any(|it| ours.split('`').next() == Some(it)) => {
            format!("it is called `{ours}` here")
        }
        Some((_, _, ours)) => format!("it is called `{ours}` here, which this binary has not linked"),
        None if near.starts_with("did you mean") => near,
        None => "a crate that has it must be linked: `use its_crate as _;` in the distribution's main.rs".into(),
    }
}
