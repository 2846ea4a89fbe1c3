//! The logs of exporters that keep their queues on disk, and those that an exporter has left there.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{RequestLog, Storage, WhenFull};

use crate::config::Overflow;
use crate::exporter::thin;
use crate::graph::Graph;

/// By the exporters' ids.
pub(crate) type RequestLogs = BTreeMap<String, Box<dyn RequestLog>>;

/// Opens the logs of this graph's exporters, once the extensions have started.
///
/// # Errors
/// Why one cannot be gone on with, the exporter's id first.
pub(crate) fn open(graph: &Graph) -> Result<RequestLogs, String> {
    let mut logs = RequestLogs::new();
    for (id, (_, config)) in &graph.exporters {
        // That it is one was checked.
        let storage = config.queue.storage.as_ref();
        if let Some(storage) = storage.and_then(|it| graph.storages.get(it)) {
            let when_full = match config.overflow {
                Overflow::Coalesce => WhenFull::Thin(thin),
                Overflow::DropOldest => WhenFull::DropOldest,
                Overflow::DropNewest | Overflow::Block => WhenFull::Keep,
            };
            let log = storage
                .open(id, when_full)
                .map_err(|error| format!("{id}: {error}"))?;
            logs.insert(id.clone(), log);
        }
    }
    warn_of_left(graph);
    Ok(logs)
}

/// Warns of what waits in a log that no exporter uses. Nobody waits for that: there may be much to be looked at.
fn warn_of_left(graph: &Graph) {
    let mut left = Vec::new();
    for (storage, logs) in &graph.storages {
        let is_used = |exporter: &String| {
            let exporter = graph.exporters.get(exporter);
            exporter.is_some_and(|(_, config)| config.queue.storage.as_ref() == Some(storage))
        };
        let mut exporters = logs.exporters().unwrap_or_default();
        exporters.retain(|it| !is_used(it));
        left.extend(exporters.into_iter().map(|it| (Arc::clone(logs), it)));
    }
    if !left.is_empty() {
        std::thread::spawn(move || left.iter().for_each(|(logs, it)| warn_of(&**logs, it)));
    }
}

fn warn_of(storage: &dyn Storage, exporter: &str) {
    let log = storage.inspect(exporter, &mut |_| {});
    if log.requests > 0 {
        tracing::warn!(
            exporter,
            points = log.points,
            bytes = log.bytes,
            directory = %storage.directory().display(),
            "a queue on disk is of no exporter that uses it; it stays: call an exporter so again, or write it out: `queue DIRECTORY --exporter ID --export`"
        );
    }
}
