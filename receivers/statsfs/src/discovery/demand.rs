//! Which of the files that were found are wanted: asked before anything is read.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use pipeline::{Context, Demand, Head, Want};

use super::tree::{Changes, Found, Place};
use crate::directory_id::DirectoryId;

/// Changes, of which nobody's are left out: what nobody wants is never opened.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) ended_directories: Vec<DirectoryId>,
    pub(crate) ended_files: Vec<(DirectoryId, Arc<CString>)>,
    pub(crate) changed: Vec<(DirectoryId, Found, Arc<[Want]>)>,
    /// By directory.
    pub(crate) begun: Vec<(Place, Vec<Begun>)>,
}

/// A file that came, and how often each way wants it.
type Begun = (Found, Arc<[Want]>);

/// Who wants what, asked before anything is read.
pub(super) struct Wants {
    demand: Demand,
    context: Context,
    /// Answers that many series share.
    known: Mutex<HashSet<Arc<[Want]>>>,
}

impl Wants {
    pub(super) fn new(demand: Demand, context: Context) -> Wants {
        Wants {
            demand,
            context,
            known: Mutex::default(),
        }
    }

    pub(super) fn of(&self, changes: Changes) -> Wanted {
        let begun = changes.begun.into_iter().map(|(place, found)| {
            let head = self.head(&place.subsystem);
            let found = found.into_iter().map(|found| {
                let wants = self.ask(&head, &found);
                (found, wants)
            });
            let wanted = found.filter(|(_, wants)| wants.iter().any(|want| *want != Want::Never));
            (place, wanted.collect::<Vec<_>>())
        });
        let changed = changes.changed.into_iter().map(|(directory, found)| {
            let subsystem = found.series.name.split('/').next().unwrap_or_default();
            let wants = self.ask(&self.head(&subsystem.into()), &found);
            (directory, found, wants)
        });
        Wanted {
            ended_directories: changes.ended_directories,
            ended_files: changes.ended_files,
            changed: changed.collect(),
            begun: begun.filter(|(_, found)| !found.is_empty()).collect(),
        }
    }

    fn ask(&self, head: &Head, found: &Found) -> Arc<[Want]> {
        let wants = self.demand.wants(head, &found.series);
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(same) = known.get(wants.as_slice()) {
            return Arc::clone(same);
        }
        let wants: Arc<[Want]> = wants.into();
        known.insert(Arc::clone(&wants));
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
