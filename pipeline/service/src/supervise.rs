//! Runs a graph from start to end: signals, draining, the deadline, and what the program answers.

use std::collections::BTreeSet;
use std::time::Duration;

use pipeline::telemetry::{Counter, CounterValue, Counters};
use pipeline::{Host, Shutdown};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};

use crate::background::broke_down;
use crate::beside::{Beside, COUNTING};
use crate::config::Encoding;
use crate::files;
use crate::graph::{Ended, Graph, RunningGraph, spawn};
use crate::request_logs;
use crate::service_manager::ServiceManager;
use crate::signals::{Signals, Wish};
use crate::telemetry::{Reader, StartupReporter, SummaryReporter};

/// How long it takes at the most to [`finish`](Supervisor::finish), and to say so.
const FINISHING: Duration = Duration::from_secs(5);

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
    let beside = tokio::select! {
        started = Beside::start(&mut graph, readers, &host, &counters, workers) => started?,
        _ = signals.next() => return exit_result(options, &required, &counters),
    };
    let logs = request_logs::open(&graph)?;
    let (end, shutdown) = watch::channel(false);
    let running = {
        let _spawned_there = workers.enter();
        spawn(
            graph,
            logs,
            &Shutdown::new(shutdown),
            options.once,
            &counters,
        )
    };
    let manager = ServiceManager::from_environment(&counters);
    manager.watch(&host).map_err(|error| error.to_string())?;
    manager.ready();
    let mut supervisor = Supervisor {
        startup: StartupReporter::new(running.receivers, required.clone(), rules),
        summary: SummaryReporter::new(options.summary_interval, options.encoding),
        running,
        beside,
        manager,
        host,
        counters: counters.clone(),
        end,
        deadline: None,
        failure: None,
    };
    while !supervisor.running.tasks.is_empty() {
        match supervisor.event(&mut signals).await {
            Next::GoOn => {}
            Next::End => supervisor.begin_end(options.shutdown_timeout),
            Next::EndNow => break,
        }
    }
    match supervisor.finish().await {
        Some(failure) => Err(failure),
        None => exit_result(options, &required, &counters),
    }
}

/// A graph that runs, and what is told of it.
struct Supervisor {
    running: RunningGraph,
    beside: Beside,
    startup: StartupReporter,
    summary: SummaryReporter,
    manager: ServiceManager,
    host: Host,
    counters: Counters,
    /// Tells the receivers to end.
    end: watch::Sender<bool>,
    /// When what is left is given up; `None` while it is not ending.
    deadline: Option<Instant>,
    /// The first one.
    failure: Option<String>,
}

/// What is to be done after an event.
enum Next {
    GoOn,
    End,
    EndNow,
}

impl Supervisor {
    /// Waits for something to happen.
    async fn event(&mut self, signals: &mut Signals) -> Next {
        let deadline = self.deadline.unwrap_or_else(Instant::now);
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::End => Next::End,
                Wish::EndNow => Next::EndNow,
            },
            () = sleep_until(deadline), if self.deadline.is_some() => Next::EndNow,
            () = self.summary.tick() => {
                if let Some(text) = self.summary.log(&self.counters) {
                    self.manager.status(&text);
                }
                Next::GoOn
            }
            report = self.running.startup_reports.recv(), if !self.startup.is_logged() => {
                self.startup.add(report);
                Next::GoOn
            }
            Some(ended) = self.running.tasks.join_next() => self.ended(ended),
            (error, is_all_failing) = self.beside.failure() => {
                self.failure.get_or_insert(error);
                if is_all_failing { Next::EndNow } else { Next::End }
            }
        }
    }

    /// A task of the graph has ended.
    fn ended(&mut self, ended: Result<Ended, JoinError>) -> Next {
        let is_over = match ended {
            Ok(Ended::Stage) => false,
            Ok(Ended::ClosedExporter(id)) => {
                self.beside.exporters.closed(&id);
                self.running.exporters -= 1;
                self.running.exporters == 0
            }
            Ok(Ended::Receiver(_, Ok(()))) => {
                self.running.receivers -= 1;
                self.running.receivers == 0
            }
            Ok(Ended::Receiver(id, Err(error))) => {
                self.failure.get_or_insert(format!("{id}: {error}"));
                true
            }
            Err(panic) => {
                self.failure.get_or_insert(broke_down(&panic));
                true
            }
        };
        if is_over { Next::End } else { Next::GoOn }
    }

    /// Tells the receivers to end, once; all of it may take so long.
    fn begin_end(&mut self, within: Duration) {
        if self.deadline.is_some() {
            return;
        }
        // Nobody left to hear it is fine: then the receivers have ended already.
        let _ = self.end.send(true);
        self.host.status().end();
        self.manager.stopping(within.saturating_add(FINISHING));
        self.deadline = Some(Instant::now() + within);
    }

    /// Ends what still runs: what is left goes down to the exporters, who count it. Their own tasks hear the end after the
    /// last export. The first error of all.
    async fn finish(mut self) -> Option<String> {
        while let Ok(report) = self.running.startup_reports.try_recv() {
            self.startup.add(Some(report));
        }
        self.startup.log();
        if self.deadline.is_none() {
            self.host.status().end();
            self.manager.stopping(FINISHING);
        }
        for exporter in &self.running.give_up {
            exporter.send_replace(true);
        }
        let tasks = &mut self.running.tasks;
        let counted = async { while tasks.join_next().await.is_some() {} };
        // What hangs does not end; and what blocks its thread cannot even be taken off it.
        let _ = timeout(COUNTING, counted).await;
        let _ = timeout(COUNTING, tasks.shutdown()).await;
        warn_of_late(&self.counters);
        let failure = self.beside.end().await;
        if let Some(text) = self.summary.log_last(&self.counters) {
            self.manager.status(&text);
        }
        self.failure.or(failure)
    }
}

/// Warns of what was left when the time was over.
fn warn_of_late(counters: &Counters) {
    let all = counters.snapshot();
    let late = all
        .iter()
        .filter(|it| it.counter == Counter::POINTS_DROPPED && it.reason == "shutdown");
    let points: u64 = late.map(|it| it.value).sum();
    if points > 0 {
        tracing::warn!(points, "points could not be sent in time and are lost");
    }
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
