//! The API's rules for one series of a request.

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::typed_value::Value;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{Point, TimeSeries};
use prost::Message;
use prost_types::Timestamp;

pub(crate) const DUPLICATE: &str =
    "Duplicate TimeSeries encountered. Only one point can be written per TimeSeries per request.";

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MILLI;

/// The key that identifies a series.
pub(crate) fn key(series: &TimeSeries) -> String {
    let (metric, resource) = (
        series.metric.as_ref().unwrap(),
        series.resource.as_ref().unwrap(),
    );
    format!(
        "{}{:?} of {}{:?}",
        metric.r#type, metric.labels, resource.r#type, resource.labels
    )
}

/// The same key as bytes.
pub(crate) fn bytes(series: &TimeSeries) -> Vec<u8> {
    let mut bytes = series.metric.as_ref().unwrap().encode_to_vec();
    series
        .resource
        .as_ref()
        .unwrap()
        .encode(&mut bytes)
        .unwrap();
    bytes
}

/// Nanoseconds, cut to microseconds as the API does.
pub(crate) fn nanos(timestamp: &Timestamp) -> u64 {
    (u64::try_from(timestamp.seconds).unwrap() * 1_000_000_000
        + u64::try_from(timestamp.nanos).unwrap())
        / MICRO
        * MICRO
}

/// The first rule that the series violates, as the API words it.
pub(crate) fn violation(
    series: &TimeSeries,
    last: Option<&Point>,
    descriptor: Option<&MetricDescriptor>,
    now: u64,
    interval: u64,
) -> Option<String> {
    let metric = series.metric.as_ref().unwrap();
    names(series).or_else(|| labels(series)).or_else(|| {
        let [point] = &series.points[..] else {
            return Some("Only one point can be written per TimeSeries per request.".into());
        };
        let Some(descriptor) = descriptor else {
            return Some(format!("Unknown metric: {}", metric.r#type));
        };
        types(series, point, descriptor).or_else(|| times(series, point, last, now, interval))
    })
}

/// A metric's type begins with a domain, and a resource has a place.
fn names(series: &TimeSeries) -> Option<String> {
    let metric = &series.metric.as_ref().unwrap().r#type;
    let domain = metric.split('/').next().unwrap_or_default();
    if !domain.contains('.') || domain == metric {
        return Some(format!(
            "Field metric.type had an invalid value of \"{metric}\": The metric type must be a URL-formatted string with a domain and non-empty path."
        ));
    }
    let resource = series.resource.as_ref().unwrap();
    let place = |key: &str| resource.labels.get(key).map(String::as_str);
    if ["location", "zone", "region"]
        .into_iter()
        .any(|key| place(key) == Some(""))
    {
        return Some("Unrecognized region or location.".into());
    }
    None
}

fn labels(series: &TimeSeries) -> Option<String> {
    let metric = series.metric.as_ref().unwrap();
    if metric.labels.len() > 30 {
        return Some(format!(
            "Metric {} has {} labels, at most 30 are allowed.",
            metric.r#type,
            metric.labels.len()
        ));
    }
    for (key, value) in &metric.labels {
        let starts = key.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || key.len() > 100 || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Some(format!(
                "Field metric.labels had an invalid key of \"{key}\": Label keys must match the regular expression [a-zA-Z][a-zA-Z0-9_]*."
            ));
        }
        if value.len() > 1024 {
            return Some(format!(
                "Field metric.labels[{key}] had an invalid value: at most 1024 bytes are allowed."
            ));
        }
    }
    None
}

fn types(series: &TimeSeries, point: &Point, descriptor: &MetricDescriptor) -> Option<String> {
    let metric = &series.metric.as_ref().unwrap().r#type;
    if series.metric_kind() != descriptor.metric_kind() {
        return Some(format!(
            "Metric kind for metric {metric} must be {}, but is {}.",
            descriptor.metric_kind().as_str_name(),
            series.metric_kind().as_str_name()
        ));
    }
    let value = point.value.as_ref().unwrap().value.as_ref().unwrap();
    let value_type = match value {
        Value::BoolValue(_) => ValueType::Bool,
        Value::Int64Value(_) => ValueType::Int64,
        Value::DoubleValue(_) => ValueType::Double,
        Value::StringValue(_) => ValueType::String,
        Value::DistributionValue(distribution) => {
            if distribution.bucket_counts.len() > 200
                || distribution.bucket_counts.iter().sum::<i64>() != distribution.count
            {
                return Some("Distribution value has invalid |bucket_counts|.".into());
            }
            ValueType::Distribution
        }
    };
    if value_type != descriptor.value_type() || series.value_type() != value_type {
        return Some(format!(
            "Value type for metric {metric} must be {}, but is {}.",
            descriptor.value_type().as_str_name(),
            value_type.as_str_name()
        ));
    }
    None
}

fn times(
    series: &TimeSeries,
    point: &Point,
    last: Option<&Point>,
    now: u64,
    interval: u64,
) -> Option<String> {
    let span = |point: &Point| {
        let interval = point.interval.as_ref().unwrap();
        (
            interval.start_time.as_ref().map(nanos),
            nanos(interval.end_time.as_ref().unwrap()),
        )
    };
    let (start, end) = span(point);
    if end + 25 * HOUR < now {
        return Some("Data points cannot be written more than 25h0s in the past.".into());
    }
    if end > now + HOUR / 12 {
        return Some("Data points cannot be written more than 5m0s in the future.".into());
    }
    let last = last.map(span);
    match (series.metric_kind(), start) {
        (MetricKind::Gauge, Some(start)) if start != end => {
            return Some(
                "The start time must be equal to the end time for the gauge metric.".into(),
            );
        }
        (MetricKind::Cumulative, None) => {
            return Some("The start time must be set for the non-gauge metric.".into());
        }
        (MetricKind::Cumulative, Some(start)) => {
            if start + MILLI > end {
                return Some(
                    "The start time must be before the end time for the non-gauge metric.".into(),
                );
            }
            if let Some((Some(before), ended)) = last
                && start != before
                && start < ended + MILLI
            {
                return Some("Points must be written in order. One or more of the points specified had an older start time than the most recent point.".into());
            }
        }
        _ => {}
    }
    if let Some((_, ended)) = last {
        if end <= ended {
            return Some("Points must be written in order. One or more of the points specified had an older end time than the most recent point.".into());
        }
        if end < ended + interval {
            return Some("One or more points were written more frequently than the maximum sampling period configured for the metric.".into());
        }
    }
    None
}
