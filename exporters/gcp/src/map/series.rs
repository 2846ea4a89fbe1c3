//! From a table to what the API knows its series as: done once a table, and shared by all its sweeps.

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
use crate::map::names::{MAX_LABELS, label_key, label_value, metric_type};
use crate::map::point_value::PointValue;
use crate::map::{distribution, resource};
use crate::send::pace::SeriesKind;

/// The unit of a gauge that is true or false.
const BOOL: &str = "{gcp.BOOL}";

type Labels = BTreeMap<String, String>;

/// What the series of a table have in common.
#[derive(Debug)]
pub(crate) struct CommonFields {
    pub(crate) project: Arc<str>,
    pub(crate) resource: MonitoredResource,
    /// The resource as the field of a `TimeSeries`.
    pub(crate) encoded_resource: Bytes,
    /// Labels that each series gets, over its own.
    labels: Labels,
}

/// A series, as the API knows it.
#[derive(Debug)]
pub(crate) struct MappedSeries {
    /// 128 bits of project, resource, type and labels.
    pub(crate) id: u128,
    /// What it is made from, to tell two that would become one.
    pub(crate) owner: u64,
    /// Metric, labels and unit as the fields of a `TimeSeries`.
    pub(crate) encoded_metric: Bytes,
    pub(crate) kind: SeriesKind,
}

/// What the resource attributes make of a table's series; without a project of the resource's own it is `project`.
pub(crate) fn common_fields(
    config: &config::MetricConfig,
    project: Option<&str>,
    attributes: &Attributes,
    head: &Head,
) -> Result<CommonFields, String> {
    let text = |key: &str| attributes.get(key).map(ToString::to_string);
    let own = text("gcp.project.id").filter(|id| !id.is_empty());
    let project = own.as_deref().or(project).ok_or(NO_PROJECT)?;
    let mut labels = Labels::new();
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

/// The metric and the labels of a series, or why the API would never take it.
pub(crate) fn metric(
    config: &config::MetricConfig,
    common: &CommonFields,
    series: &Series,
) -> Result<Metric, String> {
    let mut labels = Labels::new();
    for (key, value) in series.attributes.iter() {
        // Of two keys that become one the first stays. Should that make two series one, that is found by their ids.
        labels
            .entry(label_key(key))
            .or_insert_with(|| label_value(value.to_string()));
    }
    labels.extend(common.labels.clone());
    if labels.len() > MAX_LABELS {
        return Err(format!(
            "it has {} labels, and the API takes {MAX_LABELS}",
            labels.len()
        ));
    }
    let r#type = metric_type(&config.prefix, &config.known_domains, &series.name);
    Ok(Metric { r#type, labels })
}

/// A series of this metric.
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

/// How points of this kind follow one another.
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
        // A current count, a gauge, and what nobody knows.
        _ => SeriesKind::Gauge,
    }
}

/// The kind that the metric's descriptor has.
pub(crate) fn metric_kind(kind: &Kind) -> MetricKind {
    match series_kind(kind) {
        SeriesKind::Gauge => MetricKind::Gauge,
        SeriesKind::Cumulative | SeriesKind::Delta => MetricKind::Cumulative,
    }
}

fn is_bool(series: &Series) -> bool {
    matches!(series.kind, Kind::Gauge | Kind::Unknown) && &*series.unit == BOOL
}

/// A value as the API has it; `Err` with the reason where it is none to the API.
pub(crate) fn point_value(series: &Series, value: &Value) -> Result<PointValue, &'static str> {
    match (value, &series.kind) {
        (Value::Int(it), _) if is_bool(series) => Ok(PointValue::Bool(*it != 0)),
        (Value::Int(it), _) => Ok(PointValue::Int(*it)),
        (Value::Double(it), _) if it.is_finite() => Ok(PointValue::Double(*it)),
        (Value::Double(_), _) => Err("it is no finite number"),
        (Value::Histogram(it), Kind::Histogram { bounds, .. }) => {
            distribution::explicit(it, bounds).map(|it| PointValue::Distribution(Box::new(it)))
        }
        (Value::Exponential(it), _) => {
            distribution::exponential(it).map(|it| PointValue::Distribution(Box::new(it)))
        }
        _ => Err("it has a value of another kind than its own"),
    }
}

/// The keys of all labels.
pub(crate) fn label_keys(metric: &Metric) -> BTreeSet<String> {
    metric.labels.keys().cloned().collect()
}
