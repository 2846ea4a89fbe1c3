//! What no source gives.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Something of a VM or vCPU that no source gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The directory of the VM or vCPU: `kvm/1234-12/vcpu0`.
    pub(crate) directory: String,
    pub(crate) missing: Missing,
    /// The process that was seen to hold the VM.
    pub(crate) holder: Option<i32>,
}

/// What is missing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The statistics of a vCPU, but for those in files.
    Vcpu,
    /// The VM's own statistics.
    Vm,
    /// The statistic of this name, whose file the kernel's lockdown hides.
    Hidden(Arc<str>),
}

/// How much is missing on the whole host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GapCounts {
    /// Statistics, by name, whose files lockdown hides.
    pub(crate) hidden: usize,
    pub(crate) vcpus: usize,
    pub(crate) vms: usize,
}

impl GapCounts {
    pub(crate) fn of(gaps: &[Gap]) -> GapCounts {
        let mut counts = GapCounts::default();
        let mut hidden = BTreeSet::new();
        for gap in gaps {
            match &gap.missing {
                Missing::Vcpu => counts.vcpus += 1,
                Missing::Vm => counts.vms += 1,
                Missing::Hidden(name) => _ = hidden.insert(name),
            }
        }
        counts.hidden = hidden.len();
        counts
    }
}
