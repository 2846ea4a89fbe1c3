#![allow(clippy::single_range_in_vec_init)] // ranges of a log are given as lists, be it of one

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pipeline::formats::text;
use pipeline::telemetry::Warnings;
use pipeline::{Batch, LogPosition, LogRange, Sweep, Times, Value, WhenFull, points};

use super::{Log, Settings, recover};
use crate::config::Fsync;
use crate::segment::{Item, SegmentReader};

const SETTINGS: Settings = Settings {
    max_size: 1 << 30,
    max_age: Duration::ZERO,
    fsync: Fsync::Never,
};

const SMALL: Settings = Settings {
    max_size: 64 << 10,
    ..SETTINGS
};

fn open_with(folder: &Path, settings: Settings) -> Log {
    let warnings = Warnings::new(&"test".into());
    Log::open(folder, settings, warnings, WhenFull::DropOldest).expect("a log")
}

fn open(folder: &Path) -> Log {
    open_with(folder, SETTINGS)
}

/// Sweeps of a table of three series, each point with the number of its request.
struct Sweeps(Batch);

impl Sweeps {
    fn new() -> Sweeps {
        let mut parsed = text::parse("s/a 0 counter\ns/b 0 counter\ns/c 0 counter").unwrap();
        Sweeps(parsed.remove(0))
    }

    fn request(&self, number: u64) -> Vec<Batch> {
        let batch = &self.0;
        vec![Batch::new(
            Arc::clone(batch.table()),
            Arc::clone(batch.starts_unix_nano()),
            Times::One(number),
            vec![Value::Int(number.cast_signed()); 3],
            Sweep::new(number, Duration::from_secs(1), true),
        )]
    }
}

/// Appends so many requests at the log's end.
fn append(log: &mut Log, count: u64) {
    let sweeps = Sweeps::new();
    for _ in 0..count {
        let at = log.cursor().end;
        let request = sweeps.request(at.requests);
        log.append(at, &request, at.requests)
            .expect("it is appended");
    }
}

/// The numbers of the requests of these ranges that can be read.
fn numbers(log: &mut Log, ranges: &[LogRange]) -> Vec<u64> {
    let mut all = Vec::new();
    for range in ranges {
        let mut next = range.start;
        while next < range.end {
            let read = log.read(&(next..range.end), 5);
            let after = read.next;
            for (at, request) in read.requests {
                assert_eq!(
                    request[0].values()[0],
                    Value::Int(at.requests.cast_signed())
                );
                all.push(at.requests);
            }
            assert!(after > next);
            next = after;
        }
    }
    all
}

/// What is still to be sent.
fn pending(log: &mut Log) -> Vec<u64> {
    let ranges = log.cursor().pending.clone();
    numbers(log, &ranges)
}

fn at(requests: u64) -> LogPosition {
    let points = requests * 3;
    LogPosition { requests, points }
}

fn keep(log: &mut Log, ranges: &[std::ops::Range<u64>]) {
    let ranges = ranges.iter().map(|it| at(it.start)..at(it.end));
    log.keep(ranges.collect(), Vec::new());
    log.write_cursor();
}

/// Paths of the segments, sorted.
fn segments(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|it| it.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|it| it.extension().is_some_and(|it| it == "segment"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn what_was_appended_and_not_yet_sent_is_found_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 10);
    keep(&mut log, &[2..3, 5..8]);
    append(&mut log, 4);
    log.write_cursor();
    append(&mut log, 2);
    // Killed: what it wrote is there, what it knew is not.
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(pending(&mut log), [2, 5, 6, 7, 10, 11, 12, 13, 14, 15]);
    assert_eq!(log.cursor().end, at(16));
    append(&mut log, 2);
    assert_eq!(numbers(&mut log, &[at(14)..at(18)]), [14, 15, 16, 17]);
    keep(&mut log, &[17..18]);
    log.close();
    let mut log = open(folder.path());
    assert_eq!(segments(folder.path()).len(), 1);
    assert_eq!(pending(&mut log), [17]);
    keep(&mut log, &[]);
    log.close();
    assert_eq!(segments(folder.path()).len(), 0);
    assert_eq!(open(folder.path()).cursor().end, at(18));
}

