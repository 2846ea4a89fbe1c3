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

/// What the peer takes, as far as it is known.
#[derive(Debug)]
pub(crate) struct Steps {
    component: Arc<str>,
    /// From what is configured to none at all.
    ladder: &'static [Compression],
    /// The step that is next to be tried: the one that is known to be taken, or one below it while others fail.
    step: usize,
    /// The step of the last message that the peer took.
    held: usize,
    /// Since when it is not the topmost.
    since: Option<Instant>,
    /// When the peer was last believed to take more.
    raised: Option<Instant>,
    /// The connection that has taken a message of this step: what fails on it fails for another reason.
    settled_on: Option<u64>,
    /// What came of the step above.
    refusal: String,
    warned: Option<usize>,
}

impl Steps {
    pub(crate) fn new(component: &Arc<str>, configured: Compression) -> Steps {
        use Compression::{Gzip, None, Zstd};
        Steps {
            component: Arc::clone(component),
            ladder: match configured {
                Zstd => &[Zstd, Gzip, None],
                Gzip => &[Gzip, None],
                None => &[None],
            },
            step: 0,
            held: 0,
            since: Option::None,
            raised: Option::None,
            settled_on: Option::None,
            refusal: String::new(),
            warned: Option::None,
        }
    }

    pub(crate) fn compression(&self) -> Compression {
        self.ladder[self.step]
    }

    /// Whether it is known that this connection takes what is compressed so.
    pub(crate) fn is_settled(&self, connection: u64) -> bool {
        self.settled_on == Some(connection) && !self.is_over()
    }

    /// Whether the peer names what it takes, and this step is not among it.
    pub(crate) fn is_disowned(&self, answer: &MetadataMap) -> bool {
        self.named(answer).is_some_and(|best| best > self.step)
    }

    /// Goes back to the topmost step when it is time to.
    pub(crate) fn restart(&mut self) {
        if self.is_over() {
            (self.step, self.since) = (0, None);
        }
    }

    /// The peer took a message; `connection` is the one that it came over, where that is sure.
    pub(crate) fn accept(&mut self, connection: Option<u64>, answer: &MetadataMap) {
        (self.held, self.settled_on) = (self.step, connection);
        if self.step > 0 && self.warned.replace(self.step) != Some(self.step) {
            tracing::warn!(
                component = &*self.component,
                compression = name(self.compression()),
                detail = self.refusal,
                "the peer does not take what is compressed as configured; sending with less compression"
            );
        }
        if let Some(best) = self.named(answer) {
            let may_rise = self.raised.is_none_or(is_long_ago);
            if best > self.step || best < self.step && may_rise {
                if best < self.step {
                    self.raised = Some(Instant::now());
                }
                (self.step, self.settled_on) = (best, None);
                self.refusal = "by the `grpc-accept-encoding` of its answer".into();
            }
        }
        self.since = (self.step > 0).then(|| self.since.unwrap_or_else(Instant::now));
    }

    /// A message failed, maybe for its compression. Whether there is a lower step, which is to be tried at once; without one
    /// it was not the compression.
    pub(crate) fn step_down(&mut self, status: &Status) -> bool {
        let next = self.named(status.metadata()).unwrap_or_default();
        let next = next.max(self.step + 1);
        let is_lower = next < self.ladder.len();
        if is_lower {
            self.refusal = describe(status);
        }
        self.settled_on = None;
        self.step = if is_lower { next } else { self.held };
        is_lower
    }

