//! What is said for `inspect`.

use std::mem::take;
use std::sync::Arc;
use std::time::Instant;

use pipeline::{Inspected, Inspection, LeftOut, Source};

use super::{StatsfsTask, TOO_MANY_SERIES};
use crate::discovery::{DOES_NOT_ANSWER, DemandedChanges, head_of, is_wanted};

/// Who is told what becomes no series, and what is still to be said.
pub(super) struct Findings {
    inspection: Option<Inspection>,
    unsaid: Vec<Inspected>,
}

impl Findings {
    pub(super) fn new(inspection: Option<Inspection>) -> Findings {
        let unsaid = Vec::new();
        Findings { inspection, unsaid }
    }

    /// Whether files are only looked for, and none is read.
    pub(super) fn is_look(&self) -> bool {
        self.inspection.as_ref().is_some_and(|it| !it.reads())
    }

    fn left_out(&mut self, left_out: LeftOut) {
        if self.inspection.is_some() {
            self.unsaid.push(Inspected::LeftOut(left_out));
        }
    }
}

impl StatsfsTask {
    /// Tells of what a scan has found and leaves out, before the changes are applied.
    pub(super) fn tell_left_out(&mut self, changes: &mut DemandedChanges) {
        if !self.plan.inspects {
            return;
        }
        let left_out = take(&mut changes.left_out).into_iter();
        self.findings
            .unsaid
            .extend(left_out.map(Inspected::LeftOut));
        let unwanted = take(&mut changes.unwanted).into_iter();
        let unwanted = unwanted.map(|(head, series)| Inspected::Unwanted(head, series));
        self.findings.unsaid.extend(unwanted);
        // What was wanted, and is not any more: that of a sum, once it is known as one.
        let changed = changes
            .changed
            .iter()
            .filter(|(directory_ref, file, wants)| {
                let tables = &self.sweeps.tables;
                !is_wanted(wants) && tables.has_row(directory_ref.directory, &file.file)
            });
        let unwanted = changed.map(|(directory_ref, file, _)| {
            let head = head_of(&self.context, &directory_ref.subsystem);
            Inspected::Unwanted(Arc::new(head), vec![file.series.clone()])
        });
        self.findings.unsaid.extend(unwanted);
    }

    /// Tells of a file beyond `limits.series`.
    pub(super) fn tell_beyond_limit(&mut self, source: &Source) {
        let left_out = LeftOut::new(source.path(), "limit", TOO_MANY_SERIES);
        self.findings.left_out(left_out);
    }

    /// Tells of directories that do not answer.
    pub(super) fn tell_given_up(&mut self) {
        for path in take(&mut self.scanner.given_up) {
            let left_out = LeftOut::new(format!("{path}/"), "stuck", DOES_NOT_ANSWER);
            self.findings.left_out(left_out);
        }
    }

    /// Says what was found since this was last called.
    pub(super) async fn say(&mut self) {
        let Some(inspection) = &self.findings.inspection else {
            return;
        };
        let no_value = take(&mut self.sweeps.no_value).into_iter();
        self.findings
            .unsaid
            .extend(no_value.map(Inspected::NoValue));
        let saying = Instant::now();
        for inspected in self.findings.unsaid.drain(..) {
            inspection.say(inspected).await;
        }
        self.sweeps.extend_deadlines(saying.elapsed());
    }
}
