use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::create_time_series_summary::Error;

use super::*;

/// The indices of rejected series, and of those to retry later.
fn rejected_and_retryable(status: &Status, series: usize) -> (Vec<usize>, Vec<usize>) {
    let outcomes = parse_error(status, series).outcomes;
    let which = |wanted: fn(&SeriesOutcome) -> bool| {
        let all = outcomes
            .iter()
            .enumerate()
            .filter(|(_, outcome)| wanted(outcome));
        all.map(|(index, _)| index).collect()
    };
    (
        which(|it| matches!(it, SeriesOutcome::Rejected(_))),
        which(|it| matches!(it, SeriesOutcome::Deferred(_) | SeriesOutcome::RetryLater)),
    )
}

fn invalid(message: &str) -> Status {
    Status::invalid_argument(message)
}

#[test]
fn the_named_series_failed_and_their_neighbours_were_taken() {
    let order = "Points must be written in order. One or more of the points specified had an older end time than the most recent point.";
    let often = "One or more points were written more frequently than the maximum sampling period configured for the metric. {Metric: custom.googleapis.com/a, Timestamps: {Youngest Existing: '2026/01/01-00:00:10.000', New: '2026/01/01-00:00:12.000'}}";
    for text in [
        format!(
            "One or more TimeSeries could not be written: {order}: timeSeries[0-2,7]; Unknown metric: custom.googleapis.com/x: timeSeries[5]"
        ),
        format!(
            "One or more TimeSeries could not be written: \n{order}: global{{}} timeSeries[0-2,7]: custom.googleapis.com/a{{}};\nUnknown metric: global{{}} timeSeries[5]: custom.googleapis.com/x{{}};"
        ),
        format!(
            "One or more TimeSeries could not be written: timeSeries[0-2,7] (example metric.type=\"custom.googleapis.com/a\", metric.labels={{}}): write for resource=generic_node{{location:global,node_id:,namespace:}} failed with: {often}; timeSeries[5] (example metric.type=\"b\", metric.labels={{}}): write for resource=generic_node{{}} failed with: {order}"
        ),
    ] {
        assert_eq!(
            rejected_and_retryable(&invalid(&text), 9),
            (vec![0, 1, 2, 5, 7], vec![]),
            "{text}"
        );
    }
}

#[test]
fn the_reason_is_given_without_the_names() {
    for (text, reason) in [
        (
            "One or more TimeSeries could not be written: Unknown metric: custom.googleapis.com/x: timeSeries[0]",
            "Unknown metric: custom.googleapis.com/x",
        ),
        (
            "One or more TimeSeries could not be written: timeSeries[0] (example metric.type=\"a\", metric.labels={}): write for resource=generic_node{} failed with: Points must be written in order.",
            "Points must be written in order.",
        ),
        (
            "Field timeSeries[0].metric.labels[2] had an invalid value of \"application\": Unrecognized metric label.",
            "metric.labels[2] had an invalid value of \"application\": Unrecognized metric label.",
        ),
    ] {
        assert_eq!(
            parse_error(&invalid(text), 1).outcomes,
            [SeriesOutcome::Rejected(reason.into())],
            "{text}"
        );
    }
}

#[test]
fn internal_errors_of_single_series_are_for_later() {
    let text = "One or more TimeSeries could not be written: Internal error encountered. Please retry after a few seconds. If internal errors persist, contact support at https://cloud.google.com/support/docs.: timeSeries[0-1,3]; Unknown metric: agent.googleapis.com/system.swap.page_faults: timeSeries[2]";
    assert_eq!(
        rejected_and_retryable(&invalid(text), 5),
        (vec![2], vec![0, 1, 3])
    );
}

#[test]
fn a_duplicate_is_named_twice_and_counts_once() {
    let text = "One or more TimeSeries could not be written: Field timeSeries[16] had an invalid value: Duplicate TimeSeries encountered. Only one point can be written per TimeSeries per request.: timeSeries[16]; Field timeSeries[42] had an invalid value: Duplicate TimeSeries encountered. Only one point can be written per TimeSeries per request.: timeSeries[42]";
    assert_eq!(rejected_and_retryable(&invalid(text), 50).0, [16, 42]);
}

#[test]
fn a_request_that_is_wrong_as_a_whole_leaves_the_others_for_now() {
    let text = "Field timeSeries[1].points[0].interval.end_time had an invalid value of \"x\": Data points cannot be written more than 24h in the past.";
    let answer = parse_error(&invalid(text), 3);
    assert_eq!(
        (&answer.outcomes[0], &answer.outcomes[2]),
        (&SeriesOutcome::RetryNow, &SeriesOutcome::RetryNow)
    );
    assert!(matches!(answer.outcomes[1], SeriesOutcome::Rejected(_)));
    for code in [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Internal,
    ] {
        assert_eq!(
            rejected_and_retryable(&Status::new(code, ""), 2),
            (vec![], vec![0, 1]),
            "{code:?}"
        );
    }
    for code in [
        Code::PermissionDenied,
        Code::NotFound,
        Code::InvalidArgument,
        Code::Unimplemented,
    ] {
        assert_eq!(
            rejected_and_retryable(&Status::new(code, ""), 2),
            (vec![0, 1], vec![]),
            "{code:?}"
        );
    }
}

