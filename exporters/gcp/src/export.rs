//! One request of the pipeline, as requests of the API: who goes, what came back, and what is left.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use googleapis_tonic_google_monitoring_v3::google::monitoring::v3::{
    Point, TimeInterval, TimeSeries,
};
use pipeline::{Batch, BoxError, ExportError, Value};
use prost::Message;
use prost_types::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;

use crate::answer::{self, Answer, Fate};
use crate::api::append;
use crate::descriptors::{Descriptor, Made};
use crate::pace::{Admit, Reading, Ready};
use crate::tables::Mapped;
use crate::{Gcp, mapping};

/// How many series a request of the API may have.
const SERIES: usize = 200;
/// How many requests of the API may be under way for one request of the pipeline: all are of different series.
const AT_A_TIME: usize = 8;

/// A point: the batch and the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct At {
    batch: usize,
    row: usize,
}

/// A point that goes.
struct Going {
    at: At,
    time: u64,
    ready: Ready,
    /// It was sent before, and nobody knows whether it was taken.
    again: bool,
}

/// A request of the API.
struct Call {
    project: Arc<str>,
    going: Vec<Going>,
    body: Bytes,
}

/// What became of a request of the pipeline.
#[derive(Default)]
struct Tally {
    /// By reason.
    dropped: BTreeMap<&'static str, u64>,
    rejected: u64,
    message: String,
    left: HashSet<At>,
    source: Option<BoxError>,
}

impl Gcp {
    pub(crate) async fn export_all(&self, request: &[Batch]) -> Result<(), ExportError> {
        let found = self.found().await;
        let mapped: Result<Vec<_>, String> = request
            .iter()
            .map(|batch| self.tables.of(self, &found, batch.table()))
            .collect();
        let mapped = mapped.map_err(|why| {
            self.fatal.send_replace(Some(why.clone()));
            ExportError::permanent(why)
        })?;
        let api =
            (!self.config.metric.skip_create_descriptor && !self.api.service).then_some(&self.api);
        let wanted = new_descriptors(request, &mapped);
        self.descriptors
            .make(api, wanted)
            .await
            .map_err(|status| retryable(&status))?;

        let mut tally = Tally::default();
        let mut rest = all_points(request);
        while !rest.is_empty() && tally.left.is_empty() {
            let (calls, later) = self.calls(request, &mapped, rest, &mut tally);
            rest = self.send(&mapped, calls, &mut tally).await;
            rest.extend(later);
        }
        tally.left.extend(rest);
        tally
            .dropped
            .iter()
            .for_each(|(reason, count)| self.counters.add("points_dropped", reason, *count));
        tally.outcome(request)
    }

