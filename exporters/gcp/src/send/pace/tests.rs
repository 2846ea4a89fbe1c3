use super::*;

const SECOND: u64 = 1_000 * MILLI;
const PACE: Pace = Pace {
    interval: 10 * SECOND,
};

/// The outcomes of readings (start, time, value; in seconds). The API accepts each point that is sent.
fn run(kind: SeriesKind, readings: &[(u64, u64, i64)]) -> Vec<String> {
    let mut state = SeriesState::default();
    let mut out = Vec::new();
    for (start, time, value) in readings {
        let reading = Reading {
            start: start * SECOND,
            time: time * SECOND,
            value: PointValue::Int(*value),
        };
        let first = PACE.admit(&mut state, kind, time * SECOND, reading.clone());
        let again = PACE.admit(&mut state, kind, time * SECOND, reading);
        assert_eq!(first, again, "asked again, it answers the same");
        out.push(match first {
            Admission::Send(point) => {
                state.record_answer(time * SECOND, &point, true);
                #[allow(clippy::cast_precision_loss)]
                let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
                let since = point
                    .start
                    .map_or(String::new(), |it| format!("{}..", seconds(it)));
                format!("{since}{} {:?}", seconds(point.end), point.value)
            }
            Admission::Dropped(why) => why.name().into(),
            Admission::AlreadyAnswered { .. } => "done".into(),
        });
    }
    out
}

#[test]
fn a_gauge_has_no_start_and_what_comes_too_soon_gives_way_to_what_is_newer() {
    let shown = run(
        SeriesKind::Gauge,
        &[
            (0, 100, 1),
            (0, 105, 2),
            (0, 110, 3),
            (0, 119, 4),
            (0, 130, 5),
        ],
    );
    assert_eq!(
        shown,
        [
            "100 Int(1)",
            "coalesced",
            "110 Int(3)",
            "120 Int(4)",
            "130 Int(5)"
        ]
    );
}

#[test]
fn a_known_start_stays_and_a_reset_begins_after_the_last_end() {
    let shown = run(
        SeriesKind::Cumulative,
        &[
            (5, 100, 1),
            (5, 110, 2),
            (110, 120, 1),
            (110, 130, 4),
            (3, 140, 9),
        ],
    );
    assert_eq!(
        shown,
        [
            "5..100 Int(1)",
            "5..110 Int(2)",
            "110.001..120 Int(1)",
            "110.001..130 Int(4)",
            "110.001..140 Int(9)"
        ]
    );
}

#[test]
fn a_first_point_without_a_start_is_the_baseline_and_a_fall_is_a_reset() {
    for start in [0, 100] {
        let shown = run(
            SeriesKind::Cumulative,
            &[
                (start, 100, 70),
                (start, 110, 75),
                (start, 120, 75),
                (start, 130, 3),
                (start, 140, 8),
            ],
        );
        let resets = [
            "baseline",
            "100..110 Int(5)",
            "100..120 Int(5)",
            "120.001..130 Int(3)",
            "120.001..140 Int(8)",
        ];
        assert_eq!(shown, resets, "start {start}");
    }
}

#[test]
fn a_start_that_is_learnt_later_ends_the_baseline_only_where_it_is_newer() {
    let shown = run(
        SeriesKind::Cumulative,
        &[(0, 100, 70), (0, 110, 75), (50, 120, 80), (125, 130, 2)],
    );
    assert_eq!(
        shown,
        [
            "baseline",
            "100..110 Int(5)",
            "100..120 Int(10)",
            "125..130 Int(2)"
        ]
    );
}

#[test]
fn deltas_are_added_up_while_they_come_too_soon() {
    let shown = run(
        SeriesKind::Delta,
        &[
            (90, 100, 1),
            (100, 104, 2),
            (104, 108, 3),
            (108, 112, 4),
            (112, 122, 5),
            (0, 140, 6),
        ],
    );
    assert_eq!(
        shown,
        [
            "90..100 Int(1)",
            "coalesced",
            "coalesced",
            "100.001..112 Int(9)",
            "112.001..122 Int(5)",
            "122.001..140 Int(6)"
        ]
    );
}

