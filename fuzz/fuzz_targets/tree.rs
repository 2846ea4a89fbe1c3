//! A tree that a second thread changes while it is scanned and swept: no panic, nothing from outside the root, and nothing
//! is left of it afterwards.

#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::testing::{context, node};
use pipeline::{
    Component, Demand, Factory, Outlet, Receiver, ReceiverClock, Registration, Shutdown, Value,
};
use receiver_statsfs::Statsfs;
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};
use tokio::sync::{mpsc, watch};

/// A value, and a part of names, that only files outside the root have.
const OUTSIDE: i64 = 31337;

libfuzzer_sys::fuzz_target!(|changes: &[u8]| {
    let before = held();
    sweep(changes);
    // Threads end by themselves, a moment later.
    while held() > before {
        std::thread::yield_now();
    }
});

/// How many descriptors and threads the process has.
fn held() -> usize {
    let count = |path| fs::read_dir(path).unwrap().count();
    count("/proc/self/fd") + count("/proc/self/task")
}

fn receiver(yaml: &str) -> Box<dyn Receiver> {
    let all = Registration::all();
    let of = all.iter().find(|it| it.type_name == Statsfs::TYPE).unwrap();
    let Factory::Receiver(decode) = &of.factory else {
        unreachable!("it is one");
    };
    let decoded = decode(&node(yaml)).unwrap_or_else(|why| panic!("{why:?}"));
    (decoded.value)(&context()).unwrap()
}

/// Sweeps a tree while it is changed, and a little longer.
fn sweep(changes: &[u8]) {
    let directory = PathBuf::from(format!("/dev/shm/fuzz-tree-{}", std::process::id()));
    let (root, outside) = (directory.join("root"), directory.join("outside"));
    fs::create_dir_all(root.join("clock/d")).unwrap();
    fs::write(root.join("clock/d/f"), "0\n").unwrap();
    fs::create_dir_all(outside.join("d0/d1")).unwrap();
    for name in ["f0", "d0/f0", "d0/d1/f1", "d0/d1/outside"] {
        fs::write(outside.join(name), format!("{OUTSIDE}\n")).unwrap();
    }
    let first = changes.first().copied().unwrap_or_default();
    let yaml = format!(
        "{{root: {}, collection_interval: 1ms, rescan_interval: {}ms, readers: {}, read: {}, limits: {{directories: 40, labels: 2}}}}",
        root.display(),
        1 + first % 8,
        1 + first / 8 % 3,
        ["auto", "keep"][usize::from(first / 32 % 2)],
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (shutdown, shutdown_receiver) = watch::channel(false);
    let (to, mut from) = mpsc::channel(4);
    let (found, _found) = mpsc::unbounded_channel();
    let counters = context().counters;
    let outlet = Outlet::new(to, counters.clone(), found);
    let clock = ReceiverClock::new(Shutdown::new(shutdown_receiver), false, counters);
    let running = receiver(&yaml).run(Demand::everything(), outlet, clock);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            change(&root, &outside, changes);
            is_over.store(true, Ordering::Release);
        });
        runtime.block_on(async {
            let check = async {
                let mut last = None;
                while let Some(batches) = from.recv().await {
                    for batch in &batches {
                        let series = batch.table().series();
                        for (series, value) in series.iter().zip(batch.values()) {
                            assert!(*value != Value::Int(OUTSIDE), "{series:?}");
                            assert!(!series.name.contains("outside"), "{series:?}");
                        }
                    }
                    let number = batches[0].sweep().number;
                    if is_over.load(Ordering::Acquire) && number > *last.get_or_insert(number) + 3 {
                        let _ = shutdown.send(true);
                    }
                }
            };
            let (ended, ()) = tokio::join!(running, check);
            ended.unwrap();
        });
    });
    fs::remove_dir_all(&directory).unwrap();
}

/// Each three bytes are a change: which one, and of what.
fn change(root: &Path, outside: &Path, changes: &[u8]) {
    for bytes in changes.chunks_exact(3) {
        let (one, other) = (path(root, bytes[1]), path(root, bytes[2]));
        // It may fail, where there is nothing of that name, or something else.
        let _ = match bytes[0] % 16 {
            0..=2 => fs::create_dir_all(&one),
            3..=5 => fs::write(&one, format!("{}\n", bytes[2])),
            6 => fs::remove_dir_all(&one),
            7 => fs::remove_file(&one),
            8 => fs::rename(&one, &other),
            9 | 10 => exchange(&one, &other),
            11 => symlink(
                outside.join(["", "d0", "d0/d1", "f0"][usize::from(bytes[2] % 4)]),
                &one,
            ),
            12 => symlink(&other, &one),
            13 => mknodat(CWD, &one, FileType::Fifo, Mode::RWXU, 0).map_err(Into::into),
            14 => fs::write(
                one.join(".schema"),
                &changes[usize::from(bytes[2]) % changes.len()..],
            ),
            _ => fs::hard_link(one.join(".schema"), other.join(".schema")),
        };
    }
}

fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(Into::into)
}

/// One of 256 paths of one to four parts.
fn path(root: &Path, byte: u8) -> PathBuf {
    let mut path = root.join(format!("s{}", byte % 2));
    for part in 1..=byte / 2 % 4 {
        path.push(format!("d{}", byte >> (2 + part) & 1));
    }
    if byte >= 128 {
        path.push(format!("f{}", byte / 8 % 4));
    }
    path
}
