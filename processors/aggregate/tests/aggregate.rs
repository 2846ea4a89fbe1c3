//! The contracts, and what becomes of groups from sweep to sweep.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use pipeline::testing::{assert_contracts, check_cases, context, mistakes, processor};
use pipeline::{
    Batch, Demand, Head, Kind, Outbox, Processor, Series, Sweep, Table, Times, Value, Verdict,
    Want, formats::text, telemetry::Counters,
};
use processor_aggregate::Aggregate;

const INPUT: &str = "kvm/exits{vcpu=0,vm=1-2} 40 counter\nkvm/exits{vcpu=1,vm=1-2} 2 counter\nkvm/exits{vcpu=0,vm=9-2} 7 counter\n\
    kvm/gone{vcpu=0} end counter\nkvm/gone{vcpu=1} end counter\nkvm/half{vcpu=0} end counter\nkvm/half{vcpu=1} 3 counter\n\
    kvm/no{vcpu=0} - gauge\nkvm/temp{vcpu=0} 1.5 gauge\nkvm/temp{vcpu=1} 3 gauge\nkvm/other{vcpu=1} 5 gauge\n\
    net/rx{device=a} 1 counter By\nnet/rx{device=b} 2 counter {packet}\nnet/h{device=a} 1.0:2,inf:1 histogram\n\
    net/x{} 1\n";

const ALL: &str = "
carry: 1m
rules:
- {match: {name: kvm/exits}, without: [vcpu], function: sum, members_leave: false}
- {match: {name: kvm/temp}, by: [], function: avg}
- {match: {name: 'kvm/{gone,half,no}'}, by: [vm], function: max}
- {match: {name: 'net/*'}, without: [device], function: sum}
";

