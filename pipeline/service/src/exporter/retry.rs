//! A request is sent as often as it takes and is allowed.

use std::time::Duration;

use pipeline::telemetry::DropReason;
use pipeline::{Batch, BoxError, ExportError, points, with_causes};
use tokio::time::{Instant, sleep};

use super::accounting::Accounting;
use super::timeout::TimeoutSender;
use crate::config::{RetryOnFailure, Sandbox};
use crate::processor::Request;
use crate::sandbox::explained;

const NOT_RETRIED: DropReason = DropReason::loss("not_retried");
const MAX_ELAPSED_TIME: DropReason = DropReason::loss("max_elapsed_time");
const PERMANENT: DropReason = DropReason::loss("permanent");

/// Sends a request until it is sent or given up, with an exponential back-off.
pub(super) struct RetrySender {
    next: TimeoutSender,
    retry: RetryOnFailure,
    /// Zero: for ever.
    max_elapsed_time: Duration,
    accounting: Accounting,
    sandbox: Sandbox,
}

/// What an attempt leaves to do.
enum Attempt {
    /// Nothing: all points are accounted for.
    Done,
    /// Nothing, for good: nobody reads any more what the exporter writes.
    Closed,
    /// The rest, at once: a part is accounted for, and the rest has all the time that a request has.
    Rest(Vec<Batch>),
    /// The request, later.
    Failed(Failure),
}

/// How many batches of a request are tried at a time.
struct Together {
    /// Whether the request was joined of several.
    is_joined: bool,
    /// Fewer after each attempt that took too long.
    in_time: usize,
    /// Fewer after each that was refused for good, and more again after each that was taken.
    not_refused: usize,
}

/// Why an attempt failed, and how long the far side asks to wait.
struct Failure {
    error: BoxError,
    after: Option<Duration>,
}

impl RetrySender {
    pub(super) fn new(
        next: TimeoutSender,
        retry: RetryOnFailure,
        max_elapsed_time: Duration,
        accounting: Accounting,
        sandbox: Sandbox,
    ) -> RetrySender {
        RetrySender {
            next,
            retry,
            max_elapsed_time,
            accounting,
            sandbox,
        }
    }

    /// Sends a request, be it joined of several. May be cancelled: what is not accounted for then is left in `request`.
    /// Whether the exporter goes on, rather than being closed for good.
    pub(super) async fn send(&self, request: &mut Request, is_joined: bool) -> bool {
        let retry = &self.retry;
        let (mut started, mut interval) = (Instant::now(), retry.initial_interval.0);
        let mut together = Together {
            is_joined,
            in_time: usize::MAX,
            not_refused: usize::MAX,
        };
        loop {
            let Failure { error, after } = match self.attempt(request, &mut together).await {
                Ok(true) if request.is_empty() => return true,
                Ok(true) => {
                    (started, interval) = (Instant::now(), retry.initial_interval.0);
                    continue;
                }
                Ok(false) => return false,
                Err(failure) => failure,
            };
            let error = explained(with_causes(error.to_string(), &*error), self.sandbox);
            let left = points(request);
            if !retry.enabled {
                let message = "a request failed, and `retry_on_failure` is off; dropped";
                self.accounting.given_up(left, NOT_RETRIED, message, &error);
                return true;
            }
            let delay = after.unwrap_or_default().max(jitter(interval, retry));
            let limit = self.max_elapsed_time;
            if !limit.is_zero() && started.elapsed() + delay > limit {
                let message = "a request is given up after `max_elapsed_time`; dropped";
                let accounting = &self.accounting;
                accounting.given_up(left, MAX_ELAPSED_TIME, message, &error);
                return true;
            }
            self.accounting.retried(&error);
            sleep(delay).await;
            let longer = interval.as_secs_f64() * retry.multiplier;
            let longer = Duration::try_from_secs_f64(longer).unwrap_or(Duration::MAX);
            interval = longer.min(retry.max_interval.0);
        }
    }

