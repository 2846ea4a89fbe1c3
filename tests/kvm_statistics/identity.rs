//! Who a VM is, and that nothing else of a command line is kept.

use std::process::Command;

use super::needs::kvm;
use super::vmm::Vmm;
use super::{config, shown::shown};
use crate::common::{BINARY, spawn, text};

const UUID: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
const QEMU: &str = "qemu-system-x86_64";

/// One sweep, with all that can be logged.
fn once_with_all_logs(sources: &str) -> (Vec<u8>, String) {
    let mut command = Command::new(BINARY);
    command
        .args(["--once", "--config", "-"])
        .env("RUST_LOG", "trace");
    let config = config(&format!("{{sources: {sources}}}"), "{format: json}");
    let output = spawn(command, &config).wait_with_output().unwrap();
    (output.stdout, text(&output.stderr))
}

#[test]
fn a_vm_is_called_by_its_command_line_of_which_nothing_else_is_shown() {
    let Some(_kvm) = kvm() else { return };
    let arguments = [
        "-name",
        "guest=web,process=canary-process",
        "-uuid",
        UUID,
        "-object",
        "secret,id=s0,data=canary-secret",
        "-append",
        "password=canary-append",
        "-smbios",
        "type=1,serial=canary-serial",
        "-drive",
        "file=https://canary-user:canary-password@host/disk",
        "canary-argument",
    ];
    let mut vmm = Vmm::named(QEMU, &arguments);
    vmm.ask("vm('a')");
    let mut other = Vmm::named("firecracker", &["--id", "f1\n\u{202e}"]);
    other.ask("vm('a')");
    let mut none = Vmm::named("some-monitor", &["-name", "canary-name"]);
    let pid_and_fd = none.vm("vm('a')");
    let by_bpf = cfg!(feature = "bpf").then_some("[bpf, debugfs]");
    for sources in ["[stats_fd]"].into_iter().chain(by_bpf) {
        let (stdout, stderr) = once_with_all_logs(sources);
        let shown = shown(&stdout);
        let point = |vm: &str| {
            let key = (vm.to_owned(), "vcpu0".to_owned(), "exits".to_owned());
            let point = shown
                .get(&key)
                .unwrap_or_else(|| panic!("{vm}: {:?}", shown.keys()));
            let label = |key: &str| point.attributes.get(key).cloned().unwrap_or_default();
            ["kvm.vmm", "kvm.vm.name", "kvm.vm.uuid"].map(label)
        };
        assert_eq!(point(UUID), ["qemu", "web", UUID]);
        let escaped = r"f1\n\u{202e}";
        assert_eq!(point(escaped), ["firecracker", escaped, ""]);
        assert_eq!(point(&pid_and_fd), ["", "", ""]);
        for said in [text(&stdout), stderr] {
            assert!(!said.contains("canary"), "{said}");
        }
    }
}

#[test]
fn two_living_vms_of_one_name_stay_apart_which_is_said_once() {
    let Some(_kvm) = kvm() else { return };
    let mut vmms = [0, 1].map(|_| Vmm::named(QEMU, &["-name", "web"]));
    let names = vmms.each_mut().map(|it| it.vm("vm('a')"));
    let (stdout, stderr) = once_with_all_logs("[stats_fd]");
    let shown = shown(&stdout);
    for name in &names {
        let key = (
            format!("web/{name}"),
            "vcpu0".to_owned(),
            "exits".to_owned(),
        );
        assert!(shown.contains_key(&key), "{:?}", shown.keys());
    }
    assert_eq!(stderr.matches("VMs of one identity").count(), 1, "{stderr}");
}
