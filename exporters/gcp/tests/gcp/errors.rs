//! What the API rejects, series by series.

use std::time::Duration;

use gcp_fake::NextResponse;
use pipeline::{Exporter, Value};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::both_fakes::on_both;
use crate::host::{EPOCH, Host, SECOND, read_at};

const CONFIG: &str = "{project: p, detectors: [], metric: {prefix: custom.googleapis.com}}";

fn gauges(count: usize) -> String {
    (0..count)
        .map(|it| format!("net/x{{device=d{it}}} 1 gauge"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn one_bad_series_in_a_hundred_costs_its_neighbours_nothing() {
    let name = "one_bad_series_in_a_hundred_costs_its_neighbours_nothing";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        host.reject(
            "d7",
            Code::InvalidArgument,
            "Unrecognized metric label.",
            u32::MAX,
        );
        let (table, values) = host.table(&(gauges(1_000) + "\nnet/x{device=d1,b=d7} 1 gauge"));
        for _ in 0..10 {
            host.deliver(vec![host.shows(&table, 0, values.clone())])
                .await;
            host.advance(10).await;
        }
        host.assert_no_violations();
        assert_eq!(
            (host.accepted(), host.count("points_rejected", "")),
            (9_990, 20)
        );
        assert_eq!(host.count("requests_retried", ""), 0);
    });
}

#[test]
fn each_code_is_retried_or_not() {
    let name = "each_code_is_retried_or_not";
    on_both(name, async |side| {
        let host = Host::on(side, CONFIG).await;
        let (table, values) = host.table(&gauges(10));
        for (code, retried) in [
            (Code::Cancelled, true),
            (Code::Unknown, true),
            (Code::DeadlineExceeded, true),
            (Code::ResourceExhausted, true),
            (Code::Aborted, true),
            (Code::Internal, true),
            (Code::Unavailable, true),
            (Code::DataLoss, true),
            (Code::Unauthenticated, true),
            (Code::PermissionDenied, false),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::InvalidArgument, false),
            (Code::FailedPrecondition, false),
            (Code::OutOfRange, false),
            (Code::Unimplemented, false),
        ] {
            let counts = || (host.accepted(), host.count("points_dropped", "permanent"));
            let (accepted, dropped) = counts();
            host.fail(code);
            host.deliver(vec![host.shows(&table, 0, values.clone())])
                .await;
            host.assert_no_violations();
            let (more, lost) = if retried { (10, 0) } else { (0, 10) };
            assert_eq!(counts(), (accepted + more, dropped + lost), "{code:?}");
            host.advance(10).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_or_never_comes_costs_no_point() {
    for then in [
        NextResponse::LoseResponse(Status::unavailable("the connection broke")),
        NextResponse::Hang,
    ] {
        let host = Host::new(CONFIG).await;
        host.fake.with(|it| it.next_responses.push_back(then));
        let (table, values) = host.table(&gauges(300));
        host.deliver(vec![host.shows(&table, 0, values.clone())])
            .await;
        host.assert_accounted();
        assert_eq!(
            (host.count("points_sent", ""), host.fake.accepted_points()),
            (300, 300)
        );
        sleep(Duration::from_secs(10)).await;
        host.deliver(vec![host.shows(&table, 0, values)]).await;
        assert_eq!(
            (host.count("points_sent", ""), host.fake.accepted_points()),
            (600, 600)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_as_a_whole_goes_again_without_the_one_to_blame() {
    let host = Host::new(CONFIG).await;
    let text = "Field timeSeries[3].metric.labels[0] had an invalid value of \"x\": Unrecognized metric label.";
    host.fake.with(|it| {
        it.next_responses
            .push_back(NextResponse::Fail(Status::invalid_argument(text)));
    });
    host.show(0, &gauges(10)).await;
    host.fake.assert_no_violations();
    host.assert_accounted();
    assert_eq!(
        (
            host.fake.accepted_points(),
            host.count("points_rejected", "")
        ),
        (9, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn two_agents_under_one_resource_lose_only_what_collides() {
    let host = Host::new(CONFIG).await;
    let other = host.restarted(CONFIG).await;
    let (table, values) = host.table("net/x 1 gauge");
    for _ in 0..6 {
        host.deliver(vec![host.shows(&table, 0, values.clone())])
            .await;
        other
            .deliver(vec![other.shows(&table, 0, vec![Value::Int(2)])])
            .await;
        sleep(Duration::from_secs(10)).await;
    }
    host.assert_accounted();
    other.assert_accounted();
    assert_eq!(
        (
            host.fake.accepted_points(),
            other.count("points_rejected", "")
        ),
        (6, 6)
    );
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_would_make_hosts_one_ends_the_program() {
    let mut host = Host::new(CONFIG).await;
    host.resource = pipeline::Attributes::default();
    let (_end, hear) = tokio::sync::watch::channel(false);
    let (table, values) = host.table("net/x 1 gauge");
    let request = [read_at(&table, 0, EPOCH + SECOND, values)];
    let (done, run) = tokio::join!(
        host.gcp.export(&request),
        host.gcp.run(pipeline::Shutdown::new(hear))
    );
    assert!(done.is_err());
    assert_eq!(
        run.unwrap_err().to_string(),
        "the monitored resource generic_node would have no node_id, and all hosts of that kind would be one; set `host.id` in `service.resource`"
    );
}