#[test]
fn what_was_appended_since_the_length_was_looked_at_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 20);
    let path = segments(folder.path()).remove(0);
    let len = path.metadata().unwrap().len();
    let read_up_to = |len| {
        let mut reader = SegmentReader::open(&path).unwrap().unwrap();
        let mut requests = 0;
        while let Item::Request { .. } = reader.next(len, |_| true).unwrap() {
            requests += 1;
        }
        requests
    };
    let read: Vec<u64> = (0..=len).map(read_up_to).collect();
    assert!(read.is_sorted() && read[read.len() - 2] == 19, "{read:?}");
    assert_eq!(read.last(), Some(&20));
}

#[test]
fn where_nothing_gives_way_it_is_full_until_enough_of_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = Warnings::new(&"test".into());
    let mut log = Log::open(folder.path(), SMALL, warnings, WhenFull::Keep).unwrap();
    let mut appended = 0;
    while !log.is_full() {
        append(&mut log, 1);
        appended += 1;
        assert_eq!(log.cut(0), None);
    }
    let expected: Vec<u64> = (0..appended).collect();
    assert_eq!(pending(&mut log), expected, "all of it");
    let mut sent = 0;
    while log.is_full() {
        sent += 1;
        keep(&mut log, &[sent..appended]);
    }
    assert!(sent < appended / 4, "{sent} of {appended}");
    // One that is larger than all there may be is no reason to wait for ever.
    while !log.is_full() {
        append(&mut log, 1);
    }
    keep(&mut log, &[]);
    assert!(!log.is_full());
}

#[test]
fn what_is_too_much_or_too_old_gives_way_by_whole_segments() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open_with(folder.path(), SMALL);
    let mut before = LogPosition::default();
    for _ in 0..5000 {
        append(&mut log, 1);
        log.keep(vec![before..log.cursor().end], Vec::new());
        before = log.cut(0).map_or(before, |(before, _)| before);
    }
    let bytes = segments(folder.path());
    let bytes: u64 = bytes.iter().map(|it| it.metadata().unwrap().len()).sum();
    assert!((48 << 10..64 << 10).contains(&bytes), "{bytes}");
    let expected: Vec<u64> = (before.requests..5000).collect();
    assert_eq!(numbers(&mut log, &[before..at(5000)]), expected);
    drop(log);
    let folder = tempfile::tempdir().unwrap();
    let young = Settings {
        max_age: Duration::from_nanos(800),
        ..SETTINGS
    };
    let mut log = open_with(folder.path(), young);
    // Each a nanosecond after the one before.
    append(&mut log, 1000);
    assert_eq!(
        log.cut(700),
        None,
        "a clock that was set back makes nothing old"
    );
    let before = log.cut(1200).expect("some are too old").0.requests;
    assert!((300..=400).contains(&before), "{before}");
    assert_eq!(log.cut(u64::MAX).map(|it| it.0.requests), Some(1000));
    assert_eq!(segments(folder.path()).len(), 0);
}

#[test]
fn what_a_killed_program_began_to_write_is_cut_off_wherever_it_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 3);
    drop(log);
    let segment = segments(folder.path()).remove(0);
    let whole = std::fs::read(&segment).unwrap();
    let mut all = 3;
    for len in (0..whole.len()).rev() {
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::write(&segment, &whole[..len]).unwrap();
        let mut log = open(folder.path());
        let found = pending(&mut log);
        assert!(
            found.len() == all || found.len() + 1 == all,
            "{len}: {found:?}"
        );
        all = found.len();
        let from = log.cursor().end;
        append(&mut log, 1);
        assert_eq!(numbers(&mut log, &[from..from.after(3)]), [from.requests]);
        let mut names = std::fs::read_dir(folder.path()).unwrap();
        let is_aside = |name: &str| name.ends_with("damaged");
        assert!(
            !names.any(|it| is_aside(it.unwrap().file_name().to_str().unwrap())),
            "{len}"
        );
    }
    assert_eq!(all, 0);
}

