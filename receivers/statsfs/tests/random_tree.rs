//! A random tree of sources, swept while it changes: no series is sent twice in a sweep, none outlives its file, none is lost.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use pipeline::testing::{context, node};
use pipeline::{
    Attributes, Batch, Budget, Component, Demand, Factory, Outlet, Receiver, ReceiverClock,
    Registration, Shutdown, Value, formats::text,
};
use receiver_statsfs::Statsfs;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// The series of the tree once it no longer changes, with the values that each may have: several, where files are the same series.
type ExpectedValues = BTreeMap<String, BTreeSet<i64>>;

/// Changes the tree at random.
struct Mutator<'a> {
    root: &'a Path,
    /// A directory beside it, to move entries from and to.
    outside: &'a Path,
    random: Rng,
    next: i64,
    has_schemas: bool,
}

impl Mutator<'_> {
    /// A subsystem, a device or what is below one; it may exist or not.
    fn directory(&mut self) -> PathBuf {
        let mut path = self.root.join(format!("s{}", self.random.u8(0..3)));
        if self.random.u8(0..8) > 0 {
            path.push(format!("d{}", self.random.u8(0..5)));
            if self.random.u8(0..3) == 0 {
                path.push(format!("f{}", self.random.u8(0..3)));
            }
        }
        path
    }

    fn file(&mut self) -> PathBuf {
        self.directory().join(format!("f{}", self.random.u8(0..5)))
    }

    /// A value that no other file has.
    fn value(&mut self) -> String {
        self.next += 1;
        format!("{}\n", self.next)
    }

    fn device(&mut self, path: &Path) {
        let _ = fs::create_dir_all(path);
        for _ in 0..self.random.u8(1..5) {
            let file = path.join(format!("f{}", self.random.u8(0..5)));
            let _ = fs::write(file, self.value());
        }
    }

    fn replace(&self, path: &Path, content: &str) {
        let new = self.outside.join("new");
        fs::write(&new, content).unwrap();
        let _ = fs::rename(new, path);
    }

    /// Makes one change. It may fail, where there is nothing of that name, or something else.
    fn change(&mut self) {
        let (one, other) = (self.directory(), self.directory());
        let value = self.value();
        match self.random.u8(0..12) {
            0..=2 => self.device(&one),
            3 => drop(fs::remove_dir_all(one)),
            4 => {
                let _ = fs::remove_dir_all(&other);
                let _ = fs::rename(one, other);
            }
            5 => {
                // One directory replaces another at once.
                let past = self.outside.join(format!("past{}", self.next));
                self.device(&self.outside.join("next"));
                let _ = fs::rename(&one, past);
                let _ = fs::rename(self.outside.join("next"), one);
            }
            6 => {
                let past = self.outside.join(format!("past{}", self.random.u8(0..4)));
                let (from, to) = if self.random.bool() {
                    (past, one)
                } else {
                    (one, past)
                };
                let _ = fs::rename(from, to);
            }
            7 => drop(fs::write(self.file(), value)),
            8 => {
                let file = self.file();
                self.replace(&file, &value);
            }
            9 => drop(fs::remove_file(self.file())),
            10 if self.has_schemas => {
                let label = self.random.u8(0..3);
                let schema = one.join(".schema");
                let flag = self.random.choice(["GAUGE", "CUMULATIVE"]).unwrap();
                let metric = format!("METRIC\nNAME f0\nFLAG {flag}\nTYPE INT\n");
                match self.random.u8(0..4) {
                    0 => drop(fs::write(schema, format!("LABEL\nk {label}\n\n{metric}"))),
                    1 => self.replace(&schema, &format!("LABEL\nk {label}\n")),
                    2 => self.replace(&schema, &metric),
                    _ => drop(fs::remove_file(schema)),
                }
            }
            _ => {
                // A directory becomes a file, or a file a directory.
                let file = self.file();
                if fs::remove_dir_all(&file).is_ok() {
                    let _ = fs::write(file, value);
                } else if fs::remove_file(&file).is_ok() {
                    self.device(&file);
                }
            }
        }
    }
}

