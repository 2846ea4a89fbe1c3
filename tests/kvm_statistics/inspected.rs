//! What `inspect` lists of VMs: by which source each statistic is read, who says what it is, and what is left out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::needs::{TwoUsers, debugfs, kvm, kvm_and};
use super::vmm::Vmm;
use super::{config, once, shown::shown};
use crate::common::{BINARY, spawn, text};
use crate::inspect::{of, records, why};

const DEFAULT: &str = "{sources: [stats_fd, debugfs]}";

/// Those that are read, by the label `vm`, the label `vcpu`, and the metric's name without `kvm/`.
fn read(records: &[Value]) -> BTreeSet<(String, String, String)> {
    let read = records.iter().filter(|it| it["state"] == "read");
    let key = |it: &Value| {
        let label = |key: &str| it["labels"][key].as_str().map(str::to_owned);
        let name = it["metric"].as_str().unwrap().strip_prefix("kvm/").unwrap();
        let vcpu = label("vcpu").unwrap_or_else(|| "vm".into());
        (label("vm").unwrap(), vcpu, name.to_owned())
    };
    read.map(key).collect()
}

#[test]
fn each_statistic_is_listed_with_its_source_and_who_says_what_it_is_as_once_shows_it() {
    let (Some(_kvm), Some(_debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let kept = vmm.vm("vm('kept', 2)");
    let bare = Vmm::start(&[]).vm("vm('gone', 1, keep=False)");
    let by_bpf = cfg!(feature = "bpf").then_some("{sources: [bpf, stats_fd, debugfs]}");
    for receiver in [DEFAULT].into_iter().chain(by_bpf) {
        let own = |key: &(String, String, String)| key.0 == kept;
        let expected = shown(&once(receiver).stdout).into_keys().filter(own);
        let expected: BTreeSet<_> = expected.collect();
        for arguments in [&[][..], &["--read"]] {
            let listed = records(Some(&config(receiver, "{}")), arguments);
            let read: BTreeSet<_> = read(&listed).into_iter().filter(own).collect();
            assert_eq!(read, expected, "{receiver} {arguments:?}");
            assert!(!listed.iter().any(|it| it.to_string().contains(&bare)));
            let exits = of(&listed, &format!("kvm/{kept}/vcpu1/exits"));
            let has_bpf = receiver.contains("bpf");
            let via = if has_bpf { "bpf" } else { "stats_fd" };
            assert_eq!([&exits["via"], &exits["kind_from"]], [via, "kernel"]);
            assert_eq!([&exits["unit"], &exits["unit_from"]], ["{exit}", "catalog"]);
            assert_eq!(exits["value"].is_number(), !arguments.is_empty(), "{exits}");
            let wait = of(&listed, &format!("kvm/{kept}/vcpu1/halt_wait_hist"));
            assert_eq!([&wait["kind"], &wait["unit_from"]], ["histogram", "kernel"]);
            let pages = of(&listed, &format!("kvm/{kept}/pages_4k"));
            let via = if has_bpf { "bpf" } else { "debugfs" };
            assert_eq!([&pages["via"], &pages["kind_from"]], [via, "kernel"]);
        }
    }
}

#[test]
fn what_no_source_gives_is_listed_with_what_would_give_it() {
    let (Some(_kvm), Some(debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, keep=False)");
    let listed = records(Some(&config("{sources: [stats_fd]}", "{}")), &[]);
    let none = "stats_fd: none is kept open (QEMU keeps those of vCPUs from 8.1 on)";
    let bpf = if cfg!(feature = "bpf") {
        "bpf: not among `sources` (it takes CAP_BPF and CAP_PERFMON); "
    } else {
        ""
    };
    let debugfs_unused = "debugfs: not among `sources` (it takes root)";
    assert_eq!(
        why(&listed, &format!("kvm/{vm}/vcpu0/")),
        format!("left_out; no_source; all but what is in files: {none}; {bpf}{debugfs_unused}")
    );
    assert_eq!(
        why(&listed, &format!("kvm/{vm}/")),
        format!("left_out; no_source; the VM's own statistics: {none}; {bpf}{debugfs_unused}")
    );

    let listed = records(Some(&config(DEFAULT, "{}")), &[]);
    let directory = debugfs.0.join("kvm").join(&vm);
    let is_hidden = std::fs::File::open(directory.join("exits")).is_err();
    let expected = if is_hidden {
        let hidden = "hidden by the kernel's lockdown, as all writable files (boot without it)";
        format!("left_out; lockdown; {none}; {bpf}debugfs: {hidden}")
    } else {
        "read".to_owned()
    };
    assert_eq!(why(&listed, &format!("kvm/{vm}/exits")), expected);
    assert_eq!(why(&listed, &format!("kvm/{vm}/pages_4k")), "read");
}

#[test]
fn what_a_processor_drops_of_a_vm_names_its_rule() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1)");
    let rule = "metadata: {rules: [{match: {name: kvm/exits}, drop: true}]}";
    let config = config("{sources: [stats_fd]}", "{}").replace("metadata: {}", rule);
    let listed = records(Some(&config), &[]);
    let exits = format!("kvm/{vm}/vcpu0/exits");
    assert_eq!(why(&listed, &exits), "dropped; metadata; dropped; rules.0");
}

#[test]
fn without_read_no_value_of_a_vm_is_read() {
    let (Some(_kvm), Some(debugfs)) = (kvm_and(&["strace"]), debugfs()) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1)");
    let log = tempfile::NamedTempFile::new().unwrap();
    for reads in [false, true] {
        let mut command = Command::new("strace");
        command.args(["--follow-forks", "--quiet=attach,personality", "-y"]);
        command.args(["--trace=read,pread64", "--output"]);
        command.arg(log.path()).args([BINARY, "inspect"]);
        command.args(reads.then_some("--read"));
        command.args(["--config", "-"]);
        let output = spawn(command, &config(DEFAULT, "{}"))
            .wait_with_output()
            .unwrap();
        assert!(text(&output.stdout).contains(&vm));
        let trace = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(reads_files(&trace, &debugfs.0.join("kvm")), reads);
        // Header, id and types only, which end where the numbers begin.
        let ends = trace.lines().filter_map(end_of_read);
        let data: usize = serde_json::from_value(vmm.ask("data_offset(vms['a'].kept[0])")).unwrap();
        assert_eq!(ends.max().unwrap() > data, reads, "{trace}");
    }
}

