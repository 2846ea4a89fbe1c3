//! Real VMs, made through /dev/kvm, seen by the iterator and by their owners' own descriptors.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test reports on standard error what it lacks

mod owner;
mod rights;

use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use kvm_bpf::{KvmIterator, Level, Limits, OwnVm, Pass, Record};
use owner::{Owner, Statistics, Vm, has_kvm};
use rustix::process::{Pid, Signal, WaitIdOptions, kill_process, waitid};

const LIMITS: Limits = Limits {
    vms: 1024,
    vcpus: 4096,
};

/// Loaded once for all tests: in a debug build that takes a second.
fn iterator() -> MutexGuard<'static, KvmIterator> {
    static ITERATOR: LazyLock<Mutex<KvmIterator>> =
        LazyLock::new(|| Mutex::new(KvmIterator::load().unwrap()));
    ITERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One VM's records, without those of others that run on the host.
fn of(pass: &Pass, vm: Vm) -> Vec<Record<'_>> {
    let key = pass
        .records()
        .find(|it| it.vcpu.is_none() && (it.pid, it.fd) == (vm.pid, vm.fd))
        .map(|it| it.vm);
    pass.records().filter(|it| Some(it.vm) == key).collect()
}

/// What the iterator reads of a record, as its owner's descriptors give it.
fn statistics(iterator: &KvmIterator, level: Level, bytes: &[u8]) -> Statistics {
    let of = |offset: usize| u64::from_ne_bytes(*bytes[offset..].first_chunk().unwrap());
    let each = iterator.statistics(level).iter().map(|it| {
        let values = (0..it.values as usize).map(|number| of(it.offset as usize + 8 * number));
        (it.name.clone(), values.collect())
    });
    let all = bytes.iter().map(|byte| u64::from(*byte)).collect();
    each.chain([(String::new(), all)]).collect()
}

fn assert_equal(
    iterator: &mut KvmIterator,
    owner: &mut Owner,
    number: usize,
    vm: Vm,
) -> Vec<Statistics> {
    let expected = owner.statistics(number);
    let pass = iterator.pass(LIMITS).unwrap();
    let blocks: Vec<_> = of(pass, vm)
        .iter()
        .map(|it| (it.vcpu, it.values.unwrap().bytes().to_vec()))
        .collect();
    assert_eq!(blocks.len(), expected.len());
    for (place, ((vcpu, bytes), expected)) in blocks.iter().zip(&expected).enumerate() {
        let level = if vcpu.is_some() {
            Level::Vcpu
        } else {
            Level::Vm
        };
        assert_eq!(vcpu.map_or(0, |vcpu| vcpu as usize + 1), place);
        assert_eq!(&statistics(iterator, level, bytes), expected);
    }
    expected
}

#[test]
fn at_rest_every_value_equals_that_of_the_owners_descriptors() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vm = owner.vm("vm 3");
    assert_equal(&mut iterator, &mut owner, 0, vm);
    owner.ask("run 0");
    let seen = assert_equal(&mut iterator, &mut owner, 0, vm);
    assert!(
        cfg!(not(target_arch = "x86_64")) || seen[3]["exits"][0] > 0,
        "the guest has run"
    );
    let pass = iterator.pass(LIMITS).unwrap();
    let record = of(pass, vm)[1];
    let name = format!("{}-{}", vm.creator, vm.fd);
    assert_eq!((record.creator, record.vcpu), (vm.creator, Some(0)));
    assert!(
        record.debugfs().is_empty() || record.debugfs() == name,
        "{}",
        record.debugfs()
    );
}

#[test]
fn forks_and_threads_with_files_of_their_own_count_once() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vm = owner.vm("vm 2");
    let before = iterator.pass(LIMITS).unwrap().duplicates;
    let child = owner.ask("fork").as_u64().unwrap();
    owner.ask("unshare");
    let pass = iterator.pass(LIMITS).unwrap();
    assert_eq!(of(pass, vm).len(), 3);
    assert_eq!(
        pass.records()
            .filter(|it| u64::from(it.pid) == child)
            .count(),
        0
    );
    assert!(
        pass.duplicates >= before + 6,
        "{before}, {}",
        pass.duplicates
    );
}

#[test]
fn two_vms_in_one_process_have_their_own_vcpus() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vms = [owner.vm("vm 1"), owner.vm("vm 2")];
    owner.ask("run 1");
    for (number, vm) in vms.into_iter().enumerate() {
        assert_equal(&mut iterator, &mut owner, number, vm);
    }
}

