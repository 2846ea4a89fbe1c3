//! What debugfs gives beside the descriptors, and what becomes of sums.

use std::collections::BTreeSet;
use std::path::Path;

use super::needs::{debugfs, kvm};
use super::vmm::Vmm;
use super::{assert_equal, once, shown::shown, sums_of_vcpus};
use crate::common::text;

/// The files of a directory that show a number to this user, but for those of histograms and threads.
fn readable(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.filter_map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let content = std::fs::read_to_string(entry.path()).ok()?;
        let is_number = content.trim().parse::<i64>().is_ok();
        (is_number && !name.ends_with("_hist") && name != "pid").then_some(name)
    });
    names.collect()
}

#[test]
fn files_give_what_no_descriptor_does_and_no_statistic_comes_twice() {
    let (Some(_kvm), Some(debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let kept = vmm.vm("vm('kept', 2, guest=True)");
    vmm.ask("vms['kept'].run(2)");
    let mut other = Vmm::start(&[]);
    let bare = other.vm("in_thread(lambda: vm('bare', 1, keep=False))");
    let thread = other.ask("vms['bare'].tid");
    let output = once("{}");
    let (shown, stderr) = (shown(&output.stdout), text(&output.stderr));
    let names = |vm: &str, part: &str| -> BTreeSet<String> {
        let of = shown.keys().filter(|it| it.0 == vm && it.1 == part);
        of.map(|it| it.2.clone()).collect()
    };
    let directory = |name: &str| debugfs.0.join("kvm").join(name);

    // Its vCPUs come from descriptors, and what is not theirs from files.
    let owner = vmm.all("kept");
    let vcpu: BTreeSet<String> = owner["vcpu1"].keys().cloned().collect();
    let files = readable(&directory(&kept));
    let in_vcpu = readable(&directory(&kept).join("vcpu1"));
    assert_eq!(names(&kept, "vm"), &files - &vcpu);
    assert_eq!(names(&kept, "vcpu1"), &vcpu | &in_vcpu);
    let from_files = names(&kept, "vm");
    let of_owner = owner["vm"].clone().into_iter();
    let of_owner = of_owner.filter(|(name, _)| from_files.contains(name));
    assert_equal(&shown, &kept, "vm", &of_owner.collect());

    // No descriptor is kept of this one, whose directory has the number of the thread that made it.
    let bare_directory =
        directory(&bare.replacen(&other.child.id().to_string(), &thread.to_string(), 1));
    let in_vcpu = readable(&bare_directory.join("vcpu0"));
    assert_eq!(names(&bare, "vcpu0"), in_vcpu);
    assert_eq!(names(&bare, "vm"), &readable(&bare_directory) - &in_vcpu);
    // By the types of the other one's blocks, which are the kernel's.
    let typed = |part: &str, name: &str| {
        let key = (bare.clone(), part.to_owned(), name.to_owned());
        shown.get(&key).map(|it| (it.kind, it.unit.clone()))
    };
    assert_eq!(typed("vcpu0", "guest_mode"), Some(("gauge", "1".into())));
    assert_eq!(typed("vm", "blocking"), Some(("updown", "{vcpu}".into())));
    assert!(stderr.contains("no source gives"), "{stderr}");
    assert!(
        stderr.contains(" vCPUs have no statistics descriptor"),
        "{stderr}"
    );
    let start = shown[&(kept.clone(), "vcpu0".into(), "exits".into())].start;
    let made = std::fs::metadata(directory(&kept).join("exits"))
        .unwrap()
        .modified();
    let made = made.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(u128::from(start), made.as_nanos());
}

#[test]
fn where_debugfs_says_whose_a_vcpu_is_no_other_vm_of_the_process_gets_it() {
    let (Some(_kvm), Some(_debugfs)) = (kvm(), debugfs()) else {
        return;
    };
    let mut vmm = Vmm::start(&[]);
    let [first, second] = ["first", "second"].map(|it| vmm.vm(&format!("vm('{it}', 0)")));
    // By the order of descriptors it would be the second one's.
    vmm.ask("vms['first'].add()");
    let output = once("{}");
    let shown = shown(&output.stdout);
    let is_there = |vm: &str, name: &str| shown.keys().any(|it| it.0 == vm && it.2 == name);
    assert!(!is_there(&second, "guest_mode") && is_there(&first, "guest_mode"));
    assert!(!is_there(&second, "exits"));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("cannot be told apart"), "{stderr}");
}

#[test]
fn without_the_level_of_vcpus_a_vm_has_their_sums() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, guest=True)");
    vmm.ask("vms['a'].run(4)");
    let mut shown = shown(&once("{sources: [stats_fd], levels: [vm]}").stdout);
    shown.retain(|key, _| key.0 == vm);
    let owner = vmm.all("a");
    assert!(shown.keys().all(|it| it.1 == "vm"));
    assert_eq!(shown.len(), owner["vcpu0"].len());
    for ((_, _, name), point) in &shown {
        let sums = sums_of_vcpus(&owner, name);
        assert_eq!(point.values, sums, "{name}");
    }
    let blocking = &shown[&(vm, "vm".to_owned(), "blocking".to_owned())];
    assert_eq!((blocking.kind, &*blocking.unit), ("updown", "{vcpu}"));
}

#[test]
fn a_vm_of_which_the_limit_leaves_vcpus_out_has_no_sums_of_the_others() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 3, keep_vm=True)");
    let by_bpf = cfg!(feature = "bpf").then_some("[bpf]");
    for sources in ["[stats_fd]"].into_iter().chain(by_bpf) {
        // No other VM has a vCPU within the limit: those of another checkout's tests are younger, or it has none left.
        let receiver =
            format!("{{optional: true, sources: {sources}, levels: [vm], limits: {{vcpus: 2}}}}");
        let output = once(&receiver);
        let (shown, stderr) = (shown(&output.stdout), text(&output.stderr));
        let exits = (vm.clone(), "vm".to_owned(), "exits".to_owned());
        assert!(!shown.contains_key(&exits), "{:?}", shown[&exits].values);
        let said = "more VMs or vCPUs than `limits` allows; left out";
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn normalized_units_are_seconds() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, guest=True)");
    vmm.ask("vms['a'].run(4)");
    let shown = shown(&once("{sources: [stats_fd], normalize_units: true}").stdout);
    let owner = vmm.all("a");
    let point = |name: &str| &shown[&(vm.clone(), "vcpu0".to_owned(), name.to_owned())];
    let waited = owner["vcpu0"]["halt_wait_ns"]["values"][0]
        .as_f64()
        .unwrap()
        / 1e9;
    assert!(waited > 0.0);
    assert_eq!(point("halt_wait_ns").values, [waited]);
    assert_eq!(point("halt_wait_ns").unit, "s");
    let histogram = point("halt_wait_hist");
    assert_eq!((histogram.sum, &*histogram.unit), (Some(waited), "s"));
    assert_eq!(histogram.bounds[30].to_string(), "1.073741823");
}
