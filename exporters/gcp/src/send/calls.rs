//! Which points go, in which requests of the API.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::BytesMut;
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    Point, TimeInterval, TimeSeries,
};
use pipeline::{Batch, Value};
use prost::Message;
use prost_types::Timestamp;

use crate::Gcp;
use crate::map::mapping;
use crate::map::tables::Mapped;
use crate::send::api::append;
use crate::send::descriptors::{Descriptor, Made};
use crate::send::pace::{Admission, OutgoingPoint, Reading};
use crate::send::series_states::SeriesStates;

/// How many series a request of the API may have.
const SERIES: usize = 200;

/// A point: the batch and the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) batch: usize,
    pub(crate) row: usize,
}

/// A point that goes.
#[derive(Debug)]
pub(crate) struct Going {
    pub(crate) at: At,
    pub(crate) time: u64,
    pub(crate) ready: OutgoingPoint,
    /// It was sent before, and nobody knows whether it was taken.
    pub(crate) again: bool,
}

/// A request of the API.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) project: Arc<str>,
    pub(crate) going: Vec<Going>,
    /// The series, encoded.
    pub(crate) body: BytesMut,
}

/// What becomes of the points of a request of the pipeline, one point a series.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) all: Vec<Call>,
    /// The second points of series: they go when the first ones have.
    pub(crate) later: Vec<At>,
    /// What does not go, by reason.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// What the API took before, and the queue did not learn it.
    pub(crate) taken: u64,
    /// What it refused before.
    pub(crate) rejected: u64,
}

/// What one point is.
enum Next {
    Goes(Going),
    Dropped(&'static str),
    /// It was dealt with; whether the API took it.
    Done(bool),
}

impl Gcp {
    pub(crate) fn series(&self) -> MutexGuard<'_, SeriesStates> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests for these points.
    pub(crate) fn calls(
        &self,
        request: &[Batch],
        mapped: &[Arc<Mapped>],
        points: Vec<At>,
    ) -> Calls {
        let now = (self.now)();
        let mut series = self.series();
        series.forget_unseen(now);
        let (mut made, mut ids) = (Calls::default(), HashSet::new());
        for at in points {
            let table = &mapped[at.batch];
            let next = match &table.rows[at.row] {
                Some((row, _)) if ids.contains(&row.id) => {
                    made.later.push(at);
                    continue;
                }
                Some((row, descriptor)) => {
                    let next = self.next(&mut series, now, &request[at.batch], table, at);
                    if let Next::Goes(going) = &next {
                        ids.insert(row.id);
                        let call = made.open(&table.common.project);
                        let point = point(descriptor, &going.ready);
                        let parts = [&*row.encoded, &*table.common.encoded, &point];
                        append(&mut call.body, &parts);
                    }
                    next
                }
                None => Next::Dropped("series_refused"),
            };
            match next {
                Next::Goes(going) => made.open(&table.common.project).going.push(going),
                Next::Dropped(reason) => *made.dropped.entry(reason).or_default() += 1,
                Next::Done(true) => made.taken += 1,
                Next::Done(false) => made.rejected += 1,
            }
        }
        made
    }

    fn next(
        &self,
        series: &mut SeriesStates,
        now: u64,
        batch: &Batch,
        table: &Mapped,
        at: At,
    ) -> Next {
        let (of, value) = (&batch.table().series()[at.row], &batch.values()[at.row]);
        let Some((row, descriptor)) = &table.rows[at.row] else {
            return Next::Dropped("series_refused");
        };
        let Some(state) = series.get(row, now) else {
            let metric_type = &descriptor.metric_type;
            self.say(&(row.id, 0_u8), || {
                format!(
                    "{} would become a series of {metric_type} that another one is already; dropped",
                    of.name
                )
            });
            return Next::Dropped("duplicate");
        };
        if *value == Value::Ended {
            state.end();
            return Next::Dropped("ended");
        }
        let value = match (mapping::point_value(of, value), descriptor.made()) {
            (Err(why), _) => Err(why.to_owned()),
            (_, Made::Conflict(why)) => Err(why),
            (Ok(value), Made::As(values)) => value.in_type(values).ok_or_else(|| {
                let values = values.as_str_name();
                format!("its values are no longer what its descriptor says ({values})")
            }),
        };
        let value = match value {
            Ok(value) => value,
            Err(why) => {
                self.say(&(&descriptor.metric_type, &why), || {
                    format!("{} is not sent: {why}", of.name)
                });
                return Next::Dropped("series_refused");
            }
        };
        let reading = Reading {
            start: batch.starts_unix_nano()[at.row],
            time: batch.time_unix_nano(at.row),
            value,
        };
        let time = reading.time;
        match self.pace.admit(state, row.kind, now, reading) {
            Admission::AlreadyAnswered { accepted: taken } => Next::Done(taken),
            Admission::Dropped(reason) => Next::Dropped(reason),
            Admission::Send(ready) => {
                // Until there is an answer, nobody knows.
                let again =
                    std::mem::replace(&mut state.unacknowledged_end, ready.end) == ready.end;
                Next::Goes(Going {
                    at,
                    time,
                    ready,
                    again,
                })
            }
        }
    }
}

impl Calls {
    /// The request of a project that has room for one more.
    fn open(&mut self, project: &Arc<str>) -> &mut Call {
        let has_room = |call: &Call| call.project == *project && call.going.len() < SERIES;
        let at = self.all.iter().rposition(has_room).unwrap_or_else(|| {
            self.all.push(Call {
                project: Arc::clone(project),
                going: Vec::new(),
                body: BytesMut::new(),
            });
            self.all.len() - 1
        });
        &mut self.all[at]
    }
}

/// The point with kind and type, as the fields of a `TimeSeries`.
fn point(descriptor: &Descriptor, ready: &OutgoingPoint) -> Vec<u8> {
    let message = TimeSeries {
        metric_kind: descriptor.kind.into(),
        value_type: ready.value.value_type().into(),
        points: vec![Point {
            interval: Some(TimeInterval {
                start_time: ready.start.map(timestamp),
                end_time: Some(timestamp(ready.end)),
            }),
            value: Some(ready.value.clone().into()),
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
