//! How series are mapped, for each row of the reference's table.

use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};

use crate::both_fakes::on_both;
use crate::host::{EPOCH, Host, SECOND};

/// The series that these points map to, as `key: start kind type value`. All are read an hour after their start.
async fn mapped(yaml: &str, input: &str) -> Vec<String> {
    let host = Host::new(yaml).await;
    host.clock.step(0);
    host.show(EPOCH - 3600 * SECOND, input).await;
    host.fake.assert_no_violations();
    host.assert_accounted();
    host.fake.with(|it| {
        let series = it.series.iter().map(|(key, points)| {
            let kind = &it.descriptors[key.split('{').next().unwrap()];
            let interval = points[0].interval.unwrap();
            let start = interval
                .start_time
                .map_or(String::new(), |_| "since ".into());
            let value = format!(
                "{:?}",
                points[0].value.as_ref().unwrap().value.as_ref().unwrap()
            );
            let value = value.split(" { count").next().unwrap().to_owned();
            let values = kind.value_type().as_str_name();
            format!(
                "{key}: {start}{} {values} {value}",
                kind.metric_kind().as_str_name()
            )
        });
        series.collect()
    })
}

const PLAIN: &str = "{project: p, metric: {prefix: p.d, instrumentation_library_labels: false, service_resource_labels: false}, detectors: []}";
const NODE: &str = r#"generic_node{"location": "global", "namespace": "", "node_id": "h1"}"#;

#[tokio::test(start_paused = true)]
async fn kinds_are_the_references() {
    for (point, expected) in [
        ("net/x 1 counter", "since CUMULATIVE INT64 Int64Value(1)"),
        (
            "net/x 1.5 counter",
            "since CUMULATIVE DOUBLE DoubleValue(1.5)",
        ),
        (
            "net/x 1 counter:delta",
            "since CUMULATIVE INT64 Int64Value(1)",
        ),
        ("net/x 1 updown", "GAUGE INT64 Int64Value(1)"),
        ("net/x 1 gauge", "GAUGE INT64 Int64Value(1)"),
        ("net/x 1.5 gauge", "GAUGE DOUBLE DoubleValue(1.5)"),
        ("net/x 1", "GAUGE INT64 Int64Value(1)"),
        ("net/x 1 gauge {gcp.BOOL}", "GAUGE BOOL BoolValue(true)"),
        (
            "net/x 1.0:2,inf:1;sum:7.5 histogram",
            "since CUMULATIVE DISTRIBUTION DistributionValue(Distribution",
        ),
        (
            "net/x 1.0:2,inf:1;sum:7.5 histogram:delta",
            "since CUMULATIVE DISTRIBUTION DistributionValue(Distribution",
        ),
        (
            "net/x scale:0;zero:1;+2:1,0;sum:1.0 exponential",
            "since CUMULATIVE DISTRIBUTION DistributionValue(Distribution",
        ),
    ] {
        assert_eq!(
            mapped(PLAIN, point).await,
            [format!("p.d/net/x{{}} of {NODE}: {expected}")],
            "{point}"
        );
    }
}

