//! Which of the discovered files are wanted downstream: asked before any file is opened.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use pipeline::{Context, Demand, Head, Want};

use super::tree::{Changes, DirectoryRef, DiscoveredFile};
use crate::directory_id::DirectoryId;

/// Changes without the files that nobody wants: those are never opened.
#[derive(Debug, Default)]
pub(crate) struct DemandedChanges {
    pub(crate) removed_directories: Vec<DirectoryId>,
    pub(crate) removed_files: Vec<(DirectoryId, Arc<CString>)>,
    pub(crate) changed: Vec<(DirectoryRef, DiscoveredFile, Arc<[Want]>)>,
    /// By directory.
    pub(crate) added: Vec<(DirectoryRef, Vec<DemandedFile>)>,
}

/// A file that was added, and how often each output wants it.
type DemandedFile = (DiscoveredFile, Arc<[Want]>);

/// Asks the demand, and shares equal answers.
pub(super) struct DemandCache {
    demand: Demand,
    context: Context,
    /// Distinct answers; many series share one.
    cache: Mutex<HashSet<Arc<[Want]>>>,
}

impl DemandCache {
    pub(super) fn new(demand: Demand, context: Context) -> DemandCache {
        DemandCache {
            demand,
            context,
            cache: Mutex::default(),
        }
    }

    pub(super) fn demanded(&self, changes: Changes) -> DemandedChanges {
        let added = changes.added.into_iter().map(|(directory_ref, files)| {
            let head = self.head(&directory_ref.subsystem);
            let files = files.into_iter().map(|file| {
                let wants = self.wants(&head, &file);
                (file, wants)
            });
            let wanted = files.filter(|(_, wants)| wants.iter().any(|want| *want != Want::Never));
            (directory_ref, wanted.collect::<Vec<_>>())
        });
        let changed = changes.changed.into_iter().map(|(directory_ref, file)| {
            let wants = self.wants(&self.head(&directory_ref.subsystem), &file);
            (directory_ref, file, wants)
        });
        DemandedChanges {
            removed_directories: changes.removed_directories,
            removed_files: changes.removed_files,
            changed: changed.collect(),
            added: added.filter(|(_, files)| !files.is_empty()).collect(),
        }
    }

    fn wants(&self, head: &Head, file: &DiscoveredFile) -> Arc<[Want]> {
        let wants = self.demand.wants(head, &file.series);
        let mut cache = self
            .cache
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(same) = cache.get(wants.as_slice()) {
            return Arc::clone(same);
        }
        let wants: Arc<[Want]> = wants.into();
        cache.insert(Arc::clone(&wants));
        wants
    }

    fn head(&self, subsystem: &Arc<str>) -> Head {
        Head::new(
            Arc::clone(&self.context.resource),
            Arc::clone(&self.context.scope),
            Arc::clone(subsystem),
            Arc::clone(subsystem),
        )
    }
}
