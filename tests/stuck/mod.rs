//! Files and directories that do not answer: a FUSE file system of the test's own.
//!
//! Each test has the cores to itself: where they are loaded, a file that does answer may be late too.

mod errors;
mod first_scan;
pub(crate) mod fuse;
mod inspected;
mod run;
mod slow;

use rustix::process::Signal;

use self::fuse::HangingFilesystem;
use self::run::{Run, files, series};
use crate::common::alone::{CPU, alone};
use crate::common::{
    self, SeriesCounts, collector, config, count, find_count, lacks, signal, text,
};

#[test]
fn a_file_that_does_not_answer_costs_one_thread_and_one_line() {
    let _cpu = alone(&CPU);
    let test = "a_file_that_does_not_answer_costs_one_thread_and_one_line";
    let Some(mut run) = Run::start(test, &["bad", "good", "other"], "readers: 1") else {
        return;
    };
    let (stuck, beside) = (series("bad", "f3"), series("bad", "f4"));
    let good = series("good", "f0");
    run.counts.wait_for(&stuck, 5);
    run.wait_for_threads(1);
    run.system.hang("bad/d/f3");
    run.wait_for_log(
        "does not answer within `timeout`; passed over until it does component=\"statsfs\" detail=\"bad/d/f3\"",
    );
    let (reads, values) = (run.system.reads("bad/d/f3"), run.counts.values(&stuck));
    // The others go on: those of other subsystems, and those beside it.
    run.counts.wait_for(&beside, 20);
    run.counts.wait_for(&good, 20);
    assert_eq!(run.system.waiting(), 1);
    assert_eq!(run.system.reads("bad/d/f3"), reads, "it is left alone");
    assert_eq!(run.counts.values(&stuck), values);
    assert_eq!(run.counts.ends(&stuck), 0, "nobody knows that it has gone");
    // One more, for the one that waits.
    run.wait_for_threads(2);
    run.system.answer("bad/d/f3");
    run.counts.wait_for(&stuck, 5);
    run.wait_for_threads(1);
    let stderr = run.end(&[]);
    assert!(
        !stderr.contains("does not answer"),
        "warned of once: {stderr}"
    );
    assert_eq!(find_count(&stderr, "files_stuck="), Some(0), "{stderr}");
    common::assert_fault(
        "a file does not answer",
        "its values until it does; none of those beside it",
        &stderr,
        &["stuck=1"],
    );
    // Those before it and those behind it are there at each sweep, also at that which it holds up.
    let skipped = find_count(&stderr, "overrun=").unwrap_or_default();
    let sweeps = count(&stderr, "sweeps").saturating_sub(skipped);
    for file in ["f0", "f2", "f4", "f5"] {
        run.counts.wait_until(&series("bad", file), sweeps);
    }
    // Until another thread takes over, a tenth of a second, all wait alike.
    let (sweeps, good) = (count(&stderr, "sweeps"), run.counts.values(&good));
    assert!(good + 12 >= sweeps, "{good} of {sweeps}: {stderr}");
}

#[test]
fn the_others_keep_their_interval_while_a_file_does_not_answer() {
    let _cpu = alone(&CPU);
    let test = "the_others_keep_their_interval_while_a_file_does_not_answer";
    // For as long as the test takes it is not given up.
    let options = "timeout: 1h";
    let Some(system) = HangingFilesystem::mount(&files(&["bad", "good", "other"])) else {
        return lacks(test, "/dev/fuse, and root or fusermount3");
    };
    system.hang("bad/d/f3");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, {options}}}",
        system.root().display()
    );
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let counts = SeriesCounts::of(&mut child);
    for subsystem in ["good", "other"] {
        counts.wait_for(&series(subsystem, "f5"), 60);
    }
    assert_eq!(
        counts.values(&series("bad", "f0")),
        0,
        "its sweep is not over"
    );
    system.answer("bad/d/f3");
    counts.wait_for(&series("bad", "f3"), 2);
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    let (sweeps, good) = (
        count(&stderr, "sweeps"),
        counts.values(&series("good", "f0")),
    );
    assert!(good + 12 >= sweeps, "{good} of {sweeps}: {stderr}");
    assert!(!stderr.contains("WARN"), "{stderr}");
}

