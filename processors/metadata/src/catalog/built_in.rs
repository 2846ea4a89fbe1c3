//! What this project knows: a file for each part of the kernel. It is parsed once a table of one of its subsystems comes, since what
//! a host does not have need take no memory.

use std::sync::OnceLock;

use super::CatalogFile;

/// The files, each with its subsystems.
pub(super) const FILES: [(&[&str], &str); 15] = [
    (&["kvm"], include_str!("../../catalog/kvm.yaml")),
    (&["net"], include_str!("../../catalog/net.yaml")),
    (&["block"], include_str!("../../catalog/block.yaml")),
    (
        &["block", "scsi", "scsi_device", "scsi_host", "fc_host"],
        include_str!("../../catalog/scsi.yaml"),
    ),
    (&["ext4"], include_str!("../../catalog/ext4.yaml")),
    (
        &["hugepages", "node", "transparent_hugepage", "ksm", "slab"],
        include_str!("../../catalog/mm.yaml"),
    ),
    (&["kernel"], include_str!("../../catalog/kernel.yaml")),
    (
        &[
            "cgroup",
            "pids",
            "memory",
            "hugetlb",
            "cpuacct",
            "cpu,cpuacct",
            "cpu",
            "cpuset",
            "blkio",
            "freezer",
            "net_cls",
            "net_prio",
            "net_cls,net_prio",
            "devices",
            "perf_event",
            "rdma",
            "misc",
            "systemd",
            "unified",
        ],
        include_str!("../../catalog/cgroup.yaml"),
    ),
    (
        &["infiniband"],
        include_str!("../../catalog/infiniband.yaml"),
    ),
    (&["cpu", "cpufreq"], include_str!("../../catalog/cpu.yaml")),
    (
        &["bcache", "block"],
        include_str!("../../catalog/bcache.yaml"),
    ),
    (
        &["mc", "edac", "pci"],
        include_str!("../../catalog/edac.yaml"),
    ),
    (&["thermal"], include_str!("../../catalog/thermal.yaml")),
    (&["hwmon"], include_str!("../../catalog/hwmon.yaml")),
    (
        &["powercap", "intel-rapl", "intel-rapl-mmio", "power_supply"],
        include_str!("../../catalog/power.yaml"),
    ),
];

/// A file of the built-in catalog.
#[derive(Debug)]
pub(super) struct Part {
    subsystems: &'static [&'static str],
    text: &'static str,
    file: OnceLock<CatalogFile>,
}

/// All of it; where two know a subsystem, the first is asked first.
pub(super) fn parts() -> Vec<Part> {
    let part = |(subsystems, text)| Part {
        subsystems,
        text,
        file: OnceLock::new(),
    };
    FILES.map(part).into()
}

impl Part {
    pub(super) fn subsystems(&self) -> impl Iterator<Item = &str> {
        self.subsystems.iter().copied()
    }

    pub(super) fn knows(&self, subsystem: &str) -> bool {
        self.subsystems.contains(&subsystem)
    }

    #[cfg(test)]
    pub(super) fn is_parsed(&self) -> bool {
        self.file.get().is_some()
    }

    /// What it says.
    pub(super) fn file(&self) -> &CatalogFile {
        let parse = || CatalogFile::parse("the built-in catalog", self.text);
        self.file
            .get_or_init(|| parse().expect("the tests parse each of them"))
    }
}
