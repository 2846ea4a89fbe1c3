//! Decides which points are sent, and in which request of the API.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::BytesMut;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    Point, TimeInterval, TimeSeries,
};
use pipeline::telemetry::DropReason;
use pipeline::{Batch, Value};
use prost::Message;
use prost_types::Timestamp;

use crate::Gcp;
use crate::map::series::point_value;
use crate::map::tables::MappedTable;
use crate::send::api::append_series;
use crate::send::descriptors::{CreationOutcome, Descriptor};
use crate::send::drop_reasons::{DUPLICATE, ENDED, SERIES_REFUSED};
use crate::send::pace::{Admission, OutgoingPoint, Reading};
use crate::send::series_states::SeriesStates;

/// The maximum number of series in a request of the API.
const MAX_SERIES_PER_REQUEST: usize = 200;

/// The position of a point in a request of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PointRef {
    pub(crate) batch: usize,
    pub(crate) row: usize,
}

/// A point that is sent.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) point_ref: PointRef,
    pub(crate) reading_time: u64,
    pub(crate) point: OutgoingPoint,
    /// It was sent before, and that request was not acknowledged.
    pub(crate) is_resent: bool,
}

/// A request of the API.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) project: Arc<str>,
    pub(crate) points: Vec<InFlight>,
    /// The series, encoded.
    pub(crate) body: BytesMut,
}

/// The requests of the API for a request of the pipeline. Each series has one point in them.
#[derive(Debug, Default)]
pub(crate) struct PlannedRequests {
    pub(crate) requests: Vec<ApiRequest>,
    /// Further points of the same series. They are sent after the first ones.
    pub(crate) postponed: Vec<PointRef>,
    /// Points of series that wait, which they join.
    pub(crate) waiting: Vec<(PointRef, Reading)>,
    /// Points that are not sent, by reason.
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    /// Points that the API accepted in an earlier attempt whose outcome the queue did not learn.
    pub(crate) accepted: u64,
    /// Points that the API rejected in such an attempt.
    pub(crate) rejected: u64,
}

/// What to do with one point.
enum PointPlan {
    Send(InFlight),
    /// The API refuses the series for the time being.
    Wait(Reading),
    Dropped(DropReason),
    /// An earlier attempt had the answer for it; whether the API accepted it.
    AlreadyAnswered {
        accepted: bool,
    },
}

impl Gcp {
    pub(crate) fn series_states(&self) -> MutexGuard<'_, SeriesStates> {
        self.series_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests of the API for these points. `refused` are the series that it has refused for the time being in this export.
    pub(crate) fn plan_requests(
        &self,
        request: &[Batch],
        tables: &[Arc<MappedTable>],
        points: Vec<PointRef>,
        refused: &HashSet<u128>,
    ) -> PlannedRequests {
        let now = (self.now)();
        let mut states = self.series_states();
        states.forget_unseen(now);
        let (mut planned, mut ids) = (PlannedRequests::default(), HashSet::new());
        for point_ref in points {
            let table = &tables[point_ref.batch];
            let plan = match &table.rows[point_ref.row] {
                Some((mapped, _)) if ids.contains(&mapped.id) => {
                    planned.postponed.push(point_ref);
                    continue;
                }
                Some((mapped, _)) => {
                    let batch = &request[point_ref.batch];
                    let is_refused = refused.contains(&mapped.id);
                    let plan =
                        self.plan_point(&mut states, now, batch, table, point_ref, is_refused);
                    if matches!(plan, PointPlan::Send(_)) {
                        ids.insert(mapped.id);
                    }
                    plan
                }
                None => PointPlan::Dropped(SERIES_REFUSED),
            };
            match plan {
                PointPlan::Send(in_flight) => planned.add(table, in_flight),
                PointPlan::Wait(reading) => planned.waiting.push((point_ref, reading)),
                PointPlan::Dropped(reason) => *planned.dropped.entry(reason).or_default() += 1,
                PointPlan::AlreadyAnswered { accepted: true } => planned.accepted += 1,
                PointPlan::AlreadyAnswered { accepted: false } => planned.rejected += 1,
            }
        }
        planned
    }

