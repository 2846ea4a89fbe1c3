//! What `inspect` asks of components: of receivers what they have found and leave out, of processors who says what.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::data::{Head, Series};

/// Where a receiver says what it has found and does not send, and why. Nothing of it is exported.
#[derive(Clone, Debug)]
pub struct Inspection {
    to: mpsc::Sender<Inspected>,
    reads: bool,
}

/// What a receiver has found, beside the series of the batches that it sends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Inspected {
    /// Series that its demand answers [`Want::Never`](crate::Want::Never) for: they are never read.
    Unwanted(Arc<Head>, Vec<Series>),
    /// What becomes no series.
    LeftOut(LeftOut),
    /// A series that it sends, and that gave no value.
    NoValue(LeftOut),
}

/// Something that gives no value, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// What it is, as the receiver names it; for files as [`Source::path`](crate::Source::path) does, a directory with all
    /// that is below it with a `/` at its end.
    pub source: String,
    /// The reason in a word, the same as that of a counter where there is one: `lockdown`.
    pub reason: &'static str,
    /// The reason in a sentence.
    pub detail: Cow<'static, str>,
}

impl LeftOut {
    /// Something of this name that gives no value.
    #[must_use]
    pub fn new(
        source: impl Into<String>,
        reason: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> LeftOut {
        LeftOut {
            source: source.into(),
            reason,
            detail: detail.into(),
        }
    }
}

impl Inspection {
    /// What is said goes to `to`; with `reads` the receiver makes one sweep, without it no value is read.
    #[must_use]
    pub fn new(to: mpsc::Sender<Inspected>, reads: bool) -> Inspection {
        Inspection { to, reads }
    }

    /// Whether one sweep is made. Otherwise nothing is read: the batches that are sent have no value.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Says something. Waits where much was said that nobody has heard yet.
    pub async fn say(&self, inspected: Inspected) {
        // Nobody listens any more: then nothing need be said.
        let _ = self.to.send(inspected).await;
    }
}

/// What a processor says of one series as it comes in: which of its rules drops it, and who knows what it is. Empty where it
/// does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What drops it: the path of the rule below the component, `actions.1.drop`, or a sentence.
    pub dropped_by: Option<Cow<'static, str>>,
    /// Who says its kind: the path of a rule, `.schema`, `kernel`, `name`, `catalog`, `mode`, or `nobody`.
    pub kind_from: Option<Cow<'static, str>>,
    /// Who says its unit, likewise.
    pub unit_from: Option<Cow<'static, str>>,
}