#[test]
fn a_vm_that_a_thread_made_is_its_processs() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vm = owner.vm("vm 1 thread");
    assert_ne!(vm.creator, vm.pid);
    let pass = iterator.pass(LIMITS).unwrap();
    let creators: Vec<_> = of(pass, vm).iter().map(|it| (it.pid, it.creator)).collect();
    assert_eq!(creators, [(vm.pid, vm.creator); 2]);
}

#[test]
fn vcpus_of_a_vm_whose_descriptor_is_closed_are_seen() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    // Another one, by which the iterator is proved.
    let mut owner = Owner::start();
    owner.vm("vm 1");
    let mut closed = Owner::start();
    let vm = closed.vm("vm 2");
    closed.ask("close 0");
    let pass = iterator.pass(LIMITS).unwrap();
    let seen: Vec<_> = pass
        .records()
        .filter(|it| it.pid == vm.pid)
        .map(|it| it.vcpu)
        .collect();
    assert_eq!(seen, [Some(0), Some(1)]);
}

#[test]
fn a_vm_in_a_pid_namespace_is_seen_by_its_pid_on_the_host() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "python3"]);
    let mut owner = Owner::start_by(command);
    let vm = owner.vm("vm 1");
    assert_equal(&mut iterator, &mut owner, 0, vm);
}

#[test]
fn a_stopped_owner_is_read() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vm = owner.vm("vm 1");
    let pid = Pid::from_child(&owner.process);
    kill_process(pid, Signal::STOP).unwrap();
    waitid(rustix::process::WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap();
    assert_eq!(of(iterator.pass(LIMITS).unwrap(), vm).len(), 2);
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn owners_that_are_killed_in_the_middle_of_passes_leave_nothing_and_break_nothing() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut names = Vec::new();
    for _ in 0..20 {
        let mut owner = Owner::start();
        let vm = owner.vm("vm 8");
        names.push(format!("{}-{}", vm.creator, vm.fd));
        let killed = thread::spawn(move || drop(owner));
        let mut passes = 0;
        while !killed.is_finished() || passes == 0 {
            iterator.pass(LIMITS).unwrap();
            passes += 1;
        }
        killed.join().unwrap();
        assert_eq!(of(iterator.pass(LIMITS).unwrap(), vm).len(), 0);
    }
    let left = vms_in_debugfs();
    assert!(!left.iter().any(|name| names.contains(name)), "{left:?}");
}

/// The VMs that the kernel has, also those that nobody holds any more; debugfs is mounted for this alone.
fn vms_in_debugfs() -> Vec<String> {
    let list = "mount -t debugfs none /sys/kernel/debug && ls /sys/kernel/debug/kvm";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", list])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn a_thousand_passes_change_nothing_of_a_vm_and_pin_none() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    let vm = owner.vm("vm 2");
    owner.ask("run 0");
    let before = owner.statistics(0);
    for _ in 0..1000 {
        iterator.pass(LIMITS).unwrap();
    }
    assert_eq!(assert_equal(&mut iterator, &mut owner, 0, vm), before);
    let name = format!("{}-{}", vm.creator, vm.fd);
    assert!(vms_in_debugfs().contains(&name));
    drop(owner);
    assert!(!vms_in_debugfs().contains(&name));
}

#[test]
fn a_vm_of_ones_own_proves_where_the_statistics_lie() {
    if !has_kvm() {
        return;
    }
    let own = OwnVm::create().unwrap();
    iterator().prove(&own).unwrap();
    let mut header = [0; 24];
    for level in [Level::Vm, Level::Vcpu] {
        own.statistics(level).read_exact_at(&mut header, 0).unwrap();
        let descriptors = u32::from_ne_bytes(*header[8..].first_chunk().unwrap());
        assert_eq!(iterator().statistics(level).len(), descriptors as usize);
    }
}

#[test]
fn what_is_beyond_the_limits_is_counted() {
    if !has_kvm() {
        return;
    }
    let mut iterator = iterator();
    let mut owner = Owner::start();
    owner.vm("vm 3");
    let pass = iterator.pass(Limits { vms: 1, vcpus: 2 }).unwrap();
    assert!(pass.over_limit > 0);
    assert!(pass.records().count() <= 3);
}
