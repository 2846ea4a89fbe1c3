//! The units of deploy/systemd: systemd finds no mistake in them, and they are no more exposed than their README says.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::authority::{Authority, Files};
use crate::common::{BINARY, end, has_program, lacks, lines_until, repository, spawn, text};

/// Drop-ins, and how exposed the unit is with them, in tenths.
const EXPOSURES: [(&[&str], u32); 6] = [
    (&[], 11),
    (&["kvm"], 21),
    (&["bpf"], 18),
    (&["debugfs"], 15),
    (&["kvm", "bpf", "debugfs"], 24),
    (&["address"], 10),
];

/// The unit with these drop-ins, which starts the program that is tested.
fn install(folder: &Path, drop_ins: &[&str]) -> String {
    let shipped = repository("deploy/systemd");
    let unit = fs::read_to_string(shipped.join("statsfs-collector.service")).unwrap();
    let path = folder.join("statsfs-collector.service");
    fs::write(&path, unit.replace("/usr/bin/statsfs-collector", BINARY)).unwrap();
    let below = folder.join("statsfs-collector.service.d");
    fs::create_dir(&below).unwrap();
    for name in drop_ins {
        let name = format!("{name}.conf");
        fs::copy(shipped.join(&name), below.join(&name)).unwrap();
    }
    path.display().to_string()
}

fn systemd_analyze(arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).env("SYSTEMD_COLORS", "0");
    command.output().unwrap()
}

