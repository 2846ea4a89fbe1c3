//! Runs a graph from start to end: signals, draining, the deadline, and what the program answers.

use std::collections::BTreeSet;
use std::time::Duration;

use pipeline::telemetry::{Counter, CounterValue, Counters};
use pipeline::{Host, Shutdown};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::background::{BackgroundTasks, broke_down};
use crate::config::Encoding;
use crate::exporter::OwnTasks;
use crate::extensions;
use crate::files;
use crate::graph::{Ended, Graph, RunningGraph, spawn};
use crate::request_logs;
use crate::service_manager::ServiceManager;
use crate::signals::{Signals, Wish};
use crate::telemetry::{Reader, StartupReporter, SummaryReporter, start_readers};

/// How a graph is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) once: bool,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) summary_interval: Duration,
    pub(crate) encoding: Encoding,
}

/// Runs until a signal, the end of `--once`, the last exporter whose reader is gone, or a component's error; the components run on `workers`.
pub(crate) async fn run(
    mut graph: Graph,
    readers: Vec<Reader>,
    options: Options,
    counters: Counters,
    workers: &Handle,
) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|error| error.to_string())?;
    if !options.once {
        let files = std::mem::take(&mut graph.files);
        files::watch(files).map_err(|error| error.to_string())?;
    }
    let host = host(&graph, &counters, workers);
    let (rules, required) = (graph.rules.clone(), graph.required.clone());
    let extensions = std::mem::take(&mut graph.extensions);
    let mut extensions = tokio::select! {
        started = extensions::start(extensions, &host, workers) => started?,
        _ = signals.next() => return exit_result(options, &required, &counters),
    };
    let mut readers = tokio::select! {
        started = start_readers(readers, workers) => started?,
        _ = signals.next() => return exit_result(options, &required, &counters),
    };
    let mut exporters = tokio::select! {
        started = OwnTasks::start(graph.started_exporters(), &counters, workers) => started?,
        _ = signals.next() => return exit_result(options, &required, &counters),
    };
    let logs = request_logs::open(&graph)?;
    let (end, shutdown) = watch::channel(false);
    let mut running = {
        let _spawned_there = workers.enter();
        spawn(
            graph,
            logs,
            &Shutdown::new(shutdown),
            options.once,
            &counters,
        )
    };
    let (mut receiving, mut exporting) = (running.receivers, running.exporters);
    let mut startup = StartupReporter::new(running.receivers, required.clone(), rules);
    let mut summary = SummaryReporter::new(options.summary_interval, options.encoding);
    let manager = ServiceManager::from_environment(&counters);
    manager.watch(&host).map_err(|error| error.to_string())?;
    manager.ready();
    let mut deadline: Option<Instant> = None;
    let mut failure: Option<String> = None;
    let mut forced = false;

    while !running.tasks.is_empty() {
        let begin_end = tokio::select! {
            wish = signals.next() => { forced = wish == Wish::EndNow; true }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => { forced = true; true }
            () = summary.tick() => {
                if let Some(text) = summary.log(&counters) {
                    manager.status(&text);
                }
                false
            }
            report = running.startup_reports.recv(), if !startup.is_logged() => { startup.add(report); false }
            Some(ended) = running.tasks.join_next() => match ended {
                Ok(Ended::Stage) => false,
                Ok(Ended::ClosedExporter(id)) => { exporters.closed(&id); exporting -= 1; exporting == 0 }
                Ok(Ended::Receiver(_, Ok(()))) => { receiving -= 1; receiving == 0 }
                Ok(Ended::Receiver(id, Err(error))) => { failure.get_or_insert(format!("{id}: {error}")); true }
                Err(panic) => { failure.get_or_insert(broke_down(&panic)); true }
            },
            error = exporters.failure() => {
                failure.get_or_insert(error);
                forced = exporters.is_all_failing();
                true
            }
            error = readers.failure() => { failure.get_or_insert(error); true }
            error = extensions.failure() => { failure.get_or_insert(error); true }
        };
        if forced {
            break;
        }
        if begin_end && deadline.is_none() {
            // Nobody left to hear it is fine: then the receivers have ended already.
            let _ = end.send(true);
            host.status().end();
            manager.stopping(options.shutdown_timeout.saturating_add(FINISHING));
            deadline = Some(Instant::now() + options.shutdown_timeout);
        }
    }
    while let Ok(report) = running.startup_reports.try_recv() {
        startup.add(Some(report));
    }
    startup.log();
    if deadline.is_none() {
        host.status().end();
        manager.stopping(FINISHING);
    }
    let beside = (readers, extensions);
    let exporter_failure = finish(running, exporters, beside, &counters).await;
    if let Some(text) = summary.log_last(&counters) {
        manager.status(&text);
    }
    if let Some(failure) = failure.or(exporter_failure) {
        return Err(failure);
    }
    exit_result(options, &required, &counters)
}

