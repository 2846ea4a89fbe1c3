//! A VM, whoever tells of it.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "bpf")]
use crate::bpf::SeenVm;
use crate::config::IdentityPart;
use crate::debugfs::VmDirectory;
use crate::identity::Identity;
use crate::taking::Block;

/// A VM, and all that may be read of it.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// Its process, and its descriptor there.
    pub(crate) key: (i32, i32),
    pub(crate) identity: Identity,
    /// Since when it is there, unix ns; 0 if it is not known.
    pub(crate) start: u64,
    /// The statistics that its process keeps open of the VM itself.
    pub(crate) block: Option<Arc<Block>>,
    /// Its vCPUs, and the statistics that its process keeps open of them.
    pub(crate) vcpus: BTreeMap<u32, Option<Arc<Block>>>,
    /// Whether vCPUs of it are left out, beyond a limit: what is made of the others is no sum.
    pub(crate) is_cut: bool,
    /// What it is called by BPF, where that sees it.
    #[cfg(feature = "bpf")]
    pub(crate) bpf: Option<SeenVm>,
    /// Whether its process was seen to hold it, and not debugfs alone tells of it.
    pub(crate) is_held: bool,
    /// Whether debugfs shows other vCPUs of it than its process seems to hold.
    pub(crate) is_doubtful: bool,
    /// Its name and its files in debugfs.
    pub(crate) directory: Option<(String, VmDirectory)>,
}

/// What a VM is called by: the first of these that it has.
pub(crate) fn label(vm: &Vm, by: &[IdentityPart]) -> String {
    let named = by.iter().find_map(|part| match part {
        IdentityPart::Uuid => vm.identity.uuid.clone(),
        IdentityPart::Name => vm.identity.name.clone(),
        IdentityPart::Pid => Some(vm.pid_and_fd()),
    });
    named.unwrap_or_else(|| vm.pid_and_fd())
}

impl Vm {
    /// `1234-12`.
    pub(crate) fn pid_and_fd(&self) -> String {
        format!("{}-{}", self.key.0, self.key.1)
    }

    /// Whether BPF reads the VM's own statistics, or those of its vCPUs.
    #[cfg_attr(not(feature = "bpf"), allow(unused_variables, clippy::unused_self))]
    pub(crate) fn is_read_by_bpf(&self, is_own: bool) -> bool {
        #[cfg(feature = "bpf")]
        return self.bpf.is_some_and(|it| it.is_open || !is_own);
        #[cfg(not(feature = "bpf"))]
        false
    }
}
