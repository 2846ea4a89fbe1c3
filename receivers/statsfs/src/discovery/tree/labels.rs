//! The labels of a directory: its `.schema`'s, or those of its path.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::Errno;

use super::Tree;
use crate::counters::{SCHEMA_LINES_FAILED, SCHEMAS_FAILED};
use crate::directory_id::DirectoryId;
use crate::discovery::schema::{self, Schema};
use crate::failure_log::FailureLog;
use crate::read::syscalls::read_whole;

impl Tree {
    /// Reads the `.schema` of a directory, and sets its labels.
    pub(super) fn update_schema(
        &mut self,
        id: DirectoryId,
        present: bool,
        failure_log: &FailureLog,
    ) {
        let max_bytes = usize::try_from(self.plan.limits.schema_bytes.0).unwrap_or(usize::MAX);
        let read = present.then(|| {
            self.with_open(id, |fd| read_whole(fd.as_fd(), c".schema", max_bytes))
                .and_then(|it| it)
        });
        let Some(directory) = self.directories.get(&id) else {
            return;
        };
        let path = Arc::clone(&directory.path);
        let schema = match read {
            // It may have been removed with its directory since the listing.
            None | Some(Err(Errno::NOENT | Errno::NODEV | Errno::STALE)) => None,
            Some(Ok(bytes)) if bytes.len() > max_bytes => {
                failure_log.record_once(
                    SCHEMAS_FAILED,
                    "too_large",
                    "larger than `limits.schema_bytes`; passed over",
                    format!("{path}/.schema"),
                );
                None
            }
            Some(Ok(bytes)) => Some(Arc::new(schema::parse(&String::from_utf8_lossy(&bytes)))),
            Some(Err(_)) => {
                failure_log.record_once(
                    SCHEMAS_FAILED,
                    "io",
                    "cannot be read; passed over",
                    format!("{path}/.schema"),
                );
                None
            }
        };
        for (line, why) in schema.iter().flat_map(|schema| &schema.problems) {
            failure_log.record_once(
                SCHEMA_LINES_FAILED,
                "schema",
                "not understood in a `.schema`; passed over",
                format!("{path}/.schema:{line}: {why}"),
            );
        }
        let Some((subsystem, depth)) = directory.subsystem.clone() else {
            return;
        };
        let parts: Vec<&str> = path.split('/').collect();
        let parts = &parts[parts.len() - depth..];
        let attributes = self.plan.attributes(
            schema.as_ref().and_then(|schema| schema.labels.as_ref()),
            parts,
        );
        if attributes == *directory.attributes && !directory.files.is_empty() {
            let metrics =
                |schema: &Option<Arc<Schema>>| schema.clone().map(|it| it.metrics.clone());
            let is_changed = metrics(&schema) != metrics(&directory.schema);
            self.update(id, |directory| directory.schema = schema);
            if is_changed {
                self.redeclare_files(id, failure_log);
            }
            return;
        }
        // Other labels are other series: the old ones end.
        self.remove_files(id);
        let key = (subsystem, Arc::new(attributes));
        let same_labels = self.same_labels.entry(key.clone()).or_default();
        if !same_labels.contains(&id) {
            same_labels.push(id);
        }
        self.update(id, |directory| {
            directory.schema = schema;
            directory.attributes = key.1;
        });
    }

    /// Updates the declarations of the known files.
    fn redeclare_files(&mut self, id: DirectoryId, failure_log: &FailureLog) {
        let names = self
            .directories
            .get(&id)
            .into_iter()
            .flat_map(|it| it.files.names());
        for name in names.cloned().collect::<Vec<_>>() {
            let discovered = self.discovered_file(id, &name, failure_log);
            self.changes
                .changed
                .extend(discovered.map(|file| (id, file)));
        }
    }
}
