//! What a descriptor of KVM is, by its link in /proc.

/// What a process holds open of KVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum KvmFile {
    /// A VM.
    Vm,
    /// A vCPU of this number.
    Vcpu(u32),
    /// The statistics of a VM.
    VmStats,
    /// The statistics of the vCPU of this number.
    VcpuStats(u32),
}

impl KvmFile {
    /// What a descriptor's link says; `None`: nothing of KVM.
    pub(crate) fn of_link(link: &[u8]) -> Option<KvmFile> {
        let name = std::str::from_utf8(link.strip_prefix(b"anon_inode:kvm-")?).ok()?;
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse().ok();
        match name {
            "vm" => Some(KvmFile::Vm),
            "vm-stats" => Some(KvmFile::VmStats),
            _ => number("vcpu:")
                .map(KvmFile::Vcpu)
                .or_else(|| number("vcpu-stats:").map(KvmFile::VcpuStats)),
        }
    }

    /// Whether it may be taken: a VM or a vCPU never is, since that could be controlled.
    pub(crate) fn is_statistics(self) -> bool {
        matches!(self, KvmFile::VmStats | KvmFile::VcpuStats(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_of_kvm_are_known() {
        for (link, expected) in [
            ("anon_inode:kvm-vm", Some(KvmFile::Vm)),
            ("anon_inode:kvm-vcpu:7", Some(KvmFile::Vcpu(7))),
            ("anon_inode:kvm-vm-stats", Some(KvmFile::VmStats)),
            ("anon_inode:kvm-vcpu-stats:12", Some(KvmFile::VcpuStats(12))),
            ("anon_inode:kvm-vcpu-stats:", None),
            ("anon_inode:kvm-vcpu-stats:-1", None),
            ("anon_inode:[eventfd]", None),
            ("/dev/kvm", None),
            ("/tmp/anon_inode:kvm-vm", None),
        ] {
            assert_eq!(KvmFile::of_link(link.as_bytes()), expected, "{link}");
        }
    }
}
