//! What the receivers found at their first look: one line for all, and a warning for each that has no series and should.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipeline::StartupReport;
use pipeline::telemetry::{RuleLog, bounded};

/// Collects start-up reports, and logs one line when each receiver has reported.
#[derive(Default)]
pub(crate) struct StartupReporter {
    receivers: usize,
    /// Those that are not optional: it is a warning where one has no series.
    required: BTreeSet<String>,
    sweeps: Vec<String>,
    missing: Vec<String>,
    /// Those that have matched nothing by then are named too.
    rules: RuleLog,
    is_logged: bool,
}

impl StartupReporter {
    pub(crate) fn new(
        receivers: usize,
        required: BTreeSet<String>,
        rules: RuleLog,
    ) -> StartupReporter {
        StartupReporter {
            receivers,
            required,
            rules,
            ..StartupReporter::default()
        }
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.is_logged
    }

    /// Adds a receiver's report; `None` when there will be no more.
    pub(crate) fn add(&mut self, report: Option<(Arc<str>, StartupReport)>) {
        match report {
            Some((_, StartupReport::Sweeps(text))) => self.sweeps.push(bounded(&text).into_owned()),
            Some((id, StartupReport::Missing(text))) => self.add_missing(&id, &text),
            None => self.log(),
        }
        if self.sweeps.len() + self.missing.len() >= self.receivers {
            self.log();
        }
    }

    fn add_missing(&mut self, component: &str, text: &str) {
        let text = bounded(text);
        if self.required.contains(component) {
            let detail = &*text;
            tracing::warn!(
                component,
                detail,
                "it has no series; `optional: true` allows that"
            );
        }
        self.missing.push(text.into_owned());
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
        tracing::info!(found, missing, "sweeping");
    }
}
