//! The contracts.

use pipeline::testing::{assert_contracts, mistakes};
use receiver_statsfs::Statsfs;

#[test]
fn it_keeps_the_contracts() {
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tree.path().join("kvm/1-2")).unwrap();
    std::fs::write(tree.path().join("kvm/1-2/exits"), "1\n").unwrap();
    let yaml = format!(
        "{{root: {}, collection_interval: 10ms, labels: {{rack: 12}}, formats: [{{match: 'a/*', as: hex}}], devices: {{exclude: [lo]}}, limits: {{value_bytes: 8KiB}}}}",
        tree.path().display()
    );
    assert_contracts::<Statsfs>(include_str!("../README.md"), &yaml, "");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let errors = |yaml: &str| mistakes::<Statsfs>(yaml).join("; ");
    assert_eq!(
        errors("{root: ''}"),
        "root: is empty; it is a path, `statsfs:` or `debugfs:kvm`"
    );
    assert_eq!(
        errors("{root: /x, collection_interval: 0s}"),
        "collection_interval: has to be more than 0s"
    );
    assert_eq!(
        errors("{root: /x, subsystem: a/b}"),
        "subsystem: is one name, without `/`"
    );
    assert!(errors("{root: /x, limits: {value_bytes: -1}}").starts_with("limits.value_bytes: "));
}
