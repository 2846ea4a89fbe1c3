//! Metric descriptors. Each is created once, before the first point. It fixes the metric's kind and value type.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};
use googleapis_tonic_google_monitoring_v3::google::api::{
    LabelDescriptor, Metric, MetricDescriptor,
};
use pipeline::Series;
use pipeline::telemetry::Warnings;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::map::names::display_name;
use crate::map::series::{label_keys, metric_kind};
use crate::send::api::SharedApi;
use crate::send::outcome::{explain, is_retryable};

/// The maximum number of concurrent creations.
const MAX_CONCURRENT_CREATIONS: usize = 10;

/// A project, and a metric type in it.
type DescriptorKey = (Arc<str>, String);

/// So many descriptors of metrics that have gone are kept at least: a metric that comes back is not created again.
const MAX_UNUSED: usize = 500;

/// The descriptors of all metrics, by project and type.
#[derive(Debug, Default)]
pub(crate) struct Descriptors(Mutex<DescriptorMap>);

#[derive(Debug, Default)]
struct DescriptorMap {
    all: HashMap<DescriptorKey, Arc<Descriptor>>,
    /// Of how many some series had their descriptors, when that was last counted.
    used: usize,
}

/// The descriptor of a metric in a project.
#[derive(Debug)]
pub(crate) struct Descriptor {
    project: Arc<str>,
    pub(crate) metric_type: String,
    pub(crate) kind: MetricKind,
    /// The metric's name in the pipeline.
    name: Arc<str>,
    unit: Arc<str>,
    description: Arc<str>,
    labels: Mutex<BTreeSet<String>>,
    /// The type of the first values of the metric.
    pub(crate) first_value_type: OnceLock<ValueType>,
    /// The outcome of its creation.
    creation: OnceCell<CreationOutcome>,
}

/// The outcome of creating a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CreationOutcome {
    /// Points are written with this value type.
    Usable(ValueType),
    /// The API has a descriptor of this type already, which does not fit the points of this metric.
    Conflict(String),
}

impl Descriptors {
    /// The descriptor of a series.
    ///
    /// # Errors
    /// Why the series cannot have it.
    pub(crate) fn get_or_insert(
        &self,
        project: &Arc<str>,
        metric: &Metric,
        series: &Series,
    ) -> Result<Arc<Descriptor>, String> {
        let kind = metric_kind(&series.kind);
        let key = (Arc::clone(project), metric.r#type.clone());
        let mut descriptors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        descriptors.forget_unused();
        let descriptor = descriptors.all.entry(key).or_insert_with(|| {
            Arc::new(Descriptor {
                project: Arc::clone(project),
                metric_type: metric.r#type.clone(),
                kind,
                name: Arc::clone(&series.name),
                unit: Arc::clone(&series.unit),
                description: Arc::clone(&series.description),
                labels: Mutex::default(),
                first_value_type: OnceLock::new(),
                creation: OnceCell::new(),
            })
        });
        if descriptor.kind != kind {
            return Err(format!(
                "{} would become {}, which is {} already, of another kind ({} instead of {}); give one of them another name, with `labels`",
                series.name,
                metric.r#type,
                descriptor.name,
                kind.as_str_name(),
                descriptor.kind.as_str_name()
            ));
        }
        descriptor
            .labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut label_keys(metric));
        Ok(Arc::clone(descriptor))
    }

    /// Creates descriptors that are not created yet. Without an `api` none is created, and each metric has its first value type.
    pub(crate) async fn create(
        &self,
        api: Option<&SharedApi>,
        descriptors: Vec<Arc<Descriptor>>,
        warnings: &Warnings,
    ) -> Result<(), Status> {
        let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_CREATIONS));
        let mut tasks = JoinSet::new();
        for descriptor in descriptors.into_iter().filter(|it| it.is_uncreated()) {
            let Some(api) = api.cloned() else {
                let _ = descriptor
                    .creation
                    .set(CreationOutcome::Usable(descriptor.value_type()));
                continue;
            };
            let permits = Arc::clone(&permits);
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let mut refused = None;
                let creating = descriptor.create(&api, &mut refused);
                descriptor.creation.get_or_try_init(|| creating).await?;
                Ok(refused.map(|status| (status, descriptor)))
            });
        }
        let (mut result, mut refused) = (Ok(()), Vec::new());
        while let Some(finished) = tasks.join_next().await {
            let finished = finished
                .map_err(|error| Status::internal(error.to_string()))
                .flatten();
            match finished {
                Ok(refusal) => refused.extend(refusal),
                Err(status) => result = result.and(Err(status)),
            }
        }
        // One log line: usually all fail for the same reason.
        if let [(status, descriptor), more @ ..] = &*refused {
            let (more, metric_type) = (more.len(), &descriptor.metric_type);
            let detail = format!("{} ({metric_type} and {more} more)", explain(status));
            warnings.warn("descriptors of metrics were not created", &detail);
        }
        result
    }
}