    /// Tries as many batches as may be tried together. What is left of the request stays in it. Whether the exporter goes on,
    /// rather than being closed for good.
    async fn attempt(
        &self,
        request: &mut Request,
        together: &mut Together,
    ) -> Result<bool, Failure> {
        let tried = request
            .len()
            .min(together.in_time)
            .min(together.not_refused);
        let outcome = self.next.send(&request[..tried]).await;
        match &outcome {
            None => together.in_time = (tried / 2).max(1),
            Some(Err(ExportError::Permanent { source })) if together.is_joined && tried > 1 => {
                // It may be one of them only.
                together.not_refused = tried / 2;
                let error = with_causes(source.to_string(), &**source);
                self.accounting.refused_together(&error);
                return Ok(true);
            }
            Some(Ok(()) | Err(ExportError::Partial { .. })) => {
                together.not_refused = together.not_refused.saturating_mul(2);
            }
            Some(Err(_)) => {}
        }
        let rest = request.split_off(tried);
        let outcome = outcome.unwrap_or_else(|| Err(self.next.timed_out()));
        let result = match self.record_outcome(request, outcome) {
            Attempt::Done => {
                request.clear();
                Ok(true)
            }
            Attempt::Closed => {
                let accounting = &self.accounting;
                accounting.dropped_silently(points(&rest), DropReason::CLOSED);
                return Ok(false);
            }
            Attempt::Rest(left) => {
                *request = left;
                Ok(true)
            }
            Attempt::Failed(failure) => Err(failure),
        };
        request.extend(rest);
        result
    }

    /// Accounts for what an attempt did.
    fn record_outcome(&self, request: &mut Request, outcome: Result<(), ExportError>) -> Attempt {
        let (dropped, outcome) = match outcome {
            Err(ExportError::Dropped { points, rest }) => (points, rest.map_err(|it| *it)),
            outcome => (0, outcome),
        };
        let all = points(request).saturating_sub(dropped);
        match outcome {
            Ok(()) => self.record_final(all, Ok((0, String::new()))),
            Err(ExportError::Partial { rejected, message }) => {
                self.record_final(all, Ok((rejected, message)))
            }
            Err(ExportError::Permanent { source }) => self.record_final(all, Err(source)),
            Err(ExportError::Part { part, left }) => {
                self.record_final(all.saturating_sub(points(&left)), part);
                Attempt::Rest(left)
            }
            Err(ExportError::Closed) => {
                self.accounting.dropped_silently(all, DropReason::CLOSED);
                Attempt::Closed
            }
            Err(ExportError::Retryable {
                source,
                after,
                left,
                rejected,
            }) => {
                if let Some(left) = left {
                    let sent = all.saturating_sub(points(&left) + rejected);
                    self.accounting.sent_in_part(sent, rejected);
                    *request = left;
                }
                Attempt::Failed(Failure {
                    error: source,
                    after,
                })
            }
            // A kind of error that is newer than this service: nothing is known of it but that it is one.
            Err(other) => Attempt::Failed(Failure {
                error: format!("{other:?}").into(),
                after: None,
            }),
        }
    }

    /// Points that are not tried again: how many were rejected, and the message that came with it, or why all of them were refused
    /// for good.
    fn record_final(&self, all: u64, part: Result<(u64, String), BoxError>) -> Attempt {
        match part {
            Ok((rejected, message)) => {
                let rejected = rejected.min(all);
                self.accounting.sent(all - rejected, rejected, &message);
            }
            Err(source) => {
                self.accounting.got_on();
                let error = with_causes(source.to_string(), &*source);
                let message = "a request was refused for good; dropped";
                self.accounting.given_up(all, PERMANENT, message, &error);
            }
        }
        Attempt::Done
    }
}

/// The interval × (1 ± factor), as the Collector has it.
fn jitter(interval: Duration, retry: &RetryOnFailure) -> Duration {
    interval.mul_f64(1.0 + retry.randomization_factor * (fastrand::f64() * 2.0 - 1.0))
}
