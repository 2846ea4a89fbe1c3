//! What is shown, line by line.

use super::*;
use crate::data::{Sweep, TableSplitter, Value};
use crate::formats::text;

fn exposition() -> (Exposition, Counters) {
    let counters = Counters::new("stdout");
    let exposition = Exposition::new(Settings::default(), counters.clone());
    (exposition, counters)
}

fn batches(text: &str) -> Vec<Batch> {
    text::parse(text).unwrap()
}

fn tables(batches: &[Batch]) -> Vec<Arc<Table>> {
    batches.iter().map(|it| Arc::clone(it.table())).collect()
}

/// Takes all of it in, and publishes it. Returns how many points are left out.
fn show(exposition: &mut Exposition, batches: &[Batch]) -> u64 {
    let left_out = batches.iter().map(|it| exposition.take(it)).sum();
    exposition.publish(&tables(batches));
    left_out
}

fn written(exposition: &mut Exposition) -> String {
    let snapshot = exposition.snapshot();
    exposition.forget_gone();
    snapshot.write(Format::Text, Escaping::Underscores)
}

#[test]
fn one_family_has_one_head_and_collisions_are_left_out_and_counted() {
    let batches = batches(
        "net/n-dash{device=/a} 1 counter\nnet/n_dash{device=/a} 2 counter\nnet/n-dash{device=\"q\\\"\\n\\\\\"} 3 counter\n\
         net/0{} 4 gauge\nkvm/x_total{a-b=1,a.b=2} 5.5 counter\nkvm/gone end gauge\nkvm/e{device=\"\"} 1e300 gauge\nkvm/u 1",
    );
    let (mut exposition, counters) = exposition();
    assert_eq!(show(&mut exposition, &batches), 1);
    assert!(exposition.has_news());
    let expected = "# HELP kvm_e kvm/e\n# TYPE kvm_e gauge\nkvm_e{device=\"\"} 1e300\n\
         # HELP kvm_u kvm/u\n# TYPE kvm_u untyped\nkvm_u 1\n\
         # HELP kvm_x_total kvm/x_total\n# TYPE kvm_x_total counter\nkvm_x_total{a_b=\"1;2\"} 5.5\n# HELP net_0 net/0\n# TYPE net_0 gauge\nnet_0 4\n\
         # HELP net_n_dash_total net/n-dash\n# TYPE net_n_dash_total counter\nnet_n_dash_total{device=\"/a\"} 1\nnet_n_dash_total{device=\"q\\\"\\n\\\\\"} 3\n";
    assert_eq!(written(&mut exposition), expected);
    assert_eq!(counters.total("series_refused"), 1);
    assert_eq!((counters.total("points_dropped"), counters.lost()), (1, 1));
    assert!(!exposition.has_news());
}

#[test]
fn a_histogram_is_buckets_that_add_up_and_has_its_names_for_itself() {
    let batches = batches(
        "kvm/halt_hist{vcpu=0} 0.5:1,1.0:2,2.5:0,inf:3;sum:7.5 histogram s\nkvm/halt_hist_seconds_sum 1 gauge\nkvm/d 1 counter:delta",
    );
    let (mut exposition, counters) = exposition();
    assert_eq!(show(&mut exposition, &batches), 2);
    let text = written(&mut exposition);
    let expected = "# HELP kvm_halt_hist_seconds kvm/halt_hist\n# TYPE kvm_halt_hist_seconds histogram\n\
        kvm_halt_hist_seconds_bucket{vcpu=\"0\",le=\"0.5\"} 1\nkvm_halt_hist_seconds_bucket{vcpu=\"0\",le=\"1.0\"} 3\n\
        kvm_halt_hist_seconds_bucket{vcpu=\"0\",le=\"2.5\"} 3\nkvm_halt_hist_seconds_bucket{vcpu=\"0\",le=\"+Inf\"} 6\n\
        kvm_halt_hist_seconds_sum{vcpu=\"0\"} 7.5\nkvm_halt_hist_seconds_count{vcpu=\"0\"} 6\n";
    assert_eq!(text, expected);
    assert_eq!(counters.total("points_dropped"), 2);
}

#[test]
fn a_histogram_has_a_count_in_openmetrics_only_beside_a_sum() {
    let (mut exposition, _) = exposition();
    let lines = "s/a 1.0:2,inf:3;sum:7.5 histogram\ns/b 1.0:2,inf:3 histogram\ns/c -1.0:2,inf:3;sum:-7.5 histogram";
    assert_eq!(show(&mut exposition, &batches(lines)), 0);
    let snapshot = exposition.snapshot();
    for (format, expected) in [
        (Format::Text, ["s_a", "s_b", "s_c"].as_slice()),
        (Format::OpenMetrics, &["s_a"]),
    ] {
        let text = snapshot.write(format, Escaping::Underscores);
        let counts = text.lines().filter_map(|it| it.strip_suffix("_count 5"));
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(text.matches("_bucket{le=\"+Inf\"} 5").count(), 3);
    }
    let text = snapshot.write(Format::Text, Escaping::Underscores);
    assert!(text.contains("s_c_sum -7.5\n"), "{text}");
}

