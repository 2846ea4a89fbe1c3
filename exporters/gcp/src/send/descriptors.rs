//! Metric descriptors: made once, before the first point. Which type a metric has is said there, and holds from then on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use googleapis_tonic_google_monitoring_v3::google::api::metric_descriptor::{
    MetricKind, ValueType,
};
use googleapis_tonic_google_monitoring_v3::google::api::{
    LabelDescriptor, Metric, MetricDescriptor,
};
use pipeline::Series;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::map::names::display_name;
use crate::map::series::{label_keys, metric_kind};
use crate::send::api::Shared;
use crate::send::outcome::{explain, is_retryable};

/// How many are made at a time.
const AT_A_TIME: usize = 10;

/// A project, and a metric's type in it.
type Key = (Arc<str>, String);

/// All metrics that were seen.
#[derive(Debug, Default)]
pub(crate) struct Descriptors(Mutex<HashMap<Key, Arc<Descriptor>>>);

/// One metric of a project.
#[derive(Debug)]
pub(crate) struct Descriptor {
    project: Arc<str>,
    pub(crate) metric_type: String,
    pub(crate) kind: MetricKind,
    /// The metric's own name here.
    name: Arc<str>,
    unit: Arc<str>,
    description: Arc<str>,
    labels: Mutex<BTreeSet<String>>,
    /// What its values are, by the first points that were seen of it.
    pub(crate) seen: OnceLock<ValueType>,
    /// What came of making it.
    made: OnceCell<Made>,
}

/// What came of making a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Its values are of this type.
    As(ValueType),
    /// The API has another one of that name, which no point of this metric can fit.
    Conflict(String),
}

impl Descriptors {
    /// The descriptor of a series, or why it cannot have it.
    pub(crate) fn of(
        &self,
        project: &Arc<str>,
        metric: &Metric,
        series: &Series,
    ) -> Result<Arc<Descriptor>, String> {
        let kind = metric_kind(&series.kind);
        let key = (Arc::clone(project), metric.r#type.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let it = all.entry(key).or_insert_with(|| {
            Arc::new(Descriptor {
                project: Arc::clone(project),
                metric_type: metric.r#type.clone(),
                kind,
                name: Arc::clone(&series.name),
                unit: Arc::clone(&series.unit),
                description: Arc::clone(&series.description),
                labels: Mutex::default(),
                seen: OnceLock::new(),
                made: OnceCell::new(),
            })
        });
        if it.kind != kind {
            return Err(format!(
                "{} would become {}, which is {} already, of another kind ({} instead of {}); give one of them another name, with `labels`",
                series.name,
                metric.r#type,
                it.name,
                kind.as_str_name(),
                it.kind.as_str_name()
            ));
        }
        it.labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut label_keys(metric));
        Ok(Arc::clone(it))
    }

    /// Makes those that were not made yet. Without an `api` none is made, and each metric has the type that was seen.
    pub(crate) async fn make(
        &self,
        api: Option<&Shared>,
        wanted: Vec<Arc<Descriptor>>,
    ) -> Result<(), Status> {
        let room = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for it in wanted.into_iter().filter(|it| it.made.get().is_none()) {
            let Some(api) = api.cloned() else {
                let _ = it.made.set(Made::As(it.value_type()));
                continue;
            };
            let room = Arc::clone(&room);
            tasks.spawn(async move {
                let _room = room.acquire_owned().await;
                let mut refused = None;
                let making = it.make(&api, &mut refused);
                it.made.get_or_try_init(|| making).await?;
                Ok(refused.map(|status| (status, it)))
            });
        }
        let (mut first, mut refused) = (Ok(()), Vec::new());
        while let Some(done) = tasks.join_next().await {
            let done = done
                .map_err(|error| Status::internal(error.to_string()))
                .flatten();
            match done {
                Ok(it) => refused.extend(it),
                Err(status) => first = first.and(Err(status)),
            }
        }
        // In one line: most often it is for one reason, and of all metrics.
        if let [(status, it), more @ ..] = &*refused {
            let more = match more.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            tracing::warn!(
                "no descriptor was made of {}{more}: {}",
                it.metric_type,
                explain(status)
            );
        }
        first
    }
}

impl Descriptor {
    /// What came of making it; it is asked after it was.
    pub(crate) fn made(&self) -> Made {
        self.made
            .get()
            .cloned()
            .unwrap_or(Made::As(self.value_type()))
    }

    /// Whether its values have to be looked at before it is made.
    pub(crate) fn is_new(&self) -> bool {
        self.made.get().is_none()
    }

    fn value_type(&self) -> ValueType {
        self.seen.get().copied().unwrap_or(ValueType::Int64)
    }

    async fn make(&self, api: &Shared, refused: &mut Option<Status>) -> Result<Made, Status> {
        match api.create_descriptor(&self.project, self.message()).await {
            Ok(made) => Ok(self.compare(&made)),
            Err(status) if is_retryable(status.code()) => Err(status),
            Err(status) => {
                if matches!(
                    status.code(),
                    Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition
                ) {
                    match api.descriptor(&self.project, &self.metric_type).await {
                        Ok(there) => return Ok(self.compare(&there)),
                        Err(status) if is_retryable(status.code()) => return Err(status),
                        Err(_) => {}
                    }
                }
                // Points may be taken nevertheless: the API makes a descriptor of the first one.
                *refused = Some(status);
                Ok(Made::As(self.value_type()))
            }
        }
    }

    /// What the descriptor that the API has means for the points of this metric.
    fn compare(&self, there: &MetricDescriptor) -> Made {
        let is_number = |it| matches!(it, ValueType::Int64 | ValueType::Double);
        let (kind, values) = (there.metric_kind(), there.value_type());
        let same_kind = kind == self.kind || kind == MetricKind::Unspecified;
        if same_kind && values == ValueType::Unspecified {
            return Made::As(self.value_type());
        }
        if same_kind
            && (values == self.value_type() || is_number(values) && is_number(self.value_type()))
        {
            return Made::As(values);
        }
        Made::Conflict(format!(
            "{} is {} {}, but the descriptor of {} in project {} is {} {}; delete that descriptor (its data goes with it), \
             or give the metric another name, with `labels`",
            self.name,
            self.kind.as_str_name(),
            self.value_type().as_str_name(),
            self.metric_type,
            self.project,
            kind.as_str_name(),
            values.as_str_name(),
        ))
    }

    fn message(&self) -> MetricDescriptor {
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