#[test]
fn a_clock_that_goes_back_waits_until_time_has_passed_what_was_sent() {
    let shown = run(
        SeriesKind::Gauge,
        &[(0, 100, 1), (0, 60, 2), (0, 70, 3), (0, 110, 4)],
    );
    assert_eq!(
        shown,
        ["100 Int(1)", "out_of_order", "out_of_order", "110 Int(4)"]
    );
    let shown = run(
        SeriesKind::Cumulative,
        &[(0, 100, 1), (0, 110, 2), (0, 60, 3), (0, 120, 5)],
    );
    assert_eq!(
        shown,
        [
            "baseline",
            "100..110 Int(1)",
            "out_of_order",
            "100..120 Int(4)"
        ]
    );
}

#[test]
fn a_clock_that_was_a_day_ahead_holds_nothing_up_once_it_is_right() {
    let day = 24 * 3_600;
    for ahead_from in [0, 2] {
        let mut state = SeriesState::default();
        let mut sent = Vec::new();
        for sweep in 0..8_u64 {
            // Ahead of the API's clock for some sweeps. The API does not accept their points.
            let is_ahead = (ahead_from..ahead_from + 3).contains(&sweep);
            let time = (100 + sweep * 10 + if is_ahead { day } else { 0 }) * SECOND;
            let reading = Reading {
                start: 0,
                time,
                value: PointValue::Int(i64::try_from(sweep).unwrap()),
            };
            if let Admission::Send(point) =
                PACE.admit(&mut state, SeriesKind::Cumulative, time, reading)
            {
                state.record_answer(time, &point, !is_ahead);
                if !is_ahead {
                    sent.push((sweep, point.value));
                }
            }
        }
        let above = |sweep: u64, base: i64| (sweep, PointValue::Int(sweep.cast_signed() - base));
        let expected = if ahead_from == 0 {
            // The first reading by the right clock is the baseline.
            (4..8).map(|sweep| above(sweep, 3)).collect::<Vec<_>>()
        } else {
            [1, 5, 6, 7].map(|sweep| above(sweep, 0)).to_vec()
        };
        assert_eq!(sent, expected, "ahead from sweep {ahead_from}");
    }
}

#[test]
fn deltas_that_are_asked_for_again_with_a_later_one_count_once() {
    let mut state = SeriesState::default();
    let reading = |time: u64| Reading {
        start: (time - 10) * SECOND,
        time: time * SECOND,
        value: PointValue::Int(1),
    };
    let mut ask =
        |time: u64| PACE.admit(&mut state, SeriesKind::Delta, 130 * SECOND, reading(time));
    let Admission::Send(third) = ask(120) else {
        panic!("sent")
    };
    state.record_answer(120 * SECOND, &third, true);
    let mut ask =
        |time: u64| PACE.admit(&mut state, SeriesKind::Delta, 130 * SECOND, reading(time));
    assert_eq!(ask(110), Admission::Dropped(OUT_OF_ORDER));
    assert_eq!(ask(120), Admission::AlreadyAnswered { accepted: true });
    let Admission::Send(next) = ask(130) else {
        panic!("sent")
    };
    assert_eq!(next.value, PointValue::Int(1));
}

#[test]
fn what_is_too_old_or_ahead_of_the_clock_stays_here() {
    let now = 100 * 3_600 * SECOND;
    let at = |time| {
        let reading = Reading {
            start: 0,
            time,
            value: PointValue::Int(1),
        };
        PACE.admit(&mut SeriesState::default(), SeriesKind::Gauge, now, reading)
    };
    assert_eq!(
        at(now - 25 * 3_600 * SECOND - 1),
        Admission::Dropped(TOO_OLD)
    );
    assert_eq!(
        at(now + 5 * 60 * SECOND + 1),
        Admission::Dropped(IN_THE_FUTURE)
    );
    assert!(matches!(at(now - 25 * 3_600 * SECOND), Admission::Send(_)));
    assert!(matches!(at(now + 5 * 60 * SECOND), Admission::Send(_)));
}

#[test]
fn what_was_answered_is_not_sent_again() {
    let mut state = SeriesState::default();
    let reading = || Reading {
        start: 0,
        time: 100 * SECOND,
        value: PointValue::Int(1),
    };
    let Admission::Send(point) = PACE.admit(&mut state, SeriesKind::Gauge, 100 * SECOND, reading())
    else {
        panic!("sent")
    };
    state.record_answer(100 * SECOND, &point, false);
    assert_eq!(
        PACE.admit(&mut state, SeriesKind::Gauge, 100 * SECOND, reading()),
        Admission::AlreadyAnswered { accepted: false }
    );
}
