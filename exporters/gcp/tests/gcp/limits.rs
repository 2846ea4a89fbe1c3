//! The exporter keeps the API's limits by itself.

use std::sync::Arc;
use std::time::Duration;

use gcp_fake::NextResponse;
use pipeline::Value;
use tokio::time::sleep;
use tonic::Status;

use crate::both_fakes::on_both;
use crate::host::{EPOCH, Host, SECOND, read_at};

const CONFIG: &str = "{project: p, detectors: [], metric: {prefix: custom.googleapis.com}}";

/// This many counters.
fn counters(count: usize) -> String {
    let lines = (0..count).map(|it| format!("net/x{}{{device=d{}}} 0 counter", it % 20, it / 20));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_series_at_ten_seconds_for_an_hour() {
    let host = Host::new(CONFIG).await;
    let (table, values) = host.table(&counters(10_000));
    // A debug build would take minutes: it covers six minutes of the hour.
    let sweeps: u32 = if cfg!(debug_assertions) { 36 } else { 360 };
    for sweep in 0..i64::from(sweeps) {
        let values = values.iter().map(|_| Value::Int(sweep)).collect();
        // Reading takes a variable time, and the points' times vary with it.
        let late = u64::try_from(sweep % 7).unwrap() * SECOND / 100;
        host.deliver(vec![read_at(
            &table,
            EPOCH - SECOND,
            host.clock.now() + late,
            values,
        )])
        .await;
        sleep(Duration::from_secs(10)).await;
    }
    host.fake.assert_no_violations();
    host.assert_accounted();
    assert_eq!(host.fake.accepted_points(), 10_000 * sweeps as usize);
    host.fake.with(|it| {
        assert_eq!(it.created_descriptors.len(), 20, "each descriptor once");
        assert_eq!(it.requests, vec![200; 50 * sweeps as usize]);
    });
}

#[test]
fn a_series_that_comes_each_second_goes_each_ten() {
    let name = "a_series_that_comes_each_second_goes_each_ten";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        let (table, _) = host.table("net/x 0 gauge");
        for second in 0..61 {
            host.deliver(vec![host.shows(&table, 0, vec![Value::Int(second)])])
                .await;
            host.advance(1).await;
        }
        host.assert_no_violations();
        assert_eq!(
            (host.accepted(), host.count("points_dropped", "coalesced")),
            (7, 54)
        );
    });
}

#[test]
fn two_sweeps_in_one_request_are_two_requests_of_the_api_in_order() {
    let name = "two_sweeps_in_one_request_are_two_requests_of_the_api_in_order";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        let (table, values) = host.table(&counters(300));
        let now = host.clock.now();
        let at = |time| read_at(&table, EPOCH - 100 * SECOND, time, values.clone());
        host.deliver(vec![at(now - 20 * SECOND), at(now - 10 * SECOND), at(now)])
            .await;
        host.assert_no_violations();
        assert_eq!(host.requests(), [200, 200, 200, 100, 100, 100]);
    });
}