    fn plan_point(
        &self,
        states: &mut SeriesStates,
        now: u64,
        batch: &Batch,
        table: &MappedTable,
        point_ref: PointRef,
        is_refused: bool,
    ) -> PointPlan {
        let (series, value) = (
            &batch.table().series()[point_ref.row],
            &batch.values()[point_ref.row],
        );
        let Some((mapped, descriptor)) = &table.rows[point_ref.row] else {
            return PointPlan::Dropped(SERIES_REFUSED);
        };
        let waits = is_refused || states.deferred.contains(mapped.id);
        let Some(state) = states.get(mapped, now) else {
            let metric_type = &descriptor.metric_type;
            self.warnings.warn_with("duplicate series dropped", || {
                let name = &series.name;
                format!("{name} would become a series of {metric_type} that another one is already")
            });
            return PointPlan::Dropped(DUPLICATE);
        };
        if *value == Value::Ended {
            state.end();
            return PointPlan::Dropped(ENDED);
        }
        let value = match (point_value(series, value), descriptor.creation_outcome()) {
            (Err(why), _) => Err(why.to_owned()),
            (_, CreationOutcome::Conflict(why)) => Err(why),
            (Ok(value), CreationOutcome::Usable(value_type)) => {
                value.in_type(value_type).ok_or_else(|| {
                    let value_type = value_type.as_str_name();
                    format!("its values are no longer what its descriptor says ({value_type})")
                })
            }
        };
        let value = match value {
            Ok(value) => value,
            Err(why) => {
                let detail = || format!("{}: {why}", series.name);
                self.warnings.warn_with("series not sent", detail);
                return PointPlan::Dropped(SERIES_REFUSED);
            }
        };
        let reading = Reading {
            start: batch.starts_unix_nano()[point_ref.row],
            time: batch.time_unix_nano(point_ref.row),
            value,
        };
        let reading_time = reading.time;
        if waits && state.answer_to(reading_time).is_none() {
            return PointPlan::Wait(reading);
        }
        match self.pace.admit(state, mapped.kind, now, reading) {
            Admission::AlreadyAnswered { accepted } => PointPlan::AlreadyAnswered { accepted },
            Admission::Dropped(reason) => PointPlan::Dropped(reason),
            Admission::Send(point) => {
                // Unacknowledged until the response is there.
                let is_resent =
                    std::mem::replace(&mut state.unacknowledged_end, point.end) == point.end;
                PointPlan::Send(InFlight {
                    point_ref,
                    reading_time,
                    point,
                    is_resent,
                })
            }
        }
    }
}

impl PlannedRequests {
    /// Adds a point to a request.
    pub(crate) fn add(&mut self, table: &MappedTable, in_flight: InFlight) {
        let Some((mapped, descriptor)) = &table.rows[in_flight.point_ref.row] else {
            return;
        };
        let encoded_point = encode_point(descriptor, &in_flight.point);
        let parts = [
            &*mapped.encoded_metric,
            &*table.common.encoded_resource,
            &encoded_point,
        ];
        let api_request = self.open_request(&table.common.project);
        append_series(&mut api_request.body, &parts);
        api_request.points.push(in_flight);
    }

    /// A request of the project that has room for one more series.
    fn open_request(&mut self, project: &Arc<str>) -> &mut ApiRequest {
        let has_room =
            |it: &ApiRequest| it.project == *project && it.points.len() < MAX_SERIES_PER_REQUEST;
        let index = self.requests.iter().rposition(has_room).unwrap_or_else(|| {
            self.requests.push(ApiRequest {
                project: Arc::clone(project),
                points: Vec::new(),
                body: BytesMut::new(),
            });
            self.requests.len() - 1
        });
        &mut self.requests[index]
    }
}

/// The point with its kind and type, encoded as fields of a `TimeSeries`.
fn encode_point(descriptor: &Descriptor, point: &OutgoingPoint) -> Vec<u8> {
    let message = TimeSeries {
        metric_kind: descriptor.kind.into(),
        value_type: point.value.value_type().into(),
        points: vec![Point {
            interval: Some(TimeInterval {
                start_time: point.start.map(timestamp),
                end_time: Some(timestamp(point.end)),
            }),
            value: Some(point.value.clone().into()),
        }],
        ..TimeSeries::default()
    };
    message.encode_to_vec()
}

fn timestamp(unix_nano: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(unix_nano / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_nano % 1_000_000_000).unwrap_or_default(),
    }
}
