//! Where debugfs is mounted.

use std::path::PathBuf;

use pipeline::Context;

/// `kvm/` where debugfs is mounted, by mountinfo, or where it is by convention.
pub(super) fn path(context: &Context) -> PathBuf {
    // In a container the mounts that count are those of the host's first process.
    let mounts = if context.is_own_root() {
        "/proc/self/mountinfo"
    } else {
        "/proc/1/mountinfo"
    };
    let mounts = context.host_path(mounts.as_ref());
    let mounts = std::fs::read_to_string(mounts).unwrap_or_default();
    let point = mounts.lines().filter_map(mount_point).next_back();
    let point = point.unwrap_or("/sys/kernel/debug");
    context.host_path(point.as_ref()).join("kvm")
}

/// Where a line of mountinfo says that the whole of debugfs is mounted.
fn mount_point(line: &str) -> Option<&str> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let is_whole = fields.next() == Some("/");
    let point = fields.next()?;
    (is_whole && filesystem.starts_with("debugfs ")).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_of_debugfs_is_found_where_it_is_mounted() {
        let line = "36 25 0:7 / /sys/kernel/debug rw,nosuid shared:15 - debugfs debugfs rw";
        assert_eq!(mount_point(line), Some("/sys/kernel/debug"));
        assert_eq!(mount_point(&line.replace(" / ", " /kvm ")), None);
        assert_eq!(mount_point(&line.replace("- debugfs", "- sysfs")), None);
        assert_eq!(mount_point(""), None);
    }
}
