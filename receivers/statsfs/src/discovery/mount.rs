//! Where the tree is: a path, or a file system looked up by its type in mountinfo. A container may see no `proc` of its
//! host: then by what `statfs` says.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use pipeline::Context;
use rustix::fs::StatFs;

use super::tree::Boot;

/// The type of sysfs, as `statfs` tells it
/// ([statfs(2)](https://man7.org/linux/man-pages/man2/statfs.2.html)).
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

/// What mountinfo says of a mount ([proc_pid_mountinfo(5)](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: (u32, u32),
    point: PathBuf,
    filesystem: String,
    /// Whether the whole file system is mounted there, not a part of it.
    whole: bool,
}

/// The path of a configured root, below the host's root directory.
pub(crate) fn find_root(root: &str, context: &Context) -> Result<PathBuf, String> {
    let Some((filesystem, below)) = root
        .split_once(':')
        .filter(|(it, _)| !it.is_empty() && !it.contains('/'))
    else {
        return Ok(context.host_path(Path::new(root)));
    };
    let is_wanted = |it: &str| it == filesystem || (filesystem == "statsfs" && it == "stats_fs");
    let mounts = mounts(context);
    // The last mount on a mount point hides the others.
    let mount = mounts
        .iter()
        .rev()
        .find(|mount| mount.whole && is_wanted(&mount.filesystem));
    let point = match mount {
        Some(mount) => context.host_path(&mount.point),
        None => usual_place(filesystem, context)?,
    };
    let below = below.trim_matches('/');
    Ok(if below.is_empty() {
        point
    } else {
        point.join(below)
    })
}

/// The same where it is not there yet: where one of this type is by convention, or the host's own root directory, since it
/// may come anywhere.
pub(crate) fn expected_root(root: &str, context: &Context) -> PathBuf {
    find_root(root, context).unwrap_or_else(|_| {
        let filesystem = root.split(':').next().unwrap_or_default();
        let known = FILESYSTEMS.iter().find(|it| it.1 == filesystem);
        let usual = known.map(|it| it.2).filter(|it| !it.is_empty());
        context.host_path(Path::new(usual.unwrap_or("/")))
    })
}

/// File systems by their magic numbers ([linux/magic.h](https://github.com/torvalds/linux/blob/master/include/uapi/linux/magic.h)),
/// and where they are mounted by convention.
const FILESYSTEMS: [(u32, &str, &str); 12] = [
    (0x6265_6572, "sysfs", "/sys"),
    (0x6462_6720, "debugfs", "/sys/kernel/debug"),
    (0x7472_6163, "tracefs", "/sys/kernel/tracing"),
    (0x6367_7270, "cgroup2", "/sys/fs/cgroup"),
    (0x9fa0, "proc", "/proc"),
    (0x0102_1994, "tmpfs", ""),
    (0x8584_58f6, "ramfs", ""),
    (0xef53, "ext4", ""),
    (0x5846_5342, "xfs", ""),
    (0x9123_683e, "btrfs", ""),
    (0xf2f5_2010, "f2fs", ""),
    (0x794c_7630, "overlay", ""),
];

/// Where a file system of this type is by convention, if it is there.
fn usual_place(filesystem: &str, context: &Context) -> Result<PathBuf, String> {
    let usual = FILESYSTEMS
        .iter()
        .find(|it| it.1 == filesystem && !it.2.is_empty());
    let usual = usual.map(|it| context.host_path(Path::new(it.2)));
    let is_there =
        |path: &PathBuf| rustix::fs::statfs(path).is_ok_and(|it| type_of(&it) == filesystem);
    if let Some(path) = usual.clone().filter(is_there) {
        return Ok(path);
    }
    let mut looked_at = vec![context.host_path(Path::new(mountinfo(context)))];
    looked_at.extend(usual);
    let looked_at: Vec<String> = looked_at.iter().map(|it| display_path(it)).collect();
    let looked_at = looked_at.join(", ");
    Err(format!(
        "no file system of type {filesystem} is mounted, by {looked_at}"
    ))
}

// A magic number has 32 bits; the field's width and sign are the architecture's.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn type_of(statfs: &StatFs) -> &'static str {
    let magic = statfs.f_type as u32;
    let known = FILESYSTEMS.iter().find(|it| it.0 == magic);
    known.map_or("", |it| it.1)
}

/// The type of the file system that a root is on; empty if nobody knows it.
pub(crate) fn filesystem_of(device: u64, root: &Path, context: &Context) -> String {
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let mount = mounts(context)
        .into_iter()
        .rev()
        .find(|mount| mount.device == device);
    match mount {
        Some(mount) => mount.filesystem,
        None => rustix::fs::statfs(root)
            .map_or("", |it| type_of(&it))
            .to_owned(),
    }
}

/// In a container the mounts that count are those of the host's first process.
fn mountinfo(context: &Context) -> &'static str {
    let first = "/proc/1/mountinfo";
    if context.is_own_root() || !context.host_path(Path::new(first)).exists() {
        "/proc/self/mountinfo"
    } else {
        first
    }
}

fn mounts(context: &Context) -> Vec<Mount> {
    let text = std::fs::read(context.host_path(Path::new(mountinfo(context))));
    text.unwrap_or_default()
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect()
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
    let root = fields.next()?;
    let point = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    let filesystem = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        device: (major.parse().ok()?, minor.parse().ok()?),
        point,
        filesystem: String::from_utf8_lossy(filesystem).into_owned(),
        whole: root == b"/",
    })
}

/// Blanks, tabs, line ends and backslashes stand there as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let code = after.get(..3).filter(|_| *first == b'\\');
        let code =
            code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    out
}

/// The kernel's boot, as far as it can be known.
pub(crate) fn boot(context: &Context) -> Boot {
    // It comes with the kernel's own parameters: after many built-in drivers, and before the first program.
    let last = context.host_path(Path::new("/sys/module/kernel"));
    let is_sysfs = rustix::fs::statfs(&last).is_ok_and(|it| it.f_type == SYSFS_MAGIC);
    let last = is_sysfs.then(|| rustix::fs::stat(&last).ok()).flatten();
    Boot {
        time: boot_unix_nano(context),
        sysfs_inode: last.map_or(0, |stat| stat.st_ino),
    }
}

/// When the kernel was booted, unix ns; 0 if /proc/stat does not say. Where the host's is not seen, this process's own says
/// the same: it is one kernel.
fn boot_unix_nano(context: &Context) -> u64 {
    let own = Path::new("/proc/stat");
    let stat = std::fs::read_to_string(context.host_path(own))
        .or_else(|_| std::fs::read_to_string(own))
        .unwrap_or_default();
    let seconds = stat
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    seconds.unwrap_or_default().saturating_mul(1_000_000_000)
}

/// A path as text, for messages.
pub(crate) fn display_path(path: &Path) -> String {
    super::name::escape(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_as_the_kernel_writes_it() {
        let line =
            br"36 25 0:7 / /sys/kernel/de\040bug rw,nosuid shared:15 master:1 - debugfs debugfs rw";
        let expected = Mount {
            device: (0, 7),
            point: "/sys/kernel/de bug".into(),
            filesystem: "debugfs".into(),
            whole: true,
        };
        assert_eq!(mount(line), Some(expected));
        assert!(
            !mount(b"36 25 0:7 /part /mnt rw - tmpfs none rw")
                .unwrap()
                .whole
        );
        assert_eq!(mount(b"36 25 0:7"), None);
        assert_eq!(mount(b""), None);
    }
}