#[test]
fn it_keeps_the_contracts() {
    let readme = include_str!("../README.md");
    assert_contracts::<Aggregate>(readme, ALL, INPUT);
    assert_contracts::<Aggregate>(readme, "{}", INPUT);
    for key in ["match", "without", "by", "function", "members_leave"] {
        assert!(readme.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn every_case_gives_what_it_says() {
    check_cases::<Aggregate>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases").as_ref());
}

#[test]
fn a_rule_says_which_labels_go_or_which_stay() {
    let yaml = "rules: [{function: sum}, {by: [], function: sum}]";
    let neither = "rules.0: says which labels go, in `without`, or which stay, in `by`";
    assert_eq!(mistakes::<Aggregate>(yaml), [neither]);
    let yaml = "rules: [{by: [], without: [], function: sum}]";
    assert_eq!(
        mistakes::<Aggregate>(yaml),
        ["rules.0: takes either `without` or `by`"]
    );
}

/// One table from sweep to sweep, a second each; times are in seconds.
struct ShownTable {
    table: Arc<Table>,
    starts: Vec<u64>,
}

impl ShownTable {
    /// The series of these lines of the notation, all begun at this second, in a slot of their own.
    fn new(slot: &str, lines: &str, start: u64) -> ShownTable {
        let parsed = text::parse(lines).unwrap().remove(0);
        let head = Arc::new(parsed.table().head().with_table_slot(slot.into()));
        let series = parsed.table().series().to_vec();
        let starts = vec![start * SECOND; series.len()];
        ShownTable {
            table: Table::new(head, series),
            starts,
        }
    }

    fn batch(&self, second: u64, last: bool, values: &[Value]) -> Batch {
        Batch::new(
            Arc::clone(&self.table),
            self.starts.clone().into(),
            Times::One(second * SECOND),
            values.to_vec(),
            Sweep::new(second, Duration::from_secs(1), last),
        )
    }
}

const SECOND: u64 = 1_000_000_000;
const NOTHING: Value = Value::Absent;
const END: Value = Value::Ended;

fn ints(values: &[i64]) -> Vec<Value> {
    values.iter().copied().map(Value::Int).collect()
}

/// A processor, and what it lets out.
struct Stage(Box<dyn Processor>, Outbox, Counters);

impl Stage {
    fn new(rule: &str) -> Stage {
        let yaml = format!("{{carry: 10s, rules: [{{{rule}}}]}}");
        let counters = Counters::new("test");
        let out = Outbox::new(counters.clone());
        Stage(processor::<Aggregate>(&yaml), out, counters)
    }

    fn process(&mut self, batch: Batch) -> Vec<Batch> {
        self.0.process(batch, &mut self.1).unwrap();
        self.1.take().concat()
    }

    /// The only value that comes out, and its start in seconds.
    fn one(&mut self, batch: Batch) -> Option<(Value, u64)> {
        let mut sent = self.process(batch);
        sent.retain(|it| it.points() > 0);
        assert!(sent.len() <= 1);
        let sent = sent.pop()?;
        assert_eq!(sent.points(), 1);
        let row = sent.values().iter().position(|it| *it != NOTHING).unwrap();
        let value = sent.values()[row].clone();
        Some((value, sent.starts_unix_nano()[row] / SECOND))
    }
}

const TWO: &str = "s/c{cpu=0} 0 counter\ns/c{cpu=1} 0 counter\n";

#[test]
fn a_group_is_whole_when_its_sweep_ends_and_keeps_its_table() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let (one, two) = (
        ShownTable::new("a", TWO, 5),
        ShownTable::new("b", "s/c{cpu=2} 0 counter\ns/d 0 gauge", 3),
    );
    let mut tables = Vec::new();
    for second in 10..13 {
        assert!(
            stage
                .process(one.batch(second, false, &ints(&[1, 2])))
                .is_empty()
        );
        let sent = stage.process(two.batch(second, true, &ints(&[4, 8])));
        assert_eq!(text::format(&sent), "s/c 7 updown\ns/d 8 gauge\n");
        let lasts: Vec<bool> = sent.iter().map(|it| it.sweep().last).collect();
        assert_eq!(lasts, [true]);
        assert_eq!(sent[0].starts_unix_nano()[0], 3 * SECOND);
        assert_eq!(sent[0].time_unix_nano(0), second * SECOND);
        tables.push(Arc::clone(sent[0].table()));
    }
    assert!(tables.iter().all(|it| Arc::ptr_eq(it, &tables[0])));
    assert_eq!(&*tables[0].head().table_slot, "test/s/0");
}

#[test]
fn a_member_that_shows_nothing_counts_with_what_it_last_showed_for_a_while() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let shown = ShownTable::new("a", TWO, 0);
    let value = |it: Option<(Value, u64)>| it.map(|it| it.0);
    let both = shown.batch(100, true, &ints(&[1, 2]));
    assert_eq!(value(stage.one(both)), Some(Value::Int(3)));
    let failed = shown.batch(101, true, &[Value::Int(5), NOTHING]);
    assert_eq!(value(stage.one(failed)), Some(Value::Int(7)));
    assert_eq!(stage.2.total("values_carried"), 1);
    let neither = shown.batch(102, true, &[NOTHING, NOTHING]);
    assert_eq!(value(stage.one(neither)), None);
    let late = shown.batch(111, true, &[Value::Int(6), NOTHING]);
    assert_eq!(value(stage.one(late)), Some(Value::Int(6)));
    let again = shown.batch(112, true, &ints(&[6, 2]));
    assert_eq!(value(stage.one(again)), Some(Value::Int(8)));
}

#[test]
fn members_read_at_different_paces_do_not_make_a_sum_jump() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let often = ShownTable::new("a", "s/c{cpu=0} 0 counter", 0);
    let seldom = ShownTable::new("b", "s/c{cpu=1} 0 counter", 0);
    for second in 10..20 {
        let is_due = second % 5 == 0;
        let sent = stage.process(often.batch(second, !is_due, &ints(&[1])));
        let sent = if is_due {
            stage.process(seldom.batch(second, true, &ints(&[10])))
        } else {
            sent
        };
        assert_eq!(text::format(&sent), "s/c 11 updown\n", "{second}");
    }
}

