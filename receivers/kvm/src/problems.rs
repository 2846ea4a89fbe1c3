//! What is missing, and what would mend it: one line a host, once.

use std::collections::BTreeSet;

use pipeline::telemetry::Warnings;

use crate::choice::Gaps;
use crate::config::{Config, SourceName};
use crate::host::Host;
use crate::taking::TakeError;

/// What is wrong with what was found.
#[derive(Debug)]
pub(crate) struct Problems {
    pub(crate) gaps: Gaps,
    /// Whether there are VMs at all.
    pub(crate) has_vms: bool,
    /// Processes whose VMs cannot be told apart.
    pub(crate) indistinct: Vec<i32>,
    /// Names that more than one VM would have.
    pub(crate) shared: Vec<String>,
    /// VMs and vCPUs beyond the limits.
    pub(crate) beyond: (usize, usize),
}

const NO_SOURCE: &str = "statistics of KVM that no source gives; left out";
const REFUSED: &str =
    "processes that may not be looked at; VMs of theirs are known by debugfs only";
const UNKNOWN: &str = "statistics of a kind that this program does not know; left out";
const SHARED: &str = "VMs of one identity; their process and descriptor are added to it";
const INDISTINCT: &str =
    "VMs of one process cannot be told apart; their statistics descriptors are not read";
pub(crate) const BEYOND: &str = "more VMs or vCPUs than `limits` allows; left out";
const UNREADABLE: &str = "statistics descriptors that cannot be read; left out";
const NO_DESCRIPTORS: &str = "statistics descriptors cannot be taken";

impl Problems {
    /// Says all of it, each kind once.
    pub(crate) fn warn(&self, warnings: &Warnings, config: &Config, host: &Host) {
        let uses = |source| config.sources.contains(&source);
        if uses(SourceName::StatsFd) {
            warn_of_descriptors(warnings, host, self.has_vms);
        }
        warn_of_unknown(warnings, host);
        let missing = self.missing(config, host);
        if !missing.is_empty() {
            warnings.warn(NO_SOURCE, &missing.join("; "));
        }
        if let Some(shared) = self.shared.first() {
            warnings.warn(SHARED, shared);
        }
        if let Some(pid) = self.indistinct.first() {
            warnings.warn(INDISTINCT, &format!("process {pid}"));
        }
        let (vms, vcpus) = self.beyond;
        if vms + vcpus > 0 {
            warnings.warn(BEYOND, &format!("{vms} VMs and {vcpus} vCPUs"));
        } else if host.processes.is_beyond {
            warnings.warn(BEYOND, "those of more processes than there may be VMs");
        }
    }

    /// What no source gives, why, and what would mend it.
    fn missing(&self, config: &Config, host: &Host) -> Vec<String> {
        let Gaps {
            hidden,
            vcpus_without,
            vms_without,
        } = &self.gaps;
        let mut all = Vec::new();
        if *vcpus_without > 0 && config.sources.contains(&SourceName::StatsFd) {
            all.push(format!(
                "{vcpus_without} vCPUs have no statistics descriptor open that may be taken (QEMU keeps one from 8.1 on; the source bpf needs none)"
            ));
        }
        if !hidden.is_empty() {
            let count = hidden.len();
            all.push(format!(
                "{count} statistics of VMs are in files that the kernel's lockdown hides (boot without it, or use the source bpf)"
            ));
        }
        let problem = host.debugfs.as_ref().and_then(|it| it.problem);
        if let Some(error) = problem.filter(|_| *vcpus_without > 0 || *vms_without > 0) {
            all.push(format!(
                "kvm/ in debugfs cannot be read: {error} (mount -t debugfs none /sys/kernel/debug, and run as root)"
            ));
        }
        all
    }
}

/// That processes may not be looked at, and what would mend it.
pub(crate) fn refused_detail(count: usize) -> String {
    format!(
        "{count} processes may not be looked at; it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    )
}

/// Why descriptors are not taken.
fn warn_of_descriptors(warnings: &Warnings, host: &Host, has_vms: bool) {
    match &host.procfs {
        Err(error) => _ = warnings.warn(NO_DESCRIPTORS, &format!("cannot open /proc: {error}")),
        Ok(procfs) if !procfs.is_own_namespace => {
            let why = "/proc is that of other processes than this one's (a container takes the host's pid namespace)";
            warnings.warn(NO_DESCRIPTORS, why);
        }
        Ok(_) => {}
    }
    if let Some(error) = host.processes.unwatched {
        warnings.warn(NO_DESCRIPTORS, &format!("pidfd_open: {error}"));
    }
    if host.processes.refused > 0 && has_vms && !host.is_seen_by_bpf() {
        warnings.warn(REFUSED, &refused_detail(host.processes.refused));
    }
    let errors = host.blocks.errors().map(unreadable);
    let errors: BTreeSet<String> = errors.flatten().collect();
    errors
        .iter()
        .for_each(|it| _ = warnings.warn(UNREADABLE, it));
}

/// Which statistics are of kinds that this program does not know.
fn warn_of_unknown(warnings: &Warnings, host: &Host) {
    let unknown = host.layouts.unknown();
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.into_iter().collect();
        warnings.warn(UNKNOWN, &pipeline::telemetry::escaped(&names.join(", ")));
    }
}

/// What is wrong with a descriptor; nothing where it is closed by now.
fn unreadable(error: TakeError) -> Option<String> {
    match error {
        TakeError::Gone | TakeError::Moved => None,
        TakeError::Refused => Some("not permitted (it takes CAP_SYS_PTRACE)".into()),
        TakeError::Exhausted => Some("too many open files".into()),
        TakeError::Format(error) => Some(error.to_string()),
        TakeError::Other(error) => Some(error.to_string()),
    }
}
