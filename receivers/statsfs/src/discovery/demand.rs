//! Which of the discovered files are wanted downstream: asked before any file is opened.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use pipeline::{Context, Demand, Head, LeftOut, Series, Want};

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
    /// What nobody wants, by directory, and what becomes no series: where that is asked.
    pub(crate) unwanted: Vec<(Arc<Head>, Vec<Series>)>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// A file that was added, and how often each output wants it.
type DemandedFile = (DiscoveredFile, Arc<[Want]>);

/// Asks the demand, and shares equal answers.
pub(super) struct DemandCache {
    demand: Demand,
    context: Context,
    /// Whether what nobody wants is told, too.
    inspects: bool,
    /// Distinct answers; many series share one.
    cache: Mutex<HashSet<Arc<[Want]>>>,
}

impl DemandCache {
    pub(super) fn new(demand: Demand, context: Context, inspects: bool) -> DemandCache {
        DemandCache {
            demand,
            context,
            inspects,
            cache: Mutex::default(),
        }
    }

    pub(super) fn demanded(&self, changes: Changes) -> DemandedChanges {
        let mut demanded = DemandedChanges {
            removed_directories: changes.removed_directories,
            removed_files: changes.removed_files,
            left_out: changes.left_out,
            ..DemandedChanges::default()
        };
        for (directory_ref, files) in changes.added {
            let head = head_of(&self.context, &directory_ref.subsystem);
            let files = files.into_iter().map(|file| {
                let wants = self.wants(&head, &file);
                (file, wants)
            });
            let (wanted, unwanted): (Vec<_>, Vec<_>) = files.partition(|(_, it)| is_wanted(it));
            if self.inspects && !unwanted.is_empty() {
                let series = unwanted.into_iter().map(|(file, _)| file.series);
                demanded.unwanted.push((Arc::new(head), series.collect()));
            }
            if !wanted.is_empty() {
                demanded.added.push((directory_ref, wanted));
            }
        }
        for (directory_ref, file) in changes.changed {
            let wants = self.wants(&head_of(&self.context, &directory_ref.subsystem), &file);
            demanded.changed.push((directory_ref, file, wants));
        }
        demanded
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
}

/// The head of a subsystem's series before they are in a table.
pub(crate) fn head_of(context: &Context, subsystem: &Arc<str>) -> Head {
    Head::new(
        Arc::clone(&context.resource),
        Arc::clone(&context.scope),
        Arc::clone(subsystem),
        Arc::clone(subsystem),
    )
}

/// Whether any output wants it.
pub(crate) fn is_wanted(wants: &[Want]) -> bool {
    wants.iter().any(|want| *want != Want::Never)
}
