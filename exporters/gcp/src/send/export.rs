//! Exports one request of the pipeline as requests of the API, and accounts for each point.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use pipeline::telemetry::DropReason;
use pipeline::{Batch, BoxError, ExportError, Value};
use tokio::task::JoinSet;
use tonic::Status;

use crate::Gcp;
use crate::map::series::point_value;
use crate::map::tables::MappedTable;
use crate::send::descriptors::Descriptor;
use crate::send::outcome::{self, RequestOutcome, SeriesOutcome};
use crate::send::pace::Reading;
use crate::send::requests::{ApiRequest, InFlight, PointRef};

/// The outcome of a request of the pipeline.
#[derive(Default)]
pub(crate) struct ExportOutcome {
    /// Points that this exporter dropped, by reason.
    pub(super) dropped: BTreeMap<DropReason, u64>,
    accepted: u64,
    pub(crate) rejected: u64,
    /// Of those, the points whose whole request was rejected.
    rejected_as_a_whole: u64,
    message: String,
    to_retry: HashSet<PointRef>,
    retry_reason: Option<BoxError>,
    /// Points that the API refused for the time being, and later ones of series that wait.
    pub(super) refused: Vec<InFlight>,
    refused_ids: HashSet<u128>,
    pub(super) waiting: Vec<(PointRef, Reading)>,
    /// How many points wait now. They are accounted for when they are done.
    pub(super) deferred: u64,
}

impl Gcp {
    pub(crate) async fn export_all(&self, request: &[Batch]) -> Result<(), ExportError> {
        let detected = self.detected_resource().await;
        let tables: Result<Vec<_>, String> = request
            .iter()
            .map(|batch| self.tables.get_or_map(self, &detected, batch.table()))
            .collect();
        self.mapping_error.send_if_modified(|error| {
            let found = tables.as_ref().err().cloned();
            let is_other = *error != found;
            *error = found;
            is_other
        });
        let tables = tables.map_err(ExportError::retryable)?;
        let creates_descriptors =
            !self.config.metric.skip_create_descriptor && !self.api.is_service_time_series;
        self.descriptors
            .create(
                creates_descriptors.then_some(&self.api),
                &self.type_prefix,
                uncreated_descriptors(request, &tables),
                &self.warnings,
            )
            .await;

        let mut export = ExportOutcome::default();
        let mut points = all_points(request);
        while !points.is_empty() && export.to_retry.is_empty() {
            let planned = self.plan_requests(request, &tables, points, &export.refused_ids);
            export.rejected += planned.rejected;
            export.accepted += planned.accepted;
            for (reason, count) in planned.dropped {
                *export.dropped.entry(reason).or_default() += count;
            }
            export.waiting.extend(planned.waiting);
            points = self.send(&tables, planned.requests, &mut export).await;
            points.extend(planned.postponed);
        }
        export.to_retry.extend(points);
        self.defer(&tables, &mut export);
        for (reason, count) in &export.dropped {
            self.counters.dropped(*reason, *count);
        }
        export.into_result(request)
    }

