//! What the API's answer means for each series of a request. Which of them failed it says in words only:
//! `…: REASON: timeSeries[0-2,7]`, in several orders that it has had over the years.

use std::ops::RangeInclusive;

use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::CreateTimeSeriesSummary;
use googleapis_tonic_google_monitoring_v3::google::rpc;
use prost::Message;
use tonic::{Code, Status};

/// What became of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SeriesOutcome {
    Accepted,
    /// For good, and why.
    Rejected(String),
    /// It may be accepted later.
    RetryLater,
    /// It was not looked at, since another one of its request was wrong.
    RetryNow,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct RequestOutcome {
    /// One a series.
    pub(crate) outcomes: Vec<SeriesOutcome>,
    /// How many more were refused, and nobody said which.
    pub(crate) unnamed_rejections: u64,
    /// Why the request as a whole was refused for good, where it was.
    pub(crate) request_error: Option<String>,
}

impl RequestOutcome {
    /// All of so many series were accepted.
    pub(crate) fn accepted(series: usize) -> RequestOutcome {
        RequestOutcome {
            outcomes: vec![SeriesOutcome::Accepted; series],
            unnamed_rejections: 0,
            request_error: None,
        }
    }
}

/// Whether a point is refused since the API has this one or a newer one already.
pub(crate) fn is_superseded(reason: &str) -> bool {
    reason.contains("written more frequently") || reason.contains("written in order")
}

/// One point is named that is too old or ahead of the API's clock, and the others were not looked at: those that are as
/// far from it are refused for the same reason, instead of asking for one after another. `ends` are their times.
pub(crate) fn propagate_rejection(outcomes: &mut [SeriesOutcome], ends: &[u64]) {
    let named = outcomes
        .iter()
        .zip(ends)
        .find_map(|(outcome, end)| match outcome {
            SeriesOutcome::Rejected(why) if why.contains("cannot be written more than") => {
                Some((why.clone(), *end))
            }
            _ => None,
        });
    let Some((why, limit)) = named else { return };
    let is_ahead = why.contains("future");
    for (outcome, end) in outcomes.iter_mut().zip(ends) {
        let is_as_far_off = if is_ahead {
            *end >= limit
        } else {
            *end <= limit
        };
        if *outcome == SeriesOutcome::RetryNow && is_as_far_off {
            *outcome = SeriesOutcome::Rejected(why.clone());
        }
    }
}

/// What the beginning of the message says where each series was looked at by itself.
const PARTIAL_FAILURE: &str = "TimeSeries could not be written";
const SERIES_LIST: &str = "timeSeries[";

/// What became of a request of so many series that was answered by an error.
pub(crate) fn parse_error(status: &Status, series: usize) -> RequestOutcome {
    let summary = summary(status);
    let message = status.message();
    let mut named = vec![None; series];
    for (indices, reason) in named_series(message) {
        for index in indices.into_iter().flatten() {
            if let Some(slot) = named.get_mut(index) {
                slot.get_or_insert_with(|| reason.clone());
            }
        }
    }
    let is_one_by_one = message.contains(PARTIAL_FAILURE) || summary.is_some();
    let is_any_named = named.iter().any(Option::is_some);
    if !is_one_by_one && (!is_any_named || is_retryable(status.code())) {
        let request_error = (!is_retryable(status.code())).then(|| explain(status));
        let rejected = |why: &String| SeriesOutcome::Rejected(why.clone());
        let outcome = request_error
            .as_ref()
            .map_or(SeriesOutcome::RetryLater, rejected);
        return RequestOutcome {
            outcomes: vec![outcome; series],
            unnamed_rejections: 0,
            request_error,
        };
    }
    let errors = summary.as_ref().map_or(&[][..], |it| &it.errors);
    let outcomes: Vec<SeriesOutcome> = named
        .into_iter()
        .map(|reason| match reason {
            Some(reason) if is_retryable_reason(&reason, errors, status.code()) => {
                SeriesOutcome::RetryLater
            }
            Some(reason) => SeriesOutcome::Rejected(reason),
            None if is_one_by_one => SeriesOutcome::Accepted,
            None => SeriesOutcome::RetryNow,
        })
        .collect();
    let accepted = outcomes
        .iter()
        .filter(|outcome| **outcome == SeriesOutcome::Accepted)
        .count() as u64;
    let accepted_by_summary = summary.map_or(accepted, |it| {
        u64::try_from(it.success_point_count).unwrap_or_default()
    });
    RequestOutcome {
        outcomes,
        unnamed_rejections: accepted.saturating_sub(accepted_by_summary),
        request_error: None,
    }
}

