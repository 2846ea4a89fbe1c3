//! Which directories and files a path takes: what is named may be exchanged, swapped by a link, mounted anew, or come later.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FsWord, PROC_SUPER_MAGIC, statfs};

use crate::files::entries;

/// File systems whose files the kernel makes, and gives to root, by their magic numbers
/// ([linux/magic.h](https://github.com/torvalds/linux/blob/master/include/uapi/linux/magic.h)): sysfs, debugfs, tracefs,
/// securityfs, and both of control groups.
const OF_ROOT: [FsWord; 6] = [
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x0027_e0eb,
    0x6367_7270,
];

/// What reading a file takes, whichever is at this path; or what is below a directory.
pub(super) fn read(path: &Path) -> BTreeSet<PathBuf> {
    let found = match path.canonicalize() {
        Ok(found) if found.is_dir() => return BTreeSet::from([stable(found)]),
        found => found.ok(),
    };
    if found.as_deref().is_some_and(is_special) {
        return found.into_iter().collect();
    }
    let mut all = BTreeSet::from([nearest(above(path))]);
    all.extend(found.as_deref().map(|it| above(it).to_owned()));
    // A link that leads to a neighbour may be swapped for one to another neighbour.
    let swapped = entries(path).into_iter().filter(|it| {
        let target = fs::read_link(it);
        let first = |it: &Path| {
            let mut parts = it.components().filter(|it| *it != Component::CurDir);
            matches!(parts.next(), Some(Component::Normal(_)))
        };
        target.is_ok_and(|it| first(&it))
    });
    let beside = swapped.map(|it| above(&it).to_owned());
    all.extend(beside.filter(|it| it != Path::new("/")));
    all.into_iter().map(stable).collect()
}

/// What reading a tree takes that may go and come again: it is another one then, in the directory that it was in. What the
/// kernel makes comes and goes with much around it: all of its file system. Where that directory is the root of a file system,
/// which may be mounted anew, it is the one above. The root directory stays as it is.
pub(super) fn read_tree(path: &Path) -> BTreeSet<PathBuf> {
    let there = uppermost(nearest(path), is_kernels);
    let mut all = BTreeSet::from([there.clone()]);
    let around = if path.is_dir() && !is_kernels(&there) {
        vec![above(&there), above(path)]
    } else {
        vec![&*there]
    };
    for directory in around {
        let mut around = nearest(directory);
        while is_mount(&around) && above(&around) != Path::new("/") {
            around.pop();
        }
        all.extend(Some(around).filter(|it| it != Path::new("/")));
    }
    all.into_iter().map(stable).collect()
}

/// The uppermost directory of the file system that a path is on, or will be on.
pub(super) fn file_system(path: &Path) -> PathBuf {
    uppermost(nearest(path), |_| true)
}

/// What writing a file takes, which is made anew in its directory; or all that is below a directory.
pub(super) fn written(path: &Path) -> BTreeSet<PathBuf> {
    let found = path.canonicalize().ok();
    let own = found.filter(|it| it.is_dir() || is_special(it));
    BTreeSet::from([own.unwrap_or_else(|| nearest(above(path)))])
}

/// What making and removing a socket takes.
pub(super) fn written_beside(path: &Path) -> BTreeSet<PathBuf> {
    BTreeSet::from([nearest(above(path))])
}

/// The lowest directory on the way to a path that is there.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| "/".into());
    let there = path.ancestors().find_map(|it| it.canonicalize().ok());
    let there = there.unwrap_or_else(|| "/".into());
    if there.is_dir() {
        there
    } else {
        above(&there).to_owned()
    }
}

/// The directory that something is in; the root directory is in itself.
fn above(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(Path::new("/"));
    // A name alone is in the working directory.
    if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }
}

/// A device, a FIFO or a socket: nothing takes its place.
fn is_special(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| !it.is_file() && !it.is_dir())
}

/// Whether something is mounted there, as far as its device tells.
fn is_mount(path: &Path) -> bool {
    device(path) != device(above(path))
}

