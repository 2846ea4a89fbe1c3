//! Descriptors that exist, and those that cannot be created now: no point waits for one.

use std::time::Duration;

use gcp_fake::FakeState;
use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};
use tokio::time::Instant;
use tonic::Status;

use crate::host::Host;

const CONFIG: &str = "{project: p, detectors: [], metric: {prefix: custom.googleapis.com}}";

/// This many gauges, each a metric.
fn metrics(count: usize) -> String {
    let lines = (0..count).map(|it| format!("net/m{it} 1 gauge By"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The same descriptors, as another host of the fleet has made them.
fn exist(fake: &mut FakeState, count: usize) {
    for metric in 0..count {
        let descriptor = MetricDescriptor {
            r#type: format!("custom.googleapis.com/net/m{metric}"),
            metric_kind: MetricKind::Gauge.into(),
            value_type: ValueType::Int64.into(),
            ..MetricDescriptor::default()
        };
        fake.descriptors
            .insert(descriptor.r#type.clone(), descriptor);
    }
}

fn calls(host: &Host, method: &str) -> usize {
    host.fake
        .with(|it| it.descriptor_calls.get(method).copied().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn what_exists_is_listed_once_and_nothing_is_made_twice() {
    for (count, pages) in [(100, 1), (600, 3)] {
        let host = Host::new(CONFIG).await;
        host.fake.with(|it| {
            exist(it, count);
            // Of another prefix, and of one that only begins alike.
            let other = |name: &str| MetricDescriptor {
                r#type: name.into(),
                ..MetricDescriptor::default()
            };
            for name in [
                "custom.googleapis.community/x",
                "workload.googleapis.com/net/m0",
            ] {
                it.descriptors.insert(name.into(), other(name));
            }
            it.descriptors_per_second = Some(5);
        });
        let started = Instant::now();
        for _ in 0..3 {
            host.show(0, &metrics(count)).await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(host.accepted(), 3 * count as u64);
        assert!(started.elapsed() < Duration::from_secs(31));
        assert_eq!(calls(&host, "ListMetricDescriptors"), pages);
        assert_eq!(calls(&host, "CreateMetricDescriptor"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_descriptors_holds_no_point_up_and_is_not_run_against() {
    let host = Host::new(CONFIG).await;
    host.fake
        .with(|it| (it.auto_create, it.descriptors_per_second) = (true, Some(5)));
    let mut sweeps = 0;
    while host.fake.with(|it| it.created_descriptors.len()) < 100 {
        host.show(0, &metrics(100)).await;
        sweeps += 1;
        assert_eq!(host.accepted(), 100 * sweeps, "sweep {sweeps}");
        host.advance(10).await;
    }
    host.assert_no_violations();
    assert_eq!(host.count("requests_retried", ""), 0);
    assert_eq!(calls(&host, "ListMetricDescriptors"), 1);
    let creations = calls(&host, "CreateMetricDescriptor");
    assert!(creations < 200, "{creations}");
    host.fake.with(|it| {
        let units = it.descriptors.values().map(|it| &*it.unit);
        assert!(
            units.into_iter().all(|unit| unit == "By"),
            "each is as it should be in the end"
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_descriptor_that_cannot_be_made_now_is_made_later() {
    for status in [
        Status::internal("Internal error encountered."),
        Status::unavailable("not now"),
        Status::resource_exhausted("quota"),
    ] {
        let host = Host::new(CONFIG).await;
        host.fake
            .with(|it| (it.auto_create, it.descriptor_error) = (true, Some(status)));
        host.show(0, "net/x 1 gauge").await;
        assert_eq!(host.accepted(), 1);
        host.advance(10).await;
        host.fake.with(|it| it.descriptor_error = None);
        for _ in 0..3 {
            host.show(0, "net/x 1 gauge").await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(
            (host.accepted(), host.count("requests_retried", "")),
            (4, 0)
        );
        host.fake
            .with(|it| assert_eq!(it.created_descriptors.len(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_may_never_be_made_is_not_asked_for_again() {
    let host = Host::new(CONFIG).await;
    host.fake.with(|it| {
        let no = Status::permission_denied("no");
        (it.auto_create, it.descriptor_error, it.list_error) = (true, Some(no.clone()), Some(no));
    });
    for _ in 0..3 {
        host.show(0, "net/x 1 gauge").await;
        host.advance(10).await;
    }
    host.assert_no_violations();
    assert_eq!(host.accepted(), 3);
    assert_eq!(calls(&host, "ListMetricDescriptors"), 1);
    assert_eq!(calls(&host, "CreateMetricDescriptor"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_or_takes_for_ever_holds_no_point_up() {
    for is_slow in [false, true] {
        let host = Host::new(CONFIG).await;
        host.fake.with(|it| {
            it.auto_create = true;
            if is_slow {
                it.descriptor_delay = Duration::from_hours(1);
            } else {
                it.list_error = Some(Status::unavailable("not now"));
            }
        });
        for sweep in 0..6 {
            host.show(0, "net/x 1 gauge\nnet/y 1.5 gauge").await;
            assert_eq!(host.accepted(), 2 * (sweep + 1));
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(host.count("requests_retried", ""), 0);
        assert_eq!(
            calls(&host, "CreateMetricDescriptor"),
            0,
            "nothing is made before the list"
        );
        host.fake
            .with(|it| (it.descriptor_delay, it.list_error) = (Duration::ZERO, None));
        for _ in 0..60 {
            host.show(0, "net/x 1 gauge\nnet/y 1.5 gauge").await;
            host.advance(10).await;
        }
        host.fake
            .with(|it| assert_eq!(it.created_descriptors.len(), 2));
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_than_eight_calls_at_a_time() {
    let host = Host::new(CONFIG).await;
    host.fake.with(|it| {
        it.auto_create = true;
        (it.delay, it.descriptor_delay) = (Duration::from_millis(100), Duration::from_millis(100));
    });
    let lines = |it: usize| metrics(300).replace("net/", &format!("net{it}/"));
    let tables: Vec<_> = (0..10).map(|it| host.table(&lines(it))).collect();
    let export = async |it: usize| {
        let (table, values) = &tables[it];
        host.deliver(vec![host.shows(table, 0, values.clone())])
            .await;
    };
    tokio::join!(
        export(0),
        export(1),
        export(2),
        export(3),
        export(4),
        export(5),
        export(6),
        export(7),
        export(8),
        export(9),
    );
    assert_eq!(host.fake.with(|it| it.max_concurrent_calls), 8);
    assert_eq!(host.accepted(), 3_000);
}
