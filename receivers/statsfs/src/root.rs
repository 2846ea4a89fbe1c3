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
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;

    use super::*;

    /// `tree/s/d` and links, and `elsewhere/d`, on the same file system.
    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = |below: &str| directory.path().join(below);
        ["tree/s/d", "elsewhere/d"]
            .iter()
            .for_each(|below| create_dir_all(path(below)).unwrap());
        for (target, link) in [
            ("../elsewhere", "tree/out"),
            ("s", "tree/in"),
            ("out", "tree/twice"),
            ("../../elsewhere", "tree/s/out"),
            ("/proc/self", "tree/proc"),
            ("/proc/self/cwd", "tree/magic"),
        ] {
            symlink(target, path(link)).unwrap();
        }
        write(path("tree/file"), "1").unwrap();
        directory
    }

    fn links(positions: &[usize], into: &[&str]) -> FollowedLinks {
        FollowedLinks {
            positions: positions.into(),
            into: into.iter().map(PathBuf::from).collect(),
        }
    }

    #[test]
    fn each_part_that_may_be_a_link_is_followed_one_level() {
        let directory = tree();
        let path = |below: &str| directory.path().join(below);
        create_dir_all(path("phys/d")).unwrap();
        for (target, link) in [
            ("../phys", "elsewhere/device"),
            ("device", "elsewhere/twice"),
            ("loop", "elsewhere/loop"),
            ("none", "elsewhere/dangling"),
            ("../phys", "phys/d/device"),
        ] {
            symlink(target, path(link)).unwrap();
        }
        symlink(path("phys"), path("elsewhere/absolute")).unwrap();
        let open = |below: &str, positions: &[usize]| {
            let root = Root::open(&path("tree"), Some(links(positions, &[]))).unwrap();
            let opened = root.open_directory(Path::new(below));
            opened.map(|fd| identity(&fd))
        };
        let at = |below: &str| Ok(identity(&std::fs::File::open(path(below)).unwrap().into()));
        assert_eq!(open("out/device", &[0, 1]), at("phys"));
        assert_eq!(open("out/device/d", &[0, 1]), at("phys/d"));
        assert_eq!(open("out/absolute/d", &[0, 1]), at("phys/d"));
        assert_eq!(open("s/out/d", &[0, 1]), at("elsewhere/d"));
        assert_eq!(open("s/out/device/d", &[1, 2]), at("phys/d"));
        for below in ["out/device", "out/device/d", "s/out/device"] {
            assert_eq!(open(below, &[0]), Err(Errno::LOOP), "{below}");
        }
        for below in ["out/twice", "out/loop", "out/device/d/device"] {
            assert_eq!(open(below, &[0, 1]), Err(Errno::LOOP), "{below}");
        }
        assert_eq!(open("out/dangling", &[0, 1]), Err(Errno::NOENT));
    }

    #[test]
    fn nothing_is_opened_through_a_link_but_the_first_part_where_that_is_asked_for() {
        let directory = tree();
        let open = |below: &str, follow: bool| {
            let links = follow.then(|| links(&[0], &[]));
            let root = Root::open(&directory.path().join("tree"), links).unwrap();
            root.open_directory(Path::new(below)).map(drop)
        };
        for follow in [false, true] {
            assert_eq!(open("", follow), Ok(()));
            assert_eq!(open("s/d", follow), Ok(()));
            assert_eq!(open("s/out", follow), Err(Errno::LOOP));
            assert_eq!(open("s/out/d", follow), Err(Errno::LOOP));
            assert_eq!(open("../elsewhere", follow), Err(Errno::XDEV));
            assert_eq!(open("file", follow), Err(Errno::NOTDIR));
            assert_eq!(open("none/d", follow), Err(Errno::NOENT));
            assert_eq!(open("magic", follow), Err(Errno::LOOP));
            assert_eq!(
                open("twice/d", follow),
                Err(Errno::LOOP),
                "a link to a link"
            );
        }
        for below in ["out", "out/d", "in/d"] {
            assert_eq!(open(below, false), Err(Errno::LOOP));
            assert_eq!(open(below, true), Ok(()));
        }
    }

    #[test]
    fn a_link_may_leave_the_file_system_only_to_where_it_is_allowed() {
        let directory = tree();
        let path = directory.path().join("tree");
        symlink("/sys/kernel", path.join("far")).unwrap();
        symlink("/sys/kernel", path.join("s/far")).unwrap();
        for (below, position) in [("far", 0), ("s/far", 1)] {
            let open = |into: &[&str]| {
                let root = Root::open(&path, Some(links(&[position], into))).unwrap();
                root.open_directory(Path::new(below)).map(drop)
            };
            assert_eq!(open(&[]), Err(Errno::XDEV));
            assert_eq!(open(&["/sys/kern", "/sys/class"]), Err(Errno::XDEV));
            assert_eq!(open(&["/sys"]), Ok(()));
        }
    }

    #[test]
    fn what_is_mounted_below_a_links_target_is_another_file_system_again() {
        // `/` has `/proc` mounted on it, and a tree on the same file system leads there.
        let here = tempfile::tempdir().unwrap();
        symlink("/", here.path().join("all")).unwrap();
        let root = Root::open(here.path(), Some(links(&[0], &["/"]))).unwrap();
        let open = |below: &str| root.open_directory(Path::new(below)).map(drop);
        assert_eq!(open("all"), Ok(()));
        assert_eq!(open("all/etc"), Ok(()));
        assert_eq!(open("all/proc"), Err(Errno::XDEV));
        assert_eq!(open("all/sys/kernel"), Err(Errno::XDEV));
    }

    #[test]
    fn without_openat2_the_same_is_opened_and_the_same_refused() {
        let directory = tree();
        let root = Root::open(&directory.path().join("tree"), None).unwrap();
        let (beneath, on_it) = (BENEATH, ResolveFlags::NO_XDEV.union(NO_LINKS));
        for (path, resolve) in [
            ("s/d", beneath),
            ("out", beneath),
            ("out/d", beneath),
            ("s/out", beneath),
            ("file", beneath),
            ("none", beneath),
            ("s/../s", beneath),
            ("../elsewhere/d", beneath),
            ("../elsewhere/d", NO_LINKS),
            ("/sys/kernel", NO_LINKS),
            ("/proc/self/cwd", NO_LINKS),
            ("s/d", BENEATH.union(ResolveFlags::NO_XDEV)),
            ("/proc", on_it),
        ] {
            let at = root.fd.as_fd();
            let one = open_part_by_part(at, Path::new(path), resolve).map(|fd| identity(&fd));
            let other = rustix::fs::openat2(at, path, DIRECTORY_FLAGS, Mode::empty(), resolve);
            let other = other.map(|fd| identity(&fd));
            // Going up and down again is beneath for the kernel; no path of a tree does.
            let other = if path == "s/../s" {
                Err(Errno::XDEV)
            } else {
                other
            };
            assert_eq!(one, other, "{path}");
        }
    }

    fn identity(fd: &OwnedFd) -> (u64, u64) {
        let stat = rustix::fs::fstat(fd).unwrap();
        (stat.st_dev, stat.st_ino)
    }
}
