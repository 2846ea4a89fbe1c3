//! KVM's binary statistics: real VMs, made by another process through /dev/kvm, as the program shows them.

#[cfg(feature = "bpf")]
mod bpf;
#[cfg(feature = "bpf")]
mod bpf_faults;
mod files;
mod harmless;
mod identity;
mod inspected;
mod libvirt;
mod life;
pub(crate) mod needs;
mod qemu;
mod rights;
mod shown;
mod types;
pub(crate) mod vmm;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use self::needs::kvm;
use self::shown::{AllShown, shown};
use self::vmm::{Statistics, Vmm};
use crate::common::{assert_fault, run, spawn, text};

/// A pipeline of one `kvm` receiver.
fn config(receiver: &str, stdout: &str) -> String {
    format!(
        "receivers: {{kvm: {receiver}}}\nprocessors: {{metadata: {{}}, batch: {{}}}}\nexporters: {{stdout: {stdout}}}\nservice: {{pipelines: {{metrics: {{receivers: [kvm], processors: [metadata, batch], exporters: [stdout]}}}}}}\n"
    )
}

/// A program that sweeps all the time, and looks at all processes once only.
const EAGER: &str = "{collection_interval: 20ms, rescan_interval: 1h, sources: [stats_fd]}";

/// The same by each source that has all of a vCPU.
fn eager() -> Vec<String> {
    let by_bpf = cfg!(feature = "bpf").then(|| EAGER.replace("stats_fd", "bpf"));
    [EAGER.to_owned()].into_iter().chain(by_bpf).collect()
}

/// One sweep.
fn once(receiver: &str) -> Output {
    let output = run(&config(receiver, "{format: json}"), &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// One sweep by this command.
fn once_by(mut command: Command, receiver: &str) -> (AllShown, String) {
    command.args(["--once", "--config", "-"]);
    let output = spawn(command, &config(receiver, "{format: json}"));
    let output = output.wait_with_output().unwrap();
    (shown(&output.stdout), text(&output.stderr))
}

/// The beginning of the line of a vCPU's exits.
fn exits(vm: &str, vcpu: u32) -> String {
    format!("kvm/exits{{vcpu=vcpu{vcpu},vm={vm}}} ")
}

/// What three vCPUs make together: each value of a statistic added up.
fn sums_of_vcpus(owner: &BTreeMap<String, Statistics>, name: &str) -> Vec<f64> {
    let values = |vcpu: &str| -> Vec<f64> {
        serde_json::from_value(owner[vcpu][name]["values"].clone()).unwrap()
    };
    let all = ["vcpu0", "vcpu1", "vcpu2"].map(values);
    let sums = (0..all[0].len()).map(|it| all.iter().map(|of| of[it]).sum());
    sums.collect()
}

/// What is shown of a part of a VM is all of what its owner reads, and of the same types.
fn assert_equal(all: &AllShown, vm: &str, part: &str, owner: &Statistics) {
    assert!(!owner.is_empty());
    let names = all
        .keys()
        .filter(|(of, in_vm, _)| of == vm && in_vm == part);
    let names: Vec<&str> = names.map(|it| it.2.as_str()).collect();
    let expected: Vec<&str> = owner.keys().map(String::as_str).collect();
    assert_eq!(names, expected, "{vm} {part}");
    for (name, statistic) in owner {
        let shown = &all[&(vm.to_owned(), part.to_owned(), name.clone())];
        let values: Vec<f64> = serde_json::from_value(statistic["values"].clone()).unwrap();
        assert_eq!(shown.values, values, "{vm} {part} {name}");
        let is_boolean = statistic["unit"] == 4;
        let expected = match statistic["type"].as_u64().unwrap() {
            0 => "counter",
            1 if is_boolean => "gauge",
            1 => "updown",
            2 => "gauge",
            _ => "histogram",
        };
        assert_eq!(shown.kind, expected, "{name}");
        match (statistic["unit"].as_u64().unwrap(), &*shown.unit) {
            (2, unit) => assert_eq!(unit, "ns", "{name}"),
            (4, unit) => assert_eq!(unit, "1", "{name}"),
            _ => {}
        }
        if expected == "histogram" {
            let bounds: Vec<f64> = (0..31).map(|it| f64::from((1_u32 << it) - 1)).collect();
            assert_eq!(shown.bounds, bounds, "{name}");
            let twin = &owner[&name.replace("_hist", "_ns")]["values"][0];
            assert_eq!(shown.sum, twin.as_f64(), "{name}");
        }
    }
}

#[test]
fn at_rest_every_statistic_is_what_its_owner_reads() {
    let Some(_kvm) = kvm() else { return };
    let before = pipeline::now_unix_nano();
    let mut vmm = Vmm::start(&[]);
    let guest = vmm.vm("vm('guest', 3, keep_vm=True, guest=True)");
    let by_thread = vmm.vm("in_thread(lambda: vm('thread', 3, keep_vm=True))");
    vmm.ask("vms['guest'].run(5)");
    let mut other = Vmm::start(&[]);
    let alone = other.vm("vm('alone', 1, keep_vm=True, guest=True)");
    other.ask("vms['alone'].run(3)");
    // In an order that leaves no doubt whose a descriptor is: none could be an earlier VM's.
    let mut third = Vmm::start(&[]);
    let ten = (0..10).map(|it| {
        let made = format!(
            "vm('ten{it}', {}, keep_vm={})",
            4 - it / 3,
            i32::from(it < 5)
        );
        (format!("ten{it}"), third.vm(&made))
    });
    let ten: Vec<(String, String)> = ten.collect();
    let shown = shown(&once("{sources: [stats_fd]}").stdout);
    for (vmm, name, vm, vcpus) in [
        (&mut vmm, "guest", guest, 3),
        (&mut other, "alone", alone, 1),
    ] {
        let all = vmm.all(name);
        assert_eq!(all.len(), vcpus + 1);
        for (part, owner) in &all {
            assert_equal(&shown, &vm, part, owner);
        }
        let exits = &all["vcpu0"]["halt_exits"]["values"][0];
        assert!(exits.as_u64().unwrap() > 0, "the guest has run");
    }
    for (part, owner) in &vmm.all("thread") {
        assert_equal(&shown, &by_thread, part, owner);
    }
    // The kernel knows starts by 10 ms; the boot's time is as coarse.
    let own = shown.iter().filter(|((vm, ..), _)| *vm == by_thread);
    let mut counters = own
        .filter(|(_, it)| it.kind == "counter")
        .map(|(_, it)| it.start);
    let fits = |start| (before - 20_000_000..pipeline::now_unix_nano()).contains(&start);
    assert!(
        counters.clone().count() > 0 && counters.all(fits),
        "{before}"
    );
    for (name, vm) in &ten {
        for (part, owner) in &third.all(name) {
            if part != "vm" || shown.contains_key(&(vm.clone(), part.clone(), "pages_4k".into())) {
                assert_equal(&shown, vm, part, owner);
            }
        }
    }
}

#[test]
fn statistics_that_can_be_of_two_vms_of_a_process_are_neither_ones() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let [first, second] =
        ["first", "second"].map(|it| vmm.vm(&format!("vm('{it}', 1, keep=False, guest=True)")));
    vmm.ask("vms['first'].run(3)");
    // Both are asked for once both VMs are there: by the order of descriptors they are the second one's.
    for name in ["first", "second"] {
        vmm.ask(&format!(
            "fcntl.ioctl(vms['{name}'].vcpus[0], GET_STATS_FD, 0)"
        ));
    }
    for sources in ["[stats_fd]", "[stats_fd, debugfs]"] {
        let output = once(&format!("{{optional: true, sources: {sources}}}"));
        let (shown, stderr) = (shown(&output.stdout), text(&output.stderr));
        let mut exits = shown.keys().filter(|it| it.2 == "halt_exits");
        assert!(!exits.any(|it| it.0 == first || it.0 == second));
        assert!(stderr.contains("cannot be told apart"), "{stderr}");
    }
}

#[test]
fn what_is_seen_through_two_processes_or_two_descriptors_counts_once() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 2, keep_vm=True, guest=True)");
    vmm.ask("vms['a'].run(2)");
    vmm.ask("fcntl.ioctl(vms['a'].vcpus[0], GET_STATS_FD, 0)");
    let child = vmm.ask("fork()");
    let shown = shown(&once("{sources: [stats_fd]}").stdout);
    for (part, owner) in &vmm.all("a") {
        assert_equal(&shown, &vm, part, owner);
    }
    let of_child = shown
        .keys()
        .filter(|it| it.0.starts_with(&format!("{child}-")));
    assert_eq!(of_child.count(), 0);
}

