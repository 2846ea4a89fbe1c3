//! A real VM, made through /dev/kvm, seen in debugfs.

pub(crate) mod host;
mod inspected;
mod kernel_types;
mod table;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use kvm_ioctls::Kvm;
use rustix::process::Signal;
use serde_json::Value;

use self::host::{kvm, name};
use crate::common::alone::{CPU, KVM, alone};
use crate::common::{
    self, SeriesCounts, collector, lines, read_until, repository, run, signal, spin, text,
};

fn config(interval: &str, stdout: &str) -> String {
    let receiver = format!(
        "{{root: 'debugfs:kvm', subsystem: kvm, layout: '{{vm}}/{{vcpu}}/{{metric}}', collection_interval: {interval}}}"
    );
    common::config(&receiver, "metadata: {}; batch: {}", stdout)
}

/// How many files below refuse to be read to root: those that lockdown hides.
fn hidden(directory: &Path) -> usize {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let hides = |path: PathBuf| {
        if path.is_dir() {
            hidden(&path)
        } else {
            usize::from(File::open(&path).is_err_and(|it| it.raw_os_error() == Some(1)))
        }
    };
    entries.map(hides).sum()
}

#[test]
fn a_vm_is_seen_with_its_types_and_ends_when_it_goes() {
    let _kvm = alone(&KVM);
    let Some((kvm, _debugfs)) = kvm("a_vm_is_seen_with_its_types_and_ends_when_it_goes") else {
        return;
    };
    // One that stays, so that there is something to sweep all the time.
    let stays = kvm.create_vm().unwrap();
    let vm = kvm.create_vm().unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    let (name, other) = (name(&vm), name(&stays));
    let mut child = collector(&config("20ms", "{}"), &[]);
    let mut sweeps = 0;
    let shown = read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with(&format!("kvm/pages_4k{{vm={name}}} ")));
        sweeps == 10
    });
    for line in [
        format!("kvm/pages_4k{{vm={name}}} 0 updown {{page}}"),
        format!("kvm/blocking{{vm={name}}} 0 updown {{vcpu}}"),
        format!("kvm/guest_mode{{vcpu=vcpu0,vm={name}}} 0 updown {{vcpu}}"),
    ] {
        assert!(shown.contains(&line), "{line}: {shown:#?}");
    }
    // The host's totals and the VM's count of a vCPU's truth value are sums; histograms' files show one bucket only.
    assert!(
        !shown.iter().any(|line| line.starts_with("kvm/pages_4k ")
            || line.starts_with(&format!("kvm/guest_mode{{vm={name}}}"))
            || line.contains("_hist")),
        "{shown:#?}"
    );
    drop((vcpu, vm));
    let gone = read_until(&mut child, |line| {
        line == format!("kvm/pages_4k{{vm={name}}} end updown {{page}}")
    });
    assert!(
        gone.iter()
            .any(|line| line.starts_with(&format!("kvm/pages_4k{{vm={other}}} ")))
    );
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
}

#[test]
fn what_lockdown_hides_is_said_once_and_not_tried_at_each_sweep() {
    let _kvm = alone(&KVM);
    let Some((kvm, debugfs)) = kvm("what_lockdown_hides_is_said_once_and_not_tried_at_each_sweep")
    else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let directory = debugfs.0.join("kvm").join(name(&vm));
    let mut child = collector(
        &config("20ms", "{}").replace("metadata: {}", "metadata: {sources: [mode]}"),
        &[],
    );
    let mut sweeps = 0;
    read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with(&format!("kvm/pages_4k{{vm={}}} ", name(&vm))));
        sweeps == 20
    });
    signal(&child, Signal::TERM);
    let stderr = text(&child.wait_with_output().unwrap().stderr);
    if hidden(&directory) == 0 {
        // No lockdown on this kernel: then there is nothing that it hides.
        assert!(!stderr.contains("lockdown"), "{stderr}");
        return;
    }
    let all = hidden(&debugfs.0.join("kvm"));
    assert!(
        stderr.contains(&format!("lockdown={all}")),
        "each once in twenty sweeps, {all} of them: {stderr}"
    );
    assert_eq!(
        stderr.matches("hidden by the kernel's lockdown").count(),
        1,
        "{stderr}"
    );
}

