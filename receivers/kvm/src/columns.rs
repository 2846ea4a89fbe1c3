//! The columns of parts. Those that are the same are made once, so that all VMs share them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::debugfs::DebugfsFile;
use crate::layout::Layouts;
use crate::series::file_column;
use crate::statistic::{Column, Statistic};

/// The names of statistics that some part gives: none comes twice.
pub(crate) type Taken = HashSet<Arc<str>>;

/// Statistics, by their places among all of a layout, and their columns.
pub(crate) type Selection = (Arc<[usize]>, Arc<[Column]>);

/// The address of all statistics of a layout, which of them, and whether they are sums.
type SelectionKey = (usize, Vec<usize>, bool);

/// Files, whether they are a vCPU's, and how many layouts are known, by which they have their types.
type FilesKey = (Vec<DebugfsFile>, bool, usize);

/// All columns that were made.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// With the statistics, so that their address is no other one's.
    selections: HashMap<SelectionKey, (Arc<[Statistic]>, Selection)>,
    files: HashMap<FilesKey, Arc<[Column]>>,
    /// Whether durations are in seconds.
    pub(crate) normalize: bool,
}

impl Columns {
    /// None was made yet. With `normalize`, durations are in seconds.
    pub(crate) fn new(normalize: bool) -> Columns {
        Columns {
            normalize,
            ..Columns::default()
        }
    }

    /// The statistics that were not taken before, and their columns.
    pub(crate) fn select(
        &mut self,
        statistics: &Arc<[Statistic]>,
        taken: &mut Taken,
        is_sum: bool,
    ) -> Option<Selection> {
        let all = statistics.iter().enumerate();
        let new = all.filter(|(_, it)| taken.insert(Arc::clone(&it.name)));
        let new: Vec<usize> = new.map(|(at, _)| at).collect();
        if new.is_empty() {
            return None;
        }
        let address = Arc::as_ptr(statistics).cast::<()>() as usize;
        let key = (address, new.clone(), is_sum);
        let make = || {
            let column = |at: &usize| statistics[*at].column_of(is_sum).clone();
            let columns = new.iter().map(column).collect();
            (Arc::clone(statistics), (new.into(), columns))
        };
        let (_, selection) = self.selections.entry(key).or_insert_with(make);
        Some(selection.clone())
    }

    /// The columns of these files.
    pub(crate) fn of_files(
        &mut self,
        files: &[DebugfsFile],
        is_vcpu: bool,
        layouts: &Layouts,
    ) -> Arc<[Column]> {
        let normalize = self.normalize;
        let column = |it: &DebugfsFile| file_column(it, layouts.find(&it.name), is_vcpu, normalize);
        let make = || files.iter().map(column).collect();
        let key = (files.to_vec(), is_vcpu, layouts.len());
        Arc::clone(self.files.entry(key).or_insert_with(make))
    }
}
