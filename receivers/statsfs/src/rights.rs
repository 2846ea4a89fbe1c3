//! What the receiver needs of the system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use pipeline::{Context, Right};

use crate::config::Config;
use crate::discovery::expected_root;

/// Says which paths it reads.
pub(crate) fn say(config: &Config, context: &Context) {
    let (root, follows) = (config.root.clone(), config.follow_links);
    let into = config.links_into.iter();
    let into: Vec<PathBuf> = into.map(|path| context.host_path(path)).collect();
    let own = context.clone();
    context.needs(move || {
        let root = expected_root(&root, &own);
        let mut rights = Vec::new();
        if follows {
            rights.push(Right::ReadFileSystem(root.clone()));
            rights.extend(into.into_iter().map(Right::ReadTree));
        }
        if is_anothers(&root) {
            rights.push(Right::OtherProcesses);
        }
        rights.push(Right::ReadTree(root));
        let proc = own.host_path(Path::new("/proc"));
        // Its own `proc` every process may read.
        rights.extend((!own.is_own_root() && proc.exists()).then_some(Right::Read(proc)));
        rights
    });
}

/// Whether a path leads through what a process sees, as `/proc/1234/root/sys` does.
fn is_anothers(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(OsStr::to_str).collect();
    let is_number = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
    let mut pairs = parts.windows(2);
    pairs.any(|it| it[0] == "proc" && is_number(it[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_sees_takes_the_right_to_look_into_it() {
        assert!(is_anothers(Path::new("/host/proc/12/root/sys/class/net")));
        assert!(!is_anothers(Path::new("/proc/self/net")));
        assert!(!is_anothers(Path::new("/sys/class/net")));
    }
}
