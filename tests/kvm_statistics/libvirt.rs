//! libvirt's domains: whose they are, and that what libvirt says of them is shown. `scripts/kvm-libvirt.sh` gives it a libvirt.

use std::process::Command;

use super::needs::{kvm, left_out};
use super::once;
use super::shown::shown;
use crate::common::text;

const NAME: &str = "statsfs test";
const UUID: &str = "9a1e5c1e-4d0a-4a0b-8f5b-2f6f0f1d7a10";
const DOMAIN: &str = "<domain type='kvm'><name>statsfs test</name><uuid>9a1e5c1e-4d0a-4a0b-8f5b-2f6f0f1d7a10</uuid>\
    <memory unit='MiB'>16</memory><vcpu>3</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>";

/// A domain that is stopped; it goes with this.
struct Domain;

impl Domain {
    /// `None`, said on standard error, where there is no libvirt.
    fn make() -> Option<Domain> {
        let asked = Command::new("virsh").arg("list").output();
        if !asked.is_ok_and(|it| it.status.success()) {
            return left_out("a libvirt, as scripts/kvm-libvirt.sh gives one");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("domain.xml");
        std::fs::write(&file, DOMAIN).unwrap();
        virsh(&["create", file.to_str().unwrap()]);
        let domain = Domain;
        virsh(&["suspend", NAME]);
        Some(domain)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let _ = Command::new("virsh").args(["destroy", NAME]).output();
    }
}

fn virsh(arguments: &[&str]) -> String {
    let output = Command::new("virsh").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A statistic of KVM that libvirt shows, by part and name: `vcpu.0.exits.sum=205`.
fn of_line(line: &str) -> Option<(String, String, f64)> {
    let (path, value) = line.trim().split_once('=')?;
    let (part, name) = match &path.split('.').collect::<Vec<_>>()[..] {
        ["vcpu", number, name, "sum" | "cur" | "max"] => (format!("vcpu{number}"), *name),
        ["vm", name, "sum" | "cur" | "max"] => ("vm".to_owned(), *name),
        _ => return None,
    };
    let value = match value {
        "yes" => 1.0,
        "no" => 0.0,
        number => number.parse().unwrap(),
    };
    Some((part, name.to_owned(), value))
}

#[test]
#[ignore = "it takes a libvirt: scripts/kvm-libvirt.sh"]
fn a_domain_of_libvirt_is_called_by_its_uuid_and_has_what_libvirt_says_and_more() {
    let Some(_kvm) = kvm() else { return };
    let Some(_domain) = Domain::make() else {
        return;
    };
    let all = shown(&once("{sources: [stats_fd, bpf, debugfs]}").stdout);
    let domain = all.iter().filter(|it| it.0.0 == UUID);
    let mut count = 0;
    for (_, point) in domain {
        count += 1;
        assert_eq!(point.attributes["kvm.vm.name"], NAME);
        assert_eq!(point.attributes["kvm.vm.uuid"], UUID);
        assert_eq!(point.attributes["kvm.vmm"], "qemu");
    }
    let said = virsh(&["domstats", "--vcpu", "--vm", NAME]);
    let said: Vec<_> = said.lines().filter_map(of_line).collect();
    // libvirt leaves histograms out, and what is in debugfs only.
    assert!(
        said.len() > 100 && count > said.len(),
        "{count} {}",
        said.len()
    );
    for (part, name, value) in said {
        let key = (UUID.to_owned(), part, name);
        assert_eq!(all[&key].values, [value], "{key:?}");
    }
}