#[test]
fn histograms_of_both_kinds_are_distributions_that_are_taken_and_may_be_reset() {
    let name = "histograms_of_both_kinds_are_distributions_that_are_taken_and_may_be_reset";
    on_both(name, async |side| {
        let host = Host::on(side, PLAIN).await;
        let mut start = EPOCH - SECOND;
        for count in [1, 5, 9, 2, 4] {
            if count == 2 {
                start = host.clock.now() - SECOND;
            }
            let points = [
                format!("net/a 1.0:{count},2.5:0,inf:1;sum:7.5 histogram"),
                format!("net/b scale:0;zero:1;+2:{count},0,3;sum:9.0 exponential"),
                // More buckets than the API accepts, and negative values, which it cannot represent.
                format!(
                    "net/c scale:3;zero:0;-0:{count};+0:{};sum:9.0 exponential",
                    vec!["1"; 300].join(",")
                ),
            ];
            host.show(start, &points.join("\n")).await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(host.kinds(), ["CUMULATIVE DISTRIBUTION"; 3]);
        assert_eq!(host.accepted_of_each(), [5, 5, 5]);
    });
}

#[tokio::test(start_paused = true)]
async fn what_is_no_point_to_the_api_stays_here_and_is_counted() {
    let host = Host::new(PLAIN).await;
    host.show(
        EPOCH - SECOND,
        "net/a end counter\nnet/b 1.0:2,inf:1 histogram\nnet/c inf gauge\nnet/d 1 gauge",
    )
    .await;
    assert_eq!(
        (host.fake.accepted_points(), host.count("points_sent", "")),
        (1, 1)
    );
    assert_eq!(
        (
            host.count("points_dropped", "ended"),
            host.count("points_dropped", "series_refused")
        ),
        (1, 2)
    );
    host.assert_accounted();
}

#[tokio::test(start_paused = true)]
async fn labels_are_the_points_own_with_scope_and_service_beside_them() {
    let mut host = Host::new("{project: p, detectors: [], metric: {prefix: p.d, resource_filters: [{prefix: k8s., regex: node}]}}").await;
    for (key, value) in [
        ("service.name", "s"),
        ("service.instance.id", "i"),
        ("service.namespace", "n"),
        ("k8s.node.uid", "u"),
        ("k8s.pod.uid", "no"),
    ] {
        host.resource.set(key, value);
    }
    host.show(0, "net/x{0a=1,service.name=mine,a.b=2} 1 gauge")
        .await;
    host.fake.assert_no_violations();
    let keys: Vec<String> = host.fake.with(|it| it.series.keys().cloned().collect());
    let labels = r#"{"a_b": "2", "exported_service_name": "mine", "instrumentation_source": "receiver-test", "instrumentation_version": "0.1.0", "k8s_node_uid": "u", "key_0a": "1", "service_instance_id": "i", "service_name": "s", "service_namespace": "n"}"#;
    let resource =
        r#"generic_task{"job": "s", "location": "global", "namespace": "n", "task_id": "i"}"#;
    assert_eq!(keys, [format!("p.d/net/x{labels} of {resource}")]);
}

#[test]
fn a_label_that_the_exporter_sets_too_is_kept_and_tells_series_apart() {
    let name = "a_label_that_the_exporter_sets_too_is_kept_and_tells_series_apart";
    let config = PLAIN.replace(
        "service_resource_labels: false",
        "service_resource_labels: true",
    );
    on_both(name, async |side| {
        let mut host = Host::on(side, &config).await;
        host.resource.set("service.name", "agent");
        let series = [
            "net/x{service_name=a} 1 gauge",
            "net/x{service_name=b} 2 gauge",
            "net/x{exported_service_name=c,service_name=d} 3 gauge",
            "net/x{exported_service_name=c,service_name=e} 4 gauge",
        ];
        host.show(0, &series.join("\n")).await;
        host.assert_no_violations();
        assert_eq!((host.accepted(), host.count("points_dropped", "")), (4, 0));
    });
}

#[test]
fn labels_are_within_the_apis_limits() {
    let name = "labels_are_within_the_apis_limits";
    on_both(name, async |side| {
        let host = Host::on(side, PLAIN).await;
        let long = format!("net/x{{{}={}}} 1 gauge", "k".repeat(150), "v".repeat(2000));
        let many: Vec<String> = (0..31).map(|it| format!("l{it}=1")).collect();
        host.show(0, &format!("{long}\nnet/y{{{}}} 1 gauge", many.join(",")))
            .await;
        host.assert_no_violations();
        assert_eq!(
            (
                host.accepted(),
                host.count("points_dropped", "series_refused")
            ),
            (1, 1)
        );
    });
}

#[test]
fn of_two_series_that_would_be_one_the_first_stays() {
    let name = "of_two_series_that_would_be_one_the_first_stays";
    on_both(name, async |side| {
        let host = Host::on(side, PLAIN).await;
        host.show(
            0,
            "net/x{a.b=1} 1 gauge\nnet/x{a-b=1} 2 gauge\nnet/x{a_b=2} 3 gauge",
        )
        .await;
        host.assert_no_violations();
        assert_eq!(
            (host.accepted(), host.count("points_dropped", "duplicate")),
            (2, 1)
        );
    });
}

#[tokio::test(start_paused = true)]
async fn two_metrics_of_another_kind_that_would_be_one_are_found() {
    let host = Host::new(PLAIN).await;
    host.show(0, "net/x%y{a=1} 1 gauge\nnet/x&y{a=2} 2 counter")
        .await;
    host.fake.assert_no_violations();
    assert_eq!(
        (
            host.fake.accepted_points(),
            host.count("points_dropped", "series_refused")
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_descriptor_has_the_name_the_unit_the_description_and_all_labels() {
    let host = Host::new(
        "{project: p, detectors: [], metric: {prefix: custom.googleapis.com/opentelemetry}}",
    )
    .await;
    host.show(
        EPOCH - SECOND,
        "net/rx{device=eth0} 1 counter By\nnet/rx{device=lo,queue=1} 1 counter By",
    )
    .await;
    host.fake.with(|it| {
        let [descriptor] = &it.created_descriptors[..] else {
            panic!("once: {:?}", it.created_descriptors)
        };
        assert_eq!(
            descriptor.r#type,
            "custom.googleapis.com/opentelemetry/net/rx"
        );
        assert_eq!(
            descriptor.name,
            "projects/p/metricDescriptors/custom.googleapis.com/opentelemetry/net/rx"
        );
        assert_eq!(
            (descriptor.unit.as_str(), descriptor.display_name.as_str()),
            ("By", "opentelemetry/net/rx")
        );
        assert_eq!(
            (descriptor.metric_kind(), descriptor.value_type()),
            (MetricKind::Cumulative, ValueType::Int64)
        );
        let keys: Vec<&str> = descriptor.labels.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "device",
                "instrumentation_source",
                "instrumentation_version",
                "queue"
            ]
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_resource_with_a_project_of_its_own_goes_there() {
    let mut host = Host::new(PLAIN).await;
    host.resource.set("gcp.project.id", "other");
    host.show(0, "net/x 1 gauge").await;
    let names = host.fake.with(|it| {
        it.created_descriptors
            .iter()
            .map(|it| it.name.clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(names, ["projects/other/metricDescriptors/p.d/net/x"]);
}