    fn is_over(&self) -> bool {
        self.since.is_some_and(is_long_ago)
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
mod tests {
    use super::*;
    use Compression::{Gzip, None as Identity, Zstd};

    fn fresh() -> Steps {
        Steps::new(&"otlp".into(), Zstd)
    }

    fn naming(names: &'static str) -> MetadataMap {
        let mut answer = MetadataMap::new();
        answer.insert("grpc-accept-encoding", names.parse().unwrap());
        answer
    }

    fn silent() -> MetadataMap {
        MetadataMap::new()
    }

    fn internal() -> Status {
        Status::internal("what it is, nobody says")
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_holds_once_it_was_taken_and_the_top_is_tried_again_after_an_hour() {
        let mut steps = fresh();
        assert!(steps.step_down(&internal()));
        assert_eq!(steps.compression(), Gzip);
        steps.accept(Some(1), &silent());
        assert!(steps.is_settled(1) && !steps.is_settled(2));
        // Another connection: it may need less, and what holds is where it begins.
        steps.restart();
        assert_eq!(steps.compression(), Gzip);
        assert!(steps.step_down(&internal()));
        steps.accept(Some(2), &silent());
        assert_eq!(steps.compression(), Identity);
        tokio::time::advance(TRY_AGAIN_AFTER).await;
        assert!(!steps.is_settled(2));
        steps.restart();
        assert_eq!(steps.compression(), Zstd);
        steps.accept(Some(2), &silent());
        assert!(steps.is_settled(2));
        tokio::time::advance(TRY_AGAIN_AFTER).await;
        assert!(steps.is_settled(2), "there is nothing above it");
    }

    #[test]
    fn what_fails_at_each_step_leaves_all_as_it_was() {
        let mut steps = fresh();
        assert!(steps.step_down(&internal()) && steps.step_down(&internal()));
        assert!(!steps.step_down(&internal()), "there is no lower one");
        assert_eq!(steps.compression(), Zstd);
        steps.accept(Some(1), &silent());
        assert!(steps.is_settled(1) && steps.since.is_none());
        // The same below a step that holds.
        assert!(steps.step_down(&internal()));
        steps.accept(Some(1), &silent());
        assert!(steps.step_down(&internal()) && !steps.step_down(&internal()));
        assert_eq!(steps.compression(), Gzip);
    }

    #[test]
    fn a_peer_that_ends_at_zstd_gets_gzip_when_it_is_there_again() {
        let mut steps = fresh();
        assert!(steps.step_down(&Status::unavailable("the connection ended")));
        // Nobody is there to take it, and it is tried again later.
        steps.restart();
        assert_eq!(steps.compression(), Gzip);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_peer_names_is_heeded_and_believed_once_an_hour_where_it_is_more() {
        let mut steps = fresh();
        let mut status = Status::unimplemented("");
        *status.metadata_mut() = naming("identity");
        assert!(steps.is_disowned(status.metadata()));
        assert!(steps.step_down(&status));
        assert_eq!(steps.compression(), Identity, "gzip is not tried");
        steps.accept(Some(1), &naming("identity"));
        assert!(steps.is_settled(1));
        // It, or another one, knows more by now.
        steps.accept(Some(2), &naming("identity, deflate, gzip,zstd"));
        assert_eq!(steps.compression(), Zstd);
        assert!(!steps.is_settled(2), "it has not shown it yet");
        // It does not.
        assert!(steps.step_down(&internal()));
        steps.accept(Some(2), &naming("zstd, gzip"));
        assert!(steps.is_settled(2));
        assert_eq!(steps.compression(), Gzip);
        // It took what it does not name: maybe it only passes it on.
        let mut steps = fresh();
        steps.accept(Some(1), &naming("identity,deflate,gzip"));
        assert_eq!(steps.compression(), Gzip);
        assert!(!steps.is_settled(1));
    }

    #[test]
    fn the_configured_compression_is_the_most() {
        let mut steps = Steps::new(&"otlp".into(), Gzip);
        steps.accept(Some(1), &naming("zstd,gzip"));
        assert_eq!(steps.compression(), Gzip);
        assert!(steps.step_down(&internal()));
        assert!(!steps.step_down(&internal()));
        let mut steps = Steps::new(&"otlp".into(), Identity);
        assert!(!steps.step_down(&internal()));
    }
}