    /// Requests for these points, one point a series; the second points of series are for later.
    fn calls(
        &self,
        request: &[Batch],
        mapped: &[Arc<Mapped>],
        points: Vec<At>,
        tally: &mut Tally,
    ) -> (Vec<Call>, Vec<At>) {
        let now = (self.now)();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.tidy(now);
        let (mut calls, mut later, mut ids) = (Vec::<Call>::new(), Vec::new(), HashSet::new());
        let mut bodies: Vec<BytesMut> = Vec::new();
        for at in points {
            let (batch, table) = (&request[at.batch], &mapped[at.batch]);
            let Some((row, descriptor)) = &table.rows[at.row] else {
                tally.drop("series_refused");
                continue;
            };
            if ids.contains(&row.id) {
                later.push(at);
                continue;
            }
            let of = &batch.table().series()[at.row];
            let Some(state) = series.get(row, now) else {
                self.say(&(row.id, 0_u8), || {
                    format!(
                        "{} would become a series of {} that another one is already; dropped",
                        of.name, descriptor.metric_type
                    )
                });
                tally.drop("duplicate");
                continue;
            };
            if batch.values()[at.row] == Value::Ended {
                state.ended();
                tally.drop("ended");
                continue;
            }
            let amount = match (
                mapping::amount(of, &batch.values()[at.row]),
                descriptor.made(),
            ) {
                (Err(why), _) => Err(why.to_owned()),
                (_, Made::Conflict(why)) => Err(why),
                (Ok(amount), Made::As(values)) => {
                    let why = || {
                        format!(
                            "its values are no longer what its descriptor says ({})",
                            values.as_str_name()
                        )
                    };
                    amount.in_type(values).ok_or_else(why)
                }
            };
            let amount = match amount {
                Ok(amount) => amount,
                Err(why) => {
                    self.say(&(&descriptor.metric_type, &why), || {
                        format!("{} is not sent: {why}", of.name)
                    });
                    tally.drop("series_refused");
                    continue;
                }
            };
            let time = batch.time_unix_nano(at.row);
            let start = batch.starts_unix_nano()[at.row];
            match self.pace.admit(
                state,
                row.shape,
                now,
                Reading {
                    start,
                    time,
                    amount,
                },
            ) {
                Admit::Done(true) => {}
                Admit::Done(false) => tally.rejected += 1,
                Admit::Leave(reason) => tally.drop(reason),
                Admit::Send(ready) => {
                    ids.insert(row.id);
                    // A project's last request, as long as there is room in it.
                    let project = &table.common.project;
                    let open = calls
                        .iter()
                        .rposition(|call| call.project == *project && call.going.len() < SERIES);
                    let call = open.unwrap_or_else(|| {
                        calls.push(Call {
                            project: Arc::clone(project),
                            going: Vec::new(),
                            body: Bytes::new(),
                        });
                        bodies.push(BytesMut::new());
                        calls.len() - 1
                    });
                    let point = point(descriptor, &ready);
                    append(
                        &mut bodies[call],
                        &[&row.encoded, &table.common.encoded, &point],
                    );
                    // Until there is an answer, nobody knows.
                    let again = std::mem::replace(&mut state.unsure, ready.end) == ready.end;
                    calls[call].going.push(Going {
                        at,
                        time,
                        ready,
                        again,
                    });
                }
            }
        }
        for (call, body) in calls.iter_mut().zip(bodies) {
            call.body = body.freeze();
        }
        (calls, later)
    }

    /// Sends the requests; gives the points that are to be sent again at once.
    async fn send(&self, mapped: &[Arc<Mapped>], calls: Vec<Call>, tally: &mut Tally) -> Vec<At> {
        let room = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for call in calls {
            let (api, room) = (Arc::clone(&self.api), Arc::clone(&room));
            tasks.spawn(async move {
                let _room = room.acquire_owned().await;
                let done = api
                    .create_time_series(&call.project, call.body.clone())
                    .await;
                (call, done)
            });
        }
        let mut at_once = Vec::new();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((call, done)) => at_once.append(&mut self.answered(mapped, call, done, tally)),
                // A task of ours is never cancelled: it broke down, and so does this one.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        at_once
    }

    fn answered(
        &self,
        mapped: &[Arc<Mapped>],
        call: Call,
        done: Result<(), Status>,
        tally: &mut Tally,
    ) -> Vec<At> {
        let count = call.going.len();
        let answer = match &done {
            Ok(()) => Answer {
                fates: vec![Fate::Taken; count],
                unnamed: 0,
            },
            Err(status) => answer::read(status, count),
        };
        tally.rejected += answer.unnamed;
        if answer.unnamed > 0 {
            tally.message = done
                .as_ref()
                .map_err(answer::explain)
                .err()
                .unwrap_or_default();
        }
        let mut at_once = Vec::new();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        for (going, fate) in call.going.into_iter().zip(answer.fates) {
            let table = &mapped[going.at.batch];
            let Some((row, descriptor)) = &table.rows[going.at.row] else {
                continue;
            };
            let Some(state) = series.get(row, (self.now)()) else {
                continue;
            };
            // Sent before, without an answer: that it comes too often or too late now says that it was taken then.
            let was_taken = going.again
                && matches!(&fate, Fate::Refused(why) if why.contains("more frequently") || why.contains("in order"));
            match fate {
                Fate::Later => drop(tally.left.insert(going.at)),
                Fate::AtOnce => at_once.push(going.at),
                Fate::Taken => state.answered(going.time, &going.ready, true),
                Fate::Refused(_) if was_taken => state.answered(going.time, &going.ready, true),
                Fate::Refused(why) => {
                    state.answered(going.time, &going.ready, false);
                    tally.rejected += 1;
                    self.say(&(row.id, 1_u8), || {
                        let labels = &table.common.resource.labels;
                        format!(
                            "{} of {}{labels:?} is refused: {why}",
                            table.label(going.at.row, &descriptor.metric_type),
                            table.common.resource.r#type
                        )
                    });
                }
            }
        }
        if let Err(status) = &done
            && !tally.left.is_empty()
            && tally.source.is_none()
        {
            tally.source = Some(answer::explain(status).into());
        }
        at_once
    }
}

