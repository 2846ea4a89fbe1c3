//! The OTLP bytes of a table, which are the same at each sweep but for times and values: encoded once, then patched.
//!
//! Field numbers and wire types are OTLP's
//! ([metrics.proto](https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto)).
//! Lengths of the messages around points are varints padded to five bytes
//! ([encoding](https://protobuf.dev/programming-guides/encoding/#varints)), so that rows can be left out and the
//! lengths patched afterwards.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::metric;
use prost::Message;
use prost::encoding::message::encode_repeated;
use prost::encoding::{WireType, double, encode_key};

use super::groups::groups;
use super::{message, point};
use crate::data::{Batch, Kind, Table};

/// What of a table's bytes stays the same.
pub(super) struct Template {
    bytes: Vec<u8>,
    /// `ResourceMetrics.resource`.
    resource: Range<usize>,
    /// `ScopeMetrics.scope`.
    scope: Range<usize>,
    metrics: Vec<MetricTemplate>,
    /// An upper bound of what a batch takes.
    capacity: usize,
}

struct MetricTemplate {
    /// Name, description, unit.
    identity: Range<usize>,
    /// `gauge`, `sum`, `histogram` or `exponential_histogram`.
    data_field: u32,
    /// What follows the points: temporality and monotonicity.
    rest: Range<usize>,
    has_start: bool,
    points: Points,
    rows: Vec<RowTemplate>,
}

/// How a metric's points are encoded.
enum Points {
    Number,
    /// With the bytes of `explicit_bounds`.
    Histogram(Range<usize>),
    /// Each from scratch: its size is its own.
    ExponentialHistogram,
}

struct RowTemplate {
    row: u32,
    attributes: Range<u32>,
}

const PADDED: usize = 5;

impl Template {
    pub(super) fn new(table: &Table) -> Template {
        let mut bytes = Vec::new();
        let mut keep = |write: &mut dyn FnMut(&mut Vec<u8>)| {
            let start = bytes.len();
            write(&mut bytes);
            start..bytes.len()
        };
        let resource = keep(&mut |out| {
            prost::encoding::message::encode(1, &message::resource(table.head()), out);
        });
        let scope = keep(&mut |out| {
            prost::encoding::message::encode(1, &message::scope(table.head()), out);
        });

        let series = table.series();
        let mut sets: HashMap<(usize, u32), Range<u32>> = HashMap::new();
        let mut capacity = resource.len() + scope.len() + 2 * (1 + PADDED);
        let metrics = groups(series).into_iter().map(|rows| {
            let first = &series[rows[0]];
            let mut whole = message::metric(first);
            let data = whole.data.take();
            let identity = keep(&mut |out| whole.encode(out).expect("a Vec takes all"));
            let mut rest = |message: &dyn Fn(&mut Vec<u8>)| keep(&mut |out| message(out));
            let (data_field, rest) = match data {
                Some(metric::Data::Sum(it)) => (7, rest(&|out| append(&it, out))),
                Some(metric::Data::Histogram(it)) => (9, rest(&|out| append(&it, out))),
                Some(metric::Data::ExponentialHistogram(it)) => (10, rest(&|out| append(&it, out))),
                _ => (5, 0..0),
            };
            let (points, attributes_field, more) = match &first.kind {
                Kind::Histogram { bounds, .. } => {
                    let bytes = keep(&mut |out| double::encode_packed(7, &bounds.0, out));
                    let more = point::HISTOGRAM + 8 * (bounds.0.len() + 1) + bytes.len();
                    (Points::Histogram(bytes), 9, more)
                }
                Kind::ExponentialHistogram { .. } => (Points::ExponentialHistogram, 1, 0),
                _ => (Points::Number, 7, 0),
            };
            capacity += 2 * (1 + PADDED) + identity.len() + rest.len();
            let rows = rows.into_iter().map(|row| {
                let all = &series[row].attributes;
                let key = (Arc::as_ptr(all) as usize, attributes_field);
                let attributes = sets.entry(key).or_insert_with(|| {
                    let all = message::attributes(all);
                    let range = keep(&mut |out| encode_repeated(attributes_field, &all, out));
                    range32(&range)
                });
                capacity += point::NUMBER + more + attributes.len();
                RowTemplate {
                    row: u32::try_from(row).unwrap_or(u32::MAX),
                    attributes: attributes.clone(),
                }
            });
            MetricTemplate {
                identity,
                data_field,
                rest,
                has_start: first.kind.temporality().is_some(),
                points,
                rows: rows.collect(),
            }
        });
        let metrics = metrics.collect();
        bytes.shrink_to_fit();
        Template {
            bytes,
            resource,
            scope,
            metrics,
            capacity,
        }
    }

