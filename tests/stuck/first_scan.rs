//! Directories that do not answer from the start on: they hold up nothing but themselves, wherever their names stand.

use super::fuse::HangingFilesystem;
use super::run::{Run, files, series};
use crate::common::alone::{CPU, alone};
use crate::common::{assert_fault, lacks};

/// The subsystems beside one in the middle.
const BESIDE: [&str; 2] = ["aaa", "zzz"];

const NAMED: &str = "a directory does not answer when it is listed; what is known is swept on component=\"statsfs\"";

/// `aaa`, `bad` and `zzz`; `None`, reported on standard error, where FUSE is not to be had.
fn mount(test: &str) -> Option<HangingFilesystem> {
    let system = HangingFilesystem::mount(&files(&["aaa", "bad", "zzz"]));
    if system.is_none() {
        lacks(test, "/dev/fuse, and root or fusermount3");
    }
    system
}

fn runs_beside(run: &Run) {
    for subsystem in BESIDE {
        run.counts.wait_for(&series(subsystem, "f0"), 20);
    }
}

#[test]
fn one_that_hangs_costs_itself_and_comes_when_it_answers() {
    let _cpu = alone(&CPU);
    let test = "one_that_hangs_costs_itself_and_comes_when_it_answers";
    for stuck in ["bad", "bad/d", "bad/d/.schema"] {
        let Some(system) = mount(test) else { return };
        if stuck.ends_with(".schema") {
            system.add(stuck);
        }
        system.hang(stuck);
        let mut run = Run::of(system, "rescan_interval: 100ms");
        runs_beside(&run);
        run.wait_for_log(NAMED);
        runs_beside(&run);
        assert_eq!(run.counts.values(&series("bad", "f0")), 0);
        run.system.answer(stuck);
        run.counts.wait_for(&series("bad", "f0"), 3);
        let logs = run.end(&[]);
        assert!(!logs.contains(NAMED), "named once: {logs}");
        assert!(logs.contains("directories_failed=1"), "{logs}");
        assert_fault(
            "a directory, or its `.schema`, does not answer from the start on",
            "its own values until it does",
            &logs,
            &["stuck=1"],
        );
    }
}

#[test]
fn trees_that_hang_hold_up_none_of_another_receiver() {
    let _cpu = alone(&CPU);
    let test = "trees_that_hang_hold_up_none_of_another_receiver";
    // All but the last hang. They share their threads.
    let trees = ["bad0", "bad1", "bad2", "bad3", "good"];
    let Some(system) = HangingFilesystem::mount(&files(&trees)) else {
        return lacks(test, "/dev/fuse, and root or fusermount3");
    };
    let (root, stuck) = (system.root().display(), &trees[..4]);
    let receivers = trees.map(|tree| {
        format!("statsfs/{tree}: {{root: {root}/{tree}, subsystem: {tree}, collection_interval: 20ms, rescan_interval: 100ms, timeout: 300ms}}")
    });
    let config = format!(
        "receivers: {{{}}}\nexporters: {{stdout: {{}}}}\n\
         service: {{pipelines: {{metrics: {{receivers: [statsfs/{}], exporters: [stdout]}}}}}}\n",
        receivers.join(", "),
        trees.join(", statsfs/")
    );
    stuck.iter().for_each(|tree| system.hang(tree));
    let mut run = Run::of_config(system, &config, &[]);
    run.counts.wait_for(&series("good", "f0"), 20);
    while run.system.waiting() < stuck.len() {
        std::thread::yield_now();
    }
    // One for each, and one for all else.
    run.wait_for_threads(stuck.len() + 1);
    run.counts.wait_for(&series("good", "f0"), 20);
    for tree in stuck {
        run.system.answer(tree);
        run.counts.wait_for(&series(tree, "f0"), 3);
    }
    run.wait_for_threads(1);
    run.end(&[]);
}

#[test]
fn one_that_answers_for_ever_or_too_slowly_is_given_up_and_looked_at_again() {
    let _cpu = alone(&CPU);
    let test = "one_that_answers_for_ever_or_too_slowly_is_given_up_and_looked_at_again";
    for list in [
        HangingFilesystem::list_for_ever,
        HangingFilesystem::list_slowly,
    ] {
        let Some(system) = mount(test) else { return };
        list(&system, "bad/d");
        let mut run = Run::of(system, "rescan_interval: 100ms");
        runs_beside(&run);
        run.wait_for_log(NAMED);
        runs_beside(&run);
        run.system.answer("bad/d");
        run.counts.wait_for(&series("bad", "f0"), 3);
        let logs = run.end(&[]);
        assert!(logs.contains("directories_failed=1 (stuck=1)"), "{logs}");
    }
}

#[test]
fn with_more_of_them_than_threads_what_was_found_is_swept() {
    let _cpu = alone(&CPU);
    let test = "with_more_of_them_than_threads_what_was_found_is_swept";
    let Some(system) = mount(test) else { return };
    ["bad", "zzz"].iter().for_each(|path| system.hang(path));
    let mut run = Run::of(system, "max_stuck: 1, rescan_interval: 100ms");
    run.counts.wait_for(&series("aaa", "f0"), 20);
    run.wait_for_log(NAMED);
    run.counts.wait_for(&series("aaa", "f0"), 20);
    run.system.answer("bad");
    run.counts.wait_for(&series("bad", "f0"), 3);
    run.system.answer("zzz");
    run.counts.wait_for(&series("zzz", "f0"), 3);
    run.end(&[]);
}

#[test]
fn the_only_sweep_is_of_all_that_answers() {
    let _cpu = alone(&CPU);
    let Some(system) = mount("the_only_sweep_is_of_all_that_answers") else {
        return;
    };
    system.hang("bad/d");
    let mut run = Run::with(system, "rescan_interval: 1h", &["--once"]);
    let logs = run.ends(&["bad/d"]);
    assert!(logs.contains(NAMED), "{logs}");
    for subsystem in BESIDE {
        for file in 0..6 {
            let series = series(subsystem, &format!("f{file}"));
            run.counts.wait_until(&series, 1);
        }
    }
    assert_eq!(run.counts.values(&series("bad", "f0")), 0);
}

#[test]
fn the_only_sweep_does_not_wait_for_ever_where_more_of_them_hang_than_threads() {
    let _cpu = alone(&CPU);
    let Some(system) = mount("the_only_sweep_does_not_wait_for_ever") else {
        return;
    };
    let hang = ["bad", "zzz"];
    hang.iter().for_each(|path| system.hang(path));
    let mut run = Run::with(system, "max_stuck: 1, rescan_interval: 1h", &["--once"]);
    let logs = run.ends(&hang);
    assert!(logs.contains(NAMED), "{logs}");
    run.counts.wait_until(&series("aaa", "f0"), 1);
}