#[test]
fn systemd_finds_no_mistake_in_the_units_and_they_are_as_exposed_as_is_said() {
    let test = "systemd_finds_no_mistake_in_the_units_and_they_are_as_exposed_as_is_said";
    if !has_program("systemd-analyze") {
        lacks(test, "systemd-analyze, of Debian's package systemd");
        return;
    }
    for (drop_ins, exposure) in EXPOSURES {
        let folder = tempfile::tempdir().unwrap();
        let unit = install(folder.path(), drop_ins);
        let output = systemd_analyze(&["verify", "--man=no", "--recursive-errors=no", &unit]);
        // It ends with 0 for keys that it does not know, too.
        assert_eq!(text(&output.stderr), "", "{drop_ins:?}");
        assert!(output.status.success(), "{drop_ins:?}");
        let threshold = format!("--threshold={exposure}");
        let output = systemd_analyze(&["security", "--offline=yes", &threshold, &unit]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{drop_ins:?}: {said}");
        let level = format!(": {}.{} ", exposure / 10, exposure % 10);
        assert!(said.contains(&level), "{drop_ins:?}: {said}");
    }
}

/// The calls of a set, as `@process`, or of one.
fn calls_of(set: &str) -> BTreeSet<String> {
    if !set.starts_with('@') {
        return BTreeSet::from([set.to_owned()]);
    }
    let output = systemd_analyze(&["syscall-filter", "--no-pager", set]);
    let output = text(&output.stdout);
    let lines = output.lines().skip(1).map(str::trim);
    let sets = lines.filter(|it| !it.is_empty() && !it.starts_with('#'));
    sets.flat_map(calls_of).collect()
}

/// What the unit lets the program call with all drop-ins.
fn allowed_calls() -> BTreeSet<String> {
    let shipped = repository("deploy/systemd");
    let names = [
        "statsfs-collector.service",
        "kvm.conf",
        "bpf.conf",
        "debugfs.conf",
    ];
    let texts = names.map(|name| fs::read_to_string(shipped.join(name)).unwrap());
    let texts = texts.join("\n");
    let mut allowed = BTreeSet::new();
    for filter in texts
        .lines()
        .filter_map(|it| it.strip_prefix("SystemCallFilter="))
    {
        let calls = |sets: &str| -> BTreeSet<String> {
            sets.split_whitespace().flat_map(calls_of).collect()
        };
        match filter.strip_prefix('~') {
            Some(refused) => allowed = &allowed - &calls(refused),
            None => allowed.extend(calls(filter)),
        }
    }
    allowed
}

/// What the program calls with this configuration, from its start to its end.
fn calls_made(config: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--daemonize", "--summary-only"]);
    command.args(["--quiet=attach,personality", "--output"]);
    command.arg(&log).arg(BINARY).args(["--config", "-"]);
    let mut child = spawn(command, config);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let lines = lines_until(&mut stderr, |line| line.contains(" listening "));
    let address = lines.last().unwrap().split("address=\"").nth(1);
    let address = address.unwrap().split('"').next();
    // Accepted, and ended for want of a handshake.
    drop(TcpStream::connect(address.unwrap()).unwrap());
    lines_until(&mut stderr, |line| line.contains("connections_cut=1"));
    child.stderr = Some(stderr.into_inner());
    end(child);
    let is_whole = |table: &String| table.lines().any(|it| it.ends_with(" total"));
    let mut tables = std::iter::repeat_with(|| fs::read_to_string(&log).unwrap());
    let table = tables.find(is_whole).unwrap();
    let rows = table.lines().skip(2).take_while(|it| !it.starts_with('-'));
    let names = rows.filter_map(|it| it.split_whitespace().last());
    names.map(str::to_owned).collect()
}

#[test]
fn the_unit_lets_the_program_call_all_that_it_calls() {
    let test = "the_unit_lets_the_program_call_all_that_it_calls";
    if !has_program("systemd-analyze") || !has_program("strace") {
        lacks(test, "systemd-analyze or strace");
        return;
    }
    let files = Files::new();
    let ours = Authority::new("ours");
    let (certificate, key) = ours.issue("localhost", false);
    let tls = format!(
        "endpoint: '127.0.0.1:0', tls: {{cert_file: {}, key_file: {}}}",
        files.write("server.pem", certificate),
        files.write("server.key", key)
    );
    let config = format!(
        "receivers: {{statsfs: {{root: {}}}, kvm: {{optional: true, sources: [stats_fd, bpf, debugfs]}}}}\n\
         exporters: {{otlp: {{endpoint: 'localhost:1'}}, prometheus: {{{tls}}}, stdout: {{}}}}\n\
         extensions: {{health_check: {{{tls}}}}}\n\
         service: {{extensions: [health_check], shutdown_timeout: 1ms, telemetry: {{logs: {{summary_interval: 500ms}}}},\n  \
         pipelines: {{metrics: {{receivers: [statsfs, kvm], exporters: [otlp, prometheus, stdout]}}}}}}\n",
        repository("tests/fixtures/net-statsfs/sys/kernel/stats").display()
    );
    let (made, allowed) = (calls_made(&config), allowed_calls());
    for call in ["pread64", "inotify_add_watch", "accept4", "connect"] {
        assert!(made.contains(call), "{call}: {made:?}");
    }
    let refused: Vec<_> = made.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn every_drop_in_is_in_the_readme_and_nothing_reloads() {
    let shipped = repository("deploy/systemd");
    let readme = fs::read_to_string(shipped.join("README.md")).unwrap();
    for entry in fs::read_dir(&shipped).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")));
    }
    for (drop_ins, exposure) in &EXPOSURES[..4] {
        let name = drop_ins.first().map(|it| format!("`{it}.conf`"));
        let begin = format!("| {} |", name.unwrap_or_else(|| "–".into()));
        let row = readme.lines().find(|it| it.starts_with(&begin)).unwrap();
        let end = format!("| {}.{} |", exposure / 10, exposure % 10);
        assert!(row.ends_with(&end), "{row}");
    }
    let unit = fs::read_to_string(shipped.join("statsfs-collector.service")).unwrap();
    assert!(!unit.lines().any(|it| it.starts_with("ExecReload")));
    assert!(unit.contains("Type=notify\n") && unit.contains("WatchdogSec="));
}
