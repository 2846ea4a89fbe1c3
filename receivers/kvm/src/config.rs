//! The configuration as the user writes it.

use std::collections::BTreeMap;

use pipeline::AnyValue;
use pipeline::config::{Duration, InitialDelay};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration of a `kvm` receiver.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where statistics are read from, in this order: each from the first source that has it.
    pub sources: Vec<SourceName>,
    /// What there are series of.
    pub levels: Vec<Level>,
    /// What a VM is called by: the first of these that it has.
    pub identity: Vec<IdentityPart>,
    /// The time between sweeps.
    pub collection_interval: Duration,
    /// The time before the first sweep.
    pub initial_delay: InitialDelay,
    /// How often all processes are looked at again.
    pub rescan_interval: Duration,
    /// Whether durations are in seconds and amounts of memory in bytes, whatever the kernel counts in.
    pub normalize_units: bool,
    /// Labels for every series.
    pub labels: BTreeMap<String, AnyValue>,
    /// Limits: what is beyond them is warned about once, and left out.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sources: vec![SourceName::StatsFd, SourceName::Debugfs],
            levels: vec![Level::Vm, Level::Vcpu],
            identity: vec![IdentityPart::Uuid, IdentityPart::Name, IdentityPart::Pid],
            collection_interval: Duration::from_secs(10),
            initial_delay: InitialDelay::default(),
            rescan_interval: Duration::from_secs(60),
            normalize_units: false,
            labels: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

/// Where statistics are read from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// The statistics descriptors that a VM's monitor keeps open: taken for the moment of a read.
    StatsFd,
    /// The kernel's own memory, by a BPF program that looks at all open files: every VM, whatever its monitor keeps.
    #[cfg(feature = "bpf")]
    Bpf,
    /// KVM's files in debugfs.
    Debugfs,
}

impl SourceName {
    /// All that this program has.
    #[cfg(feature = "bpf")]
    pub(crate) const ALL: [SourceName; 3] =
        [SourceName::StatsFd, SourceName::Bpf, SourceName::Debugfs];
    /// All that this program has.
    #[cfg(not(feature = "bpf"))]
    pub(crate) const ALL: [SourceName; 2] = [SourceName::StatsFd, SourceName::Debugfs];

    /// As it is written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            SourceName::StatsFd => "stats_fd",
            #[cfg(feature = "bpf")]
            SourceName::Bpf => "bpf",
            SourceName::Debugfs => "debugfs",
        }
    }
}

/// What there are series of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each VM. Without `vcpu` also the sums of its vCPUs.
    Vm,
    /// Each vCPU.
    Vcpu,
}

/// What a VM may be called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityPart {
    /// The UUID that it was given.
    Uuid,
    /// The name that it was given.
    Name,
    /// Its process and its descriptor there, `1234-12`, which every VM has.
    Pid,
}

/// Limits: what is beyond them is warned about once, and left out.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The maximum of VMs; the oldest stay.
    pub vms: usize,
    /// The maximum of vCPUs of all VMs together.
    pub vcpus: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            vms: 1024,
            vcpus: 4096,
        }
    }
}
