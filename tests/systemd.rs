//! The units of deploy/systemd: systemd finds no mistake in them, and they are no more exposed than their README says.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{BINARY, has_program, lacks, repository, text};

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
