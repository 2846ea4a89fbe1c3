//! Whether the program is ready, in the form of the Collector's `healthcheckv2`
//! ([its HTTP service](https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/extension/healthcheckv2extension)).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use pipeline::{Condition, Host};
use serde::Serialize;
use tokio::time::Instant;

use crate::{rfc3339, stalled_text};

/// A component's status, or that of all below.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    pub(crate) healthy: bool,
    status: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    status_time: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    components: BTreeMap<String, Readiness>,
    /// Since when it is so.
    #[serde(skip)]
    since: Instant,
}

/// The Collector's words for them, the better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum State {
    #[serde(rename = "StatusOK")]
    Ok,
    #[serde(rename = "StatusStarting")]
    Starting,
    #[serde(rename = "StatusRecoverableError")]
    RecoverableError,
    #[serde(rename = "StatusStopping")]
    Stopping,
}

/// When it is asked, by both clocks, and how long an exporter may fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) stale_after: Duration,
}

impl Now {
    fn ago(&self, since: Instant) -> Duration {
        self.instant.saturating_duration_since(since)
    }

    fn time(&self, since: Instant) -> String {
        let time = self.wall.checked_sub(self.ago(since));
        rfc3339(time.unwrap_or(self.wall))
    }

    fn component(&self, condition: Condition) -> Readiness {
        let (status, since, error) = match condition {
            Condition::Starting { since } => (State::Starting, since, None),
            Condition::Working { since } => (State::Ok, since, None),
            Condition::Failing { since, error } => (State::RecoverableError, since, Some(error)),
        };
        let may_pass = status == State::RecoverableError && self.ago(since) <= self.stale_after;
        Readiness {
            start_time: None,
            healthy: status == State::Ok || may_pass,
            status,
            error,
            status_time: self.time(since),
            components: BTreeMap::new(),
            since,
        }
    }

    /// As bad as the worst of these.
    fn joined(&self, started: Instant, components: BTreeMap<String, Readiness>) -> Readiness {
        let worst = components
            .values()
            .max_by_key(|it| (!it.healthy, it.status));
        let (status, since, error) = worst.map_or((State::Ok, started, None), |worst| {
            (worst.status, worst.since, worst.error.clone())
        });
        Readiness {
            start_time: None,
            healthy: components.values().all(|it| it.healthy),
            status,
            error,
            status_time: self.time(since),
            components,
            since,
        }
    }
}

/// What is told of the program. It is ready if every receiver has looked, no exporter has failed for too long, no thread is
/// stalled, and the end has not begun.
pub(crate) fn answer(host: &Host, stalled: &[&str], now: &Now) -> Readiness {
    let status = host.status();
    let started = status.started();
    let component = |kind: &'static str, id: &String| {
        let condition = match kind {
            // It has no state of its own: it runs as long as its pipeline does.
            "processor" => Condition::Working { since: started },
            kind => status.of(kind, id).condition(),
        };
        (format!("{kind}:{id}"), now.component(condition))
    };
    let extensions = host.extensions().iter();
    let extensions = extensions.map(|id| component("extension", id)).collect();
    let mut all = BTreeMap::from([("extensions".into(), now.joined(started, extensions))]);
    for pipeline in host.pipelines() {
        let kinds = [
            ("receiver", &pipeline.receivers),
            ("processor", &pipeline.processors),
            ("exporter", &pipeline.exporters),
        ];
        let ids = kinds
            .iter()
            .flat_map(|(kind, ids)| ids.iter().map(|id| (*kind, id)));
        let components = ids.map(|(kind, id)| component(kind, id)).collect();
        let name = format!("pipeline:{}", pipeline.name);
        all.insert(name, now.joined(started, components));
    }
    let mut program = now.joined(started, all);
    program.start_time = Some(now.time(started));
    if let Some(error) = stalled_text(stalled) {
        program.healthy = false;
        program.status = State::RecoverableError;
        program.error = Some(error);
    }
    if let Some(since) = status.ending_since() {
        program.healthy = false;
        program.status = State::Stopping;
        program.error = None;
        program.status_time = now.time(since);
    }
    program
}

