//! Where the tree is: a path, or a file system looked up by its type in mountinfo.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use pipeline::Context;

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
    let mount = mount.ok_or_else(|| format!("no file system of type {filesystem} is mounted"))?;
    let below = below.trim_matches('/');
    let point = context.host_path(&mount.point);
    Ok(if below.is_empty() {
        point
    } else {
        point.join(below)
    })
}

/// The type of the file system with this device number; empty if mountinfo does not know it.
pub(crate) fn filesystem_of(device: u64, context: &Context) -> String {
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    let mount = mounts(context)
        .into_iter()
        .rev()
        .find(|mount| mount.device == device);
    mount.map(|mount| mount.filesystem).unwrap_or_default()
}

/// In a container the mounts that count are those of the host's first process.
fn mounts(context: &Context) -> Vec<Mount> {
    let read = |path: &str| std::fs::read(context.host_path(Path::new(path)));
    let text = if context.is_own_root() {
        read("/proc/self/mountinfo")
    } else {
        read("/proc/1/mountinfo").or_else(|_| read("/proc/self/mountinfo"))
    };
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

/// When the kernel was booted, unix ns; 0 if /proc/stat does not say.
fn boot_unix_nano(context: &Context) -> u64 {
    let stat =
        std::fs::read_to_string(context.host_path(Path::new("/proc/stat"))).unwrap_or_default();
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
