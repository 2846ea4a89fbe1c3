//! Maps a series of the pipeline to a series of the API. Done once for each table; all sweeps share the result.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::MetricKind;
use googleapis_tonic_google_monitoring_v3::google::api::{Metric, MonitoredResource};
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::TimeSeries;
use pipeline::{Attributes, Head, Kind, Series, Temporality, Value};
use prost::Message;

use crate::config;
use crate::map::names::{MAX_KEY_BYTES, MAX_LABELS, label_key, label_value, metric_type};
use crate::map::point_value::PointValue;
use crate::map::{distribution, resource};
use crate::send::pace::SeriesKind;

/// The unit of a boolean gauge.
const BOOL: &str = "{gcp.BOOL}";

type LabelMap = BTreeMap<String, String>;

/// The fields that all series of a table share.
#[derive(Debug)]
pub(crate) struct CommonFields {
    pub(crate) project: Arc<str>,
    pub(crate) resource: MonitoredResource,
    /// The resource, encoded as a field of a `TimeSeries`.
    pub(crate) encoded_resource: Bytes,
    /// Labels that are added to each series.
    labels: LabelMap,
}

/// A series as the API identifies it.
#[derive(Debug)]
pub(crate) struct MappedSeries {
    /// A hash of 128 bits over project, resource, type and labels.
    pub(crate) id: u128,
    /// A hash of the series' identity in the pipeline. It tells apart two series that map to the same `id`.
    pub(crate) owner: u64,
    /// Metric, labels and unit, encoded as fields of a `TimeSeries`.
    pub(crate) encoded_metric: Bytes,
    pub(crate) kind: SeriesKind,
}

/// The common fields of a table with these resource attributes. `project` is used if the resource has none of its own.
pub(crate) fn common_fields(
    config: &config::MetricConfig,
    project: Option<&str>,
    attributes: &Attributes,
    head: &Head,
) -> Result<CommonFields, String> {
    let text = |key: &str| attributes.get(key).map(ToString::to_string);
    let own = text("gcp.project.id").filter(|id| !id.is_empty());
    let project = own.as_deref().or(project).ok_or(NO_PROJECT)?;
    let mut labels = LabelMap::new();
    let mut set = |key: &str, value: String| {
        if !value.is_empty() {
            labels.insert(label_key(key), label_value(value));
        }
    };
    if config.instrumentation_library_labels {
        set("instrumentation_source", head.scope.name.to_string());
        set("instrumentation_version", head.scope.version.to_string());
    }
    for (key, value) in attributes.iter() {
        let is_service =
            ["service.name", "service.namespace", "service.instance.id"].contains(&&**key);
        let is_filtered = config.resource_filters.iter().any(|it| it.is_match(key));
        if is_filtered || (config.service_resource_labels && is_service) {
            set(key, value.to_string());
        }
    }
    let resource = resource::monitored_resource(attributes)?;
    let resource_field = TimeSeries {
        resource: Some(resource.clone()),
        ..TimeSeries::default()
    };
    Ok(CommonFields {
        project: project.into(),
        resource,
        encoded_resource: resource_field.encode_to_vec().into(),
        labels,
    })
}

const NO_PROJECT: &str = "no project is known: neither `project`, nor the resource's `gcp.project.id`, nor \
GOOGLE_CLOUD_PROJECT, nor the credentials, nor a metadata server names one; set `project`";