impl DescriptorMap {
    /// Forgets the descriptors that no mapped table has, once there may be as many of them as used ones.
    fn forget_unused(&mut self) {
        if self.all.len() >= 2 * self.used + MAX_UNUSED {
            self.all.retain(|_, it| Arc::strong_count(it) > 1);
            self.used = self.all.len();
        }
    }
}

impl Descriptor {
    /// The outcome of its creation. Before that, it is usable with its first value type.
    pub(crate) fn creation_outcome(&self) -> CreationOutcome {
        self.creation
            .get()
            .cloned()
            .unwrap_or(CreationOutcome::Usable(self.value_type()))
    }

    /// Whether it is not created yet.
    pub(crate) fn is_uncreated(&self) -> bool {
        self.creation.get().is_none()
    }

    fn value_type(&self) -> ValueType {
        self.first_value_type
            .get()
            .copied()
            .unwrap_or(ValueType::Int64)
    }

    async fn create(
        &self,
        api: &SharedApi,
        refused: &mut Option<Status>,
    ) -> Result<CreationOutcome, Status> {
        match api
            .create_descriptor(&self.project, self.to_message())
            .await
        {
            Ok(created) => Ok(self.compare(&created)),
            Err(status) if is_retryable(status.code()) => Err(status),
            Err(status) => {
                if matches!(
                    status.code(),
                    Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition
                ) {
                    match api.get_descriptor(&self.project, &self.metric_type).await {
                        Ok(existing) => return Ok(self.compare(&existing)),
                        Err(status) if is_retryable(status.code()) => return Err(status),
                        Err(_) => {}
                    }
                }
                // Points may be accepted nevertheless: the API creates a descriptor from the first point.
                *refused = Some(status);
                Ok(CreationOutcome::Usable(self.value_type()))
            }
        }
    }

    /// What the API's existing descriptor means for the points of this metric.
    fn compare(&self, existing: &MetricDescriptor) -> CreationOutcome {
        let is_number = |it| matches!(it, ValueType::Int64 | ValueType::Double);
        let (kind, value_type) = (existing.metric_kind(), existing.value_type());
        let same_kind = kind == self.kind || kind == MetricKind::Unspecified;
        if same_kind && value_type == ValueType::Unspecified {
            return CreationOutcome::Usable(self.value_type());
        }
        if same_kind
            && (value_type == self.value_type()
                || is_number(value_type) && is_number(self.value_type()))
        {
            return CreationOutcome::Usable(value_type);
        }
        CreationOutcome::Conflict(format!(
            "{} is {} {}, but the descriptor of {} in project {} is {} {}; delete that descriptor (its data goes with it), \
             or give the metric another name, with `labels`",
            self.name,
            self.kind.as_str_name(),
            self.value_type().as_str_name(),
            self.metric_type,
            self.project,
            kind.as_str_name(),
            value_type.as_str_name(),
        ))
    }

    fn to_message(&self) -> MetricDescriptor {
        let labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = labels.iter().map(|key| LabelDescriptor {
            key: key.clone(),
            ..LabelDescriptor::default()
        });
        let is_bool = self.value_type() == ValueType::Bool;
        MetricDescriptor {
            name: format!(
                "projects/{}/metricDescriptors/{}",
                self.project, self.metric_type
            ),
            r#type: self.metric_type.clone(),
            labels: labels.collect(),
            metric_kind: self.kind.into(),
            value_type: self.value_type().into(),
            unit: if is_bool {
                String::new()
            } else {
                self.unit.to_string()
            },
            description: self.description.to_string(),
            display_name: display_name(&self.metric_type).to_owned(),
            ..MetricDescriptor::default()
        }
    }
}