#[test]
fn resets_restarts_and_unknown_starts_make_valid_intervals() {
    let name = "resets_restarts_and_unknown_starts_make_valid_intervals";
    on_both(name, async |side| {
        let mut host = Host::on(side, CONFIG).await;
        let (table, _) = host.table("net/known{a=1} 0 counter\nnet/unknown{a=1} 0 counter");
        let mut boot = EPOCH - 100 * SECOND;
        for sweep in 0..60_i64 {
            if sweep % 9 == 8 {
                // The counters were reset 3 s ago.
                boot = host.clock.now() - 3 * SECOND;
            }
            if sweep % 20 == 19 {
                host = host.restarted(CONFIG).await;
            }
            let value = Value::Int(sweep % 9 * 10);
            let starts: Arc<[u64]> = [boot, 0].into();
            let batch = host
                .shows(&table, 0, vec![value.clone(), value])
                .with_starts(starts);
            host.deliver(vec![batch]).await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        // The counter without a start lacks one point after each restart.
        assert_eq!(host.accepted_of_each(), [60, 56]);
    });
}

#[test]
fn a_clock_that_is_set_makes_no_invalid_point() {
    let name = "a_clock_that_is_set_makes_no_invalid_point";
    on_both(name, async |side| {
        for step in [-3600, -30, -1, 1, 30, 240] {
            let host = Host::on(side, CONFIG).await;
            let (table, _) = host.table("net/c 0 counter\nnet/g 0 gauge\nnet/u 0 counter");
            for sweep in 0..50_i64 {
                if sweep == 10 {
                    host.clock.step(step);
                }
                if sweep == 30 {
                    host.clock.step(-step);
                }
                let values = vec![Value::Int(sweep); 3];
                let starts: Arc<[u64]> = [EPOCH - SECOND, 0, 0].into();
                host.deliver(vec![host.shows(&table, 0, values).with_starts(starts)])
                    .await;
                host.advance(10).await;
            }
            host.assert_no_violations();
            assert!(host.accepted() > 3 * 25, "step {step}: {}", host.accepted());
        }
    });
}

#[test]
fn thousands_of_series_go_in_requests_of_two_hundred() {
    let name = "thousands_of_series_go_in_requests_of_two_hundred";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        let (table, values) = host.table(&counters(3_000));
        for _ in 0..3 {
            host.deliver(vec![host.shows(&table, EPOCH - SECOND, values.clone())])
                .await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!((host.accepted(), host.requests()), (9_000, vec![200; 45]));
    });
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_api_costs_nothing_but_time() {
    let host = Host::new(CONFIG).await;
    let (table, values) = host.table(&counters(1_000));
    let sweeps: Vec<_> = (0..360)
        .map(|sweep| {
            let time = host.clock.now() + sweep * 10 * SECOND;
            vec![read_at(&table, EPOCH - SECOND, time, values.clone())]
        })
        .collect();
    // The API is down: each attempt of the first hour fails. The queue holds what is read.
    let unavailable = || NextResponse::Fail(Status::unavailable("no"));
    host.fake
        .with(|it| it.next_responses.extend((0..3_600).map(|_| unavailable())));
    for sweep in sweeps {
        host.deliver(sweep).await;
    }
    host.fake.assert_no_violations();
    host.assert_accounted();
    assert_eq!(
        (
            host.fake.accepted_points(),
            host.count("points_rejected", "")
        ),
        (360_000, 0)
    );
}

#[test]
fn a_series_that_turns_real_keeps_its_descriptors_type_or_is_left_out() {
    let name = "a_series_that_turns_real_keeps_its_descriptors_type_or_is_left_out";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        let (table, _) = host.table("net/int 0 gauge\nnet/real 0 gauge");
        for (int, real) in [
            (Value::Int(1), Value::Double(1.5)),
            (Value::Double(2.0), Value::Int(2)),
            (Value::Double(2.5), Value::Double(2.5)),
        ] {
            host.deliver(vec![host.shows(&table, 0, vec![int, real])])
                .await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(
            (
                host.accepted(),
                host.count("points_dropped", "series_refused")
            ),
            (5, 1)
        );
    });
}

#[tokio::test(start_paused = true)]
async fn a_descriptor_of_another_kind_is_never_written_to_and_one_of_another_number_is_followed() {
    use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
    use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
        MetricKind, ValueType,
    };
    let host = Host::new(CONFIG).await;
    let existing = |name: &str, kind: MetricKind| MetricDescriptor {
        r#type: format!("custom.googleapis.com/net/{name}"),
        metric_kind: kind.into(),
        value_type: ValueType::Double.into(),
        ..MetricDescriptor::default()
    };
    host.fake.with(|it| {
        for descriptor in [
            existing("kind", MetricKind::Gauge),
            existing("number", MetricKind::Cumulative),
        ] {
            it.descriptors.insert(descriptor.r#type.clone(), descriptor);
        }
    });
    host.show(
        EPOCH - SECOND,
        "net/kind 1 counter\nnet/number 1 counter\nnet/new 1 counter",
    )
    .await;
    host.fake.assert_no_violations();
    assert_eq!(
        (
            host.fake.accepted_points(),
            host.count("points_dropped", "series_refused")
        ),
        (2, 1)
    );
    host.assert_accounted();
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_is_slower_than_the_time_out_gets_each_point_once() {
    let host = Host::new(CONFIG).await;
    host.fake.with(|it| it.delay = Duration::from_millis(3_500));
    let (table, values) = host.table(&counters(10_000));
    for _ in 0..2 {
        // 50 requests of 3.5 s, 8 at a time: 24.5 s, in attempts of 12 s.
        host.deliver(vec![host.shows(&table, EPOCH - SECOND, values.clone())])
            .await;
    }
    host.fake.assert_no_violations();
    host.assert_accounted();
    assert_eq!(
        (host.fake.accepted_points(), host.count("points_sent", "")),
        (20_000, 20_000)
    );
    assert!(host.count("requests_retried", "") > 0);
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_the_first_point_makes_one() {
    for (keys, method) in [
        ("skip_create_descriptor: true", "CreateTimeSeries"),
        ("create_service_timeseries: true", "CreateServiceTimeSeries"),
    ] {
        let yaml = format!(
            "{{project: p, detectors: [], destination_project_quota: true, metric: {{{keys}}}}}"
        );
        let host = Host::new(&yaml).await;
        host.fake.with(|it| it.auto_create = true);
        host.show(EPOCH - SECOND, "net/x 1 counter\nnet/y 1.5 gauge")
            .await;
        host.fake.assert_no_violations();
        host.fake.with(|it| {
            assert_eq!(
                (it.created_descriptors.len(), it.series.len(), &*it.methods),
                (0, 2, &[method.to_owned()][..])
            );
            assert_eq!(it.metadata[0].get("x-goog-user-project").unwrap(), "p");
        });
    }
}
