//! Sums of what a tree shows: the tree's own where it has them, and while members come, go and cannot be read.

use std::fs;

use rustix::process::Signal;

use crate::common::{collector, config, count, once, read_until, repository, signal, text};

#[test]
fn the_sum_over_vcpus_is_what_the_kernel_says_it_is() {
    let receiver = format!(
        "{{root: {}, layout: '{{vm}}/{{vcpu}}/{{metric}}'}}",
        repository("tests/fixtures/kvm-statsfs-liiling/sys/kernel/statsfs").display()
    );
    let sums = once(
        &receiver,
        "metadata: {}; aggregate: {rules: [{match: {labels: {vcpu: '*'}}, by: [vm], function: sum, members_leave: false}]}",
    );
    // The files one directory up, which `metadata` drops otherwise.
    let kernel = once(
        &receiver,
        "metadata: {aggregates: keep}; labels: {actions: [{drop: {match: {labels: {vcpu: '*'}}}}]}",
    );
    let mut equal = 0;
    for sum in sums.iter().filter(|it| it.starts_with("kvm/exits{vm=")) {
        let expected = sum.replace("{vm=", "{subsystem=kvm,vm=");
        assert!(kernel.contains(&expected), "{sum}: {kernel:#?}");
        equal += 1;
    }
    assert_eq!(equal, 2, "{sums:#?}");
}

#[test]
fn a_sum_goes_on_while_members_come_go_and_cannot_be_read() {
    let tree = tempfile::tempdir().unwrap();
    let show = |cpu: &str, value: &str| {
        let directory = tree.path().join("s").join(cpu);
        fs::create_dir_all(&directory).unwrap();
        // Replaced, as a writer that never shows half a number does it.
        fs::write(tree.path().join("next"), value).unwrap();
        fs::rename(tree.path().join("next"), directory.join("c")).unwrap();
    };
    show("cpu0", "1\n");
    show("cpu1", "2\n");
    let receiver = format!(
        "{{root: {}, collection_interval: 20ms}}",
        tree.path().display()
    );
    let processors = "metadata: {rules: [{match: {}, kind: counter}]}; aggregate: {rules: [{by: [], function: sum}]}; batch: {}";
    let mut child = collector(&config(&receiver, processors, "{}"), &[]);
    read_until(&mut child, |line| line == "s/c 3 updown");
    show("cpu2", "4\n");
    read_until(&mut child, |line| line == "s/c 7 updown");
    // It cannot be read, and the others go on.
    show("cpu1", "no number\n");
    show("cpu0", "10\n");
    read_until(&mut child, |line| line == "s/c 16 updown");
    fs::remove_dir_all(tree.path().join("s/cpu1")).unwrap();
    read_until(&mut child, |line| line == "s/c 14 updown");
    fs::remove_dir_all(tree.path().join("s/cpu0")).unwrap();
    let lines = read_until(&mut child, |line| line == "s/c 4 updown");
    assert!(!lines.iter().any(|line| line.contains("end")), "{lines:?}");
    fs::remove_dir_all(tree.path().join("s/cpu2")).unwrap();
    read_until(&mut child, |line| line == "s/c end updown");
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(
        count(&stderr, "points_read"),
        count(&stderr, "points_dropped") + count(&stderr, "points_handed"),
        "{stderr}"
    );
    assert!(stderr.contains("(aggregated="), "{stderr}");
}
