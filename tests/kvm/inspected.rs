//! What `inspect` lists of a VM's files.

use std::fs::File;

use super::host::{kvm, name};
use crate::common::alone::{KVM, alone};
use crate::common::config;
use crate::inspect::{records, why};

#[test]
fn each_file_of_a_vm_is_listed_and_what_lockdown_hides_is_told_as_such() {
    let _kvm = alone(&KVM);
    let Some((kvm, debugfs)) =
        kvm("each_file_of_a_vm_is_listed_and_what_lockdown_hides_is_told_as_such")
    else {
        return;
    };
    let vm = kvm.create_vm().unwrap();
    let directory = format!("kvm/{}", name(&vm));
    let receiver = "{root: 'debugfs:kvm', subsystem: kvm, layout: '{vm}/{vcpu}/{metric}'}";
    let config = config(receiver, "metadata: {sources: [mode]}", "{}");
    let listed = records(Some(&config), &["--read", &format!("{directory}/*")]);
    let mut count = 0;
    for file in std::fs::read_dir(debugfs.0.join(&directory)).unwrap() {
        let path = file.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let hidden = File::open(&path).is_err_and(|it| it.raw_os_error() == Some(1));
        let expected = if hidden {
            "failed; lockdown; hidden by the kernel's lockdown, as all writable files of debugfs; passed over"
        } else {
            "read"
        };
        assert_eq!(why(&listed, &format!("{directory}/{file}")), expected);
        count += 1;
    }
    assert_eq!(listed.len(), count);
}
