//! One sweep: looks what is different, reads what is due, makes batches. It runs on a thread of its own, since a descriptor
//! that is closed last tears a VM down, and a process in the midst of an `exec` is waited for.

use std::time::Duration;

use pipeline::telemetry::{Counter, FoundTree, Warnings};
use pipeline::{Batch, Context, Demand, Inspected, StartupReport, Value};
use rustix::time::{ClockId, clock_gettime};

use crate::choice::{Known, choose};
use crate::columns::Columns;
use crate::config::{Config, Limits};
use crate::counters::{CPU_MICROSECONDS, STATISTICS_UNKNOWN, VCPUS, VMS};
use crate::host::{Host, Look};
use crate::inspected::{Purpose, left_out};
use crate::labels::labels;
use crate::part::PartReader;
use crate::problems::{Problems, refused_detail};
use crate::statistic::SUBSYSTEM;
use crate::tables::Tables;
use crate::taking::TakeError;
use crate::vm::Vm;
use crate::vms::FoundVms;

/// All that a sweep takes.
#[derive(Debug)]
pub(crate) struct Sweeper {
    config: Config,
    context: Context,
    warnings: Warnings,
    host: Host,
    columns: Columns,
    tables: Tables,
    reader: PartReader,
    /// What is wrong since the last change, and not said yet: what is being made is not whole, so that it is said once
    /// nothing changes any more. What the first look finds is said at once.
    problems: Option<Problems>,
    /// How many VMs and vCPUs there are.
    found: (usize, usize),
    is_first: bool,
    purpose: Purpose,
}

/// What a sweep gave.
#[derive(Debug)]
pub(crate) struct Swept {
    pub(crate) batches: Vec<Batch>,
    /// Of the first one: what was found.
    pub(crate) startup: Option<StartupReport>,
    /// For `inspect`: what is not among the batches, or has no value there.
    pub(crate) inspected: Vec<Inspected>,
}

impl Sweeper {
    /// Opens what finds VMs, and loads what reads them, on the thread that sweeps; nothing is read yet.
    pub(crate) fn new(
        config: Config,
        context: Context,
        demand: Demand,
        purpose: Purpose,
    ) -> Sweeper {
        let warnings = Warnings::new(context.counters.component());
        Sweeper {
            host: Host::new(&config, &context, &warnings, purpose),
            warnings,
            columns: Columns::new(config.normalize_units),
            tables: Tables::new(context.clone(), demand, purpose),
            reader: PartReader::new(context.counters.clone(), purpose),
            problems: None,
            found: (0, 0),
            is_first: true,
            purpose,
            config,
            context,
        }
    }

    /// Makes one sweep.
    pub(crate) fn sweep(&mut self, number: u64, tick: Duration) -> Swept {
        let cpu = cpu_microseconds();
        let look = self.host.look();
        if look != Look::Same || self.is_first {
            self.problems = Some(self.choose());
        }
        if look != Look::Other
            && !self.is_first
            && let Some(problems) = self.problems.take()
        {
            problems.warn(&self.warnings, &self.config, &self.host);
        }
        let (reader, sources) = (&mut self.reader, self.host.sources());
        let reads = self.purpose.reads();
        let batches = self.tables.sweep(number, tick, |part, columns, values| {
            if reads {
                reader.read(part, columns, sources, values);
            } else {
                values.resize(values.len() + columns.len(), Value::Absent);
            }
        });
        reader.finish();
        for (pid, error) in std::mem::take(&mut reader.failed) {
            // One that has ended is found so; where there are no descriptors, nothing is wrong with this one.
            if !matches!(error, TakeError::Gone | TakeError::Exhausted) {
                self.host.distrust(pid);
            }
        }
        let cpu = cpu_microseconds().saturating_sub(cpu);
        self.context.counters.record(CPU_MICROSECONDS, cpu);
        let startup = std::mem::take(&mut self.is_first).then(|| {
            if let Some(problems) = &self.problems {
                problems.warn(&self.warnings, &self.config, &self.host);
            }
            self.startup()
        });
        Swept {
            batches,
            startup,
            inspected: self.inspected(),
        }
    }