#[cfg(test)]
mod tests {
    use pipeline::telemetry::Counters;
    use pipeline::{PipelineShape, Status};

    use super::*;

    const STALE_AFTER: Duration = Duration::from_mins(1);

    fn host() -> Host {
        let mut shape = PipelineShape::new("metrics");
        shape.receivers = vec!["statsfs".into()];
        shape.processors = vec!["batch".into()];
        shape.exporters = vec!["otlp".into(), "stdout".into()];
        let host = Host::new(Counters::new("test"), Status::default());
        host.with_pipelines(vec![shape])
            .with_extensions(vec!["health_check".into()])
    }

    /// All has started, and the receiver has looked.
    fn ready_host() -> Host {
        let host = host();
        let status = host.status();
        status.of("extension", "health_check").up();
        status.of("exporter", "otlp").up();
        status.of("exporter", "stdout").up();
        status.of("receiver", "statsfs").succeeded();
        host
    }

    fn asked(host: &Host, stalled: &[&str]) -> Readiness {
        let now = Now {
            instant: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_hours(24),
            stale_after: STALE_AFTER,
        };
        answer(host, stalled, &now)
    }

    fn is_ready(host: &Host) -> bool {
        asked(host, &[]).healthy
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_every_receiver_has_looked() {
        let host = host();
        let status = host.status();
        status.of("extension", "health_check").up();
        status.of("exporter", "otlp").up();
        status.of("exporter", "stdout").up();
        let starting = asked(&host, &[]);
        assert_eq!(
            (starting.healthy, starting.status),
            (false, State::Starting)
        );
        status.of("receiver", "statsfs").succeeded();
        assert!(is_ready(&host));
    }

    #[tokio::test(start_paused = true)]
    async fn it_turns_after_stale_after_and_back_with_the_first_success() {
        let host = ready_host();
        let otlp = host.status().of("exporter", "otlp");
        let interval = Duration::from_secs(10);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(is_ready(&host), "one with nothing to send is ready");
        for _ in 0..=6 {
            otlp.failed("connection refused");
            assert!(is_ready(&host));
            tokio::time::advance(interval).await;
        }
        let stale = asked(&host, &[]);
        assert!(!stale.healthy, "within an interval after `stale_after`");
        assert_eq!(stale.error.as_deref(), Some("connection refused"));
        otlp.succeeded();
        assert!(is_ready(&host), "with the first success");
        otlp.failed("connection refused");
        assert!(is_ready(&host), "a new failure has a time of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn what_stalls_or_ends_is_not_ready() {
        let host = ready_host();
        let stalled = asked(&host, &["pipeline"]);
        assert!(!stalled.healthy && stalled.error.is_some());
        host.status().end();
        let ending = asked(&host, &[]);
        assert_eq!((ending.healthy, ending.status), (false, State::Stopping));
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_has_the_form_of_healthcheckv2() {
        let host = ready_host();
        tokio::time::advance(Duration::from_secs(5)).await;
        host.status().of("exporter", "otlp").failed("no \"route\"");
        tokio::time::advance(Duration::from_secs(5)).await;
        let body = serde_json::to_value(asked(&host, &[])).unwrap();
        let ok = serde_json::json!({"healthy": true, "status": "StatusOK", "status_time": "1970-01-01T23:59:50Z"});
        let fails = |mut more: serde_json::Value| {
            more["healthy"] = true.into();
            more["status"] = "StatusRecoverableError".into();
            more["error"] = "no \"route\"".into();
            more["status_time"] = "1970-01-01T23:59:55Z".into();
            more
        };
        let mut extensions = ok.clone();
        extensions["components"] = serde_json::json!({"extension:health_check": ok});
        let expected = fails(serde_json::json!({
            "start_time": "1970-01-01T23:59:50Z",
            "components": {
                "extensions": extensions,
                "pipeline:metrics": fails(serde_json::json!({"components": {
                    "receiver:statsfs": ok, "processor:batch": ok, "exporter:stdout": ok,
                    "exporter:otlp": fails(serde_json::json!({})),
                }})),
            },
        }));
        assert_eq!(body, expected);
    }
}
