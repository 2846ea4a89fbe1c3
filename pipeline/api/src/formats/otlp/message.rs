//! Batches as an OTLP message, built from scratch: for JSON, and as the truth that [`super::Encoder`] is held to.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue as ProtoValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, DataPointFlags, ExponentialHistogramDataPoint, Gauge,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::groups::groups;
use crate::data::{AnyValue, Attributes, Batch, Head, Kind, Series, Temporality, Value};

/// The message for these batches: one `ResourceMetrics` each; rows of the same metric together; absent rows left out.
#[must_use]
pub fn to_request(request: &[Batch]) -> ExportMetricsServiceRequest {
    let filled = request.iter().filter(|batch| batch.points() > 0);
    ExportMetricsServiceRequest {
        resource_metrics: filled.map(resource_metrics).collect(),
    }
}

fn resource_metrics(batch: &Batch) -> ResourceMetrics {
    let head = batch.table().head();
    let series = batch.table().series();
    let metrics = groups(series)
        .into_iter()
        .filter_map(|rows| metric_of(batch, &rows));
    ResourceMetrics {
        resource: Some(resource(head)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope(head)),
            metrics: metrics.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(super) fn resource(head: &Head) -> Resource {
    Resource {
        attributes: attributes(&head.resource),
        ..Default::default()
    }
}

pub(super) fn scope(head: &Head) -> InstrumentationScope {
    InstrumentationScope {
        name: head.scope.name.to_string(),
        version: head.scope.version.to_string(),
        ..Default::default()
    }
}

/// The metric that these rows are, if any of them has a point.
fn metric_of(batch: &Batch, rows: &[usize]) -> Option<Metric> {
    let mut whole = metric(&batch.table().series()[rows[0]]);
    let rows = rows.iter();
    let is_empty = match whole.data.as_mut()? {
        metric::Data::Gauge(it) => {
            it.data_points = rows.filter_map(|row| number(batch, *row)).collect();
            it.data_points.is_empty()
        }
        metric::Data::Sum(it) => {
            it.data_points = rows.filter_map(|row| number(batch, *row)).collect();
            it.data_points.is_empty()
        }
        metric::Data::Histogram(it) => {
            it.data_points = rows.filter_map(|row| histogram(batch, *row)).collect();
            it.data_points.is_empty()
        }
        metric::Data::ExponentialHistogram(it) => {
            it.data_points = rows.filter_map(|row| exponential(batch, *row)).collect();
            it.data_points.is_empty()
        }
        metric::Data::Summary(_) => true,
    };
    (!is_empty).then_some(whole)
}

/// A metric of this series' name, unit, kind and description, without points.
pub(super) fn metric(series: &Series) -> Metric {
    let data_points = Vec::new();
    let data = match &series.kind {
        Kind::Unknown | Kind::Gauge => metric::Data::Gauge(Gauge { data_points }),
        Kind::Sum {
            monotonic,
            temporality,
        } => metric::Data::Sum(Sum {
            data_points,
            aggregation_temporality: aggregation(*temporality),
            is_monotonic: *monotonic,
        }),
        Kind::Histogram { temporality, .. } => metric::Data::Histogram(proto::Histogram {
            data_points: Vec::new(),
            aggregation_temporality: aggregation(*temporality),
        }),
        Kind::ExponentialHistogram { temporality } => {
            metric::Data::ExponentialHistogram(proto::ExponentialHistogram {
                data_points: Vec::new(),
                aggregation_temporality: aggregation(*temporality),
            })
        }
    };
    Metric {
        name: series.name.to_string(),
        description: series.description.to_string(),
        unit: series.unit.to_string(),
        data: Some(data),
        ..Default::default()
    }
}

fn aggregation(temporality: Temporality) -> i32 {
    match temporality {
        Temporality::Cumulative => AggregationTemporality::Cumulative.into(),
        Temporality::Delta => AggregationTemporality::Delta.into(),
    }
}

const NO_RECORDED_VALUE: u32 = DataPointFlags::NoRecordedValueMask as u32;

/// Since when a row counts; a gauge counts since nothing.
fn start(batch: &Batch, row: usize) -> u64 {
    let counts = batch.table().series()[row].kind.temporality().is_some();
    if counts {
        batch.starts_unix_nano()[row]
    } else {
        0
    }
}

fn number(batch: &Batch, row: usize) -> Option<NumberDataPoint> {
    let (value, flags) = match &batch.values()[row] {
        Value::Ended => (None, NO_RECORDED_VALUE),
        Value::Int(it) => (Some(number_data_point::Value::AsInt(*it)), 0),
        Value::Double(it) => (Some(number_data_point::Value::AsDouble(*it)), 0),
        _ => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes(&batch.table().series()[row].attributes),
        start_time_unix_nano: start(batch, row),
        time_unix_nano: batch.time_unix_nano(row),
        value,
        flags,
        ..Default::default()
    })
}

fn histogram(batch: &Batch, row: usize) -> Option<HistogramDataPoint> {
    let series = &batch.table().series()[row];
    let Kind::Histogram { bounds, .. } = &series.kind else {
        return None;
    };
    let point = HistogramDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: start(batch, row),
        time_unix_nano: batch.time_unix_nano(row),
        ..Default::default()
    };
    match &batch.values()[row] {
        Value::Ended => Some(HistogramDataPoint {
            flags: NO_RECORDED_VALUE,
            ..point
        }),
        Value::Histogram(it) => Some(HistogramDataPoint {
            count: it.count(),
            sum: it.sum,
            bucket_counts: it.counts.clone(),
            explicit_bounds: bounds.0.clone(),
            min: it.range.map(|(min, _)| min),
            max: it.range.map(|(_, max)| max),
            ..point
        }),
        _ => None,
    }
}

pub(super) fn exponential(batch: &Batch, row: usize) -> Option<ExponentialHistogramDataPoint> {
    let point = ExponentialHistogramDataPoint {
        attributes: attributes(&batch.table().series()[row].attributes),
        start_time_unix_nano: start(batch, row),
        time_unix_nano: batch.time_unix_nano(row),
        ..Default::default()
    };
    let buckets = |(offset, counts): &(i32, Vec<u64>)| Buckets {
        offset: *offset,
        bucket_counts: counts.clone(),
    };
    match &batch.values()[row] {
        Value::Ended => Some(ExponentialHistogramDataPoint {
            flags: NO_RECORDED_VALUE,
            ..point
        }),
        Value::ExponentialHistogram(it) => Some(ExponentialHistogramDataPoint {
            count: it.count(),
            sum: it.sum,
            scale: it.scale,
            zero_count: it.zero_count,
            zero_threshold: it.zero_threshold,
            positive: Some(buckets(&it.positive)),
            negative: Some(buckets(&it.negative)),
            min: it.range.map(|(min, _)| min),
            max: it.range.map(|(_, max)| max),
            ..point
        }),
        _ => None,
    }
}

pub(super) fn attributes(all: &Attributes) -> Vec<KeyValue> {
    let each = all.iter().map(|(key, value)| KeyValue {
        key: key.to_string(),
        value: Some(any_value(value)),
        ..Default::default()
    });
    each.collect()
}

fn any_value(value: &AnyValue) -> ProtoValue {
    let value = match value {
        AnyValue::String(it) => any_value::Value::StringValue(it.to_string()),
        AnyValue::Bool(it) => any_value::Value::BoolValue(*it),
        AnyValue::Int(it) => any_value::Value::IntValue(*it),
        AnyValue::Double(it) => any_value::Value::DoubleValue(*it),
    };
    ProtoValue { value: Some(value) }
}