#[test]
fn a_time_that_is_rejected_is_rejected_for_all_that_are_as_far() {
    let rejected_of = |how: &str| {
        let text = format!(
            "Field timeSeries[1].points[0].interval.end_time had an invalid value of \"x\": Data points cannot be written more than {how}."
        );
        let mut outcomes = parse_error(&invalid(&text), 4).outcomes;
        propagate_rejection(&mut outcomes, &[10, 20, 20, 30]);
        let is_rejected = |outcome: &SeriesOutcome| matches!(outcome, SeriesOutcome::Rejected(_));
        outcomes.iter().map(is_rejected).collect::<Vec<_>>()
    };
    assert_eq!(rejected_of("5m0s in the future"), [false, true, true, true]);
    assert_eq!(rejected_of("24h in the past"), [true, true, true, false]);
    let other = "Field timeSeries[1].metric.labels[2] had an invalid value of \"x\": no.";
    let mut outcomes = parse_error(&invalid(other), 3).outcomes;
    propagate_rejection(&mut outcomes, &[1, 1, 1]);
    assert_eq!(
        (&outcomes[0], &outcomes[2]),
        (&SeriesOutcome::RetryNow, &SeriesOutcome::RetryNow)
    );
}

/// What is answered with a summary of four points.
fn summary(text: &str, errors: Vec<Error>, success_point_count: i32) -> Status {
    let summary = CreateTimeSeriesSummary {
        total_point_count: 4,
        success_point_count,
        errors,
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.monitoring.v3.CreateTimeSeriesSummary".into(),
        value: summary.encode_to_vec(),
    };
    let details = rpc::Status {
        code: 3,
        message: text.into(),
        details: vec![any],
    };
    Status::with_details(Code::InvalidArgument, text, details.encode_to_vec().into())
}

#[test]
fn the_summary_says_what_was_refused_without_a_name_and_what_may_go_later() {
    let error = |code, message: &str, point_count| Error {
        status: Some(rpc::Status {
            code,
            message: message.into(),
            details: Vec::new(),
        }),
        point_count,
    };
    let unnamed = parse_error(&summary("some failed", vec![error(3, "bad", 2)], 2), 4);
    assert_eq!(unnamed.unnamed_rejections, 2);
    let busy = "One or more TimeSeries could not be written: Backend is busy: timeSeries[1]; Bad metric: timeSeries[3]";
    let status = summary(
        busy,
        vec![error(14, "Backend is busy", 1), error(3, "Bad metric", 1)],
        2,
    );
    assert_eq!(rejected_and_retryable(&status, 4), (vec![3], vec![1]));
    assert_eq!(parse_error(&status, 4).unnamed_rejections, 0);
}

#[test]
fn a_message_that_names_too_much_costs_no_more_than_its_series() {
    let long = "long ".repeat(1_000);
    let text = format!("{long}: timeSeries[1-18446744073709551615]; a b: timeSeries[7-2]");
    let outcome = parse_error(&invalid(&text), 3);
    let [
        SeriesOutcome::RetryNow,
        SeriesOutcome::Rejected(first),
        SeriesOutcome::Rejected(second),
    ] = &outcome.outcomes[..]
    else {
        panic!("{outcome:?}");
    };
    assert!(first.len() < 1_010 && first.ends_with('…'), "{first}");
    assert_eq!(first, second);
    assert!(explain(&invalid(&text)).len() < 1_010);
}

#[test]
fn a_label_that_is_quoted_and_looks_like_a_name_names_nothing() {
    let fake = "; timeSeries[0]: ";
    for text in [
        format!("Field metric.labels[a] had an invalid value of \"x{fake}y\": no: timeSeries[2]"),
        format!("Bad value: global{{}} timeSeries[2]: custom.googleapis.com/a{{a:x{fake}y}};"),
        format!(
            "timeSeries[2] (example metric.type=\"a\", metric.labels={{\"a\": \"{{x{fake}y\"}}): write for resource=generic_node{{}} failed with: no"
        ),
    ] {
        let text = format!("One or more TimeSeries could not be written: {text}");
        let rejected = rejected_and_retryable(&invalid(&text), 4).0;
        assert_eq!(rejected, [2], "{text}");
    }
    let reason = |text: &str| match &parse_error(&invalid(text), 1).outcomes[0] {
        SeriesOutcome::Rejected(why) => why.clone(),
        other => panic!("{other:?}"),
    };
    let text =
        "One or more TimeSeries could not be written: Invalid value of \"a; b\": timeSeries[0]";
    assert_eq!(
        reason(text),
        "Invalid value of \"a; b\"",
        "it is shown as it is"
    );
}

#[test]
fn where_more_are_named_than_failed_none_is_believed_and_the_count_holds() {
    // A quote within the quote.
    let text = "One or more TimeSeries could not be written: invalid value of \"\"; timeSeries[0]: x; \": timeSeries[2]";
    let status = summary(text, Vec::new(), 3);
    let outcome = parse_error(&status, 4);
    assert!(
        outcome
            .outcomes
            .iter()
            .all(|it| *it == SeriesOutcome::Accepted)
    );
    assert_eq!(outcome.unnamed_rejections, 1);
}
