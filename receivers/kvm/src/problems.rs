//! What is missing, and what would mend it: one line a host, once.

use std::collections::BTreeSet;

use pipeline::telemetry::{Warnings, escaped};
use rustix::io::Errno;

use crate::config::{Config, SourceName};
use crate::gaps::{Gap, GapCounts};
use crate::host::Host;
use crate::taking::TakeError;

/// What is wrong with what was found.
#[derive(Debug)]
pub(crate) struct Problems {
    pub(crate) gaps: Vec<Gap>,
    /// Whether there are VMs at all.
    pub(crate) has_vms: bool,
    /// Processes whose VMs cannot be told apart.
    pub(crate) indistinct: Vec<i32>,
    /// Names that more than one VM would have.
    pub(crate) shared: Vec<String>,
    /// VMs and vCPUs beyond the limits.
    pub(crate) beyond: (usize, usize),
}

/// Something that is wrong with the whole host.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The reason in a word for which something is left out; `None` where nothing is.
    pub(crate) reason: Option<&'static str>,
    /// What it is, in constant words.
    pub(crate) message: &'static str,
    pub(crate) detail: String,
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
        for problem in self.all(config, host) {
            warnings.warn(problem.message, &problem.detail);
        }
        let missing = self.missing(config, host);
        if !missing.is_empty() {
            warnings.warn(NO_SOURCE, &missing.join("; "));
        }
    }

    /// All of it, but for what is missing of each VM.
    pub(crate) fn all(&self, config: &Config, host: &Host) -> Vec<Problem> {
        let mut all = Vec::new();
        if config.sources.contains(&SourceName::StatsFd) {
            add_descriptors(&mut all, host, self.has_vms);
        }
        let unknown = host.layouts.unknown();
        if !unknown.is_empty() {
            let names: Vec<&str> = unknown.into_iter().collect();
            let names = escaped(&names.join(", ")).into_owned();
            all.push(Problem::new("type", UNKNOWN, names));
        }
        if let Some(shared) = self.shared.first() {
            let reason = None;
            all.push(Problem {
                reason,
                message: SHARED,
                detail: shared.clone(),
            });
        }
        if let Some(pid) = self.indistinct.first() {
            all.push(Problem::new(
                "indistinct",
                INDISTINCT,
                format!("process {pid}"),
            ));
        }
        let (vms, vcpus) = self.beyond;
        if vms + vcpus > 0 {
            let detail = format!("{vms} VMs and {vcpus} vCPUs");
            all.push(Problem::new("limit", BEYOND, detail));
        } else if host.processes.is_beyond {
            let detail = "those of more processes than there may be VMs";
            all.push(Problem::new("limit", BEYOND, detail));
        }
        all
    }

    /// What no source gives, why, and what would mend it.
    fn missing(&self, config: &Config, host: &Host) -> Vec<String> {
        let GapCounts { hidden, vcpus, vms } = GapCounts::of(&self.gaps);
        let mut all = Vec::new();
        if vcpus > 0 && config.sources.contains(&SourceName::StatsFd) {
            all.push(format!(
                "{vcpus} vCPUs have no statistics descriptor open that may be taken (QEMU keeps one from 8.1 on; the source bpf needs none)"
            ));
        }
        if vms > 0 && config.sources.contains(&SourceName::StatsFd) {
            all.push(format!(
                "{vms} VMs have no statistics descriptor of their own open that may be taken, besides those of vCPUs (no monitor keeps one; the sources bpf and debugfs need none)"
            ));
        }
        if hidden > 0 {
            all.push(format!(
                "{hidden} statistics of VMs are in files that the kernel's lockdown hides (boot without it, or use the source bpf)"
            ));
        }
        let problem = host.debugfs.as_ref().and_then(|it| it.problem);
        if let Some(error) = problem.filter(|_| vcpus + vms > 0) {
            all.push(debugfs_detail(error));
        }
        all
    }
}

impl Problem {
    fn new(reason: &'static str, message: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            reason: Some(reason),
            message,
            detail: detail.into(),
        }
    }
}

/// That debugfs cannot be read, and what would mend it.
pub(crate) fn debugfs_detail(error: Errno) -> String {
    format!(
        "kvm/ in debugfs cannot be read: {error} (mount -t debugfs none /sys/kernel/debug, and run as root)"
    )
}

/// That processes may not be looked at, and what would mend it.
pub(crate) fn refused_detail(count: usize) -> String {
    format!(
        "{count} processes may not be looked at; it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    )
}

/// Why no descriptors of any process are taken.
pub(crate) fn why_none_is_taken(host: &Host) -> Option<String> {
    match &host.procfs {
        Err(error) => Some(format!("cannot open /proc: {error}")),
        Ok(procfs) if !procfs.is_own_namespace => {
            let why = "/proc is that of other processes than this one's (a container takes the host's pid namespace)";
            Some(why.into())
        }
        Ok(_) => {
            let error = host.processes.unwatched?;
            Some(format!("pidfd_open: {error}"))
        }
    }
}

/// Adds why descriptors are not taken, or not read.
fn add_descriptors(all: &mut Vec<Problem>, host: &Host, has_vms: bool) {
    let why = why_none_is_taken(host);
    all.extend(why.map(|why| Problem::new("permission", NO_DESCRIPTORS, why)));
    let refused = host.processes.refused;
    if refused > 0 && has_vms && !host.is_seen_by_bpf() {
        all.push(Problem::new("permission", REFUSED, refused_detail(refused)));
    }
    let errors = host.blocks.errors().filter_map(unreadable);
    let errors: BTreeSet<String> = errors.collect();
    let errors = errors.into_iter();
    all.extend(errors.map(|it| Problem::new("io", UNREADABLE, it)));
}

/// What is wrong with a descriptor; nothing where it is closed by now.
pub(crate) fn unreadable(error: TakeError) -> Option<String> {
    match error {
        TakeError::Gone | TakeError::Moved => None,
        TakeError::Refused => Some("not permitted (it takes CAP_SYS_PTRACE)".into()),
        TakeError::Exhausted => Some("too many open files".into()),
        TakeError::Format(error) => Some(error.to_string()),
        TakeError::Other(error) => Some(error.to_string()),
    }
}
