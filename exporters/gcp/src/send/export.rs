//! One request of the pipeline, as requests of the API: what came back, and what is left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use pipeline::{Batch, BoxError, ExportError, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;

use crate::Gcp;
use crate::map::mapping;
use crate::map::tables::Mapped;
use crate::send::answer::{self, Answer, Fate};
use crate::send::calls::{At, Call};
use crate::send::descriptors::Descriptor;

/// How many requests of the API may be under way for one request of the pipeline: all are of different series.
const AT_A_TIME: usize = 8;

/// What became of a request of the pipeline.
#[derive(Default)]
struct Tally {
    /// What this exporter let go, by reason.
    dropped: BTreeMap<&'static str, u64>,
    taken: u64,
    rejected: u64,
    /// Of those, how many with their request as a whole.
    whole: u64,
    message: String,
    left: HashSet<At>,
    source: Option<BoxError>,
}

impl Gcp {
    pub(crate) async fn export_all(&self, request: &[Batch]) -> Result<(), ExportError> {
        let detected = self.detected_resource().await;
        let mapped: Result<Vec<_>, String> = request
            .iter()
            .map(|batch| self.tables.of(self, detected, batch.table()))
            .collect();
        let mapped = mapped.map_err(|why| {
            self.fatal.send_replace(Some(why.clone()));
            ExportError::permanent(why)
        })?;
        let makes = !self.config.metric.skip_create_descriptor && !self.api.service;
        self.descriptors
            .make(
                makes.then_some(&self.api),
                new_descriptors(request, &mapped),
            )
            .await
            .map_err(|status| ExportError::retryable(answer::explain(&status)))?;

        let mut tally = Tally::default();
        let mut rest = all_points(request);
        while !rest.is_empty() && tally.left.is_empty() {
            let made = self.calls(request, &mapped, rest);
            tally.rejected += made.rejected;
            tally.taken += made.taken;
            for (reason, count) in made.dropped {
                *tally.dropped.entry(reason).or_default() += count;
            }
            rest = self.send(&mapped, made.all, &mut tally).await;
            rest.extend(made.later);
        }
        tally.left.extend(rest);
        for (reason, count) in &tally.dropped {
            self.counters.add("points_dropped", reason, *count);
        }
        tally.outcome(request)
    }

    /// Sends the requests; gives the points that are to be sent again at once.
    async fn send(&self, mapped: &[Arc<Mapped>], calls: Vec<Call>, tally: &mut Tally) -> Vec<At> {
        let room = Arc::new(Semaphore::new(AT_A_TIME));
        let mut tasks = JoinSet::new();
        for mut call in calls {
            let (api, room) = (Arc::clone(&self.api), Arc::clone(&room));
            tasks.spawn(async move {
                let _room = room.acquire_owned().await;
                let body = std::mem::take(&mut call.body).freeze();
                let done = api.create_time_series(&call.project, body).await;
                (call, done)
            });
        }
        let mut at_once = Vec::new();
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((call, done)) => at_once.append(&mut self.answered(mapped, call, &done, tally)),
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
        done: &Result<(), Status>,
        tally: &mut Tally,
    ) -> Vec<At> {
        let count = call.going.len();
        let mut answer = match done {
            Ok(()) => Answer::taken(count),
            Err(status) => answer::read(status, count),
        };
        let ends: Vec<u64> = call.going.iter().map(|going| going.ready.end).collect();
        answer::spread(&mut answer.fates, &ends);
        tally.rejected += answer.unnamed;
        let mut at_once = Vec::new();
        let mut series = self.series();
        let now = (self.now)();
        for (going, fate) in call.going.into_iter().zip(answer.fates) {
            let table = &mapped[going.at.batch];
            let Some((row, descriptor)) = &table.rows[going.at.row] else {
                continue;
            };
            let Some(state) = series.get(row, now) else {
                continue;
            };
            match fate {
                Fate::Later => drop(tally.left.insert(going.at)),
                Fate::AtOnce => at_once.push(going.at),
                Fate::Taken => {
                    state.record_answer(going.time, &going.ready, true);
                    tally.taken += 1;
                }
                // Sent before, without an answer: that it is too late now says that it was taken then.
                Fate::Refused(why) if going.again && answer::is_too_late(&why) => {
                    state.record_answer(going.time, &going.ready, true);
                    tally.taken += 1;
                }
                Fate::Refused(_) if answer.whole.is_some() => {
                    state.record_answer(going.time, &going.ready, false);
                    tally.rejected += 1;
                    tally.whole += 1;
                }
                Fate::Refused(why) => {
                    state.record_answer(going.time, &going.ready, false);
                    tally.rejected += 1;
                    self.say(&(row.id, 1_u8), || {
                        let of = table.label(going.at.row, &descriptor.metric_type);
                        let resource = &table.common.resource;
                        format!(
                            "{of} of {}{:?} is refused: {why}",
                            resource.r#type, resource.labels
                        )
                    });
                }
            }
        }
        if let Err(status) = done {
            if answer.unnamed > 0 || answer.whole.is_some() {
                tally.message = answer::explain(status);
            }
            if !tally.left.is_empty() {
                let source = || answer::explain(status).into();
                tally.source.get_or_insert_with(source);
            }
        }
        at_once
    }
}

impl Tally {
    fn outcome(self, request: &[Batch]) -> Result<(), ExportError> {
        let rejected = self.rejected;
        let rest = if !self.left.is_empty() {
            let unknown = || "some series were not taken yet".into();
            Err(ExportError::Retryable {
                source: self.source.unwrap_or_else(unknown),
                after: None,
                left: Some(left(request, &self.left)),
                rejected,
            })
        } else if rejected > 0 && rejected == self.whole && self.taken == 0 {
            Err(ExportError::permanent(self.message))
        } else if rejected > 0 {
            let message = self.message;
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
    let mut seen = HashMap::new();
    for (batch, table) in request.iter().zip(mapped) {
        for (row, (of, value)) in batch
            .table()
            .series()
            .iter()
            .zip(batch.values())
            .enumerate()
        {
            let Some((_, descriptor)) = table.rows[row].as_ref().filter(|(_, it)| it.is_new())
            else {
                continue;
            };
            if let Ok(point_value) = mapping::point_value(of, value) {
                let key = Arc::as_ptr(descriptor);
                let (_, values) = seen
                    .entry(key)
                    .or_insert((descriptor, point_value.value_type()));
                if matches!(value, Value::Double(_)) {
                    *values = point_value.value_type();
                }
            }
        }
    }
    let known = seen.into_values().map(|(descriptor, values)| {
        // One that is being made already keeps what it was made with.
        descriptor.seen.get_or_init(|| values);
        Arc::clone(descriptor)
    });
    known.collect()
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
