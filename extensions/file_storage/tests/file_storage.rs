//! The contracts, and the YAML of the Collector.

use extension_file_storage::FileStorage;
use pipeline::testing::{assert_contracts, mistakes};

const README: &str = include_str!("../README.md");

#[test]
fn it_keeps_the_contracts() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("queue");
    let yaml = format!(
        "directory: {}\nmax_size: 64KiB\nmax_age: 1h\nfsync: each\nreplay: newest\ndirectory_permissions: \"0750\"",
        directory.display()
    );
    assert_contracts::<FileStorage>(README, &yaml, "");
}

#[test]
fn fsync_is_written_as_here_and_as_in_the_collector() {
    for good in ["each", "interval", "never", "true", "false"] {
        assert_eq!(mistakes::<FileStorage>(&format!("fsync: {good}")), [""; 0]);
    }
    for bad in ["always", "1"] {
        let mistakes = mistakes::<FileStorage>(&format!("fsync: {bad}"));
        assert!(mistakes[0].starts_with("fsync: "), "{mistakes:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_an_error_at_its_key() {
    for (key, value) in [
        ("max_size", "1KiB"),
        ("directory_permissions", "'077'"),
        ("directory_permissions", "'0999'"),
        ("directory_permissions", "'4700'"),
    ] {
        let mistakes = mistakes::<FileStorage>(&format!("{key}: {value}"));
        assert!(mistakes[0].starts_with(&format!("{key}: ")), "{mistakes:?}");
    }
}