#[test]
fn openmetrics_has_its_own_kinds_units_and_end_and_odd_names_are_quoted_for_who_knows_them() {
    let settings = Settings {
        translation_strategy: TranslationStrategy::NoUtf8EscapingWithSuffixes,
        ..Settings::default()
    };
    let mut exposition = Exposition::new(settings, Counters::new("prometheus"));
    let lines = "net/rx{a.b=\"q\\\"\"} 1 counter By\nnet/up 1 gauge\nodd 2";
    show(&mut exposition, &batches(lines));
    let snapshot = exposition.snapshot();
    let expected = "# HELP \"net/rx_bytes\" net/rx\n# TYPE \"net/rx_bytes\" counter\n# UNIT \"net/rx_bytes\" bytes\n\
        {\"net/rx_bytes_total\",\"a.b\"=\"q\\\"\"} 1\n# HELP \"net/up\" net/up\n# TYPE \"net/up\" gauge\n{\"net/up\"} 1\n\
        # HELP odd odd\n# TYPE odd unknown\nodd 2\n# EOF\n";
    assert_eq!(
        snapshot.write(Format::OpenMetrics, Escaping::AllowUtf8),
        expected
    );
    let text = snapshot.write(Format::Text, Escaping::Values);
    assert!(
        text.contains("\nU__net_2f_rx__bytes__total{U__a_2e_b=\"q\\\"\"} 1\n"),
        "{text}"
    );
}

