//! The memory that a cgroup may take
//! ([v1](https://docs.kernel.org/admin-guide/cgroup-v1/memory.html), [v2](https://docs.kernel.org/admin-guide/cgroup-v2.html)).

use std::fs;
use std::path::{Path, PathBuf};

/// What no machine has: v1 writes a number where v2 writes `max`.
const NO_LIMIT: u64 = 1 << 60;

/// The least of the limits of a process's cgroup and of those above it, as far as they are seen from here; `process` is its
/// directory in `/proc`.
pub(super) fn limit(process: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(process.join(name)).ok();
    let (cgroups, mounts) = (read("cgroup")?, read("mountinfo")?);
    let hierarchies = mounts.lines().filter_map(Hierarchy::of);
    let limits = hierarchies.filter_map(|it| it.limit(&cgroups));
    limits.min()
}

/// A mounted hierarchy of cgroups that limits memory.
struct Hierarchy {
    is_v2: bool,
    /// The cgroup that is seen at the mount.
    root: String,
    mount: PathBuf,
}

impl Hierarchy {
    /// Of a line of `mountinfo`
    /// ([proc_pid_mountinfo](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)), if it is one.
    fn of(line: &str) -> Option<Hierarchy> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let is_v2 = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options = file_system.nth(1)?;
        if !is_v2 && !options.split(',').any(|it| it == "memory") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        Some(Hierarchy {
            is_v2,
            root: fields.next()?.to_owned(),
            mount: fields.next()?.into(),
        })
    }

    /// The least limit from the process's cgroup up to what is mounted.
    fn limit(&self, cgroups: &str) -> Option<u64> {
        let path = cgroups.lines().find_map(|line| self.path(line))?;
        let below = path.strip_prefix(&*self.root).unwrap_or_default();
        let below = Path::new(below.trim_start_matches('/'));
        // A path with `..` is one that is not seen from here.
        let is_seen = !below.iter().any(|part| part == "..");
        let below = if is_seen { below } else { Path::new("") };
        let file = if self.is_v2 {
            "memory.max"
        } else {
            "memory.limit_in_bytes"
        };
        let limits = below.ancestors().filter_map(|it| {
            let text = fs::read_to_string(self.mount.join(it).join(file)).ok()?;
            let limit: u64 = text.trim().parse().ok()?;
            (limit < NO_LIMIT).then_some(limit)
        });
        limits.min()
    }

    /// The process's cgroup, by a line of `/proc/PID/cgroup` about this hierarchy.
    fn path<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_own = if self.is_v2 {
            number == "0"
        } else {
            controllers.split(',').any(|it| it == "memory")
        };
        is_own.then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process with this `cgroup` and a hierarchy mounted below a directory, with these files.
    fn limit_of(cgroup: &str, mount: &str, files: &[(&str, &str)]) -> Option<u64> {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().expect("below")).expect("a directory");
            fs::write(file, text).expect("a file");
        }
        fs::write(root.join("cgroup"), cgroup).expect("a file");
        let mount = mount.replace("MOUNT", root.to_str().expect("a text"));
        fs::write(root.join("mountinfo"), mount).expect("a file");
        limit(root)
    }

    #[test]
    fn the_least_limit_of_the_cgroup_and_those_above_it_holds_in_both_versions() {
        let v2 = "30 23 0:26 / MOUNT/v2 rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/a.slice/b.service\n";
        let files = [
            ("v2/a.slice/memory.max", "3000\n"),
            ("v2/a.slice/b.service/memory.max", "max\n"),
            ("v2/memory.max", "9000\n"),
        ];
        assert_eq!(limit_of(own, v2, &files), Some(3000));
        assert_eq!(limit_of(own, v2, &files[1..2]), None);

        let v1 = "36 31 0:31 / MOUNT/cpu rw - cgroup cgroup rw,cpu\n\
                  35 31 0:32 / MOUNT/memory rw - cgroup cgroup rw,memory\n";
        let own = "5:cpu:/x\n4:memory:/pod/one\n0::/\n";
        let files = [
            ("memory/pod/one/memory.limit_in_bytes", "5000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu/x/memory.limit_in_bytes", "1\n"),
        ];
        assert_eq!(limit_of(own, v1, &files), Some(5000));
        assert_eq!(limit_of(own, v1, &files[1..]), None);
    }

    #[test]
    fn in_a_container_that_sees_its_own_cgroup_only_that_one_holds() {
        let files = [("m/memory.limit_in_bytes", "7000")];
        let mount = "35 31 0:32 /docker/abc MOUNT/m ro - cgroup cgroup rw,memory\n";
        assert_eq!(
            limit_of("4:memory:/docker/abc\n", mount, &files),
            Some(7000)
        );
        let mount = "35 31 0:32 /../.. MOUNT/m ro - cgroup cgroup rw,memory\n";
        assert_eq!(limit_of("4:memory:/../x\n", mount, &files), Some(7000));
    }

    #[test]
    fn what_makes_no_sense_is_no_limit() {
        for mount in ["", "a", "a - cgroup2", "1 2 3 - cgroup2 a b", "\n - \n"] {
            assert_eq!(limit_of("0::/\n\nx:y\n", mount, &[]), None, "{mount}");
        }
        let mount = "30 23 0:26 / MOUNT rw - cgroup2 cgroup2 rw\n";
        assert_eq!(limit_of("0::/\n", mount, &[("memory.max", "much")]), None);
    }
}