/// The file system that something is on.
fn device(path: &Path) -> Option<u64> {
    path.metadata().map(|it| it.dev()).ok()
}

/// Whether the kernel makes the files there, and gives them to root.
pub(super) fn is_kernels(path: &Path) -> bool {
    statfs(path).is_ok_and(|it| OF_ROOT.contains(&it.f_type))
}

/// The directory itself, but of `proc` the uppermost one: the others have another inode when they are looked up again, and
/// Landlock knows a directory by its inode.
fn stable(path: PathBuf) -> PathBuf {
    uppermost(path, |it| {
        statfs(it).is_ok_and(|it| it.f_type == PROC_SUPER_MAGIC)
    })
}

/// The uppermost directory on the file system of a path, if that is such a one.
fn uppermost(path: PathBuf, is_such: impl Fn(&Path) -> bool) -> PathBuf {
    if !is_such(&path) {
        return path;
    }
    let own = device(&path);
    let same = path.ancestors().take_while(|it| device(it) == own).last();
    same.map(Path::to_owned).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn set<const N: usize>(paths: [&Path; N]) -> BTreeSet<PathBuf> {
        paths.into_iter().map(Path::to_owned).collect()
    }

    #[test]
    fn a_file_takes_its_directory_and_those_that_its_links_may_lead_to() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let below = |name: &str| root.join(name);
        for name in ["..1", "live", "archive", "v1"] {
            fs::create_dir(below(name)).unwrap();
            fs::write(below(name).join("tls.crt"), "").unwrap();
        }
        // As Kubernetes has it, certbot, and who swaps directories.
        symlink("..1", below("..data")).unwrap();
        symlink("..data/tls.crt", below("tls.crt")).unwrap();
        symlink("../archive/tls.crt", below("live/link.crt")).unwrap();
        symlink("v1", below("current")).unwrap();
        assert_eq!(read(&below("v1/tls.crt")), set([&below("v1")]));
        assert_eq!(read(&below("tls.crt")), set([&root, &below("..1")]));
        let both = set([&below("archive"), &below("live")]);
        assert_eq!(read(&below("live/link.crt")), both);
        let both = set([&root, &below("v1")]);
        assert_eq!(read(&below("current/tls.crt")), both);
        assert_eq!(read(&below("no/such/file")), set([&root]));
        assert_eq!(read(&below("archive")), set([&below("archive")]));
        assert_eq!(read(Path::new("/dev/null")), set([Path::new("/dev/null")]));
    }

    #[test]
    fn a_tree_may_go_and_come_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir(root.join("tree")).unwrap();
        let both = set([&root, &root.join("tree")]);
        assert_eq!(read_tree(&root.join("tree")), both);
        assert_eq!(read_tree(&root.join("later/tree")), set([&root]));
        let sys = Path::new("/sys");
        assert_eq!(read_tree(sys), set([sys]));
        assert_eq!(read_tree(Path::new("/sys/class/net")), set([sys]));
        assert_eq!(read_tree(Path::new("/sys/no/such")), set([sys]));
        assert_eq!(read_tree(Path::new("/no/such")), set([Path::new("/")]));
        let proc = set([Path::new("/proc")]);
        assert_eq!(read_tree(Path::new("/proc/self/net")), proc);
    }

    #[test]
    fn the_file_system_of_what_is_not_there_yet_is_that_of_what_is_above() {
        let of = |path: &str| file_system(Path::new(path));
        assert_eq!(of("/sys/class/no_such_class/x"), Path::new("/sys"));
        assert_eq!(of("/proc/self/status"), Path::new("/proc"));
    }

    #[test]
    fn what_is_written_is_made_in_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(written(&root.join("file")), set([&root]));
        assert_eq!(written(&root.join("a/b")), set([&root]));
        assert_eq!(written(&root), set([&root]));
        let null = Path::new("/dev/null");
        assert_eq!(written(null), set([null]));
    }
}
