//! The source `bpf`: every VM, whatever its monitor keeps open.

use std::collections::BTreeMap;
use std::process::Child;

use super::needs::{TwoUsers, kvm};
use super::shown::{AllShown, shown};
use super::vmm::Vmm;
use super::{assert_equal, config, exits, once, once_by, sums_of_vcpus};
use crate::common::{collector, end, read_until, text};

const ALL: &str = "{sources: [stats_fd, bpf, debugfs]}";

/// All that its owner reads of a VM is shown, once; by all sources there is more of it.
fn assert_whole(all: &AllShown, vmm: &mut Vmm, (name, vm): (&str, &str)) {
    for (part, owner) in &vmm.all(name) {
        let mut own = all.clone();
        own.retain(|key, _| key.0 == vm && key.1 == *part && owner.contains_key(&key.2));
        assert_equal(&own, vm, part, owner);
    }
}

#[test]
fn by_bpf_alone_and_beside_others_every_statistic_is_what_its_owner_reads() {
    let Some(_kvm) = kvm() else { return };
    let mut one = Vmm::start(&[]);
    let kept = one.vm("vm('kept', 2, keep_vm=True, guest=True)");
    one.ask("vms['kept'].run(5)");
    one.ask("fork()");
    let mut two = Vmm::start(&[]);
    // No order of descriptors tells them apart.
    let bare = two.vm("vm('bare', 0, guest=True)");
    let thread = two.vm("in_thread(lambda: vm('thread', 3, keep_vm=True))");
    two.ask("vms['bare'].add(keep=False)");
    two.ask("vms['bare'].run(3)");
    for sources in ["{sources: [bpf]}", ALL] {
        let output = once(sources);
        let (shown, stderr) = (shown(&output.stdout), text(&output.stderr));
        assert_whole(&shown, &mut one, ("kept", &kept));
        assert_whole(&shown, &mut two, ("bare", &bare));
        assert_whole(&shown, &mut two, ("thread", &thread));
        let own = [&kept, &bare, &thread];
        let pids = own.map(|it| it.split_once('-').unwrap().0);
        let others = shown.keys().filter(|it| !own.contains(&&it.0));
        let others: Vec<_> = others
            .filter(|it| pids.contains(&it.0.split_once('-').unwrap().0))
            .collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(!stderr.contains("no source gives"), "{stderr}");
        assert!(!stderr.contains("cannot be told apart"), "{stderr}");
    }
}

#[test]
fn by_bpf_without_the_level_of_vcpus_a_vm_has_their_sums() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, keep=False, guest=True)");
    vmm.ask("vms['a'].run(4)");
    let shown = shown(&once("{sources: [bpf], levels: [vm]}").stdout);
    let owner = vmm.all("a");
    let mut own = shown.keys().filter(|it| it.0 == vm);
    assert!(own.all(|it| it.1 == "vm"));
    for name in owner["vcpu0"].keys() {
        let sums = sums_of_vcpus(&owner, name);
        let point = &shown[&(vm.clone(), "vm".to_owned(), name.clone())];
        assert_eq!(point.values, sums, "{name}");
    }
    let of_vm = owner["vm"].keys();
    assert!(of_vm.into_iter().all(|name| shown.contains_key(&(
        vm.clone(),
        "vm".into(),
        name.clone()
    ))));
}

#[test]
fn vms_that_bpf_sees_come_at_the_next_sweep_and_each_series_ends_once() {
    let Some(_kvm) = kvm() else { return };
    let mut stays = Vmm::start(&[]);
    let stays_vm = stays.vm("vm('clock', 1, keep=False)");
    let clock = exits(&stays_vm, 0);
    let mut later = Vmm::start(&[]);
    let eager = "{collection_interval: 20ms, rescan_interval: 1h, sources: [bpf]}";
    let mut child = collector(&config(eager, "{}"), &[]);
    read_until(&mut child, |line| line.starts_with(&clock));
    let vm = later.vm("vm('a', 1, keep=False)");
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 0)));
    later.ask("vms['a'].add(keep=False)");
    read_until(&mut child, |line| line.starts_with(&exits(&vm, 1)));
    let probe = later.vm("vm('probe', 0)");
    let all = later.all("a");
    let series: usize = all.values().map(BTreeMap::len).sum();
    later.child.kill().unwrap();
    let (mut sweeps, mut ended) = (0, 0);
    let of_vm = format!("vm={vm}}} end ");
    let lines = read_until(&mut child, |line| {
        ended += usize::from(line.contains(&of_vm));
        sweeps += usize::from(ended >= series && line.starts_with(&clock));
        sweeps == 5
    });
    let has_ended = |line: &&String| line.contains(&of_vm);
    let mut ended: Vec<&String> = lines.iter().filter(has_ended).collect();
    let clocks_end = format!("vm={stays_vm}}} end ");
    assert!(!lines.iter().any(|it| it.contains(&clocks_end)));
    assert_eq!(ended.len(), series, "{ended:#?}");
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), series);
    assert!(
        !lines.iter().any(|it| it.contains(&format!("vm={probe}}}"))),
        "the probe"
    );
    let logs = end(child);
    assert!(!logs.contains("by bpf gave nothing"), "{logs}");
}