/// The series of a directory and of all below.
fn walk(subsystem: &str, directory: &Path, device: &str, found: &mut ExpectedValues) {
    let schema = fs::read_to_string(directory.join(".schema")).unwrap_or_default();
    let label = schema.lines().find_map(|line| line.strip_prefix("k "));
    let attributes = match label {
        Some(value) => Attributes::from_iter([("k", value)]),
        None => Attributes::from_iter([("device", device)]),
    };
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            walk(subsystem, &path, &format!("{device}/{name}"), found);
        } else if name != ".schema" {
            let series = text::identity(&format!("{subsystem}/{name}"), &attributes);
            let value = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
            found.entry(series).or_default().insert(value);
        }
    }
}

fn expected(root: &Path) -> ExpectedValues {
    let mut found = ExpectedValues::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let subsystem = path.file_name().unwrap().to_str().unwrap();
            walk(subsystem, &path, "", &mut found);
        }
    }
    found
}

/// The series received so far.
#[derive(Default)]
struct ReceivedSeries {
    live: BTreeMap<String, i64>,
    ends: usize,
    /// What the sweep of each subsystem that is under way has received.
    sweeps: HashMap<String, (u64, BTreeMap<String, Value>)>,
}

impl ReceivedSeries {
    fn take(&mut self, batch: &Batch) {
        let (subsystem, sweep) = (&batch.table().head().subsystem, batch.sweep());
        let (number, seen) = self.sweeps.entry(subsystem.to_string()).or_default();
        if *number != sweep.number {
            assert!(
                *number < sweep.number,
                "{subsystem}: {number} {}",
                sweep.number
            );
            (*number, *seen) = (sweep.number, BTreeMap::new());
        }
        for (series, value) in batch.table().series().iter().zip(batch.values()) {
            let series = text::identity(&series.name, &series.attributes);
            match value {
                Value::Absent => continue,
                Value::Int(value) => drop(self.live.insert(series.clone(), *value)),
                Value::Ended => {
                    // A series whose file was removed before it was read ends as well.
                    self.live.remove(&series);
                    self.ends += 1;
                }
                other => panic!("{series}: {other:?}"),
            }
            if let Some(before) = seen.insert(series.clone(), value.clone()) {
                panic!("{series} twice in one sweep: {before:?}, {value:?}");
            }
        }
        if sweep.last {
            *seen = BTreeMap::new();
        }
    }

    /// The first difference from the expected series.
    fn differs(&self, expected: &ExpectedValues) -> Option<String> {
        let stale = self.live.keys().find(|it| !expected.contains_key(*it));
        let lost = expected.keys().find(|it| !self.live.contains_key(*it));
        let mut live = self.live.iter();
        let mismatch = live.find(|(series, value)| {
            expected
                .get(*series)
                .is_some_and(|values| !values.contains(value))
        });
        let mismatch = mismatch.map(|(series, value)| format!("{series} is not {value}"));
        stale
            .map(|it| format!("{it} is stale"))
            .or_else(|| lost.map(|it| format!("{it} is lost")))
            .or(mismatch)
    }
}

fn receiver(yaml: &str, watches: usize) -> Box<dyn Receiver> {
    let all = Registration::all();
    let of = all.iter().find(|it| it.type_name == Statsfs::TYPE).unwrap();
    let Factory::Receiver(decode) = &of.factory else {
        panic!("it is one");
    };
    let decoded = decode(&node(yaml)).unwrap_or_else(|why| panic!("{why:?}"));
    let context = context().with_watch_budget(Budget::new(watches));
    (decoded.value)(&context).unwrap()
}