#[test]
fn a_file_that_answers_again_is_read_again_though_its_table_was_remade_meanwhile() {
    let _cpu = alone(&CPU);
    let test = "a_file_that_answers_again_is_read_again_though_its_table_was_remade_meanwhile";
    let Some(mut run) = Run::start(test, &["bad", "good"], "readers: 1") else {
        return;
    };
    let stuck = series("bad", "f3");
    run.counts.wait_for(&stuck, 3);
    // Those that came before it move it when they leave.
    (0..3).for_each(|file| run.system.add(&format!("bad/c/f{file}")));
    run.system.add("bad/e/f3");
    let (gone, stuck) = ("bad/f0{device=/c}", "bad/f3{device=/e}");
    run.counts.wait_for(stuck, 3);
    run.system.hang("bad/e/f3");
    run.wait_for_log("passed over until it does component=\"statsfs\" detail=\"bad/e/f3\"");
    (0..3).for_each(|file| run.system.remove(&format!("bad/c/f{file}")));
    while run.counts.ends(gone) == 0 {
        std::thread::yield_now();
    }
    // One more that comes has the table remade.
    run.system.add("bad/f/f0");
    run.counts.wait_for("bad/f0{device=/f}", 3);
    run.system.answer("bad/e/f3");
    run.counts.wait_for(stuck, 5);
    run.end(&[]);
}

#[test]
fn what_was_read_before_it_is_shown_and_once_ends() {
    let _cpu = alone(&CPU);
    let test = "what_was_read_before_it_is_shown_and_once_ends";
    let Some(system) = HangingFilesystem::mount(&files(&["a", "b"])) else {
        lacks(test, "/dev/fuse, and root or fusermount3");
        return;
    };
    system.hang("b/d/f5");
    let mut run = Run::with(system, "readers: 1", &["--once"]);
    run.counts.wait_for(&series("a", "f0"), 1);
    run.wait_for_log("passed over until it does component=\"statsfs\" detail=\"b/d/f5\"");
    run.ends(&["b/d/f5"]);
}

#[test]
fn once_ends_also_where_more_of_them_hang_than_threads_may() {
    let _cpu = alone(&CPU);
    let test = "once_ends_also_where_more_of_them_hang_than_threads_may";
    // More than are queued at a time: the last subsystem's turn never comes.
    let many = ["c", "d"].map(|many| (0..1100).map(move |file| format!("{many}/d/f{file}")));
    let few = files(&["0", "a", "b", "e"]);
    let all: Vec<String> = few.into_iter().chain(many.into_iter().flatten()).collect();
    let Some(system) = HangingFilesystem::mount(&all) else {
        return lacks(test, "/dev/fuse, and root or fusermount3");
    };
    let stuck = ["a/d/f3", "b/d/f3"];
    stuck.iter().for_each(|path| system.hang(path));
    let mut run = Run::with(system, "max_stuck: 1, timeout: 2s", &["--once"]);
    let stderr = run.ends(&stuck);
    assert!(
        stderr.contains("nothing is read below this root any more"),
        "{stderr}"
    );
    assert!(stderr.contains("(stuck=2"), "{stderr}");
    assert_eq!(find_count(&stderr, "files_stuck="), Some(2), "{stderr}");
    run.counts.wait_until(&series("0", "f0"), 1);
}

