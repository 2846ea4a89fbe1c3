//! Descriptors that stay open from sweep to sweep, as far as the process may have them.

use std::os::fd::OwnedFd;

use pipeline::Descriptors;

use super::rows::Rows;

/// What one table keeps open. Dropped, it gives its descriptors back.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Whether files can be read at a place, as far as is known: what cannot be is not worth keeping.
    pub(crate) seekable: bool,
    files: Vec<Option<OwnedFd>>,
    directories: Vec<Option<OwnedFd>>,
    held: usize,
    descriptors: Descriptors,
}

impl Kept {
    pub(crate) fn new(descriptors: Descriptors) -> Kept {
        Kept {
            seekable: true,
            files: Vec::new(),
            directories: Vec::new(),
            held: 0,
            descriptors,
        }
    }

    /// Makes room for as many as a table has; what is there stays.
    pub(crate) fn fit(&mut self, directories: usize, files: usize) {
        self.directories.resize_with(directories, || None);
        self.files.resize_with(files, || None);
    }

    /// How many are open.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn file(&self, row: u32) -> Option<&OwnedFd> {
        self.files.get(row as usize)?.as_ref()
    }

    pub(crate) fn directory(&self, group: usize) -> Option<&OwnedFd> {
        self.directories.get(group)?.as_ref()
    }

    /// Keeps a file open; false, and it is closed, where there is no room.
    pub(crate) fn keep_file(&mut self, row: u32, file: OwnedFd) -> bool {
        self.descriptors.take() && {
            self.files[row as usize] = Some(file);
            self.held += 1;
            true
        }
    }

    /// Keeps a directory open; false, and it is closed, where there is no room.
    pub(crate) fn keep_directory(&mut self, group: usize, directory: OwnedFd) -> bool {
        self.descriptors.take() && {
            self.directories[group] = Some(directory);
            self.held += 1;
            true
        }
    }

    pub(crate) fn let_file_go(&mut self, row: u32) {
        let gone = self.files.get_mut(row as usize).and_then(Option::take);
        self.give(usize::from(gone.is_some()));
    }

    pub(crate) fn let_directory_go(&mut self, group: usize) {
        let gone = self.directories.get_mut(group).and_then(Option::take);
        self.give(usize::from(gone.is_some()));
    }

    pub(crate) fn let_all_go(&mut self) {
        self.files.clear();
        self.directories.clear();
        self.give(self.held);
    }

    /// The table is remade: of these rows those that stay, and the directories of such.
    pub(crate) fn retain(&mut self, rows: &Rows, stays: impl Fn(u32) -> bool) {
        let before = self.held;
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
        self.give(before - all.filter(|it| it.is_some()).count());
    }

    fn give(&mut self, count: usize) {
        self.held -= count;
        self.descriptors.give(count);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.let_all_go();
    }
}
