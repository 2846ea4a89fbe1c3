//! Cloud Monitoring as strict as it is described: every rule of the API is held against each point, and what breaks one
//! is answered by the API's own words and details. On Google's types, by tonic, in the runtime of the test.

// What goes wrong here ends the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod google;
mod rules;
pub mod serve;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use googleapis_tonic_google_monitoring_v3::google::api::MetricDescriptor;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::create_time_series_summary::Error;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    CreateTimeSeriesRequest, CreateTimeSeriesSummary, Point,
};
use googleapis_tonic_google_monitoring_v3::google::rpc;
use prost::Message;
use tonic::{Code, Status};

/// The far side, as the test sees it.
#[derive(Clone, Debug)]
pub struct Fake(Arc<Mutex<State>>);

/// What it does with the next request, instead of taking it.
#[derive(Debug)]
pub enum Then {
    /// Answers so, and takes nothing.
    Fail(Status),
    /// Takes what it takes, and the answer is lost: so is answered instead.
    Lose(Status),
    /// Never answers.
    Hang,
}

/// Why a series is refused.
type Refuse = Box<dyn FnMut(&str) -> Option<(Code, String)> + Send>;

/// What the far side does, and what it took.
pub struct State {
    now: Box<dyn Fn() -> u64 + Send>,
    /// From point to point of a series, ns.
    pub interval: u64,
    /// The descriptors that are there, by metric type.
    pub descriptors: BTreeMap<String, MetricDescriptor>,
    /// Descriptors made; updates too.
    pub made: Vec<MetricDescriptor>,
    /// All points that were taken, by series.
    pub series: BTreeMap<String, Vec<Point>>,
    /// How many series each request had.
    pub requests: Vec<usize>,
    /// What broke a rule.
    pub broken: Vec<String>,
    /// Points that were taken before.
    pub again: u64,
    /// Makes a descriptor of the first point of a metric, as the API does.
    pub auto_create: bool,
    /// How descriptors are answered, instead of being made.
    pub no_descriptors: Option<Status>,
    /// How long it takes for each request, before it takes anything.
    pub delay: Duration,
    /// What is done with the next requests, instead of taking them.
    pub then: VecDeque<Then>,
    /// Says of a series why it is refused, and whether that may pass.
    pub refuse: Refuse,
    /// What the bytes of a series are called, since spelling it takes long.
    names: HashMap<Vec<u8>, String>,
    /// By which method each request came.
    pub paths: Vec<String>,
    /// The headers of each request.
    pub metadata: Vec<tonic::metadata::MetadataMap>,
}

impl Fake {
    /// A far side that takes this for the time, unix ns.
    #[must_use]
    pub fn new(now: impl Fn() -> u64 + Send + 'static) -> Fake {
        Fake(Arc::new(Mutex::new(State {
            now: Box::new(now),
            interval: 10_000_000_000,
            descriptors: BTreeMap::new(),
            made: Vec::new(),
            series: BTreeMap::new(),
            requests: Vec::new(),
            broken: Vec::new(),
            again: 0,
            auto_create: false,
            no_descriptors: None,
            delay: Duration::ZERO,
            then: VecDeque::new(),
            refuse: Box::new(|_| None),
            names: HashMap::new(),
            paths: Vec::new(),
            metadata: Vec::new(),
        })))
    }

    /// Looks at its state, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// All points that were taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.with(|it| it.series.values().map(Vec::len).sum())
    }

    /// No rule was broken, and nothing sent again that was taken.
    pub fn assert_obeyed(&self) {
        self.with(|it| {
            assert!(
                it.broken.is_empty(),
                "{} times, {}",
                it.broken.len(),
                it.broken[0]
            );
            assert_eq!(it.again, 0, "sent again though taken");
        });
    }
}