#[test]
fn a_group_goes_on_while_a_member_lives_and_ends_with_the_last() {
    for (more, expected) in [
        ("", [Some(3), Some(2), None]),
        // What had been counted is kept.
        (", members_leave: false", [Some(3), Some(3), None]),
    ] {
        let mut stage = Stage::new(&format!("without: [cpu], function: sum{more}"));
        let shown = ShownTable::new("a", TWO, 0);
        let sweeps = [
            ints(&[1, 2]),
            vec![END, Value::Int(2)],
            vec![NOTHING, END],
            vec![NOTHING, NOTHING],
        ];
        let mut got = Vec::new();
        for (second, values) in (10..).zip(sweeps) {
            got.push(stage.one(shown.batch(second, true, &values)).map(|it| it.0));
        }
        let ended = expected.iter().map(|it| Some(it.map_or(END, Value::Int)));
        assert_eq!(got, ended.chain([None]).collect::<Vec<_>>(), "{more}");
        // Six points came in, three went on.
        assert_eq!(stage.2.total("points_dropped"), 5 - 3);
    }
}

#[test]
fn a_counter_of_counters_never_falls() {
    let mut stage = Stage::new("without: [cpu], function: sum, members_leave: false");
    let first = ShownTable::new("a", TWO, 5);
    let out = stage.one(first.batch(10, true, &ints(&[100, 10])));
    // They are older than the program: others may have left before.
    assert_eq!(out, Some((Value::Int(110), 10)));
    let reset = first.batch(11, true, &ints(&[3, 11]));
    assert_eq!(stage.one(reset), Some((Value::Int(114), 10)));
    let gone = first.batch(12, false, &[END, Value::Int(12)]);
    assert_eq!(stage.one(gone), None);
    // One that began since the last sweep, and one that is older than that.
    let (young, old) = (
        ShownTable::new("b", "s/c{cpu=7} 0 counter", 11),
        ShownTable::new("c", "s/c{cpu=8} 0 counter", 1),
    );
    assert_eq!(stage.one(young.batch(12, false, &ints(&[20]))), None);
    let out = stage.one(old.batch(12, true, &ints(&[1_000_000])));
    assert_eq!(out, Some((Value::Int(135), 10)));
    assert_eq!(stage.one(young.batch(13, false, &ints(&[20]))), None);
    let out = stage.one(old.batch(13, true, &ints(&[1_000_001])));
    assert_eq!(out, Some((Value::Int(136), 10)));
}

#[test]
fn a_counter_of_counters_that_comes_later_begins_with_them_where_their_starts_are_known() {
    let mut stage = Stage::new("without: [cpu], function: sum, members_leave: false");
    let there = ShownTable::new("a", "s/other 0 gauge", 0);
    stage.process(there.batch(10, true, &ints(&[1])));
    for (slot, starts, expected) in [("b", [11, 12], 11), ("c", [11, 13], 13)] {
        let mut came = ShownTable::new(slot, &TWO.replace("s/c", &format!("s/{slot}")), 0);
        came.starts = starts.map(|start| start * SECOND).to_vec();
        let out = stage.one(came.batch(13, true, &ints(&[1, 2])));
        assert_eq!(out, Some((Value::Int(3), expected)), "{slot}");
    }
}

