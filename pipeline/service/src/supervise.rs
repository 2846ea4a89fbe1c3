//! Runs a graph from start to end: signals, draining, the deadline, and what the program answers.

use std::time::Duration;

use pipeline::{Found, Shutdown, telemetry::Counters};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval_at, sleep_until, timeout};

use crate::graph::{Ended, Graph, Running, spawn};
use crate::telemetry::{detail, summary};

/// How it is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) once: bool,
    /// What runs is the embedded default, which looks for more than a kernel need have.
    pub(crate) is_default: bool,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) summary_interval: Duration,
}

/// Runs until a signal, the end of `--once`, a closed reader, or a component's error; the components run on `workers`.
pub(crate) async fn run(
    graph: Graph,
    options: Options,
    counters: Counters,
    workers: &Handle,
) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let (exporters_end, hear_exporters_end) = watch::channel(false);
    let mut beside = JoinSet::new();
    for (id, (exporter, _)) in &graph.exporters {
        let starting = exporter.clone();
        let started = workers.spawn(async move { starting.start().await }).await;
        started
            .map_err(|panic| panic.to_string())
            .and_then(|done| done.map_err(|error| error.to_string()))
            .map_err(|error| format!("{id}: {error}"))?;
        let (id, exporter, end) = (
            id.clone(),
            exporter.clone(),
            Shutdown::new(hear_exporters_end.clone()),
        );
        beside.spawn_on(async move { (id, exporter.run(end).await) }, workers);
    }
    let (end, hear_end) = watch::channel(false);
    let mut running = {
        let _spawned_there = workers.enter();
        spawn(graph, &hear_end, options.once, &counters)
    };
    drop(hear_end);
    let mut receiving = running.receivers;
    let mut told = Told::new(options.summary_interval);
    let mut deadline: Option<Instant> = None;
    let mut failure: Option<String> = None;
    let mut forced = false;
    let mut signals = 0;
    let mut found = Looked {
        is_default: options.is_default,
        ..Looked::default()
    };

    while !running.tasks.is_empty() {
        let begin_end = tokio::select! {
            _ = interrupt.recv() => { signals += 1; forced = signals > 1; true }
            _ = terminate.recv() => { signals += 1; forced = signals > 1; true }
            () = running.closed.notified() => true,
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => { forced = true; true }
            _ = told.every.tick() => { told.tell(&counters); false }
            it = running.found.recv(), if !found.told => { found.add(it, running.receivers); false }
            Some(ended) = running.tasks.join_next() => match ended {
                Ok(Ended::Stage) => false,
                Ok(Ended::Receiver(_, Ok(()))) => { receiving -= 1; receiving == 0 }
                Ok(Ended::Receiver(id, Err(error))) => { failure.get_or_insert(format!("{id}: {error}")); true }
                Err(panic) => { failure.get_or_insert(format!("a component broke down: {panic}")); true }
            },
            Some(ended) = beside.join_next() => {
                let error = error_of(ended);
                let is_error = error.is_some();
                failure = failure.or(error);
                is_error
            }
        };
        if forced {
            break;
        }
        if begin_end && deadline.is_none() {
            // Nobody left to hear it is fine: then the receivers have ended already.
            let _ = end.send(true);
            deadline = Some(Instant::now() + options.shutdown_timeout);
        }
    }
    found.tell();
    let beside_failure = finish(running, beside, exporters_end, &counters).await;
    told.last(&counters);
    if let Some(failure) = failure.or(beside_failure) {
        return Err(failure);
    }
    answer(options, &counters)
}

/// How long it takes at the most to count what is left.
const COUNTING: Duration = Duration::from_secs(1);

