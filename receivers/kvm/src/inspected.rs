//! What is said for `inspect`: what is left out, and for each source why it does not give it and what would mend that.

use pipeline::{Inspected, Inspection, LeftOut};
use rustix::io::Errno;

use crate::config::{Config, SourceName};
use crate::gaps::{Gap, Missing};
use crate::host::Host;
use crate::part::Part;
use crate::problems::{self, Problems};
use crate::statistic::SUBSYSTEM;
use crate::taking::TakeError;

/// What a sweeper is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Series go out.
    Run,
    /// `inspect --read`: one sweep.
    InspectValues,
    /// `inspect`: VMs are looked for, and no value is read.
    Inspect,
}

impl Purpose {
    pub(crate) fn of(inspection: Option<&Inspection>) -> Purpose {
        match inspection {
            None => Purpose::Run,
            Some(it) if it.reads() => Purpose::InspectValues,
            Some(_) => Purpose::Inspect,
        }
    }

    /// Whether what gives no value is to be said.
    pub(crate) fn inspects(self) -> bool {
        self != Purpose::Run
    }

    /// Whether values are read.
    pub(crate) fn reads(self) -> bool {
        self != Purpose::Inspect
    }
}

/// All that is left out: of the host, of VMs and vCPUs, of files.
pub(crate) fn left_out(problems: &Problems, config: &Config, host: &Host) -> Vec<Inspected> {
    let all = problems.all(config, host).into_iter();
    let of_host = all.chain(host.bpf_problem()).filter_map(|problem| {
        let detail = format!("{}: {}", problem.message, problem.detail);
        Some(LeftOut::new(
            format!("{SUBSYSTEM}/"),
            problem.reason?,
            detail,
        ))
    });
    let of_gaps = problems.gaps.iter().map(|gap| of_gap(gap, config, host));
    of_host.chain(of_gaps).map(Inspected::LeftOut).collect()
}

fn of_gap(gap: &Gap, config: &Config, host: &Host) -> LeftOut {
    let whys = SourceName::ALL.map(|source| {
        let is_used = config.sources.contains(&source);
        let why = if is_used {
            why_not(source, gap, host)
        } else {
            format!("not among `sources` (it takes {})", right(source))
        };
        format!("{}: {why}", source.word())
    });
    let detail = whys.join("; ");
    let directory = &gap.directory;
    match &gap.missing {
        Missing::Hidden(name) => LeftOut::new(format!("{directory}/{name}"), "lockdown", detail),
        Missing::Vcpu => {
            let detail = format!("all but what is in files: {detail}");
            LeftOut::new(format!("{directory}/"), "no_source", detail)
        }
        Missing::Vm => {
            let detail = format!("the VM's own statistics: {detail}");
            LeftOut::new(format!("{directory}/"), "no_source", detail)
        }
    }
}

/// What a source takes.
fn right(source: SourceName) -> &'static str {
    match source {
        SourceName::StatsFd => "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        #[cfg(feature = "bpf")]
        SourceName::Bpf => "CAP_BPF and CAP_PERFMON",
        SourceName::Debugfs => "root",
    }
}

/// Why a source that is used does not give it.
fn why_not(source: SourceName, gap: &Gap, host: &Host) -> String {
    match source {
        SourceName::StatsFd => why_no_descriptor(gap, host),
        #[cfg(feature = "bpf")]
        SourceName::Bpf => {
            let why = host.bpf.as_ref().and_then(|it| it.trouble.clone());
            why.unwrap_or_else(|| "its own descriptor is closed by all that held it".into())
        }
        SourceName::Debugfs => why_no_file(gap, host),
    }
}

fn why_no_descriptor(gap: &Gap, host: &Host) -> String {
    if let Some(why) = problems::why_none_is_taken(host) {
        return why;
    }
    let is_refused = gap.holder.is_none() && host.processes.refused > 0;
    if is_refused && !host.is_seen_by_bpf() {
        return "its process may not be looked at (it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)".into();
    }
    let error = gap.holder.and_then(|it| host.blocks.error_of(it));
    let error = error.and_then(problems::unreadable);
    error.unwrap_or_else(|| "none is kept open (QEMU keeps those of vCPUs from 8.1 on)".into())
}

fn why_no_file(gap: &Gap, host: &Host) -> String {
    let problem = host.debugfs.as_ref().and_then(|it| it.problem);
    match (&gap.missing, problem) {
        (_, Some(error)) => problems::debugfs_detail(error),
        (Missing::Hidden(_), None) => {
            "hidden by the kernel's lockdown, as all writable files (boot without it)".into()
        }
        (Missing::Vcpu, None) => "those of the VM are sums of its vCPUs".into(),
        (Missing::Vm, None) => "it has no directory".into(),
    }
}

/// A column of a part that gave no value.
pub(crate) fn no_value(
    part: &Part,
    column: usize,
    reason: &'static str,
    detail: &str,
) -> Inspected {
    let source = format!("{}/{}", part.directory.path, part.columns[column].file.name);
    Inspected::NoValue(LeftOut::new(source, reason, detail.to_owned()))
}

/// Why a file gave no value: the reason in a word, and in words.
pub(crate) fn why_unreadable(error: Errno) -> (&'static str, String) {
    let reason = match error {
        Errno::PERM => "lockdown",
        Errno::ACCESS => "permission",
        Errno::NOENT | Errno::NODEV => "gone",
        Errno::INVAL => "not_numeric",
        _ => "io",
    };
    (reason, error.to_string())
}

/// Why a block gave no value.
pub(crate) fn why_no_block(error: TakeError) -> String {
    problems::unreadable(error).unwrap_or_else(|| "its descriptor is closed by now".into())
}
