//! VMs come and go, and reading them hurts none.

use rustix::process::Signal;

use super::{config, exits};
use super::vmm::{Vmm, has_kvm};
use crate::common::alone::{CPU, KVM, alone};
use crate::common::{SeriesCounts, collector, descriptors_and_memory, end, read_until, signal};
use crate::kvm::host::Debugfs;

/// A program that sweeps all the time, and looks at all processes once only.
const EAGER: &str = "{collection_interval: 20ms, rescan_interval: 1h, sources: [stats_fd]}";

/// The same by each source that has all of a vCPU.
fn eager() -> Vec<String> {
    let by_bpf = cfg!(feature = "bpf").then(|| EAGER.replace("stats_fd", "bpf"));
    [EAGER.to_owned()].into_iter().chain(by_bpf).collect()
}

#[test]
fn vms_and_vcpus_that_come_are_there_at_the_next_sweep_and_each_series_ends_once() {
    let _kvm = alone(&KVM);
    if !has_kvm("vms_and_vcpus_that_come_are_there_at_the_next_sweep_and_each_series_ends_once") {
        return;
    }
    let mut stays = Vmm::start(&[]);
    let clock = exits(&stays.vm("vm('clock')"), 0);
    // It has no VM yet when all processes are looked at.
    let mut later = Vmm::start(&[]);
    let mut child = collector(&config(EAGER, "{}"), &[]);
    read_until(&mut child, |line| line.starts_with(&clock));
    let vm = later.vm("vm('a', 2)");
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 1)));
    later.ask("vms['a'].add()");
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 2)));
    // One that is only probed has no vCPU, and never shows.
    later.ask("vm('probe', 0, keep_vm=True)");
    later.child.kill().unwrap();
    let last = format!("kvm/tlb_flush{{vcpu=vcpu2,vm={vm}}} end ");
    let mut all = read_until(&mut child, |line| line.starts_with(&last));
    let mut sweeps = 0;
    all.extend(read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with(&clock));
        sweeps == 5
    }));
    let ended: Vec<&String> = all.iter().filter(|it| it.contains("} end ")).collect();
    let one = stays.all("clock")["vcpu0"].len();
    assert_eq!(ended.len(), 3 * one, "{ended:#?}");
    let mut distinct = ended.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ended.len());
    let names: Vec<&String> = all.iter().filter(|it| it.starts_with("kvm/")).collect();
    assert!(names.iter().all(|it| it.contains("vcpu=")), "the probe");
    end(child);
}

#[test]
fn a_vm_that_is_started_anew_under_its_name_goes_on() {
    let _kvm = alone(&KVM);
    if !has_kvm("a_vm_that_is_started_anew_under_its_name_goes_on") {
        return;
    }
    let start = || {
        let mut vmm = Vmm::named("qemu-system-x86_64", &["-name", "web"]);
        vmm.ask("vm('a', 1, guest=True)");
        vmm
    };
    for eager in eager() {
        let mut vmm = start();
        vmm.ask("vms['a'].run(3)");
        let mut child = collector(&config(&eager, "{}"), &[]);
        let series = "kvm/halt_exits{kvm.vm.name=web,kvm.vmm=qemu,vcpu=vcpu0,vm=web} ";
        read_until(&mut child, |line| {
            line == format!("{series}3 counter {{exit}}")
        });
        // It sees both at once: that one is there no more, and that another one is.
        signal(&child, Signal::STOP);
        drop(vmm);
        let _vmm = start();
        signal(&child, Signal::CONT);
        let all = read_until(&mut child, |line| {
            line == format!("{series}0 counter {{exit}}")
        });
        let ended: Vec<&String> = all.iter().filter(|it| it.contains("} end ")).collect();
        assert!(ended.is_empty(), "{ended:#?}");
        end(child);
    }
}

#[test]
fn a_thousand_sweeps_change_nothing_of_a_guest_and_leave_no_descriptor() {
    let _kvm = alone(&KVM);
    let _cpu = alone(&CPU);
    if !has_kvm("a_thousand_sweeps_change_nothing_of_a_guest_and_leave_no_descriptor") {
        return;
    }
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, guest=True)");
    vmm.ask("vms['a'].run(3)");
    let before = vmm.all("a");
    for eager in eager() {
        let config = config(&eager.replace("20ms", "1ms"), "{}");
        let mut child = collector(&config, &[]);
        let wanted = exits(&vm, 0);
        let mut sweeps = 0;
        let mut until = |last: usize| {
            read_until(&mut child, |line| {
                sweeps += usize::from(line.starts_with(&wanted));
                sweeps == last
            });
            descriptors_and_memory(&child).0
        };
        let (first, last) = (until(10), until(1_000));
        // A taken descriptor may be seen in the midst of a sweep.
        assert!(last <= first + 1, "{first} descriptors, then {last}");
        assert_eq!(vmm.all("a"), before, "`signal_exits` with all others");
        let logs = end(child);
        assert!(!logs.contains("blocks_failed"), "{logs}");
    }
}

