//! The program's sources, as they are measured.

use crate::reading::Reading;

/// The time between two sweeps, ms.
pub(super) const INTERVAL: u64 = 20;

/// Sweeps of a measurement, and measurements: a build that is not optimised tells no cost, it only has to work.
pub(super) const SWEEPS: u64 = if cfg!(debug_assertions) { 5 } else { 200 };
pub(super) const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 5 };

/// What gives the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    StatsFd,
    Bpf,
    /// All that the receiver `kvm` has.
    All,
    /// debugfs's files, by the receiver `statsfs`.
    Files,
}

impl Source {
    pub(super) fn name(self) -> &'static str {
        match self {
            Source::StatsFd => "`stats_fd`",
            Source::Bpf => "`bpf`",
            Source::All => "`stats_fd`, `bpf`, `debugfs`",
            Source::Files => "debugfs's files (`statsfs`)",
        }
    }

    /// Whether it gives the VMs' own statistics too, all of them.
    pub(super) fn has_vms(self) -> bool {
        matches!(self, Source::Bpf | Source::All)
    }

    /// All of it.
    pub(super) fn reading(self) -> Reading {
        let kvm = |sources| {
            format!(
                "sources: [{sources}], identity: [uuid, pid], rescan_interval: 1h, collection_interval: {INTERVAL}ms"
            )
        };
        let receiver = match self {
            Source::StatsFd => ("kvm", kvm("stats_fd")),
            Source::Bpf => ("kvm", kvm("bpf")),
            Source::All => ("kvm", kvm("stats_fd, bpf, debugfs")),
            Source::Files => {
                let layout = "root: 'debugfs:kvm', subsystem: kvm, layout: '{vm}/{vcpu}/{metric}'";
                (
                    "statsfs",
                    format!("{layout}, collection_interval: {INTERVAL}ms"),
                )
            }
        };
        Reading {
            receiver,
            actions: "",
            // A sweep has gone before the next one begins, as at usual intervals.
            batch: "{timeout: 5ms}",
            subsystems: 1,
        }
    }

    /// The same blocks, of each of which one value is taken: what reading them costs.
    pub(super) fn read_alone(self) -> Reading {
        Reading {
            actions: "{keep: {match: {name: {regex: '^kvm/(exits|remote_tlb_flush)$'}}}}, ",
            ..self.reading()
        }
    }
}
