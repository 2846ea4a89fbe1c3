//! File descriptors that stay open between sweeps, within the budget of the process.

use std::os::fd::OwnedFd;

use pipeline::Budget;

use super::rows::Rows;

/// The open descriptors of one table. Dropping it returns them to the budget.
#[derive(Debug)]
pub(crate) struct FdCache {
    /// Whether files can be read with `pread`, as far as is known. Files that cannot are not kept open.
    pub(crate) seekable: bool,
    files: Vec<Option<OwnedFd>>,
    directories: Vec<Option<OwnedFd>>,
    open: usize,
    fd_budget: Budget,
}

impl FdCache {
    pub(crate) fn new(fd_budget: Budget) -> FdCache {
        FdCache {
            seekable: true,
            files: Vec::new(),
            directories: Vec::new(),
            open: 0,
            fd_budget,
        }
    }

    /// Sets the number of slots to that of the table's rows; descriptors that are open stay open.
    pub(crate) fn resize(&mut self, directories: usize, files: usize) {
        self.directories.resize_with(directories, || None);
        self.files.resize_with(files, || None);
    }

    /// How many descriptors are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open
    }

    pub(crate) fn file(&self, row: u32) -> Option<&OwnedFd> {
        self.files.get(row as usize)?.as_ref()
    }

    pub(crate) fn directory(&self, group: usize) -> Option<&OwnedFd> {
        self.directories.get(group)?.as_ref()
    }

    /// Keeps a file open. Returns false, and closes it, where the budget is used up.
    pub(crate) fn keep_file(&mut self, row: u32, file: OwnedFd) -> bool {
        self.fd_budget.take() && {
            self.files[row as usize] = Some(file);
            self.open += 1;
            true
        }
    }

    /// Keeps a directory open. Returns false, and closes it, where the budget is used up.
    pub(crate) fn keep_directory(&mut self, group: usize, directory: OwnedFd) -> bool {
        self.fd_budget.take() && {
            self.directories[group] = Some(directory);
            self.open += 1;
            true
        }
    }

    pub(crate) fn close_file(&mut self, row: u32) {
        let gone = self.files.get_mut(row as usize).and_then(Option::take);
        self.release(usize::from(gone.is_some()));
    }

    pub(crate) fn close_directory(&mut self, group: usize) {
        let gone = self.directories.get_mut(group).and_then(Option::take);
        self.release(usize::from(gone.is_some()));
    }

    pub(crate) fn close_all(&mut self) {
        self.files.clear();
        self.directories.clear();
        self.release(self.open);
    }

    /// The table is rebuilt: keeps the descriptors of the rows that stay and of their directories.
    pub(crate) fn retain(&mut self, rows: &Rows, stays: impl Fn(u32) -> bool) {
        let before = self.open;
        let mut row = 0;
        let mut groups = rows.groups.iter();
        self.directories.retain(|_| {
            groups.next().is_some_and(|group| {
                let rows = std::mem::replace(&mut row, group.end)..group.end;
                rows.into_iter().any(&stays)
            })
        });
        let mut rows = 0..;
        self.files.retain(|_| rows.next().is_some_and(&stays));
        let all = self.files.iter().chain(&self.directories);
        self.release(before - all.filter(|it| it.is_some()).count());
    }

    fn release(&mut self, count: usize) {
        self.open -= count;
        self.fd_budget.give(count);
    }
}

impl Drop for FdCache {
    fn drop(&mut self) {
        self.close_all();
    }
}
