//! What the program tells of itself: all that it counts, read-only.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{CounterValue, Counters};
use crate::clock::now_unix_nano;

/// `receiver`, `processor`, `exporter` or `extension`; or `pipeline`, for the stages between them.
pub type ComponentKind = &'static str;

/// All that the program counts, read-only, and of whom. Clones are the same.
#[derive(Clone, Debug)]
pub struct Counted {
    counters: Counters,
    components: Arc<[(ComponentKind, Arc<str>)]>,
    started: Instant,
    started_unix_nano: u64,
}

impl Counted {
    /// What is counted there, from now on.
    #[must_use]
    pub fn new(counters: Counters) -> Counted {
        Counted {
            counters,
            components: Arc::default(),
            started: Instant::now(),
            started_unix_nano: now_unix_nano(),
        }
    }

    /// The same, by these components: their kinds and ids.
    #[must_use]
    pub fn with_components(self, components: Vec<(ComponentKind, Arc<str>)>) -> Counted {
        let components = components.into();
        Counted { components, ..self }
    }

    /// The components, each once.
    #[must_use]
    pub fn components(&self) -> &[(ComponentKind, Arc<str>)] {
        &self.components
    }

    /// Calls `visit` with each count, sorted by component, counter and reason; nothing may be counted within.
    pub fn visit(&self, visit: impl FnMut(CounterValue)) {
        self.counters.visit(visit);
    }

    /// How long the program has run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the program started, unix ns: all counts began at 0 then.
    #[must_use]
    pub fn started_unix_nano(&self) -> u64 {
        self.started_unix_nano
    }
}