/// The metric and the labels of a series, or why the API would never accept it.
pub(crate) fn metric(
    config: &config::MetricConfig,
    common: &CommonFields,
    series: &Series,
) -> Result<Metric, String> {
    let mut labels = common.labels.clone();
    for (key, value) in series.attributes.iter() {
        let own = label_key(key);
        let key = exported_key(common, series, key).unwrap_or(own);
        // If two keys map to one, the first stays. If that makes two series the same, their ids show it.
        labels
            .entry(key)
            .or_insert_with(|| label_value(value.to_string()));
    }
    if labels.len() > MAX_LABELS {
        return Err(format!(
            "it has {} labels, and the API takes {MAX_LABELS}",
            labels.len()
        ));
    }
    let r#type = metric_type(&config.prefix, &config.known_domains, &series.name);
    Ok(Metric { r#type, labels })
}

/// The key that a label of a series is kept under where the exporter sets one of the same name: as Prometheus has it
/// ([`honor_labels`](https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config)).
pub(crate) fn exported_key(common: &CommonFields, series: &Series, key: &str) -> Option<String> {
    let mut key = label_key(key);
    if !common.labels.contains_key(&key) {
        return None;
    }
    let is_own = |key: &str| {
        series
            .attributes
            .iter()
            .any(|(own, _)| label_key(own) == key)
    };
    while key.len() < MAX_KEY_BYTES && (common.labels.contains_key(&key) || is_own(&key)) {
        key = label_key(&format!("exported_{key}"));
    }
    Some(key)
}

/// The mapped series of this metric.
pub(crate) fn mapped_series(
    common: &CommonFields,
    head: &Head,
    series: &Series,
    metric: &Metric,
) -> MappedSeries {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (
            seed,
            &common.project,
            &common.encoded_resource,
            &metric.r#type,
            &metric.labels,
        )
            .hash(&mut hasher);
        hasher.finish()
    };
    let mut owner = DefaultHasher::new();
    (&head.subsystem, series.identity()).hash(&mut owner);
    let metric_fields = TimeSeries {
        metric: Some(metric.clone()),
        unit: if is_bool(series) {
            String::new()
        } else {
            series.unit.to_string()
        },
        ..TimeSeries::default()
    };
    MappedSeries {
        id: u128::from(half(0)) << 64 | u128::from(half(1)),
        owner: owner.finish(),
        encoded_metric: metric_fields.encode_to_vec().into(),
        kind: series_kind(&series.kind),
    }
}

/// How the points of this kind relate to one another.
fn series_kind(kind: &Kind) -> SeriesKind {
    let is_rising = !matches!(
        kind,
        Kind::Sum {
            monotonic: false,
            ..
        }
    );
    match kind.temporality() {
        Some(Temporality::Cumulative) if is_rising => SeriesKind::Cumulative,
        Some(Temporality::Delta) if is_rising => SeriesKind::Delta,
        // Up-down counters, gauges, and metrics of unknown kind.
        _ => SeriesKind::Gauge,
    }
}

/// The kind in the metric's descriptor.
pub(crate) fn metric_kind(kind: &Kind) -> MetricKind {
    match series_kind(kind) {
        SeriesKind::Gauge => MetricKind::Gauge,
        SeriesKind::Cumulative | SeriesKind::Delta => MetricKind::Cumulative,
    }
}

fn is_bool(series: &Series) -> bool {
    matches!(series.kind, Kind::Gauge | Kind::Unknown) && &*series.unit == BOOL
}

/// The value as the API has it.
///
/// # Errors
/// Why the API cannot represent it.
pub(crate) fn point_value(series: &Series, value: &Value) -> Result<PointValue, &'static str> {
    match (value, &series.kind) {
        (Value::Int(it), _) if is_bool(series) => Ok(PointValue::Bool(*it != 0)),
        (Value::Int(it), _) => Ok(PointValue::Int(*it)),
        (Value::Double(it), _) if it.is_finite() => Ok(PointValue::Double(*it)),
        (Value::Double(_), _) => Err("it is no finite number"),
        (Value::Histogram(it), Kind::Histogram { bounds, .. }) => {
            distribution::explicit(it, bounds).map(|it| PointValue::Distribution(Box::new(it)))
        }
        (Value::ExponentialHistogram(it), _) => {
            distribution::exponential(it).map(|it| PointValue::Distribution(Box::new(it)))
        }
        _ => Err("it has a value of another kind than its own"),
    }
}

/// The keys of all labels.
pub(crate) fn label_keys(metric: &Metric) -> BTreeSet<String> {
    metric.labels.keys().cloned().collect()
}
