//! Names and metadata that many files share are stored once. What no file uses any more is removed at a rescan.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::sync::Arc;

use pipeline::{Declared, Metric, Series, SourceFile};

use crate::discovery::name::{escape, shorten};

type InternedName = (Arc<Metric>, Arc<str>);

/// Interned names and metadata.
#[derive(Debug, Default)]
pub(super) struct Interner {
    file_names: HashMap<Box<CStr>, Arc<CString>>,
    /// By subsystem and file: the metric, of which only the name is known, and the file's name as text.
    metrics: HashMap<(Arc<str>, Arc<CString>), InternedName>,
    source_files: HashSet<Arc<SourceFile>>,
    /// The first declaration of each metric holds for all.
    declared: HashMap<Arc<str>, Arc<Declared>>,
}

impl Interner {
    /// A rescan begins: declarations are read again, and what nobody uses is removed.
    pub(super) fn forget_unused(&mut self) {
        self.declared.clear();
        self.metrics
            .retain(|_, (metric, _)| Arc::strong_count(metric) > 1);
        self.file_names
            .retain(|_, file| Arc::strong_count(file) > 1);
        self.source_files
            .retain(|source_file| Arc::strong_count(source_file) > 1);
    }

    pub(super) fn file_name(&mut self, name: Box<CStr>) -> Arc<CString> {
        let file = self.file_names.entry(name);
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
        let interned = self.metrics.entry(key).or_insert_with(|| {
            let text = escape(file.to_bytes());
            let name = shorten(format!("{subsystem}/{text}"));
            let series = Series::new(name, Arc::default());
            (series.metric, text.into())
        });
        interned.clone()
    }

    /// The declaration of a metric; false if an earlier declaration has another kind, which is kept.
    pub(super) fn declared(
        &mut self,
        metric: &Metric,
        declared: &Arc<Declared>,
    ) -> (Arc<Declared>, bool) {
        let first = self.declared.entry(Arc::clone(&metric.name));
        let first = first.or_insert_with(|| Arc::clone(declared));
        if first.kind != declared.kind {
            let mut redeclared = (**declared).clone();
            redeclared.kind.clone_from(&first.kind);
            return (Arc::new(redeclared), false);
        }
        let same = if first == declared { first } else { declared };
        (Arc::clone(same), true)
    }

    pub(super) fn source_file(&mut self, source_file: SourceFile) -> Arc<SourceFile> {
        if let Some(known) = self.source_files.get(&source_file) {
            return Arc::clone(known);
        }
        let source_file = Arc::new(source_file);
        self.source_files.insert(Arc::clone(&source_file));
        source_file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_file_has_any_more_is_forgotten_at_a_rescan() {
        let mut interner = Interner::default();
        let make = |name: &CStr, interner: &mut Interner| {
            let file = interner.file_name(name.into());
            let (metric, text) = interner.metric(&"kvm".into(), &file);
            let source_file = interner.source_file(SourceFile::new(text));
            (file, metric, source_file)
        };
        let kept = make(c"exits", &mut interner);
        drop(make(c"gone", &mut interner));
        assert_eq!((interner.file_names.len(), interner.metrics.len()), (2, 2));
        interner.forget_unused();
        let left = (
            interner.file_names.len(),
            interner.metrics.len(),
            interner.source_files.len(),
        );
        assert_eq!(left, (1, 1, 1));
        let again = make(c"exits", &mut interner);
        assert!(Arc::ptr_eq(&kept.1, &again.1) && Arc::ptr_eq(&kept.2, &again.2));
    }
}
