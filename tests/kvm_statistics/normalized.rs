//! The configuration for KVM hosts: what is in seconds by the receiver is not scaled again.

use super::shown::shown;
use super::vmm::{Vmm, has_kvm};
use crate::common::alone::{KVM, alone};
use crate::common::{repository, run, text};

#[test]
fn the_configuration_for_kvm_hosts_scales_nothing_twice() {
    let _kvm = alone(&KVM);
    if !has_kvm("the_configuration_for_kvm_hosts_scales_nothing_twice") {
        return;
    }
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