/// Ends what still runs: what is left goes down to the exporters, who count it. Their own tasks hear the end after the
/// last export; gives the first error of one.
async fn finish(
    mut running: Running,
    mut beside: JoinSet<(String, pipeline::Result<()>)>,
    end: watch::Sender<bool>,
    counters: &Counters,
) -> Option<String> {
    running.give_up.send_replace(true);
    let counted = async { while running.tasks.join_next().await.is_some() {} };
    // What hangs does not end; and what blocks its thread cannot even be taken off it.
    let _ = timeout(COUNTING, counted).await;
    let _ = timeout(COUNTING, running.tasks.shutdown()).await;
    let lost = count(counters, |reason| reason == "shutdown");
    if lost > 0 {
        tracing::warn!("{lost} points could not be sent in time and are lost");
    }
    end.send_replace(true);
    let mut failure = None;
    let ended = async {
        while let Some(ended) = beside.join_next().await {
            failure = failure.take().or(error_of(ended));
        }
    };
    let _ = timeout(COUNTING, ended).await;
    failure
}

/// What an exporter's own task ended with, where that is an error.
fn error_of(ended: Result<(String, pipeline::Result<()>), JoinError>) -> Option<String> {
    match ended {
        Ok((id, done)) => done.err().map(|error| format!("{id}: {error}")),
        Err(panic) => Some(format!("a component broke down: {panic}")),
    }
}

/// The points dropped for these reasons.
fn count(counters: &Counters, reasons: impl Fn(&str) -> bool) -> u64 {
    let all = counters.snapshot();
    let dropped = all
        .iter()
        .filter(|((_, name, reason), _)| *name == "points_dropped" && reasons(reason));
    dropped.map(|(_, count)| count).sum()
}

/// With `--once`, the exit code says whether everything arrived.
fn answer(options: Options, counters: &Counters) -> Result<(), String> {
    if !options.once {
        return Ok(());
    }
    if counters.total("points_read") == 0 {
        let why = if counters.total("files_read") > 0 {
            "no file gave a value"
        } else {
            "no file was read"
        };
        return Err(format!("nothing to sweep: {why}"));
    }
    let rejected = counters.total("points_rejected");
    match rejected + count(counters, |reason| LOST.contains(&reason)) {
        0 => Ok(()),
        lost => Err(format!("{lost} points are lost")),
    }
}

/// Reasons that are a loss; the others (filtered, not due, a reader that has gone) are what the user asked for.
const LOST: [&str; 8] = [
    "processor_error",
    "unfinished_sweep",
    "shutdown",
    "queue_full",
    "permanent",
    "not_retried",
    "max_elapsed_time",
    "too_large",
];

/// What the receivers found at their first look: one line for all.
#[derive(Default)]
struct Looked {
    is_default: bool,
    sweeps: Vec<String>,
    lacks: Vec<String>,
    told: bool,
}

impl Looked {
    fn add(&mut self, found: Option<Found>, receivers: usize) {
        match found {
            Some(Found::Sweeps(text)) => self.sweeps.push(text),
            Some(Found::Lacks(text)) => self.lacks.push(text),
            None => self.tell(),
        }
        if self.sweeps.len() + self.lacks.len() >= receivers {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if std::mem::replace(&mut self.told, true)
            || (self.sweeps.is_empty() && self.lacks.is_empty())
        {
            return;
        }
        let sweeps = if self.sweeps.is_empty() {
            "nothing".into()
        } else {
            self.sweeps.join("; ")
        };
        let lacks = self.lacks.join("; ");
        if lacks.is_empty() {
            tracing::info!("sweeping {sweeps}");
        } else if self.is_default && !self.sweeps.is_empty() {
            tracing::info!("sweeping {sweeps}; not there: {lacks}");
        } else {
            tracing::warn!("sweeping {sweeps}; not there: {lacks}");
        }
    }
}

/// The summary line, said when something changed.
struct Told {
    every: tokio::time::Interval,
    last: Option<String>,
}

impl Told {
    fn new(interval: Duration) -> Told {
        // Zero would be no interval at all: then only the line at the end remains.
        let interval = if interval.is_zero() {
            Duration::from_secs(u32::MAX.into())
        } else {
            interval
        };
        Told {
            every: interval_at(Instant::now() + interval, interval),
            last: None,
        }
    }

    fn tell(&mut self, counters: &Counters) {
        let line = summary(counters);
        if line.is_some() && line != self.last {
            tracing::info!("{}", line.as_deref().unwrap_or_default());
            detail(counters);
            self.last = line;
        }
    }

    fn last(&mut self, counters: &Counters) {
        self.last = None;
        self.tell(counters);
    }
}
