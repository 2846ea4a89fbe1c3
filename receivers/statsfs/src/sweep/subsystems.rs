//! The state of each subsystem: its priority, its counters, and the cost of its last sweep.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::Context;
use pipeline::telemetry::{Counter, Counters, bounded};

use super::budget::{Load, skip_factors};
use crate::counters::{
    BYTES_READ, CPU_MICROSECONDS, LONGEST_READ_MICROSECONDS, READS_FAILED,
    SUBSYSTEM_SWEEPS_SKIPPED, SYSCALLS_MADE, VALUES_ABSENT, VALUES_LOSSY,
};
use crate::plan::Plan;
use crate::read::Readings;

/// All subsystems that were swept.
pub(crate) struct Subsystems {
    plan: Arc<Plan>,
    context: Context,
    states: HashMap<Arc<str>, SubsystemState>,
    /// CPU time of the last scan of the tree.
    pub(crate) scan_cpu: Duration,
    warned_over_budget: bool,
}

struct SubsystemState {
    counters: Counters,
    priority: i32,
    /// CPU time of its last sweep.
    sweep_cpu: Duration,
    /// The number of its last sweep.
    last_sweep: Option<u64>,
    suspended: bool,
}

impl Subsystems {
    pub(crate) fn new(plan: Arc<Plan>, context: Context) -> Subsystems {
        // Where there is no subsystem, that is said too.
        context.counters.record(Counter::SERIES, 0);
        Subsystems {
            plan,
            context,
            states: HashMap::new(),
            scan_cpu: Duration::ZERO,
            warned_over_budget: false,
        }
    }

    fn add(&mut self, name: &Arc<str>) {
        if self.states.contains_key(name) {
            return;
        }
        let component = format!("{} {name}", self.context.id);
        let state = SubsystemState {
            counters: self.context.counters.of(&component),
            priority: self.plan.priority(name),
            sweep_cpu: Duration::ZERO,
            last_sweep: None,
            suspended: false,
        };
        self.states.insert(Arc::clone(name), state);
    }

    /// Counts the series that there are now, by subsystem.
    pub(crate) fn count_series(&mut self, series: &[(Arc<str>, usize)]) {
        for state in self.states.values() {
            state.counters.record(Counter::SERIES, 0);
        }
        for (name, count) in series {
            self.add(name);
            let counters = &self.states[name].counters;
            counters.record(Counter::SERIES, *count as u64);
        }
    }

    pub(crate) fn priority(&self, subsystem: &str) -> i32 {
        self.states.get(subsystem).map_or(0, |state| state.priority)
    }

    /// The number of its last sweep.
    pub(crate) fn last_sweep(&self, subsystem: &str) -> Option<u64> {
        self.states.get(subsystem)?.last_sweep
    }

    pub(crate) fn record_start(&mut self, subsystem: &str, number: u64) {
        if let Some(state) = self.states.get_mut(subsystem) {
            state.last_sweep = Some(number);
        }
    }

    pub(crate) fn record_end(&mut self, subsystem: &str, sweep_cpu: Duration) {
        if let Some(state) = self.states.get_mut(subsystem) {
            state.sweep_cpu = sweep_cpu;
        }
    }

    /// The subsystem is gone: its counts are added to the receiver's own.
    pub(crate) fn remove(&mut self, subsystem: &str) {
        if let Some(state) = self.states.remove(subsystem) {
            state.counters.end(&self.context.counters);
        }
    }

    /// Sets whether it is suspended; returns whether this has changed.
    pub(crate) fn set_suspended(&mut self, subsystem: &str, suspended: bool) -> bool {
        let state = self.states.get_mut(subsystem);
        state.is_some_and(|state| std::mem::replace(&mut state.suspended, suspended) != suspended)
    }

    /// Counts a sweep that is skipped.
    pub(crate) fn count_skipped(&self, subsystem: &str, reason: &'static str) {
        if let Some(state) = self.states.get(subsystem) {
            let counters = &state.counters;
            counters.record_for(SUBSYSTEM_SWEEPS_SKIPPED, reason, 1);
        }
    }

    /// Counts what a job cost.
    pub(crate) fn count_read(&self, subsystem: &str, readings: &Readings) {
        let Some(SubsystemState { counters, .. }) = self.states.get(subsystem) else {
            return;
        };
        let cost = &readings.cost;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        counters.record(Counter::FILES_READ, cost.files);
        counters.record(SYSCALLS_MADE, cost.syscalls);
        counters.record(BYTES_READ, cost.bytes);
        counters.record(CPU_MICROSECONDS, micros(cost.cpu));
        counters.record_for(VALUES_LOSSY, "beyond_i64", cost.lossy);
        counters.record(VALUES_ABSENT, readings.absent.len() as u64);
        counters.record(READS_FAILED, readings.failures.len() as u64);
        counters.record(LONGEST_READ_MICROSECONDS, micros(cost.longest));
    }

    /// The skip factor of each subsystem, by the budget; `interval` is how often a subsystem is wanted.
    pub(crate) fn skip_factors(
        &mut self,
        names: &[Arc<str>],
        interval: impl Fn(&str) -> Duration,
    ) -> Vec<u32> {
        names.iter().for_each(|name| self.add(name));
        if self.plan.max_cpu_percent == 0 {
            return vec![1; names.len()];
        }
        let load = |name: &Arc<str>| Load {
            priority: self.states[name].priority,
            cpu: self.states[name].sweep_cpu,
            interval: interval(name),
        };
        let loads: Vec<Load> = names.iter().map(load).collect();
        let scanning = self.scan_cpu.as_secs_f64() / self.plan.interval.as_secs_f64();
        let budget = f64::from(self.plan.max_cpu_percent) / 100.0 - scanning;
        let skip_factors = skip_factors(&loads, budget);
        let less = names
            .iter()
            .zip(&skip_factors)
            .filter(|(_, skip_factor)| **skip_factor > 1);
        let less: Vec<&str> = less.map(|(name, _)| &**name).collect();
        if !less.is_empty() && !std::mem::replace(&mut self.warned_over_budget, true) {
            tracing::warn!(
                component = &*self.context.id,
                max_cpu_percent = self.plan.max_cpu_percent,
                subsystems = &*bounded(&less.join(", ")),
                "reading would take more than `max_cpu_percent`; some subsystems are swept less often"
            );
        }
        skip_factors
    }
}
