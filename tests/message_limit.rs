//! A peer that takes messages of some size at the most: it gets what fits, and each point once.

use std::collections::HashSet;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use tonic::Code;

use crate::common::alone::{CPU, alone};
use crate::common::peer::{Answer, INSECURE, Peer, assert_accounted, net_receiver, otlp_config};
use crate::common::{assert_fault, collector, count, count_after, end, free_address, run, text};

/// The fixture's 72 points are about four of these.
const LIMIT: usize = 2048;

fn small(answers: impl IntoIterator<Item = Answer>) -> Peer {
    Peer {
        limit: Some(LIMIT),
        ..Peer::with(answers)
    }
}

/// Each point of these requests: its metric's name and its attributes.
fn points(got: &[ExportMetricsServiceRequest]) -> Vec<String> {
    let metrics = got
        .iter()
        .flat_map(|it| &it.resource_metrics)
        .flat_map(|it| &it.scope_metrics)
        .flat_map(|it| &it.metrics);
    let points = metrics.flat_map(|metric| {
        let points = match metric.data.as_ref().unwrap() {
            Data::Sum(it) => &it.data_points,
            Data::Gauge(it) => &it.data_points,
            other => panic!("{other:?}"),
        };
        let point = |it: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
            format!("{} {:?}", metric.name, it.attributes)
        };
        points.iter().map(point).collect::<Vec<_>>()
    });
    points.collect()
}

#[test]
fn it_gets_small_ones_whatever_the_compression_and_that_is_said_once() {
    for compression in ["none", "gzip", "zstd"] {
        let (peer, address) = (small([]), free_address());
        let server = peer.serve(address, None, true);
        let receiver = net_receiver().replace("{root", "{collection_interval: 10ms, root");
        let more = format!("{INSECURE}, compression: {compression}");
        let child = collector(&otlp_config(&receiver, &address.to_string(), &more), &[]);
        while points(&peer.received.lock().unwrap()).len() < 5 * 72 {
            std::thread::yield_now();
        }
        let stderr = end(child);
        drop(server);
        let got = peer.received.lock().unwrap();
        assert!(got.iter().all(|it| it.encoded_len() <= LIMIT));
        let points = points(&got);
        assert_eq!(
            count(&stderr, "points_sent"),
            points.len() as u64,
            "{stderr}"
        );
        let series: HashSet<&String> = points[..72].iter().collect();
        assert_eq!(series.len(), 72, "each once in a sweep");
        let warnings = stderr.matches("larger than the peer takes").count();
        assert_eq!(warnings, 1, "{stderr}");
        assert_accounted(&stderr);
        assert_fault(
            "the upstream takes no message as large as a request",
            "nothing: the request is parted",
            &stderr,
            &[],
        );
    }
}

#[test]
fn what_was_acknowledged_is_not_sent_again_when_a_later_part_fails() {
    // It counts on an answer within three seconds.
    let _cpu = alone(&CPU);
    for (answer, rejected) in [
        (Answer::Refuse(Code::Unavailable, None), 0),
        (Answer::Refuse(Code::InvalidArgument, None), 1),
        (Answer::Hang, 0),
    ] {
        let (peer, address) = (small([Answer::Accept, answer]), free_address());
        let server = peer.serve(address, None, true);
        let more = format!("{INSECURE}, timeout: 3s");
        let output = run(
            &otlp_config(&net_receiver(), &address.to_string(), &more),
            &["--once"],
        );
        drop(server);
        let stderr = text(&output.stderr);
        let points = points(&peer.received.lock().unwrap());
        let series: HashSet<&String> = points.iter().collect();
        assert_eq!(series.len(), points.len(), "none twice: {stderr}");
        assert_eq!(
            points.len() as u64,
            count(&stderr, "points_sent"),
            "{stderr}"
        );
        let refused = count_after(&stderr, "permanent=");
        assert_eq!(72, points.len() as u64 + refused, "{stderr}");
        // What is refused for good costs its own part only.
        assert_eq!(refused.min(1), rejected, "{stderr}");
        assert!(refused < 36, "{stderr}");
        assert_accounted(&stderr);
    }
}

#[test]
fn a_point_that_is_too_large_by_itself_is_counted_and_costs_no_other() {
    let (mut peer, address) = (small([]), free_address());
    peer.limit = Some(100);
    let server = peer.serve(address, None, true);
    let output = run(
        &otlp_config(&net_receiver(), &address.to_string(), INSECURE),
        &["--once"],
    );
    drop(server);
    let stderr = text(&output.stderr);
    assert!(peer.received.lock().unwrap().is_empty());
    assert!(stderr.contains("the limit is: 100 bytes"), "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream takes no message as large as a point",
        "the point: here all 72",
        &stderr,
        &["permanent=72"],
    );
}
