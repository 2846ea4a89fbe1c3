//! What becomes of the types of the kernel's in `metadata`: they hold against a catalog, and scale nothing again.

use super::config;
use super::needs::kvm;
use super::shown::shown;
use super::vmm::Vmm;
use crate::common::{repository, run, text};

#[test]
fn the_configuration_for_kvm_hosts_scales_nothing_twice() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vm = vmm.vm("vm('a', 1, guest=True)");
    vmm.ask("vms['a'].run(4)");
    let owner = &vmm.all("a")["vcpu0"]["halt_wait_ns"]["values"][0];
    let waited = owner.as_f64().unwrap() / 1e9;
    assert!(waited > 0.0);
    let yaml = std::fs::read_to_string(repository("configs/kvm-host.yaml")).unwrap();
    let mut config: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
    config["exporters"] = serde_yaml::from_str("{stdout: {format: json}}").unwrap();
    let pipeline = &mut config["service"]["pipelines"]["metrics"];
    pipeline["exporters"] = serde_yaml::from_str("[stdout]").unwrap();
    pipeline["receivers"] = serde_yaml::from_str("[kvm]").unwrap();
    assert_eq!(config["receivers"]["kvm"]["normalize_units"], true);
    let output = run(&serde_yaml::to_string(&config).unwrap(), &["--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = shown(&output.stdout);
    let point = |name: &str| &shown[&(vm.clone(), "vcpu0".to_owned(), name.to_owned())];
    assert_eq!(
        (
            point("halt_wait_ns").values[0],
            &*point("halt_wait_ns").unit
        ),
        (waited, "s")
    );
    let histogram = point("halt_wait_hist");
    assert_eq!((histogram.sum, &*histogram.unit), (Some(waited), "s"));
}

#[test]
fn the_types_of_blocks_hold_against_a_catalog_which_is_said_once() {
    let Some(_kvm) = kvm() else { return };
    let mut vmm = Vmm::start(&[]);
    let vms = ["a", "b"].map(|it| vmm.vm(&format!("vm('{it}', 2, guest=True)")));
    let catalog = tempfile::NamedTempFile::new().unwrap();
    let other = "{version: 1, families: [{id: a, match: ['kvm/*-*/vcpu*/NAME'], metrics: [{name: exits, type: gauge, unit: By}, {name: halt_wait_ns, type: counter, unit: ns}]}]}";
    std::fs::write(catalog.path(), other).unwrap();
    let metadata = format!("metadata: {{catalogs: [{}]}}", catalog.path().display());
    let config = config(
        "{sources: [stats_fd], normalize_units: true}",
        "{format: json}",
    );
    let output = run(&config.replace("metadata: {}", &metadata), &["--once"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let said = "kvm/exits: the kernel says counter, the catalog gauge By";
    assert_eq!(stderr.matches(said).count(), 1, "{stderr}");
    // Seconds and nanoseconds are no contradiction: the receiver has converted.
    assert_eq!(stderr.matches(" disagree ").count(), 1, "{stderr}");
    let shown = shown(&output.stdout);
    for vm in vms {
        let exits = &shown[&(vm, "vcpu1".to_owned(), "exits".to_owned())];
        assert_eq!((exits.kind, &*exits.unit), ("counter", ""));
    }
}
