//! What a response means for each series of its request. The API names the series that failed in the message only:
//! `…: REASON: timeSeries[0-2,7]`. The order of the parts has changed over the years.

use std::ops::{Range, RangeInclusive};

use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::CreateTimeSeriesSummary;
use googleapis_tonic_google_monitoring_v3::google::rpc;
use pipeline::telemetry::bounded;
use pipeline::with_causes;
use prost::Message;
use tonic::{Code, Status};

/// The outcome of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SeriesOutcome {
    Accepted,
    /// Permanently, with the reason.
    Rejected(String),
    /// The API may accept it later: it refused this one for the time being, with the reason, and looked at the others.
    Deferred(String),
    /// The API may accept it later, with the whole request.
    RetryLater,
    /// The API did not look at it, since it refused the request for another series. Retry at once without that one.
    RetryNow,
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct RequestOutcome {
    /// One for each series.
    pub(crate) outcomes: Vec<SeriesOutcome>,
    /// How many more series were rejected that the message does not name.
    pub(crate) unnamed_rejections: u64,
    /// Why the whole request was permanently rejected, if it was.
    pub(crate) request_error: Option<String>,
}

impl RequestOutcome {
    /// The outcome of a request whose series were all accepted.
    pub(crate) fn accepted(series: usize) -> RequestOutcome {
        RequestOutcome {
            outcomes: vec![SeriesOutcome::Accepted; series],
            unnamed_rejections: 0,
            request_error: None,
        }
    }
}

/// Whether a point was rejected because the API already has this point or a newer one.
pub(crate) fn is_superseded(reason: &str) -> bool {
    reason.contains("written more frequently") || reason.contains("written in order")
}

/// Rejects series whose time is as far off as that of the named one. If a point is too old or too far in the future, the API
/// names only that one and does not look at the others. This saves one retry for each. `ends` are the points' times.
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

/// The message contains this if the API looked at each series by itself.
const PARTIAL_FAILURE: &str = "TimeSeries could not be written";
const SERIES_LIST: &str = "timeSeries[";

/// The outcome of a request with this many series that failed with this status.
pub(crate) fn parse_error(status: &Status, series: usize) -> RequestOutcome {
    let summary = summary(status);
    let message = status.message();
    let mut named = vec![None; series];
    for (indices, reason) in named_series(message) {
        for (first, last) in indices.into_iter().map(RangeInclusive::into_inner) {
            let last = last.min(series.saturating_sub(1));
            for slot in named.get_mut(first..=last).into_iter().flatten() {
                slot.get_or_insert_with(|| reason.clone());
            }
        }
    }
    // What names more series than failed quotes something that looks like a name: then none is believed.
    let is_more = |it: &CreateTimeSeriesSummary| {
        let failed = it.total_point_count.saturating_sub(it.success_point_count);
        named.iter().flatten().count() > usize::try_from(failed).unwrap_or_default()
    };
    if summary.as_ref().is_some_and(is_more) {
        named.fill(None);
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
    // There are no more than series.
    let errors = summary.as_ref().map_or(&[][..], |it| &it.errors);
    let errors = &errors[..errors.len().min(series)];
    let outcomes: Vec<SeriesOutcome> = named
        .into_iter()
        .map(|reason| match reason {
            Some(reason) if is_retryable_reason(&reason, errors, status.code()) => {
                SeriesOutcome::Deferred(reason)
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

/// The summary in the status' details, if there is one.
fn summary(status: &Status) -> Option<CreateTimeSeriesSummary> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let summary = details
        .iter()
        .find(|any| any.type_url.ends_with("CreateTimeSeriesSummary"))?;
    CreateTimeSeriesSummary::decode(&*summary.value).ok()
}

/// The series that a message names, grouped by reason.
fn named_series(message: &str) -> Vec<(Vec<RangeInclusive<usize>>, String)> {
    // The text after the prefix and its colon.
    let reasons = message
        .split_once(PARTIAL_FAILURE)
        .map_or(message, |(_, reasons)| reasons);
    let reasons = reasons.strip_prefix(':').unwrap_or(reasons);
    let unquoted = unquoted(reasons);
    let all = clauses(&unquoted).into_iter().filter_map(|clause| {
        let name = clause.start + unquoted[clause.clone()].rfind(SERIES_LIST)?;
        let list = name + SERIES_LIST.len();
        let list = list..list + unquoted[list..clause.end].find(']')?;
        let indices: Vec<_> = reasons[list.clone()]
            .split(',')
            .filter_map(indices)
            .collect();
        // Most messages have the reason before the indices. The newest ones have it after them, behind an example.
        let before = reasons[clause.start..name]
            .trim()
            .trim_end_matches(':')
            .trim();
        let before = before.strip_suffix("Field").unwrap_or(before).trim();
        let after = &reasons[list.end + 1..clause.end];
        let after = after
            .rsplit_once("failed with: ")
            .map_or(after, |(_, reason)| reason);
        let is_before = before.contains(' ');
        let reason = if is_before { before } else { after };
        let reason = reason
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .trim();
        // Each of its series gets it, and a warning shows no more of it.
        Some((indices, bounded(reason).into_owned()))
    });
    all.collect()
}

/// The message with blanks in the place of what it quotes: values between `"`, and labels between braces. They are anybody's
/// text, and may look like the API's. What has no end is left as it is.
fn unquoted(message: &str) -> String {
    let mut masked = message.as_bytes().to_vec();
    let mut opened: Vec<(u8, usize)> = Vec::new();
    for (at, byte) in message.bytes().enumerate() {
        let is_in_quotes = opened.last().is_some_and(|(open, _)| *open == b'"');
        match byte {
            b'"' | b'{' if !is_in_quotes => opened.push((byte, at)),
            b'"' | b'}' if is_in_quotes == (byte == b'"') => {
                if let Some((_, start)) = opened.pop() {
                    masked[start..=at].fill(b' ');
                }
            }
            _ => {}
        }
    }
    // Whole characters were masked, from one ASCII character to another.
    String::from_utf8(masked).unwrap_or_else(|_| message.to_owned())
}

/// The parts of a message that name series. A part ends at a semicolon or a line's end.
fn clauses(reasons: &str) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    let mut start = 0;
    while let Some(name) = reasons[start..].find(SERIES_LIST) {
        // A part may name the same series twice, as `Field …` does.
        let rest = &reasons[start + name..];
        let end = rest.find("; ").or_else(|| rest.find(";\n"));
        let end = end.map_or(reasons.len(), |at| start + name + at);
        all.push(start..end);
        let next = reasons[end..].trim_start_matches([';', '\n', ' ']);
        start = reasons.len() - next.len();
    }
    all
}

fn indices(text: &str) -> Option<RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// Whether a series with this reason may be accepted later: by the summary's code for the reason, or by its text.
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
    // If all errors of the summary are retryable, this one is too.
    let mut retryable = statuses
        .iter()
        .map(|status| is_retryable(Code::from(status.code)));
    let first = retryable.next().unwrap_or_else(|| is_retryable(code));
    first && retryable.all(|it| it)
}

/// Whether a request with this code may succeed later.
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
            // A token that has just expired.
            | Code::Unauthenticated
    )
}

/// What an error of a whole request means, as far as it is logged, and how to fix it.
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
    let text = format!("{:?}: {}", status.code(), status.message());
    let text = with_causes(text, status);
    let text = bounded(&text);
    if advice.is_empty() {
        text.into_owned()
    } else {
        format!("{text} ({advice})")
    }
}

#[cfg(test)]
mod tests;