#[test]
fn with_too_many_of_them_their_subsystem_is_suspended() {
    let _cpu = alone(&CPU);
    let test = "with_too_many_of_them_their_subsystem_is_suspended";
    let Some(mut run) = Run::start(test, &["bad", "good"], "max_stuck: 2") else {
        return;
    };
    run.counts.wait_for(&series("bad", "f0"), 3);
    let stuck = ["bad/d/f1", "bad/d/f3", "bad/d/f5"];
    stuck.iter().for_each(|path| run.system.hang(path));
    run.wait_for_log("subsystem suspended: threads wait for files that do not answer component=\"statsfs\" detail=\"bad: 2 threads\"");
    assert_eq!(run.system.waiting(), 2, "the third is not tried");
    // What was read before that is shown by then.
    run.counts.wait_for(&series("good", "f0"), 20);
    let rests = run.counts.values(&series("bad", "f0"));
    run.counts.wait_for(&series("good", "f0"), 20);
    assert_eq!(run.counts.values(&series("bad", "f0")), rests);
    // Beside the two that wait, one.
    run.wait_for_threads(3);
    run.system.answer("bad/d/f1");
    run.wait_for_log("subsystem is swept again component=\"statsfs\" subsystem=\"bad\"");
    stuck.iter().for_each(|path| run.system.answer(path));
    run.counts.wait_for(&series("bad", "f5"), 3);
    let stderr = run.end(&[]);
    assert!(stderr.contains("(stuck="), "{stderr}");
}

#[test]
fn with_more_of_them_than_threads_reading_goes_on_when_one_answers() {
    let _cpu = alone(&CPU);
    let test = "with_more_of_them_than_threads_reading_goes_on_when_one_answers";
    let Some(mut run) = Run::start(test, &["bad", "good", "worse"], "max_stuck: 1") else {
        return;
    };
    run.counts.wait_for(&series("worse", "f0"), 3);
    run.system.hang("bad/d/f1");
    run.wait_for_log("passed over until it does component=\"statsfs\" detail=\"bad/d/f1\"");
    run.system.hang("worse/d/f1");
    run.wait_for_log("passed over until it does component=\"statsfs\" detail=\"worse/d/f1\"");
    assert_eq!(run.system.waiting(), 2);
    run.system.answer("bad/d/f1");
    run.counts.wait_for(&series("good", "f0"), 20);
    run.counts.wait_for(&series("bad", "f1"), 3);
    run.system.answer("worse/d/f1");
    run.counts.wait_for(&series("worse", "f1"), 3);
    run.end(&[]);
}

#[test]
fn a_directory_that_does_not_answer_is_named_and_what_is_known_is_swept_on() {
    let _cpu = alone(&CPU);
    let test = "a_directory_that_does_not_answer_is_named_and_what_is_known_is_swept_on";
    let Some(mut run) = Run::start(test, &["bad", "good"], "max_stuck: 2") else {
        return;
    };
    run.counts.wait_for(&series("bad", "f0"), 3);
    run.wait_for_threads(1);
    run.system.hang("bad");
    run.wait_for_log(
        "a directory does not answer when it is listed; what is known is swept on component=\"statsfs\" detail=\"bad\"",
    );
    run.system.add("good/d/new");
    run.counts.wait_for(&series("bad", "f0"), 20);
    run.counts.wait_for(&series("good", "f0"), 20);
    assert_eq!(
        run.counts.values(&series("good", "new")),
        0,
        "not looked for"
    );
    // Of which one waits.
    run.wait_for_threads(2);
    run.system.answer("bad");
    run.system.add("good/e/new");
    run.counts.wait_for("good/new{device=/e}", 3);
    let stderr = run.end(&[]);
    assert!(
        !stderr.contains("does not answer"),
        "warned of once: {stderr}"
    );
    assert!(
        stderr.contains("directories_failed=1 (stuck=1)"),
        "{stderr}"
    );
}

#[test]
fn it_ends_in_time_whatever_does_not_answer() {
    let _cpu = alone(&CPU);
    let test = "it_ends_in_time_whatever_does_not_answer";
    for stuck in ["bad/d/f3", "bad"] {
        // In the midst of it, before it is given up.
        let Some(mut run) = Run::start(test, &["bad", "good"], "readers: 1") else {
            return;
        };
        run.counts.wait_for(&series("bad", "f0"), 3);
        run.system.hang(stuck);
        while run.system.waiting() == 0 {
            std::thread::yield_now();
        }
        run.end(&[stuck]);
    }
    // From the start on.
    let system = HangingFilesystem::mount(&files(&["bad", "good"])).unwrap();
    system.hang("bad");
    let mut run = Run::of(system, "rescan_interval: 1h");
    while run.system.waiting() == 0 {
        std::thread::yield_now();
    }
    run.end(&["bad"]);
}