#[test]
fn a_flipped_bit_costs_no_more_than_its_request_and_the_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 20);
    keep(&mut log, &[0..20]);
    drop(log);
    let segment = segments(folder.path()).remove(0);
    let whole = std::fs::read(&segment).unwrap();
    let cursor = std::fs::read(folder.path().join("cursor")).unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    // Behind the first record, which has the table.
    let first = whole.len() - 19 * (whole.len() / 20).min(60);
    for _ in 0..200 {
        let mut flipped = whole.clone();
        let byte = random.usize(first..whole.len());
        flipped[byte] ^= 1 << random.u8(..8);
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::write(&segment, &flipped).unwrap();
        std::fs::write(folder.path().join("cursor"), &cursor).unwrap();
        let mut log = open(folder.path());
        assert_eq!(pending(&mut log).len(), 19, "seed {seed}, byte {byte}");
        keep(&mut log, &[]);
        log.close();
        let aside = segment.with_extension("segment.damaged");
        assert_eq!(std::fs::read(aside).unwrap(), flipped, "seed {seed}");
    }
}

#[test]
fn where_the_definition_of_a_table_is_damaged_no_other_table_stands_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    // As like each other as devices are.
    let devices = ["a", "b", "c"].map(|device| {
        let mut parsed = text::parse(&format!("s/x{{device={device}}} 1 counter")).unwrap();
        vec![parsed.remove(0)]
    });
    let shown = |request: &[Batch]| format!("{:?}", request[0].table().series()[0].attributes);
    let mut lengths = Vec::new();
    for request in devices.iter().chain(&devices) {
        log.append(log.cursor().end, request, 0).unwrap();
        lengths.push(segments(folder.path())[0].metadata().unwrap().len());
    }
    let all = LogPosition::default()..log.cursor().end;
    drop(log);
    let segment = segments(folder.path()).remove(0);
    let whole = std::fs::read(&segment).unwrap();
    let second = usize::try_from(lengths[0]).unwrap()..usize::try_from(lengths[1]).unwrap();
    for byte in second {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1;
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::write(&segment, &flipped).unwrap();
        let mut log = open(folder.path());
        let read = log.read(&all, u64::MAX).requests;
        let read: Vec<_> = read
            .iter()
            .map(|it| (it.0.requests, shown(&it.1)))
            .collect();
        let expected = [(0, 0), (2, 2), (3, 0), (5, 2)].map(|(at, of)| (at, shown(&devices[of])));
        assert_eq!(read, expected, "byte {byte}");
    }
}

#[test]
fn what_is_no_segment_is_set_aside_and_what_is_newer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 3);
    drop(log);
    let foreign = folder.path().join(crate::segment::file_name(3));
    std::fs::write(&foreign, "a text of somebody").unwrap();
    let link = folder.path().join(crate::segment::file_name(4));
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    let socket = folder.path().join(crate::segment::file_name(5));
    std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::write(folder.path().join("cursor"), "another text").unwrap();
    let found = recover(folder.path(), false).unwrap();
    assert_eq!(found.damage.len(), 3);
    assert!(foreign.exists(), "who only looks changes nothing");
    let mut log = open(folder.path());
    assert_eq!(pending(&mut log), [0, 1, 2]);
    for it in [foreign, link, socket] {
        let aside = it.with_extension("segment.damaged");
        assert!(aside.symlink_metadata().is_ok(), "{}", aside.display());
    }
    drop(log);
    let segment = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 99;
    std::fs::write(&segment, bytes).unwrap();
    let error = recover(folder.path(), true).unwrap_err();
    assert!(
        error.contains("it is of format 99, which a newer version"),
        "{error}"
    );
    assert!(segment.exists());
}