/// The summary in the status' details, where there is one.
fn summary(status: &Status) -> Option<CreateTimeSeriesSummary> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let summary = details
        .iter()
        .find(|any| any.type_url.ends_with("CreateTimeSeriesSummary"))?;
    CreateTimeSeriesSummary::decode(&*summary.value).ok()
}

/// The series that a message names, with the reason of each group.
fn named_series(message: &str) -> Vec<(Vec<RangeInclusive<usize>>, String)> {
    // What is after the colon that ends the beginning.
    let reasons = message
        .split_once(PARTIAL_FAILURE)
        .map_or(message, |(_, reasons)| reasons);
    let reasons = reasons.strip_prefix(':').unwrap_or(reasons);
    let clauses = clauses(reasons);
    let all = clauses.into_iter().filter_map(|clause| {
        let at = clause.rfind(SERIES_LIST)?;
        let (list, after) = clause[at + SERIES_LIST.len()..].split_once(']')?;
        let indices: Vec<_> = list.split(',').filter_map(indices).collect();
        // Before the names in most answers; after them, behind an example, in the newest ones.
        let before = clause[..at].trim().trim_end_matches(':').trim();
        let before = before.strip_suffix("Field").unwrap_or(before).trim();
        let after = after
            .rsplit_once("failed with: ")
            .map_or(after, |(_, reason)| reason);
        let is_before = before.contains(' ');
        let reason = if is_before { before } else { after };
        let reason = reason
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .trim();
        Some((indices, reason.to_owned()))
    });
    all.collect()
}

/// The parts of a message that each name series: they end at a semicolon or a line's end that a new one follows.
fn clauses(reasons: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = reasons;
    while let Some(name) = rest.find(SERIES_LIST) {
        // What follows the first name up to the next separator may name the same series again, as `Field …` does.
        let end = rest[name..]
            .find("; ")
            .or_else(|| rest[name..].find(";\n"))
            .map_or(rest.len(), |at| name + at);
        all.push(&rest[..end]);
        rest = rest[end..].trim_start_matches([';', '\n', ' ']);
    }
    all
}

fn indices(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// Whether what was refused for this reason may be accepted later: by the summary's code for it, or by its words.
fn is_retryable_reason(
    reason: &str,
    errors: &[googleapis_tonic_google_monitoring_v3::google::monitoring::v3::create_time_series_summary::Error],
    code: Code,
) -> bool {
    if reason.starts_with("Internal error encountered") {
        return true;
    }
    let statuses: Vec<&rpc::Status> = errors.iter().filter_map(|it| it.status.as_ref()).collect();
    let is_match =
        |status: &&&rpc::Status| !status.message.is_empty() && reason.contains(&status.message);
    if let Some(status) = statuses.iter().find(is_match) {
        return is_retryable(Code::from(status.code));
    }
    // Where all failed for one kind of reason, it is this one.
    let mut retryable = statuses
        .iter()
        .map(|status| is_retryable(Code::from(status.code)));
    let first = retryable.next().unwrap_or_else(|| is_retryable(code));
    first && retryable.all(|it| it)
}

/// Whether what fails with this code may succeed later.
pub(crate) fn is_retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            // A token that has just run out.
            | Code::Unauthenticated
    )
}

/// What an answer to a whole request means, and the mend.
pub(crate) fn explain(status: &Status) -> String {
    let advice = match status.code() {
        Code::PermissionDenied => {
            "the account needs the role roles/monitoring.metricWriter in the project, and the project the Monitoring API switched on"
        }
        Code::NotFound => "is `project` the project's id?",
        Code::Unauthenticated => "the API does not take these credentials",
        Code::ResourceExhausted => {
            "a quota of the project is used up; it is seen and raised on the console's page Quotas"
        }
        _ => "",
    };
    let mut text = format!("{:?}: {}", status.code(), status.message());
    text = pipeline::with_causes(text, status);
    if advice.is_empty() {
        text
    } else {
        format!("{text} ({advice})")
    }
}

#[cfg(test)]
mod tests;
