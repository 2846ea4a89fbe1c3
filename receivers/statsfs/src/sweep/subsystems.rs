//! What is remembered of each subsystem: its priority, its counters, what a sweep of it costs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pipeline::{Context, Counters};

use super::budget::{Load, stretches};
use crate::plan::Plan;
use crate::read::ReadCost;

/// All subsystems that were swept.
pub(crate) struct Subsystems {
    plan: Arc<Plan>,
    context: Context,
    known: HashMap<Arc<str>, Known>,
    /// CPU time of the last check of the tree.
    pub(crate) scan_cpu: Duration,
    said_over_budget: bool,
}

struct Known {
    counters: Counters,
    priority: i32,
    /// CPU time of its last sweep.
    cpu: Duration,
    /// The number of its last sweep.
    last: Option<u64>,
    rests: bool,
}

impl Subsystems {
    pub(crate) fn new(plan: Arc<Plan>, context: Context) -> Subsystems {
        Subsystems {
            plan,
            context,
            known: HashMap::new(),
            scan_cpu: Duration::ZERO,
            said_over_budget: false,
        }
    }

    pub(crate) fn priority(&self, subsystem: &str) -> i32 {
        self.known.get(subsystem).map_or(0, |known| known.priority)
    }

    /// The number of its last sweep.
    pub(crate) fn last(&self, subsystem: &str) -> Option<u64> {
        self.known.get(subsystem)?.last
    }

    pub(crate) fn begins(&mut self, subsystem: &str, number: u64) {
        if let Some(known) = self.known.get_mut(subsystem) {
            known.last = Some(number);
        }
    }

    pub(crate) fn ends(&mut self, subsystem: &str, cpu: Duration) {
        if let Some(known) = self.known.get_mut(subsystem) {
            known.cpu = cpu;
        }
    }

    /// Nothing is left of it: its counts go on as the receiver's own.
    pub(crate) fn forget(&mut self, subsystem: &str) {
        if let Some(known) = self.known.remove(subsystem) {
            known.counters.end(&self.context.counters);
        }
    }

    /// Sets whether it rests; true if that is news.
    pub(crate) fn rests(&mut self, subsystem: &str, rests: bool) -> bool {
        let known = self.known.get_mut(subsystem);
        known.is_some_and(|known| std::mem::replace(&mut known.rests, rests) != rests)
    }

    /// Counts a sweep that is not made.
    pub(crate) fn skip(&self, subsystem: &str, reason: &'static str) {
        if let Some(known) = self.known.get(subsystem) {
            known.counters.add("subsystem_sweeps_skipped", reason, 1);
        }
    }

    /// Counts what a reading cost.
    pub(crate) fn count(&self, subsystem: &str, cost: &ReadCost, failures: usize) {
        let Some(Known { counters, .. }) = self.known.get(subsystem) else {
            return;
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        counters.add("files_read", "", cost.files);
        counters.add("syscalls_made", "", cost.syscalls);
        counters.add("bytes_read", "", cost.bytes);
        counters.add("cpu_microseconds", "", micros(cost.cpu));
        counters.add("values_lossy", "beyond_i64", cost.lossy);
        counters.add("reads_failed", "", failures as u64);
        counters.most("longest_read_microseconds", micros(cost.longest));
    }

    /// Every how many turns each of these is swept, by the budget; `interval` is how often one is wanted.
    pub(crate) fn stretches(
        &mut self,
        names: &[Arc<str>],
        interval: impl Fn(&str) -> Duration,
    ) -> Vec<u32> {
        for name in names {
            if !self.known.contains_key(name) {
                let component = format!("{} {name}", self.context.id);
                let known = Known {
                    counters: self.context.counters.of(&component),
                    priority: self.plan.priority(name),
                    cpu: Duration::ZERO,
                    last: None,
                    rests: false,
                };
                self.known.insert(Arc::clone(name), known);
            }
        }
        if self.plan.max_cpu_percent == 0 {
            return vec![1; names.len()];
        }
        let load = |name: &Arc<str>| Load {
            priority: self.known[name].priority,
            cpu: self.known[name].cpu,
            interval: interval(name),
        };
        let loads: Vec<Load> = names.iter().map(load).collect();
        let scanning = self.scan_cpu.as_secs_f64() / self.plan.interval.as_secs_f64();
        let budget = f64::from(self.plan.max_cpu_percent) / 100.0 - scanning;
        let made = stretches(&loads, budget);
        let less = names.iter().zip(&made).filter(|(_, stretch)| **stretch > 1);
        let less: Vec<&str> = less.map(|(name, _)| &**name).collect();
        if !less.is_empty() && !std::mem::replace(&mut self.said_over_budget, true) {
            tracing::warn!(
                "reading would take more than `max_cpu_percent: {}`; swept less often: {}",
                self.plan.max_cpu_percent,
                less.join(", ")
            );
        }
        made
    }
}
