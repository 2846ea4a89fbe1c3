//! The program is killed, or its peer is.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Child;

use rustix::process::Signal;

use super::{Setting, config, drain, kill, leave, log_until, queue, stderr, times};
use crate::common::peer::assert_accounted;
use crate::common::{self, assert_fault, collector, count, count_after, find_count, signal};
use crate::otelcol;
use crate::otelcol::points::ints;
use crate::otelcol::process::Otelcol;

#[test]
fn what_the_queue_had_taken_arrives_however_often_the_program_is_killed() {
    let setting = Setting::new();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut taken, mut resent, mut was_slow) = (BTreeSet::new(), 0, false);
    for round in 0..50 {
        let server = random.bool().then(|| setting.serve());
        let mut child = setting.start("");
        let (arrived, more) = (setting.arrived().len(), random.usize(..40));
        if server.is_some() {
            while setting.arrived().len() < arrived + more {
                std::thread::yield_now();
            }
        } else {
            setting.wait_for_bytes(setting.bytes() + 100 + 80 * more as u64);
        }
        kill(&mut child);
        drop(server);
        let log = rest(&mut child);
        resent += count_resent(&log);
        was_slow |= log.contains("the disk is slow");
        taken.extend(setting.waiting());
        assert!(!taken.is_empty() || round < 10, "seed {seed}");
    }
    let stderr = drain(&setting, "");
    let arrived = setting.arrived();
    let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
    let missing = taken.difference(&distinct).count();
    assert_eq!(missing, 0, "of {}, seed {seed}: {stderr}", taken.len());
    // What was on its way each time, as the next program said.
    resent += count_resent(&stderr);
    let twice = (arrived.len() - distinct.len()) as u64;
    // A disk that takes a second for it is not waited for: what goes then is not marked.
    assert!(
        (twice <= resent || was_slow) && resent <= arrived.len() as u64,
        "{twice}, {resent} of {}, seed {seed}",
        arrived.len()
    );
    assert_accounted(&stderr);
    assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
    assert_fault(
        "the program is killed (`kill -9`), with its queue on disk",
        "nothing that the queue had taken, here 50 times; what was on its way comes twice",
        &stderr,
        &["what was on its way, by the program that is started next (`points_resent`)"],
    );
}

/// How many points it said were under way at the last end.
fn count_resent(log: &str) -> u64 {
    let said = log
        .lines()
        .find(|it| it.contains("was under way at the last end"));
    let resent = said.map_or(0, |it| count_after(it, "points="));
    // A program that is killed at once says nothing; one that ends counts it too.
    assert_eq!(
        find_count(log, " points_resent=").unwrap_or(resent),
        resent,
        "{log}"
    );
    resent
}

/// The rest of its log.
fn rest(child: &mut Child) -> String {
    let mut rest = String::new();
    stderr(child).read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn what_waits_at_the_end_is_no_loss_and_is_shown_and_counted_by_who_finds_it() {
    let setting = Setting::new();
    let stderr = leave(&setting, 2000, "");
    let waiting = setting.waiting();
    assert_accounted(&stderr);
    assert_eq!(
        count(&stderr, "points_queued"),
        waiting.len() as u64,
        "{stderr}"
    );
    assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
    let directory = setting.directory();
    let shown = queue(&[directory.to_str().unwrap()]);
    let row = shown.lines().nth(1).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    let points = waiting.len().to_string();
    assert_eq!((cells[0], cells[2]), ("otlp", &*points), "{shown}");
    let stderr = drain(&setting, "");
    let arrived = setting.arrived();
    assert!(arrived.is_sorted_by(|a, b| a < b), "in order, and once");
    assert!(waiting.iter().eq(&arrived[..waiting.len()]));
    assert_accounted(&stderr);
    assert_eq!(
        count(&stderr, "points_handed"),
        count(&stderr, "points_sent")
    );
    assert_eq!(setting.segments().len(), 0, "nothing is left behind");
    assert_fault(
        "the upstream is away when the program ends, with its queue on disk",
        "nothing: the program that is started next sends it",
        &stderr,
        &[],
    );
}

#[test]
fn where_the_peer_does_not_answer_and_all_is_on_disk_the_end_does_not_wait() {
    let setting = Setting::new();
    let _silent = std::net::TcpListener::bind(setting.address).unwrap();
    let config = setting
        .config("")
        .replace("shutdown_timeout: 1m", "shutdown_timeout: 10m")
        .replace("sending_queue:", "timeout: 200ms, sending_queue:");
    let child = collector(&config, &[]);
    setting.wait_for_bytes(2000);
    // A test that waits for ten minutes has failed.
    let stderr = common::end(child);
    let left = "the far side takes nothing; what waits is on disk";
    assert!(stderr.contains(left), "{stderr}");
    let waiting = setting.waiting().len() as u64;
    assert_eq!(count(&stderr, "points_queued"), waiting, "{stderr}");
    assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream does not answer when the program ends, with its queue on disk",
        "nothing, and the end does not wait: the program that is started next sends it",
        &stderr,
        &[],
    );
}

