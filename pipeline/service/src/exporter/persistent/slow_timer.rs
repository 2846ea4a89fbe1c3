//! A time-out of what nearly always is done long before.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all requests in turn: once begun it goes on until its time, whatever is done meanwhile, and only then
/// is it set to when the next one would be late. To begin one a request would wake the runtime for each.
#[derive(Default)]
pub(super) struct SlowTimer(Option<Pin<Box<Sleep>>>);

impl SlowTimer {
    /// Returns at this time, never without one. May be cancelled.
    pub(super) async fn wait_until(&mut self, at: Option<Instant>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        loop {
            let begun = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if begun.deadline() > at {
                begun.as_mut().reset(at);
            }
            begun.as_mut().await;
            self.0 = None;
            if at <= Instant::now() {
                return;
            }
        }
    }
}