#[test]
fn a_descriptor_that_becomes_another_one_is_not_mistaken_for_what_it_was() {
    let _kvm = alone(&KVM);
    if !has_kvm("a_descriptor_that_becomes_another_one_is_not_mistaken_for_what_it_was") {
        return;
    }
    let mut stays = Vmm::start(&[]);
    let clock = exits(&stays.vm("vm('clock')"), 0);
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, guest=True)");
    vmm.ask("vms['a'].run(3)");
    let mut child = collector(&config(EAGER, "{}"), &[]);
    let line =
        |vcpu: u32, value: &str| format!("kvm/halt_exits{{vcpu=vcpu{vcpu},vm={vm}}} {value}");
    read_until(&mut child, |it| it.starts_with(&line(2, "0 ")));
    // The number of open descriptors stays the same: a vCPU's own in place of its statistics, a file in place of another's,
    // and the first one's statistics in place of the third's.
    for expression in [
        "os.dup2(vms['a'].vcpus[1], vms['a'].kept[1])",
        "os.dup2(vms['a'].kept[0], vms['a'].kept[2])",
        "os.dup2(kvm, vms['a'].kept[0])",
    ] {
        vmm.ask(expression);
    }
    let mut sweeps = 0;
    let all = read_until(&mut child, |it| {
        sweeps += usize::from(it.starts_with(&clock));
        sweeps == 10
    });
    // What the third one's has become is the first one's: its link says so.
    let of = |vcpu: u32| {
        all.iter()
            .filter(|it| it.starts_with(&line(vcpu, "")))
            .collect::<Vec<_>>()
    };
    assert!(
        of(0).iter().all(|it| it.starts_with(&line(0, "3 "))),
        "{:#?}",
        of(0)
    );
    for vcpu in [1, 2] {
        let (last, before) = of(vcpu)
            .split_last()
            .map(|(last, rest)| (*last, rest.to_vec()))
            .unwrap();
        assert!(last.starts_with(&line(vcpu, "end ")), "{last}");
        assert!(
            before.iter().all(|it| it.starts_with(&line(vcpu, "0 "))),
            "{before:#?}"
        );
    }
    end(child);
}

#[test]
fn a_vm_that_is_killed_in_the_midst_of_sweeps_is_never_kept_alive() {
    let _kvm = alone(&KVM);
    let _cpu = alone(&CPU);
    let test = "a_vm_that_is_killed_in_the_midst_of_sweeps_is_never_kept_alive";
    let Some(debugfs) = has_kvm(test).then(Debugfs::mount).flatten() else {
        return;
    };
    let mut stays = Vmm::start(&[]);
    let clock = exits(&stays.vm("vm('clock')"), 0);
    let by_bpf = cfg!(feature = "bpf").then_some("[stats_fd, bpf, debugfs]");
    for sources in ["[stats_fd, debugfs]"].into_iter().chain(by_bpf) {
        let receiver =
            format!("{{collection_interval: 5ms, rescan_interval: 1h, sources: {sources}}}");
        let mut child = collector(&config(&receiver, "{}"), &[]);
        let counts = SeriesCounts::of(&mut child);
        let sweeps = |of: &str| counts.values(of.trim_end());
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..100 {
            let vm = stays.vm("child_vm(vcpus=2, keep_vm=True)");
            while round % 2 == 0 && sweeps(&exits(&vm, 0)) == 0 {
                assert!(child.try_wait().unwrap().is_none(), "it ended");
                std::thread::yield_now();
            }
            (0..random.usize(0..2_000)).for_each(|_| std::thread::yield_now());
            let directory = debugfs.0.join("kvm").join(&vm);
            assert!(directory.exists(), "{vm}");
            let (pid, _) = vm.split_once('-').unwrap();
            stays.ask(&format!("kill({pid})"));
            let killed = sweeps(&clock);
            while directory.exists() {
                let more = sweeps(&clock) - killed;
                assert!(more <= 2, "seed {seed}: {vm} lives on");
                std::thread::yield_now();
            }
        }
        end(child);
    }
}