impl State {
    fn create_time_series(&mut self, request: CreateTimeSeriesRequest) -> Result<(), Status> {
        let lost = match self.then.pop_front() {
            Some(Then::Fail(status)) => return Err(status),
            Some(Then::Lose(status)) => Some(status),
            Some(Then::Hang) | None => None,
        };
        self.requests.push(request.time_series.len());
        if request.time_series.len() > 200 {
            let many = format!(
                "Field timeSeries had an invalid value: At most 200 TimeSeries can be written in one request, there are {}.",
                request.time_series.len()
            );
            self.broken.push(many.clone());
            return Err(Status::invalid_argument(many));
        }
        let now = (self.now)();
        let mut failed: BTreeMap<(i32, String), Vec<usize>> = BTreeMap::new();
        let mut keys = std::collections::BTreeSet::new();
        let total = request.time_series.len();
        for (index, it) in request.time_series.into_iter().enumerate() {
            let spelled = || rules::key(&it);
            let key = self
                .names
                .entry(rules::bytes(&it))
                .or_insert_with(spelled)
                .clone();
            let mut why = (!keys.insert(key.clone())).then(|| rules::DUPLICATE.to_owned());
            let metric_type = &it.metric.as_ref().unwrap().r#type;
            if self.auto_create && !self.descriptors.contains_key(metric_type) {
                let made = MetricDescriptor {
                    r#type: metric_type.clone(),
                    metric_kind: it.metric_kind,
                    value_type: it.value_type,
                    ..MetricDescriptor::default()
                };
                self.descriptors.insert(metric_type.clone(), made);
            }
            let known = self.series.get(&key).and_then(|points| points.last());
            why = why.or_else(|| {
                rules::broken(
                    &it,
                    known,
                    self.descriptors.get(metric_type),
                    now,
                    self.interval,
                )
            });
            if let Some(why) = why {
                let point = it.points.first();
                self.again += u64::from(point.is_some() && point == known);
                self.broken.push(format!("{key}: {why}"));
                failed
                    .entry((Code::InvalidArgument as i32, why))
                    .or_default()
                    .push(index);
            } else if let Some((code, why)) = (self.refuse)(&key) {
                failed.entry((code as i32, why)).or_default().push(index);
            } else {
                self.series.entry(key).or_default().extend(it.points);
            }
        }
        if let Some(status) = lost {
            return Err(status);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(in_part(&failed, total))
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("requests", &self.requests)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// The answer to a request that was taken in part, in the API's words.
fn in_part(failed: &BTreeMap<(i32, String), Vec<usize>>, total: usize) -> Status {
    let mut clauses = Vec::new();
    let mut errors = Vec::new();
    let mut count = 0;
    for ((code, why), indices) in failed {
        clauses.push(format!("{why}: timeSeries[{}]", ranges(indices)));
        let status = rpc::Status {
            code: *code,
            message: why.clone(),
            details: Vec::new(),
        };
        errors.push(Error {
            status: Some(status),
            point_count: i32::try_from(indices.len()).unwrap(),
        });
        count += indices.len();
    }
    let summary = CreateTimeSeriesSummary {
        total_point_count: i32::try_from(total).unwrap(),
        success_point_count: i32::try_from(total - count).unwrap(),
        errors,
    };
    let message = format!(
        "One or more TimeSeries could not be written: {}",
        clauses.join("; ")
    );
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.monitoring.v3.CreateTimeSeriesSummary".into(),
        value: summary.encode_to_vec(),
    };
    // The worst of the codes, as the API has it.
    let code = if failed
        .keys()
        .all(|(code, _)| *code != Code::InvalidArgument as i32)
    {
        Code::from(failed.keys().next().unwrap().0)
    } else {
        Code::InvalidArgument
    };
    let details = rpc::Status {
        code: code as i32,
        message: message.clone(),
        details: vec![any],
    };
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// `0-2,7`.
fn ranges(indices: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for index in indices {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    let text = ranges.iter().map(|(a, b)| {
        if a == b {
            a.to_string()
        } else {
            format!("{a}-{b}")
        }
    });
    text.collect::<Vec<_>>().join(",")
}