#[test]
fn what_all_series_have_stands_beside_their_own_labels() {
    let head = batches("net/rx{job=own} 1 counter")[0]
        .table()
        .head()
        .clone();
    let settings = Settings {
        namespace: "host 1".into(),
        const_labels: [("a b", "c"), ("job", "const")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        scope_info: true,
        own_resource: head.resource.clone(),
        target_info: true,
        timestamps: true,
        ..Settings::default()
    };
    let mut exposition = Exposition::new(settings, Counters::new("prometheus"));
    show(&mut exposition, &batches("net/rx{job=own} 1 counter"));
    let text = exposition
        .snapshot()
        .write(Format::Text, Escaping::Underscores);
    assert!(
        text.starts_with(
            "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{"
        ),
        "{text}"
    );
    assert!(
        text.contains("\nhost_1_net_rx_total{a_b=\"c\",job=\"own\",otel_scope_name="),
        "{text}"
    );
    let line = text.lines().last().unwrap();
    let parts: Vec<&str> = line.rsplitn(3, ' ').collect();
    assert_eq!(parts[1], "1", "{line}");
    assert!(parts[0].parse::<u64>().is_ok(), "{line}");
}

#[test]
fn no_control_or_format_character_is_in_it_but_the_end_of_a_line() {
    let (mut exposition, _) = exposition();
    show(
        &mut exposition,
        &batches("s/a{k=\"\\t\\u001b[2J\\u202e\\u2028\\n\\u009b\"} 1 gauge"),
    );
    let expected = "# HELP s_a s/a\n# TYPE s_a gauge\ns_a{k=\"\u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}\\n\u{fffd}\"} 1\n";
    assert_eq!(written(&mut exposition), expected);
}

#[test]
fn what_is_known_of_a_table_dies_with_it() {
    let (mut exposition, _) = exposition();
    for number in 0..1_000 {
        show(
            &mut exposition,
            &batches(&format!("s/once{number} 1 gauge")),
        );
        written(&mut exposition);
    }
    let (tables, (lines, families)) = (exposition.tables.len(), exposition.lines.len());
    assert!(tables <= 2 && lines <= 2 && families <= 2, "{exposition:?}");
}

#[test]
fn a_line_is_free_again_when_its_series_has_ended_or_its_table_has_gone() {
    let (mut exposition, counters) = exposition();
    let (first, second) = (batches("s/a-b 1 gauge"), batches("s_a/b 2 gauge"));
    let mut sweep = |of: &[Batch]| show(&mut exposition, of);
    assert_eq!((sweep(&first), sweep(&second), sweep(&second)), (0, 1, 1));
    assert_eq!(counters.total("series_refused"), 1, "once");
    let ended = first[0].with_values(vec![Value::Ended]);
    assert_eq!((sweep(&[ended]), sweep(&second), sweep(&first)), (0, 0, 1));
    drop(second);
    written(&mut exposition);
    assert_eq!(show(&mut exposition, &first), 0);
    assert!(written(&mut exposition).ends_with("\ns_a_b 1\n"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_shown_again_expires_but_never_before_three_of_its_intervals() {
    let (mut exposition, _) = exposition();
    let batches = batches("s/a 1 gauge");
    let minute = Duration::from_mins(1);
    // How often it comes is not known yet.
    show(&mut exposition, &batches);
    tokio::time::advance(6 * minute).await;
    exposition.forget_expired(5 * minute);
    assert!(exposition.snapshot().is_empty());
    assert_eq!(exposition.lines.len(), (0, 0));
    tokio::time::advance(4 * minute).await;
    show(&mut exposition, &batches);
    for (after, is_there) in [(29 * minute, true), (2 * minute, false)] {
        tokio::time::advance(after).await;
        exposition.forget_expired(5 * minute);
        assert_eq!(!exposition.snapshot().is_empty(), is_there, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_seldom_does_not_expire_before_it_is_due_again_be_it_the_first_time() {
    let (mut exposition, _) = exposition();
    let minute = Duration::from_mins(1);
    let batch = batches("s/a 1 gauge").remove(0);
    let seldom = [batch.with_interval(10 * minute)];
    show(&mut exposition, &seldom);
    for (after, is_there) in [(29 * minute, true), (2 * minute, false)] {
        tokio::time::advance(after).await;
        exposition.forget_expired(5 * minute);
        assert_eq!(!exposition.snapshot().is_empty(), is_there, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_series_ends_while_its_table_is_not_due_the_others_stay_as_long_as_they_would() {
    let (mut exposition, _) = exposition();
    let hour = Duration::from_hours(1);
    let batch = batches("s/a 1 gauge\ns/b 2 gauge")
        .remove(0)
        .with_interval(hour);
    show(&mut exposition, std::slice::from_ref(&batch));
    tokio::time::advance(hour / 60).await;
    show(
        &mut exposition,
        &[batch.with_values(vec![Value::Ended, Value::Absent])],
    );
    for (after, expected) in [
        (hour * 2, "# HELP s_b s/b\n# TYPE s_b gauge\ns_b 2\n"),
        (hour, ""),
    ] {
        tokio::time::advance(after).await;
        exposition.forget_expired(hour / 12);
        assert_eq!(written(&mut exposition), expected);
    }
}

#[test]
fn lines_go_with_their_rows_from_part_to_part_of_a_table_that_is_made_anew() {
    let (mut exposition, _) = exposition();
    let mut splitter = TableSplitter::default();
    let mut held = Vec::new();
    for (number, rows) in (0u64..).zip(["abcdef", "bcdef", "bcdef", "cdef", "ef", "f", "abcdefg"]) {
        let line = |row| format!("s/x{{row={row}}} {number} gauge\n");
        let batch = batches(&rows.chars().map(line).collect::<String>()).remove(0);
        let sweep = Sweep::new(number, Duration::from_secs(1), true);
        let (starts, times) = (batch.starts_unix_nano(), batch.times());
        let (table, values) = (Arc::clone(batch.table()), batch.values().to_vec());
        let batch = Batch::new(table, Arc::clone(starts), times.clone(), values, sweep);
        let parts = splitter.split(batch, 2);
        assert_eq!(show(&mut exposition, &parts), 0, "{rows}");
        let text = exposition
            .snapshot()
            .write(Format::Text, Escaping::Underscores);
        let shown: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
        let line = |row| format!("s_x{{row=\"{row}\"}} {number}");
        let expected: Vec<String> = rows.chars().map(line).collect();
        assert_eq!(shown, expected);
        // Some of the old parts live on.
        held.extend(parts);
    }
}

#[test]
fn a_snapshot_has_what_is_published_and_what_came_before_until_then() {
    let (mut exposition, _) = exposition();
    let (first, second) = (batches("s/a 1 gauge"), batches("t/b{d=1} 2 gauge"));
    show(&mut exposition, &first);
    show(&mut exposition, &second);
    for value in [10, 20] {
        exposition.take(&first[0].with_values(vec![Value::Int(value)]));
        exposition.take(&second[0].with_values(vec![Value::Int(value)]));
    }
    let before = exposition.snapshot();
    exposition.publish(&tables(&first));
    let after = exposition.snapshot();
    let values = |snapshot: &Snapshot| {
        let text = snapshot.write(Format::Text, Escaping::Underscores);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(values(&before), ["s_a 1", "t_b{d=\"1\"} 2"]);
    assert_eq!(values(&after), ["s_a 20", "t_b{d=\"1\"} 2"]);
}
