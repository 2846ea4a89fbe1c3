//! The labels of a directory: its `.schema`'s, or those of its path.

use std::sync::Arc;

use pipeline::Attributes;
use rustix::io::Errno;

use super::Tree;
use super::visit::{Found, FoundSchema};
use crate::counters::{SCHEMA_LINES_FAILED, SCHEMAS_FAILED};
use crate::directory_id::DirectoryId;
use crate::discovery::schema::Schema;
use crate::failure_log::Cause;

impl Tree {
    /// Parses the `.schema` that was found, unless it is passed over.
    pub(super) fn parse_schema(&mut self, id: DirectoryId, found: &mut Found) {
        let FoundSchema::Content(content) = &mut found.schema else {
            return;
        };
        let (directory, limits) = (&self.directories[&id], &self.plan.limits);
        let path = Arc::clone(&directory.path);
        let refused = |reason: &'static str, cause: Cause| {
            let subject = format!("{path}/.schema");
            let log = &self.failure_log;
            log.record_once(SCHEMAS_FAILED, reason, cause, subject);
            FoundSchema::Parsed(None, 0)
        };
        found.schema = match std::mem::replace(content, Err(Errno::NOENT)) {
            // It may have been removed with its directory since the listing.
            Err(Errno::NOENT | Errno::NODEV | Errno::STALE) => FoundSchema::Absent,
            Err(errno) => refused("io", ("cannot be read; passed over", errno).into()),
            Ok(content) if content.len() as u64 > limits.schema_bytes.0 => refused(
                "too_large",
                "larger than `limits.schema_bytes`; passed over".into(),
            ),
            Ok(content) if !self.schemas.has_room(content.len(), directory.schema_bytes) => {
                refused(
                    "limit",
                    "all `.schema` files together are larger than `limits.schema_total_bytes`; passed over".into(),
                )
            }
            Ok(content) => {
                let size = content.len();
                FoundSchema::Parsed(Some(self.schemas.parse(content)), size)
            }
        };
    }

    /// The labels that a directory has with this `.schema`.
    pub(super) fn labels_with(&self, id: DirectoryId, schema: Option<&Schema>) -> Attributes {
        let directory = &self.directories[&id];
        let depth = directory.subsystem.as_ref().map_or(0, |(_, depth)| *depth);
        let parts: Vec<&str> = directory.path.split('/').collect();
        let labels = schema.and_then(|schema| schema.labels.as_ref());
        self.plan.attributes(labels, &parts[parts.len() - depth..])
    }

    /// Sets the `.schema` of a directory, and its labels.
    pub(super) fn update_schema(
        &mut self,
        id: DirectoryId,
        schema: Option<Arc<Schema>>,
        size: usize,
    ) {
        let directory = &self.directories[&id];
        let path = Arc::clone(&directory.path);
        self.schemas.replace(size, directory.schema_bytes);
        let problems = schema.iter().flat_map(|schema| &schema.problems);
        for (line, why) in problems {
            self.failure_log.record_once(
                SCHEMA_LINES_FAILED,
                "schema",
                "not understood in a `.schema`; passed over",
                format!("{path}/.schema:{line}: {why}"),
            );
        }
        let further = schema.as_ref().map_or(0, |schema| schema.further_problems);
        if further > 0 {
            self.failure_log.record_many_once(
                SCHEMA_LINES_FAILED,
                "schema",
                "not understood in a `.schema`; passed over",
                format!("{path}/.schema: {further} further lines"),
                further,
            );
        }
        let attributes = self.labels_with(id, schema.as_deref());
        self.update(id, |directory| directory.schema_bytes = size);
        let directory = &self.directories[&id];
        let Some((subsystem, _)) = directory.subsystem.clone() else {
            return;
        };
        if attributes == *directory.attributes && !directory.files.is_empty() {
            let metrics = |schema: Option<Arc<Schema>>| schema.map(|it| it.metrics.clone());
            let is_changed = match (&schema, &directory.schema) {
                (Some(new), Some(old)) if Arc::ptr_eq(new, old) => false,
                (new, old) => metrics(new.clone()) != metrics(old.clone()),
            };
            self.update(id, |directory| directory.schema = schema);
            if is_changed {
                self.redeclare_files(id);
            }
            return;
        }
        // Other labels are other series: the old ones end.
        self.remove_files(id);
        let key = (subsystem, Arc::new(attributes));
        // Equal labels are kept once.
        let known = self.same_labels.get_key_value(&key);
        let key = known.map_or(key, |(known, _)| known.clone());
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
    fn redeclare_files(&mut self, id: DirectoryId) {
        let names = self
            .directories
            .get(&id)
            .into_iter()
            .flat_map(|it| it.files.names());
        for name in names.cloned().collect::<Vec<_>>() {
            self.change_file(id, &name);
        }
    }
}
