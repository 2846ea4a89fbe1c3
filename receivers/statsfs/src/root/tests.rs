//! What is opened beneath a root, and what is refused.

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
