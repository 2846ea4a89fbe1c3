//! Counters that wrap, and numbers that stand for no value.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::far_end::{FarEnd, Point, Sender};
use crate::common::{config, count_after, once, shared_memory};

/// Writes a file's whole content at once: no reader sees half of it. It has to be as long as the one before.
fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::options();
    let file = file.write(true).create(true).truncate(false).open(path);
    file.unwrap()
        .write_all_at(format!("{content}\n").as_bytes(), 0)
        .unwrap();
}

fn is(point: &Point, metric: &str, value: u64) -> bool {
    point.series.starts_with(&format!("{metric}{{")) && point.value == Some(value)
}

#[test]
fn an_energy_meter_that_wraps_goes_on_with_its_range_which_is_read_for_that_alone() {
    let tree = shared_memory();
    let zone = tree.path().join("powercap/intel-rapl:0");
    write(&zone.join("energy_uj"), "90");
    write(&zone.join("max_energy_range_uj"), "100");
    let root = tree.path().display();
    let receiver = format!("{{root: {root}, collection_interval: 20ms}}");
    let drops = "{actions: [{drop: {match: {name: 'powercap/max*'}}}]}";
    let processors = format!("metadata: {{}}; labels: {drops}; batch: {{}}");
    assert_eq!(
        once(&receiver, &processors),
        ["powercap/energy_uj{device=/intel-rapl:0} 90 counter uJ"],
        "the range goes no further"
    );
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config(&receiver, &processors, "{format: json}"));
    let mut all = Vec::new();
    for (shown, expected) in [("90", 90), ("05", 105), ("07", 107), ("01", 201)] {
        write(&zone.join("energy_uj"), shown);
        let is_expected = |point: &Point| is(point, "powercap/energy_uj", expected);
        all.extend(sender.until(&mut far_end, is_expected));
    }
    sender.end(&mut far_end);
    assert!(
        all.iter().all(|point| point.start == all[0].start),
        "{all:#?}"
    );
    assert_eq!(far_end.total("powercap/energy_uj"), 111);
}

#[test]
fn an_energy_meter_whose_range_is_not_known_is_reset() {
    let tree = shared_memory();
    let meter = tree.path().join("powercap/intel-rapl:0/energy_uj");
    write(&meter, "90");
    let root = tree.path().display();
    let receiver = format!("{{root: {root}, collection_interval: 20ms}}");
    let mut far_end = FarEnd::default();
    let mut sender = Sender::start(&config(&receiver, "metadata: {}", "{format: json}"));
    let is_shown = |value| move |point: &Point| is(point, "powercap/energy_uj", value);
    let before = sender.until(&mut far_end, is_shown(90)).remove(0);
    write(&meter, "05");
    let after = sender.until(&mut far_end, is_shown(5)).pop().unwrap();
    sender.end(&mut far_end);
    assert!(before.start < after.start, "{before:?} {after:?}");
}

#[test]
fn a_number_that_stands_for_no_value_is_no_point_and_no_start() {
    let none = "0xffffffffffffffff";
    let hexadecimal = "{match: 'fc_host/*/statistics/*', as: hex}";
    let absent = format!("{{match: 'fc_host/*/statistics/*', as: hex, absent: ['{none}']}}");
    let by_rule =
        format!("metadata: {{sources: [rules], rules: [{{kind: counter, absent: ['{none}']}}]}}");
    let by_nobody = "metadata: {sources: [rules], rules: [{kind: counter}]}";
    // Said by the catalog, a rule, the receiver's formats.
    for (format, processors, is_counted) in [
        (hexadecimal, "metadata: {}", "absent="),
        (hexadecimal, &*by_rule, "absent="),
        (&*absent, by_nobody, "values_absent="),
    ] {
        let tree = shared_memory();
        let statistics = tree.path().join("fc_host/host3/statistics");
        let (rx, tx) = (statistics.join("rx_frames"), statistics.join("tx_frames"));
        // In this order they are read: what rx showed before tx was written, tx shows after it.
        write(&tx, none);
        write(&rx, "1");
        let root = tree.path().display();
        let receiver = format!("{{root: {root}, collection_interval: 20ms, formats: [{format}]}}");
        let mut far_end = FarEnd::default();
        let mut sender = Sender::start(&config(&receiver, processors, "{format: json}"));
        let mut all = sender.until(&mut far_end, |point| is(point, "fc_host/rx_frames", 1));
        write(&tx, "0x0000000000000064");
        all.extend(sender.until(&mut far_end, |point| is(point, "fc_host/tx_frames", 100)));
        write(&tx, none);
        write(&rx, "2");
        all.extend(sender.until(&mut far_end, |point| is(point, "fc_host/rx_frames", 2)));
        write(&tx, "0x0000000000000065");
        all.extend(sender.until(&mut far_end, |point| is(point, "fc_host/tx_frames", 101)));
        let logs = sender.end(&mut far_end);
        all.retain(|point| point.series.starts_with("fc_host/tx_frames{"));
        assert!(
            all[0].is_baseline() && all[0].value == Some(100),
            "{all:#?}"
        );
        assert!(
            all.iter()
                .all(|it| it.start == all[0].start && it.value.is_some()),
            "{all:#?}"
        );
        assert_eq!(far_end.total("fc_host/tx_frames"), 1, "{processors}");
        assert!(count_after(&logs, is_counted) > 1, "{is_counted}: {logs}");
    }
}
