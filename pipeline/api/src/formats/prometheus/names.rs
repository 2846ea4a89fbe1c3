//! Names, labels and numbers as Prometheus' text has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::escaping::{Escaping, NameOf, escape_quoted};
use super::settings::Settings;
use super::units;
use crate::data::{Kind, Metric, Temporality};
use crate::telemetry::DropReason;

/// Prometheus adds up nothing.
const DELTA: DropReason = DropReason::loss("delta");
/// Its text has no place for one.
const EXPONENTIAL_HISTOGRAM: DropReason = DropReason::loss("exponential_histogram");

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Unknown,
}

/// A family: all series of one metric.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: FamilyKind,
    /// In words.
    pub(super) unit: String,
}

/// The parts of a name that Prometheus always knew.
pub(super) fn tokens(name: &str) -> Vec<&str> {
    let is_odd = |c: char| !c.is_ascii_alphanumeric() && c != ':';
    name.split(is_odd).filter(|it| !it.is_empty()).collect()
}

/// The family of a metric, before any escaping; or why it cannot have one.
pub(super) fn family(metric: &Metric, settings: &Settings) -> Result<Family, DropReason> {
    let kind = match kind(&metric.kind)? {
        FamilyKind::Gauge if metric.kind_is_assumed => FamilyKind::Unknown,
        kind => kind,
    };
    let strategy = settings.translation_strategy;
    let unit = if settings.without_units {
        String::new()
    } else {
        units::words(&metric.unit)
    };
    let total = kind == FamilyKind::Counter && !settings.without_type_suffix;
    let name = match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => normalized(metric, total, &unit, &settings.namespace),
        (true, false) => NameOf::Metric.sanitize(&in_namespace(&metric.name, settings)),
        (false, true) => with_suffixes(in_namespace(&metric.name, settings), metric, total, &unit),
        (false, false) => in_namespace(&metric.name, settings),
    };
    let name = if name.is_empty() { "_".into() } else { name };
    Ok(Family { name, kind, unit })
}

fn kind(kind: &Kind) -> Result<FamilyKind, DropReason> {
    if kind.temporality() == Some(Temporality::Delta) {
        return Err(DELTA);
    }
    match kind {
        Kind::ExponentialHistogram { .. } => Err(EXPONENTIAL_HISTOGRAM),
        Kind::Histogram { .. } => Ok(FamilyKind::Histogram),
        Kind::Sum {
            monotonic: true, ..
        } => Ok(FamilyKind::Counter),
        Kind::Sum { .. } | Kind::Gauge => Ok(FamilyKind::Gauge),
        Kind::Unknown => Ok(FamilyKind::Unknown),
    }
}

fn in_namespace(name: &str, settings: &Settings) -> String {
    match &*settings.namespace {
        "" => name.into(),
        namespace => format!("{namespace}_{name}"),
    }
}

/// Its parts joined by one `_` each, the unit if the name does not say it, and `total` at the end of a counter. A unit of `1`
/// adds no `_ratio`: that is what states and truth values have, and a number of things.
fn normalized(metric: &Metric, total: bool, unit: &str, namespace: &str) -> String {
    let mut parts = tokens(&metric.name);
    if !unit.is_empty() && !units::is_said(&parts, &metric.unit, unit) {
        parts.push(unit);
    }
    if total {
        parts.retain(|it| *it != "total");
        parts.push("total");
    }
    let mut namespace = tokens(namespace);
    namespace.append(&mut parts);
    let name = namespace.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("_{name}");
    }
    name
}

fn with_suffixes(name: String, metric: &Metric, total: bool, unit: &str) -> String {
    let (mut name, end) = if total {
        let bare = name.strip_suffix("_total").map(String::from);
        (bare.unwrap_or(name), "_total")
    } else {
        (name, "")
    };
    if !unit.is_empty() && !units::is_said(&tokens(&metric.name), &metric.unit, unit) {
        let _ = write!(name, "_{unit}");
    }
    name + end
}

/// `a="b",c="d"`, sorted by the names as the client gets them. The values of keys that become one are joined by `;`, in the
/// order of the keys
/// ([OpenTelemetry: metric attributes](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-attributes)).
pub(super) fn labels<'a>(
    pairs: impl Iterator<Item = (&'a str, String)>,
    settings: &Settings,
    escaping: Escaping,
) -> String {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in pairs {
        let joined = labels.entry(label_name(key, settings, escaping));
        let joined = joined.and_modify(|values| values.push(';')).or_default();
        joined.push_str(&value);
    }
    let mut out = String::new();
    for (key, value) in labels {
        let before = if out.is_empty() { "" } else { "," };
        let _ = write!(
            out,
            "{before}{}=\"{}\"",
            NameOf::Label.quoted_if_odd(&key),
            escape_quoted(&value)
        );
    }
    out
}