#[test]
fn bpf_takes_two_capabilities_and_without_them_the_other_sources_go_on() {
    let Some(_kvm) = kvm() else { return };
    let Some(mut users) = TwoUsers::start() else {
        return;
    };
    let vm = users.of_root.clone();
    let is_seen = |shown: &AllShown, part: &str| shown.keys().any(|it| it.0 == vm && it.1 == part);

    let without = users.without("-bpf,-sys_admin");
    let (shown, stderr) = once_by(without, "{sources: [bpf, stats_fd]}");
    assert!(
        is_seen(&shown, "vcpu0") && !is_seen(&shown, "vm"),
        "{stderr}"
    );
    let message = "statistics cannot be had by bpf; the other sources go on";
    assert_eq!(stderr.matches(message).count(), 1, "{stderr}");
    assert!(stderr.contains("CAP_BPF is missing"), "{stderr}");

    let (shown, stderr) = once_by(users.as_user(65_534, "+bpf,+perfmon"), ALL);
    assert!(
        is_seen(&shown, "vcpu0") && is_seen(&shown, "vm"),
        "{stderr}"
    );
    assert!(!stderr.contains("may not be looked at"), "{stderr}");
    let untyped = "statistics whose types the kernel does not tell";
    assert_eq!(stderr.matches(untyped).count(), 1, "{stderr}");
    for (part, owner) in &users.roots.all("a") {
        for (name, of) in owner
            .iter()
            .filter(|it| it.1["values"].as_array().unwrap().len() == 1)
        {
            let key = (vm.clone(), part.clone(), name.clone());
            let expected = of["values"][0].as_f64().unwrap();
            assert_eq!(shown[&key].values, [expected], "{key:?}");
        }
    }
}

/// The effective capabilities of the thread that sweeps.
fn capabilities(child: &Child) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    let statuses =
        tasks.map(|it| std::fs::read_to_string(it.unwrap().path().join("status")).unwrap());
    let status = statuses
        .into_iter()
        .find(|it| it.starts_with("Name:\tkvm\n"))
        .unwrap();
    let effective = status
        .lines()
        .find_map(|it| it.strip_prefix("CapEff:\t"))
        .unwrap();
    u64::from_str_radix(effective, 16).unwrap()
}

#[test]
fn after_loading_the_thread_that_sweeps_has_no_capability_for_bpf() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, keep=False)");
    let mut child = collector(
        &config("{collection_interval: 20ms, sources: [bpf]}", "{}"),
        &[],
    );
    let line = format!("kvm/exits{{vcpu=vcpu0,vm={vm}}} ");
    read_until(&mut child, |it| it.starts_with(&line));
    let (sys_admin, perfmon, bpf) = (1 << 21, 1 << 38, 1_u64 << 39);
    assert_eq!(capabilities(&child) & (sys_admin | perfmon | bpf), 0);
    read_until(&mut child, |it| it.starts_with(&line));
    end(child);
}

#[test]
fn of_more_vms_than_the_limit_bpf_leaves_the_younger_out_which_is_said() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    vmm.ask("in_thread(lambda: vm('old', 1, keep=False))");
    vmm.ask("in_thread(lambda: vm('young', 2, keep=False))");
    for limits in ["{vms: 1}", "{vcpus: 1}"] {
        let output = once(&format!("{{sources: [bpf], limits: {limits}}}"));
        let (shown, stderr) = (shown(&output.stdout), text(&output.stderr));
        let mut vcpus: Vec<_> = shown.keys().map(|it| (&it.0, &it.1)).collect();
        vcpus.retain(|it| it.1 != "vm");
        vcpus.dedup();
        assert_eq!(vcpus.len(), 1, "{vcpus:?}");
        let message = "more VMs or vCPUs than `limits` allows; left out";
        assert!(stderr.contains(message), "{stderr}");
    }
}
