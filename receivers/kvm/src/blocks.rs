//! The statistics descriptors that are known, each looked at once.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use kvm_stats::{read_all, read_types};

use crate::inspected::Purpose;
use crate::kvm_file::KvmFile;
use crate::layout::Layouts;
use crate::procfs::Procfs;
use crate::taking::{Block, Process, TakeError};

/// By process and descriptor: what it is, and its block, or why there is none.
#[derive(Debug)]
pub(crate) struct Blocks {
    all: HashMap<(i32, i32), KnownBlock>,
    /// How many are known at the most.
    max: usize,
    purpose: Purpose,
}

#[derive(Debug)]
struct KnownBlock {
    process: Arc<Process>,
    file: KvmFile,
    block: Result<Arc<Block>, TakeError>,
}

impl Blocks {
    /// None is known; so many are at the most.
    pub(crate) fn new(max: usize, purpose: Purpose) -> Blocks {
        let all = HashMap::new();
        Blocks { all, max, purpose }
    }

    /// These descriptors are there now, and no others. Those that are new are read for the first time.
    pub(crate) fn update<'a>(
        &mut self,
        now: impl Iterator<Item = (&'a Arc<Process>, i32, KvmFile)>,
        procfs: &Procfs,
        layouts: &mut Layouts,
    ) {
        let mut before = std::mem::take(&mut self.all);
        let mut new = Vec::new();
        for (process, fd, file) in now {
            let known = before.remove(&(process.pid, fd));
            match known.filter(|it| Arc::ptr_eq(&it.process, process) && it.file == file) {
                Some(known) => _ = self.all.insert((process.pid, fd), known),
                None => new.push((process, fd, file)),
            }
        }
        for (process, fd, file) in new {
            self.add(process, (fd, file), procfs, layouts);
        }
    }

    /// This descriptor is there, too. If it is new it is read for the first time.
    pub(crate) fn add(
        &mut self,
        process: &Arc<Process>,
        (fd, file): (i32, KvmFile),
        procfs: &Procfs,
        layouts: &mut Layouts,
    ) {
        // What is new displaces nothing that is known.
        if self.all.len() >= self.max || self.is_known(process.pid, fd) {
            return;
        }
        let read = if self.purpose.reads() {
            read_all::<OwnedFd>
        } else {
            read_types::<OwnedFd>
        };
        let block = Block::open(process, (fd, file), procfs, layouts, read);
        let known = KnownBlock {
            process: Arc::clone(process),
            file,
            block: block.map(Arc::new),
        };
        self.all.insert((process.pid, fd), known);
    }

    /// Whether a descriptor was looked at.
    pub(crate) fn is_known(&self, pid: i32, fd: i32) -> bool {
        self.all.contains_key(&(pid, fd))
    }

    /// The block of a descriptor.
    pub(crate) fn get(&self, pid: i32, fd: i32) -> Option<&Arc<Block>> {
        self.all.get(&(pid, fd))?.block.as_ref().ok()
    }

    /// Why there are blocks that cannot be read.
    pub(crate) fn errors(&self) -> impl Iterator<Item = TakeError> {
        self.all
            .values()
            .filter_map(|it| it.block.as_ref().err().copied())
    }

    /// Why a block of this process cannot be read, if one cannot.
    pub(crate) fn error_of(&self, pid: i32) -> Option<TakeError> {
        let mut own = self.all.iter().filter(|((of, _), _)| *of == pid);
        own.find_map(|(_, it)| it.block.as_ref().err().copied())
    }

    /// Forgets the descriptors of a process: they are not what they were.
    pub(crate) fn forget(&mut self, pid: i32) {
        self.all.retain(|(of, _), _| *of != pid);
    }

    /// Forgets those that could not be read: they are tried again.
    pub(crate) fn forget_errors(&mut self) {
        self.all.retain(|_, it| it.block.is_ok());
    }
}
