//! What the receivers found at their first look: one line for all.

use pipeline::StartupReport;
use pipeline::telemetry::{RuleLog, bounded};

/// Collects start-up reports, and logs one line when each receiver has reported.
#[derive(Default)]
pub(crate) struct StartupReporter {
    /// What runs is the embedded default, which looks for more than a kernel need have.
    is_default: bool,
    receivers: usize,
    sweeps: Vec<String>,
    missing: Vec<String>,
    /// Those that have matched nothing by then are named too.
    rules: RuleLog,
    is_logged: bool,
}

impl StartupReporter {
    pub(crate) fn new(receivers: usize, is_default: bool, rules: RuleLog) -> StartupReporter {
        StartupReporter {
            is_default,
            receivers,
            rules,
            ..StartupReporter::default()
        }
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Adds a report; `None` when there will be no more.
    pub(crate) fn add(&mut self, report: Option<StartupReport>) {
        match report {
            Some(StartupReport::Sweeps(text)) => self.sweeps.push(bounded(&text).into_owned()),
            Some(StartupReport::Missing(text)) => self.missing.push(bounded(&text).into_owned()),
            None => self.log(),
        }
        if self.sweeps.len() + self.missing.len() >= self.receivers {
            self.log();
        }
    }

    /// Logs what was reported, once.
    pub(crate) fn log(&mut self) {
        if std::mem::replace(&mut self.is_logged, true)
            || (self.sweeps.is_empty() && self.missing.is_empty())
        {
            return;
        }
        self.log_sweeps();
        self.rules.log(self.receivers);
    }

    fn log_sweeps(&self) {
        let found = if self.sweeps.is_empty() {
            "nothing".into()
        } else {
            self.sweeps.join("; ")
        };
        let missing = (!self.missing.is_empty()).then(|| self.missing.join("; "));
        if missing.is_none() || (self.is_default && !self.sweeps.is_empty()) {
            tracing::info!(found, missing, "sweeping");
        } else {
            tracing::warn!(
                found,
                missing,
                "sweeping, but not all that the configuration names is there"
            );
        }
    }
}
