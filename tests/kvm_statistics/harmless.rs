//! Reading VMs hurts none: nothing of a guest changes, nothing is held, and a monitor that hangs costs nothing.

use std::process::Command;

use super::needs::{debugfs, kvm, kvm_and, left_out};
use super::vmm::Vmm;
use super::{EAGER, config, eager, exits};
use crate::common::alone::{CPU, alone};
use crate::common::{
    BINARY, SeriesCounts, assert_fault, collector, descriptors_and_memory, end, read_until, spawn,
    spin,
};
use crate::stuck::fuse::HangingFilesystem;

#[test]
fn a_thousand_sweeps_change_nothing_of_a_guest_and_leave_no_descriptor() {
    let Some(_kvm) = kvm() else { return };
    let _cpu = alone(&CPU);
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, guest=True)");
    vmm.ask("vms['a'].run(3)");
    // Its thread is within KVM_RUN during all sweeps: a signal, or a kick, would bring it out.
    vmm.ask("vms['a'].halt()");
    // The host wakes a sleeping vCPU now and then, whoever looks.
    let mut own = || {
        let mut all = vmm.all("a");
        let of_vcpu = all.get_mut("vcpu0").unwrap();
        of_vcpu.retain(|name, _| !name.starts_with("halt_"));
        all
    };
    let before = own();
    assert_eq!(before["vcpu0"]["blocking"]["values"][0], 1);
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
        assert_eq!(own(), before, "`signal_exits` with others");
        let logs = end(child);
        assert!(!logs.contains("blocks_failed"), "{logs}");
    }
}

#[test]
fn a_descriptor_that_becomes_another_one_is_not_mistaken_for_what_it_was() {
    let Some(_kvm) = kvm() else { return };
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
    let ends = [1, 2].map(|vcpu| line(vcpu, "end "));
    let (mut ended, mut sweeps) = (0, 0);
    let all = read_until(&mut child, |it| {
        ended += usize::from(ends.iter().any(|end| it.starts_with(end)));
        sweeps += usize::from(ended == 2 && it.starts_with(&clock));
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
fn a_file_that_never_answers_in_a_descriptors_place_is_not_touched() {
    let Some(_kvm) = kvm() else { return };
    let mounted = HangingFilesystem::mount(&["s/line".to_owned()]);
    let Some(system) = mounted.or_else(|| left_out("/dev/fuse, and root or fusermount3")) else {
        return;
    };
    let mut stays = Vmm::start(&[]);
    let clock = exits(&stays.vm("vm('clock')"), 0);
    let mut vmm = Vmm::start(&[]);
    let _answers = AnswersAll(&system);
    let vm = vmm.vm("vm('a')");
    let path = system.root().join("s/line");
    let file = vmm.ask(&format!("os.open('{}', os.O_RDONLY)", path.display()));
    let mut child = collector(&config(EAGER, "{}"), &[]);
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 0)));
    system.hang("s/line");
    vmm.ask(&format!("os.dup2({file}, vms['a'].kept[0])"));
    let last = format!("kvm/exits{{vcpu=vcpu0,vm={vm}}} end ");
    let (mut has_ended, mut sweeps) = (false, 0);
    read_until(&mut child, |line| {
        has_ended |= line.starts_with(&last);
        sweeps += usize::from(has_ended && line.starts_with(&clock));
        sweeps == 10
    });
    assert_eq!(system.waiting(), 0);
    end(child);
}

