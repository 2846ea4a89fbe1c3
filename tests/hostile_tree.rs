//! A tree into which others may write: what a local user makes of it while root reads it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, TryRecvError};

use rustix::fs::{CWD, FileType, Gid, Mode, RenameFlags, Uid, renameat_with};
use rustix::process::Signal;

use crate::common::alone::{CPU, alone};
use crate::common::{
    SeriesCounts, assert_fault, collector, config, count, count_after, end, is_root, lacks, lines,
    lines_until, memory, run, signal, text,
};

/// No count and no time is negative: it is in what the program says only where it was read.
const SECRET: &str = "-31337";
const SECRET_NAME: &str = "private_name";

/// A tree of nobody's, and beside it a directory of root's that nobody may look into.
struct Hosts {
    _directory: tempfile::TempDir,
    tree: PathBuf,
    secret: PathBuf,
}

/// `tree/sub/dev/inner/c`, and `secret/inner/c` and other names. `None`, reported on standard error, without root.
fn hosts(test: &str) -> Option<Hosts> {
    if !is_root() {
        lacks(test, "root");
        return None;
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (tree, secret) = (
        directory.path().join("tree"),
        directory.path().join("secret"),
    );
    fs::create_dir_all(tree.join("sub/dev/inner")).unwrap();
    fs::write(tree.join("sub/dev/inner/c"), "7\n").unwrap();
    fs::create_dir_all(secret.join("inner")).unwrap();
    fs::write(secret.join("c"), SECRET).unwrap();
    for name in ["c", SECRET_NAME] {
        fs::write(secret.join("inner").join(name), SECRET).unwrap();
    }
    let (mode, nobody) = (0o700, Some(65_534));
    for path in [directory.path(), &tree] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    for below in ["", "sub", "sub/dev", "sub/dev/inner", "sub/dev/inner/c"] {
        std::os::unix::fs::chown(tree.join(below), nobody, nobody).unwrap();
    }
    Some(Hosts {
        _directory: directory,
        tree,
        secret,
    })
}

/// This thread alone is nobody from now on, and has no capability.
fn become_nobody() {
    let (uid, gid) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
}

/// Runs an attack by nobody, again and again, while the tree is swept, until there were so many sweeps and a read failed
/// by it. Returns what the program logged. No secret may be in that, nor be shown.
fn attacked(hosts: &Hosts, options: &str, sweeps: u64, attack: impl FnMut() + Send) -> String {
    let receiver = format!(
        "{{root: {}, collection_interval: 2ms, rescan_interval: 10ms, {options}}}",
        hosts.tree.display()
    );
    let summary = "service:\n  telemetry: {logs: {summary_interval: 50ms}}\n";
    let config = config(&receiver, "batch: {}", "{}").replace("service:\n", summary);
    let mut child = collector(&config, &[]);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::scope(|scope| {
        // What is dropped at the end of this scope ends the attack.
        let (_goes_on, is_over) = mpsc::channel::<()>();
        scope.spawn(move || {
            become_nobody();
            let mut attack = attack;
            while is_over.try_recv() == Err(TryRecvError::Empty) {
                attack();
            }
        });
        // A secret ends the program, whose output is closed.
        scope.spawn(|| {
            for line in stdout.lines() {
                assert_no_secret(options, &line.unwrap());
            }
        });
        let shown = lines_until(&mut stderr, |line| {
            count(line, "sweeps") >= sweeps && count(line, "reads_failed") > 0
        });
        signal(&child, Signal::TERM);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        let said = format!("{}\n{rest}", shown.join("\n"));
        assert!(child.wait().unwrap().success(), "{said}");
        assert_no_secret(options, &said);
        said
    })
}

fn assert_no_secret(options: &str, said: &str) {
    let is_secret = said.contains(SECRET) || said.contains(SECRET_NAME);
    assert!(!is_secret, "{options}: {said}");
}

/// Something that is never touched: there is always something to sweep.
fn steady(hosts: &Hosts) {
    fs::create_dir(hosts.tree.join("sub/quiet")).unwrap();
    fs::write(hosts.tree.join("sub/quiet/steady"), "1\n").unwrap();
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn a_directory_that_is_exchanged_for_a_link_shows_nothing_of_roots() {
    let _cpu = alone(&CPU);
    let test = "a_directory_that_is_exchanged_for_a_link_shows_nothing_of_roots";
    for (options, exchanged) in [
        ("", "sub/dev"),
        ("read: keep", "sub/dev"),
        ("readers: 2", "sub/dev/inner"),
        ("follow_links: true", "sub/dev"),
        ("subsystem: sub, follow_links: true", "sub/dev"),
    ] {
        let Some(hosts) = hosts(test) else { return };
        steady(&hosts);
        let (directory, link) = (hosts.tree.join(exchanged), hosts.tree.join("sub/link"));
        let target = if exchanged.ends_with("inner") {
            hosts.secret.join("inner")
        } else {
            hosts.secret.clone()
        };
        std::os::unix::fs::symlink(target, &link).unwrap();
        let said = attacked(&hosts, options, 300, || exchange(&directory, &link));
        assert_fault(
            "a directory is exchanged for a link, again and again",
            "its own values while it is none; nothing that the link leads to is read",
            &said,
            &["reads_failed=N"],
        );
    }
}

#[test]
fn a_file_that_is_exchanged_for_something_else_is_not_read() {
    let _cpu = alone(&CPU);
    let test = "a_file_that_is_exchanged_for_something_else_is_not_read";
    for kind in ["link", "device", "fifo", "socket"] {
        let Some(hosts) = hosts(test) else { return };
        steady(&hosts);
        let (file, other) = (
            hosts.tree.join("sub/dev/inner/c"),
            hosts.tree.join("sub/other"),
        );
        let mut listener = None;
        match kind {
            "link" => std::os::unix::fs::symlink(hosts.secret.join("c"), &other).unwrap(),
            "device" => std::os::unix::fs::symlink("/dev/zero", &other).unwrap(),
            "fifo" => {
                rustix::fs::mknodat(CWD, &other, FileType::Fifo, Mode::RWXU, 0).unwrap();
            }
            _ => listener = Some(std::os::unix::net::UnixListener::bind(&other).unwrap()),
        }
        let said = attacked(&hosts, "", 200, || exchange(&file, &other));
        drop(listener);
        assert!(!said.contains("stuck"), "{kind}: {said}");
    }
}

#[test]
fn a_link_in_the_root_leads_to_another_file_system_only_where_that_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (
        directory.path().join("root"),
        tempfile::tempdir_in("/dev/shm").unwrap(),
    );
    fs::create_dir_all(root.join("real/d")).unwrap();
    fs::write(root.join("real/d/c"), "1\n").unwrap();
    fs::create_dir_all(elsewhere.path().join("s/d")).unwrap();
    fs::write(elsewhere.path().join("s/d/c"), "2\n").unwrap();
    for (target, link) in [
        (PathBuf::from("real"), "near"),
        (elsewhere.path().join("s"), "far"),
        ("/proc/self".into(), "process"),
        ("/proc/self/cwd".into(), "magic"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let sweep = |options: &str| {
        let receiver = format!("{{root: {}, {options}}}", root.display());
        let output = run(&config(&receiver, "batch: {}", "{}"), &["--once"]);
        let mut lines = lines(&output.stdout);
        lines.sort();
        (lines.join("|"), text(&output.stderr))
    };
    let (real, near, far) = (
        "real/c{device=/d} 1",
        "near/c{device=/d} 1",
        "far/c{device=/d} 2",
    );
    assert_eq!(sweep("follow_links: false").0, real);
    let (shown, logs) = sweep("follow_links: true");
    assert_eq!(shown, format!("{near}|{real}"));
    let message = "a link to another file system, which `links_into` does not name; passed over component=\"statsfs\" detail=\"far\"";
    assert!(logs.contains(message), "{logs}");
    assert_fault(
        "a link in the root leads to another file system, or through a further link",
        "nothing that may be read: what it leads to is not opened",
        &logs,
        &["link=3"],
    );
    let links_into = format!("links_into: [{}]", elsewhere.path().display());
    let (shown, _) = sweep(&format!("follow_links: true, {links_into}"));
    assert_eq!(shown, format!("{far}|{near}|{real}"));
}

#[test]
fn what_schemas_cost_is_bounded_in_all() {
    let _cpu = alone(&CPU);
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = directory.path().join("root");
    let mistakes = format!("LABEL\nl 1\n\nMETRIC\n{}", "x\n".repeat(120_000));
    let value = "v".repeat(1000);
    let labels: Vec<String> = (0..200).map(|it| format!("l{it} {value}\n")).collect();
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("mistakes"), mistakes).unwrap();
    fs::write(root.join("labels"), format!("LABEL\n{}", labels.concat())).unwrap();
    for device in 0..200 {
        let path = root.join(format!("s/d{device}"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(format!("c{device}")), "1\n").unwrap();
        let content = ["mistakes", "labels"][device % 2];
        fs::hard_link(root.join(content), path.join(".schema")).unwrap();
    }
    let sweep = |limits: &str, series: &[String]| {
        let receiver = format!(
            "{{root: {}, collection_interval: 20ms, timeout: 1h, limits: {limits}}}",
            root.display()
        );
        let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
        let counts = SeriesCounts::of(&mut child);
        series.iter().for_each(|it| counts.wait_for(it, 2));
        let kilobytes = memory(&child);
        (kilobytes, end(child))
    };
    // Four of the labels are just within 4 KiB.
    let labelled = format!("s/c199{{l0={value},l1={value},l2={value},l3={value}}}");
    let (kilobytes, logs) = sweep("{}", &["s/c198{l=1}".into(), labelled]);
    assert!(kilobytes < 64 * 1024, "{kilobytes} KiB resident: {logs}");
    let message = "not understood in a `.schema`; passed over";
    assert_eq!(logs.matches(message).count(), 1, "{logs}");
    let counted = count_after(&logs, " schema_lines_failed=");
    assert_eq!(counted, 100 * (120_000 + 1) + 100 * 196, "{logs}");
    let (_, logs) = sweep("{schema_total_bytes: 1MiB}", &["s/c99{device=/d99}".into()]);
    let message =
        "all `.schema` files together are larger than `limits.schema_total_bytes`; passed over";
    assert_eq!(logs.matches(message).count(), 1, "{logs}");
    assert_fault(
        "there is more in `.schema` files than the limits allow",
        "what is declared beyond; the files are read all the same",
        &logs,
        &["limit=N"],
    );
    let counted = count_after(&logs, " schemas_failed=");
    assert!((190..200).contains(&counted), "{logs}");
}

#[test]
fn directories_without_series_count_and_take_half_of_the_watches_at_the_most() {
    let _cpu = alone(&CPU);
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let root = directory.path().join("root");
    for number in 0..1000 {
        fs::create_dir_all(root.join(format!("s/d{number:04}/empty"))).unwrap();
    }
    fs::write(root.join("s/d0000/c"), "1\n").unwrap();
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms, limits: {{directories: 500}}}}",
        root.display()
    );
    let mut child = collector(&config(&receiver, "batch: {}", "{}"), &[]);
    let counts = SeriesCounts::of(&mut child);
    counts.wait_for("s/c{device=/d0000}", 3);
    let watches: usize = fs::read_dir(format!("/proc/{}/fdinfo", child.id()))
        .unwrap()
        .filter_map(|info| fs::read_to_string(info.unwrap().path()).ok())
        .map(|info| info.matches("inotify wd:").count())
        .sum();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    // Those of the directories, and of what leads to the root.
    let above = root.ancestors().count();
    assert!(watches <= (500 + above).min(limit / 2 + above), "{watches}");
    let logs = end(child);
    let message = "more directories than `limits.directories`; passed over component=\"statsfs\" detail=\"s/d0498";
    assert!(logs.contains(message), "{logs}");
    // The root, the subsystem, and 498 devices; what is below these is beyond.
    assert_fault(
        "there are more directories than `limits.directories`",
        "those beyond, here 1,000 empty ones; none that is known",
        &logs,
        &["directories_refused=1000"],
    );
}
