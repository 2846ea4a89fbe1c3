//! When what could not be sent is sent again.

use pipeline::Delivery;
use pipeline::config::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `retry_on_failure:` of an exporter, with the Collector's keys and defaults.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetryOnFailure {
    /// Whether a request that fails is sent again.
    pub(crate) enabled: bool,
    /// The time before the second attempt.
    pub(crate) initial_interval: Duration,
    /// Each time is longer or shorter by this part of it at the most, by chance; 0 to 1.
    pub(crate) randomization_factor: f64,
    /// How much longer the next time is.
    pub(crate) multiplier: f64,
    /// No time is longer.
    pub(crate) max_interval: Duration,
    /// After so long a request is given up; 0: never. Where it is not written: never where the queue coalesces or is on
    /// disk, and 300s elsewhere and with `--once`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_elapsed_time: Option<Duration>,
}

impl Default for RetryOnFailure {
    fn default() -> RetryOnFailure {
        RetryOnFailure {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: None,
        }
    }
}

impl RetryOnFailure {
    /// What holds for an exporter whose map says nothing of it.
    pub(crate) fn of(delivery: &Delivery) -> RetryOnFailure {
        RetryOnFailure {
            enabled: delivery.retry,
            ..RetryOnFailure::default()
        }
    }

    /// After which time a request is given up, where it is written, or else by whether nothing is lost while it is tried
    /// again; zero: never.
    pub(crate) fn max_elapsed_time(&self, is_kept: bool) -> std::time::Duration {
        let default = if is_kept { 0 } else { 300 };
        let written = self.max_elapsed_time.as_ref();
        written.map_or(std::time::Duration::from_secs(default), |it| it.0)
    }

    /// The keys that cannot be as they are, by the Collector's own rules
    /// ([configretry](https://github.com/open-telemetry/opentelemetry-collector/tree/main/config/configretry)).
    pub(crate) fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let max_elapsed = self.max_elapsed_time.filter(|it| !it.0.is_zero());
        let is_below = |other| self.enabled && max_elapsed.is_some_and(|it| it < other);
        let rules = [
            (
                !(0.0..=1.0).contains(&self.randomization_factor),
                "randomization_factor",
                "has to be from 0 to 1",
            ),
            (
                !(self.multiplier >= 0.0 && self.multiplier.is_finite()),
                "multiplier",
                "may not be negative",
            ),
            (
                is_below(self.initial_interval),
                "max_elapsed_time",
                "may not be below `initial_interval`, but for 0: for ever",
            ),
            (
                is_below(self.max_interval),
                "max_elapsed_time",
                "may not be below `max_interval`, but for 0: for ever",
            ),
        ];
        rules
            .into_iter()
            .filter(|(wrong, ..)| *wrong)
            .map(|(_, key, why)| (key, why))
            .collect()
    }
}
