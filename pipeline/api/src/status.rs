//! How the program's components fare: what a health check tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::telemetry::bounded;

/// How the program and its components fare. Clones share it.
#[derive(Clone, Debug)]
pub struct Status {
    started: Instant,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    components: BTreeMap<(&'static str, Arc<str>), ComponentStatus>,
    ending_since: Option<Instant>,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            started: Instant::now(),
            shared: Arc::default(),
        }
    }
}

impl Status {
    /// When the program started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the end began, where it did.
    #[must_use]
    pub fn ending_since(&self) -> Option<Instant> {
        locked(&self.shared).ending_since
    }

    /// The end has begun: what is left is drained.
    pub fn end(&self) {
        locked(&self.shared)
            .ending_since
            .get_or_insert_with(Instant::now);
    }

    /// The status of a component by its kind (`receiver`) and its id. One that is new is starting.
    #[must_use]
    pub fn of(&self, kind: &'static str, id: &str) -> ComponentStatus {
        let mut shared = locked(&self.shared);
        let components = &mut shared.components;
        components.entry((kind, id.into())).or_default().clone()
    }
}

/// How one component fares. Clones share it.
#[derive(Clone, Debug)]
pub struct ComponentStatus(Arc<Mutex<ComponentState>>);

#[derive(Debug)]
struct ComponentState {
    condition: Condition,
    /// Its own task has failed: until that is tried again, no success counts.
    is_down: bool,
}

/// What a component does, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A receiver has not looked yet, an exporter or an extension has not started.
    Starting {
        /// Since when.
        since: Instant,
    },
    /// It works, or has nothing to do.
    Working {
        /// Since when.
        since: Instant,
    },
    /// Nothing has succeeded since its first failure.
    Failing {
        /// When that was.
        since: Instant,
        /// What it last failed with.
        error: String,
    },
}

impl Default for ComponentStatus {
    fn default() -> ComponentStatus {
        let since = Instant::now();
        ComponentStatus(Arc::new(Mutex::new(ComponentState {
            condition: Condition::Starting { since },
            is_down: false,
        })))
    }
}

impl ComponentStatus {
    /// What it does.
    #[must_use]
    pub fn condition(&self) -> Condition {
        locked(&self.0).condition.clone()
    }

    /// Something succeeded: a receiver has looked, the far side took points.
    pub fn succeeded(&self) {
        let mut state = locked(&self.0);
        if !state.is_down {
            state.work();
        }
    }

    /// Something failed.
    pub fn failed(&self, error: &str) {
        locked(&self.0).fail(error);
    }

    /// It has started, or starts again: what failed before is forgotten with the next success.
    pub fn up(&self) {
        let mut state = locked(&self.0);
        state.is_down = false;
        if matches!(state.condition, Condition::Starting { .. }) {
            state.work();
        }
    }

    /// It could not start, or its own task ended: nothing succeeds until it is [up](ComponentStatus::up) again.
    pub fn down(&self, error: &str) {
        let mut state = locked(&self.0);
        state.is_down = true;
        state.fail(error);
    }
}

impl ComponentState {
    fn work(&mut self) {
        if !matches!(self.condition, Condition::Working { .. }) {
            let since = Instant::now();
            self.condition = Condition::Working { since };
        }
    }

    fn fail(&mut self, text: &str) {
        let text = bounded(text);
        match &mut self.condition {
            Condition::Failing { error, .. } => {
                if *error != text {
                    *error = text.into_owned();
                }
            }
            condition => {
                let (since, error) = (Instant::now(), text.into_owned());
                *condition = Condition::Failing { since, error };
            }
        }
    }
}

/// A panic elsewhere leaves it as it is.
fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_fails_does_so_since_the_first_failure_until_the_first_success() {
        let second = Duration::from_secs(1);
        let status = Status::default().of("exporter", "otlp");
        status.up();
        let first = Instant::now();
        status.failed("a");
        tokio::time::advance(second).await;
        status.failed("b");
        let (since, error) = (first, "b".to_owned());
        assert_eq!(status.condition(), Condition::Failing { since, error });
        status.succeeded();
        let since = Instant::now();
        tokio::time::advance(second).await;
        status.succeeded();
        assert_eq!(status.condition(), Condition::Working { since });
    }

    #[tokio::test(start_paused = true)]
    async fn while_its_own_task_is_down_no_success_counts() {
        let status = ComponentStatus::default();
        status.down("the port is gone");
        let is_failing = || matches!(status.condition(), Condition::Failing { .. });
        status.succeeded();
        assert!(is_failing());
        status.up();
        assert!(is_failing(), "it may fail again at once");
        status.succeeded();
        assert!(!is_failing());
    }
}
