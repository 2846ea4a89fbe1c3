//! Names, labels and numbers as Prometheus' text has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::settings::Settings;
use super::units;
use crate::data::{Kind, Metric, Temporality};
use crate::telemetry::{DropReason, without_controls};

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

/// How names with characters that Prometheus did not always know are told to a client, by the `escaping` that it asks for
/// ([Prometheus: escaping schemes](https://github.com/prometheus/proposals/blob/main/proposals/0028-utf8.md)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Each becomes `_`.
    #[default]
    Underscores,
    /// A dot becomes `_dot_`, all others `__`.
    Dots,
    /// Each becomes its code point, in names that begin with `U__`.
    Values,
    /// They stay, and the name is quoted.
    AllowUtf8,
}

impl Escaping {
    /// All of them, in the order of [`Escaping::index`].
    pub(super) const COUNT: usize = 4;

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// A name as a client gets it.
    pub(super) fn escape(self, name: &str, of: NameOf) -> String {
        let allowed = |(at, c): (usize, char)| of.allows(c, at);
        match self {
            Escaping::AllowUtf8 => without_controls(name).into_owned(),
            Escaping::Underscores | Escaping::Values if of.is_legacy(name) => name.into(),
            Escaping::Underscores if name.is_empty() => "_".into(),
            Escaping::Underscores => {
                let chars = name.char_indices();
                chars
                    .map(|it| if allowed(it) { it.1 } else { '_' })
                    .collect()
            }
            Escaping::Dots => dots(name, of),
            Escaping::Values => values(name, of),
        }
    }
}

fn dots(name: &str, of: NameOf) -> String {
    let mut out = String::new();
    for (at, c) in name.char_indices() {
        match c {
            '.' => out.push_str("_dot_"),
            c if c != '_' && of.allows(c, at) => out.push(c),
            _ => out.push_str("__"),
        }
    }
    out
}

fn values(name: &str, of: NameOf) -> String {
    let mut out = String::from("U__");
    for c in name.chars() {
        match c {
            '_' => out.push_str("__"),
            c if of.allows(c, 1) => out.push(c),
            c => {
                let _ = write!(out, "_{:x}_", u32::from(c));
            }
        }
    }
    out
}

/// Whose a name is: a colon may stand in a metric's, not in a label's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameOf {
    Metric,
    Label,
}

impl NameOf {
    /// Whether every Prometheus knows such a name, unquoted.
    pub(super) fn is_legacy(self, name: &str) -> bool {
        !name.is_empty() && name.char_indices().all(|(at, c)| self.allows(c, at))
    }

    fn allows(self, c: char, at: usize) -> bool {
        c.is_ascii_alphabetic()
            || c == '_'
            || (c == ':' && self == NameOf::Metric)
            || (at > 0 && c.is_ascii_digit())
    }

    /// A name as it stands where names may be quoted.
    pub(super) fn quoted_if_odd(self, name: &str) -> String {
        if self.is_legacy(name) {
            return name.into();
        }
        format!("\"{}\"", escape_quoted(name))
    }

    /// Odd characters become `_`; a digit may not be first.
    fn sanitize(self, name: &str) -> String {
        let chars = name.chars();
        let mut out: String = chars
            .map(|c| if self.allows(c, 1) { c } else { '_' })
            .collect();
        if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert(0, '_');
        }
        out
    }
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
    let unit = units::words(&metric.unit);
    let name = match (strategy.escapes(), strategy.adds_suffixes()) {
        (true, true) => normalized(metric, kind, &unit, &settings.namespace),
        (true, false) => NameOf::Metric.sanitize(&in_namespace(&metric.name, settings)),
        (false, true) => with_suffixes(in_namespace(&metric.name, settings), metric, kind, &unit),
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
fn normalized(metric: &Metric, kind: FamilyKind, unit: &str, namespace: &str) -> String {
    let mut parts = tokens(&metric.name);
    if !unit.is_empty() && !units::is_said(&parts, &metric.unit, unit) {
        parts.push(unit);
    }
    if kind == FamilyKind::Counter {
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

fn with_suffixes(name: String, metric: &Metric, kind: FamilyKind, unit: &str) -> String {
    let (mut name, end) = match kind {
        FamilyKind::Counter => (
            name.strip_suffix("_total")
                .map_or_else(|| name.clone(), String::from),
            "_total",
        ),
        _ => (name, ""),
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

/// As the format writes a backslash and a line break; it knows nothing for other characters that are not seen.
pub(super) fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    without_controls(&escaped).into_owned()
}

/// The same between quotes.
pub(super) fn escape_quoted(text: &str) -> String {
    escape(text).replace('"', "\\\"")
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
    fn names_are_escaped_as_the_client_asks() {
        for (name, expected) in [
            (
                "net/rx.b_c",
                [
                    "net_rx_b_c",
                    "net__rx_dot_b__c",
                    "U__net_2f_rx_2e_b__c",
                    "net/rx.b_c",
                ],
            ),
            ("rx_c", ["rx_c", "rx__c", "rx_c", "rx_c"]),
            ("0é", ["__", "____", "U__0_e9_", "0é"]),
            ("a\n", ["a_", "a__", "U__a_a_", "a\u{fffd}"]),
        ] {
            let all = [
                Escaping::Underscores,
                Escaping::Dots,
                Escaping::Values,
                Escaping::AllowUtf8,
            ];
            assert_eq!(
                all.map(|it| it.escape(name, NameOf::Metric)),
                expected,
                "{name}"
            );
        }
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