impl Tally {
    fn drop(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    fn outcome(self, request: &[Batch]) -> Result<(), ExportError> {
        let rest = if !self.left.is_empty() {
            Err(ExportError::Retryable {
                source: self
                    .source
                    .unwrap_or_else(|| "some series were not taken yet".into()),
                after: None,
                left: Some(left(request, &self.left)),
                rejected: self.rejected,
            })
        } else if self.rejected > 0 {
            let (rejected, message) = (self.rejected, self.message);
            Err(ExportError::Partial { rejected, message })
        } else {
            Ok(())
        };
        match self.dropped.values().sum() {
            0 => rest,
            points => Err(ExportError::Dropped {
                points,
                rest: rest.map_err(Box::new),
            }),
        }
    }
}

fn retryable(status: &Status) -> ExportError {
    ExportError::retryable(answer::explain(status))
}

fn all_points(request: &[Batch]) -> Vec<At> {
    let of = |(batch, it): (usize, &Batch)| {
        let rows = it.values().iter().enumerate();
        let shown = rows.filter(|(_, value)| **value != Value::Absent);
        shown
            .map(move |(row, _)| At { batch, row })
            .collect::<Vec<_>>()
    };
    request.iter().enumerate().flat_map(of).collect()
}

/// The descriptors that have to be made, each with the type of its first values: a real number among them makes it real.
fn new_descriptors(request: &[Batch], mapped: &[Arc<Mapped>]) -> Vec<Arc<Descriptor>> {
    let mut seen: Vec<(Arc<Descriptor>, Option<_>)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for at in all_points(request) {
        let (batch, table) = (&request[at.batch], &mapped[at.batch]);
        let Some((_, descriptor)) = &table.rows[at.row] else {
            continue;
        };
        if !descriptor.is_new() {
            continue;
        }
        let slot = *index.entry(Arc::as_ptr(descriptor)).or_insert_with(|| {
            seen.push((Arc::clone(descriptor), None));
            seen.len() - 1
        });
        let is_double = matches!(batch.values()[at.row], Value::Double(_));
        if (seen[slot].1.is_none() || is_double)
            && let Ok(amount) =
                mapping::amount(&batch.table().series()[at.row], &batch.values()[at.row])
        {
            seen[slot].1 = Some(amount.value_type());
        }
    }
    let known = seen.into_iter().filter(|(descriptor, values)| {
        // One that is being made already keeps what it was made with.
        values.is_some_and(|values| {
            descriptor.seen.get_or_init(|| values);
            true
        })
    });
    known.map(|(descriptor, _)| descriptor).collect()
}

/// The point with kind and type, as the fields of a `TimeSeries`.
fn point(descriptor: &Descriptor, ready: &Ready) -> Vec<u8> {
    let message = TimeSeries {
        metric_kind: descriptor.kind.into(),
        value_type: ready.amount.value_type().into(),
        points: vec![Point {
            interval: Some(TimeInterval {
                start_time: ready.start.map(timestamp),
                end_time: Some(timestamp(ready.end)),
            }),
            value: Some(ready.amount.clone().into()),
        }],
        ..TimeSeries::default()
    };
    message.encode_to_vec()
}

fn timestamp(unix_nano: u64) -> Timestamp {
    let part = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    Timestamp {
        seconds: part(unix_nano / 1_000_000_000),
        nanos: i32::try_from(unix_nano % 1_000_000_000).unwrap_or_default(),
    }
}

/// The request without what was dealt with.
fn left(request: &[Batch], left: &HashSet<At>) -> Vec<Batch> {
    let of = |(batch, it): (usize, &Batch)| {
        let values = it.values().iter().enumerate().map(|(row, value)| {
            if left.contains(&At { batch, row }) {
                value.clone()
            } else {
                Value::Absent
            }
        });
        it.with_values(values.collect())
    };
    let all = request.iter().enumerate().map(of);
    all.filter(|batch| batch.points() > 0).collect()
}