/// Sweeps a tree while it changes in so many ways, until the received series are those of the tree.
fn sweep(runtime: &Runtime, seed: u64) {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (root, outside) = (
        directory.path().join("root"),
        directory.path().join("outside"),
    );
    fs::create_dir_all(root.join("clock/d")).unwrap();
    fs::write(root.join("clock/d/f"), "0\n").unwrap();
    fs::create_dir(&outside).unwrap();
    let mut random = Rng::with_seed(seed);
    // Without a rescan, the receiver knows only what inotify tells, which does not include changes in a `.schema`.
    let has_schemas = random.bool();
    let rescan = if has_schemas { "30ms" } else { "1h" };
    let yaml = format!(
        "{{root: {}, collection_interval: 3ms, rescan_interval: {rescan}, readers: {}}}",
        root.display(),
        random.u8(1..4)
    );
    // Sometimes not all directories can be watched, and those that cannot are listed.
    let watches = *random.choice(&[0, 1, 3, 4096]).unwrap();
    let (shutdown, shutdown_receiver) = watch::channel(false);
    let (to, mut from) = mpsc::channel(4);
    let (found, _found) = mpsc::unbounded_channel();
    let counters = context().counters;
    let outlet = Outlet::new(to, counters.clone(), found);
    let clock = ReceiverClock::new(Shutdown::new(shutdown_receiver), false, counters);
    let running = receiver(&yaml, watches).run(Demand::everything(), outlet, clock);
    let running = runtime.spawn(running);

    let (sweeps, rests) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut received = ReceivedSeries::default();
    let changes = || {
        let mut mutator = Mutator {
            root: &root,
            outside: &outside,
            random,
            next: 0,
            has_schemas,
        };
        for _ in 0..400 {
            mutator.change();
            // Often several changes between two scans, sometimes a scan between two changes.
            if mutator.random.u8(0..10) == 0 {
                let now = sweeps
                    .load(Ordering::Relaxed)
                    .saturating_add(mutator.random.u64(0..3));
                while sweeps.load(Ordering::Relaxed) < now {
                    std::thread::yield_now();
                }
            }
            // Not by yields, each of which takes a time slice where others build.
            (0..mutator.random.u16(0..2000)).for_each(|_| std::hint::spin_loop());
        }
        rests.store(true, Ordering::Release);
    };
    let mut check = async || {
        let _releases = Releases(&sweeps);
        let (mut there, mut since, mut right, mut ends) = (None, 0, 0, None);
        // Sweeps that were seen: the number of one counts those too that a busy machine had no time for.
        let (mut newest, mut seen) = (None, 0_u64);
        while let Some(batches) = from.recv().await {
            let at_rest = rests.load(Ordering::Acquire);
            batches.iter().for_each(|batch| received.take(batch));
            let number = batches[0].sweep().number;
            if newest < Some(number) {
                (newest, seen) = (Some(number), seen + 1);
            }
            sweeps.store(seen, Ordering::Relaxed);
            if !at_rest {
                continue;
            }
            let there = there.get_or_insert_with(|| {
                since = seen;
                expected(&root)
            });
            match received.differs(there) {
                None if right == 0 => right = seen,
                // Ends of what never had a value may still be under way.
                None if seen < right + 4 => {}
                None => {
                    let ends = ends.get_or_insert(received.ends);
                    assert_eq!(received.ends, *ends, "an end is sent once");
                }
                Some(why) if right > 0 => panic!("it was right, and is not: {why}"),
                Some(why) => assert!(seen < since + 2_000, "{why}"),
            }
            if right > 0 && seen > right + 20 {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(changes);
        runtime.block_on(check());
    });
    shutdown.send(true).unwrap();
    runtime.block_on(async {
        while from.recv().await.is_some() {}
        running.await.unwrap().unwrap();
    });
}

/// When it is dropped, also by a panic, nothing waits for a sweep any more.
struct Releases<'a>(&'a AtomicU64);

impl Drop for Releases<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

#[test]
fn a_random_tree_swept_while_it_changes_is_shown_as_it_is() {
    let first = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    let runs = std::env::var("RUNS").map_or(50, |it| it.parse().unwrap());
    let runtime = Runtime::new().unwrap();
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        let swept = AssertUnwindSafe(|| sweep(&runtime, seed));
        assert!(catch_unwind(swept).is_ok(), "with SEED={seed}");
    }
}