/// What extensions see.
fn host(graph: &Graph, counters: &Counters, workers: &Handle) -> Host {
    let extensions = graph.extensions.iter().map(|(id, _)| id.clone());
    let threads = vec![
        ("supervisor", Handle::current()),
        ("pipeline", workers.clone()),
    ];
    Host::new(counters.clone(), graph.status.clone())
        .with_pipelines(graph.shape())
        .with_extensions(extensions.collect())
        .with_threads(threads)
}

/// How long it takes at the most to count what is left.
const COUNTING: Duration = Duration::from_secs(1);

/// How long it takes at the most to [`finish`], and to say so.
const FINISHING: Duration = Duration::from_secs(5);

/// Ends what still runs: what is left goes down to the exporters, who count it. Their own tasks hear the end after the
/// last export, then the readers of own telemetry do, and then the extensions; gives the first error of one.
async fn finish(
    mut running: RunningGraph,
    mut exporters: OwnTasks,
    (mut readers, mut extensions): (BackgroundTasks, BackgroundTasks),
    counters: &Counters,
) -> Option<String> {
    for exporter in &running.give_up {
        exporter.send_replace(true);
    }
    let counted = async { while running.tasks.join_next().await.is_some() {} };
    // What hangs does not end; and what blocks its thread cannot even be taken off it.
    let _ = timeout(COUNTING, counted).await;
    let _ = timeout(COUNTING, running.tasks.shutdown()).await;
    let all = counters.snapshot();
    let late = all
        .iter()
        .filter(|it| it.counter == Counter::POINTS_DROPPED && it.reason == "shutdown");
    let points: u64 = late.map(|it| it.value).sum();
    if points > 0 {
        tracing::warn!(points, "points could not be sent in time and are lost");
    }
    let mut failure = None;
    let _ = timeout(COUNTING, exporters.end(&mut failure)).await;
    if timeout(COUNTING, readers.end(&mut failure)).await.is_err() {
        tracing::warn!("the last of the program's own telemetry could not be told in time");
    }
    let _ = timeout(COUNTING, extensions.end(&mut failure)).await;
    failure
}

/// With `--once`, the exit code says whether everything arrived, and whether each receiver that is not optional gave a point.
fn exit_result(
    options: Options,
    required: &BTreeSet<String>,
    counters: &Counters,
) -> Result<(), String> {
    if !options.once {
        return Ok(());
    }
    let all = counters.snapshot();
    let has_points = |id: &str| {
        let of_it = |it: &&CounterValue| it.counter == Counter::POINTS_READ && &*it.component == id;
        all.iter().any(|it| of_it(&it) && it.value > 0)
    };
    let empty = required.iter().filter(|id| !has_points(id));
    let empty: Vec<String> = empty.map(|id| format!("`{id}`")).collect();
    let mut why = Vec::new();
    if !empty.is_empty() {
        let empty = empty.join(", ");
        why.push(format!(
            "nothing to sweep: no point came from {empty}; `optional: true` allows that"
        ));
    }
    let lost = counters.total(Counter::POINTS_REJECTED.name()) + counters.lost();
    if lost > 0 {
        why.push(format!("{lost} points are lost"));
    }
    if why.is_empty() {
        Ok(())
    } else {
        Err(why.join("; "))
    }
}