#[test]
fn a_request_that_fails_to_be_written_leaves_the_others_and_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 3);
    let error = std::io::Error::other("no space");
    let sweeps = Sweeps::new();
    // As after an error: the segment ends, and a position is left out.
    drop(error);
    log.end_segment();
    log.cursor.end = at(4);
    let request = sweeps.request(4);
    log.append(at(4), &request, 0).unwrap();
    assert_eq!(points(&request), 3);
    assert_eq!(numbers(&mut log, &[at(0)..at(5)]), [0, 1, 2, 4]);
}

#[test]
fn what_could_not_be_forced_onto_the_disk_as_a_segment_ended_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 1);
    log.failed_sync = Some(std::io::ErrorKind::StorageFull.into());
    let error = log.sync().expect_err("the request before is not there");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(log.sync().is_ok() && log.is_synced());
}

/// Of 2^n requests in a row the last one stays.
fn thin(requests: &mut [Vec<Batch>], times: u32) {
    let is_last = |request: &Vec<Batch>| (request[0].sweep().number + 1).is_multiple_of(1 << times);
    let others = requests.iter_mut().filter(|it| !is_last(it));
    others.for_each(Vec::clear);
}

#[test]
fn what_is_damaged_is_not_thinned_but_named_and_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = Warnings::new(&"test".into());
    let mut log = Log::open(folder.path(), SMALL, warnings, WhenFull::Thin(thin)).unwrap();
    while segments(folder.path()).len() < 4 {
        append(&mut log, 1);
    }
    let damaged = segments(folder.path()).remove(1);
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, &bytes).unwrap();
    for _ in 0..5000 {
        append(&mut log, 1);
        let all = LogPosition::default()..log.cursor().end;
        log.keep(vec![all], Vec::new());
        assert_eq!(log.cut(0), None, "nothing was dropped");
    }
    assert_eq!(std::fs::read(&damaged).unwrap(), bytes, "it stays as it is");
    let end = log.cursor().end;
    let (mut next, mut thinned, mut left) = (at(0), 0, 0);
    while next < end {
        let read = log.read(&(next..end), 1000);
        left += read.requests.len() as u64;
        thinned += read.thinned;
        next = read.next;
    }
    assert_eq!(
        thinned,
        end.points - 3 * (left + 1),
        "but for one, which is lost"
    );
    keep(&mut log, &[]);
    let aside = damaged.with_extension("segment.damaged");
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
}

#[test]
fn what_is_too_much_is_thinned_evenly_before_anything_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = Warnings::new(&"test".into());
    let mut log = Log::open(folder.path(), SMALL, warnings, WhenFull::Thin(thin)).unwrap();
    for _ in 0..10_000 {
        append(&mut log, 1);
        let all = LogPosition::default()..log.cursor().end;
        log.keep(vec![all], Vec::new());
        assert_eq!(log.cut(0), None, "nothing was dropped");
    }
    let bytes = segments(folder.path());
    let bytes: u64 = bytes.iter().map(|it| it.metadata().unwrap().len()).sum();
    assert!(bytes <= 64 << 10, "{bytes}");
    let mut log = open(folder.path());
    let (mut next, end, mut thinned, mut left) = (at(0), at(10_000), 0, Vec::new());
    while next < end {
        let read = log.read(&(next..end), 1000);
        left.extend(read.requests.iter().map(|(at, _)| at.requests));
        thinned += read.thinned;
        next = read.next;
    }
    assert_eq!(
        thinned,
        3 * (10_000 - left.len() as u64),
        "all else was read"
    );
    let gaps = left.windows(2).map(|it| (it[0], it[1] - it[0]));
    let is_even = |(from, gap)| {
        if from < 5_000 {
            (32..=64).contains(&gap)
        } else {
            gap <= 64
        }
    };
    assert!(
        gaps.into_iter().all(is_even),
        "the newest are finer: {left:?}"
    );
    assert!(left[0] < 64 && left[left.len() - 1] == 9_999, "{left:?}");
}