/// Whether a file below this directory was read.
fn reads_files(trace: &str, directory: &Path) -> bool {
    let directory = format!("<{}/", directory.display());
    trace.lines().any(|line| line.contains(&directory))
}

/// The last byte of a statistics file that a call of `pread` has read.
fn end_of_read(line: &str) -> Option<usize> {
    let (call, result) = line.rsplit_once(") = ")?;
    let is_statistics = call.contains("<anon_inode:kvm-vcpu-stats:");
    let start = call.rsplit(", ").next().filter(|_| is_statistics)?;
    let (start, read): (usize, usize) = (start.parse().ok()?, result.trim().parse().ok()?);
    Some(start + read)
}

#[test]
fn a_right_that_is_missing_is_listed() {
    let Some(_kvm) = kvm() else { return };
    let Some(users) = TwoUsers::start() else {
        return;
    };
    let listed = |sources: &str| {
        let mut command = users.as_user(65_534, "");
        command.args(["inspect", "--config", "-"]);
        let config = config(&format!("{{sources: {sources}}}"), "{}");
        let output = spawn(command, &config).wait_with_output().unwrap();
        let stdout = text(&output.stdout);
        let lines = stdout.lines().skip(1);
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    let details = |listed: &[Value], reason: &str| {
        let of = listed.iter().filter(|it| it["reason"] == reason);
        of.map(|it| format!("{}: {}", it["source"], it["detail"]))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let by_descriptors = listed("[stats_fd]");
    let exits = format!("kvm/{}/vcpu0/exits", users.of_user);
    assert_eq!(why(&by_descriptors, &exits), "read");
    assert!(
        !by_descriptors
            .iter()
            .any(|it| it.to_string().contains(&users.of_root))
    );
    let refused = details(&by_descriptors, "permission");
    assert!(refused.starts_with("\"kvm/\": "), "{refused}");
    let right = "processes may not be looked at; it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
    assert!(refused.contains(right), "{refused}");
    if cfg!(feature = "bpf") {
        let by_bpf = details(&listed("[bpf, stats_fd]"), "bpf");
        let right = "CAP_BPF and CAP_PERFMON are missing";
        assert!(by_bpf.contains(right), "{by_bpf}");
    }
}
