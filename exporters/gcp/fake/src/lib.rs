//! A fake of Cloud Monitoring that enforces the documented rules. It checks each point against every rule, and answers a
//! violation with the API's own message and details. It uses Google's types and runs in the test's runtime.

// A panic here fails the test.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod descriptors;
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

/// The fake server, shared with the test.
#[derive(Clone, Debug)]
pub struct Fake(Arc<Mutex<FakeState>>);

/// What the fake does with the next request.
#[derive(Debug)]
pub enum NextResponse {
    /// Fails with this status, and accepts nothing.
    Fail(Status),
    /// Accepts what it would accept, and then fails with this status: the response is lost.
    LoseResponse(Status),
    /// Never responds.
    Hang,
}

/// Decides by a series' key whether it is rejected.
type RejectRule = Box<dyn FnMut(&str) -> Option<(Code, String)> + Send>;

/// The settings of the fake, and what it has received.
pub struct FakeState {
    now: Box<dyn Fn() -> u64 + Send>,
    /// The minimum interval between points of a series, ns.
    pub interval: u64,
    /// The existing descriptors, by metric type.
    pub descriptors: BTreeMap<String, MetricDescriptor>,
    /// The descriptors that were created, updates included.
    pub created_descriptors: Vec<MetricDescriptor>,
    /// All accepted points, by series.
    pub series: BTreeMap<String, Vec<Point>>,
    /// The number of series in each request.
    pub requests: Vec<usize>,
    /// The violations of rules.
    pub violations: Vec<String>,
    /// Points that were sent again after they were accepted.
    pub repeated_points: u64,
    /// Creates a descriptor from the first point of a metric, as the API does.
    pub auto_create: bool,
    /// The error for each creation of a descriptor.
    pub descriptor_error: Option<Status>,
    /// The error for each list of descriptors.
    pub list_error: Option<Status>,
    /// Whether a request with this `authorization` is answered with `UNAUTHENTICATED`.
    pub refuses_token: fn(&str) -> bool,
    /// How many requests were.
    pub refused_tokens: usize,
    /// How many descriptors may be created in a second of the fake's clock; beyond it is `RESOURCE_EXHAUSTED`.
    pub descriptors_per_second: Option<usize>,
    /// The calls about descriptors, by method.
    pub descriptor_calls: BTreeMap<String, usize>,
    /// When descriptors were created in the last second, unix ns.
    recent_creations: VecDeque<u64>,
    /// How many calls there are now, and the most that there were at a time.
    pub concurrent_calls: usize,
    /// The most calls at a time.
    pub max_concurrent_calls: usize,
    /// How long each request takes before it is looked at.
    pub delay: Duration,
    /// The same of a call about descriptors.
    pub descriptor_delay: Duration,
    /// What is done with the next requests.
    pub next_responses: VecDeque<NextResponse>,
    /// The code and the reason if a series is rejected.
    pub reject: RejectRule,
    /// The keys of series by their bytes. Formatting a key takes long.
    keys: HashMap<Vec<u8>, String>,
    /// The method of each request.
    pub methods: Vec<String>,
    /// The headers of each request.
    pub metadata: Vec<tonic::metadata::MetadataMap>,
}

impl Fake {
    /// A fake with this clock, unix ns.
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
            list_error: None,
            refuses_token: |_| false,
            refused_tokens: 0,
            descriptors_per_second: None,
            descriptor_calls: BTreeMap::new(),
            recent_creations: VecDeque::new(),
            concurrent_calls: 0,
            max_concurrent_calls: 0,
            delay: Duration::ZERO,
            descriptor_delay: Duration::ZERO,
            next_responses: VecDeque::new(),
            reject: Box::new(|_| None),
            keys: HashMap::new(),
            methods: Vec::new(),
            metadata: Vec::new(),
        })))
    }

    /// Reads or changes the state.
    pub fn with<T>(&self, look: impl FnOnce(&mut FakeState) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// The number of accepted points.
    #[must_use]
    pub fn accepted_points(&self) -> usize {
        self.with(|it| it.series.values().map(Vec::len).sum())
    }

    /// Asserts that no rule was violated, and no accepted point was sent again.
    pub fn assert_no_violations(&self) {
        self.with(|it| {
            assert!(
                it.violations.is_empty(),
                "{} times, {}",
                it.violations.len(),
                it.violations[0]
            );
            assert_eq!(it.repeated_points, 0, "sent again after it was accepted");
        });
    }
}

impl FakeState {
    /// Whether the token of a request is taken.
    fn check_token(&mut self, headers: &http::HeaderMap) -> Result<(), Status> {
        let token = headers.get(http::header::AUTHORIZATION);
        let token = token.map_or("", |it| it.to_str().unwrap());
        if !(self.refuses_token)(token) {
            return Ok(());
        }
        self.refused_tokens += 1;
        Err(Status::unauthenticated(
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
        ))
    }

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
        for (index, series) in request.time_series.into_iter().enumerate() {
            let new_key = || rules::key(&series);
            let key = self
                .keys
                .entry(rules::bytes(&series))
                .or_insert_with(new_key)
                .clone();
            let mut why =
                (!keys_in_request.insert(key.clone())).then(|| rules::DUPLICATE.to_owned());
            let metric_type = &series.metric.as_ref().unwrap().r#type;
            if self.auto_create && !self.descriptors.contains_key(metric_type) {
                let descriptor = MetricDescriptor {
                    r#type: metric_type.clone(),
                    metric_kind: series.metric_kind,
                    value_type: series.value_type,
                    ..MetricDescriptor::default()
                };
                self.descriptors.insert(metric_type.clone(), descriptor);
            }
            let last = self.series.get(&key).and_then(|points| points.last());
            why = why.or_else(|| {
                rules::violation(
                    &series,
                    last,
                    self.descriptors.get(metric_type),
                    now,
                    self.interval,
                )
            });
            if let Some(why) = why {
                let point = series.points.first();
                self.repeated_points += u64::from(point.is_some() && point == last);
                self.violations.push(format!("{key}: {why}"));
                failed
                    .entry((Code::InvalidArgument as i32, why))
                    .or_default()
                    .push(index);
            } else if let Some((code, why)) = (self.reject)(&key) {
                failed.entry((code as i32, why)).or_default().push(index);
            } else {
                self.series.entry(key).or_default().extend(series.points);
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

/// The response to a request of which some series failed, as the API words it.
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
    // The most severe code, as in the API.
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
