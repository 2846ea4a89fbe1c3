//! The root of a tree. Whatever is opened below it is resolved beneath it and through no link: others may write into the
//! tree, and exchange a directory for a link while it is read.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// How directories are opened.
const DIRECTORY_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// No link is followed, neither a symbolic one nor one of `/proc/<pid>`.
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);

/// No link, and nothing that is not beneath.
const BENEATH: ResolveFlags = NO_LINKS.union(ResolveFlags::BENEATH);

/// Which links below a root are followed.
#[derive(Clone, Debug)]
pub(crate) struct FollowedLinks {
    /// Which parts of a path may be one, the first is 0.
    pub(crate) positions: Vec<usize>,
    /// Directories into which they may lead, beside the root's own file system.
    pub(crate) into: Vec<PathBuf>,
}

/// An open root.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    device: u64,
    inode: u64,
    links: Option<FollowedLinks>,
}

impl Root {
    /// Opens it. The path is the user's own: links in it are followed, as are those of the directories that links may lead
    /// into. Without `links` none below is followed.
    pub(crate) fn open(path: &Path, links: Option<FollowedLinks>) -> Result<Root, Errno> {
        let fd = rustix::fs::open(path, DIRECTORY_FLAGS, Mode::empty())?;
        let Stat { st_dev, st_ino, .. } = rustix::fs::fstat(&fd)?;
        // A path that does not exist yet is taken as it is written.
        let canonical = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let links = links.map(|links| FollowedLinks {
            into: links.into.into_iter().map(canonical).collect(),
            ..links
        });
        Ok(Root {
            fd,
            device: st_dev,
            inode: st_ino,
            links,
        })
    }

    /// The device number of its file system, and its inode.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Opens a directory below the root. Where links are followed, some parts of the path may be one.
    ///
    /// # Errors
    /// `ELOOP` where another part is a link, or what a link leads to; `EXDEV` where a link leads to another file system.
    pub(crate) fn open_directory(&self, below: &Path) -> Result<OwnedFd, Errno> {
        if below.as_os_str().is_empty() {
            return rustix::fs::openat(&self.fd, ".", DIRECTORY_FLAGS, Mode::empty());
        }
        self.open_below(self.fd.as_fd(), below, 0, BENEATH)
    }

    /// Opens what is below a directory, which has `position` parts above it; part by part where one is a link.
    fn open_below(
        &self,
        directory: BorrowedFd<'_>,
        below: &Path,
        position: usize,
        mut resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let opened = open_through_no_link(directory, below, resolve);
        let (Err(Errno::LOOP), Some(links)) = (&opened, &self.links) else {
            return opened;
        };
        let mut parts = below.components();
        let part = parts.next().ok_or(Errno::LOOP)?.as_os_str();
        let next = match self.open_link(directory, part, position, links)? {
            Some(target) => {
                // What is mounted below the target is another file system again.
                resolve |= ResolveFlags::NO_XDEV;
                target
            }
            None => open_through_no_link(directory, Path::new(part), resolve)?,
        };
        match parts.as_path() {
            rest if rest.as_os_str().is_empty() => Ok(next),
            rest => self.open_below(next.as_fd(), rest, position + 1, resolve),
        }
    }

    /// Opens what a part leads to, if it may be a link and is one. What was opened is checked, so that it does not matter
    /// who changes the link, or what it leads to, meanwhile.
    fn open_link(
        &self,
        directory: BorrowedFd<'_>,
        part: &OsStr,
        position: usize,
        links: &FollowedLinks,
    ) -> Result<Option<OwnedFd>, Errno> {
        if !links.positions.contains(&position) {
            return Ok(None);
        }
        let text = match rustix::fs::readlinkat(directory, part, Vec::new()) {
            // It is no link.
            Err(Errno::INVAL) => return Ok(None),
            text => text?,
        };
        let path = Path::new(OsStr::from_bytes(text.to_bytes()));
        let target = open_through_no_link(directory, path, NO_LINKS)?;
        let is_allowed = device(&target)? == self.device || {
            let place = std::fs::read_link(descriptor_path(target.as_fd())).unwrap_or_default();
            links.into.iter().any(|into| place.starts_with(into))
        };
        is_allowed.then_some(Some(target)).ok_or(Errno::XDEV)
    }
}

/// The path by which a call that takes a path reaches what is open.
pub(crate) fn descriptor_path(open: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", open.as_raw_fd())
}

fn open_through_no_link(
    directory: BorrowedFd<'_>,
    path: &Path,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(directory, path, DIRECTORY_FLAGS, Mode::empty(), resolve) {
        // Linux before 5.6, or a sandbox that does not know the call: old ones answer EPERM.
        Err(Errno::NOSYS | Errno::PERM) => open_part_by_part(directory, path, resolve),
        opened => opened,
    }
}

/// The same without `openat2`: each part is opened in the one before.
fn open_part_by_part(
    directory: BorrowedFd<'_>,
    path: &Path,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let open = |at: BorrowedFd<'_>, part: &OsStr, flags: OFlags| {
        match rustix::fs::openat(at, part, flags, Mode::empty()) {
            // What `openat2` says of a link, instead of what O_DIRECTORY does.
            Err(Errno::NOTDIR) if is_link(at, part) => Err(Errno::LOOP),
            opened => opened,
        }
    };
    let step = DIRECTORY_FLAGS.union(OFlags::PATH).union(OFlags::NOFOLLOW);
    let mut at = open(directory, OsStr::new("."), step)?;
    for part in path.components() {
        let leaves = matches!(part, Component::ParentDir | Component::RootDir);
        if leaves && resolve.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV);
        }
        let next = open(at.as_fd(), part.as_os_str(), step)?;
        if resolve.contains(ResolveFlags::NO_XDEV) && device(&next)? != device(&at)? {
            return Err(Errno::XDEV);
        }
        at = next;
    }
    rustix::fs::openat(&at, ".", DIRECTORY_FLAGS, Mode::empty())
}

fn device(open: &OwnedFd) -> Result<u64, Errno> {
    rustix::fs::fstat(open).map(|stat| stat.st_dev)
}

fn is_link(directory: BorrowedFd<'_>, name: &OsStr) -> bool {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests;