    pub(super) fn fill(&self, batch: &Batch) -> Bytes {
        let mut out = Vec::with_capacity(self.capacity);
        let (values, starts) = (batch.values(), batch.starts_unix_nano());
        let resource_metrics = open(1, &mut out);
        out.extend_from_slice(&self.bytes[self.resource.clone()]);
        let scope_metrics = open(2, &mut out);
        out.extend_from_slice(&self.bytes[self.scope.clone()]);
        for metric in &self.metrics {
            let before = out.len();
            let whole = open(2, &mut out);
            out.extend_from_slice(&self.bytes[metric.identity.clone()]);
            let data = open(metric.data_field, &mut out);
            let first = out.len();
            for row in &metric.rows {
                let at = row.row as usize;
                let start = if metric.has_start { starts[at] } else { 0 };
                let time = batch.time_unix_nano(at);
                let attributes =
                    &self.bytes[row.attributes.start as usize..row.attributes.end as usize];
                match &metric.points {
                    Points::Number => point::number(&values[at], start, time, attributes, &mut out),
                    Points::Histogram(bounds) => {
                        let bounds = &self.bytes[bounds.clone()];
                        point::histogram(&values[at], start, time, attributes, bounds, &mut out);
                    }
                    Points::ExponentialHistogram => {
                        if let Some(point) = message::exponential(batch, at) {
                            prost::encoding::message::encode(1, &point, &mut out);
                        }
                    }
                }
            }
            if out.len() == first {
                out.truncate(before);
                continue;
            }
            out.extend_from_slice(&self.bytes[metric.rest.clone()]);
            close(data, &mut out);
            close(whole, &mut out);
        }
        close(scope_metrics, &mut out);
        close(resource_metrics, &mut out);
        Bytes::from(out)
    }
}

fn append(message: &impl Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a Vec takes all");
}

/// Begins a message whose length is not known yet: the position of its padded length.
fn open(field: u32, out: &mut Vec<u8>) -> usize {
    encode_key(field, WireType::LengthDelimited, out);
    out.extend_from_slice(&[0; PADDED]);
    out.len()
}

/// Writes the length of the message that began there.
fn close(start: usize, out: &mut [u8]) {
    let mut len = out.len() - start;
    for byte in &mut out[start - PADDED..start] {
        *byte = u8::try_from(len & 0x7f).unwrap_or_default() | 0x80;
        len >>= 7;
    }
    out[start - 1] &= 0x7f;
}

fn range32(range: &Range<usize>) -> Range<u32> {
    let at = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    at(range.start)..at(range.end)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

    use super::*;
    use crate::data::{Times, Value};
    use crate::formats::otlp::{Encoder, to_request};
    use crate::formats::text;

    fn encoded(batches: &[Batch]) -> ExportMetricsServiceRequest {
        let mut encoder = Encoder::default();
        let bytes: Vec<u8> = batches.iter().flat_map(|it| encoder.encode(it)).collect();
        ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap()
    }

    #[test]
    fn the_bytes_decode_to_what_prost_would_have_sent() {
        let mut batches = text::parse(
            "kvm/exits{device=/1-2} 42 counter {exit}\nkvm/exits{device=/1-3} - counter {exit}\n\
             kvm/pages{device=/1-2,n=\"a b\"} end updown By\nkvm/pages{device=/1-3} 1.5 updown By\n\
             kvm/exits{device=/1-4} -7 gauge\nkvm/gone - gauge\nother/x 18446744073709551615.0\n",
        )
        .unwrap();
        batches.push(batches[0].with_values(vec![Value::Absent; batches[0].table().len()]));
        assert_eq!(encoded(&batches), to_request(&batches));
        assert_eq!(
            encoded(&batches).resource_metrics.len(),
            2,
            "a batch without points is no message"
        );
        let later =
            batches[0].with_starts(batches[0].starts_unix_nano().iter().map(|_| 0).collect());
        assert_eq!(encoded(std::slice::from_ref(&later)), to_request(&[later]));
    }

    #[test]
    fn over_random_tables_too() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let numbers = [
                "",
                "gauge",
                "counter By",
                "updown {page}",
                "counter:delta s",
            ];
            let number = [
                "-",
                "end",
                "0",
                "-7",
                "9223372036854775807",
                "1.5",
                "-0.0",
                "1e300",
            ];
            let histograms = ["histogram", "histogram:delta ns"];
            let histogram = [
                "end",
                "1.0:2,3.0:0,inf:1",
                "0.5:0,inf:7;sum:-1.5",
                "inf:0;range:0.0..9.0",
            ];
            let exponentials = ["exponential", "exponential:delta"];
            let exponential = [
                "end",
                "scale:3;zero:1@0.5;+2:1,0,4",
                "scale:-2;zero:0;-0:1;sum:2.5;range:-1.0..1.0",
            ];
            let line = |random: &mut fastrand::Rng| {
                let (name, label) = (random.u8(..4), random.u8(..3));
                let (values, kinds): (&[&str], &[&str]) = match random.u8(..4) {
                    0 => (&histogram, &histograms),
                    1 => (&exponential, &exponentials),
                    _ => (&number, &numbers),
                };
                let value = values[random.usize(..values.len())];
                let kind = kinds[random.usize(..kinds.len())];
                format!(
                    "s{}/m{name}{{k={label},l=\"é {}\"}} {value} {kind}",
                    random.u8(..2),
                    random.u8(..2)
                )
            };
            let lines: Vec<String> = (0..random.usize(1..40))
                .map(|_| line(&mut random))
                .collect();
            for batch in text::parse(&lines.join("\n")).unwrap() {
                let starts = (0..batch.table().len()).map(|_| random.u64(..3)).collect();
                let times = Times::Each((0..batch.table().len()).map(|_| random.u64(..)).collect());
                let values = batch.values().to_vec();
                let batch = Batch::new(
                    Arc::clone(batch.table()),
                    starts,
                    times,
                    values,
                    batch.sweep(),
                );
                assert_eq!(
                    encoded(std::slice::from_ref(&batch)),
                    to_request(&[batch]),
                    "seed {seed}"
                );
            }
        }
    }
}
