//! `inspect`: what is swept and what is not, with what becomes of it and why.

use std::io::{BufWriter, Error, ErrorKind, IsTerminal, stdout};

use pipeline::BuildInfo;
use tokio::runtime::Builder;

use super::prepare::{Prepared, Report, prepare};
use super::{CommandError, Sources};
use crate::config::Level;
use crate::inspect::{Glob, JsonLines, List, Table, Writer, inspect_graph};
use crate::{sandbox, telemetry};

/// Looks once, makes one sweep with `reads`, and lists what fits `glob`: a table on a terminal, JSON lines elsewhere.
pub(super) fn inspect(
    sources: &Sources,
    glob: Option<&str>,
    reads: bool,
    build_info: BuildInfo,
) -> Result<(), CommandError> {
    let failed = |error: String| CommandError::Runtime(error);
    let glob = glob.map(Glob::new).transpose();
    let glob = glob.map_err(failed)?;
    let mut prepared = prepare(sources, true, build_info, Report::Text)?;
    // What would be warned of is listed.
    prepared.logs.level = Level::Error;
    telemetry::start(&prepared.logs, sources.color());
    let out = BufWriter::new(stdout().lock());
    let writer: Box<dyn Writer> = if stdout().is_terminal() {
        Box::new(Table::new(out))
    } else {
        Box::new(JsonLines(out))
    };
    run(prepared, List::new(writer, glob), reads).map_err(failed)
}

/// Shows what the configuration needs of the system; nothing is started.
pub(super) fn inspect_rights(sources: &Sources, build_info: BuildInfo) -> Result<(), CommandError> {
    let mut prepared = prepare(sources, false, build_info, Report::Text)?;
    super::print(&sandbox::show(&prepared.rights(), build_info.name));
    Ok(())
}

fn run(prepared: Prepared, mut list: List<'_>, reads: bool) -> Result<(), String> {
    let failed = |error: Error| format!("cannot start: {error}");
    let workers = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let listing = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let written = listing.block_on(async {
        list.resource(&prepared.resource)?;
        let Prepared {
            graph, counters, ..
        } = prepared;
        let ended = inspect_graph(graph, reads, &counters, workers.handle(), &mut list).await?;
        list.finish()?;
        Ok::<_, Error>(ended)
    });
    // What hangs in a read may hang on: the process ends all the same.
    workers.shutdown_background();
    match written {
        Ok(ended) => ended.and_then(|()| list.is_any()),
        // Nobody reads any more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("cannot write to standard output: {error}")),
    }
}
