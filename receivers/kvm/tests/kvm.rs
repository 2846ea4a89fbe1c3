//! What every component keeps, and what is refused.

#![allow(clippy::unwrap_used)]

use pipeline::testing::{assert_contracts, mistakes};
use receiver_kvm::Kvm;

#[test]
fn it_keeps_the_contracts() {
    let yaml = "sources: [debugfs, stats_fd]\nlevels: [vm]\nidentity: [name, pid]\ncollection_interval: 10ms\ninitial_delay: 0s\nrescan_interval: 1s\nnormalize_units: true\nlabels: {rack: 7}\nlimits: {vms: 1, vcpus: 2}";
    assert_contracts::<Kvm>(include_str!("../README.md"), yaml, "");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (yaml, expected) in [
        (
            "collection_interval: 0s",
            "collection_interval: has to be more than 0s",
        ),
        (
            "rescan_interval: 0s",
            "rescan_interval: has to be more than 0s",
        ),
        ("sources: []", "sources: has to name at least one"),
        ("levels: []", "levels: has to name at least one"),
        ("identity: []", "identity: has to name at least one"),
    ] {
        assert_eq!(mistakes::<Kvm>(yaml), [expected]);
    }
    let unknown = mistakes::<Kvm>("sources: [qmp]");
    assert_eq!(unknown, ["sources.0: unknown value `qmp`"]);
}