#[test]
fn what_an_exporter_left_that_is_no_more_is_told_and_can_be_got_at() {
    let setting = Setting::new();
    leave(&setting, 2000, "");
    let waiting = setting.waiting();
    let renamed = setting
        .config("")
        .replace("otlp: {", "otlp/new: {")
        .replace("[otlp]", "[otlp/new]");
    let mut child = collector(&renamed, &[]);
    let mut log = stderr(&mut child);
    let lines = log_until(&mut log, "a queue on disk is of no exporter");
    let told = lines.last().unwrap();
    let directory = setting.directory();
    let directory = directory.to_str().unwrap();
    let points = format!("points={} ", waiting.len());
    for part in ["WARN", "otlp", &points, "bytes=", directory] {
        assert!(told.contains(part), "{part}: {told}");
    }
    setting.wait_for_bytes_of("otlp%2Fnew", 500);
    let mut rest = String::new();
    signal(&child, Signal::TERM);
    log.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert_eq!(count(&rest, "points_dropped"), 0, "{rest}");
    let exported = queue(&[directory, "--exporter", "otlp", "--export"]);
    let exported = exported.lines().map(|it| serde_json::from_str(it).unwrap());
    assert!(waiting.into_iter().eq(exported.flat_map(|it| times(&it))));
    // It is another one now that has left something.
    let mut child = setting.start("");
    let mut log = stderr(&mut child);
    let lines = log_until(&mut log, "a queue on disk is of no exporter");
    let told: Vec<_> = lines
        .iter()
        .filter(|it| it.contains("is of no exporter"))
        .collect();
    assert!(told.len() == 1 && told[0].contains("otlp/new"), "{told:?}");
    kill(&mut child);
}

#[test]
fn with_replay_newest_what_is_new_comes_first_and_all_comes() {
    let setting = Setting::new();
    leave(&setting, 4000, "replay: newest");
    let waiting = setting.waiting();
    let stderr = drain(&setting, "replay: newest");
    let arrived: BTreeSet<u64> = setting.arrived().into_iter().collect();
    assert!(waiting.is_subset(&arrived), "{stderr}");
    assert_eq!(arrived.len(), setting.arrived().len(), "once");
    assert_accounted(&stderr);
}

#[test]
fn a_collector_that_is_away_for_longer_than_memory_holds_gets_all_in_order() {
    let test = "a_collector_that_is_away_for_longer_than_memory_holds_gets_all_in_order";
    let Some(mut otelcol) = Otelcol::stopped(test, "") else {
        return;
    };
    let setting = Setting::new();
    let tree = setting.folder.path().join("tree");
    let config = config(&tree, &setting.directory(), &otelcol.grpc.to_string(), "");
    otelcol.run();
    let child = collector(&config, &[]);
    let mut value = 1;
    let mut count_on = || {
        value += 1;
        let next = tree.join("next");
        std::fs::write(&next, format!("{value}\n")).unwrap();
        std::fs::rename(next, tree.join("s/c")).unwrap();
        value
    };
    for round in 1..=3 {
        let arrived = otelcol::times(&otelcol.requests()).len();
        while otelcol::times(&otelcol.requests()).len() < arrived + 20 {
            count_on();
        }
        otelcol.stop(Signal::KILL);
        // Three requests have room in memory, and sixteen before it.
        while setting.waiting().len() < 100 * round {
            count_on();
        }
        otelcol.run();
    }
    let last = count_on();
    while ints(&otelcol.requests(), "s/c").last() != Some(&last) {
        std::thread::yield_now();
    }
    let stderr = common::end(child);
    let requests = otelcol.end();
    let (arrived, values) = (otelcol::times(&requests), ints(&requests, "s/c"));
    assert!(
        arrived.is_sorted() && values.is_sorted(),
        "in order: the total is right"
    );
    let distinct: BTreeSet<u64> = arrived.iter().copied().collect();
    let left = setting.waiting().difference(&distinct).count() as u64;
    assert_eq!(
        distinct.len() as u64 + left,
        count(&stderr, "points_handed"),
        "{stderr}"
    );
    assert_eq!(count(&stderr, "points_dropped"), 0, "{stderr}");
    assert_accounted(&stderr);
    assert_fault(
        "the upstream Collector is killed, and away for longer than memory holds, with the queue on disk",
        "nothing, no total either, and it arrives in order; what it took without saying so comes twice",
        &stderr,
        &[],
    );
}
