//! What all blocks of one shape have in common: where which statistic is. A host has two, of its VMs and of its vCPUs.

use std::collections::BTreeSet;
use std::sync::Arc;

use kvm_stats::{Descriptor, FormatError, HEADER_BYTES, Header, StatsFile};

use crate::statistic::Statistic;

/// The statistics of blocks of one shape.
#[derive(Debug)]
pub(crate) struct Layout {
    header: Header,
    /// The bytes that say so: the header, and the descriptors.
    descriptors: Box<[u8]>,
    pub(crate) statistics: Arc<[Statistic]>,
    /// The names of those that this program does not know how to read.
    pub(crate) unknown: Vec<String>,
    /// How long a whole file is.
    pub(crate) file_bytes: usize,
}

/// All shapes that were seen.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    all: Vec<Arc<Layout>>,
    normalize: bool,
}

/// The most shapes that are kept: each kernel has two.
const MAX_LAYOUTS: usize = 64;

impl Layouts {
    /// None was seen. With `normalize`, durations are in seconds and amounts of memory in bytes.
    pub(crate) fn new(normalize: bool) -> Layouts {
        let all = Vec::new();
        Layouts { all, normalize }
    }

    /// The layout of a file, and its id; a file of a shape that was seen before shares that one's.
    pub(crate) fn of_file(&mut self, file: &[u8]) -> Result<(Arc<Layout>, String), FormatError> {
        let parsed = StatsFile::parse(file)?;
        let known = self.all.iter().find(|it| it.describes(file));
        if let Some(known) = known {
            return Ok((Arc::clone(known), parsed.id));
        }
        let id = parsed.id.clone();
        let layout = Arc::new(Layout::new(&parsed, file, self.normalize));
        if self.all.len() < MAX_LAYOUTS {
            self.all.push(Arc::clone(&layout));
        }
        Ok((layout, id))
    }

    /// The statistic of this name, of whatever shape.
    pub(crate) fn find(&self, name: &str) -> Option<&Statistic> {
        let mut all = self.all.iter().flat_map(|it| &*it.statistics);
        all.find(|it| &*it.name == name)
    }

    /// The statistic of this name that lies at this place: `size` numbers from `offset`.
    #[cfg(feature = "bpf")]
    pub(crate) fn find_at(&self, name: &str, offset: usize, size: usize) -> Option<&Statistic> {
        let mut all = self.all.iter().flat_map(|it| &*it.statistics);
        all.find(|it| (&*it.name, it.offset, it.size) == (name, offset, size))
    }

    /// How many shapes are known.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The names of the statistics that this program does not know how to read.
    pub(crate) fn unknown(&self) -> BTreeSet<&str> {
        let all = self.all.iter().flat_map(|it| &it.unknown);
        all.map(String::as_str).collect()
    }

    /// Whether a file of this name has all that the statistic is: those of a kind that this program does not know have
    /// what nobody can tell, those of histograms the first bucket only.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        match self.find(name) {
            Some(known) => !known.is_histogram(),
            None => !self.unknown().contains(name),
        }
    }
}

impl Layout {
    fn new(parsed: &StatsFile, file: &[u8], normalize: bool) -> Layout {
        let (mut statistics, mut unknown) = (Vec::new(), Vec::new());
        // No two have a number in common: together they have no more than there are, and so have their bounds.
        let mut numbers = parsed.header.data(file).unwrap_or_default().len() / 8;
        for descriptor in &parsed.descriptors {
            let left = numbers.checked_sub(descriptor.size);
            numbers = left.unwrap_or(numbers);
            let all = &parsed.descriptors;
            match left.and_then(|_| Statistic::new(descriptor, all, normalize)) {
                Some(it) => statistics.push(it),
                None => unknown.push(descriptor.name.clone()),
            }
        }
        // Of two with one name the first holds.
        let mut names = std::collections::HashSet::new();
        statistics.retain(|it| names.insert(Arc::clone(&it.name)));
        let end = parsed.descriptors.iter().map(Descriptor::end).max();
        Layout {
            header: parsed.header,
            descriptors: parsed.header.descriptors(file).unwrap_or_default().into(),
            statistics: statistics.into(),
            unknown,
            file_bytes: parsed.header.data_offset + end.unwrap_or_default(),
        }
    }

    /// Whether a file has this shape.
    fn describes(&self, file: &[u8]) -> bool {
        Header::parse(file) == Ok(self.header)
            && self.header.descriptors(file) == Some(&*self.descriptors)
    }

    /// The header and the id of a file: what tells a block from all others, as long as its descriptor is not another one.
    pub(crate) fn mark(&self, file: &[u8]) -> Option<Box<[u8]>> {
        let id = self.header.id(file)?;
        Some([file.get(..HEADER_BYTES)?, id].concat().into())
    }

    /// Whether a file has this mark.
    pub(crate) fn has_mark(&self, file: &[u8], mark: &[u8]) -> bool {
        let (header, id) = mark.split_at(HEADER_BYTES.min(mark.len()));
        file.starts_with(header) && self.header.id(file) == Some(id)
    }

    /// The block of numbers of a file.
    pub(crate) fn data<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        self.header.data(file).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
