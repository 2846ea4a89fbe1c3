//! Metric descriptors. Each is created once, before the first point where that can be. It fixes the metric's kind and value type.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};
use googleapis_tonic_google_monitoring_v3::google::api::{
    LabelDescriptor, Metric, MetricDescriptor,
};
use pipeline::Series;
use pipeline::telemetry::Warnings;
use tonic::{Code, Status};

use crate::map::names::display_name;
use crate::map::series::{label_keys, metric_kind};
use crate::send::api::SharedApi;
use crate::send::backoff::Attempts;
use crate::send::create_descriptors::{ProjectDescriptors, WantedDescriptors, create};
use crate::send::outcome::is_retryable;

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
    projects: HashMap<Arc<str>, Arc<ProjectDescriptors>>,
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
    creation: OnceLock<CreationOutcome>,
    /// Held by whoever creates it.
    pub(crate) creating: tokio::sync::Mutex<()>,
    attempts: Mutex<Attempts>,
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
                creation: OnceLock::new(),
                creating: tokio::sync::Mutex::default(),
                attempts: Mutex::new(Attempts::new()),
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

    /// Creates those of these descriptors that are due. Without an `api` none is created, and each metric has its first value type.
    pub(crate) async fn create(
        &self,
        api: Option<&SharedApi>,
        prefix: &str,
        descriptors: Vec<Arc<Descriptor>>,
        warnings: &Warnings,
    ) {
        let mut wanted: Vec<WantedDescriptors> = Vec::new();
        for descriptor in descriptors.into_iter().filter(|it| it.is_due()) {
            if api.is_none() {
                let outcome = CreationOutcome::Usable(descriptor.value_type());
                let _ = descriptor.creation.set(outcome);
                continue;
            }
            let is_same = |(it, _): &WantedDescriptors| *it.project == *descriptor.project;
            match wanted.iter_mut().find(|it| is_same(it)) {
                Some((_, descriptors)) => descriptors.push(descriptor),
                None => wanted.push((self.project(&descriptor.project), vec![descriptor])),
            }
        }
        if let Some(api) = api.filter(|_| !wanted.is_empty()) {
            create(api, prefix, wanted, warnings).await;
        }
    }

    fn project(&self, project: &Arc<str>) -> Arc<ProjectDescriptors> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(ProjectDescriptors::new(project));
        Arc::clone(map.projects.entry(Arc::clone(project)).or_insert_with(new))
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

    /// Whether it is to be created now.
    pub(crate) fn is_due(&self) -> bool {
        self.creation.get().is_none() && self.attempts().is_due()
    }

    pub(crate) fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API has this one: none is created.
    pub(crate) fn adopt(&self, existing: &MetricDescriptor) {
        let _ = self.creation.set(self.compare(existing));
    }

    fn value_type(&self) -> ValueType {
        self.first_value_type
            .get()
            .copied()
            .unwrap_or(ValueType::Int64)
    }

    /// Creates it.
    ///
    /// # Errors
    /// It was not created. Where that is for good, points may be accepted nevertheless.
    pub(crate) async fn create(&self, api: &SharedApi) -> Result<(), Status> {
        let message = self.to_message();
        let refusal = match api.create_descriptor(&self.project, message).await {
            Ok(created) => {
                self.adopt(&created);
                return Ok(());
            }
            Err(status) if is_retryable(status.code()) => return Err(status),
            Err(status) => status,
        };
        if matches!(
            refusal.code(),
            Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition
        ) {
            match api.get_descriptor(&self.project, &self.metric_type).await {
                Ok(existing) => {
                    self.adopt(&existing);
                    return Ok(());
                }
                Err(status) if is_retryable(status.code()) => return Err(status),
                Err(_) => {}
            }
        }
        let _ = self
            .creation
            .set(CreationOutcome::Usable(self.value_type()));
        Err(refusal)
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