#[test]
fn a_child_that_has_a_vm_of_its_own_besides_does_not_show_its_parents_again() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, guest=True)");
    vmm.ask("vms['a'].run(2)");
    let of_child = vmm.vm("child_vm(vcpus=2, keep_vm=True)");
    let shown = shown(&once("{sources: [stats_fd]}").stdout);
    assert_equal(&shown, &vm, "vcpu0", &vmm.all("a")["vcpu0"]);
    let (child, _) = of_child.split_once('-').unwrap();
    let child = format!("{child}-");
    let parts = shown.keys().filter(|it| it.0.starts_with(&child));
    let parts: BTreeSet<_> = parts.map(|it| (&*it.0, &*it.1)).collect();
    let own = ["vcpu0", "vcpu1", "vm"].map(|it| (&*of_child, it));
    assert_eq!(parts, own.into());
}

#[test]
fn a_monitor_that_is_stopped_or_in_a_pid_namespace_is_read_all_the_same() {
    let Some(_kvm) = kvm() else { return };
    let mut stopped = Vmm::start(&[]);
    let vm = stopped.vm("vm('a', 2)");
    let expected = stopped.all("a");
    crate::common::signal(&stopped.child, rustix::process::Signal::STOP);
    let mut inside = Vmm::by("unshare", &["--pid", "--fork", "--kill-child"]);
    inside.ask("vm('b', 1, guest=True)");
    inside.ask("vms['b'].run(2)");
    let by_bpf = cfg!(feature = "bpf").then_some("{sources: [bpf]}");
    for sources in ["{sources: [stats_fd]}"].into_iter().chain(by_bpf) {
        let output = once(sources);
        assert_fault(
            "the monitor of a VM is stopped (`SIGSTOP`)",
            "nothing: its statistics are read all the same",
            &text(&output.stderr),
            &[],
        );
        let shown = shown(&output.stdout);
        for part in ["vcpu0", "vcpu1"] {
            assert_equal(&shown, &vm, part, &expected[part]);
        }
        // The kernel calls it by the number that it has inside; here it has another one.
        let parent = inside.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let child = format!("{}-", children.unwrap().trim());
        let other = shown.keys().find(|it| it.0.starts_with(&child));
        let other = &other.expect("the one in the namespace").0;
        assert_equal(&shown, other, "vcpu0", &inside.all("b")["vcpu0"]);
    }
}