#[test]
fn a_table_that_is_remade_keeps_what_its_members_showed_and_lets_the_others_go() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let before = ShownTable::new("a", TWO, 5);
    let out = stage.one(before.batch(10, true, &ints(&[1, 2])));
    assert_eq!(out, Some((Value::Int(3), 5)));
    let after = ShownTable::new("a", "s/c{cpu=1} 0 counter\ns/c{cpu=2} 0 counter", 5);
    let out = stage.one(after.batch(11, true, &[NOTHING, Value::Int(4)]));
    assert_eq!(out, Some((Value::Int(6), 5)));
    // A table without its groups: they are no more, and neither is their table.
    let other = ShownTable::new("a", "s/d 0 gauge", 5);
    let sent = stage.process(other.batch(12, true, &ints(&[9])));
    assert_eq!(text::format(&sent), "s/d 9 gauge\n");
    let again = stage.process(before.batch(13, true, &ints(&[1, 2])));
    assert_eq!(text::format(&again), "s/c 3 updown\n");
    assert_eq!(again[0].table().len(), 1);
}

#[test]
fn what_nobody_holds_any_more_is_forgotten_when_it_is_too_old_to_count() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let stays = ShownTable::new("a", "s/c{cpu=0} 0 counter", 0);
    let goes = ShownTable::new("b", "s/c{cpu=1} 0 counter", 0);
    assert_eq!(stage.one(goes.batch(10, false, &ints(&[2]))), None);
    drop(goes);
    for (second, sum) in [(10, 3), (20, 3), (21, 1)] {
        let out = stage.one(stays.batch(second, true, &ints(&[1])));
        assert_eq!(out.map(|it| it.0), Some(Value::Int(sum)), "{second}");
    }
}

#[test]
fn deltas_are_added_up_as_they_come() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let shown = ShownTable::new("a", &TWO.replace("counter", "counter:delta"), 9);
    let sent = stage.process(shown.batch(10, true, &ints(&[1, 2])));
    assert_eq!(text::format(&sent), "s/c 3 counter:delta\n");
    let sent = stage.process(shown.batch(11, true, &[Value::Int(4), NOTHING]));
    assert_eq!(text::format(&sent), "s/c 4 counter:delta\n");
}

#[test]
fn half_a_sweep_is_no_sum() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let shown = ShownTable::new("a", TWO, 0);
    assert!(
        stage
            .process(shown.batch(10, false, &ints(&[1, 2])))
            .is_empty()
    );
    stage.0.flush(&mut stage.1).unwrap();
    assert!(stage.1.take().is_empty());
    assert_eq!(stage.2.total("points_dropped"), 2);
}

#[test]
fn a_group_that_another_series_is_already_is_refused() {
    let mut stage = Stage::new("match: {labels: {cpu: '*'}}, without: [cpu], function: sum");
    let shown = ShownTable::new("a", "s/c 0 counter\ns/c{cpu=0} 0 counter", 0);
    let sent = stage.process(shown.batch(10, true, &ints(&[7, 7])));
    assert_eq!(text::format(&sent), "s/c 7 counter\n");
    // When the series is no more, there is a group.
    let mut stage = Stage::new("match: {labels: {cpu: '*'}}, without: [cpu], function: sum");
    let (file, member) = (
        ShownTable::new("a", "s/c 0 counter", 0),
        ShownTable::new("b", "s/c{cpu=0} 0 counter", 0),
    );
    for (second, file, expected) in [
        (10, file, "s/c 7 counter\n"),
        (
            11,
            ShownTable::new("a", "s/d 0 counter", 0),
            "s/c 3 updown\ns/d 7 counter\n",
        ),
    ] {
        let mut sent = stage.process(file.batch(second, false, &ints(&[7])));
        sent.extend(stage.process(member.batch(second, true, &ints(&[3]))));
        assert_eq!(text::format(&sent), expected);
    }
    // The other way round, the group came first.
    let mut stage = Stage::new("match: {labels: {cpu: '*'}}, without: [cpu], function: sum");
    let first = ShownTable::new("a", "s/c{cpu=0} 0 counter", 0);
    let later = ShownTable::new("b", "s/c 0 counter", 0);
    assert!(
        stage
            .process(first.batch(10, false, &ints(&[1])))
            .is_empty()
    );
    let sent = stage.process(later.batch(10, true, &ints(&[7])));
    assert_eq!(text::format(&sent), "s/c 1 updown\n");
    assert_eq!(stage.2.total("series_refused"), 1);
    assert_eq!(stage.2.total("points_dropped"), 1);
}

