//! Processors of identities: a pure function of one series, called once for each series of a new table.

mod identities;
mod memo;
mod rewrite;

use crate::data::{Head, Series};
use crate::demand::Verdict;
use crate::inspection::Explanation;

pub use memo::Memo;
pub use rewrite::TableRewrite;

/// A processor of identities: one pure function (same in, same out, for ever), from which both what happens to a
/// sweep and what need not be read follow.
pub trait PerSeries: Send + Sync + 'static {
    /// Changes a series, or says that it is dropped. The rows of a table come in order, after [`PerSeries::head`].
    fn rewrite(&self, head: &Head, series: &mut Series) -> Verdict;

    /// Changes what a table's series have in common: once a table, before its series.
    fn head(&self, _head: &mut Head) {}

    /// Whether names or attributes may change, so that two series may end up the same: the later one is then dropped.
    fn renames(&self) -> bool {
        true
    }

    /// What it says of a series as it comes in, for `inspect`. The default says nothing.
    fn explain(&self, _head: &Head, _series: &Series) -> Explanation {
        Explanation::default()
    }

    /// Both in turn, for a series alone: what [`Demand::map`](crate::Demand::map) asks below for.
    fn apply(&self, head: &mut Head, series: &mut Series) -> Verdict {
        self.head(head);
        self.rewrite(head, series)
    }
}
