//! Names, labels and numbers as Prometheus' text has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::data::{Attributes, Kind, Series};
use crate::telemetry::without_controls;

/// The family that a series is a line of: its kind and its name. Histograms have none.
pub(super) fn family(series: &Series) -> Option<(&'static str, String)> {
    let (kind, suffix) = match series.kind {
        Kind::Histogram { .. } | Kind::ExponentialHistogram { .. } => return None,
        Kind::Sum {
            monotonic: true, ..
        } => ("counter", "_total"),
        _ => ("gauge", ""),
    };
    let mut name = sanitize(&series.name, true);
    if !name.ends_with(suffix) {
        name.push_str(suffix);
    }
    Some((kind, name))
}

/// `{a="b",c="d"}`, or nothing. The values of keys that become one are joined by `;`, in the order of the keys
/// ([OpenTelemetry: metric attributes](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-attributes)).
pub(super) fn labels(attributes: &Attributes) -> String {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in attributes.iter() {
        let joined = labels.entry(label_name(key));
        let joined = joined.and_modify(|values| values.push(';')).or_default();
        let _ = write!(joined, "{value}");
    }
    let mut out = String::new();
    for (key, value) in labels {
        let value = escape(&value).replace('"', "\\\"");
        let before = if out.is_empty() { '{' } else { ',' };
        let _ = write!(out, "{before}{key}=\"{value}\"");
    }
    if !out.is_empty() {
        out.push('}');
    }
    out
}

/// A label's key. One that means something of its own to Prometheus gets `exported_` in front, as it does itself where a
/// label clashes with one of its own
/// ([Prometheus: labels](https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels)).
fn label_name(key: &str) -> String {
    let name = sanitize(key, false);
    if name.starts_with("__") || name == "le" || name == "quantile" {
        return format!("exported_{name}");
    }
    name
}

/// A real number; what is none is spelt as the format has it.
pub(super) fn double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    format!("{number:?}")
}

/// As the format writes a backslash and a line break; it knows nothing for other characters that are not seen.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    without_controls(&escaped).into_owned()
}

/// Odd characters become `_`; a digit may not be first. Colons may stand in names, not in labels.
fn sanitize(name: &str, colon: bool) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    let mut out: String = name
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(pairs: &[(&str, &str)]) -> String {
        labels(&pairs.iter().copied().collect())
    }

    #[test]
    fn no_label_is_lost_to_another_one_or_to_a_meaning_that_prometheus_gives_it() {
        for (pairs, expected) in [
            (&[("a.b", "/eth0"), ("a-b", "w")][..], "{a_b=\"w;/eth0\"}"),
            (&[("a.b", ""), ("a-b", "w"), ("a_b", "z")], "{a_b=\"w;;z\"}"),
            (&[("a-b", ""), ("a.b", "x")], "{a_b=\";x\"}"),
            (&[("0", "x"), ("b", "y")], "{_0=\"x\",b=\"y\"}"),
            (
                &[
                    ("__name__", "n"),
                    ("le", "1"),
                    ("quantile", "q"),
                    ("les", "x"),
                ],
                "{exported___name__=\"n\",exported_le=\"1\",exported_quantile=\"q\",les=\"x\"}",
            ),
            (
                &[("le", "1"), ("exported_le", "2")],
                "{exported_le=\"2;1\"}",
            ),
            (&[("--x", "1")], "{exported___x=\"1\"}"),
            (&[], ""),
        ] {
            assert_eq!(labels_of(pairs), expected);
        }
    }

    #[test]
    fn what_is_no_number_is_spelt_as_the_format_has_it() {
        let numbers = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, 5.5];
        let expected = ["+Inf", "-Inf", "NaN", "1e300", "5.5"];
        assert_eq!(numbers.map(double), expected);
    }
}
