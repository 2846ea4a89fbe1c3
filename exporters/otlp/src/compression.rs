//! Which compression the peer takes: what is configured, or less.
//!
//! gRPC has UNIMPLEMENTED for what a peer cannot decompress, and `grpc-accept-encoding` to say what it can
//! ([compression](https://github.com/grpc/grpc/blob/master/doc/compression.md)). In the field there are INTERNAL (gRPC's C
//! core, to zstd), streams that are reset, connections that are closed, and servers that end.

use std::sync::Arc;
use std::time::Duration;

use pipeline_grpc::{Compression, Connection, Failure};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::answer::describe;

/// After this time what is configured is tried again: the peer may know it by then. And a peer is believed only once in it
/// that it takes more than it seems to.
const TRY_AGAIN_AFTER: Duration = Duration::from_hours(1);

/// How often in a row a step has to fail before the next search begins below it, or one goes on below it that has lost its
/// connection: a peer that restarts fails once.
const ENOUGH: u8 = 2;

/// What the peer takes, as far as it is known.
#[derive(Debug)]
pub(crate) struct Steps {
    component: Arc<str>,
    /// From what is configured to none at all.
    ladder: &'static [Compression],
    /// The step of the last message that the peer took: others go with it too.
    held: usize,
    /// Whether it took one, or there is nothing to find out.
    is_known: bool,
    /// Since when it is not the topmost, or when that was last tried.
    since: Option<Instant>,
    /// When the peer was last believed to take more.
    raised: Option<Instant>,
    /// The connection that has taken a message of this step: what fails on it fails for another reason.
    settled_on: Option<u64>,
    /// How often in a row a message failed at each step, maybe for it.
    failures: [u8; 3],
    /// What came of the step above.
    refusal: String,
    warned: Option<usize>,
}

impl Steps {
    pub(crate) fn new(component: &Arc<str>, configured: Compression) -> Steps {
        use Compression::{Gzip, None, Zstd};
        let ladder: &[_] = match configured {
            Zstd => &[Zstd, Gzip, None],
            Gzip => &[Gzip, None],
            None => &[None],
        };
        Steps {
            component: Arc::clone(component),
            ladder,
            held: 0,
            is_known: ladder.len() == 1,
            since: Option::None,
            raised: Option::None,
            settled_on: Option::None,
            failures: [0; 3],
            refusal: String::new(),
            warned: Option::None,
        }
    }

    /// What to send with, unless it has to be found out.
    pub(crate) fn known(&self) -> Option<Compression> {
        self.is_known.then_some(self.ladder[self.held])
    }

    /// Whether it is time to try the topmost step again.
    pub(crate) fn is_due(&self) -> bool {
        self.since.is_some_and(is_long_ago)
    }

    /// Where a search begins: with what holds, or the topmost step where that is due, or below it where that failed often
    /// enough. A search that comes to nothing (the peer is away, or does not answer in time) leaves what holds.
    pub(crate) fn begin(&mut self) -> Compression {
        let mut first = self.held;
        if self.is_due() {
            first = 0;
            self.since = Some(Instant::now());
            self.failures.fill(0);
        }
        let mut steps = first..self.ladder.len();
        let begin = steps.find(|step| self.failures[*step] < ENOUGH);
        self.ladder[begin.unwrap_or(first)]
    }

    /// In a search the peer took a message; `connection` is the one that it came over, where that is sure.
    pub(crate) fn accept(
        &mut self,
        compression: Compression,
        connection: Option<u64>,
        answer: &MetadataMap,
    ) {
        self.held = self.step(compression);
        (self.is_known, self.settled_on) = (true, connection);
        self.failures[self.held..].fill(0);
        if self.held > 0 && self.warned.replace(self.held) != Some(self.held) {
            tracing::warn!(
                component = &*self.component,
                compression = name(compression),
                detail = self.refusal,
                "the peer does not take what is compressed as configured; sending with less compression"
            );
        }
        if let Some(best) = self.named(answer) {
            let may_rise = self.raised.is_none_or(is_long_ago);
            if best > self.held || best < self.held && may_rise {
                if best < self.held {
                    self.raised = Some(Instant::now());
                }
                (self.held, self.settled_on) = (best, None);
                self.failures.fill(0);
                self.refusal = "by the `grpc-accept-encoding` of its answer".into();
            }
        }
        self.since = (self.held > 0).then(|| self.since.unwrap_or_else(Instant::now));
    }

    /// The peer took a message that was sent with what is known.
    pub(crate) fn confirm(
        &mut self,
        compression: Compression,
        connection: u64,
        answer: &MetadataMap,
    ) {
        let is_news = self.settled_on != Some(connection);
        if is_news && self.known() == Some(compression) {
            self.accept(compression, Some(connection), answer);
        }
    }

    /// Whether a message that was sent with what was known may have failed for it. One whose connection has ended, which
    /// had taken others, is tried again in any case.
    pub(crate) fn is_in_doubt(
        &self,
        compression: Compression,
        connection: u64,
        is_same: bool,
        status: &Status,
    ) -> bool {
        let step = self.step(compression);
        let is_settled = self.settled_on == Some(connection) && self.held == step;
        let is_disowned = self.named(status.metadata()).is_some_and(|it| it > step);
        let was_elsewhere = !is_same && Failure::of(status) == Failure::Answered;
        let is_least = step + 1 == self.ladder.len();
        !is_least && (!is_settled || is_disowned || was_elsewhere)
    }

    /// In a search a message failed, maybe for its compression. What is to be tried at once, if anything; without it, it was
    /// not the compression.
    pub(crate) fn fail(
        &mut self,
        compression: Compression,
        has_ended: bool,
        status: &Status,
    ) -> Option<Compression> {
        self.settled_on = None;
        let step = self.step(compression);
        let next = self.named(status.metadata()).unwrap_or_default();
        let Some(next) = self.ladder.get(next.max(step + 1)) else {
            self.failures.fill(0);
            return None;
        };
        self.failures[step] += 1;
        if has_ended && self.failures[step] < ENOUGH {
            return Some(compression);
        }
        self.refusal = describe(status);
        Some(*next)
    }

    fn step(&self, compression: Compression) -> usize {
        let step = self.ladder.iter().position(|it| *it == compression);
        step.unwrap_or(self.ladder.len() - 1)
    }

    /// The best step that the peer says it takes, if it says so.
    fn named(&self, answer: &MetadataMap) -> Option<usize> {
        let lines = answer.get_all("grpc-accept-encoding");
        let lines: Vec<&str> = lines.iter().filter_map(|it| it.to_str().ok()).collect();
        if lines.is_empty() {
            return None;
        }
        let is_named = |step: &Compression| {
            let names = lines.iter().flat_map(|it| it.split(','));
            *step == Compression::None || names.map(str::trim).any(|it| it == name(*step))
        };
        self.ladder.iter().position(is_named)
    }
}

/// Whether a peer that cannot read what is compressed may have failed a message so.
pub(crate) fn is_suspect(status: &Status, connection: &Connection) -> bool {
    match Failure::of(status) {
        Failure::Answered => matches!(
            status.code(),
            Code::Unimplemented | Code::Internal | Code::Unknown
        ),
        Failure::Unanswered => connection.is_answered(),
        Failure::NotTaken | Failure::CutOff => false,
    }
}

fn is_long_ago(since: Instant) -> bool {
    since.elapsed() >= TRY_AGAIN_AFTER
}

fn name(compression: Compression) -> &'static str {
    match compression {
        Compression::Zstd => "zstd",
        Compression::Gzip => "gzip",
        Compression::None => "none",
    }
}

#[cfg(test)]
mod tests;
