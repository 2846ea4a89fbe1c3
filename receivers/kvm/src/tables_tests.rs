use std::collections::BTreeMap;
use std::time::Duration;

use pipeline::{AnyValue, Attributes, Metric, SourceDirectory, SourceFile};

use super::*;
use crate::config::SourceName;
use crate::part::PartValues;
use crate::statistic::Column;

const TICK: Duration = Duration::from_secs(10);

fn columns(names: &[&str]) -> Arc<[Column]> {
    let column = |name: &&str| {
        let mut metric = Metric::default();
        metric.name = format!("kvm/{name}").into();
        Column {
            metric: Arc::new(metric),
            file: Arc::new(SourceFile::new(*name)),
        }
    };
    names.iter().map(column).collect()
}

fn part(vm: &str, source: SourceName, columns: &Arc<[Column]>, start: u64) -> Part {
    Part {
        key: PartKey {
            vm: vm.into(),
            vcpu: None,
            source,
            is_sum: false,
        },
        attributes: Arc::new(Attributes::from_iter([("vm", vm)])),
        directory: Arc::new(SourceDirectory::new(format!("kvm/{vm}"), "")),
        columns: Arc::clone(columns),
        start,
        values: PartValues::Files(Vec::new()),
    }
}

fn tables(demand: Demand) -> Tables {
    Tables::new(pipeline::testing::context(), demand, Purpose::Run)
}

/// What a sweep shows, by name and VM.
fn sweep(tables: &mut Tables, number: u64) -> BTreeMap<String, String> {
    let batches = tables.sweep(number, TICK, |_, columns, values| {
        let number = |it: &usize| Value::Int(i64::try_from(*it).unwrap());
        values.extend(columns.iter().map(number));
    });
    let lasts: Vec<bool> = batches.iter().map(|it| it.sweep().last).collect();
    assert_eq!(
        lasts.iter().filter(|it| **it).count(),
        usize::from(!lasts.is_empty())
    );
    let mut shown = BTreeMap::new();
    for batch in &batches {
        for (row, series) in batch.table().series().iter().enumerate() {
            let vm = series.attributes.get("vm").and_then(AnyValue::as_str);
            let name = format!("{} {}", series.name, vm.unwrap());
            let value = match &batch.values()[row] {
                Value::Int(it) => format!("{it} since {}", batch.starts_unix_nano()[row]),
                Value::Ended => "ended".to_owned(),
                other => format!("{other:?}"),
            };
            let before = shown.insert(name.clone(), value);
            assert_eq!(before, None, "{name} stands twice");
        }
    }
    shown
}

fn shown(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn a_part_that_goes_ends_its_series_once() {
    let (mut tables, both) = (tables(Demand::everything()), columns(&["a", "b"]));
    let part = |vm| part(vm, SourceName::StatsFd, &both, 7);
    tables.set_parts(vec![part("1"), part("2")]);
    assert_eq!(sweep(&mut tables, 0).len(), 4);
    tables.set_parts(vec![part("2")]);
    let expected = [
        ("kvm/a 1", "ended"),
        ("kvm/a 2", "0 since 7"),
        ("kvm/b 1", "ended"),
        ("kvm/b 2", "1 since 7"),
    ];
    assert_eq!(sweep(&mut tables, 1), shown(&expected));
    assert_eq!(sweep(&mut tables, 2).len(), 2);
    tables.set_parts(Vec::new());
    assert_eq!(sweep(&mut tables, 3).len(), 2);
    assert!(sweep(&mut tables, 4).is_empty());
}

#[test]
fn a_vm_that_is_made_anew_keeps_its_series_with_a_new_start() {
    let (mut tables, one) = (tables(Demand::everything()), columns(&["a"]));
    tables.set_parts(vec![part("1", SourceName::StatsFd, &one, 7)]);
    sweep(&mut tables, 0);
    tables.set_parts(vec![part("1", SourceName::StatsFd, &one, 8)]);
    assert_eq!(sweep(&mut tables, 1), shown(&[("kvm/a 1", "0 since 8")]));
    tables.set_parts(vec![part("1", SourceName::Debugfs, &one, 8)]);
    let other_source = sweep(&mut tables, 2);
    assert_eq!(other_source, shown(&[("kvm/a 1", "0 since 8")]));
    assert_eq!(sweep(&mut tables, 3), other_source);
}

#[test]
fn what_stays_keeps_its_table() {
    let (mut tables, one) = (tables(Demand::everything()), columns(&["a"]));
    let part = || part("1", SourceName::StatsFd, &one, 7);
    let table = |tables: &mut Tables, number| {
        let batches = tables.sweep(number, TICK, |_, _, values| values.push(Value::Int(1)));
        Arc::clone(batches[0].table())
    };
    tables.set_parts(vec![part()]);
    let first = table(&mut tables, 0);
    tables.set_parts(vec![part()]);
    assert!(Arc::ptr_eq(&first, &table(&mut tables, 1)));
}

#[test]
fn series_stand_apart_by_how_often_they_are_wanted() {
    let demand = Demand::new(|_, series| match &*series.name {
        "kvm/always" => Want::Always,
        "kvm/seldom" => Want::Every(TICK * 3),
        _ => Want::Never,
    });
    let (mut tables, all) = (tables(demand), columns(&["always", "seldom", "never"]));
    tables.set_parts(vec![part("1", SourceName::StatsFd, &all, 7)]);
    let counts: Vec<usize> = (0..4).map(|it| sweep(&mut tables, it).len()).collect();
    assert_eq!(counts, [2, 1, 1, 2]);
    // What is not due yet ends when it is.
    tables.set_parts(Vec::new());
    let ended: Vec<usize> = (4..8).map(|it| sweep(&mut tables, it).len()).collect();
    assert_eq!(ended, [1, 0, 1, 0]);
}

#[test]
fn no_table_has_more_rows_than_fit() {
    let names: Vec<String> = (0..1500).map(|it| format!("m{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut tables, many) = (tables(Demand::everything()), columns(&names));
    let vms = ["1", "2", "3", "4", "5"];
    tables.set_parts(vms.map(|vm| part(vm, SourceName::StatsFd, &many, 7)).into());
    let batches = tables.sweep(0, TICK, |_, columns, values| {
        values.resize(values.len() + columns.len(), Value::Int(1));
    });
    let sizes: Vec<usize> = batches.iter().map(|it| it.table().len()).collect();
    assert_eq!(sizes, [3000, 3000, 1500]);
    let slots: HashSet<&str> = batches
        .iter()
        .map(|it| &*it.table().head().table_slot)
        .collect();
    assert_eq!(slots.len(), 3);
}
