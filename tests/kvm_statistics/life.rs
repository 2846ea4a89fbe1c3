//! VMs come and go.

use std::io::BufReader;
use std::process::{Child, Command};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::needs::{kvm, left_out};
use super::vmm::Vmm;
use super::{EAGER, config, eager, exits, shown::shown};
use crate::common::{BINARY, collector, end, lines_until, read_until, signal, spawn};

#[test]
fn vms_and_vcpus_that_come_are_there_at_the_next_sweep_and_each_series_ends_once() {
    let Some(_kvm) = kvm() else { return };
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
    // Another checkout's tests may have VMs on this host, too.
    let of_later = format!("vm={}-", later.child.id());
    let all: Vec<&String> = all.iter().filter(|it| it.contains(&of_later)).collect();
    let ended: Vec<&&String> = all.iter().filter(|it| it.contains("} end ")).collect();
    let one = stays.all("clock")["vcpu0"].len();
    assert_eq!(ended.len(), 3 * one, "{ended:#?}");
    let mut distinct = ended.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), ended.len());
    assert!(all.iter().all(|it| it.contains("vcpu=")), "the probe");
    end(child);
}

/// A VM's name that no other checkout's tests give.
fn own_name() -> String {
    format!("web-{}", std::process::id())
}

#[test]
fn a_vm_that_is_started_anew_under_its_name_goes_on() {
    let Some(_kvm) = kvm() else { return };
    let name = own_name();
    let start = || {
        let mut vmm = Vmm::named("qemu-system-x86_64", &["-name", &name]);
        vmm.ask("vm('a', 1, guest=True)");
        vmm
    };
    for eager in eager() {
        let mut vmm = start();
        vmm.ask("vms['a'].run(3)");
        let mut child = collector(&config(&eager, "{}"), &[]);
        let series =
            format!("kvm/halt_exits{{kvm.vm.name={name},kvm.vmm=qemu,vcpu=vcpu0,vm={name}}} ");
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
        let end_of_own = format!("vm={name}}} end ");
        let ended: Vec<&String> = all.iter().filter(|it| it.contains(&end_of_own)).collect();
        assert!(ended.is_empty(), "{ended:#?}");
        end(child);
    }
}

#[test]
fn a_vm_that_comes_back_under_its_name_counts_since_its_new_start() {
    let Some(_kvm) = kvm() else { return };
    let name = own_name();
    let start = || {
        let before = pipeline::now_unix_nano();
        let mut vmm = Vmm::named("qemu-system-x86_64", &["-name", &name]);
        vmm.ask("vm('a')");
        (vmm, before)
    };
    for eager in eager() {
        let (vmm, before) = start();
        let mut child = collector(&config(&eager, "{format: json}"), &[]);
        let mut start_after = |time: u64| {
            let key = (name.clone(), "vcpu0".to_owned(), "exits".to_owned());
            let mut start = 0;
            read_until(&mut child, |line| {
                let shown = shown(line.as_bytes());
                start = shown.get(&key).map_or(0, |it| it.start);
                // The kernel knows starts by 10 ms; the boot's time is as coarse.
                start >= time - 20_000_000
            });
            assert!(start <= pipeline::now_unix_nano());
            start
        };
        let first = start_after(before);
        drop(vmm);
        let (_vmm, again) = start();
        assert!(start_after(again) > first);
        end(child);
    }
}

#[test]
fn a_vm_that_is_made_anew_in_its_process_counts_since_then() {
    let Some(_kvm) = kvm() else { return };
    let by_both = EAGER.replace("[stats_fd]", "[stats_fd, debugfs]");
    for receiver in eager().into_iter().chain([by_both]) {
        let mut vmm = Vmm::start(&[]);
        let vm = vmm.vm("vm('a')");
        let mut child = collector(&config(&receiver, "{format: json}"), &[]);
        let key = (vm.clone(), "vcpu0".to_owned(), "exits".to_owned());
        let start_that = |child: &mut Child, fits: &dyn Fn(u64) -> bool| {
            let mut start = 0;
            read_until(child, |line| {
                let shown = shown(line.as_bytes());
                start = shown.get(&key).map_or(0, |it| it.start);
                fits(start)
            });
            start
        };
        let first = start_that(&mut child, &|it| it > 0);
        // Between two sweeps: all numbers are the same.
        signal(&child, Signal::STOP);
        let again = pipeline::now_unix_nano();
        vmm.ask("vms['a'].close()");
        assert_eq!(vmm.vm("vm('a')"), vm);
        signal(&child, Signal::CONT);
        let second = start_that(&mut child, &|it| it != first && it > 0);
        // Debugfs knows starts by 10 ms.
        assert!(
            second >= again - 20_000_000,
            "{receiver}: {first}, {second}"
        );
        end(child);
    }
}

