//! Series that the API refuses for the time being wait alone.

use std::time::Duration;

use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::typed_value;
use pipeline::Value;
use tokio::time::sleep;
use tonic::Code;

use crate::both_fakes::on_both;
use crate::host::{EPOCH, Host, SECOND};

const CONFIG: &str = "{project: p, detectors: [], metric: {prefix: custom.googleapis.com}}";
const QUOTA: &str = "Quota exceeded for quota metric 'Active time series'.";
const INTERNAL: &str = "Internal error encountered. Please retry after a few seconds.";

fn gauges(count: usize) -> String {
    let lines = (0..count).map(|it| format!("net/x{{device=d{it}}} 1 gauge"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The values that were accepted of this metric, in order.
fn accepted(host: &Host, metric: &str) -> Vec<i64> {
    let number = |value: &Option<typed_value::Value>| match value {
        Some(typed_value::Value::Int64Value(it)) => *it,
        other => panic!("{other:?}"),
    };
    host.fake.with(|it| {
        let series = it.series.iter().filter(|(key, _)| key.contains(metric));
        let points = series.flat_map(|(_, points)| points);
        points
            .map(|it| number(&it.value.as_ref().unwrap().value))
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn one_series_that_is_refused_for_now_holds_up_no_other_and_no_later_sweep() {
    for (code, why) in [
        (Code::ResourceExhausted, QUOTA),
        (Code::Internal, INTERNAL),
        (Code::Unavailable, "The service is overloaded."),
    ] {
        let host = Host::new(CONFIG).await;
        host.reject("d3", code, why, u32::MAX);
        let (table, values) = host.table(&gauges(10));
        for sweep in 0..5 {
            let batch = host.shows(&table, 0, values.clone());
            host.deliver(vec![batch]).await;
            assert_eq!(host.accepted(), 9 * (sweep + 1), "{code:?}");
            host.assert_no_violations();
            host.advance(10).await;
        }
        assert_eq!(host.count("requests_retried", ""), 0, "{code:?}");
        // Of the one that waits there is the newest point.
        assert_eq!(host.count("points_deferred", ""), 1, "{code:?}");
        assert_eq!(host.count("points_dropped", "coalesced"), 4, "{code:?}");

        host.fake.with(|it| it.reject = Box::new(|_| None));
        host.drain(Duration::from_mins(2)).await;
        host.assert_no_violations();
        assert_eq!(host.count("points_deferred", ""), 0, "{code:?}");
        assert_eq!((host.accepted(), host.count("points_sent", "")), (46, 46));
        host.deliver(vec![host.shows(&table, 0, values)]).await;
        assert_eq!(host.accepted(), 56, "it waits no longer");
    }
}

#[test]
fn what_may_be_taken_later_is_sent_again_without_the_others() {
    let name = "what_may_be_taken_later_is_sent_again_without_the_others";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        host.reject("d1", Code::Internal, INTERNAL, 1);
        host.show(0, &gauges(300)).await;
        assert_eq!(host.accepted(), 299);
        host.drain(Duration::from_mins(1)).await;
        host.assert_no_violations();
        assert_eq!(host.requests(), [200, 100, 1]);
        assert_eq!((host.accepted(), host.count("points_sent", "")), (300, 300));
    });
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_waits_loses_no_count() {
    let host = Host::new(CONFIG).await;
    let input = "net/delta{a=late} 0 counter:delta\nnet/known{a=late} 0 counter\nnet/unknown{a=late} 0 counter";
    let (table, _) = host.table(input);
    let mut boot = EPOCH - 100 * SECOND;
    for sweep in 0..12_i64 {
        // From the second sweep on none is taken for a while; meanwhile the counters are reset.
        if sweep == 1 {
            host.reject("late", Code::ResourceExhausted, QUOTA, u32::MAX);
        }
        if sweep == 6 {
            boot = host.clock.now() - SECOND;
        }
        if sweep == 8 {
            host.fake.with(|it| it.reject = Box::new(|_| None));
        }
        let total = if sweep < 6 {
            10 * sweep + 10
        } else {
            10 * (sweep - 6) + 5
        };
        let delta = host.clock.now() - 10 * SECOND;
        let batch = host.shows(&table, 0, [10, total, total].map(Value::Int).to_vec());
        host.deliver(vec![batch.with_starts([delta, boot, 0].into())])
            .await;
        host.advance(10).await;
    }
    host.drain(Duration::from_mins(5)).await;
    host.assert_no_violations();
    assert_eq!(accepted(&host, "delta").iter().sum::<i64>(), 120);
    assert_eq!(accepted(&host, "/known").last(), Some(&55));
    // It counts from the first value on, and anew from the reset on.
    assert_eq!(accepted(&host, "unknown").last(), Some(&55));
    assert_eq!(host.count("points_rejected", ""), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_counted_in_the_end_and_when_it_has_waited_for_long() {
    let host = Host::new(CONFIG).await;
    host.reject("d1", Code::ResourceExhausted, QUOTA, u32::MAX);
    host.show(0, &gauges(2)).await;
    sleep(Duration::from_mins(7)).await;
    host.assert_no_violations();
    assert_eq!(host.count("points_dropped", "deferred"), 1);
    assert_eq!(host.count("points_deferred", ""), 0);
    host.show(0, &gauges(2)).await;
    host.drain(Duration::from_secs(10)).await;
    host.assert_no_violations();
    assert_eq!(host.count("points_dropped", "shutdown"), 1);
    assert_eq!((host.accepted(), host.count("points_deferred", "")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_for_good_after_it_has_waited_is_rejected() {
    let host = Host::new(CONFIG).await;
    host.reject("d1", Code::Internal, INTERNAL, 1);
    host.show(0, &gauges(2)).await;
    host.reject("d1", Code::InvalidArgument, "Unrecognized metric label.", 1);
    host.drain(Duration::from_mins(1)).await;
    host.assert_no_violations();
    assert_eq!((host.accepted(), host.count("points_rejected", "")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn many_that_wait_share_requests() {
    let host = Host::new(CONFIG).await;
    host.fake
        .with(|it| it.reject = Box::new(|_| Some((Code::ResourceExhausted, QUOTA.into()))));
    host.show(0, &gauges(2_000)).await;
    assert_eq!(host.count("points_deferred", ""), 2_000);
    host.fake.with(|it| it.reject = Box::new(|_| None));
    host.drain(Duration::from_mins(1)).await;
    host.assert_no_violations();
    assert_eq!(host.accepted(), 2_000);
    let requests = host.requests().len();
    assert!(requests < 10 + 25, "{requests}");
}
