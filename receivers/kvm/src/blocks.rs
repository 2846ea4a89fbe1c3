//! The statistics descriptors that are known, each looked at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::layout::Layouts;
use crate::procfs::{KvmFile, Procfs};
use crate::taking::{Block, Process, TakeError};

/// By process and descriptor: what it is, and its block, or why there is none.
#[derive(Debug, Default)]
pub(crate) struct Blocks(HashMap<(i32, i32), KnownBlock>);

#[derive(Debug)]
struct KnownBlock {
    process: Arc<Process>,
    file: KvmFile,
    block: Result<Arc<Block>, TakeError>,
}

impl Blocks {
    /// These descriptors are there now, and no others. Those that are new are read for the first time.
    pub(crate) fn update<'a>(
        &mut self,
        now: impl Iterator<Item = (&'a Arc<Process>, i32, KvmFile)>,
        procfs: &Procfs,
        layouts: &mut Layouts,
    ) {
        let mut before = std::mem::take(&mut self.0);
        for (process, fd, file) in now {
            let known = before.remove(&(process.pid, fd));
            let known = known.filter(|it| Arc::ptr_eq(&it.process, process) && it.file == file);
            let known = known.unwrap_or_else(|| KnownBlock {
                block: Block::open(process, (fd, file), procfs, layouts).map(Arc::new),
                process: Arc::clone(process),
                file,
            });
            self.0.insert((process.pid, fd), known);
        }
    }

    /// The block of a descriptor.
    pub(crate) fn get(&self, pid: i32, fd: i32) -> Option<&Arc<Block>> {
        self.0.get(&(pid, fd))?.block.as_ref().ok()
    }

    /// Why there are blocks that cannot be read.
    pub(crate) fn errors(&self) -> impl Iterator<Item = TakeError> {
        self.0
            .values()
            .filter_map(|it| it.block.as_ref().err().copied())
    }

    /// Forgets the descriptors of a process: they are not what they were.
    pub(crate) fn forget(&mut self, pid: i32) {
        self.0.retain(|(of, _), _| *of != pid);
    }

    /// Forgets those that could not be read: they are tried again.
    pub(crate) fn forget_errors(&mut self) {
        self.0.retain(|_, it| it.block.is_ok());
    }
}
