//! How long to wait before something is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// The pauses between attempts: doubled after each failure, up to the longest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Pauses {
    /// The pause after so many failures before this one, and up to a half more or less, so that the hosts of a fleet do not
    /// come at the same time.
    pub(crate) fn after(self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(failures));
        doubled.min(self.longest).mul_f64(0.5 + fastrand::f64())
    }
}

/// Attempts that failed, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Attempts {
    failures: u32,
    due: Instant,
}

impl Attempts {
    /// None yet: the first is due at once.
    pub(crate) fn new() -> Attempts {
        Attempts {
            failures: 0,
            due: Instant::now(),
        }
    }

    /// When the next one is due.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Whether none has failed.
    pub(crate) fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// One has failed: the next is due after a pause.
    pub(crate) fn failed(&mut self, pauses: Pauses) {
        self.due = Instant::now() + pauses.after(self.failures);
        self.failures += 1;
    }

    /// One has succeeded: the pause after the next failure is the first again. That of the last failure is not over for it.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_differs_by_a_half() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_mins(1));
        for (failures, middle) in [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (u32::MAX, 60.0)] {
            let pauses = [(); 100].map(|()| Pauses { first, longest }.after(failures));
            let is_near = |it: &Duration| (middle / 2.0..=middle * 1.5).contains(&it.as_secs_f64());
            assert!(pauses.iter().all(is_near), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|it| *it != pauses[0]), "{failures}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_attempt_is_due_after_a_pause_which_a_success_does_not_end() {
        let second = Duration::from_secs(1);
        let pauses = Pauses {
            first: 10 * second,
            longest: 60 * second,
        };
        let mut attempts = Attempts::new();
        assert!(attempts.is_due() && attempts.is_first());
        attempts.failed(pauses);
        assert!(!attempts.is_due() && !attempts.is_first());
        attempts.succeeded();
        assert!(!attempts.is_due() && attempts.is_first());
        tokio::time::advance(15 * second).await;
        assert!(attempts.is_due());
        attempts.failed(pauses);
        assert!(
            attempts.due() <= Instant::now() + 15 * second,
            "the first again"
        );
    }
}
