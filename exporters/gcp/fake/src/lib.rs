//! Cloud Monitoring as strict as it is described: every rule of the API is held against each point, and what breaks one
//! is answered by the API's own words and details. On Google's types, by tonic, in the runtime of the test.

// What goes wrong here ends the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod python;
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
pub struct Fake(Arc<Mutex<FakeState>>);

/// What it does with the next request, instead of taking it.
#[derive(Debug)]
pub enum NextResponse {
    /// Answers so, and takes nothing.
    Fail(Status),
    /// Takes what it takes, and the answer is lost: so is answered instead.
    LoseResponse(Status),
    /// Never answers.
    Hang,
}

/// Why a series is refused.
type RejectRule = Box<dyn FnMut(&str) -> Option<(Code, String)> + Send>;

/// What the far side does, and what it took.
pub struct FakeState {
    now: Box<dyn Fn() -> u64 + Send>,
    /// From point to point of a series, ns.
    pub interval: u64,
    /// The descriptors that are there, by metric type.
    pub descriptors: BTreeMap<String, MetricDescriptor>,
    /// Descriptors made; updates too.
    pub created_descriptors: Vec<MetricDescriptor>,
    /// All points that were taken, by series.
    pub series: BTreeMap<String, Vec<Point>>,
    /// How many series each request had.
    pub requests: Vec<usize>,
    /// What broke a rule.
    pub violations: Vec<String>,
    /// Points that were taken before.
    pub repeated_points: u64,
    /// Makes a descriptor of the first point of a metric, as the API does.
    pub auto_create: bool,
    /// How descriptors are answered, instead of being made.
    pub descriptor_error: Option<Status>,
    /// How long it takes for each request, before it takes anything.
    pub delay: Duration,
    /// What is done with the next requests, instead of taking them.
    pub next_responses: VecDeque<NextResponse>,
    /// Says of a series why it is refused, and whether that may pass.
    pub reject: RejectRule,
    /// What the bytes of a series are called, since spelling it takes long.
    keys: HashMap<Vec<u8>, String>,
    /// By which method each request came.
    pub methods: Vec<String>,
    /// The headers of each request.
    pub metadata: Vec<tonic::metadata::MetadataMap>,
}

impl Fake {
    /// A far side that takes this for the time, unix ns.
    #[must_use]
    pub fn new(now: impl Fn() -> u64 + Send + 'static) -> Fake {
        Fake(Arc::new(Mutex::new(FakeState {
            now: Box::new(now),
            interval: 10_000_000_000,
            descriptors: BTreeMap::new(),
            created_descriptors: Vec::new(),
            series: BTreeMap::new(),
            requests: Vec::new(),
            violations: Vec::new(),
            repeated_points: 0,
            auto_create: false,
            descriptor_error: None,
            delay: Duration::ZERO,
            next_responses: VecDeque::new(),
            reject: Box::new(|_| None),
            keys: HashMap::new(),
            methods: Vec::new(),
            metadata: Vec::new(),
        })))
    }

    /// Looks at its state, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut FakeState) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// All points that were taken.
    #[must_use]
    pub fn accepted_points(&self) -> usize {
        self.with(|it| it.series.values().map(Vec::len).sum())
    }

    /// No rule was broken, and nothing sent again that was taken.
    pub fn assert_no_violations(&self) {
        self.with(|it| {
            assert!(
                it.violations.is_empty(),
                "{} times, {}",
                it.violations.len(),
                it.violations[0]
            );
            assert_eq!(it.repeated_points, 0, "sent again though taken");
        });
    }
}

impl FakeState {
    fn create_time_series(&mut self, request: CreateTimeSeriesRequest) -> Result<(), Status> {
        let lost_response = match self.next_responses.pop_front() {
            Some(NextResponse::Fail(status)) => return Err(status),
            Some(NextResponse::LoseResponse(status)) => Some(status),
            Some(NextResponse::Hang) | None => None,
        };
        self.requests.push(request.time_series.len());
        if request.time_series.len() > 200 {
            let too_many = format!(
                "Field timeSeries had an invalid value: At most 200 TimeSeries can be written in one request, there are {}.",
                request.time_series.len()
            );
            self.violations.push(too_many.clone());
            return Err(Status::invalid_argument(too_many));
        }
        let now = (self.now)();
        let mut failed: BTreeMap<(i32, String), Vec<usize>> = BTreeMap::new();
        let mut keys_in_request = std::collections::BTreeSet::new();
        let total = request.time_series.len();
        for (index, it) in request.time_series.into_iter().enumerate() {
            let new_key = || rules::key(&it);
            let key = self
                .keys
                .entry(rules::bytes(&it))
                .or_insert_with(new_key)
                .clone();
            let mut why =
                (!keys_in_request.insert(key.clone())).then(|| rules::DUPLICATE.to_owned());
            let metric_type = &it.metric.as_ref().unwrap().r#type;
            if self.auto_create && !self.descriptors.contains_key(metric_type) {
                let descriptor = MetricDescriptor {
                    r#type: metric_type.clone(),
                    metric_kind: it.metric_kind,
                    value_type: it.value_type,
                    ..MetricDescriptor::default()
                };
                self.descriptors.insert(metric_type.clone(), descriptor);
            }
            let last = self.series.get(&key).and_then(|points| points.last());
            why = why.or_else(|| {
                rules::violation(
                    &it,
                    last,
                    self.descriptors.get(metric_type),
                    now,
                    self.interval,
                )
            });
            if let Some(why) = why {
                let point = it.points.first();
                self.repeated_points += u64::from(point.is_some() && point == last);
                self.violations.push(format!("{key}: {why}"));
                failed
                    .entry((Code::InvalidArgument as i32, why))
                    .or_default()
                    .push(index);
            } else if let Some((code, why)) = (self.reject)(&key) {
                failed.entry((code as i32, why)).or_default().push(index);
            } else {
                self.series.entry(key).or_default().extend(it.points);
            }
        }
        if let Some(status) = lost_response {
            return Err(status);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(partial_failure(&failed, total))
        }
    }
}

impl fmt::Debug for FakeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeState")
            .field("requests", &self.requests)
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}

/// The answer to a request that was taken in part, in the API's words.
fn partial_failure(failed: &BTreeMap<(i32, String), Vec<usize>>, total: usize) -> Status {
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