#[test]
fn a_vms_counters_count_since_it_was_made() {
    let _kvm = alone(&KVM);
    let Some((kvm, _debugfs)) = kvm("a_vms_counters_count_since_it_was_made") else {
        return;
    };
    let now = || {
        u64::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos(),
        )
        .unwrap()
    };
    let before = now();
    let vm = kvm.create_vm().unwrap();
    let after = now();
    let output = run(&config("1s", "{format: json}"), &["--once"]);
    let points = lines(&output.stdout)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .flat_map(|it| it["resourceMetrics"].as_array().unwrap().clone())
        .collect::<Vec<_>>();
    let json = serde_json::to_string(&points).unwrap();
    let starts = points
        .iter()
        .flat_map(|it| it["scopeMetrics"][0]["metrics"].as_array().unwrap().clone())
        .filter(|it| it["name"] == "kvm/pages_4k")
        .flat_map(|it| it["sum"]["dataPoints"].as_array().unwrap().clone());
    let start = starts
        .filter(|point| point["attributes"][0]["value"]["stringValue"] == name(&vm).as_str())
        .map(|point| {
            point["startTimeUnixNano"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .next();
    let start = start.unwrap_or_else(|| panic!("{json}"));
    // The kernel stamps directories with a clock that is some milliseconds coarse.
    assert!(
        (before - 50_000_000..=after).contains(&start),
        "{before} {start} {after}"
    );
}

#[test]
fn the_configuration_for_kvm_hosts_runs() {
    let _kvm = alone(&KVM);
    let Some((kvm, _debugfs)) = kvm("the_configuration_for_kvm_hosts_runs") else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let _vcpu = vm.create_vcpu(0).unwrap();
    let yaml = fs::read_to_string(repository("configs/kvm-host.yaml")).unwrap();
    let to_stdout = yaml.replace("  otlp:\n    endpoint: ${env:OTLP_ENDPOINT:-localhost:4317}\n    tls: {insecure: true}\n", "  stdout:\n").replace("[otlp]", "[stdout]");
    let output = run(&to_stdout, &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // The process, and not the thread that has made it.
    let name = format!("{}-{}", std::process::id(), vm.as_raw_fd());
    assert!(
        lines(&output.stdout)
            .iter()
            .any(|line| line.starts_with(&format!("kvm/pages_4k{{vm={name}}} "))),
        "{}",
        text(&output.stdout)
    );
}

/// Not a test by itself: a process with a VM of two vCPUs, which lives until it is killed, or its standard input ends.
#[test]
#[ignore = "the next test runs it, and kills it"]
fn a_process_that_has_a_vm() {
    let vm = Kvm::new().unwrap().create_vm().unwrap();
    let _vcpus = [0, 1].map(|number| vm.create_vcpu(number).unwrap());
    writeln!(std::io::stdout(), "vm={}", name(&vm)).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// The process of [`a_process_that_has_a_vm`], and its VM's name.
fn a_vm_elsewhere() -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kvm::a_process_that_has_a_vm",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let name = stdout
        .map(|line| line.unwrap())
        .find_map(|line| Some(line.split_once("vm=")?.1.to_owned()));
    (child, name.unwrap())
}

#[test]
fn a_vm_whose_process_is_killed_is_never_kept_alive() {
    let _kvm = alone(&KVM);
    // Two hundred processes load the cores.
    let _cpu = alone(&CPU);
    let Some((kvm, debugfs)) = kvm("a_vm_whose_process_is_killed_is_never_kept_alive") else {
        return;
    };
    // One that stays: its values are the clock, by sweeps.
    let stays = kvm.create_vm().unwrap();
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for read in ["auto", "reopen"] {
        let config = config(&format!("10ms, read: {read}"), "{}");
        let mut child = collector(&config, &[]);
        let counts = SeriesCounts::of(&mut child);
        let sweeps = |vm: &str| counts.values(&format!("kvm/pages_4k{{vm={vm}}}"));
        let clock = name(&stays);
        for round in 0..100 {
            let (mut process, vm) = a_vm_elsewhere();
            // Half of them before they may be known, the others in the midst of being swept.
            while round % 2 == 0 && sweeps(&vm) == 0 {
                assert!(child.try_wait().unwrap().is_none(), "it ended");
                std::thread::yield_now();
            }
            spin(&mut random, 300_000);
            let directory = debugfs.0.join("kvm").join(&vm);
            assert!(directory.exists(), "{vm}");
            process.kill().unwrap();
            process.wait().unwrap();
            let killed = sweeps(&clock);
            loop {
                let more = sweeps(&clock) - killed;
                if !directory.exists() {
                    break;
                }
                assert!(more <= 2, "`read: {read}`, seed {seed}: {vm} lives on");
                std::thread::yield_now();
            }
        }
        signal(&child, Signal::TERM);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}
