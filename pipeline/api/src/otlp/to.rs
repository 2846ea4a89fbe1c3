//! Batches as an OTLP message, built from scratch: for JSON, and as the truth that [`super::encode`] is held to.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue as ProtoValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Gauge, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::template::groups;
use crate::attributes::{AnyValue, Attributes};
use crate::batch::{Batch, Value};
use crate::table::{Head, Kind, Series, Temporality};

/// The message for these batches: one `ResourceMetrics` each; rows of the same metric together; absent rows left out.
#[must_use]
pub fn to(request: &[Batch]) -> ExportMetricsServiceRequest {
    let filled = request.iter().filter(|batch| batch.points() > 0);
    ExportMetricsServiceRequest {
        resource_metrics: filled.map(resource_metrics).collect(),
    }
}

fn resource_metrics(batch: &Batch) -> ResourceMetrics {
    let head = batch.table().head();
    let series = batch.table().series();
    let metrics = groups(series).into_iter().filter_map(|rows| {
        let points: Vec<_> = rows.iter().filter_map(|row| point(batch, *row)).collect();
        (!points.is_empty()).then(|| metric(&series[rows[0]], points))
    });
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

/// A metric of this series' name, unit, kind and description, with these points.
pub(super) fn metric(series: &Series, data_points: Vec<NumberDataPoint>) -> Metric {
    let data = match series.kind {
        Kind::Unknown | Kind::Gauge => metric::Data::Gauge(Gauge { data_points }),
        Kind::Sum {
            monotonic,
            temporality,
        } => {
            let temporality = match temporality {
                Temporality::Cumulative => AggregationTemporality::Cumulative,
                Temporality::Delta => AggregationTemporality::Delta,
            };
            metric::Data::Sum(Sum {
                data_points,
                aggregation_temporality: temporality.into(),
                is_monotonic: monotonic,
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

/// Whether points of this kind have a start: a gauge counts since nothing.
pub(super) fn has_start(kind: Kind) -> bool {
    matches!(kind, Kind::Sum { .. })
}

fn point(batch: &Batch, row: usize) -> Option<NumberDataPoint> {
    let series = &batch.table().series()[row];
    let (value, flags) = match batch.values()[row] {
        Value::Absent => return None,
        Value::Ended => (None, DataPointFlags::NoRecordedValueMask as u32),
        Value::Int(it) => (Some(number_data_point::Value::AsInt(it)), 0),
        Value::Double(it) => (Some(number_data_point::Value::AsDouble(it)), 0),
    };
    Some(NumberDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: if has_start(series.kind) {
            batch.starts_unix_nano()[row]
        } else {
            0
        },
        time_unix_nano: batch.time_unix_nano(row),
        value,
        flags,
        ..Default::default()
    })
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