#[test]
fn a_vm_that_is_killed_in_the_midst_of_sweeps_is_never_kept_alive() {
    let (Some(_kvm), Some(debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let _cpu = alone(&CPU);
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
            spin(&mut random, 30_000);
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
        let logs = end(child);
        assert_fault(
            "a VM is killed in the midst of sweeps",
            "nothing: its series end, each with a point that says so, and the VM is not kept alive",
            &logs,
            &[],
        );
    }
}

#[test]
fn a_monitor_that_hangs_is_read_all_the_same() {
    let Some(_kvm) = kvm() else { return };
    let _cpu = alone(&CPU);
    let mounted = HangingFilesystem::mount(&["s/line".to_owned()]);
    let Some(system) = mounted.or_else(|| left_out("/dev/fuse, and root or fusermount3")) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let _answers = AnswersAll(&system);
    let vm = vmm.vm("vm('a', 2, keep_vm=True)");
    system.hang("s/line");
    let path = system.root().join("s/line");
    // It is in the kernel from now on, and not even a signal gets it out.
    vmm.tell(&format!("open('{}').read()", path.display()));
    while system.waiting() == 0 {
        std::thread::yield_now();
    }
    for eager in eager() {
        let mut child = collector(&config(&eager, "{}"), &[]);
        let mut sweeps = 0;
        read_until(&mut child, |line| {
            sweeps += usize::from(line.starts_with(&exits(&vm, 1)));
            sweeps == 10
        });
        let logs = end(child);
        assert!(!logs.contains("WARN"), "{logs}");
        assert_fault(
            "the monitor of a VM hangs",
            "nothing: its statistics are read all the same",
            &logs,
            &[],
        );
    }
}

/// Lets go what waits, so that its process can end, also where the test fails.
struct AnswersAll<'a>(&'a HangingFilesystem);

impl Drop for AnswersAll<'_> {
    fn drop(&mut self) {
        self.0.answer_all();
    }
}

#[test]
fn a_descriptor_is_taken_read_once_and_closed_by_one_thread_and_nothing_in_between_waits() {
    let Some(_kvm) = kvm_and(&["strace"]) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, keep_vm=True)");
    let logs = tempfile::tempdir().unwrap();
    let mut command = Command::new("strace");
    // A file for each thread.
    command.args(["-ff", "--daemonize", "--quiet=attach,personality", "-y"]);
    command.arg("--output").arg(logs.path().join("of"));
    command.args([BINARY, "--config", "-"]);
    let mut child = spawn(command, &config(EAGER, "{}"));
    let mut ten_sweeps = || {
        let mut sweeps = 0;
        read_until(&mut child, |line| {
            sweeps += usize::from(line.starts_with(&exits(&vm, 2)));
            sweeps == 10
        });
    };
    ten_sweeps();
    // A vCPU's own descriptor in the place of its statistics is not read, and closed elsewhere.
    vmm.ask("os.dup2(vms['a'].vcpus[1], vms['a'].kept[1])");
    ten_sweeps();
    let main = format!("of.{}", child.id());
    end(child);
    let mut takers = 0;
    for file in std::fs::read_dir(logs.path()).unwrap() {
        let file = file.unwrap();
        let trace = std::fs::read_to_string(file.path()).unwrap();
        if trace.contains("pidfd_getfd(") {
            takers += 1;
            assert_ne!(file.file_name().to_str().unwrap(), main);
            assert!(assert_closed_at_once(&trace) >= 4 * 10, "{trace}");
        }
    }
    assert_eq!(takers, 1, "the thread that sweeps, and no other one");
}

/// How many descriptors this thread has taken, each of which it has closed before it did anything that waits.
fn assert_closed_at_once(trace: &str) -> usize {
    let (mut taken, mut open) = (0, None);
    for line in trace.lines() {
        let call = line.split('(').next().unwrap_or_default();
        match (call, &open) {
            ("pidfd_getfd", None) => {
                let (_, result) = line.rsplit_once(") = ").unwrap();
                assert!(result.contains("<anon_inode:kvm-v"), "{line}");
                let fd = result.split('<').next().unwrap().to_owned();
                open = Some((fd, result.contains("-stats")));
                taken += 1;
            }
            ("close", Some((fd, true))) => {
                assert!(line.starts_with(&format!("close({fd}<")), "{line}");
                open = None;
            }
            ("pread64", Some((_, false))) => panic!("read: {line}"),
            ("clone3" | "clone", Some((_, false))) => open = None,
            // Its name, its bytes, and room for them; what std asserts of a descriptor in a debug build; and the stack of the
            // thread that closes what is no statistics.
            ("readlinkat" | "pread64" | "fcntl" | "mmap" | "munmap" | "madvise", Some(_))
            | ("mprotect" | "rt_sigprocmask", Some((_, false)))
            | (_, None) => {}
            _ => panic!("in between: {line}"),
        }
    }
    assert_eq!(open, None);
    taken
}