    /// Sends the requests. Returns the points to send again at once.
    pub(crate) async fn send(
        &self,
        tables: &[Arc<MappedTable>],
        requests: Vec<ApiRequest>,
        export: &mut ExportOutcome,
    ) -> Vec<PointRef> {
        let mut tasks = JoinSet::new();
        for mut api_request in requests {
            let api = Arc::clone(&self.api);
            tasks.spawn(async move {
                let body = std::mem::take(&mut api_request.body).freeze();
                let response = api.create_time_series(&api_request.project, body).await;
                (api_request, response)
            });
        }
        let mut retry_now = Vec::new();
        while let Some(finished) = tasks.join_next().await {
            match finished {
                Ok((api_request, response)) => retry_now.append(&mut self.record_response(
                    tables,
                    api_request,
                    &response,
                    export,
                )),
                // These tasks are never cancelled: this one panicked, and so does the export.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        retry_now
    }

    fn record_response(
        &self,
        tables: &[Arc<MappedTable>],
        api_request: ApiRequest,
        response: &Result<(), Status>,
        export: &mut ExportOutcome,
    ) -> Vec<PointRef> {
        let count = api_request.points.len();
        let mut request_outcome = match response {
            Ok(()) => RequestOutcome::accepted(count),
            Err(status) => outcome::parse_error(status, count),
        };
        let ends: Vec<u64> = api_request
            .points
            .iter()
            .map(|in_flight| in_flight.point.end)
            .collect();
        outcome::propagate_rejection(&mut request_outcome.outcomes, &ends);
        export.rejected += request_outcome.unnamed_rejections;
        let mut retry_now = Vec::new();
        let mut states = self.series_states();
        let now = (self.now)();
        for (in_flight, outcome) in api_request.points.into_iter().zip(request_outcome.outcomes) {
            let table = &tables[in_flight.point_ref.batch];
            let Some((mapped, _)) = &table.rows[in_flight.point_ref.row] else {
                continue;
            };
            let Some(state) = states.get(mapped, now) else {
                continue;
            };
            match outcome {
                SeriesOutcome::RetryLater => drop(export.to_retry.insert(in_flight.point_ref)),
                SeriesOutcome::Deferred(why) => {
                    export.refused_ids.insert(mapped.id);
                    self.warnings.warn_with(
                        "series refused by the API for the time being; each waits alone",
                        || table.describe_refusal(in_flight.point_ref.row, &why),
                    );
                    export.refused.push(in_flight);
                }
                SeriesOutcome::RetryNow => retry_now.push(in_flight.point_ref),
                SeriesOutcome::Accepted => {
                    state.record_answer(in_flight.reading_time, &in_flight.point, true);
                    export.accepted += 1;
                }
                // It was sent before and not acknowledged. If the API has that point or a newer one, it accepted the point then.
                SeriesOutcome::Rejected(why)
                    if in_flight.is_resent && outcome::is_superseded(&why) =>
                {
                    state.record_answer(in_flight.reading_time, &in_flight.point, true);
                    export.accepted += 1;
                }
                SeriesOutcome::Rejected(_) if request_outcome.request_error.is_some() => {
                    state.record_answer(in_flight.reading_time, &in_flight.point, false);
                    export.rejected += 1;
                    export.rejected_as_a_whole += 1;
                }
                // All series have it after a restart: one warning for all of them.
                SeriesOutcome::Rejected(why)
                    if outcome::is_superseded(&why) && !state.has_accepted() =>
                {
                    state.record_answer(in_flight.reading_time, &in_flight.point, false);
                    export.rejected += 1;
                    let message =
                        "first points of series rejected by the API, which has newer ones";
                    self.warnings.warn_with(message, || {
                        let interval = self.config.metric.min_interval.0;
                        format!("this program has started anew within {interval:?}, or another one writes the same series")
                    });
                }
                SeriesOutcome::Rejected(why) => {
                    state.record_answer(in_flight.reading_time, &in_flight.point, false);
                    export.rejected += 1;
                    self.warnings.warn_with("series rejected by the API", || {
                        table.describe_refusal(in_flight.point_ref.row, &why)
                    });
                }
            }
        }
        if let Err(status) = response {
            if request_outcome.unnamed_rejections > 0 || request_outcome.request_error.is_some() {
                export.message = self.api.explain(status);
            }
            if !export.to_retry.is_empty() {
                let reason = || self.api.explain(status).into();
                export.retry_reason.get_or_insert_with(reason);
            }
        }
        retry_now
    }
}

impl ExportOutcome {
    fn into_result(self, request: &[Batch]) -> Result<(), ExportError> {
        let rejected = self.rejected;
        let rest = if !self.to_retry.is_empty() {
            let unknown = || "some series were not taken yet".into();
            Err(ExportError::Retryable {
                source: self.retry_reason.unwrap_or_else(unknown),
                after: None,
                left: Some(batches_to_retry(request, &self.to_retry)),
                rejected,
            })
        } else if rejected > 0 && rejected == self.rejected_as_a_whole && self.accepted == 0 {
            Err(ExportError::permanent(self.message))
        } else if rejected > 0 {
            let message = self.message;
            Err(ExportError::Partial { rejected, message })
        } else {
            Ok(())
        };
        // What waits is counted when it is done: here it is no more than gone.
        match self.dropped.values().sum::<u64>() + self.deferred {
            0 => rest,
            points => Err(ExportError::Dropped {
                points,
                rest: rest.map_err(Box::new),
            }),
        }
    }
}

fn all_points(request: &[Batch]) -> Vec<PointRef> {
    let of = |(batch, it): (usize, &Batch)| {
        let rows = it.values().iter().enumerate();
        let shown = rows.filter(|(_, value)| **value != Value::Absent);
        shown
            .map(move |(row, _)| PointRef { batch, row })
            .collect::<Vec<_>>()
    };
    request.iter().enumerate().flat_map(of).collect()
}

/// The descriptors to create. Each has the type of its first values; if one of them is a double, it is a double.
fn uncreated_descriptors(request: &[Batch], tables: &[Arc<MappedTable>]) -> Vec<Arc<Descriptor>> {
    let mut uncreated = HashMap::new();
    for (batch, table) in request.iter().zip(tables) {
        for (row, (series, value)) in batch
            .table()
            .series()
            .iter()
            .zip(batch.values())
            .enumerate()
        {
            let Some((_, descriptor)) = table.rows[row].as_ref().filter(|(_, it)| it.is_due())
            else {
                continue;
            };
            if let Ok(value_sent) = point_value(series, value) {
                let key = Arc::as_ptr(descriptor);
                let (_, value_type) = uncreated
                    .entry(key)
                    .or_insert((descriptor, value_sent.value_type()));
                if matches!(value, Value::Double(_)) {
                    *value_type = value_sent.value_type();
                }
            }
        }
    }
    let descriptors = uncreated.into_values().map(|(descriptor, value_type)| {
        // A descriptor that is being created keeps its type.
        descriptor.first_value_type.get_or_init(|| value_type);
        Arc::clone(descriptor)
    });
    descriptors.collect()
}

/// The request with only the points to retry.
fn batches_to_retry(request: &[Batch], to_retry: &HashSet<PointRef>) -> Vec<Batch> {
    let of = |(batch, it): (usize, &Batch)| {
        let values = it.values().iter().enumerate().map(|(row, value)| {
            if to_retry.contains(&PointRef { batch, row }) {
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