/// A label's key. One that means something of its own to Prometheus gets `exported_` in front, as it does itself where a
/// label clashes with one of its own
/// ([Prometheus: labels](https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels)).
fn label_name(key: &str, settings: &Settings, escaping: Escaping) -> String {
    let name = if settings.translation_strategy.escapes() {
        escaping.escape(&NameOf::Label.sanitize(key), NameOf::Label)
    } else {
        escaping.escape(key, NameOf::Label)
    };
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

#[cfg(test)]
mod tests {
    use super::super::TranslationStrategy;
    use super::*;

    fn labels_of(
        pairs: &[(&str, &str)],
        escaping: Escaping,
        strategy: TranslationStrategy,
    ) -> String {
        let settings = Settings {
            translation_strategy: strategy,
            ..Settings::default()
        };
        let mut pairs = pairs.to_vec();
        pairs.sort_unstable();
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key, value.to_owned()));
        labels(pairs, &settings, escaping)
    }

    #[test]
    fn no_label_is_lost_to_another_one_or_to_a_meaning_that_prometheus_gives_it() {
        for (pairs, expected) in [
            (&[("a.b", "/eth0"), ("a-b", "w")][..], "a_b=\"w;/eth0\""),
            (&[("a.b", ""), ("a-b", "w"), ("a_b", "z")], "a_b=\"w;;z\""),
            (&[("a-b", ""), ("a.b", "x")], "a_b=\";x\""),
            (&[("0", "x"), ("b", "y")], "_0=\"x\",b=\"y\""),
            (
                &[
                    ("__name__", "n"),
                    ("le", "1"),
                    ("quantile", "q"),
                    ("les", "x"),
                ],
                "exported___name__=\"n\",exported_le=\"1\",exported_quantile=\"q\",les=\"x\"",
            ),
            (&[("le", "1"), ("exported_le", "2")], "exported_le=\"2;1\""),
            (&[("--x", "1")], "exported___x=\"1\""),
            (&[], ""),
        ] {
            let labels = labels_of(pairs, Escaping::Underscores, TranslationStrategy::default());
            assert_eq!(labels, expected);
        }
    }

    #[test]
    fn what_is_no_number_is_spelt_as_the_format_has_it() {
        let numbers = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, 5.5];
        let expected = ["+Inf", "-Inf", "NaN", "1e300", "5.5"];
        assert_eq!(numbers.map(double), expected);
    }

    #[test]
    fn units_and_types_are_left_out_each_by_its_own_key() {
        let metric = Metric {
            name: "process/cpu".into(),
            unit: "s".into(),
            kind: Kind::COUNTER,
            ..Metric::default()
        };
        let name = |without_units, without_type_suffix, translation_strategy| {
            let settings = Settings {
                translation_strategy,
                without_units,
                without_type_suffix,
                ..Settings::default()
            };
            family(&metric, &settings).unwrap().name
        };
        let escaped = TranslationStrategy::default();
        assert_eq!(name(true, false, escaped), "process_cpu_total");
        assert_eq!(name(false, true, escaped), "process_cpu_seconds");
        assert_eq!(name(true, true, escaped), "process_cpu");
        let as_is = TranslationStrategy::NoUtf8EscapingWithSuffixes;
        assert_eq!(name(true, false, as_is), "process/cpu_total");
        assert_eq!(name(false, true, as_is), "process/cpu_seconds");
    }

    #[test]
    fn a_family_is_named_by_each_strategy() {
        use TranslationStrategy::*;
        let metric = |name: &str, unit: &str, kind| Metric {
            name: name.into(),
            unit: unit.into(),
            kind,
            ..Metric::default()
        };
        for (name, unit, kind, expected) in [
            (
                "net/rx",
                "By",
                Kind::COUNTER,
                [
                    "net_rx_bytes_total",
                    "net_rx",
                    "net/rx_bytes_total",
                    "net/rx",
                ],
            ),
            (
                "kvm/halt_wait_ns",
                "ns",
                Kind::COUNTER,
                [
                    "kvm_halt_wait_ns_total",
                    "kvm_halt_wait_ns",
                    "kvm/halt_wait_ns_total",
                    "kvm/halt_wait_ns",
                ],
            ),
            (
                "kvm/halt_wait_ns",
                "s",
                Kind::COUNTER,
                [
                    "kvm_halt_wait_ns_seconds_total",
                    "kvm_halt_wait_ns",
                    "kvm/halt_wait_ns_seconds_total",
                    "kvm/halt_wait_ns",
                ],
            ),
            (
                "net/carrier",
                "1",
                Kind::Gauge,
                ["net_carrier", "net_carrier", "net/carrier", "net/carrier"],
            ),
            (
                "net/total_drops",
                "{packet}",
                Kind::COUNTER,
                [
                    "net_drops_total",
                    "net_total_drops",
                    "net/total_drops_total",
                    "net/total_drops",
                ],
            ),
            ("a__b", "", Kind::Unknown, ["a_b", "a__b", "a__b", "a__b"]),
            ("0/x", "", Kind::Gauge, ["_0_x", "_0_x", "0/x", "0/x"]),
            ("@", "", Kind::Gauge, ["_", "_", "@", "@"]),
        ] {
            let strategies = [
                UnderscoreEscapingWithSuffixes,
                UnderscoreEscapingWithoutSuffixes,
                NoUtf8EscapingWithSuffixes,
                NoTranslation,
            ];
            let names = strategies.map(|translation_strategy| {
                let settings = Settings {
                    translation_strategy,
                    ..Settings::default()
                };
                family(&metric(name, unit, kind.clone()), &settings)
                    .unwrap()
                    .name
            });
            assert_eq!(names, expected, "{name}");
        }
    }
}