    /// What is not among the batches, or has no value there.
    fn inspected(&mut self) -> Vec<Inspected> {
        let Some(problems) = self.problems.as_ref().filter(|_| self.purpose.inspects()) else {
            return Vec::new();
        };
        let (config, host) = (&self.config, &self.host);
        let mut all = left_out(problems, config, host);
        all.extend(self.tables.take_unwanted());
        all.append(&mut self.reader.no_value);
        all
    }

    /// Chooses anew what is read from where. What is wrong with it.
    fn choose(&mut self) -> Problems {
        let FoundVms {
            mut vms,
            indistinct,
        } = self.host.vms();
        let beyond = cut(&self.config.limits, &mut vms);
        let (labels, shared) = labels(&vms, &self.config.identity);
        let (host, config) = (&self.host, &self.config);
        let known = Known {
            config,
            layouts: &host.layouts,
            debugfs: host.debugfs.as_ref(),
            #[cfg(feature = "bpf")]
            bpf: host.bpf.as_ref(),
        };
        let (parts, gaps) = choose(known, &mut self.columns, &vms, &labels);
        self.tables.set_parts(parts);
        let vcpus = vms.iter().map(|it| it.vcpus.len()).sum();
        self.found = (vms.len(), vcpus);
        let counters = &self.context.counters;
        counters.record(VMS, vms.len() as u64);
        counters.record(VCPUS, vcpus as u64);
        let unknown = self.host.layouts.unknown().len();
        counters.record(STATISTICS_UNKNOWN, unknown as u64);
        counters.record(Counter::SERIES, self.series() as u64);
        Problems {
            gaps,
            has_vms: !vms.is_empty(),
            indistinct,
            shared,
            beyond,
        }
    }

    fn series(&self) -> usize {
        self.tables.parts().map(|it| it.columns.len()).sum()
    }

    /// What the first look found.
    fn startup(&self) -> StartupReport {
        let (vms, vcpus) = self.found;
        let found = FoundTree([(SUBSYSTEM.into(), vms > 0)].into());
        self.context.rules.found(found);
        if vms == 0 {
            let refused = self.host.processes.refused;
            let why = match refused_detail(refused) {
                detail if refused > 0 && !self.host.is_seen_by_bpf() => detail,
                _ if self.host.bpf_problem().is_some() => "none is seen".to_owned(),
                _ => "none is there yet".to_owned(),
            };
            return StartupReport::Missing(format!("VMs ({why})"));
        }
        let series = self.series();
        StartupReport::Sweeps(format!("VMs: {vms}, vCPUs: {vcpus} ({series} series)"))
    }
}

/// Leaves out what is beyond the limits; the oldest stay. How many VMs and vCPUs that is.
fn cut(limits: &Limits, vms: &mut Vec<Vm>) -> (usize, usize) {
    let vms_beyond = vms.len().saturating_sub(limits.vms);
    vms.truncate(limits.vms);
    let (mut left, mut vcpus_beyond) = (limits.vcpus, 0);
    for vm in vms {
        let all = vm.vcpus.len();
        while vm.vcpus.len() > left {
            vm.vcpus.pop_last();
        }
        left -= vm.vcpus.len();
        vcpus_beyond += all - vm.vcpus.len();
        vm.is_cut |= all > vm.vcpus.len();
    }
    (vms_beyond, vcpus_beyond)
}

/// The CPU time of this thread, µs.
fn cpu_microseconds() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limits_the_oldest_stay() {
        let vm = |pid| Vm {
            key: (pid, 3),
            vcpus: (0..3).map(|number| (number, None)).collect(),
            ..Vm::default()
        };
        let mut vms = vec![vm(1), vm(2), vm(3)];
        let limits = Limits { vms: 2, vcpus: 4 };
        assert_eq!(cut(&limits, &mut vms), (1, 2));
        let left = vms.iter().map(|it| (it.key.0, it.vcpus.len(), it.is_cut));
        assert_eq!(left.collect::<Vec<_>>(), [(1, 3, false), (2, 1, true)]);
    }
}
