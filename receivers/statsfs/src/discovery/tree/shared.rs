//! Names and shapes that many files have in common, each held once; what no file has any more is forgotten at a rescan.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::sync::Arc;

use pipeline::{Declared, Metric, Series, SourceFile};

use crate::discovery::name::{escape, shorten};

type Spelt = (Arc<Metric>, Arc<str>);

/// What is shared.
#[derive(Debug, Default)]
pub(super) struct Shared {
    files: HashMap<Box<CStr>, Arc<CString>>,
    /// By subsystem and file: the metric, of which only the name is known, and the file's name as text.
    names: HashMap<(Arc<str>, Arc<CString>), Spelt>,
    shapes: HashSet<Arc<SourceFile>>,
    /// The first declaration of each metric holds for all.
    declared: HashMap<Arc<str>, Arc<Declared>>,
}

impl Shared {
    /// A rescan begins: declarations are read anew, and what nobody has is forgotten.
    pub(super) fn rescan(&mut self) {
        self.declared.clear();
        self.names
            .retain(|_, (metric, _)| Arc::strong_count(metric) > 1);
        self.files.retain(|_, file| Arc::strong_count(file) > 1);
        self.shapes.retain(|shape| Arc::strong_count(shape) > 1);
    }

    pub(super) fn file(&mut self, name: Box<CStr>) -> Arc<CString> {
        let file = self.files.entry(name);
        let file = file.or_insert_with_key(|name| Arc::new(name.clone().into_c_string()));
        Arc::clone(file)
    }

    /// The metric of a file, and the file's name as text.
    pub(super) fn metric(
        &mut self,
        subsystem: &Arc<str>,
        file: &Arc<CString>,
    ) -> (Arc<Metric>, Arc<str>) {
        let key = (Arc::clone(subsystem), Arc::clone(file));
        let made = self.names.entry(key).or_insert_with(|| {
            let text = escape(file.to_bytes());
            let name = shorten(format!("{subsystem}/{text}"));
            let series = Series::new(name, Arc::default());
            (series.metric, text.into())
        });
        made.clone()
    }

    /// What is declared of a metric; false beside it where it was declared to be of another kind before, which holds.
    pub(super) fn declared(
        &mut self,
        metric: &Metric,
        declared: &Arc<Declared>,
    ) -> (Arc<Declared>, bool) {
        let first = self.declared.entry(Arc::clone(&metric.name));
        let first = first.or_insert_with(|| Arc::clone(declared));
        if first.kind != declared.kind {
            let mut kept = (**declared).clone();
            kept.kind.clone_from(&first.kind);
            return (Arc::new(kept), false);
        }
        let same = if first == declared { first } else { declared };
        (Arc::clone(same), true)
    }

    pub(super) fn shape(&mut self, shape: SourceFile) -> Arc<SourceFile> {
        if let Some(known) = self.shapes.get(&shape) {
            return Arc::clone(known);
        }
        let shape = Arc::new(shape);
        self.shapes.insert(Arc::clone(&shape));
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_file_has_any_more_is_forgotten_at_a_rescan() {
        let mut shared = Shared::default();
        let make = |name: &CStr, shared: &mut Shared| {
            let file = shared.file(name.into());
            let (metric, text) = shared.metric(&"kvm".into(), &file);
            let shape = shared.shape(SourceFile::new(text));
            (file, metric, shape)
        };
        let kept = make(c"exits", &mut shared);
        drop(make(c"gone", &mut shared));
        assert_eq!((shared.files.len(), shared.names.len()), (2, 2));
        shared.rescan();
        let left = (shared.files.len(), shared.names.len(), shared.shapes.len());
        assert_eq!(left, (1, 1, 1));
        let again = make(c"exits", &mut shared);
        assert!(Arc::ptr_eq(&kept.1, &again.1) && Arc::ptr_eq(&kept.2, &again.2));
    }
}
