//! How long to wait before something is tried again.

use std::time::Duration;

/// The pause after so many failures before this one: doubled each time, up to the longest, and up to a half more or less,
/// so that the hosts of a fleet do not come at the same time.
pub(crate) fn backoff(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(longest).mul_f64(0.5 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_differs_by_a_half() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_mins(1));
        for (failures, middle) in [(0, 1.0), (1, 2.0), (5, 32.0), (6, 60.0), (u32::MAX, 60.0)] {
            let pauses = [(); 100].map(|()| backoff(first, longest, failures));
            let is_near = |it: &Duration| (middle / 2.0..=middle * 1.5).contains(&it.as_secs_f64());
            assert!(pauses.iter().all(is_near), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|it| *it != pauses[0]), "{failures}");
        }
    }
}
