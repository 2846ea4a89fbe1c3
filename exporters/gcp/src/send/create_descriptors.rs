//! Creates the descriptors of metrics that do not exist. What exists in a project is listed once, before anything is created.
//! Whatever cannot be created now is tried again later, and meanwhile its points are sent: the API makes a descriptor from
//! a point by itself, without description and unit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use pipeline::telemetry::Warnings;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::send::api::SharedApi;
use crate::send::backoff::{Attempts, Pauses};
use crate::send::descriptors::Descriptor;
use crate::send::outcome::is_retryable;

/// The maximum number of concurrent creations in a project: half of all calls, so that points go beside them.
const MAX_CONCURRENT_CREATIONS: usize = 4;
/// How long points wait for the first attempts. These go on after that.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to list all of a project.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// The pauses after failures.
const PAUSES: Pauses = Pauses {
    first: Duration::from_secs(10),
    longest: Duration::from_mins(10),
};

/// What is known of a project's descriptors, beside the outcome of each.
#[derive(Debug)]
pub(crate) struct ProjectDescriptors {
    pub(crate) project: Arc<str>,
    /// Those that there were when they were first asked for; `None` until they are listed.
    existing: tokio::sync::Mutex<Option<HashMap<String, MetricDescriptor>>>,
    permits: Semaphore,
    /// Nothing is created meanwhile: a quota is used up, or the API is away.
    pause: Mutex<Attempts>,
}

/// Descriptors of a project.
pub(crate) type WantedDescriptors = (Arc<ProjectDescriptors>, Vec<Arc<Descriptor>>);

/// Creates descriptors that do not exist. Waits for first attempts, but not for long.
pub(crate) async fn create(
    api: &SharedApi,
    prefix: &str,
    wanted: Vec<WantedDescriptors>,
    warnings: &Warnings,
) {
    let mut first_attempts = Vec::new();
    for (project, descriptors) in wanted {
        if !project.pause().is_due() {
            continue;
        }
        let is_first =
            project.pause().is_first() && descriptors.iter().any(|it| it.attempts().is_first());
        let (api, prefix, warnings) = (Arc::clone(api), prefix.to_owned(), warnings.clone());
        // It outlives an export that is cancelled.
        let creating = tokio::spawn(async move {
            project
                .create_all(&api, &prefix, descriptors, &warnings)
                .await;
        });
        if is_first {
            first_attempts.push(creating);
        }
    }
    let all = async {
        for creating in first_attempts {
            // One that broke down has made none: the points go.
            let _ = creating.await;
        }
    };
    let _ = timeout(MAX_WAIT, all).await;
}

impl ProjectDescriptors {
    pub(crate) fn new(project: &Arc<str>) -> ProjectDescriptors {
        ProjectDescriptors {
            project: Arc::clone(project),
            existing: tokio::sync::Mutex::default(),
            permits: Semaphore::new(MAX_CONCURRENT_CREATIONS),
            pause: Mutex::new(Attempts::new()),
        }
    }

    fn pause(&self) -> MutexGuard<'_, Attempts> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is created for a while. Of calls that fail at the same time the first one counts.
    fn back_off(&self) {
        let mut pause = self.pause();
        if pause.is_due() {
            pause.failed(PAUSES);
        }
    }

    async fn create_all(
        self: Arc<ProjectDescriptors>,
        api: &SharedApi,
        prefix: &str,
        descriptors: Vec<Arc<Descriptor>>,
        warnings: &Warnings,
    ) {
        let (mut refused, mut not_now) = (Vec::new(), Vec::new());
        if let Err(status) = self.adopt_existing(api, prefix, &descriptors).await {
            self.back_off();
            not_now.extend(descriptors.into_iter().map(|it| (status.clone(), it)));
        } else {
            let mut tasks = JoinSet::new();
            for descriptor in descriptors {
                let (api, project) = (Arc::clone(api), Arc::clone(&self));
                tasks.spawn(async move {
                    let result = project.create_one(&api, &descriptor).await;
                    result.map_err(|status| (status, descriptor))
                });
            }
            while let Some(finished) = tasks.join_next().await {
                match finished {
                    Ok(Err(failure)) if is_retryable(failure.0.code()) => not_now.push(failure),
                    Ok(Err(failure)) => refused.push(failure),
                    Ok(Ok(())) => {}
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                }
            }
        }
        // One log line: usually all fail for the same reason.
        let detail = |failures: &[(Status, Arc<Descriptor>)]| {
            let [(status, descriptor), more @ ..] = failures else {
                return None;
            };
            let (more, metric_type) = (more.len(), &descriptor.metric_type);
            let why = api.explain(status);
            Some(format!("{why} ({metric_type} and {more} more)"))
        };
        if let Some(detail) = detail(&refused) {
            warnings.warn("descriptors of metrics were not created", &detail);
        }
        if let Some(detail) = detail(&not_now) {
            let message = "descriptors of metrics cannot be created now; their points are sent";
            warnings.warn(message, &detail);
        }
    }

    /// Takes over what exists. It is listed once; where that is refused for good, nothing is known to exist. A list that
    /// comes late may have what the API made of our own points meanwhile: that is created, as it should be.
    async fn adopt_existing(
        &self,
        api: &SharedApi,
        prefix: &str,
        descriptors: &[Arc<Descriptor>],
    ) -> Result<(), Status> {
        let mut existing = self.existing.lock().await;
        if existing.is_none() {
            if !self.pause().is_due() {
                return Ok(());
            }
            let filter = format!("metric.type = starts_with(\"{prefix}/\")");
            let listing = api.list_descriptors(&self.project, &filter);
            let listed = within(LIST_TIMEOUT, listing).await;
            let listed = match listed {
                Err(status) if is_retryable(status.code()) => return Err(status),
                listed => listed.unwrap_or_default(),
            };
            let is_late = !self.pause().is_first();
            let is_made = |it: &MetricDescriptor| !it.description.is_empty() || !it.unit.is_empty();
            let kept = listed.into_iter().filter(|it| !is_late || is_made(it));
            *existing = Some(kept.map(|it| (it.r#type.clone(), it)).collect());
        }
        for descriptor in descriptors {
            let known = existing
                .as_mut()
                .and_then(|it| it.remove(&descriptor.metric_type));
            if let Some(known) = known {
                descriptor.adopt(&known);
            }
        }
        Ok(())
    }

    /// Creates a descriptor, unless it was created meanwhile or is not due.
    async fn create_one(&self, api: &SharedApi, descriptor: &Descriptor) -> Result<(), Status> {
        let _permit = self.permits.acquire().await;
        let _only_one = descriptor.creating.lock().await;
        if !descriptor.is_due() || !self.pause().is_due() {
            return Ok(());
        }
        let result = within(CALL_TIMEOUT, descriptor.create(api)).await;
        match &result {
            Ok(()) => *self.pause() = Attempts::new(),
            Err(status) if !is_retryable(status.code()) => {}
            Err(status) => {
                descriptor.attempts().failed(PAUSES);
                // Of these the others would fail too.
                if !matches!(status.code(), Code::Internal | Code::Unknown) {
                    self.back_off();
                }
            }
        }
        result
    }
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let answer = timeout(limit, call).await;
    answer.unwrap_or_else(|_| {
        Err(Status::deadline_exceeded(format!(
            "no answer within {limit:?}"
        )))
    })
}