#[test]
fn what_is_missing_of_vms_is_said_also_where_each_sweep_looks_at_all_anew() {
    let Some(_kvm) = kvm() else { return };
    let mut stays = Vmm::start(&[]);
    let clock = exits(&stays.vm("vm('clock', 1, keep_vm=True)"), 0);
    let mut later = Vmm::start(&[]);
    let receiver = "{collection_interval: 50ms, rescan_interval: 10ms, sources: [stats_fd]}";
    let mut child = collector(&config(receiver, "{}"), &[]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    read_until(&mut child, |line| line.starts_with(&clock));
    later.vm("vm('a')");
    let of_vms = "VMs have no statistics descriptor of their own open that may be taken";
    let said = lines_until(&mut stderr, |line| line.contains(of_vms));
    assert!(said.last().unwrap().contains("no source gives"), "{said:?}");
    child.stderr = Some(stderr.into_inner());
    end(child);
}

/// How often the thread that sweeps has waited.
fn waits(child: &Child) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let mut all =
        tasks.map(|it| std::fs::read_to_string(it.unwrap().path().join("status")).unwrap());
    let status = all.find(|it| it.starts_with("Name:\tkvm\n")).unwrap();
    let mut lines = status.lines();
    let waits = lines.find_map(|it| it.strip_prefix("voluntary_ctxt_switches:\t"));
    waits.unwrap().parse().unwrap()
}

/// The second number that no descriptor has.
fn second_free(child: &Child) -> u64 {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let names = fds.map(|it| it.unwrap().file_name().into_string().unwrap());
    let used: Vec<u64> = names.map(|it| it.parse().unwrap()).collect();
    let mut free = (0..).filter(|it| !used.contains(it));
    free.nth(1).unwrap()
}

#[test]
fn without_a_descriptor_left_no_vm_ends() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a')");
    for sources in ["[stats_fd]", "[stats_fd, debugfs]"] {
        let receiver =
            format!("{{collection_interval: 20ms, rescan_interval: 20ms, sources: {sources}}}");
        let mut child = collector(&config(&receiver, "{}"), &[]);
        read_until(&mut child, |line| line.starts_with(&exits(&vm, 0)));
        let pid = Pid::from_child(&child);
        // One is left: enough to list processes, and not what one of them holds.
        let one = Rlimit {
            current: Some(second_free(&child)),
            ..getrlimit(Resource::Nofile)
        };
        let before = prlimit(Some(pid), Resource::Nofile, one).unwrap();
        let first = waits(&child);
        while waits(&child) < first + 10 {
            std::thread::yield_now();
        }
        prlimit(Some(pid), Resource::Nofile, before).unwrap();
        // What was read before is shown first.
        let mut left = 20;
        let all = read_until(&mut child, |line| {
            left -= usize::from(line.starts_with(&exits(&vm, 0)));
            left == 0
        });
        let end_of_own = format!("vm={vm}}} end ");
        assert!(!all.iter().any(|it| it.contains(&end_of_own)), "{all:#?}");
        end(child);
    }
}

#[test]
fn where_no_uevent_is_heard_a_vm_is_found_at_a_rescan() {
    let Some(_kvm) = kvm() else { return };
    let own = ["--user", "--map-root-user", "--net"];
    let is_possible = Command::new("unshare").args(own).arg("true").status();
    if !is_possible.is_ok_and(|it| it.success()) {
        left_out::<()>("unshare, and user namespaces");
        return;
    }
    // As in a container with users and a network of its own.
    let mut stays = Vmm::by("unshare", &own);
    let clock = exits(&stays.vm("vm('clock')"), 0);
    let target = stays.child.id().to_string();
    let inside = ["--user", "--net", "--target", &target];
    let run = |rescan_interval: &str| {
        // It has no VM yet when all processes are looked at.
        let mut later = Vmm::by("nsenter", &inside);
        let mut command = Command::new("nsenter");
        command.args(inside).args([BINARY, "--config", "-"]);
        let config = config(&EAGER.replace("1h", rescan_interval), "{}");
        let mut child = spawn(command, &config);
        read_until(&mut child, |line| line.starts_with(&clock));
        let vm = later.vm("vm('a')");
        (later, child, exits(&vm, 0))
    };
    let (_later, mut child, vm) = run("1h");
    let mut sweeps = 0;
    let unheard = read_until(&mut child, |line| {
        sweeps += usize::from(line.starts_with(&clock));
        sweeps == 20
    });
    assert!(!unheard.iter().any(|it| it.starts_with(&vm)), "it is heard");
    end(child);
    let (_later, mut child, vm) = run("200ms");
    read_until(&mut child, |line| line.starts_with(&vm));
    end(child);
}