#[test]
fn what_is_dropped_below_need_not_be_read_and_what_a_group_is_made_of_is() {
    let only_sums = |_: &mut Head, series: &mut Series| {
        let is_sum = series.kind == Kind::UP_DOWN_COUNTER && series.attributes.is_empty();
        if is_sum { Verdict::Keep } else { Verdict::Drop }
    };
    let stage = processor::<Aggregate>("{rules: [{by: [], function: sum}]}");
    let demand = stage.demand(Demand::everything().map(only_sums));
    let batch = &text::parse("s/c{cpu=0} 1 counter\ns/g{cpu=0} 1 gauge").unwrap()[0];
    let want = |row: usize| demand.want(batch.table().head(), &batch.table().series()[row]);
    assert_eq!((want(0), want(1)), (Want::Always, Want::Never));
    assert_eq!(&*context().id, "test");
}

#[test]
fn many_groups_go_on_in_tables_of_a_few_thousand_and_leave_them() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let lines = |range: std::ops::Range<usize>| -> String {
        let line = |vm| format!("s/c{{cpu=0,vm={vm:05}}} 0 counter\n");
        range.map(line).collect()
    };
    let all = ShownTable::new("a", &lines(0..10_000), 0);
    let sent = stage.process(all.batch(10, true, &vec![Value::Int(1); 10_000]));
    let rows: Vec<usize> = sent.iter().map(|it| it.table().len()).collect();
    assert_eq!(rows, [4096, 4096, 1808]);
    // A tenth goes: their rows stay for the time being; then half does.
    let most = ShownTable::new("a", &lines(1000..10_000), 0);
    let sent = stage.process(most.batch(11, true, &vec![Value::Int(1); 9000]));
    let rows: Vec<_> = sent
        .iter()
        .map(|it| (it.table().len(), it.points()))
        .collect();
    assert_eq!(rows, [(4096, 3096), (4096, 4096), (1808, 1808)]);
    let few = ShownTable::new("a", &lines(5000..10_000), 0);
    let sent = stage.process(few.batch(12, true, &vec![Value::Int(1); 5000]));
    let rows: Vec<_> = sent
        .iter()
        .map(|it| (it.table().len(), it.points()))
        .collect();
    assert_eq!(rows, [(4096, 3192), (1808, 1808)]);
}

#[test]
fn one_that_comes_in_the_place_of_one_that_ends_is_no_member_twice() {
    let mut stage = Stage::new("without: [cpu], function: sum");
    let first = ShownTable::new("a", TWO, 0);
    let out = stage.one(first.batch(10, true, &ints(&[1, 2])));
    assert_eq!(out.map(|it| it.0), Some(Value::Int(3)));
    // The old row still stands before the new one, then it leaves, and then all do.
    let both = ShownTable::new("a", &format!("{TWO}s/c{{cpu=0}} 0 counter"), 0);
    let values = [END, Value::Int(2), Value::Int(5)];
    let out = stage.one(both.batch(11, true, &values));
    assert_eq!(out.map(|it| it.0), Some(Value::Int(7)));
    let later = ShownTable::new("a", TWO, 0);
    let out = stage.one(later.batch(12, true, &[NOTHING, Value::Int(2)]));
    assert_eq!(out.map(|it| it.0), Some(Value::Int(7)));
    let other = ShownTable::new("a", "s/c 0 gauge", 0);
    let mut out = None;
    for second in 13..15 {
        out = stage.one(other.batch(second, true, &ints(&[9])));
    }
    assert_eq!(out.map(|it| it.0), Some(Value::Int(9)), "no group is left");
}
