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
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::to;
use crate::batch::{Batch, Value};
use crate::table::{Kind, Series, Table};

/// What of a table's bytes stays the same.
pub(crate) struct Template {
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
    /// `gauge` or `sum`.
    data_field: u32,
    /// What follows the points: temporality and monotonicity.
    rest: Range<usize>,
    has_start: bool,
    rows: Vec<RowTemplate>,
}

struct RowTemplate {
    row: u32,
    attributes: Range<u32>,
}

/// The bytes of a request's `resource_metrics` field for this batch; empty if it has no points. The bytes of several
/// batches, one after the other, are an `ExportMetricsServiceRequest`: a repeated field concatenates.
#[must_use]
pub fn encode(batch: &Batch) -> Bytes {
    if batch.points() == 0 {
        return Bytes::new();
    }
    batch.table().template().fill(batch)
}

/// The rows of a table by metric: name, unit, kind; the first row's description. In order of first appearance.
pub(super) fn groups(series: &[Series]) -> Vec<Vec<usize>> {
    let mut at: HashMap<(&str, &str, Kind), usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (row, series) in series.iter().enumerate() {
        let group = *at
            .entry((&series.name, &series.unit, series.kind))
            .or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
        groups[group].push(row);
    }
    groups
}

const PADDED: usize = 5;
/// Tag, length, start, time, value; flags take less than a value.
const POINT: usize = 1 + PADDED + 9 + 9 + 9;

impl Template {
    pub(crate) fn new(table: &Table) -> Template {
        let mut bytes = Vec::new();
        let mut keep = |write: &mut dyn FnMut(&mut Vec<u8>)| {
            let start = bytes.len();
            write(&mut bytes);
            start..bytes.len()
        };
        let resource =
            keep(&mut |out| prost::encoding::message::encode(1, &to::resource(table.head()), out));
        let scope =
            keep(&mut |out| prost::encoding::message::encode(1, &to::scope(table.head()), out));

        let series = table.series();
        let mut sets: HashMap<usize, Range<u32>> = HashMap::new();
        let mut capacity = resource.len() + scope.len() + 2 * (1 + PADDED);
        let metrics = groups(series).into_iter().map(|rows| {
            let first = &series[rows[0]];
            let whole = to::metric(first, Vec::new());
            let data = whole.data.clone();
            let identity = keep(&mut |out| {
                Metric {
                    data: None,
                    ..whole.clone()
                }
                .encode(out)
                .expect("a Vec takes all");
            });
            let (data_field, rest) = match data {
                Some(metric::Data::Sum(sum)) => (
                    7,
                    keep(&mut |out| sum.encode(out).expect("a Vec takes all")),
                ),
                _ => (5, 0..0),
            };
            capacity += 2 * (1 + PADDED) + identity.len() + rest.len();
            let rows = rows.into_iter().map(|row| {
                let all = &series[row].attributes;
                let attributes = sets.entry(Arc::as_ptr(all) as usize).or_insert_with(|| {
                    let range = keep(&mut |out| {
                        prost::encoding::message::encode_repeated(7, &to::attributes(all), out);
                    });
                    range32(&range)
                });
                capacity += POINT + attributes.len();
                RowTemplate {
                    row: u32::try_from(row).unwrap_or(u32::MAX),
                    attributes: attributes.clone(),
                }
            });
            MetricTemplate {
                identity,
                data_field,
                rest,
                has_start: to::has_start(first.kind),
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

    fn fill(&self, batch: &Batch) -> Bytes {
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
                let attributes =
                    &self.bytes[row.attributes.start as usize..row.attributes.end as usize];
                point(
                    values[at],
                    start,
                    batch.time_unix_nano(at),
                    attributes,
                    &mut out,
                );
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

/// One `NumberDataPoint`; nothing for an absent value.
fn point(value: Value, start: u64, time: u64, attributes: &[u8], out: &mut Vec<u8>) {
    let value_len = match value {
        Value::Absent => return,
        Value::Ended => 2,
        Value::Int(_) | Value::Double(_) => 9,
    };
    let start_len = if start == 0 { 0 } else { 9 };
    let len = (start_len + 9 + value_len + attributes.len()) as u64;
    let mut point = [0; 1 + 10 + 9 + 9 + 9];
    point[0] = 0x0a; // data_points = 1, length-delimited
    encode_varint(len, &mut &mut point[1..]);
    let mut at = 1 + encoded_len_varint(len);
    let mut fixed = |tag: u8, bytes: [u8; 8]| {
        point[at] = tag;
        point[at + 1..at + 9].copy_from_slice(&bytes);
        at += 9;
    };
    if start != 0 {
        fixed(0x11, start.to_le_bytes()); // start_time_unix_nano = 2, fixed64
    }
    fixed(0x19, time.to_le_bytes()); // time_unix_nano = 3, fixed64
    match value {
        Value::Absent | Value::Ended => {
            point[at..at + 2].copy_from_slice(&[0x40, 1]); // flags = 8, varint: NO_RECORDED_VALUE
            at += 2;
        }
        Value::Int(it) => fixed(0x31, it.to_le_bytes()), // as_int = 6, sfixed64
        Value::Double(it) => fixed(0x21, it.to_le_bytes()), // as_double = 4, double
    }
    out.extend_from_slice(&point[..at]);
    out.extend_from_slice(attributes); // attributes = 7
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
    use crate::batch::Times;
    use crate::text;

    fn encoded(batches: &[Batch]) -> ExportMetricsServiceRequest {
        let bytes: Vec<u8> = batches.iter().flat_map(encode).collect();
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
        assert_eq!(encoded(&batches), to(&batches));
        assert_eq!(
            encoded(&batches).resource_metrics.len(),
            2,
            "a batch without points is no message"
        );
        let later =
            batches[0].with_starts(batches[0].starts_unix_nano().iter().map(|_| 0).collect());
        assert_eq!(encoded(std::slice::from_ref(&later)), to(&[later]));
    }

    #[test]
    fn over_random_tables_too() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let kinds = [
                "",
                "gauge",
                "counter By",
                "updown {page}",
                "counter:delta s",
                "updown:delta",
            ];
            let values = [
                "-",
                "end",
                "0",
                "-7",
                "9223372036854775807",
                "1.5",
                "-0.0",
                "1e300",
            ];
            let line = |random: &mut fastrand::Rng| {
                let (name, label) = (random.u8(..4), random.u8(..3));
                let (value, kind) = (
                    values[random.usize(..values.len())],
                    kinds[random.usize(..kinds.len())],
                );
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
                    to(&[batch]),
                    "seed {seed}"
                );
            }
        }
    }
}
