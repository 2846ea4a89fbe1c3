//! The connections of a server: so many at the most.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use pipeline::telemetry::Counters;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::connection::{CONNECTIONS_CUT, TOO_MANY};

/// One more than there may be ends the oldest: who takes his time holds up nobody.
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    by_age: VecDeque<AbortHandle>,
    max: usize,
    counters: Counters,
}

impl Connections {
    pub(crate) fn new(max: NonZeroU16, counters: &Counters) -> Connections {
        Connections {
            tasks: JoinSet::new(),
            by_age: VecDeque::new(),
            max: max.get().into(),
            counters: counters.clone(),
        }
    }

    pub(crate) fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.by_age.retain(|it| !it.is_finished());
        if self.by_age.len() >= self.max
            && let Some(oldest) = self.by_age.pop_front()
        {
            oldest.abort();
            self.counters.record_for(CONNECTIONS_CUT, TOO_MANY, 1);
        }
        self.by_age.push_back(self.tasks.spawn(connection));
    }

    /// Waits for the end of one; for ever where there is none. May be cancelled.
    pub(crate) async fn ended(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives them some time to end.
    pub(crate) async fn finish(mut self, grace: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What takes longer is cut off.
        let _ = timeout(grace, all).await;
    }
}
