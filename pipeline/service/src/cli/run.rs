//! `run`: runs the pipeline.

use pipeline::BuildInfo;
use tokio::runtime::Builder;

use super::prepare::{Prepared, Report, prepare};
use super::{CommandError, Sources};
use crate::{sandbox, supervise, telemetry};

/// Runs until a signal, or the end of `--once`.
pub(super) fn run(
    sources: &Sources,
    once: bool,
    build_info: BuildInfo,
) -> Result<(), CommandError> {
    let mut prepared = prepare(sources, once, build_info, Report::AsLogged)?;
    telemetry::start(&prepared.logs, sources.color());
    if let Some(missing) = &prepared.undescribed {
        tracing::warn!(
            missing,
            "the host is not described in full; mount these files into `service.host_root`"
        );
    }
    let options = supervise::Options {
        once,
        shutdown_timeout: prepared.shutdown_timeout,
        summary_interval: prepared.logs.summary_interval.0,
        encoding: prepared.logs.encoding,
    };
    // While there is one thread: all that are started from now on have its rights.
    let rights = prepared.rights();
    let sandbox = prepared.sandbox;
    sandbox::enter(sandbox, &rights).map_err(CommandError::Runtime)?;
    // One thread runs the components: two would wake one another at each hand-over, which costs more than what they do.
    // The supervisor has its own: a component that blocks holds up its pipeline, never a signal.
    let failed = |error| CommandError::Runtime(format!("cannot start: {error}"));
    let workers = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let supervisor = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let Prepared {
        graph,
        readers,
        counters,
        ..
    } = prepared;
    let run = supervise::run(graph, readers, options, counters, workers.handle());
    let result = supervisor.block_on(run);
    // What hangs in a read or a write may hang on: the process ends all the same.
    workers.shutdown_background();
    result.map_err(|error| CommandError::Runtime(sandbox::explained(error, sandbox)))
}
